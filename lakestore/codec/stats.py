"""Statistics of one result's numbers: made of its columns at a save, packed as one row a lake table.

A packed row is a run of variable-length integers (LEB128): the number of rows, then for each column of numbers its
field id, its nulls, a scale, and smallest value, largest value and sum as zigzag integers over ten to the scale. Where
these would not be exact the scale is 255 and the three are doubles, their bytes reversed so that round ones are short.
A zero may stand at the end: no packed row has the length of one in the older form, the number of rows (uint64), then 32
bytes a column: field id, nulls (uint32) and three doubles. NaN counts as SQL counts it: as the largest.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakestore import encodings, parquet, varint
from lakestore.codec import pack
from lakestore.codec.numbers import EXACT
from lakestore.model import LakeTable

_HEAD: Final = np.dtype("<u8")
_ENTRY: Final = np.dtype([("field_id", "<u4"), ("nulls", "<u4"), ("min", "<f8"), ("max", "<f8"), ("sum", "<f8")])
_DOUBLES: Final = 255
_PARTS: Final = 6
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
    out = bytearray()
    varint.write(sum(counts), out)
    for field, array in pack.merged(held, counts):
        varint.write(parquet.field_id(field), out)
        varint.write(array.null_count, out)
        for number in _of(array):
            varint.write(number, out)
    return bytes(out) + (b"\0" if len(out) % _ENTRY.itemsize == _HEAD.itemsize else b"")


_NUMBERS: Final = frozenset({"BIGINT", "DOUBLE"})


def _of(array: pa.Array) -> tuple[int, int, int, int]:
    """Scale, smallest and largest value and sum of a column as they are packed; zeros for what no value has."""
    valid = array.drop_null()
    if not len(valid):
        return 0, 0, 0, 0
    if pa.types.is_floating(array.type):
        return _as_doubles(_of_doubles(valid.to_numpy(zero_copy_only=False)))
    whole = encodings.numbers_of(valid)
    scale = array.type.scale if pa.types.is_decimal(array.type) else 0
    total = (int((whole >> _SPLIT).sum()) << _SPLIT) + int((whole & (1 << _SPLIT) - 1).sum())
    least, most = int(whole.min()), int(whole.max())
    if max(-least, most, abs(total)) < EXACT:
        return scale, varint.zigzag(least), varint.zigzag(most), varint.zigzag(total)
    low, high = least / 10**scale, most / 10**scale
    if max(-low, high) >= EXACT:
        # The nearest double may lie within: bounds are to hold.
        low, high = math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
    return _as_doubles((low, high, total / 10**scale))


def _as_doubles(values: Sequence[float]) -> tuple[int, int, int, int]:
    first, second, third = (int.from_bytes(struct.pack("<d", value), "big") for value in values)
    return _DOUBLES, first, second, third


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
    raw = np.frombuffer(blobs, np.uint8)
    older = sizes % _ENTRY.itemsize == _HEAD.itemsize
    is_older = np.repeat(older, sizes)
    of_old, heads_of_old, old = _unpacked_old(raw[is_older], sizes[older])
    of_new, heads_of_new, new = _unpacked(raw[~is_older], sizes[~older])
    heads = np.concatenate([heads_of_old, heads_of_new])
    entries = np.concatenate([old, new])
    places = np.concatenate([np.flatnonzero(older)[of_old], np.flatnonzero(~older)[of_new]])
    order = np.argsort(places, kind="stable")
    heads, entries, place = heads[order], entries[order], pa.array(places[order])
    empty = heads == entries["nulls"]
    ids, where = np.unique(entries["field_id"], return_inverse=True)
    columns = {
        **{name: pa.array(values, SCHEMA.field(name).type).take(place) for name, values in rows.items()},
        "column_name": pa.array([names.get(int(each)) for each in ids], pa.string()).take(pa.array(where)),
        "rows": pa.array(heads),
        "nulls": pa.array(entries["nulls"].astype(np.int64)),
        **{name: pa.array(entries[name], pa.float64(), mask=empty) for name in ("min", "max", "sum")},
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


_Entries = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[Any]]
"""Of each column of each packed row: the row it is of, that one's number of rows, and the entry itself."""


def _unpacked(raw: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64]) -> _Entries:
    if not len(sizes):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, _ENTRY)
    last = raw < 128
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    shifts = 7 * (np.arange(len(raw)) - np.repeat(starts, ends - starts + 1))
    numbers = np.add.reduceat((raw & 127).astype(np.uint64) << shifts.astype(np.uint64), starts)
    # How many numbers each packed row has: the first is its number of rows, a zero may be left over.
    many = np.add.reduceat(last.astype(np.int64), np.cumsum(sizes) - sizes)
    firsts = np.cumsum(many) - many
    columns = (many - 1) // _PARTS
    of = np.repeat(np.arange(len(sizes)), columns)
    within = np.arange(len(of)) - np.repeat(np.cumsum(columns) - columns, columns)
    parts = numbers[(firsts[of] + 1 + _PARTS * within)[:, None] + np.arange(_PARTS)]
    entries = np.empty(len(of), _ENTRY)
    entries["field_id"], entries["nulls"] = parts[:, 0], parts[:, 1]
    are_doubles = parts[:, 2] == _DOUBLES
    scales = 10.0 ** np.where(are_doubles, 0, parts[:, 2]).astype(np.float64)
    for name, part in zip(("min", "max", "sum"), parts.T[3:], strict=True):
        whole = (part >> np.uint64(1)).astype(np.int64) ^ -(part & np.uint64(1)).astype(np.int64)
        doubles = part.astype(">u8").view("<f8")
        entries[name] = np.where(are_doubles, doubles, whole / scales)
    return of, numbers[firsts][of].astype(np.int64), entries


def _unpacked_old(raw: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64]) -> _Entries:
    is_head = np.zeros(len(raw), bool)
    starts = np.cumsum(sizes) - sizes
    is_head[(starts[:, None] + np.arange(_HEAD.itemsize)).ravel()] = True
    of = np.repeat(np.arange(len(sizes)), (sizes - _HEAD.itemsize) // _ENTRY.itemsize)
    return of, raw[is_head].view(_HEAD).astype(np.int64)[of], raw[~is_head].view(_ENTRY)
