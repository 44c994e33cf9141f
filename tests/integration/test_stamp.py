"""A catalog that is older than its lake is known: nothing is saved or vacuumed until it has taken in what it missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lakestore import Item, Lake, home, stamp
from lakestore.errors import CatalogError, CorruptFileError
from lakestore.maintenance import rebuild, restore, sync, vacuum
from tests.databases import drop
from tests.lake_state import backdate, tidy


class Clock:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home.make(tmp_path / "lake", partition="day", numbers="decimal", exist_ok=False)
    return tmp_path / "lake"


def opened(root: Path, dsn: str, clock: Clock) -> Lake:
    found = home.find(root)
    assert found is not None
    return Lake(root, dsn, found, now=clock)


def run(n: int, **more: Any) -> dict[str, Any]:
    return {"strategy": "s", "created_at": "2026-01-01", "signals": [{"n": n}], **more}


@contextmanager
def copied(dsn: str, postgres: str) -> Iterator[str]:
    """A copy of a database as it is now, as a backup restored later is."""
    name = f"copy_{uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as conn:
        names = map(sql.Identifier, (name, str(conninfo_to_dict(dsn)["dbname"])))
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        try:
            yield make_conninfo(dsn, dbname=name)
        finally:
            drop(conn, name)


def test_an_old_copy_of_the_catalog_refuses_saves_until_it_has_taken_in_what_it_missed(
    root: Path, dsn: str, postgres: str, clock: Clock
) -> None:
    with opened(root, dsn, clock) as lake:
        lake.save(run(1), task_id="a")
    with copied(dsn, postgres) as old:
        clock.wait(61)
        with opened(root, dsn, clock) as lake:
            lake.save(run(2), task_id="b")
            backdate(lake)
        with opened(root, old, clock) as lake:
            before = {path for path in root.rglob("*") if path.is_file()}
            refused: list[Callable[[], object]] = [
                lambda: lake.save(run(3), task_id="c"),
                lambda: lake.save_many([Item(document=run(3), task_id="c")]),
                lambda: vacuum(lake),
            ]
            # Asking often does not help.
            for attempt in refused * 2:
                with pytest.raises(CatalogError, match=r"older than its lake.*'lakestore catalog sync --adopt'"):
                    attempt()
            assert {path for path in root.rglob("*") if path.is_file()} == before
            assert lake.load("a").document == run(1) and not lake.exists("b")
            assert [found.kind for found in sync(lake)] == ["unsaved", "behind"]
            with pytest.raises(CatalogError, match="older than its lake"):
                lake.save(run(3), task_id="c")
            assert [found.kind for found in sync(lake, adopt=True)] == ["adopted", "behind"]
            assert list(sync(lake)) == []
            lake.save(run(3), task_id="c")
            assert {info.task_id for info in lake.results()} == {"a", "b", "c"}
            tidy(lake)


def test_an_old_copy_is_told_of_when_it_is_opened_and_deletes_nothing(
    root: Path, dsn: str, postgres: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(root, dsn, clock) as lake:
        lake.save(run(1), task_id="a")
        assert all(each.ok for each in lake.doctor() if each.name != "disk")
    with copied(dsn, postgres) as old:
        clock.wait(61)
        with opened(root, dsn, clock) as lake:
            lake.save(run(2), task_id="b")
        assert caplog.messages == []
        with opened(root, old, clock) as lake:
            (message,) = caplog.messages
            assert "older than its lake" in message and "'lakestore catalog sync --adopt'" in message
            assert [each.name for each in lake.doctor() if not each.ok and each.name != "disk"] == [
                "catalog is the lake's last"
            ]
            before = {path for path in root.rglob("*") if path.is_file()}
            # Others would go on to see it.
            with pytest.raises(CatalogError, match="older than its lake"):
                lake.delete("a")
            assert {path for path in root.rglob("*") if path.is_file()} == before
            backdate(lake)
            list(sync(lake, adopt=True))
            lake.delete("a")
            assert all(each.ok for each in lake.doctor() if each.name != "disk")


def test_saving_again_what_an_old_copy_lists_is_no_success(root: Path, dsn: str, postgres: str, clock: Clock) -> None:
    with opened(root, dsn, clock) as lake:
        lake.save(run(1), task_id="a")
    with copied(dsn, postgres) as old:
        clock.wait(61)
        with opened(root, dsn, clock) as lake:
            lake.delete("a")
        with opened(root, old, clock) as lake:
            assert lake.exists("a")
            for attempt in (
                lambda: lake.save(run(1), task_id="a"),
                lambda: lake.save_many([Item(document=run(1), task_id="a")]),
            ):
                with pytest.raises(CatalogError, match="older than its lake"):
                    attempt()
            backdate(lake)
            list(sync(lake, adopt=True))
            assert not lake.exists("a")
            lake.save(run(1), task_id="a")
            assert lake.load("a").document == run(1)


def test_field_ids_given_out_since_are_not_given_out_again(root: Path, dsn: str, postgres: str, clock: Clock) -> None:
    with opened(root, dsn, clock) as lake:
        lake.save(run(1), task_id="a")
    with copied(dsn, postgres) as old:
        with opened(root, dsn, clock) as lake:
            # Within the same minute: new columns are told of at once.
            lake.save(run(2, fills=[{"q": 1, "r": 2}]), task_id="b")
            lost = {column.field_id for column in lake.tables()["fills"].columns}
        with opened(root, old, clock) as lake:
            with pytest.raises(CatalogError, match="older than its lake"):
                lake.save(run(3), task_id="c")
            # Too young to be taken in, as if their save could still be under way.
            assert [found.kind for found in sync(lake, adopt=True)] == ["unsaved", "behind"]
            with pytest.raises(CatalogError, match="older than its lake"):
                lake.save(run(3), task_id="c")
            backdate(lake)
            assert [found.kind for found in sync(lake, adopt=True)] == ["adopted", "behind"]
            lake.save(run(3, other=[{"x": 1}]), task_id="c")
            assert lost.isdisjoint(column.field_id for column in lake.tables()["other"].columns)
            assert lake.load("b").document == run(2, fills=[{"q": 1, "r": 2}])


def test_an_open_lake_notices_that_its_catalog_was_put_back(root: Path, dsn: str, clock: Clock) -> None:
    with opened(root, dsn, clock) as lake, psycopg.connect(dsn, autocommit=True) as conn:
        lake.save(run(1), task_id="a")
        lake.delete("a")
        conn.execute("UPDATE lake SET schema_counter = schema_counter - 1")
        for attempt in (lambda: lake.save(run(2), task_id="b"), lambda: restore(lake, "a")):
            with pytest.raises(CatalogError, match="older than its lake"):
                attempt()


def test_one_of_all_presses_a_stamp_once_a_minute(
    root: Path, dsn: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(root, dsn, clock) as lake, opened(root, dsn, clock) as other:
        lake.save(run(1), task_id="a")
        pressed = []
        write = stamp.Stamp._write

        def counted(self: stamp.Stamp, *args: int) -> None:
            pressed.append(args)
            write(self, *args)

        monkeypatch.setattr(stamp.Stamp, "_write", counted)
        for n in range(4):
            lake.save(run(n), task_id=f"a{n}")
            other.save(run(n), task_id=f"b{n}")
        assert pressed == []
        clock.wait(61)
        for n in range(4, 8):
            other.save(run(n), task_id=f"b{n}")
            lake.save(run(n), task_id=f"a{n}")
        assert len(pressed) == 1
        clock.wait(-7200)
        lake.save(run(9), task_id="a9")
        assert len(pressed) == 2


def test_a_rebuilt_catalog_is_the_present_one(root: Path, dsn: str, postgres: str, clock: Clock) -> None:
    with copied(dsn, postgres) as empty:
        with opened(root, dsn, clock) as lake:
            lake.save(run(1), task_id="a")
        rebuild(root, dsn=empty)
        with opened(root, empty, clock) as lake:
            lake.save(run(2), task_id="b")
            assert list(sync(lake)) == []


def test_a_stamp_that_cannot_be_understood_is_named(root: Path, dsn: str, clock: Clock) -> None:
    with opened(root, dsn, clock) as lake:
        (root / stamp.NAME).write_text("{}")
        with pytest.raises(CorruptFileError, match=r"stamp\.json is not a lake's stamp"):
            lake.save(run(1), task_id="a")
        (root / stamp.NAME).unlink()
        lake.save(run(1), task_id="a")
