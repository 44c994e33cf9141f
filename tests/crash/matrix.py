"""The crash matrix: each job in a process of its own, disturbed at its n-th operation, and what is left looked at."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import uuid4

import duckdb
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

import lakestore
from lakestore import stamp
from lakestore.errors import LakestoreError
from tests.crash.faults import FAULTS, Faults, Op
from tests.crash.jobs import BEFORE, BY_NAME, Job, prepare
from tests.databases import drop
from tests.lake_state import check, check_files, settled, tidy, unknown_files

KILLED = -9
_SECONDS = 60.0
"""How long a job may take, disturbed or not."""

processes = multiprocessing.get_context("forkserver")
"""Children come from a process that has the library loaded and nothing else: no threads, no connections."""
processes.set_forkserver_preload(["tests.crash.matrix"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the work ended: `done`, the `kind` of its error, or `killed`; what it did, and what befell it."""

    end: str
    message: str = ""
    ops: tuple[Op, ...] = ()
    fired: Op | None = None


@dataclass
class Prototype:
    """A lake made once for a job and copied for each case: its folder and its database."""

    job: Job
    postgres: str
    folder: Path
    database: str = field(default_factory=lambda: f"crash_{uuid4().hex}")

    def __post_init__(self) -> None:
        self._admin("CREATE DATABASE {}", self.database)
        with lakestore.open(self.folder / "lake", dsn=make_conninfo(self.postgres, dbname=self.database)) as lake:
            prepare(lake, self.job)
            # Each case begins as after a minute without saves.
            (lake.root / stamp.NAME).unlink()
            check(lake, {**BEFORE, **self.job.before})

    @contextmanager
    def copy(self, folder: Path) -> Iterator[tuple[Path, str]]:
        """A copy of the lake: its folder and its DSN; gone afterwards."""
        name = f"crash_{uuid4().hex}"
        shutil.copytree(self.folder, folder)
        self._admin("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log", name, self.database)
        try:
            yield folder / "lake", make_conninfo(self.postgres, dbname=name)
        finally:
            self._drop(name)
            shutil.rmtree(folder)

    def close(self) -> None:
        """Drop the database."""
        self._drop(self.database)

    def _drop(self, name: str) -> None:
        with psycopg.connect(self.postgres, autocommit=True) as conn:
            drop(conn, name)

    def _admin(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.postgres, autocommit=True) as conn:
            conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def work(job: str, root: Path, dsn: str, fault: str, at: int, pipe: Connection) -> None:
    """What a child does: the job, disturbed; how it ended goes into the pipe, if it lives to say so."""
    # Warnings, as of a tombstone that could not be written, are many here.
    logging.getLogger("lakestore").setLevel(logging.ERROR)
    faults = Faults(root.parent, fault, at)
    with faults.installed(), lakestore.open(root, dsn=dsn, create=False) as lake:
        faults.armed = True
        try:
            BY_NAME[job].run(lake)
        except LakestoreError as exc:
            end, message = exc.kind, str(exc)
        else:
            end, message = "done", ""
            # From here on the caller knows.
            faults.step("return", "")
        faults.armed = False
    pipe.send(Outcome(end, message, tuple(faults.ops), faults.fired))


def run(job: Job, root: Path, dsn: str, fault: str = "", at: int = -1) -> Outcome:
    """Run a job in a child, disturbed at its operation `at`."""
    ours, theirs = processes.Pipe(duplex=False)
    child = processes.Process(target=work, args=(job.name, root, dsn, fault, at, theirs), daemon=True)
    child.start()
    theirs.close()
    child.join(_SECONDS)
    if child.is_alive():
        child.kill()
        raise AssertionError(f"{job.name} hangs: {fault} at operation {at}")
    if child.exitcode == KILLED:
        return Outcome("killed")
    assert child.exitcode == 0, f"{job.name} ended with {child.exitcode}: {fault} at operation {at}"
    found: Outcome = ours.recv()
    return found


def cases(ops: tuple[Op, ...]) -> list[tuple[str, int]]:
    """Every fault at every operation that it can befall."""
    return [(fault, at) for at, op in enumerate(ops) for fault, (_, kinds) in FAULTS.items() if op.kind in kinds]


def judge(job: Job, root: Path, dsn: str, outcome: Outcome) -> None:
    """Assert everything that is promised of a lake in which the job ended so, and that it can be done again."""
    before, after = {**BEFORE, **job.before}, job.after()
    check_files(root)
    if job.recover is not None and outcome.end != "done":
        job.recover(root, dsn)
    with lakestore.open(root, dsn=dsn, create=False) as lake:
        found = settled(lake, before, after, whole=job.whole)
        if outcome.end == "done":
            assert found == after, "what was acknowledged is not there"
        elif outcome.end not in ("killed", "commit_unknown") and job.whole:
            assert found == before, f"what was refused is there: {outcome.message}"
            assert unknown_files(lake) == set() or outcome.fired.kind == "unlink", "a refused save left files"
        check(lake, found)
        job.check(lake)
        # What was let go stays: the job may be to bring it back.
        if not job.keeps:
            tidy(lake, keep=timedelta(days=1))
            check(lake, found)
        job.run(lake)
    with lakestore.open(root, dsn=dsn, create=False) as lake:
        check(lake, after)
        tidy(lake)
        check(lake, after)
        job.check(lake)
    check_files(root)


def try_case(prototype: Prototype, folder: Path, fault: str, at: int) -> Outcome:
    """One case from a fresh copy of the lake to its last check."""
    with prototype.copy(folder) as (root, dsn):
        outcome = run(prototype.job, root, dsn, fault, at)
        try:
            judge(prototype.job, root, dsn, outcome)
        except (AssertionError, LakestoreError, duckdb.Error) as exc:
            op = outcome.fired or at
            raise AssertionError(f"{prototype.job.name}, {fault} at {op}, ended as {outcome.end}: {exc}") from exc
    return outcome
