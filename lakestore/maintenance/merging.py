"""Rows of results copied from many data files into few, and every document rebuilt from what was made."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Final
from uuid import UUID

import pyarrow as pa

from lakestore import layout, parquet, record
from lakestore.catalog.compaction import Exchange, Living, LivingRows, OldFile
from lakestore.codec import decode, pack
from lakestore.codec.envelope import Envelope, StoredRegion
from lakestore.errors import ConflictError, CorruptFileError
from lakestore.lake import Parts
from lakestore.model import POS_FIELD, TASK_ID_FIELD, NewFile
from lakestore.parquet import key_values

_KEPT: Final = 64
"""Files that are kept in memory while documents are rebuilt: those of one result mostly stand in the same few."""
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """Files of one table and strategy that are to become one file in a partition."""

    table: str
    strategy: str
    day: date
    files: tuple[OldFile, ...]

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Merged:
    """A file that was made of a group: its bytes, its rows as they read back, and the place of each version in it.

    `spans` are task id, first row and rows.
    """

    group: Group
    file: NewFile
    data: pa.Buffer
    rows: pa.Table
    spans: Mapping[UUID, tuple[str, int, int]]


class Merging:
    """Groups of files becoming one file each, proved together."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._tables = parts.catalog.tables()
        self._kept: OrderedDict[str, pa.Table] = OrderedDict()

    def merge(self, groups: Sequence[Group], file_id: UUID) -> tuple[Exchange, list[Merged]]:
        """The files of groups merged and proved, and what the catalog is to exchange.

        Raises:
            ConflictError: a result was replaced or deleted meanwhile.
            CorruptFileError: a file is damaged, or a document would not come back exactly; nothing was done.
        """
        ids = [file.file_id for group in groups for file in group.files]
        rows: dict[int, list[LivingRows]] = {}
        for each in self._parts.catalog.compaction.living_rows(ids):
            rows.setdefault(each.file_id, []).append(each)
        merged = [one for group in groups if (one := self._merged(group, rows, file_id)) is not None]
        versions = sorted({write_id for one in merged for write_id in one.spans})
        living = self._parts.catalog.compaction.living(versions)
        for write_id in versions:
            self._prove(write_id, living.get(write_id), merged)
        held = [
            (write_id, one.file.path, first, count)
            for one in merged
            for write_id, (_, first, count) in one.spans.items()
        ]
        moved: dict[date, list[UUID]] = {}
        for one in merged:
            if one.group.table == layout.RESULTS:
                moved.setdefault(one.group.day, []).extend(one.spans)
        return Exchange([one.file for one in merged], held, ids, moved), merged

    def _merged(self, group: Group, rows: Mapping[int, Sequence[LivingRows]], file_id: UUID) -> Merged | None:
        """One file of a group's living rows, in order of task id; None where nothing in it is alive."""
        found: dict[UUID, tuple[LivingRows, pa.Table]] = {}
        used = set[int]()
        for file in group.files:
            table, described = self._read(file.path, file.sha256)
            used |= described
            for each in rows.get(file.file_id, ()):
                found.setdefault(each.write_id, (each, table.slice(each.first_row, each.rows)))
        if not found:
            return None
        ordered = sorted(found.values(), key=lambda pair: pair[0].task_id)
        if group.table == layout.RESULTS:
            stats = self._parts.catalog.compaction.stats(list(found))
            own = [row for _, part in ordered for row in record.rows(parquet.columns_of(part), group.table)]
            data = record.to_buffer([record.with_stats(row, stats.get(row.write_id)) for row in own], compacted=True)
        else:
            results = [pack.Rows(each.task_id, each.rows, _columns(part)) for each, part in ordered]
            versions = [each.write_id for each, _ in ordered]
            data = pack.data_file(results, self._tables[group.table], used, versions=versions)
        spans: dict[UUID, tuple[str, int, int]] = {}
        first = 0
        for each, _ in ordered:
            spans[each.write_id] = each.task_id, first, each.rows
            first += each.rows
        path = layout.data_path(group.table, group.strategy, group.day, file_id)
        new = NewFile(group.table, path, group.strategy, group.day, first, len(data), sha256(data).digest())
        # The proof begins with the bytes that will be written.
        return Merged(group, new, data, parquet.table_of(data, path), spans)

    def _prove(self, write_id: UUID, living: Living | None, merged: Sequence[Merged]) -> None:
        """Rebuild a document from the new files, and from the old ones where it has rows elsewhere."""
        if living is None:
            raise ConflictError("a result was replaced or deleted while its files were compacted; nothing was done")
        new: dict[Place, pa.Table] = {}
        where = f"version {write_id}"
        for one in merged:
            if write_id in one.spans:
                task_id, first, count = one.spans[write_id]
                new[one.group.table, one.group.strategy] = one.rows.slice(first, count)
                where = f"result {task_id!r}"
        old = {(span.table, span.strategy): span for span in living.spans}

        def rows(table: str, strategy: str) -> Mapping[int, pa.Array]:
            part = new.get((table, strategy))
            if part is None:
                span = old.get((table, strategy))
                if span is None:
                    raise CorruptFileError(f"{where} has no rows in table {table!r}; its catalog entry is damaged")
                part = self._old(span.path, span.sha256).slice(span.first_row, span.rows)
            return parquet.columns_of(part)

        def fetch(region: StoredRegion) -> Mapping[int, pa.Array]:
            return rows(region.table, region.strategy)

        own = next(strategy for table, strategy in (*new, *old) if table == layout.RESULTS)
        envelope = Envelope.from_bytes(record.envelope_of(rows(layout.RESULTS, own), where), where)
        text = sha256()
        for piece in decode.pieces(envelope, fetch, where):
            text.update(piece)
        if text.hexdigest() != living.sha256:
            raise CorruptFileError(
                f"{where} would not come back exactly from its compacted rows; its files stay as they are"
            )

    def _old(self, path: str, digest: bytes) -> pa.Table:
        """The rows of a file that is not compacted now; the last ones stay in memory."""
        if path not in self._kept:
            self._kept[path] = self._read(path, digest)[0]
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(path)
        return self._kept[path]

    def _read(self, path: str, digest: bytes) -> tuple[pa.Table, set[int]]:
        """The rows of a live file, its checksum compared, and the field ids that its footer describes."""
        data = self._parts.files.read(path)
        self._parts.files.compare(path, data, digest)
        table = parquet.table_of(data, path)
        told = key_values.columns(table.schema, parquet.footer_of(data))
        return table, {column.field_id for column in told[1]} if told else set()


def _columns(part: pa.Table) -> list[tuple[pa.Field, pa.Array]]:
    """The record's columns of a result's rows, in the document's order."""
    found = parquet.columns_of(part)
    ids = [(parquet.field_id(item), item) for item in part.schema]
    return [(item, found[own]) for own, item in ids if own not in (TASK_ID_FIELD, POS_FIELD)]
