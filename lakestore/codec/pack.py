"""Rows of one or several results → the bytes of a data file.

Each result brings its columns in the physical form that suits its own values: DECIMAL of one scale, of another,
integers, doubles. Together they take the narrowest form that holds all of them exactly; `fit.read` gives each result
back what its envelope says, whatever the form.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakestore import parquet
from lakestore.background import Background
from lakestore.codec import numbers
from lakestore.codec.fit import decimal_array, doubles_of, members_of
from lakestore.codec.order import MIN_ROWS, Order, groups, order_by, proposed, rising
from lakestore.model import POS_FIELD, LakeTable
from lakestore.parquet import encodings, ties
from lakestore.parquet.encodings import Choice

Columns = Sequence[tuple[pa.Field, pa.Array]]
"""Physical columns with field ids, all of one length."""

_ENTRY = 64
"""Bytes that another column takes in a footer, on the scale of a sample."""
_POS = "_pos"
_SHORT = 4_096
"""Rows below which a footer says of one result what a column `_pos` does: a column takes more, but has no base 85."""
_MICROS = "us"
_REUSED = 31
"""Files of one kind that are laid out as the last one was before there are trials again."""
_WORSE = 1.1
"""Times the bytes a row of the file that was tried, beyond which another of its kind is tried anew."""
_MOST = 512
"""Kinds of files whose layout is remembered."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one result in one lake table, in the document's order."""

    task_id: str
    count: int
    columns: Columns


@dataclass(slots=True)
class _Layout:
    """What trials found for one kind of file: the column whose equal texts stand together, and the encodings."""

    by: int | None
    choice: Choice
    bytes_a_row: float
    left: int = _REUSED


_LAYOUTS: dict[tuple[Any, ...], _Layout] = {}
"""By table, number of rows (its power of two), the columns to sort by and the physical columns."""


def data_file(
    results: Sequence[Rows], table: LakeTable, used: Iterable[int], *, versions: Sequence[UUID] = ()
) -> pa.Buffer:
    """The bytes of a data file: the rows of each result together, the results in the order given.

    Within a result rows of one symbol stand together where that is smaller; what leads back to their places is kept.

    Args:
        results: each with another task id.
        used: field ids of the lake table's columns that the footer is to describe.
        versions: the version of each result, for a file that bears no save's name; it is written to be read in parts.
    """
    return begun(results, table, used, versions=versions).result()


def begun(
    results: Sequence[Rows], table: LakeTable, used: Iterable[int], *, versions: Sequence[UUID] = ()
) -> Background[pa.Buffer]:
    """As `data_file`; of a large file that is laid out as one before it, threads make the pages meanwhile."""
    counts = [rows.count for rows in results]
    columns: Columns = [
        parquet.task_ids([rows.task_id for rows in results], counts),
        *merged([rows.columns for rows in results], counts),
    ]
    described = set(used)
    own = [column for column in table.columns if column.field_id in described]

    def moved(by: int | None) -> tuple[pa.Table, bytes]:
        columns_, told = _moved(columns, by, counts, places)
        in_footer = b"".join(told) if _is_in_footer(counts) else b""
        if told and not in_footer:
            columns_ = [*columns_, _told_in_rows(told, counts)]
        schema = pa.schema([field for field, _ in columns_])
        return pa.Table.from_arrays([array for _, array in columns_], schema=schema), in_footer

    def written(made: pa.Table, told: bytes, choice: Choice, by: int | None) -> Background[pa.Buffer]:
        cut = parquet.row_groups(counts) if versions else ()
        named = list(zip(versions, counts, strict=True)) if versions else ()
        key = None if table.key == json.dumps(table.name) else table.key
        rising = None if by is None else order
        return parquet.begun(made, own, key=key, choice=choice, versions=named, groups=cut, order=rising, told=told)

    rows = sum(counts)
    found = rising(columns, counts) if rows >= MIN_ROWS else None
    places = found and found[1]
    order = None if found is None else parquet.field_id(columns[found[0]][0])
    placed = places is None or bool(places.any())
    kinds = ((item.name, array.type) for item, array in columns)
    alike = (table.key, len(counts) > 1, bool(versions), rows.bit_length(), tuple(groups(columns)), order, placed)
    like = (*alike, *kinds)
    known = _LAYOUTS.get(like)
    if known is not None and known.left > 0:
        known.left -= 1
        first = written(*moved(known.by), known.choice, known.by)
        most = _WORSE * known.bytes_a_row * rows
    else:
        first = None

    def finished() -> pa.Buffer:
        if first is not None:
            data = first.result()
            if len(data) <= most:
                return data
        # What is to last for years is worth trials with a whole row group.
        by, choice = _chosen(columns, counts, places, parquet.ROW_GROUP if versions else encodings.SAMPLE)
        made, told = moved(by)
        if rows > encodings.SAMPLE and not versions:
            choice = encodings.with_levels(choice, made)
        data = written(made, told, choice, by).result()
        if rows:
            if len(_LAYOUTS) >= _MOST:
                _LAYOUTS.clear()
            _LAYOUTS[like] = _Layout(by, choice, len(data) / rows)
        return data

    return Background(finished, apart=False)


