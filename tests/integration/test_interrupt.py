"""Ctrl-C: a result is whole or not there, files of one that is not there do not stay, and a lake can be opened."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

import lakestore
from lakestore import Item, Lake
from lakestore.catalog import Catalog, transactions
from lakestore.catalog.connect import Connections
from lakestore.maintenance import restore
from lakestore.stamp import Stamp

RUN = {"strategy": "s", "trades": [{"pnl": 1.5}]}
Save = Callable[[Lake, dict[str, Any], str, bool], object]


def one(lake: Lake, run: dict[str, Any], task_id: str, replace: bool = False) -> object:
    return lake.save(run, task_id=task_id, replace=replace)


def many(lake: Lake, run: dict[str, Any], task_id: str, replace: bool = False) -> object:
    items = [Item(document=run, task_id=name) for name in (f"{task_id}2", task_id)]
    return lake.save_many(items, replace=replace)


def data_files(lake: Lake) -> set[str]:
    found = (path.relative_to(lake.root).as_posix() for path in lake.root.rglob("*.parquet"))
    return {path for path in found if not path.startswith("_lakestore")}


@contextmanager
def ctrl_c_once_somebody_waits(dsn: str) -> Iterator[None]:
    """Send SIGINT to this process as soon as a session waits for a lock."""
    done = threading.Event()
    # A shell that starts something behind itself lets it ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch() -> None:
        with psycopg.connect(dsn, autocommit=True) as conn:
            asked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database "
            asked += "WHERE datname = current_database())"
            while not done.wait(0.02):
                if conn.execute(asked).fetchall() != [(0,)]:
                    os.kill(os.getpid(), signal.SIGINT)
                    return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("save", [one, many])
def test_ctrl_c_before_the_commit_leaves_nothing(lake: Lake, dsn: str, save: Save) -> None:
    save(lake, RUN, "a", False)
    before = data_files(lake)
    with psycopg.connect(dsn) as conn:
        conn.execute("LOCK TABLE backtest_results IN SHARE MODE")
        with ctrl_c_once_somebody_waits(dsn):
            # The cleaning up waits for nobody: a session that reads is not kept out.
            with pytest.raises(KeyboardInterrupt):
                save(lake, RUN, "b", False)
    assert data_files(lake) == before
    assert not lake.exists("b")
    save(lake, RUN, "b", False)
    assert lake.load("b").document == RUN


@pytest.mark.parametrize("save", [one, many])
@pytest.mark.parametrize("before", [True, False])
def test_ctrl_c_around_the_commit_is_told_from_its_end(
    lake: Lake, save: Save, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(lake, RUN, "a", False)
    files = data_files(lake)
    changed = {**RUN, "trades": [{"pnl": 2.5}]}
    commit = Catalog.commit

    def broken_off(self: Catalog, *args: Any, **kwargs: Any) -> Any:
        if not before:
            commit(self, *args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "commit", broken_off)
        with pytest.raises(KeyboardInterrupt):
            save(lake, changed, "a", True)
    if before:
        assert data_files(lake) == files
        assert lake.load("a").document == RUN
    else:
        assert data_files(lake) > files
        assert lake.load("a").document == changed
    # What is in is a success.
    save(lake, changed, "a", True)
    assert lake.load("a").document == changed


@pytest.mark.parametrize("where", [(Catalog, "open"), (Stamp, "warn")])
def test_a_lake_whose_making_was_broken_off_is_opened_by_the_next(
    tmp_path: Path, dsn: str, where: tuple[type, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*where, broken_off)
        with pytest.raises(KeyboardInterrupt):
            lakestore.open(tmp_path / "new", dsn=dsn)
    with lakestore.open(tmp_path / "new", dsn=dsn) as lake:
        lake.save(RUN, task_id="a")
        assert lake.load("a").document == RUN


def test_ctrl_c_in_a_restore_brings_back_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.save(RUN, task_id="a")
    lake.delete("a")
    files = data_files(lake)

    def broken_off(self: Catalog, *args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "commit", broken_off)
        with pytest.raises(KeyboardInterrupt):
            restore(lake, "a")
    assert data_files(lake) == files and not lake.exists("a")
    restore(lake, "a")
    assert lake.load("a").document == RUN


def test_ctrl_c_whose_end_cannot_be_told_keeps_the_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: Connections, **_: Any) -> Any:
        raise psycopg.OperationalError("away")

    def broken_off(self: Catalog, *args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(transactions, "RESOLVE_SECONDS", 0.2)
        monkeypatch.setattr(Connections, "take", away)
        raise KeyboardInterrupt

    monkeypatch.setattr(Catalog, "commit", broken_off)
    with pytest.raises(KeyboardInterrupt):
        one(lake, RUN, "a")
    assert len(data_files(lake)) == 2
