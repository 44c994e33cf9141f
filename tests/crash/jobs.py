"""The jobs of the crash matrix: what is in the lake before, the work, and what is in it when the work is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

import lakestore
from lakestore import Item, Lake
from lakestore.archive import archive
from lakestore.archive.tarball import archives, opened
from lakestore.errors import LakestoreError, StorageError
from lakestore.identity import uuid7
from lakestore.maintenance.compact import compact
from lakestore.maintenance.rebuild import rebuild
from lakestore.maintenance.restore import restore
from lakestore.maintenance.sync import sync
from lakestore.maintenance.vacuum import vacuum
from lakestore.migrate import Options, migrate
from lakestore.migrate.batch import Batch
from lakestore.migrate.batch import Job as MigrateJob
from lakestore.migrate.worker import Setup
from lakestore.process import Process
from tests.lake_state import backdate, document


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work that may fail or die at any operation.

    `change` is what it makes of the results (None: it is gone afterwards). `run` must be safe to call again, also
    after it succeeded. `whole`: all of it is done or none. `before` are results that `prepare` adds. `check` asserts
    what else holds at any moment. `recover`: until the work is done nobody can open the lake, and this does it;
    `keeps`: it needs files that vacuum would take. Files beside the lake belong below its parent folder.
    """

    name: str
    run: Callable[[Lake], object]
    change: Mapping[str, bytes | None] = field(default_factory=dict)
    prepare: Callable[[Lake], object] | None = None
    whole: bool = True
    before: Mapping[str, bytes] = field(default_factory=dict)
    recover: Callable[[Path, str], object] | None = None
    keeps: bool = False
    check: Callable[[Lake], object] = lambda lake: None

    def after(self) -> dict[str, bytes]:
        """The results when the work is done."""
        found = {**BEFORE, **self.before, **self.change}
        return {task_id: text for task_id, text in found.items() if text is not None}


BEFORE = {task_id: document(task_id, version) for task_id, version in [("a", 0), ("b", 1), ("c", 0)]}
"""The results of every lake before the work."""


def prepare(lake: Lake, job: Job) -> None:
    """Fill a new lake: results, and files that were let go."""
    for task_id in ("b", "gone"):
        lake.save(document(task_id), task_id=task_id)
    for task_id, text in BEFORE.items():
        lake.save(text, task_id=task_id, replace=True)
    lake.delete("gone")
    if job.prepare is not None:
        job.prepare(lake)


def _delete(lake: Lake) -> None:
    if lake.exists("a"):
        lake.delete("a")


def _save_many(lake: Lake) -> None:
    items = [Item(document=text, task_id=task_id) for task_id, text in _BATCH.items()]
    for outcome in lake.save_many(items, replace=True):
        if isinstance(outcome, LakestoreError):
            raise outcome


def _restore(lake: Lake) -> None:
    if not lake.exists("gone"):
        restore(lake, "gone")


def _leave_files(lake: Lake) -> None:
    """Leave what a killed save leaves: a data file that nobody knows, and one under its temporary name."""
    known = lake.root / lake.files("signals")[0].path
    for name in (f"{uuid7()}.parquet", f".{uuid7()}.parquet.0a1b2c3d.tmp"):
        shutil.copy2(known, known.with_name(name))
    backdate(lake)


