"""Files that the statistics of their results tell apart: none of their numbers is what a statement looks for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from lakestore.catalog.bounds import Interval
from lakestore.catalog.connect import Connection
from lakestore.catalog.sql import queries
from lakestore.codec.statistics import stats
from lakestore.locks import Lock
from lakestore.model import LakeTable

_FEW: Final = 16
"""Files that are opened as soon as told apart."""
_BLOCKS: Final = 32
_MOST: Final = 1 << 22
"""Numbers of a table's files that are kept: 32 MB."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class File:
    """A live data file, its number in the catalog, and all rows in it."""

    path: str
    number: int
    rows: int


@dataclass(frozen=True, slots=True)
class _Block:
    """The least and greatest numbers of files (one below the other) in columns (beside each other)."""

    paths: list[str]
    field_ids: list[int]
    low: Doubles
    high: Doubles

    def excluded(self, wanted: Mapping[int, Interval]) -> list[str]:
        out = np.zeros(len(self.paths), bool)
        for place, field_id in enumerate(self.field_ids):
            if field_id in wanted:
                low, high = wanted[field_id]
                out |= (self.low[:, place] > high) | (self.high[:, place] < low)
        return [self.paths[place] for place in np.flatnonzero(out).tolist()]

    def only(self, kept: npt.NDArray[np.bool_]) -> _Block:
        paths = [path for path, keep in zip(self.paths, kept.tolist(), strict=True) if keep]
        return _Block(paths, self.field_ids, self.low[kept], self.high[kept])


class Intervals:
    """What numbers there are in the data files of a lake, kept as files never change; safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[str, tuple[list[_Block], frozenset[str]]] = {}
        """By table: what is known, and of which files."""

    def excluded(
        self, conn: Connection, table: LakeTable, wanted: Mapping[str, Interval], files: Sequence[File]
    ) -> frozenset[str]:
        """The paths of files in which no row of a live result has a number within each of the intervals.

        A file stays where a result in it has no statistics, or none of such a column.

        Args:
            wanted: by the column's name in small letters.
            files: live ones of the table.
        """
        fields = {
            column.field_id: wanted[column.name.lower()]
            for column in table.columns
            if column.parent is None and column.name.lower() in wanted
        }
        if not fields or len(files) <= _FEW:
            return frozenset()
        with self._lock:
            blocks, known = self._kept.get(table.name, ([], frozenset()))
        news = [file for file in files if file.path not in known]
        if news:
            block, lasting = _read(conn, table, news)
            blocks = [*blocks, block]
            self._keep(table.name, block.only(lasting))
        return frozenset(path for block in blocks for path in block.excluded(fields))

    def _keep(self, table: str, block: _Block) -> None:
        with self._lock:
            blocks, known = self._kept.get(table, ([], frozenset()))
            blocks = [*blocks, block]
            if sum(each.low.size for each in blocks) > _MOST:
                blocks, known = [block], frozenset()
            self._kept[table] = blocks if len(blocks) <= _BLOCKS else [_joined(blocks)], known.union(block.paths)


def _read(conn: Connection, table: LakeTable, files: Sequence[File]) -> tuple[_Block, npt.NDArray[np.bool_]]:
    """What the catalog knows of files, and of which of them it holds for ever.

    It does where each row is a live result's: a row that the catalog does not know may become one (`sync --adopt`).
    """
    given = {"file_ids": [file.number for file in files]}
    row = conn.execute(queries()["statistics_of"], given, prepare=False, binary=True).fetchone()
    numbers, blobs, lengths, rows = (value or () for value in row or [()] * 4)
    at = {file.number: place for place, file in enumerate(files)}
    owner = np.array([at[number] for number in numbers], np.int64)
    found = stats.read(bytes(blobs), lengths, stats.numbers(table))
    field_ids = np.unique(found.field_id).tolist()
    # Of each result everything may be, unless its statistics say less.
    low, high = np.full((len(owner), len(field_ids)), -math.inf), np.full((len(owner), len(field_ids)), math.inf)
    cells = found.place, np.searchsorted(field_ids, found.field_id)
    least, greatest, _ = found.doubles()
    empty = found.nulls == found.rows
    # NaN is greater than everything.
    low[cells] = np.where(empty | np.isnan(least), math.inf, least)
    high[cells] = np.where(empty, -math.inf, np.where(np.isnan(greatest), math.inf, greatest))
    block = _Block(
        [file.path for file in files],
        field_ids,
        np.full((len(files), len(field_ids)), math.inf),
        np.full((len(files), len(field_ids)), -math.inf),
    )
    np.minimum.at(block.low, owner, low)
    np.maximum.at(block.high, owner, high)
    there = np.bincount(owner, np.array(rows, np.float64), len(files))
    # A file of nobody's rows is nothing that is known.
    block.low[there == 0], block.high[there == 0] = -math.inf, math.inf
    return block, there == np.array([file.rows for file in files])


def _joined(blocks: Sequence[_Block]) -> _Block:
    field_ids = sorted({field_id for block in blocks for field_id in block.field_ids})
    paths = [path for block in blocks for path in block.paths]
    low, high = np.full((len(paths), len(field_ids)), -math.inf), np.full((len(paths), len(field_ids)), math.inf)
    first = 0
    for block in blocks:
        rows = slice(first, first := first + len(block.paths))
        places = np.searchsorted(field_ids, block.field_ids)
        low[rows, places], high[rows, places] = block.low, block.high
    return _Block(paths, field_ids, low, high)
