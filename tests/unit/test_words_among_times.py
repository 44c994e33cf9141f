"""Columns of times that hold a few words: the times are times in SQL, and every text comes back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from lakestore.codec import decode
from tests.schemas import MemorySchema, Stored, store

_TIMES = [f"2024-01-{day:02}T10:00:00Z" for day in range(1, 21)]


def _saved(schema: MemorySchema, values: Sequence[Any]) -> Stored:
    source = json.dumps({"trades": [{"id": at, "exit": value} for at, value in enumerate(values)]}).encode()
    stored = store(source, schema)
    assert stored.text() == source
    assert stored.encoded.fidelity.kind == "style"
    assert stored.value() in (None, json.loads(source))
    return stored


def _types(schema: MemorySchema) -> dict[str, str]:
    return {column.name: column.type for table in schema.tables.values() for column in table.columns}


@pytest.mark.parametrize("words", [[""], ["N/A", "", "open", "None"], ["2024-02-30T10:00:00Z x"]])
@pytest.mark.parametrize("first", [0, 1])
def test_a_few_words_stand_beside_the_times(words: list[str], first: int) -> None:
    schema = MemorySchema()
    values = [*words, *_TIMES] if first else [*_TIMES, *words]
    _saved(schema, [*values, None])
    assert _types(schema) == {"id": "BIGINT", "exit": "TIMESTAMPTZ", "exit__json": "JSON"}
    _saved(schema, _TIMES)
    _saved(schema, words)


@pytest.mark.parametrize("dash", "./")
def test_times_of_other_dashes_stand_among_words_too(dash: str) -> None:
    schema = MemorySchema()
    values = [f"2024{dash}01{dash}{day:02} 10:00" for day in range(1, 21)]
    _saved(schema, ["", *values])
    assert _types(schema) == {"id": "BIGINT", "exit": "TIMESTAMP", "exit__json": "JSON"}
    _saved(schema, [text.replace(dash, "-") for text in values])
    assert _types(schema) == {"id": "BIGINT", "exit": "TIMESTAMP", "exit__json": "JSON"}


@pytest.mark.parametrize(
    "values", [["a", "b", "c", "d", "e", *_TIMES], ["", "x"], ["2024-02-30T10:00:00Z", *_TIMES, ""], ["2024-1-2", ""]]
)
def test_many_words_are_a_column_of_texts(values: list[str]) -> None:
    schema = MemorySchema()
    _saved(schema, values)
    assert _types(schema) == {"id": "BIGINT", "exit": "VARCHAR"}


def test_a_column_of_texts_holds_times_and_words() -> None:
    schema = MemorySchema()
    _saved(schema, ["a", "b"])
    _saved(schema, [*_TIMES, "", "N/A"])
    _saved(schema, [*_TIMES, "", 5, None])
    _saved(schema, [*_TIMES, "\ud800", "N/A"])
    _saved(schema, [*_TIMES, "\udc00x"])
    assert _types(schema) == {"id": "BIGINT", "exit": "VARCHAR", "exit__json": "JSON"}


def test_a_column_of_times_holds_the_times_among_many_words() -> None:
    schema = MemorySchema()
    _saved(schema, _TIMES)
    stored = _saved(schema, [*_TIMES, "a", "b", "c", "d", "e", "2024-01-01 10:00:00"])
    assert _types(schema) == {"id": "BIGINT", "exit": "TIMESTAMPTZ", "exit__json": "JSON"}
    (region,) = stored.envelope.regions
    node = decode.node_of(stored.envelope, region, stored.fetch, "it")
    assert node.children[1].kind == "time" and node.children[1].array.null_count == 6


def test_lists_and_mixed_columns_keep_their_kind() -> None:
    schema = MemorySchema()
    _saved(schema, [[*_TIMES, ""], [], ["x"]])
    assert _types(schema)["exit"] == "LIST"
    _saved(schema, [[*_TIMES, "\ud800"], ["x"]])
    assert _types(schema)["exit__json"] == "JSON"
    schema = MemorySchema()
    _saved(schema, [*_TIMES, "", 5])
    assert _types(schema) == {"id": "BIGINT", "exit": "VARCHAR", "exit__json": "JSON"}


def test_keys_that_are_times_but_for_one_come_back() -> None:
    source = json.dumps({"days": {**dict.fromkeys(_TIMES, 1.5), "total": 30}}, indent=2).encode()
    stored = store(source, MemorySchema())
    assert stored.text() == source