class InProcess:
    """What `migrate` asks of its pool of workers, done where the faults are: in this process."""

    def __init__(self, setup: Setup, size: int, started: Sequence[Process]) -> None:
        self._setup = setup
        self._todo: list[list[MigrateJob]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        pass

    @property
    def busy(self) -> bool:
        return bool(self._todo)

    @property
    def has_room(self) -> bool:
        return not self._todo

    def give(self, batch: list[MigrateJob]) -> None:
        self._todo.append(batch)

    def answers(self) -> Iterator[tuple[list[MigrateJob], Any]]:
        batch = self._todo.pop()
        try:
            with lakestore.open(self._setup.root, dsn=self._setup.dsn, create=False) as lake:
                ledger = lake.parts().catalog.ledger(self._setup.claimant)
                yield batch, Batch(lake, ledger, self._setup.options).run(batch)
        except LakestoreError as exc:
            yield batch, exc


def _lay_pile(lake: Lake) -> None:
    pile = lake.root.parent / "pile"
    pile.mkdir()
    for task_id, text in PILE.items():
        (pile / f"{task_id}.json").write_bytes(text)


def _migrate(lake: Lake) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lakestore.migrate.run.Pool", InProcess)
        summary = migrate(lake, [lake.root.parent / "pile"], Options(batch_size=2))
    if summary.failed:
        raise StorageError(f"{summary.failed} files were not brought in")


def _lay_migrated_pile(lake: Lake) -> None:
    _lay_pile(lake)
    _migrate(lake)


def _archive(lake: Lake) -> None:
    kept = [entry for entry in archive(lake, lake.root.parent / "pile", lake.root.parent / "away") if entry.reason]
    if kept:
        raise StorageError(f"{kept[0].path} was not put away: {kept[0].reason}")


def _nothing_of_the_pile_is_lost(lake: Lake) -> None:
    """Assert that each source file is where it was, or in an archive that can be read."""
    there = {path.name: path.read_bytes() for path in (lake.root.parent / "pile").iterdir()}
    for path in archives(lake.root.parent / "away"):
        with opened(path) as (_, files):
            for packed, stream in files:
                assert there.setdefault(packed.path, text := stream.read()) == text
    assert there == {f"{task_id}.json": text for task_id, text in PILE.items()}


def _compact(lake: Lake) -> None:
    for each in compact(lake):
        if each.problem is not None:
            raise StorageError(each.problem)


def _compact_months(lake: Lake) -> None:
    for each in compact(lake, partition="month"):
        if each.problem is not None:
            raise StorageError(each.problem)


def _lose_a_result(lake: Lake) -> None:
    """Leave a result that the catalog does not know, as an old backup does, and a delete without its tombstone."""
    lake.save(_LOST, task_id="lost")
    backdate(lake)
    with psycopg.connect(lake.conninfo) as conn:
        conn.execute("DELETE FROM files USING backtest_results WHERE name = write_id AND task_id = 'lost'")
        conn.execute("DELETE FROM backtest_results WHERE task_id = 'lost'")
    _lose_tombstones(lake)


def _lose_tombstones(lake: Lake) -> None:
    """Leave deletes and replacements without their tombstones."""
    for path in (lake.root / "_lakestore" / "tombstones").iterdir():
        path.unlink()


def _sync(lake: Lake) -> None:
    found = [each.kind for each in sync(lake) if each.kind != "tombstone"]
    assert not found, found


def _adopt(lake: Lake) -> None:
    found = [each for each in sync(lake, adopt=True, deep=True) if each.is_harm or each.kind == "refused"]
    assert not found, found


def _rebuild(lake: Lake) -> None:
    lake.close()
    _rebuild_at(lake.root, lake.conninfo)


def _rebuild_at(root: Path, dsn: str) -> None:
    found = rebuild(root, dsn=dsn)
    assert not (found.doubtful or found.incomplete or found.damaged), found


_LOST = document("lost")
PILE = {task_id: document(task_id, strategy="breakout") for task_id in ("p", "q", "r")}
_NEW = document("new", strategy="breakout")
_OTHER = document("b", 2)
_BATCH = {"b": document("b", 3), "m": document("m", strategy="breakout"), "n": document("n")}

JOBS = (
    Job("save", lambda lake: lake.save(_NEW, task_id="new"), {"new": _NEW}),
    Job("save many", _save_many, dict(_BATCH)),
    Job("replace", lambda lake: lake.save(_OTHER, task_id="b", replace=True), {"b": _OTHER}),
    Job("delete", _delete, {"a": None}),
    Job("restore", _restore, {"gone": document("gone")}),
    Job("migrate", _migrate, dict(PILE), _lay_pile, whole=False, check=_nothing_of_the_pile_is_lost),
    Job("archive", _archive, {}, _lay_migrated_pile, before=PILE, check=_nothing_of_the_pile_is_lost),
    Job("compact", _compact, prepare=_leave_files, whole=False),
    Job("compact --partition", _compact_months, whole=False),
    Job(
        "replace in a compacted file",
        lambda lake: lake.save(_OTHER, task_id="b", replace=True),
        {"b": _OTHER},
        _compact,
    ),
    Job("delete in a compacted file", _delete, {"a": None}, _compact),
    Job("sync", _sync, prepare=_lose_tombstones),
    Job("sync --adopt", _adopt, {"lost": _LOST}, _lose_a_result, whole=False, keeps=True),
    Job("sync --rebuild", _rebuild, prepare=_compact, whole=False, recover=_rebuild_at),
    Job("vacuum", lambda lake: vacuum(lake, older_than=timedelta()), prepare=_leave_files, whole=False),
)
BY_NAME = {job.name: job for job in JOBS}
