"""Adoption: complete results in the lake that its catalog does not know, as after an old backup of it was restored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from lakestore import layout, record, tombstones
from lakestore.catalog.commits import dead_rows
from lakestore.catalog.rebuild import Held
from lakestore.codec.envelope import Envelope
from lakestore.codec.known import known
from lakestore.errors import AlreadyExistsError, CorruptFileError
from lakestore.lake import Parts
from lakestore.maintenance import facts
from lakestore.maintenance.described import Place, choose, document_of, result_of, stated
from lakestore.maintenance.facts import Damaged, Facts
from lakestore.maintenance.versions import Versions
from lakestore.model import LakeTable, NewFile, NewResult, RowSpan


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
    it holds is known by the files that it was made of, or else is a matter for a rebuild.
    """

    def __init__(self, parts: Parts, names: Sequence[str]) -> None:
        """Take in the paths of the files."""
        self._parts = parts
        self._profiles = known(parts.files.path(layout.PROFILES))
        self._by_id: dict[UUID, list[str]] = {}
        self._taken: set[str] = set()
        for name in names:
            parsed = layout.parse_data_path(name)
            assert parsed is not None
            self._by_id.setdefault(parsed[3], []).append(name)
        self._versions = Versions()
        self._first: dict[UUID, str] = {}

    def batches(self) -> Iterator[Batch]:
        """The files by their saves, as far as results can be made of them."""
        stones = {dead for stone in tombstones.read(self._parts.files) for dead in stone.dead}
        for each in self._read(name for names in self._by_id.values() for name in names if _is_results(name)):
            self._versions.add(each.file.path, each.results)
        candidates = self._versions.fate(stones).candidates.values()
        self._first = {those[0].write_id: those[0].task_id for those in candidates}
        for file_id, names in self._by_id.items():
            if not any(map(_is_results, names)):
                continue
            found = list(self._read(sorted(names)))
            batch = self._batch(file_id, found, stones)
            if batch.results:
                self._taken.update(file.path for file in batch.files)
            yield batch

    def rest(self) -> Iterator[str]:
        """The files of which no result can be made."""
        yield from (name for names in self._by_id.values() for name in names if name not in self._taken)

    def take(self, batch: Batch) -> None:
        """Make the results of a batch visible.

        Raises:
            AlreadyExistsError: one of their ids was taken meanwhile; nothing was done.
            CorruptFileError: the catalog gave out their columns' ids again.
            CatalogError: the catalog cannot be reached.
        """
        self._parts.catalog.upkeep.take_tables(batch.tables)
        also = [("insert_dead_rows", dead_rows(batch.dead))] if batch.dead else []
        self._parts.catalog.commit(batch.results, batch.files, also=also)

    def _read(self, names: Iterable[str]) -> Iterator[Facts]:
        for each in facts.read_all(self._parts.files, names, runs=lambda _: True):
            if not isinstance(each, Damaged):
                yield each

    def _batch(self, file_id: UUID, found: Sequence[Facts], stones: set[UUID]) -> Batch:
        own = [(each, number, row) for each in found for number, row in enumerate(each.results)]
        rows = [(each, number, row) for each, number, row in own if row.file_id == file_id]
        gone = stones | self._parts.catalog.upkeep.known_versions([row.write_id for _, _, row in rows])
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
                refused.append((row.task_id, str(exc)))
        alive = {result.info.task_id for result in results}
        dead = [(each.file.path, task_id) for each in found for task_id in _task_ids(each) if task_id not in alive]
        tables = tuple(each.table for each in found if each.table is not None)
        files = tuple(each.file for each in found)
        return Batch(tuple(results), files, tables, tuple(refused), tuple(dead))

    def _result(self, own: Facts, number: int, row: record.Row, found: Sequence[Facts]) -> NewResult:
        where = f"result {row.task_id!r}"
        live = self._parts.catalog.get(row.task_id)
        if live is not None:
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
        said = stated(envelope, self._profiles, where, lambda: document_of(self._parts.files, envelope, chosen, where))
        return result_of(row, envelope, chosen, own.file.strategy, own.file.run_date, said)


def _is_results(name: str) -> bool:
    return name.startswith(f"{layout.RESULTS}/")


def _held(row: record.Row, each: Facts, first: int, rows: int) -> Held:
    file = each.file
    span = RowSpan(file.path, file.table, file.strategy, first, rows, file.sha256, file.bytes)
    return Held(row.write_id, span, file.rows)


def _task_ids(each: Facts) -> list[str]:
    return [row.task_id for row in each.results] or [task_id for task_id, _ in each.runs]
