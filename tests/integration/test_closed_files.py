"""Files that somebody else saved and that are closed to us, as root's under a umask of 077."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

import lakestore
from lakestore import Item, Lake, home
from lakestore.maintenance import compact, rebuild, restore, sync, vacuum, verify
from tests.lake_state import unknown_files

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything; anybody else is kept out by a mode of 0."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that nobody can reach, unlike those below pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name) / "lake"


CLOSED = ("strategy=theirs", "strategy=theirs/run_date=2026-01-31", "a file")


def shut(place: Path, what: str) -> list[Path]:
    """Close a strategy's folders, or its files, in both tables."""
    those = [
        next((place / table / "strategy=theirs").rglob("*.parquet")) if what == "a file" else place / table / what
        for table in ("results", "trades")
    ]
    for path in those:
        path.chmod(0)
    return those


def fill(lake: Lake) -> None:
    for strategy in ("ours", "theirs"):
        lake.save({"strategy": strategy, "trades": [{"n": 1}]}, task_id=strategy, created_at="2026-01-31")


@pytest.mark.parametrize("closed", CLOSED)
def test_a_closed_partition_closes_nothing_else(place: Path, dsn: str, closed: str) -> None:
    with lakestore.open(place, dsn=dsn) as lake:
        fill(lake)
        those = shut(place, closed)
        # The catalog's socket is root's where the tests are.
        assert lake.exists("ours")
        with as_nobody():
            assert home.holds_data(place)
            assert {info.task_id for info in lake.results()} == {"ours", "theirs"}
            assert lake.load("ours").document == {"strategy": "ours", "trades": [{"n": 1}]}
            assert lake.sql("SELECT n FROM trades WHERE strategy = 'ours'").fetchall() == [(1,)]
            with pytest.raises(lakestore.StorageError, match=r"cannot .*strategy=theirs.*: Permission denied"):
                lake.load("theirs")
            with pytest.raises(lakestore.StorageError, match=r"cannot .*strategy=theirs.*: Permission denied"):
                lake.sql("SELECT n FROM trades", untrusted=True)
            told = {each.name: each.detail for each in lake.doctor() if not each.ok}
            assert told["data files open to us"].startswith("2 cannot be read")
        for path in those:
            path.chmod(0o755)
        with as_nobody():
            assert lake.load("theirs").document == {"strategy": "theirs", "trades": [{"n": 1}]}
            assert "data files open to us" not in {each.name for each in lake.doctor() if not each.ok}


def test_what_cannot_be_looked_into_may_hold_data(place: Path) -> None:
    (place / "results" / "strategy=theirs").mkdir(parents=True)
    with as_nobody():
        assert not home.holds_data(place)
    (place / "results" / "strategy=theirs").chmod(0)
    with as_nobody():
        assert home.holds_data(place)


def test_a_catalog_is_not_thrown_away_for_files_that_are_closed(
    place: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lakestore.open(place, dsn=dsn) as lake:
        fill(lake)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode, **_: "theirs" not in str(path))
        with pytest.raises(lakestore.StorageError, match=r"strategy=theirs.*: Permission denied; nothing was done"):
            rebuild(place, dsn=dsn)
    with lakestore.open(place, dsn=dsn, create=False) as lake:
        assert lake.exists("theirs") and lake.exists("ours")
    assert rebuild(place, dsn=dsn).results == 2


def test_a_lake_that_may_only_be_read_is_read_and_each_write_says_where_and_what_to_do(place: Path, dsn: str) -> None:
    with lakestore.open(place, dsn=dsn) as lake:
        fill(lake)
        for task_id in ("gone", "more"):
            lake.save({"strategy": "ours", "trades": [{"n": 2}]}, task_id=task_id, created_at="2026-01-31")
        lake.delete("gone")
        new = {"strategy": "new", "trades": [{"n": 3}]}
        for path in (place, *place.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = {info.task_id: info for info in lake.results()}
        writes: list[Callable[[], object]] = [
            lambda: lake.save(new),
            lambda: lake.save(new, task_id="ours", replace=True),
            lambda: lake.save_many([Item(document=new)]),
            lambda: restore(lake, "gone"),
            lambda: list(compact(lake, partition="month")),
            lambda: list(compact(lake)),
            lambda: vacuum(lake, older_than=timedelta()),
        ]
        with as_nobody():
            assert lake.load("ours").document == {"strategy": "ours", "trades": [{"n": 1}]}
            assert lake.sql("SELECT sum(n) FROM trades").fetchall() == [(4,)]
            assert lake.sql("SELECT sum(n) FROM trades", untrusted=True).fetchall() == [(4,)]
            assert lake.connect().sql("SELECT sum(n) FROM trades").fetchall() == [(4,)]
            assert [each.problem for each in verify(lake)] == [None] * 3 and list(sync(lake, deep=True)) == []
            for write in writes:
                with pytest.raises(lakestore.StorageError) as caught:
                    write()
                assert re.search(rf"cannot \w+ .*{place}/\S*: .*ask its owner for permission", str(caught.value))
        assert {info.task_id: info for info in lake.results()} == before
        assert unknown_files(lake) == set()
        for path in (place, *place.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        assert list(sync(lake, deep=True)) == []
