"""Packed statistics: what is unpacked is what was packed, in the present form and in the older ones."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakestore import parquet
from lakestore.catalog.memory import MemorySchema
from lakestore.codec import encode, fit
from lakestore.codec.draft import read
from lakestore.codec.pack import Rows, merged
from lakestore.codec.statistics import packing, packing_older, stats, sums
from lakestore.codec.statistics.packing import Whole
from lakestore.model import FIRST_FIELD_ID, Column, LakeTable
from tests.older_stats import first_form, second_form

_COLUMNS = {
    "prices": fit.decimals_of(np.array([1050, -3, 7]), 2, pa.array([1, 2, 3])),
    "whole": pa.array([1, None, -(2**53) + 1]),
    "wide": pa.array([2**53, 2**62, -1]),
    "long": pa.array([0.1 + 0.2, -0.0, math.nan]),
    "none": pa.array([None, None, None], pa.int64()),
}


def _packed(names: list[str]) -> tuple[bytes, dict[int, str]]:
    table = LakeTable("t", '"t"', tuple(Column(16 + i, None, f'"{n}"', n, "DOUBLE") for i, n in enumerate(names)))
    columns = [(parquet.field(n, _COLUMNS[n].type, 16 + i), _COLUMNS[n]) for i, n in enumerate(names)]
    whole = stats.of([(table, Rows("a", 3, columns))])
    return packing.packed(whole, {}), {16 + i: n for i, n in enumerate(names)}


def _unpacked(packed: list[bytes], names: dict[int, str]) -> list[tuple[object, ...]]:
    rows = {"strategy": ["x"] * len(packed), "run_date": [0] * len(packed)}
    rows["task_id"] = [str(place) for place in range(len(packed))]
    columns = {own: ("t", name) for own, name in names.items()}
    table = stats.unpacked(rows, b"".join(packed), list(map(len, packed)), columns)
    shown = ["task_id", "column_name", "rows", "nulls", "min", "max", "sum", "symbols"]
    return [tuple(row[name] for name in shown) for row in table.to_pylist()]


@pytest.mark.parametrize("many", range(len(_COLUMNS) + 1))
def test_what_is_unpacked_was_packed(many: int) -> None:
    names = list(_COLUMNS)[:many]
    expected = {
        "prices": (3, 0, -0.03, 10.5, 10.54),
        "whole": (3, 1, float(-(2**53) + 1), 1.0, float(-(2**53) + 2)),
        "wide": (3, 0, -1.0, 2.0**62, float(2**53 + 2**62 - 1)),
        "none": (3, 3, None, None, None),
    }
    found = {row[1]: row[2:7] for row in _unpacked([_packed(names)[0]], _packed(names)[1])}
    assert found.keys() == set(names)
    if "long" in found:
        assert found.pop("long") == pytest.approx((3, 0, -0.0, math.nan, math.nan), nan_ok=True)
    assert found == {name: expected[name] for name in found}


_EXACT = 2**53 - 1


@st.composite
def _column(draw: st.DrawFn, field_id: int, rows: int) -> packing.Column:
    nulls = draw(st.integers(0, rows))
    if draw(st.booleans()):
        return packing.Column(field_id, nulls, sums.DOUBLES, *draw(st.tuples(*[st.floats()] * 3)))
    least = draw(st.integers(-_EXACT, _EXACT))
    greatest = draw(st.integers(least, _EXACT))
    low, high = ((rows - nulls) * each for each in (least, greatest))
    # A sum that is no exact double makes doubles of all three.
    if low > _EXACT or high < -_EXACT:
        return packing.Column(field_id, nulls, sums.DOUBLES, float(least), float(greatest), float(low))
    total = draw(st.integers(max(low, -_EXACT), min(high, _EXACT)))
    return packing.Column(field_id, nulls, draw(st.integers(0, 18)), least, greatest, total)


@st.composite
def _result(draw: st.DrawFn) -> tuple[dict[str, Whole], dict[str, int]]:
    tables = {}
    for name in draw(st.lists(st.sampled_from("abcd"), unique=True)):
        rows = draw(st.integers(0, 2**33))
        ids = sorted(draw(st.sets(st.integers(FIRST_FIELD_ID, 300) | st.integers(2**30, 2**31 - 1), max_size=4)))
        tables[name] = Whole(rows, [draw(_column(own, rows)) for own in ids])
    kept = draw(st.sets(st.sampled_from(sorted(tables)))) if tables else set()
    return tables, {name: draw(st.integers(1, 64)) for name in kept}


def _expected(results: Sequence[tuple[dict[str, Whole], dict[str, int]]]) -> list[Any]:
    def bits(column: packing.Column) -> list[int]:
        if column.scale == sums.DOUBLES:
            return [struct.unpack("<q", struct.pack("<d", value))[0] for value in column[3:]]
        return [int(value) for value in column[3:]]

    return [
        (place, whole.rows, symbols.get(name, 0), *column[:3], *bits(column))
        for place, (tables, symbols) in enumerate(results)
        for name, whole in sorted(tables.items(), key=lambda item: [c.field_id for c in item[1].columns[:1]])
        for column in whole.columns
    ]


@given(st.lists(_result(), max_size=4), st.sets(st.integers(FIRST_FIELD_ID, 300)))
def test_every_column_of_every_result_comes_back(results: Any, wanted: set[int]) -> None:
    # Each field id is of one table.
    results = [
        ({n: w for n, w in tables.items() if not any(_shares(w, v) for m, v in tables.items() if m < n)}, symbols)
        for tables, symbols in results
    ]
    packed = [packing.packed(tables, symbols) for tables, symbols in results]
    blobs, lengths = b"".join(packed), list(map(len, packed))
    found = list(zip(*map(np.ndarray.tolist, stats.read(blobs, lengths)), strict=True))
    assert found == _expected(results)
    some = list(zip(*map(np.ndarray.tolist, stats.read(blobs, lengths, wanted)), strict=True))
    assert some == [row for row in found if row[3] in wanted]


def _shares(one: Whole, other: Whole) -> bool:
    return bool({c.field_id for c in one.columns} & {c.field_id for c in other.columns})


def test_rows_of_the_older_forms_stand_among_those_of_the_present_one() -> None:
    new, names = _packed(["prices", "whole"])
    first = first_form(5, (16, 1, 0.5, 1.5, 2.25), (17, 5, math.nan, math.nan, math.nan))
    second = second_form(7, (17, 0, 2, -150, 250, 100), (16, 2, sums.DOUBLES, -0.0, 1e300, math.inf))
    one = packing_older.together({"b": first, "a": second}, {"a": b"\3 symbols"})
    two = packing_older.together({"t": first_form(9), "u": second_form(4)}, {})
    found = _unpacked([one, new, b"", two, new], names)
    assert found[:4] == [
        ("0", "whole", 7, 0, -1.5, 2.5, 1.0, 3),
        ("0", "prices", 7, 2, -0.0, 1e300, math.inf, 3),
        ("0", "prices", 5, 1, 0.5, 1.5, 2.25, None),
        ("0", "whole", 5, 5, None, None, None, None),
    ]
    assert [row[:2] for row in found[4:]] == [(task, name) for task in ("1", "4") for name in ("prices", "whole")]
    assert found[4][2:] == found[6][2:] == (3, 0, -0.03, 10.5, 10.54, None)
    assert _unpacked([one], {17: "whole"}) == [found[0], found[3]]


_numbers = st.one_of(
    st.none(),
    st.integers(-(2**53), 2**53),
    st.integers(-9, 9),
    st.decimals(-1000, 1000, places=3).map(float),
    st.sampled_from([-0.0, 0.0, 0.1, math.nan, math.inf, 2.0**53, 1e16, 1e-7, 86259.33378319997]),
    st.floats(),
)


@given(st.lists(st.lists(_numbers, min_size=1, max_size=6), min_size=2, max_size=3), st.booleans())
def test_rows_among_those_of_others_amount_to_what_they_did_alone(columns: list[list[Any]], decimals: bool) -> None:
    schema = MemorySchema()
    parts = []
    for values in columns:
        text = json.dumps({"t": [{"x": value} for value in values]}).encode()
        draft = read(text, "it", None)
        found = encode.encode(draft, schema, task_id="a", strategy="s", decimals=decimals, files=False)
        parts += [part for part in found.parts if part.table == "t"]
    table = schema.table(json.dumps("t"), "t")
    counts = [part.rows for part in parts]
    together = merged([part.held.columns for part in parts], counts)
    first = 0
    for part in parts:
        alone = packing.packed(stats.of([(part.lake, part.held)]), {})
        rows = Rows("a", part.rows, [(item, array.slice(first, part.rows)) for item, array in together])
        again = stats.again([(table, rows)], decimals=decimals)
        names = {column.field_id: column.name for column in part.lake.shown}
        # Columns that the other results alone have say that all is null.
        told = [row for row in map(repr, _unpacked([again], names)) if f"{part.rows}, {part.rows}, None" not in row]
        assert told == [row for row in map(repr, _unpacked([alone], names)) if "None, None, None, None" not in row]
        first += part.rows
