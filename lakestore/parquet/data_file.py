"""Arrow ⇄ Parquet bytes: field ids, an encoding for each column, small footers.

Columns are found by field id, never by name. What a footer says of the columns (`lakestore` in its key-value
metadata) is enough to make the catalog anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lakestore.background import Background
from lakestore.errors import CorruptFileError
from lakestore.model import POS_FIELD, TASK_ID_FIELD, Column
from lakestore.parquet import key_values, ties
from lakestore.parquet.encodings import (
    MOST,
    WRITTEN,
    Choice,
    choose,
    leaves,
    levels_of,
    numbers_of,
    options_of,
    pages,
    thorough,
)
from lakestore.parquet.footer import Repacked, trimmed
from lakestore.parquet.gather import divided, in_order, inverse, one, taken
from lakestore.parquet.integers import as_integers
from lakestore.parquet.key_values import field_id
from lakestore.parquet.seal import sealed

ROW_GROUP = 122_880
"""Rows of a row group: what DuckDB scans as one."""
_MANY = 256
"""Rows from which a thread makes pages."""


def field(name: str, kind: pa.DataType, field_id: int) -> pa.Field:
    """An Arrow field that carries a Parquet field id."""
    return pa.field(name, kind, metadata={b"PARQUET:field_id": str(field_id).encode()})


def task_ids(names: Sequence[str], counts: Sequence[int]) -> tuple[pa.Field, pa.Array]:
    """The own column that says whose each row is; each text once, however many rows."""
    small = np.int8 if len(names) < 128 else np.int32
    indices = pa.array(np.repeat(np.arange(len(names), dtype=small), counts))
    kind = pa.dictionary(indices.type, pa.string())
    return field("task_id", kind, TASK_ID_FIELD), pa.DictionaryArray.from_arrays(indices, list(names))


def reordered(
    columns: Sequence[tuple[pa.Field, pa.Array]], order: Any, places: pa.Array | None
) -> list[tuple[pa.Field, pa.Array]]:
    """Columns in another order of rows, with the own column `_pos`, if any, that leads back.

    Args:
        order: each row once; it is not checked.
    """
    rows = pa.array(order)
    moved = [(item, taken(array, rows)) for item, array in columns]
    return moved if places is None else [*moved, (field("_pos", places.type, POS_FIELD), places)]


def begun(
    table: pa.Table,
    columns: Sequence[Column] = (),
    *,
    key: str | None = "",
    choice: Choice | None = None,
    versions: Sequence[tuple[UUID, int]] = (),
    groups: Sequence[int] = (),
    order: int | None = None,
    told: bytes = b"",
) -> Background[pa.Buffer]:
    """A data file's bytes, `table` with the encodings that fit its columns; of a large one, threads make the pages.

    Args:
        table: columns with field ids.
        columns: the lake table's columns that stand in it, for the footer.
        key: the document key of the lake table, for the footer; None: its name; nothing: the footer says nothing.
        choice: the encodings, and the levels of zstd, where they were chosen already.
        versions: the versions of results whose rows these are, each with the number of its rows, for the footer.
        groups: the rows of each row group, for a file that is to be read in parts: its pages have checksums.
        order: field id of the column that goes up in each document, where the file has another order of rows.
        told: what `ties` tells apart rows of one value by, in a file of one result without `_pos`.
    """
    pairs = [(item, one(column)) for item, column in zip(table.schema, table.columns, strict=True)]
    encodings, rows = (choice or choose(pairs)).encodings, table.num_rows
    levels = (choice and choice.levels) or levels_of(encodings, MOST if groups else thorough(rows), rows)
    again = {
        path: _again(item.name, array, path, encodings[path], levels[path])
        for item, array in pairs
        for path, _ in leaves(item.name, array)
        if encodings.get(path) in WRITTEN
    }
    options = options_of(encodings, levels) | {"write_page_checksum": bool(groups)}
    statistics = _has_several(table)
    table = _required(table)
    if len(groups) > 1:
        # A dictionary given would be written whole in each row group.
        table = _plain_task_ids(table)
    texts = {key_values.FOOTER_KEY: key_values.of_columns(table.schema, columns, key, order, told)} if key != "" else {}
    if versions or groups:
        texts[key_values.VERSIONS_KEY] = key_values.of_versions(versions)
    apart = _MANY <= rows <= ROW_GROUP and not groups
    # Packed here: of two threads at numpy's short calls each waits for Python's lock.
    packed = {path: column(0, rows) for path, column in again.items()} if apart else {}
    dense = [packed[item.name] for item, array in pairs if item.name in packed and not array.null_count]

    def made() -> pa.Buffer:
        written = _written(table, options, texts, groups)
        for column in dense:
            # Whoever trims the file finds it compressed, whatever encoding it asks for.
            column(0, 0, rows, b"")
        return written

    file = Background(made, apart=apart)
    return Background(lambda: sealed(trimmed(file.result(), statistics=statistics, repacked=again)), apart=False)


def to_buffer(table: pa.Table, *, choice: Choice | None = None, groups: Sequence[int] = ()) -> pa.Buffer:
    """The bytes of a file whose footer says nothing of its columns; see `begun`."""
    return begun(table, choice=choice, groups=groups).result()


def _written(
    table: pa.Table, options: Mapping[str, Any], texts: Mapping[bytes, bytes], groups: Sequence[int]
) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        for key, value in texts.items():
            writer.add_key_value_metadata({key: value})
        first = 0
        for rows in groups or [table.num_rows]:
            writer.write_table(table.slice(first, rows), row_group_size=max(rows, 1) if groups else ROW_GROUP)
            first += rows
    return sink.getvalue()


def _again(name: str, array: pa.Array, path: str, encoding: str, level: int) -> Repacked:
    """The pages of a leaf's row groups in whole bytes, each made once."""
    return cache(lambda first, rows: pages(dict(leaves(name, array.slice(first, rows)))[path], encoding, level))


