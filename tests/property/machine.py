"""A lake beside a dict, for hypothesis to do anything to both in any order."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import duckdb
import hypothesis.strategies as st
import psycopg
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from psycopg import sql
from psycopg.conninfo import make_conninfo

import lakestore
from lakestore import Item, Lake, archive, home
from lakestore.errors import (
    AlreadyExistsError,
    CatalogError,
    CorruptFileError,
    LakestoreError,
    NotFoundError,
    StorageError,
)
from lakestore.maintenance.compact import TARGET, compact
from lakestore.maintenance.rebuild import rebuild
from lakestore.maintenance.restore import restore, versions
from lakestore.maintenance.sync import Finding, sync
from lakestore.maintenance.vacuum import vacuum
from lakestore.maintenance.verify import verify
from lakestore.model import Partition
from tests.crash.faults import Faults
from tests.databases import drop
from tests.lake_state import ROWS, TABLES, backdate, check, check_files, document, rows, tidy, unknown_files

Text = tuple[int, str, int, str | None]

task_ids = st.sampled_from(("a", "b", "c", "../d"))
texts = st.tuples(
    st.integers(0, 2),
    st.sampled_from(("sma", "a=b")),
    st.sampled_from((0, 2, 5)),
    st.sampled_from((None, "2024-06-30", "2025-05-01")),
)
batches = st.lists(st.tuples(task_ids, texts), min_size=1, max_size=4, unique_by=lambda item: item[0])


class Machine(RuleBasedStateMachine):
    """Whatever is done in whatever order, the lake holds what the dict holds, and nothing is left over.

    Attributes:
        live: the dict.
        let_go: the versions of each result that can be brought back, the last one last.
        ever: each version of each result that was ever saved, by its SHA-256.
        is_restored: the catalog is a copy that was restored, so that it may not know all that was let go, and files of
            it may be nobody's; until a rebuild or vacuum.
    """

    postgres = ""
    folder = Path()

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[str, bytes] = {}
        self.let_go: dict[str, list[bytes]] = {}
        self.ever: dict[str, dict[str, bytes]] = {}
        self.is_restored = False
        self.partition: Partition = "day"
        self.readers: list[tuple[duckdb.DuckDBPyConnection, dict[str, bytes]]] = []
        self.passed = timedelta()
        self.name = f"machine_{uuid4().hex}"
        self.backup: str | None = None
        self.root = self.folder / self.name / "lake"
        self.tree, self.away = self.root.parent / "tree", self.root.parent / "away"
        self.tree.mkdir(parents=True)
        self.admin = psycopg.connect(self.postgres, autocommit=True)
        self._create(self.name)
        self.dsn = make_conninfo(self.postgres, dbname=self.name)
        lakestore.open(self.root, dsn=self.dsn).close()
        self.lake = self._open()

    @initialize(numbers=st.booleans())
    def first(self, numbers: bool) -> None:
        if numbers:
            self._done("a", document("a"))
            self.lake.save(document("a"), task_id="a")

    # ---- results

    @rule(task_id=task_ids, text=texts, replace=st.booleans(), fault=st.none() | st.integers(0, 40))
    def save(self, task_id: str, text: Text, replace: bool, fault: int | None) -> None:
        wanted = self._document(task_id, text)
        old = self.live.get(task_id)
        with self._disturbed(fault):
            try:
                info = self.lake.save(wanted, task_id=task_id, replace=replace)
            except AlreadyExistsError:
                assert not replace and old not in (None, wanted)
            except StorageError:
                assert fault is not None
            else:
                assert replace or old in (None, wanted)
                assert info == self.lake.info(task_id)
                self._done(task_id, wanted)

    @rule(items=batches, replace=st.booleans(), fault=st.none() | st.integers(0, 60))
    def save_many(self, items: list[tuple[str, Text]], replace: bool, fault: int | None) -> None:
        wanted = {task_id: self._document(task_id, text) for task_id, text in items}
        with self._disturbed(fault):
            given = [Item(document=text, task_id=task) for task, text in wanted.items()]
            try:
                outcomes = self.lake.save_many(given, replace=replace)
            except StorageError:
                assert fault is not None
                return
        for (task_id, text), outcome in zip(wanted.items(), outcomes, strict=True):
            old = self.live.get(task_id)
            if isinstance(outcome, LakestoreError):
                taken = isinstance(outcome, AlreadyExistsError) and not replace and old not in (None, text)
                assert taken or (isinstance(outcome, StorageError) and fault is not None)
            else:
                assert replace or old in (None, text)
                self._done(task_id, text)

    @rule(task_id=task_ids)
    def delete(self, task_id: str) -> None:
        self._wait()
        if task_id in self.live:
            self.lake.delete(task_id)
            self._done(task_id, None)
        else:
            with pytest.raises(NotFoundError):
                self.lake.delete(task_id)

    @rule(task_id=task_ids, replace=st.booleans())
    def restore(self, task_id: str, replace: bool) -> None:
        kept = self.let_go.get(task_id, [])
        offered = [each.info.sha256 for each in versions(self.lake, task_id)]
        if self.is_restored:
            assert set(offered) <= self.ever.get(task_id, {}).keys()
            try:
                restore(self.lake, task_id, replace=replace)
            except (NotFoundError, AlreadyExistsError, CorruptFileError):
                # An old copy of the catalog may offer what vacuum has taken since.
                return
            self._done(task_id, self.ever[task_id][offered[0]])
            return
        assert offered == [sha256(text).hexdigest() for text in reversed(kept)]
        if not kept:
            with pytest.raises(NotFoundError):
                restore(self.lake, task_id, replace=replace)
        elif task_id in self.live and self.live[task_id] != kept[-1] and not replace:
            with pytest.raises(AlreadyExistsError):
                restore(self.lake, task_id)
        else:
            restore(self.lake, task_id, replace=replace)
            self._done(task_id, kept[-1])

    # ---- upkeep

    @rule()
    def vacuum(self) -> None:
        self._let_readers_go()
        tidy(self.lake)
        self.let_go.clear()
        self.is_restored = False

    @rule(
        table=st.sampled_from((None, *TABLES, "results")),
        coarser=st.sampled_from((False, False, True)),
        size=st.sampled_from((600, 6_000, TARGET)),
        fault=st.none() | st.integers(0, 60),
    )
    def compact(self, table: str | None, coarser: bool, size: int, fault: int | None) -> None:
        partition = self._coarser() if coarser else None
        with self._disturbed(fault):
            try:
                done = list(compact(self.lake, table=table, partition=partition, target_size=size))
            except StorageError:
                assert fault is not None
            else:
                assert [each.problem for each in done if each.problem] == []
        # Opening mends what was stopped between the catalog and the lake's own file.
        self.reopen()
        told = self.lake.parts().home.partition
        assert told == (partition or self.partition) or fault is not None
        self.partition = told

    @rule()
    def rebuild(self) -> None:
        self.lake.close()
        found = rebuild(self.root, dsn=self.dsn)
        assert not (found.doubtful or found.incomplete or found.damaged)
        self.lake = self._open()
        if self.is_restored:
            self._look_at_what_was_let_go()
        assert (found.results, found.versions) == (len(self.live), sum(map(len, self.let_go.values())))

    @rule()
    def reopen(self) -> None:
        self.lake.close()
        self.lake = self._open()

    @precondition(lambda self: self.live)
    @rule()
    def verify(self) -> None:
        assert {each.task_id: each.problem for each in verify(self.lake)} == dict.fromkeys(self.live)

    @rule(task_ids=st.sets(task_ids), other=st.booleans())
    def archive(self, task_ids: set[str], other: bool) -> None:
        """Files as engines leave them that write both; of another text than the lake's, and so kept, where told."""
        files: dict[Path, bytes] = {}
        for number, task_id in enumerate(sorted(task_ids)):
            path = self.tree / f"{number}" / f"{task_id.replace('../', '%2E.%2F')}.json"
            path.parent.mkdir(exist_ok=True)
            files[path] = document(task_id, 3) if other else self.live.get(task_id, document(task_id))
            path.write_bytes(files[path])
        for each in archive.archive(self.lake, self.tree, self.away):
            held = self.live.get(
                {str(path): task_id for path, task_id in zip(files, sorted(task_ids), strict=True)}[each.path]
            )
            assert (each.outcome == "archived") == (held == files[Path(each.path)]), each
        for path in files:
            if path.exists():
                path.unlink()
            else:
                (done,) = archive.restore(self.away, [str(path.relative_to(self.tree))])
                assert done.outcome == "restored" and path.read_bytes() == files[path]
                path.unlink()

    # ---- copies of the catalog

    @rule()
    def back_up(self) -> None:
        """A copy of the catalog, as pg_dump makes one."""
        self.lake.close()
        old, self.backup = self.backup, f"{self.name}_{uuid4().hex[:8]}"
        if old is not None:
            drop(self.admin, old)
        self._create(self.backup, self.name)
        self.lake = self._open()

    @precondition(lambda self: self.backup is not None)
    @rule(first=st.sampled_from((None, "vacuum", "compact", "save", "delete")), are_old=st.booleans())
    def bring_back(self, first: str | None, are_old: bool) -> None:
        """The old copy again, beside files that are an hour old or were just written, and what its owner is told to do.

        Args:
            first: what somebody does who is not told yet.
        """
        assert self.backup is not None
        self.lake.close()
        drop(self.admin, self.name)
        self._create(self.name, self.backup)
        if are_old:
            backdate(self.lake)
        self.lake = self._open()
        self.is_restored = True
        if first == "vacuum":
            self._let_readers_go()
            self._tried(lambda: vacuum(self.lake, older_than=timedelta()))
        elif first == "compact":
            self._tried(lambda: list(compact(self.lake)))
        elif first == "save" and self._tried(lambda: self.lake.save(document("new"), task_id="new", replace=True)):
            self._done("new", document("new"))
        elif first == "delete" and "a" in self.live and self._tried(lambda: self.lake.delete("a")):
            self._done("a", None)
        found = list(sync(self.lake, adopt=True))
        if not self._is_mended(found) and not are_old:
            backdate(self.lake)
            found = list(sync(self.lake, adopt=True))
        if not self._is_mended(found):
            self.rebuild()
            self.is_restored = False
        self.partition = home.find(self.root).partition  # type: ignore[union-attr]

    # ---- readers

    @rule()
    def look(self) -> None:
        if len(self.readers) < 3:
            self.readers.append((self.lake.connect(), dict(self.live)))

    @precondition(lambda self: self.readers)
    @rule(number=st.integers(0, 2))
    def refresh(self, number: int) -> None:
        con, _ = self.readers[number % len(self.readers)]
        self.lake.refresh(con)
        self.readers[number % len(self.readers)] = con, dict(self.live)

    # ---- what holds at any moment

    @invariant()
    def holds_what_the_dict_holds(self) -> None:
        check(self.lake, self.live)
        self._check_days()

    @invariant()
    def is_in_order(self) -> None:
        # A tombstone that a failing disk kept from being written comes now.
        left = {"leftover"} if self.is_restored else set()
        assert {found.kind for found in sync(self.lake)} <= {"tombstone", *left}
        assert {found.kind for found in sync(self.lake)} <= left

    @invariant()
    def leaves_no_file_that_nobody_knows(self) -> None:
        assert self.is_restored or unknown_files(self.lake) == set()

    @invariant()
    def readers_see_what_was_there_when_they_came(self) -> None:
        for con, seen in self.readers:
            assert con.sql("SELECT count(*) FROM results").fetchall() == [(len(seen),)]
            there = {name for (name,) in con.sql("SELECT table_name FROM information_schema.tables").fetchall()}
            for table, wanted in rows(seen).items():
                if table in there or wanted:
                    assert con.sql(ROWS.format(table=table)).fetchall() == wanted, table

    def teardown(self) -> None:
        try:
            self._let_readers_go()
            # What a step has met is not to be hidden by what comes of it.
            if sys.exception() is None:
                check_files(self.root)
                tidy(self.lake)
                check(self.lake, self.live)
        finally:
            self.lake.close()
            drop(self.admin, self.name)
            if self.backup is not None:
                drop(self.admin, self.backup)
            self.admin.close()
            shutil.rmtree(self.root.parent)

    # ---- what the steps are made of

    def _create(self, name: str, like: str = "template0") -> None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self.admin.execute(statement.format(sql.Identifier(name), sql.Identifier(like)))

    def _open(self) -> Lake:
        settings = home.find(self.root)
        assert settings is not None
        return Lake(self.root, self.dsn, settings, now=self._now)

    def _now(self) -> datetime:
        return datetime.now(UTC) + self.passed

    def _document(self, task_id: str, text: Text) -> bytes:
        """A document that is saved now."""
        self._wait()
        version, strategy, count, day = text
        return document(task_id, version, strategy=strategy, rows=count, day=day)

    def _wait(self) -> None:
        """Let a while pass that is longer than a stamp is fresh."""
        self.passed += timedelta(seconds=90)

    def _done(self, task_id: str, text: bytes | None) -> None:
        """Let the model follow a change that succeeded."""
        old = self.live.pop(task_id, None)
        if old is not None and old != text:
            self.let_go.setdefault(task_id, []).append(old)
        if text is not None:
            self.live[task_id] = text
            self.ever.setdefault(task_id, {})[sha256(text).hexdigest()] = text

    @contextmanager
    def _disturbed(self, at: int | None) -> Iterator[None]:
        """Let the file system refuse operation `at`, if there is one that late."""
        faults = Faults(self.folder, "input/output error", -1 if at is None else at)
        faults.armed = True
        with faults.installed() if at is not None else nullcontext():
            yield

    def _coarser(self) -> Partition | None:
        sizes: tuple[Partition, ...] = get_args(Partition)
        place = sizes.index(self.partition) + 1
        return sizes[place] if place < len(sizes) else None

    def _tried(self, work: Callable[[], Any]) -> bool:
        """Do what an old copy of the catalog may make impossible; return whether it was done."""
        try:
            work()
        except (CatalogError, CorruptFileError):
            return False
        return True

    def _is_mended(self, found: list[Finding]) -> bool:
        """Whether `sync --adopt` made the catalog what it was, by what it told."""
        return all(
            each.kind in ("adopted", "outdated", "leftover", "tombstone") or "go on" in each.detail for each in found
        )

    def _look_at_what_was_let_go(self) -> None:
        """Let the model follow what a rebuild found, as far as it is anything that ever was."""
        self.let_go = {}
        for task_id, known in self.ever.items():
            found = [known[each.info.sha256] for each in versions(self.lake, task_id)]
            if found:
                self.let_go[task_id] = found[::-1]
        self.is_restored = False

    def _let_readers_go(self) -> None:
        for con, _ in self.readers:
            con.close()
        self.readers.clear()

    def _check_days(self) -> None:
        """What is asked of a time finds what stands under a coarser partition."""
        if "signals" not in self.lake.tables():
            return
        joined = "FROM results r JOIN signals s USING (task_id)"
        days = self.lake.sql(f"SELECT r.created_at::DATE, r.run_date, count(*) {joined} GROUP BY ALL").fetchall()
        assert sum(count for *_, count in days) == len(rows(self.live)["signals"])
        for day, run_date, count in days:
            bounds = "r.created_at >= ? AND r.created_at < ? AND r.run_date = ?"
            asked = self.lake.sql(f"SELECT count(*) {joined} WHERE {bounds}", [day, day + timedelta(days=1), run_date])
            assert asked.fetchall() == [(count,)], (day, run_date)
