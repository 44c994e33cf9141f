"""Statistics of one result's numbers: made of its columns at a save, packed as one row (`packing`). NaN counts as SQL
counts it: as the largest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakestore import parquet
from lakestore.codec import pack, ulps
from lakestore.codec.fit import doubles_of, own_form
from lakestore.codec.statistics import bits, packing, packing_older, sums
from lakestore.codec.statistics.packing import Amounts, Column, Whole
from lakestore.model import LakeTable

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
Names = Mapping[int, tuple[str, str]]
"""Of columns, by field id, the names of the lake table and of the column."""


def of(parts: Iterable[Part]) -> dict[str, Whole]:
    """What the numbers of each lake table of a result amount to; what several strategies have of it counts together."""
    found = {}
    for table, rows in by_table(parts):
        count, columns = merged(rows, numbers(table))
        found[table.name] = Whole(count, [_column(own, array) for own, array in columns])
    return found


def again(parts: Iterable[Part], *, decimals: bool) -> bytes:
    """What was packed when a result was saved, made of its rows as files hold them now.

    Results that share a file share the forms of its columns; sums depend on whether numbers are decimals.

    Args:
        decimals: whether the lake stores decimal numbers as such.
    """
    whole = of((table, _own_form(_joined(table, rows), decimals)) for table, rows in parts)
    return packing.packed(whole, {})


def _own_form(rows: pack.Rows, decimals: bool) -> pack.Rows:
    return replace(rows, columns=[(item, own_form(array, decimals)) for item, array in rows.columns])


def by_table(parts: Iterable[Part]) -> list[tuple[LakeTable, list[pack.Rows]]]:
    """The parts of each lake table of a result together."""
    tables: dict[str, tuple[LakeTable, list[pack.Rows]]] = {}
    for table, rows in parts:
        tables.setdefault(table.name, (table, []))[1].append(_joined(table, rows))
    return list(tables.values())


def _joined(table: LakeTable, rows: pack.Rows) -> pack.Rows:
    """The rows with the doubles that stand as decimals and units beside them."""
    units = table.units
    if not units:
        return rows
    held = {parquet.field_id(item): array for item, array in rows.columns}
    beside = {own: held[column.field_id] for own, column in units.items() if column.field_id in held}
    columns = [
        (item, ulps.doubles(doubles_of(array), beside[own]) if (own := parquet.field_id(item)) in beside else array)
        for item, array in rows.columns
    ]
    return replace(rows, columns=columns)


def numbers(table: LakeTable) -> frozenset[int]:
    """The field ids of the columns of numbers at the top of a lake table."""
    return frozenset(column.field_id for column in table.shown if column.type in _NUMBERS)


def merged(parts: Sequence[pack.Rows], wanted: Collection[int]) -> tuple[int, list[tuple[int, pa.Array]]]:
    """The number of rows of the parts together, and their columns of these field ids, by field id."""
    counts = [part.count for part in parts]
    held = [[pair for pair in part.columns if parquet.field_id(pair[0]) in wanted] for part in parts]
    columns = [(parquet.field_id(field), array) for field, array in pack.merged(held, counts)]
    return sum(counts), sorted(columns, key=lambda column: column[0])


_NUMBERS: Final = frozenset({"BIGINT", "DOUBLE"})


def _column(field_id: int, array: pa.Array) -> Column:
    """What a column amounts to; zeros for what no value has."""
    valid = array.drop_null()
    if not len(valid):
        return Column(field_id, array.null_count, 0, 0, 0, 0)
    found = sums.of(valid, np.zeros(1, np.int64))
    return Column(field_id, array.null_count, found.scale, found.least[0], found.greatest[0], found.total[0])


def unpacked(rows: Mapping[str, Sequence[Any]], blobs: bytes, lengths: Sequence[int], names: Names) -> pa.Table:
    """The rows of `run_stats`.

    Args:
        rows: `task_id`, `strategy` and `run_date` of each packed row.
        blobs: the packed rows behind each other, `lengths` their bytes.
        names: columns by field id; others are left out.
    """
    if not lengths:
        return SCHEMA.empty_table()
    found = read(blobs, lengths, names)
    place = pa.array(found.place)
    empty = found.rows == found.nulls
    table_name, column_name = named(found.field_id, names)
    columns = {
        **{name: pa.array(values, SCHEMA.field(name).type).take(place) for name, values in rows.items()},
        "table_name": table_name,
        "column_name": column_name,
        "rows": pa.array(found.rows),
        "nulls": pa.array(found.nulls),
        **{
            name: pa.array(values, pa.float64(), mask=empty)
            for name, values in zip(("min", "max", "sum"), found.doubles(), strict=True)
        },
        "symbols": pa.array(found.symbols, mask=found.symbols == 0),
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def named(field_ids: npt.NDArray[Any], names: Names) -> tuple[pa.Array, pa.Array]:
    """The names of these columns: of their tables, and their own."""
    ids, where = np.unique(field_ids, return_inverse=True)
    both = [names[each] for each in ids.tolist()]
    places = pa.array(where)
    table, column = (pa.array([each[part] for each in both], pa.string()).take(places) for part in (0, 1))
    return table, column


def read(blobs: bytes, lengths: Sequence[int], wanted: Collection[int] | None = None) -> Amounts:
    """What packed rows of every form say; their order is that of the packed rows.

    Args:
        lengths: of the packed rows; one of length 0 says nothing.
        wanted: the field ids that are asked for.
    """
    sizes = np.asarray(lengths, np.int64)
    starts = np.cumsum(sizes) - sizes
    padded = blobs + bytes(bits.PADDING)
    is_older = (np.frombuffer(padded, np.uint8)[starts] == 0) & (sizes > 0)
    newer = np.flatnonzero(~is_older & (sizes > 0))
    found = packing.unpacked(padded, starts[newer], wanted)
    found = found._replace(place=newer[found.place])
    if not is_older.any():
        return found
    older = np.flatnonzero(is_older)
    more = packing_older.unpacked(blobs, starts[older].tolist(), sizes[older].tolist())
    if wanted is not None:
        more = more.only(np.isin(more.field_id, list(wanted)))
    more = more._replace(place=older[more.place])
    both = Amounts(*(np.concatenate(pair) for pair in zip(found, more, strict=True)))
    return both.only(np.argsort(both.place, kind="stable"))
