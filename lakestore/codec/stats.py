"""Statistics of one result's numbers: made of its columns at a save, packed as one row a lake table.

A packed row is the number of rows (uint64), then 32 bytes for each column of numbers, all little-endian: field id and
number of nulls (uint32), smallest and largest value, sum (float64). NaN counts as SQL counts it: as the largest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakestore import parquet
from lakestore.codec import pack
from lakestore.codec.numbers import EXACT
from lakestore.model import LakeTable

_HEAD: Final = np.dtype("<u8")
_ENTRY: Final = np.dtype([("field_id", "<u4"), ("nulls", "<u4"), ("min", "<f8"), ("max", "<f8"), ("sum", "<f8")])
_SPLIT: Final = 26
"""Sums are taken of the upper and lower bits apart: 2**36 values of 53 bits cannot overflow so."""

SCHEMA: Final = pa.schema(
    {
        "task_id": pa.string(),
        "strategy": pa.string(),
        "run_date": pa.date32(),
        "table_name": pa.string(),
        "column_name": pa.string(),
        "rows": pa.int64(),
        "nulls": pa.int64(),
        "min": pa.float64(),
        "max": pa.float64(),
        "sum": pa.float64(),
    }
)
"""Columns of `run_stats` in SQL."""


def packed(parts: Iterable[tuple[LakeTable, pack.Rows]]) -> dict[str, bytes]:
    """A packed row for each lake table of a result; what several strategies have of it counts together."""
    tables: dict[str, tuple[LakeTable, list[pack.Rows]]] = {}
    for table, rows in parts:
        tables.setdefault(table.name, (table, []))[1].append(rows)
    return {name: _packed(table, rows) for name, (table, rows) in tables.items()}


def _packed(table: LakeTable, parts: Sequence[pack.Rows]) -> bytes:
    wanted = {column.field_id for column in table.columns if column.parent is None and column.type in _NUMBERS}
    counts = [part.count for part in parts]
    held = [[pair for pair in part.columns if parquet.field_id(pair[0]) in wanted] for part in parts]
    entries = [(parquet.field_id(field), *_of(array)) for field, array in pack.merged(held, counts)]
    return np.array([sum(counts)], _HEAD).tobytes() + np.array(entries, _ENTRY).tobytes()


_NUMBERS: Final = frozenset({"BIGINT", "DOUBLE"})


def _of(array: pa.Array) -> tuple[int, float, float, float]:
    """Nulls, smallest and largest value and sum of a column; NaN for what no value has."""
    valid = array.drop_null()
    if not len(valid):
        return len(array), math.nan, math.nan, math.nan
    if pa.types.is_floating(array.type):
        return array.null_count, *_of_doubles(valid.to_numpy(zero_copy_only=False))
    whole = parquet.numbers_of(valid)
    scale = 10**array.type.scale if pa.types.is_decimal(array.type) else 1
    total = (int((whole >> _SPLIT).sum()) << _SPLIT) + int((whole & (1 << _SPLIT) - 1).sum())
    low, high = (int(end) / scale for end in (whole.min(), whole.max()))
    if max(-low, high) >= EXACT:
        # The nearest double may lie within: bounds are to hold.
        low, high = math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
    return array.null_count, low, high, total / scale


def _of_doubles(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    smallest = float(np.fmin.reduce(values))
    try:
        total = math.fsum(values.tolist())
    except (OverflowError, ValueError):
        # Beyond all doubles, or infinities of both signs.
        with np.errstate(all="ignore"):
            total = float(values.sum())
    return smallest, float(values.max()), total


def unpacked(
    rows: Mapping[str, Sequence[Any]], blobs: bytes, lengths: Sequence[int], names: Mapping[int, str]
) -> pa.Table:
    """The rows of `run_stats`.

    Args:
        rows: `task_id`, `strategy`, `run_date` and `table_name` of each packed row.
        blobs: the packed rows behind each other, `lengths` their bytes.
        names: the columns' names by field id.
    """
    if not lengths:
        return SCHEMA.empty_table()
    sizes = np.asarray(lengths, np.int64)
    counts = (sizes - _HEAD.itemsize) // _ENTRY.itemsize
    raw = np.frombuffer(blobs, np.uint8)
    is_head = np.zeros(len(raw), bool)
    starts = np.cumsum(sizes) - sizes
    is_head[(starts[:, None] + np.arange(_HEAD.itemsize)).ravel()] = True
    heads = raw[is_head].view(_HEAD).astype(np.int64)
    entries = raw[~is_head].view(_ENTRY)
    place = pa.array(np.repeat(np.arange(len(sizes)), counts))
    empty = heads[place.to_numpy()] == entries["nulls"]
    ids, where = np.unique(entries["field_id"], return_inverse=True)
    columns = {
        **{name: pa.array(values, SCHEMA.field(name).type).take(place) for name, values in rows.items()},
        "column_name": pa.array([names.get(int(each)) for each in ids], pa.string()).take(pa.array(where)),
        "rows": pa.array(heads).take(place),
        "nulls": pa.array(entries["nulls"].astype(np.int64)),
        **{name: pa.array(entries[name], pa.float64(), mask=empty) for name in ("min", "max", "sum")},
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)
