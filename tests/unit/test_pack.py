"""The layout of a file is found by trial once and kept for files of its kind, while it serves them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from lakestore import parquet
from lakestore.codec import pack
from lakestore.model import Column, LakeTable
from lakestore.parquet import encodings

_TABLE = LakeTable("trades", '"trades"', (Column(16, None, '"n"', "n", "BIGINT"),))


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "_LAYOUTS", {})


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The rows of each file that had trials."""
    tried: list[int] = []
    choose = encodings.choose

    def counted(columns: Any, sample: int) -> encodings.Choice:
        tried.append(len(columns[0][1]))
        return choose(columns, sample)

    monkeypatch.setattr(encodings, "choose", counted)
    yield tried


def _file(values: list[int], name: str = "n") -> pa.Buffer:
    columns = [(parquet.field(name, pa.int64(), 16), pa.array(values))]
    return pack.data_file([pack.Rows("t", len(values), columns)], _TABLE, {16})


def _read(data: pa.Buffer) -> list[int]:
    values: list[int] = parquet.from_buffer(data, "it")[16].to_pylist()
    return values


def test_files_of_one_kind_have_trials_once_in_a_while(trials: list[int]) -> None:
    for start in range(40):
        values = list(range(start, start + 100))
        assert _read(_file(values)) == values
    assert trials == [100, 100]


def test_another_name_another_type_or_many_more_rows_are_another_kind(trials: list[int]) -> None:
    _file([1] * 100)
    _file([1] * 100, "m")
    _file([1] * 1_000)
    columns = [(parquet.field("n", pa.float64(), 16), pa.array([1.0] * 100))]
    pack.data_file([pack.Rows("t", 100, columns)], _TABLE, {16})
    assert trials == [100, 100, 1_000, 100]


def test_a_file_that_takes_more_than_the_one_before_is_tried_anew(trials: list[int]) -> None:
    counting = list(range(500))
    random = Random(7)
    chance = [random.getrandbits(60) for _ in counting]
    small = _file(counting)
    alone = len(_file(chance))
    assert trials == [500, 500]
    assert len(small) < alone
    pack._LAYOUTS.clear()
    assert len(_file(chance)) == alone


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "_MOST", 3)
    for place in range(20):
        _file([1, 2, 3], f"n{place}")
        assert len(pack._LAYOUTS) <= 3


def test_a_long_file_is_searched_thoroughly_only_where_that_takes_bytes_off() -> None:
    random = Random(3)
    stairs = [1_000 * (place // 7) + place % 7 for place in range(8_000)]
    chance = [random.getrandbits(50) for _ in stairs]
    table = pa.table({"stairs": stairs, "chance": chance})
    chosen = dict.fromkeys(table.column_names, "DELTA_BINARY_PACKED")
    levels = encodings.with_levels(encodings.Choice(chosen, 0), table).levels
    assert levels is not None
    assert levels["chance"] < levels["stairs"]


def test_levels_are_kept_with_the_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    with_levels = encodings.with_levels

    def counted(choice: encodings.Choice, table: pa.Table) -> encodings.Choice:
        given.append(table.num_rows)
        return with_levels(choice, table)

    monkeypatch.setattr(encodings, "with_levels", counted)
    for _ in range(3):
        _file(list(range(3_000)))
    _file(list(range(100)))
    assert given == [3_000]
