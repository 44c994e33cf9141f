"""Packed statistics: what is unpacked is what was packed, in the present form and in the older one."""

from __future__ import annotations

import math
import struct

import numpy as np
import pyarrow as pa
import pytest

from lakestore import parquet
from lakestore.codec import fit, stats
from lakestore.codec.pack import Rows
from lakestore.model import Column, LakeTable

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
    return stats.packed([(table, Rows("a", 3, columns))])["t"].whole, {16 + i: n for i, n in enumerate(names)}


def _unpacked(packed: list[bytes], names: dict[int, str]) -> list[tuple[object, ...]]:
    rows = {name: ["x"] * len(packed) for name in ("task_id", "strategy", "table_name")} | {
        "run_date": [0] * len(packed)
    }
    rows["task_id"] = [str(place) for place in range(len(packed))]
    table = stats.unpacked(rows, b"".join(packed), list(map(len, packed)), [None] * len(packed), names)
    shown = ["task_id", "column_name", "rows", "nulls", "min", "max", "sum"]
    return [tuple(row[name] for name in shown) for row in table.to_pylist()]


def _older(rows: int, *entries: tuple[int, int, float, float, float]) -> bytes:
    return struct.pack("<Q", rows) + b"".join(struct.pack("<IIddd", *entry) for entry in entries)


@pytest.mark.parametrize("many", range(len(_COLUMNS) + 1))
def test_what_is_unpacked_was_packed(many: int) -> None:
    names = list(_COLUMNS)[:many]
    expected = {
        "prices": (3, 0, -0.03, 10.5, 10.54),
        "whole": (3, 1, float(-(2**53) + 1), 1.0, float(-(2**53) + 2)),
        "wide": (3, 0, -1.0, math.nextafter(2.0**62, math.inf), float(2**53 + 2**62 - 1)),
        "none": (3, 3, None, None, None),
    }
    found = {row[1]: row[2:] for row in _unpacked([_packed(names)[0]], _packed(names)[1])}
    assert found.keys() == set(names)
    if "long" in found:
        assert found.pop("long") == pytest.approx((3, 0, -0.0, math.nan, math.nan), nan_ok=True)
    assert found == {name: expected[name] for name in found}


def test_rows_of_the_older_form_stand_among_those_of_the_present_one() -> None:
    new, names = _packed(["prices", "whole"])
    old = _older(5, (16, 1, 0.5, 1.5, 2.25), (17, 5, math.nan, math.nan, math.nan))
    found = _unpacked([old, new, _older(9), new], names)
    assert [row[:2] for row in found] == [(task, name) for task in ("0", "1", "3") for name in ("prices", "whole")]
    assert found[:2] == [("0", "prices", 5, 1, 0.5, 1.5, 2.25), ("0", "whole", 5, 5, None, None, None)]
    assert found[2][2:] == found[4][2:] == (3, 0, -0.03, 10.5, 10.54)


def test_no_packed_row_has_a_length_of_the_older_form() -> None:
    # Field ids of every width make rows of every length.
    lengths = set()
    for shift in range(32):
        column = Column(1 << shift % 28, None, '"n"', "n", "BIGINT")
        values = pa.array([2 ** min(shift, 52)])
        rows = Rows("a", 1, [(parquet.field("n", pa.int64(), column.field_id), values)] * (1 + shift % 5))
        packed = stats.packed([(LakeTable("t", '"t"', (column,)), rows)])["t"].whole
        lengths.add(len(packed) % 32)
        assert len(packed) % 32 != 8
    assert len(lengths) > 8