def _chosen(columns: Columns, counts: Sequence[int], places: Order | None, sample: int) -> tuple[int | None, Choice]:
    """The column by which the rows take less, None where they stay as they are, and their encodings: by trial."""
    choice = encodings.choose(columns, sample)
    by = proposed(columns, counts, places)
    if by is not None:
        moved, told = _moved(columns, by, counts, places)
        other = encodings.choose(moved, sample)
        # They stand in few rows, of which a sample has all or none.
        told_bytes = sum(map(len, told)) * min(1.0, sample / sum(counts))
        if other.size + told_bytes + _ENTRY < choice.size:
            column = {_POS: "PLAIN"} if told and not _is_in_footer(counts) else {}
            return by, replace(other, encodings={**other.encodings, **column})
    return None, choice


def _moved(
    columns: Columns, by: int | None, counts: Sequence[int], places: Order | None
) -> tuple[Columns, Sequence[bytes]]:
    """The columns in the order by one of them; of each result, what tells apart rows of one value of the rising one."""
    if by is None:
        return columns, ()
    order = order_by(columns, by, counts, forwards=places is not None)
    if places is None:
        return parquet.reordered(columns, order, pa.array(_places(order, counts))), ()
    moved = parquet.reordered(columns, order, None)
    if not places.any():
        return moved, ()
    # Rows of one value in one result have the first of them in common.
    values, own = (np.arange(len(order)) - places)[order], places[order]
    ends = np.cumsum(counts).tolist()
    return moved, [
        ties.packed(values[end - count : end], own[end - count : end]) for end, count in zip(ends, counts, strict=True)
    ]


def _is_in_footer(counts: Sequence[int]) -> bool:
    """Whether the footer tells apart rows of one value."""
    return len(counts) == 1 and counts[0] < _SHORT


def _told_in_rows(told: Sequence[bytes], counts: Sequence[int]) -> tuple[pa.Field, pa.Array]:
    """The own column that tells them apart in the first row of each result."""
    others = pa.nulls(max(counts), pa.binary())
    rows: list[pa.Array] = []
    for own, count in zip(told, counts, strict=True):
        if count:
            rows += [pa.array([own or None], pa.binary()), others.slice(1, count - 1)]
    return parquet.field(_POS, pa.binary(), POS_FIELD), pa.concat_arrays(rows)


def merged(parts: Sequence[Columns], counts: Sequence[int]) -> list[tuple[pa.Field, pa.Array]]:
    """The columns of several results below each other, found by field id; null where a result has none of it."""
    if len(parts) == 1:
        return list(parts[0])
    fields: dict[int, pa.Field] = {}
    arrays: dict[int, list[pa.Array | None]] = {}
    for place, columns in enumerate(parts):
        for item, array in columns:
            own = parquet.field_id(item)
            fields.setdefault(own, item)
            arrays.setdefault(own, [None] * len(parts))[place] = array
    made = []
    for own, item in fields.items():
        array = _joined(arrays[own], counts)
        made.append((parquet.field(item.name, array.type, own), array))
    return made