def _required(table: pa.Table) -> pa.Table:
    """The table with columns that have no nulls declared so: their pages need not say which values there are."""
    fields = [
        item.with_nullable(pa.types.is_nested(item.type) or column.null_count > 0)
        for item, column in zip(table.schema, table.columns, strict=True)
    ]
    return pa.Table.from_arrays(table.columns, schema=pa.schema(fields))


def _has_several(table: pa.Table) -> bool:
    """Whether rows are of several results: else statistics of their task id tell nothing that the catalog does not."""
    place = table.schema.get_field_index("task_id")
    return place >= 0 and len(table.column(place).unique()) > 1


def _plain_task_ids(table: pa.Table) -> pa.Table:
    place = table.schema.get_field_index("task_id")
    if place < 0 or not pa.types.is_dictionary(table.schema.field(place).type):
        return table
    plain = field("task_id", pa.string(), TASK_ID_FIELD).with_nullable(False)
    return table.set_column(place, plain, table.column(place).cast(pa.string()))


def read_part(path: str, first_row: int, rows: int) -> dict[int, pa.Array] | None:
    """Some rows of a file that was written in row groups for it, by field id, with only these groups read.

    Their pages' checksums are compared. None: the file was not, or all of its rows are wanted.

    Raises:
        CorruptFileError: it is not readable Parquet, is damaged, or has not so many rows.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            total = file.metadata.num_rows
            if key_values.VERSIONS_KEY not in (file.metadata.metadata or {}) or rows == total:
                return None
            table = _span(file, first_row, rows)
            table.validate(full=False)
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise CorruptFileError(f"data file {path} is not readable Parquet: {exc}") from exc
    if table.num_rows != rows:
        raise CorruptFileError(f"data file {path} has {total} rows, the catalog expects {first_row + rows} or more")
    return columns_of(table, path)


def row_groups(counts: Sequence[int], size: int = ROW_GROUP) -> list[int]:
    """Row groups of about so many rows that cut no result, given the rows of each result."""
    groups = [0]
    for count in counts:
        if groups[-1] and groups[-1] + count > size:
            groups.append(0)
        groups[-1] += count
    return groups


def from_buffer(data: Any, where: str, *, first_row: int = 0, rows: int | None = None) -> dict[int, pa.Array]:
    """The columns of a data file by field id, each one array: all rows, or the `rows` of a result from `first_row`.

    Rows come in the document's order, also where the file keeps another one (`_pos`).

    Raises:
        CorruptFileError: it is not readable Parquet.
    """
    table = table_of(data, where, first_row=first_row, rows=rows, dictionaries=True)
    return columns_of(table, where)


def rows_of(data: Any, where: str, *, first_row: int, rows: int) -> dict[int, pa.Array]:
    """The rows of one result as `from_buffer` gives them, but without `task_id`, and short decimals as doubles.

    Raises:
        CorruptFileError: it is not readable Parquet.
    """
    try:
        found = as_integers(data) if first_row == 0 and rows else None
        if found is None:
            return from_buffer(data, where, first_row=first_row, rows=rows)
        footer, schema = found
        metadata = pq.ParquetFile(pa.BufferReader(footer), pre_buffer=False).metadata
        if metadata.num_rows != rows:
            return from_buffer(data, where, first_row=first_row, rows=rows)
        texts = _with_dictionary(metadata)
        file = pq.ParquetFile(pa.BufferReader(data), metadata=metadata, read_dictionary=texts, pre_buffer=False)
        table = file.read(columns=schema.names, use_threads=False)
        table.validate(full=False)
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise CorruptFileError(f"data file {where} is not readable Parquet: {exc}") from exc
    return columns_of(table, where, schema.scales)


def table_of(
    data: Any, where: str, *, first_row: int = 0, rows: int | None = None, dictionaries: bool = False
) -> pa.Table:
    """The rows of a data file as they lie in it: all, or so many from `first_row` on.

    Args:
        dictionaries: whether texts that have a dictionary are to keep it.

    Raises:
        CorruptFileError: it is not readable Parquet, or has fewer rows.
    """
    try:
        source = pa.BufferReader(data)
        file = pq.ParquetFile(source, pre_buffer=False)
        kept = _with_dictionary(file.metadata) if dictionaries else None
        if kept:
            file = pq.ParquetFile(source, metadata=file.metadata, read_dictionary=kept, pre_buffer=False)
        total = file.metadata.num_rows
        if rows is None or (first_row == 0 and rows == total):
            table = file.read(use_threads=False)
        else:
            table = _span(file, first_row, rows)
        # Validity, offsets and decimals are read from raw buffers: they must be what they say.
        table.validate(full=False)
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise CorruptFileError(f"data file {where} is not readable Parquet: {exc}") from exc
    if rows is not None and table.num_rows != rows:
        raise CorruptFileError(f"data file {where} has {total} rows, the catalog expects {first_row + rows} or more")
    return table


def _with_dictionary(metadata: pq.FileMetaData) -> list[str]:
    """The columns of texts that are stored with a dictionary; members of nested ones are left alone."""
    if not metadata.num_row_groups:
        return []
    group, schema = metadata.row_group(0), metadata.schema
    texts = [place for place in range(metadata.num_columns) if schema.column(place).physical_type == "BYTE_ARRAY"]
    # The schema's paths: those that a damaged file gives its chunks may be of no column.
    paths = [schema.column(place).path for place in texts if group.column(place).has_dictionary_page]
    return [path for path in paths if "." not in path]


def columns_of(
    table: pa.Table, where: str = "of this lake", scales: Mapping[int, int] | None = None
) -> dict[int, pa.Array]:
    """The columns of one result's rows by field id, in the document's order, without dictionaries.

    Where the file keeps another order, `_pos` says each row's place in its document; or the footer names a column that
    goes up in the document, and tells apart the rows of one value (`ties`), or the first `_pos` of the result does.

    Args:
        scales: of integers by field id, the powers of ten by which they are to be divided.

    Raises:
        CorruptFileError: what says the order of rows is not readable, or a text is not in its dictionary.
    """
    schema = table.schema
    columns = {field_id(item): column for item, column in zip(schema, table.columns, strict=True)}
    try:
        places = columns.pop(POS_FIELD, None)
        back = _back(None if places is None else one(places), _order(schema.metadata), columns)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, pa.ArrowException) as exc:
        raise CorruptFileError(f"data file {where} does not tell the order of its rows: {exc!r}") from exc
    try:
        found = {own: in_order(column, None if own == TASK_ID_FIELD else back) for own, column in columns.items()}
        return found | {own: divided(found[own], scale) for own, scale in (scales or {}).items()}
    except (pa.ArrowException, ValueError) as exc:
        # A place beyond the end of its dictionary is noticed only here.
        raise CorruptFileError(f"data file {where} is not readable Parquet: {exc}") from exc


def _back(
    places: pa.Array | None, order: tuple[int, bytes] | None, columns: Mapping[int, pa.ChunkedArray]
) -> pa.Array | None:
    """The rows in the document's order; None where they are."""
    if order is None:
        return None if places is None else pa.array(inverse(places.to_numpy()))
    column, told = order
    if places is None or not len(places):
        return pa.array(ties.in_order(numbers_of(one(columns[column])), told))
    # As numbers files had it before.
    counts = places.to_numpy() if pa.types.is_integer(places.type) else places[0].as_py() or b""
    return pa.array(ties.in_order(numbers_of(one(columns[column])), counts))


