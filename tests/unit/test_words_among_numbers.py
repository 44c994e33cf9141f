"""Columns of numbers with texts where a writer had none: in SQL they are numbers, and every text comes back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.schemas import MemorySchema, store


def _types(*results: Sequence[Any]) -> dict[str, str]:
    """The columns after these results were saved one after the other, each proved."""
    schema = MemorySchema()
    for values in results:
        source = json.dumps({"trades": [{"profit": value} for value in values]}).encode()
        stored = store(source, schema)
        assert stored.text() == source
        assert stored.encoded.fidelity.kind == "style"
        assert stored.value() in (None, json.loads(source))
    return {column.name: column.type for table in schema.tables.values() for column in table.columns}


@pytest.mark.parametrize("absent", ["", "-", "N/A", "NaN", "inf", "—"])
@pytest.mark.parametrize("number", [1.5, 3])
def test_texts_that_say_there_is_no_value_do_not_make_texts_of_numbers(absent: str, number: float) -> None:
    expected = {"profit": "DOUBLE" if isinstance(number, float) else "BIGINT", "profit__json": "JSON"}
    assert _types([absent, number] * 3) == expected
    assert _types([absent] * 9 + [number, None], [number] * 3, [absent] * 3, ["x"] * 3) == expected


def test_other_texts_count_as_before() -> None:
    assert _types(["a", 1.5, "b"]) == {"profit": "VARCHAR", "profit__json": "JSON"}
    assert _types(["", "a", 1.5]) == {"profit": "VARCHAR", "profit__json": "JSON"}
    assert _types(["", "-"]) == {"profit": "VARCHAR"}
    assert _types(["", True, ""]) == {"profit": "BOOLEAN", "profit__json": "JSON"}


def test_a_column_that_began_as_texts_stays_one() -> None:
    assert _types(["", ""], ["", 1.5, 2.5]) == {"profit": "VARCHAR", "profit__json": "JSON"}