def _places(order: npt.NDArray[np.int64], counts: Sequence[int]) -> npt.NDArray[np.int64]:
    """Each moved row's place within its result."""
    starts: npt.NDArray[np.int64] = np.repeat(np.cumsum(counts) - np.asarray(counts), counts)
    return order - starts


def _joined(arrays: Sequence[pa.Array | None], counts: Sequence[int]) -> pa.Array:
    kind = _common([array for array in arrays if array is not None])
    return pa.concat_arrays(
        [
            pa.nulls(count, kind) if array is None else _as(array, kind)
            for array, count in zip(arrays, counts, strict=True)
        ]
    )


def _common(arrays: Sequence[pa.Array]) -> pa.DataType:
    """The narrowest physical type that holds the values of all arrays of one column exactly."""
    first = arrays[0].type
    if pa.types.is_struct(first):
        members: dict[int, list[pa.Array]] = {}
        names: dict[int, str] = {}
        for array in arrays:
            for item in array.type:
                names.setdefault(parquet.field_id(item), item.name)
            for own, member in members_of(array).items():
                members.setdefault(own, []).append(member)
        return pa.struct([parquet.field(names[own], _common(found), own) for own, found in members.items()])
    if pa.types.is_list(first):
        inner = first.value_field
        return pa.list_(parquet.field(inner.name, _common([_elements(a) for a in arrays]), parquet.field_id(inner)))
    kinds = {array.type for array in arrays}
    if len(kinds) == 1 and not pa.types.is_decimal(first):
        return first
    if pa.types.is_timestamp(first):
        return pa.timestamp(_MICROS, first.tz)
    return _number(arrays)


def _number(arrays: Sequence[pa.Array]) -> pa.DataType:
    """DECIMAL where every value stays below 2**53 at the finest scale, else DOUBLE."""
    if any(pa.types.is_floating(array.type) for array in arrays):
        return pa.float64()
    scale = max(_scale(array.type) for array in arrays)
    largest = max(_magnitude(array) * 10 ** (scale - _scale(array.type)) for array in arrays)
    if largest >= numbers.EXACT:
        return pa.float64()
    return pa.decimal128(9 if scale <= 9 and largest < 10**9 else 18, scale)


def _scale(kind: pa.DataType) -> int:
    return kind.scale if pa.types.is_decimal(kind) else 0


def _magnitude(array: pa.Array) -> int:
    valid = array.drop_null()
    return int(np.abs(encodings.numbers_of(valid)).max()) if len(valid) else 0


def _as(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """An array in a type that holds its values exactly."""
    if pa.types.is_struct(kind):
        members = members_of(array)
        children = []
        for item in kind:
            member = members.get(parquet.field_id(item))
            children.append(pa.nulls(len(array), item.type) if member is None else _as(member, item.type))
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=mask)
    if pa.types.is_list(kind):
        offsets = array.offsets.to_numpy()
        mask = array.is_null() if array.null_count else None
        elements = _as(_elements(array), kind.value_type)
        return pa.ListArray.from_arrays(pa.array(offsets - offsets[0]), elements, type=kind, mask=mask)
    if array.type == kind:
        return array
    if pa.types.is_floating(kind):
        return doubles_of(array)
    if pa.types.is_decimal(kind):
        whole = encodings.numbers_of(array) * 10 ** (kind.scale - _scale(array.type))
        return decimal_array(whole, kind, array)
    return array.cast(kind)


def _elements(array: pa.ListArray) -> pa.Array:
    offsets = array.offsets
    start = offsets[0].as_py()
    return array.values.slice(start, offsets[-1].as_py() - start)
