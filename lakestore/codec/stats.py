"""Statistics of one result's numbers: made of its columns at a save, packed as one row a lake table.

A packed row is a run of variable-length integers (LEB128): the number of rows, then for each column of numbers its
field id, its nulls, a scale, and smallest value, largest value and sum as zigzag integers over ten to the scale. Where
these would not be exact the scale is 255 and the three are doubles, their bytes reversed so that round ones are short.
A zero may stand at the end: no packed row has the length of one in the older form, the number of rows (uint64), then 32
bytes a column: field id, nulls (uint32) and three doubles. NaN counts as SQL counts it: as the largest.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakestore import parquet, varint
from lakestore.codec import pack, sums
from lakestore.model import LakeTable, TableStats

_HEAD: Final = np.dtype("<u8")
_ENTRY: Final = np.dtype([("field_id", "<u4"), ("nulls", "<u4"), ("min", "<f8"), ("max", "<f8"), ("sum", "<f8")])
_PARTS: Final = 6

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
        "symbols": pa.int64(),
    }
)
"""Columns of `run_stats` in SQL."""


Part = tuple[LakeTable, pack.Rows]
"""Rows that a result has in a lake table; of one table there may be several, of several strategies."""


def packed(parts: Iterable[Part]) -> dict[str, TableStats]:
    """A packed row for each lake table of a result; what several strategies have of it counts together."""
    return {table.name: TableStats(_packed(*merged(rows, numbers(table)))) for table, rows in by_table(parts)}


def by_table(parts: Iterable[Part]) -> list[tuple[LakeTable, list[pack.Rows]]]:
    """The parts of each lake table of a result together."""
    tables: dict[str, tuple[LakeTable, list[pack.Rows]]] = {}
    for table, rows in parts:
        tables.setdefault(table.name, (table, []))[1].append(rows)
    return list(tables.values())


def numbers(table: LakeTable) -> frozenset[int]:
    """The field ids of the columns of numbers at the top of a lake table."""
    return frozenset(column.field_id for column in table.columns if column.parent is None and column.type in _NUMBERS)


def merged(parts: Sequence[pack.Rows], wanted: Collection[int]) -> tuple[int, list[tuple[int, pa.Array]]]:
    """The number of rows of the parts together, and their columns of these field ids."""
    counts = [part.count for part in parts]
    held = [[pair for pair in part.columns if parquet.field_id(pair[0]) in wanted] for part in parts]
    return sum(counts), [(parquet.field_id(field), array) for field, array in pack.merged(held, counts)]


def _packed(rows: int, columns: Iterable[tuple[int, pa.Array]]) -> bytes:
    out = bytearray()
    varint.write(rows, out)
    for field_id, array in columns:
        varint.write(field_id, out)
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
    found = sums.of(valid, np.zeros(1, np.int64))
    three = (found.least[0], found.greatest[0], found.total[0])
    if found.scale == sums.DOUBLES:
        first, second, third = (int.from_bytes(struct.pack("<d", value), "big") for value in three)
    else:
        first, second, third = (varint.zigzag(int(value)) for value in three)
    return found.scale, first, second, third


def unpacked(
    rows: Mapping[str, Sequence[Any]],
    blobs: bytes,
    lengths: Sequence[int],
    symbols: Sequence[int | None],
    names: Mapping[int, str],
) -> pa.Table:
    """The rows of `run_stats`.

    Args:
        rows: `task_id`, `strategy`, `run_date` and `table_name` of each packed row.
        blobs: the packed rows behind each other, `lengths` their bytes.
        symbols: how many symbols each is known by, None where that is not kept.
        names: the columns' names by field id; others are left out.
    """
    if not lengths:
        return SCHEMA.empty_table()
    places, heads, found = entries(blobs, lengths)
    known = np.isin(found["field_id"], list(names))
    heads, found, place = heads[known], found[known], pa.array(places[known])
    empty = heads == found["nulls"]
    columns = {
        **{name: pa.array(values, SCHEMA.field(name).type).take(place) for name, values in rows.items()},
        "column_name": named(found["field_id"], names),
        "rows": pa.array(heads),
        "nulls": pa.array(found["nulls"].astype(np.int64)),
        **{name: pa.array(found[name], pa.float64(), mask=empty) for name in ("min", "max", "sum")},
        "symbols": pa.array(symbols, pa.int64()).take(place),
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def named(field_ids: npt.NDArray[Any], names: Mapping[int, str]) -> pa.Array:
    """The columns' names of these field ids."""
    ids, where = np.unique(field_ids, return_inverse=True)
    return pa.array([names[each] for each in ids.tolist()], pa.string()).take(pa.array(where))


