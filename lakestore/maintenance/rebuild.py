"""The catalog made anew from the Parquet files of its lake alone.

First all files are added, with whose rows they hold; then the results, those that are alive and those that are not; at
last the files that no living result needs are let go. It can be stopped anywhere and goes on where it was.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final
from uuid import UUID

from lakestore import layout, parquet, record, stamp, tombstones
from lakestore.catalog.commits import Holding
from lakestore.catalog.gathered import Gathered
from lakestore.catalog.rebuild import Gone, Held
from lakestore.codec.envelope import Envelope
from lakestore.codec.profiles.registry import known
from lakestore.errors import CorruptFileError, StorageError
from lakestore.lake import Lake, Parts
from lakestore.maintenance import facts, schema_file
from lakestore.maintenance.compact import keep_coarse
from lakestore.maintenance.described import Place, choose, entry_of
from lakestore.maintenance.facts import Damaged, Facts
from lakestore.maintenance.unknown import pages, table_folders
from lakestore.maintenance.versions import Version, Versions
from lakestore.model import NewFile, NewResult, Reason, RowSpan
from lakestore.tombstones import Why

_PAGE: Final = 500
"""Files or results of one transaction."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild made.

    Attributes:
        results: how many are alive; versions: how many were let go and can be brought back.
        doubtful: task ids of which the lake does not say for certain which version is alive.
        incomplete: task ids of results that are not in the catalog because a part of them is lost, and which.
        damaged: files that cannot be read.
        unstated: task ids by profile, of living results whose parameters and metrics could not be told, as their
            profile is not there any more.
    """

    results: int
    versions: int
    files: int
    doubtful: tuple[str, ...]
    incomplete: tuple[tuple[str, str], ...]
    damaged: tuple[Damaged, ...]
    unstated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def rebuild(path: str | os.PathLike[str] | None = None, *, dsn: str | None = None) -> Rebuilt:
    """Make the catalog of a lake anew from its files; all that was in it goes but the ledger of migrations.

    Nobody else can open or change the catalog meanwhile. Where an earlier rebuild was stopped, it goes on.

    Args:
        path, dsn: the lake and its database, which may be empty; see `lakestore.open`.

    Raises:
        NotFoundError: there is no lake.
        ConflictError: another rebuild is at it.
        CorruptFileError: the lake's files contradict each other, or a tombstone is damaged.
        CatalogError, StorageError: the catalog or a file cannot be reached; rebuild again.
    """
    with closing(Lake.open(path, dsn=dsn, create=False, rebuild=True)) as lake:
        parts = lake.parts()
        with parts.catalog.rebuild.alone():
            return _Rebuild(parts).run()


class _Rebuild:
    """One rebuild under way."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._catalog = parts.catalog.rebuild
        self._profiles = known(parts.files.path(layout.PROFILES))
        self._versions = Versions()
        # Files that no result gave its own name, by that name, table and strategy: path, bytes, rows.
        self._shared: dict[tuple[UUID, str, str], list[tuple[str, int, int]]] = {}
        self._damaged: list[Damaged] = []
        self._incomplete: dict[UUID, tuple[str, str]] = {}
        self._unstated: dict[str, list[str]] = {}

    def run(self) -> Rebuilt:
        """All of it."""
        self._refuse_closed_files()
        self._catalog.begin()
        keep_coarse(self._parts)
        self._schema = Gathered()
        for table in self._catalog.tables().values():
            self._schema.take(table)
        kept = schema_file.read(self._parts.files)
        for table in kept.tables.values():
            self._schema.take(table)
        there = {path: (size, rows) for path, size, rows in self._catalog.files()}
        count = len(there) + self._add_files(self._results_files(there)) + self._add_files(self._data_files(there))
        if news := self._schema.news():
            # Columns of which no file tells any more: their ids would be given out for them once more.
            self._catalog.add_files([], [], [], news)
        alive, gone, doubtful = self._add_versions(tombstones.reasons(self._parts.files))
        seen = stamp.read(self._parts.files)
        next_field_id = max(self._schema.next_field_id, kept.next_field_id, seen.next_field_id)
        self._catalog.end(next_field_id, seen.number)
        incomplete = tuple(sorted(self._incomplete.values()))
        unstated = {profile: tuple(sorted(task_ids)) for profile, task_ids in sorted(self._unstated.items())}
        return Rebuilt(alive, gone, count, doubtful, incomplete, tuple(self._damaged), unstated)

    def _refuse_closed_files(self) -> None:
        """What cannot be read is known before the catalog is thrown away, which knows it."""
        files = self._parts.files
        for table in table_folders(files):
            for each in files.scan(table):
                if not os.access(path := files.path(each.name), os.R_OK, effective_ids=True):
                    raise StorageError(f"cannot read {path}: {os.strerror(errno.EACCES)}; nothing was done")

    def _results_files(self, there: Mapping[str, Any]) -> Iterator[_Added]:
        """The files of `results` that are not added yet; the rows of all of them are taken in."""
        for each in self._read([layout.RESULTS]):
            versions = self._versions.add(each.file.path, each.results)
            if each.file.path not in there:
                held = [(write_id, each.file.path, number, 1) for number, write_id in enumerate(versions)]
                yield _Added(each.file, held, [])

    def _data_files(self, there: Mapping[str, tuple[int, int]]) -> Iterator[_Added]:
        """The files of records that are not added yet."""
        own = self._versions.by_id
        for path, (size, rows) in there.items():
            self._note(path, size, rows)
        tables = [name for name in table_folders(self._parts.files) if name != layout.RESULTS]
        for each in self._read(tables, but=there):
            assert each.table is not None
            self._schema.take(each.table)
            path = each.file.path
            self._note(path, each.file.bytes, each.file.rows)
            if each.file_id in own:
                yield _Added(each.file, [(each.file_id, path, 0, each.file.rows)], [])
            else:
                yield self._of_many(each)

    def _note(self, path: str, size: int, rows: int) -> None:
        parsed = layout.parse_data_path(path)
        assert parsed is not None
        table, strategy, _, file_id = parsed
        if file_id not in self._versions.by_id:
            self._shared.setdefault((file_id, table, strategy), []).append((path, size, rows))

    def _of_many(self, each: Facts) -> _Added:
        """A file of several results: of a batch, or compacted."""
        path = each.file.path
        owners: list[tuple[UUID | None, int]] = list(each.versions) or [
            (self._versions.in_file(each.file_id, task_id), rows) for task_id, rows in each.runs
        ]
        names = [task_id for task_id, _ in each.runs]
        held, dead, first = [], [], 0
        mine: set[str] = set()
        for number, (write_id, rows) in enumerate(owners):
            version = self._versions.by_id.get(write_id) if write_id is not None else None
            if version is not None:
                held.append((version.write_id, path, first, rows))
                mine.add(version.task_id)
            elif rows and not each.versions:
                dead.append((path, names[number]))
            first += rows
        if each.versions and any(write_id not in self._versions.by_id for write_id, _ in each.versions):
            runs = parquet.task_runs(self._parts.files.read(path), path)
            dead = [(path, task_id) for task_id, _ in runs if task_id not in mine]
        return _Added(each.file, held, dead)

    def _read(self, tables: Iterable[str], but: Mapping[str, Any] | None = None) -> Iterator[Facts]:
        """What the files of tables say; those that are damaged are noted."""
        files = self._parts.files
        names = (
            name
            for table in tables
            for name in sorted(files.list(table))
            if (but is None or name not in but) and layout.parse_data_path(name) is not None
        )
        for each in facts.read_all(files, names, runs=lambda file_id: file_id not in self._versions.by_id):
            if isinstance(each, Damaged):
                self._damaged.append(each)
            else:
                yield each

    def _add_files(self, added: Iterable[_Added]) -> int:
        count = 0
        for page in pages(added, _PAGE):
            held = [row for each in page for row in each.held]
            dead = [row for each in page for row in each.dead]
            self._catalog.add_files([each.file for each in page], held, dead, self._schema.news())
            count += len(page)
        return count

    def _add_versions(self, stones: Mapping[UUID, Why]) -> tuple[int, int, tuple[str, ...]]:
        """Add all versions; return how many are alive, how many are not, and the doubtful task ids."""
        found = self._versions.resolve(stones)
        there = set(self._catalog.versions())
        alive = 0
        left = [list(those) for those in found.candidates.values()]
        passed: list[Version] = []
        while left:
            # The first candidate of each task id; the next one where that is lost in part.
            self._add([those[0] for those in left], there, None)
            complete = [those for those in left if those[0].write_id not in self._incomplete]
            alive += len(complete)
            passed += [version for those in complete for version in those[1:]]
            left = [those[1:] for those in left if those[0].write_id in self._incomplete and len(those) > 1]
        lost = dict(self._incomplete)
        vacuumed = [version for version in found.gone if stones.get(version.write_id) == "vacuumed"]
        self._mark_vacuumed(vacuumed)
        gone = [version for version in (*found.gone, *passed) if stones.get(version.write_id) != "vacuumed"]
        gone.sort(key=lambda version: version.saved_at)
        self._add(gone, there, stones)
        dead = len(gone) - (len(self._incomplete) - len(lost))
        # What is dead and lost in part is being vacuumed: nobody misses it.
        self._incomplete = lost
        return alive, dead, tuple(sorted(task_id for task_id, those in found.candidates.items() if len(those) > 1))

    def _mark_vacuumed(self, versions: Sequence[Version]) -> None:
        """Leave out versions of which vacuum has left only rows in files of others."""
        for page in pages(versions, _PAGE):
            task_ids = {version.write_id: version.task_id for version in page}
            dead = [(each.span.path, task_ids[each.write_id]) for each in self._catalog.held(list(task_ids))]
            self._catalog.add_versions([], [], dead, [], [])

    def _add(self, versions: Sequence[Version], there: set[UUID], stones: Mapping[UUID, Why] | None) -> None:
        """Add versions: as alive, or as let go where tombstones are given."""
        todo = [(_latest(version), version) for version in versions if version.write_id not in there]
        if stones is None:
            todo.sort(key=lambda pair: pair[0])
        for page in pages(todo, _PAGE):
            held: dict[UUID, list[Held]] = {}
            for each in self._catalog.held([version.write_id for _, version in page]):
                held.setdefault(each.write_id, []).append(each)
            made = _Made()
            for version, row in self._rows(page):
                self._make(made, version, row, held.get(version.write_id, []), stones)
            self._catalog.add_versions(made.alive, made.gone, made.dead, made.copies, made.empty)

    def _rows(self, page: Sequence[tuple[tuple[str, int], Version]]) -> Iterator[tuple[Version, record.Row]]:
        """The rows of versions, each file read once."""
        by_path: dict[str, list[tuple[int, Version]]] = {}
        for (path, number), version in page:
            by_path.setdefault(path, []).append((number, version))
        for each in facts.read_all(self._parts.files, by_path, runs=lambda _: False):
            if isinstance(each, Damaged):
                raise CorruptFileError(f"{each.reason}; it was whole a moment ago: check the disk")
            yield from ((version, each.results[number]) for number, version in by_path[each.file.path])

    def _make(
        self, made: _Made, version: Version, row: record.Row, held: Sequence[Held], stones: Mapping[UUID, Why] | None
    ) -> None:
        where = f"result {row.task_id!r}"
        parsed = layout.parse_data_path(_latest(version)[0])
        assert parsed is not None
        _, strategy, day, _ = parsed
        try:
            envelope = Envelope.from_bytes(row.envelope, where)
            chosen = choose(row, envelope, held, lambda place: self._named(version, place, day))
        except CorruptFileError as exc:
            self._incomplete[version.write_id] = (version.task_id, str(exc))
            made.dead += [(each.span.path, version.task_id) for each in held]
            return
        result = entry_of(
            self._parts,
            self._profiles,
            row,
            envelope,
            chosen,
            strategy=strategy,
            day=day,
            tables=self._schema.tables,
        )
        made.empty += [(version.write_id, each.span.path) for each in chosen.empty]
        if stones is None:
            if envelope.profile[0] not in self._profiles:
                self._unstated.setdefault(envelope.profile[0], []).append(version.task_id)
            made.alive.append(result)
            made.dead += [(each.span.path, version.task_id) for each in chosen.copies]
            made.copies += [(version.write_id, each.span.path) for each in chosen.copies]
        else:
            reason: Reason = "deleted" if stones.get(version.write_id) == "deleted" else "replaced"
            made.gone.append(Gone(result, reason))
            made.dead += [(each.span.path, version.task_id) for each in held]

    def _named(self, version: Version, place: Place, day: date) -> Held | None:
        """The file of a place that bears a version's name, of the version's own day where there are several."""
        found = self._shared.get((version.file_id, *place), [])
        own = f"/run_date={day.isoformat()}/"
        best = next((each for each in found if own in each[0]), found[0] if found else None)
        if best is None:
            return None
        path, size, rows = best
        return Held(version.write_id, RowSpan(path, *place, 0, 0, b"", size), rows)


@dataclass(frozen=True, slots=True)
class _Added:
    """A file to be added: what it holds, and the dead rows in it."""

    file: NewFile
    held: list[Holding]
    dead: list[tuple[str, str]]


class _Made:
    """What a page of versions adds to the catalog; see `Rebuild.add_versions`."""

    def __init__(self) -> None:
        self.alive: list[NewResult] = []
        self.gone: list[Gone] = []
        self.dead: list[tuple[str, str]] = []
        self.copies: list[tuple[UUID, str]] = []
        self.empty: list[tuple[UUID, str]] = []


def _latest(version: Version) -> tuple[str, int]:
    """The place of a version's row in `results`: in the latest compacted file, if it was compacted."""

    def rank(copy: tuple[str, int]) -> tuple[bool, UUID]:
        parsed = layout.parse_data_path(copy[0])
        assert parsed is not None
        return parsed[3] != version.file_id, parsed[3]

    return max(version.copies, key=rank)
