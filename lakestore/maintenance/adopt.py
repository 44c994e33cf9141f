"""Adoption: what the lake tells and its catalog does not know, as after an old backup of it was restored.

Complete results are taken in, and versions that a tombstone calls dead are let go, so that the catalog says what a
rebuild would. Otherwise a version that was replaced since would be alive, vacuum take the one in its place, and a
rebuild find neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from lakestore import layout, record
from lakestore.catalog.commits import dead_rows
from lakestore.catalog.rebuild import Held
from lakestore.codec.envelope import Envelope
from lakestore.codec.profiles.registry import known
from lakestore.errors import AlreadyExistsError, CorruptFileError
from lakestore.lake import Parts
from lakestore.maintenance import facts
from lakestore.maintenance.described import Place, choose, entry_of
from lakestore.maintenance.facts import Damaged, Facts
from lakestore.maintenance.versions import Version, Versions
from lakestore.model import LakeTable, NewFile, NewResult, RowSpan
from lakestore.tombstones import Why


@dataclass(frozen=True, slots=True)
class Batch:
    """Results that were saved together, with their files.

    Attributes:
        refused: task ids of those in the files that cannot be taken in, and why.
        dead: path and task id of rows in these files that are of none of the results.
    """

    results: tuple[NewResult, ...]
    files: tuple[NewFile, ...]
    tables: tuple[LakeTable, ...]
    refused: tuple[tuple[str, str], ...]
    dead: tuple[tuple[str, str], ...]


class Adoption:
    """The results that can be made of data files which the catalog does not know.

    Files belong together by the name that their save gave them. A compacted file bears none and is left alone: what
    it holds is known by the files that it was made of, or else is a matter for a rebuild (`stranded`).
    """

    def __init__(
        self, parts: Parts, names: Sequence[str], stones: Mapping[UUID, Why], *, young: Sequence[str] = ()
    ) -> None:
        """Take in the paths of the files, and the versions that tombstones name.

        Args:
            young: of files that a save may be about to commit: they are only looked at for what compaction made.
        """
        self._parts = parts
        self._stones = stones
        self._young = young
        self._profiles = known(parts.files.path(layout.PROFILES))
        self._by_id: dict[UUID, list[str]] = {}
        self._taken: set[str] = set()
        for name in names:
            parsed = layout.parse_data_path(name)
            assert parsed is not None
            self._by_id.setdefault(parsed[3], []).append(name)
        self._versions = Versions()
        self._first: dict[UUID, str] = {}
        # Of versions that rows are missing of: the path of their file in results, and their task id.
        self._short: dict[UUID, tuple[str, str]] = {}

    def batches(self) -> Iterator[Batch]:
        """The files by their saves, as far as results can be made of them."""
        for each in self._read(name for names in self._by_id.values() for name in names if _is_results(name)):
            self._versions.add(each.file.path, each.results)
        candidates = self._versions.resolve(self._stones.keys()).candidates.values()
        self._first = {those[0].write_id: those[0].task_id for those in candidates}
        for file_id, names in self._by_id.items():
            if not any(map(_is_results, names)):
                continue
            found = list(self._read(sorted(names)))
            batch = self._batch(file_id, found)
            if batch.results:
                self._taken.update(file.path for file in batch.files)
            yield batch

    def rest(self) -> Iterator[str]:
        """The files of which no result can be made."""
        yield from (name for names in self._by_id.values() for name in names if name not in self._taken)

    def stranded(self) -> Iterator[tuple[str, str]]:
        """Path and task id of versions that the catalog does not know, and of which a compacted file alone has rows.

        Those that were taken in by now are known.
        """
        young = self._recent()
        held = {version.write_id: version for found in (young, self._versions) for version in found.by_id.values()}
        known = self._parts.catalog.upkeep.known_versions(list(held))
        short = dict(self._short)
        for write_id, version in held.items():
            path = version.copies[0][0]
            if write_id in known or write_id in self._stones:
                short.pop(write_id, None)
            elif not self._has_own_file(version):
                yield path, version.task_id
            elif write_id in young.by_id:
                short[write_id] = path, version.task_id
        if short:
            others = [*(name for names in self._by_id.values() for name in names), *self._young]
            merged = {write_id for each in self._read(others) for write_id, _ in each.versions}
            yield from (place for write_id, place in short.items() if write_id in merged)

    def early(self) -> Iterator[tuple[str, str]]:
        """Path and task id of versions in young files that the catalog does not know: a save may be at each."""
        recent = self._recent()
        known = self._parts.catalog.upkeep.known_versions(list(recent.by_id))
        for write_id, version in recent.by_id.items():
            if write_id not in known and write_id not in self._stones and self._has_own_file(version):
                yield version.copies[0][0], version.task_id

    def successor(self, write_id: UUID) -> Why | None:
        """Why the last of those is dead that took each other's places after this version; None: nothing tells."""
        dead = (version for version in self._versions.by_id.values() if version.write_id in self._stones)
        after = {version.replaces: version.write_id for version in dead}
        while (found := after.get(write_id)) is not None:
            write_id = found
        reason = self._stones.get(write_id)
        return None if reason == "replaced" else reason

    def take(self, batch: Batch) -> None:
        """Make the results of a batch visible, in the place of versions that tombstones call dead.

        Raises:
            AlreadyExistsError: one of their ids was taken meanwhile; nothing was done.
            CorruptFileError: the catalog gave out their columns' ids again.
            CatalogError: the catalog cannot be reached.
        """
        self._parts.catalog.upkeep.take_tables(batch.tables)
        for task_id, live in self._parts.catalog.get_many([r.info.task_id for r in batch.results]).items():
            if live.write_id in self._stones:
                self._parts.catalog.delete(task_id, only=live.write_id)
        also = [("insert_dead_rows", dead_rows(batch.dead))] if batch.dead else []
        self._parts.catalog.commit(batch.results, batch.files, also=also)

    def _read(self, names: Iterable[str]) -> Iterator[Facts]:
        for each in facts.read_all(self._parts.files, names, runs=lambda _: True):
            if not isinstance(each, Damaged):
                yield each

    def _recent(self) -> Versions:
        found = Versions()
        for each in self._read(filter(_is_results, self._young)):
            found.add(each.file.path, each.results)
        return found

    def _has_own_file(self, version: Version) -> bool:
        return any(name.endswith(f"/{version.file_id}.parquet") for name, _ in version.copies)

    def _batch(self, file_id: UUID, found: Sequence[Facts]) -> Batch:
        own = [(each, number, row) for each in found for number, row in enumerate(each.results)]
        rows = [(each, number, row) for each, number, row in own if row.file_id == file_id]
        gone = self._stones.keys() | self._parts.catalog.upkeep.known_versions([row.write_id for _, _, row in rows])
        results: list[NewResult] = []
        refused: list[tuple[str, str]] = []
        for each, number, row in rows:
            if row.write_id in gone:
                continue
            if row.write_id not in self._first:
                refused.append((row.task_id, "another version of it took its place, or was there before"))
                continue
            try:
                results.append(self._result(each, number, row, found))
            except (CorruptFileError, AlreadyExistsError) as exc:
                if isinstance(exc, CorruptFileError):
                    self._short[row.write_id] = each.file.path, row.task_id
                refused.append((row.task_id, str(exc)))
        alive = {result.info.task_id for result in results}
        dead = [(each.file.path, task_id) for each in found for task_id in _task_ids(each) if task_id not in alive]
        tables = tuple(each.table for each in found if each.table is not None)
        files = tuple(each.file for each in found)
        return Batch(tuple(results), files, tables, tuple(refused), tuple(dead))

    def _result(self, own: Facts, number: int, row: record.Row, found: Sequence[Facts]) -> NewResult:
        where = f"result {row.task_id!r}"
        live = self._parts.catalog.get(row.task_id)
        if live is not None and live.write_id not in self._stones:
            raise AlreadyExistsError(f"another version of it is alive (saved {live.saved_at:%Y-%m-%d %H:%M:%S})")
        envelope = Envelope.from_bytes(row.envelope, where)
        held = [_held(row, own, number, 1)]
        for each in found:
            first = 0
            for task_id, rows in each.runs:
                if task_id == row.task_id and each.file.run_date == own.file.run_date:
                    held.append(_held(row, each, first, rows))
                first += rows

        def named(place: Place) -> Held | None:
            fitting = [each for each in found if (each.file.table, each.file.strategy) == place]
            fitting.sort(key=lambda each: each.file.run_date != own.file.run_date)
            return _held(row, fitting[0], 0, 0) if fitting else None

        chosen = choose(row, envelope, held, named)
        return entry_of(
            self._parts,
            self._profiles,
            row,
            envelope,
            chosen,
            strategy=own.file.strategy,
            day=own.file.run_date,
            tables={each.table.name: each.table for each in found if each.table is not None},
        )


def _is_results(name: str) -> bool:
    return name.startswith(f"{layout.RESULTS}/")


def _held(row: record.Row, each: Facts, first: int, rows: int) -> Held:
    file = each.file
    span = RowSpan(file.path, file.table, file.strategy, first, rows, file.sha256, file.bytes)
    return Held(row.write_id, span, file.rows)


def _task_ids(each: Facts) -> list[str]:
    return [row.task_id for row in each.results] or [task_id for task_id, _ in each.runs]