_Entries = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[Any]]
"""Of each column of each packed row: the row it is of, that one's number of rows, and the entry itself."""


def entries(blobs: bytes, lengths: Sequence[int]) -> _Entries:
    """What packed rows of both forms say; their order is that of the packed rows.

    Args:
        lengths: of the packed rows; one of length 0 says nothing.
    """
    sizes = np.asarray(lengths, np.int64)
    raw = np.frombuffer(blobs, np.uint8)
    older = sizes % _ENTRY.itemsize == _HEAD.itemsize
    newer = ~older & (sizes > 0)
    is_older = np.repeat(older, sizes)
    of_old, heads_of_old, old = _unpacked_old(raw[is_older], sizes[older])
    of_new, heads_of_new, new = _unpacked(raw[~is_older], sizes[newer])
    places = np.concatenate([np.flatnonzero(older)[of_old], np.flatnonzero(newer)[of_new]])
    order = np.argsort(places, kind="stable")
    return places[order], np.concatenate([heads_of_old, heads_of_new])[order], np.concatenate([old, new])[order]


def _unpacked(raw: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64]) -> _Entries:
    of, heads, parts = parts_of(raw, sizes)
    entries = np.empty(len(of), _ENTRY)
    entries["field_id"], entries["nulls"] = parts[:, 0], parts[:, 1]
    are_doubles = parts[:, 2] == sums.DOUBLES
    scales = scales_of(parts)
    for name, part in zip(("min", "max", "sum"), parts.T[3:], strict=True):
        entries[name] = np.where(are_doubles, doubles_of(part), integers_of(part) / scales)
    return of, heads, entries


Parts = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint64]]
"""Of each column of each packed row of the present form: the row it is of, that one's number of rows, and its six
numbers as they stand."""


def parts_of(raw: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64]) -> Parts:
    """What stands in packed rows of these sizes behind each other."""
    if not len(sizes):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, _PARTS), np.uint64)
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
    return of, numbers[firsts][of].astype(np.int64), parts


def integers_of(part: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """The integers that stand as zigzags."""
    whole: npt.NDArray[np.int64] = (part >> np.uint64(1)).astype(np.int64) ^ -(part & np.uint64(1)).astype(np.int64)
    return whole


def doubles_of(part: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """The doubles that stand with their bytes reversed."""
    return part.astype(">u8").view("<f8")


def scales_of(parts: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """What the integers of each column are divided by."""
    scales: npt.NDArray[np.float64] = 10.0 ** np.where(parts[:, 2] == sums.DOUBLES, 0, parts[:, 2]).astype(np.float64)
    return scales


def _unpacked_old(raw: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64]) -> _Entries:
    is_head = np.zeros(len(raw), bool)
    starts = np.cumsum(sizes) - sizes
    is_head[(starts[:, None] + np.arange(_HEAD.itemsize)).ravel()] = True
    of = np.repeat(np.arange(len(sizes)), (sizes - _HEAD.itemsize) // _ENTRY.itemsize)
    return of, raw[is_head].view(_HEAD).astype(np.int64)[of], raw[~is_head].view(_ENTRY)
