"""What the data files of a lake say of themselves: whose rows they hold, and which columns."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from lakestore import layout, parquet, record
from lakestore.errors import CorruptFileError
from lakestore.files import Files
from lakestore.maintenance.unknown import pages
from lakestore.model import LakeTable, NewFile
from lakestore.parquet import key_values

_AHEAD: Final = 256
"""Files that are read ahead."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One data file.

    Attributes:
        file_id: the UUID that it is named by.
        table: its lake table with the columns that its footer describes; None: a file of `results`.
        results: the rows of a file of `results`.
        versions: versions of results and their rows in order, where the footer names them.
        runs: task ids and their rows in order, where they were asked for.
    """

    file: NewFile
    file_id: UUID
    table: LakeTable | None
    results: tuple[record.Row, ...] = ()
    versions: tuple[tuple[UUID, int], ...] = ()
    runs: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Damaged:
    """A data file that cannot be read, and why."""

    path: str
    reason: str


def read_all(files: Files, names: Iterable[str], *, runs: Callable[[UUID], bool]) -> Iterator[Facts | Damaged]:
    """What data files say, several read at once, in the order of their names.

    Args:
        runs: whether the rows of a file of this name are to be asked whose they are, if its footer does not tell.
    """

    def one(name: str) -> Facts | Damaged:
        try:
            return read(files, name, runs=runs)
        except CorruptFileError as exc:
            return Damaged(name, str(exc))

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "lakestore-read") as pool:
        for page in pages(names, _AHEAD):
            yield from pool.map(one, page)


def read(files: Files, name: str, *, runs: Callable[[UUID], bool] = lambda _: False) -> Facts:
    """What one data file says.

    Raises:
        CorruptFileError: it is missing, not named as a data file, or not readable.
        StorageError: the file system refuses.
    """
    parsed = layout.parse_data_path(name)
    if parsed is None:
        raise CorruptFileError(f"{files.path(name)} is not named as a data file")
    table, strategy, day, file_id = parsed
    data = files.read(name)
    where = str(files.path(name))
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            rows, metadata = file.metadata.num_rows, file.metadata.metadata
            schema = file.schema_arrow if table != layout.RESULTS else None
        told = None if schema is None else key_values.columns(schema, metadata)
        versions = key_values.versions(metadata)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as exc:
        raise CorruptFileError(f"data file {where} is not readable Parquet: {exc}") from exc
    new = NewFile(table, name, strategy, day, rows, len(data), sha256(data).digest())
    if table == layout.RESULTS:
        return Facts(new, file_id, None, results=tuple(record.rows(parquet.from_buffer(data, where), where)))
    if told is None:
        raise CorruptFileError(f"data file {where} was not written by lakestore")
    of_all = () if versions or not runs(file_id) else tuple(parquet.task_runs(data, where))
    return Facts(new, file_id, LakeTable(table, told[0] or json.dumps(table), told[1]), versions=versions, runs=of_all)
