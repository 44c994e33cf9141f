"""A lake against a dict: whatever is done in whatever order, it holds what a dict would, and nothing is left over."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from uuid import uuid4

import hypothesis
import hypothesis.strategies as st
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg import sql
from psycopg.conninfo import make_conninfo

import lakestore
from lakestore import Item, Lake
from lakestore.errors import AlreadyExistsError, LakestoreError, NotFoundError, StorageError
from lakestore.maintenance.compact import compact
from lakestore.maintenance.rebuild import rebuild
from lakestore.maintenance.restore import restore, versions
from lakestore.maintenance.sync import sync
from lakestore.maintenance.verify import verify
from tests.crash.faults import Faults
from tests.databases import drop
from tests.lake_state import check, check_files, document, tidy, unknown_files

EXAMPLES = int(os.environ.get("LAKESTORE_EXAMPLES", "5"))
STEPS = int(os.environ.get("LAKESTORE_STEPS", "20"))

task_ids = st.sampled_from(("a", "b", "c", "../d"))
texts = st.builds(
    lambda version, strategy, rows: (version, strategy, rows),
    st.integers(0, 2),
    st.sampled_from(("sma", "a=b")),
    st.sampled_from((0, 2, 5)),
)


class Machine(RuleBasedStateMachine):
    """`live` is the dict; `let_go` are the versions of each result that can be brought back, the last one last."""

    postgres = ""
    folder = Path()

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[str, bytes] = {}
        self.let_go: dict[str, list[bytes]] = {}
        self.name = f"machine_{uuid4().hex}"
        self.root = self.folder / self.name
        with psycopg.connect(self.postgres, autocommit=True) as conn:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.name)))
        self.dsn = make_conninfo(self.postgres, dbname=self.name)
        self.lake: Lake = lakestore.open(self.root, dsn=self.dsn)

    @initialize(numbers=st.booleans())
    def first(self, numbers: bool) -> None:
        if numbers:
            self._done("a", document("a"))
            self.lake.save(document("a"), task_id="a")

    def _done(self, task_id: str, text: bytes | None) -> None:
        """Let the model follow a change that succeeded."""
        old = self.live.pop(task_id, None)
        if old is not None and old != text:
            self.let_go.setdefault(task_id, []).append(old)
        if text is not None:
            self.live[task_id] = text

    @rule(task_id=task_ids, text=texts, replace=st.booleans(), fault=st.none() | st.integers(0, 40))
    def save(self, task_id: str, text: tuple[int, str, int], replace: bool, fault: int | None) -> None:
        wanted = document(task_id, text[0], strategy=text[1], rows=text[2])
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

    @contextmanager
    def _disturbed(self, at: int | None) -> Iterator[None]:
        """Let the file system refuse operation `at`, if there is one that late."""
        faults = Faults(self.folder, "input/output error", -1 if at is None else at)
        faults.armed = True
        with faults.installed() if at is not None else nullcontext():
            yield

    @rule(
        items=st.lists(st.tuples(task_ids, texts), min_size=1, max_size=4, unique_by=lambda item: item[0]),
        replace=st.booleans(),
        fault=st.none() | st.integers(0, 60),
    )
    def save_many(self, items: list[tuple[str, tuple[int, str, int]]], replace: bool, fault: int | None) -> None:
        wanted = {task: document(task, text[0], strategy=text[1], rows=text[2]) for task, text in items}
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
        if task_id in self.live:
            self.lake.delete(task_id)
            self._done(task_id, None)
        else:
            with pytest.raises(NotFoundError):
                self.lake.delete(task_id)

    @rule(task_id=task_ids, replace=st.booleans())
    def restore(self, task_id: str, replace: bool) -> None:
        kept = self.let_go.get(task_id, [])
        assert [each.info.json_size for each in versions(self.lake, task_id)] == [len(text) for text in reversed(kept)]
        if not kept:
            with pytest.raises(NotFoundError):
                restore(self.lake, task_id, replace=replace)
        elif task_id in self.live and self.live[task_id] != kept[-1] and not replace:
            with pytest.raises(AlreadyExistsError):
                restore(self.lake, task_id)
        else:
            restore(self.lake, task_id, replace=replace)
            self._done(task_id, kept[-1])

    @rule()
    def vacuum(self) -> None:
        tidy(self.lake)
        self.let_go.clear()

    @rule(month=st.booleans())
    def compact(self, month: bool) -> None:
        assert [each.problem for each in compact(self.lake, partition="month" if month else None) if each.problem] == []

    @rule()
    def rebuild(self) -> None:
        self.lake.close()
        found = rebuild(self.root, dsn=self.dsn)
        assert (found.results, found.versions) == (len(self.live), sum(map(len, self.let_go.values())))
        assert not (found.doubtful or found.incomplete or found.damaged)
        self.lake = lakestore.open(self.root, dsn=self.dsn, create=False)

    @rule()
    def reopen(self) -> None:
        self.lake.close()
        self.lake = lakestore.open(self.root, dsn=self.dsn, create=False)

    @precondition(lambda self: self.live)
    @rule()
    def verify(self) -> None:
        assert {each.task_id: each.problem for each in verify(self.lake)} == dict.fromkeys(self.live)

    @invariant()
    def holds_what_the_dict_holds(self) -> None:
        check(self.lake, self.live)

    @invariant()
    def is_in_order(self) -> None:
        # A tombstone that a failing disk kept from being written comes now.
        assert {found.kind for found in sync(self.lake)} <= {"tombstone"}
        assert list(sync(self.lake)) == []

    @invariant()
    def leaves_no_file_that_nobody_knows(self) -> None:
        assert unknown_files(self.lake) == set()

    def teardown(self) -> None:
        try:
            # What a step has met is not to be hidden by what comes of it.
            if sys.exception() is None:
                check_files(self.root)
                tidy(self.lake)
                check(self.lake, self.live)
        finally:
            self.lake.close()
            with psycopg.connect(self.postgres, autocommit=True) as conn:
                drop(conn, self.name)
            shutil.rmtree(self.root)


def run(postgres: str, folder: Path, *, examples: int, steps: int, seed: int | None = None) -> None:
    """Try so many sequences of so many steps at most."""
    machine = type("Machine", (Machine,), {"postgres": postgres, "folder": folder})
    if seed is not None:
        hypothesis.seed(seed)(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_lake_does_what_a_dict_does(postgres: str, fast_folder: str) -> None:
    with tempfile.TemporaryDirectory(prefix="lakestore-test-", dir=fast_folder) as folder:
        run(postgres, Path(folder), examples=EXAMPLES, steps=STEPS)