def _order(metadata: Mapping[bytes, bytes] | None) -> tuple[int, bytes] | None:
    """The column that goes up in the document, and what tells apart the rows of one value."""
    found = key_values.read(metadata)
    return None if found is None or found.order is None else (found.order, found.told)


def cut(data: Any, where: str, first_row: int, rows: int) -> pa.Buffer:
    """The bytes of a data file that holds only some rows of another one: that one itself where these are all.

    Raises:
        CorruptFileError: it is not readable Parquet, or has not so many rows.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            if first_row == 0 and rows == file.metadata.num_rows:
                return pa.py_buffer(data)
            told = key_values.columns(file.schema_arrow, file.metadata.metadata)
            order = _order(file.metadata.metadata)
            table = _span(file, first_row, rows)
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise CorruptFileError(f"data file {where} is not readable Parquet: {exc}") from exc
    if table.num_rows != rows:
        raise CorruptFileError(f"data file {where} has not the rows {first_row} to {first_row + rows} that it should")
    key, columns = told or ("", ())
    return begun(table, columns, key=key, order=None if order is None else order[0]).result()


def footer_of(data: Any) -> Mapping[bytes, bytes]:
    """The key-value metadata of a data file that was read."""
    found: Mapping[bytes, bytes] = pq.read_metadata(pa.BufferReader(data)).metadata or {}
    return found


def task_runs(data: Any, where: str) -> list[tuple[str, int]]:
    """Whose rows stand in a data file, in order: task ids with their numbers of rows.

    Raises:
        CorruptFileError: it is not readable Parquet, or has no such column.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(data), read_dictionary=["task_id"]) as file:
            column = file.read(columns=["task_id"], use_threads=False).column(0).unify_dictionaries()
            indices = np.concatenate([np.empty(0, np.int32), *[chunk.indices.to_numpy() for chunk in column.chunks]])
            names = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
            if len(indices) and not 0 <= indices.min() <= indices.max() < len(names):
                raise ValueError("a task id is not in its dictionary")
    except (pa.ArrowException, OSError, ValueError, IndexError, AttributeError) as exc:
        raise CorruptFileError(f"data file {where} is not readable Parquet: {exc}") from exc
    starts = np.flatnonzero(np.diff(indices, prepend=-1))
    counts = np.diff(starts, append=len(indices))
    return [(names[int(indices[at])], int(count)) for at, count in zip(starts, counts, strict=True)]


def _span(file: pq.ParquetFile, first_row: int, rows: int) -> pa.Table:
    """Some rows of a file, from the row groups that hold them."""
    groups: list[int] = []
    start = skipped = 0
    for group in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if start + size > first_row and start < first_row + rows:
            if not groups:
                skipped = start
            groups.append(group)
        start += size
    return file.read_row_groups(groups, use_threads=False).slice(first_row - skipped, rows)
