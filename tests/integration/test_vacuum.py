"""Vacuum: what was let go long enough is deleted, nothing that anybody needs ever is, and a rebuild stays right."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

import lakestore
from lakestore import Lake, tombstones
from lakestore.errors import CatalogError, ConflictError, InvalidInputError, StorageError
from lakestore.files import Files
from lakestore.maintenance import vacuum
from lakestore.maintenance.unknown import unknown

NOW = timedelta()
HOURS = timedelta(hours=2)
Dying = Callable[[], AbstractContextManager[None]]


def run(n: int, **more: Any) -> dict[str, Any]:
    return {"strategy": "s", "created_at": "2026-01-31T10:00:00Z", "signals": [{"x": n}, {"x": n + 1}], **more}


def on_disk(lake: Lake) -> set[str]:
    names = {path.relative_to(lake.root).as_posix() for path in lake.root.rglob("*.parquet")}
    return {name for name in names if not name.startswith("_lakestore")}


def live(lake: Lake) -> set[str]:
    return {file.path for file in lake.files()}


def age(lake: Lake, by: timedelta = HOURS) -> None:
    """Make every file of the lake's tables as old as that."""
    then = (datetime.now(UTC) - by).timestamp()
    for name in on_disk(lake):
        os.utime(lake.root / name, (then, then))


def stones(lake: Lake) -> list[Path]:
    return sorted((lake.root / tombstones.FOLDER).glob("*"))


def rows(lake: Lake, table: str) -> int:
    with psycopg.connect(lake.conninfo) as conn:
        found = conn.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
        assert found is not None
        return int(found[0])


def test_what_was_deleted_or_replaced_goes_after_the_grace_period_and_not_before(lake: Lake) -> None:
    for name in ("deleted", "replaced", "kept"):
        lake.save(run(1), task_id=name)
    lake.delete("deleted")
    lake.save(run(2), task_id="replaced", replace=True)
    assert vacuum(lake) == vacuum(lake, older_than=timedelta(minutes=1))
    assert len(on_disk(lake)) == 8
    done = vacuum(lake, older_than=NOW)
    assert (len(done.files), done.versions, {file.why for file in done.files}) == (4, 2, {"let go"})
    assert on_disk(lake) == live(lake) and len(live(lake)) == 4
    assert lake.load("replaced").document == run(2) and lake.load("kept").document == run(1)
    assert lake.sql("SELECT count(*) FROM signals").fetchall() == [(4,)]
    assert [rows(lake, table) for table in ("deleted_results", "data_files", "result_files", "dead_rows")] == [
        0,
        4,
        4,
        0,
    ]


def test_a_dry_run_tells_what_would_go_and_does_nothing(lake: Lake) -> None:
    lake.save(run(1), task_id="a")
    lake.delete("a")
    before = on_disk(lake), stones(lake), rows(lake, "deleted_results")
    told = vacuum(lake, older_than=NOW, dry_run=True)
    assert (on_disk(lake), stones(lake), rows(lake, "deleted_results")) == before
    done = vacuum(lake, older_than=NOW)
    assert told.files == done.files and told.versions == done.versions == 1
    assert done.bytes == sum(file.bytes for file in done.files) > 0


def test_a_negative_grace_period_is_refused(lake: Lake) -> None:
    with pytest.raises(InvalidInputError, match="is negative"):
        vacuum(lake, older_than=-HOURS)


def test_empty_folders_go_and_a_save_into_one_at_that_moment_succeeds(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.save(run(1), task_id="a")
    lake.delete("a")
    done = vacuum(lake, older_than=NOW)
    assert done.folders == 6 and not (lake.root / "signals").exists()
    create, removed = Files._create, []

    def late(files: Files, *args: Any) -> None:
        # The folder is made by now, and vacuum finds it empty.
        if len(removed) < 3:
            removed.extend(files.remove_empty_folders("signals"))
        create(files, *args)

    monkeypatch.setattr(Files, "_create", late)
    lake.save(run(2), task_id="b")
    assert len(removed) >= 3 and lake.load("b").document == run(2)


def test_a_folder_that_is_not_the_lake_s_is_left_alone(lake: Lake) -> None:
    (lake.root / "Notes").mkdir()
    (lake.root / "_lakestore" / "empty").mkdir()
    vacuum(lake, older_than=NOW)
    assert (lake.root / "Notes").is_dir() and (lake.root / "_lakestore" / "empty").is_dir()


@pytest.fixture
def killed(lake: Lake, killed_before_commit: Dying) -> Callable[[], None]:
    """A save that dies after its files were written, before its commit."""

    def die() -> None:
        with killed_before_commit():
            lake.save(run(3), task_id="killed")

    return die


def test_leftovers_of_a_killed_save_go_once_they_are_an_hour_old(lake: Lake, killed: Callable[[], None]) -> None:
    lake.save(run(1), task_id="a")
    killed()
    (lake.root / "signals" / "strategy=s" / ".x.parquet.0123abcd.tmp").write_bytes(b"half")
    assert vacuum(lake, older_than=NOW).files == ()
    age(lake)
    old = (datetime.now(UTC) - HOURS).timestamp()
    os.utime(lake.root / "signals" / "strategy=s" / ".x.parquet.0123abcd.tmp", (old, old))
    assert vacuum(lake).files == ()
    done = vacuum(lake, older_than=NOW)
    assert len(done.files) == 3 and {file.why for file in done.files} == {"leftover"}
    assert on_disk(lake) == live(lake) and lake.load("a").document == run(1)
    assert not list(lake.root.rglob("*.tmp"))


def test_a_file_that_is_not_lakestore_s_is_never_deleted(lake: Lake) -> None:
    lake.save(run(1), task_id="a")
    for name in ("signals/strategy=s/notes.txt", "signals/x.parquet", "README"):
        (lake.root / name).write_text("mine")
        os.utime(lake.root / name, (0, 0))
    assert vacuum(lake, older_than=NOW).files == ()
    assert all((lake.root / name).exists() for name in ("signals/strategy=s/notes.txt", "signals/x.parquet", "README"))


def test_a_save_that_is_slower_than_any_grace_period_fails_instead_of_committing_deleted_files(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = type(lake.parts().catalog)
    commit = catalog.commit

    def slow(*args: Any, **kwargs: Any) -> None:
        age(lake)
        assert len(vacuum(lake, older_than=NOW).files) == 2
        commit(*args, **kwargs)

    monkeypatch.setattr(catalog, "commit", slow)
    with pytest.raises(InvalidInputError, match="data files"):
        lake.save(run(1), task_id="a")
    monkeypatch.undo()
    assert not lake.exists("a") and on_disk(lake) == set()
    assert vacuum(lake, older_than=NOW).versions == 0
    assert rows(lake, "data_files") == 0
    lake.save(run(1), task_id="a")


def test_a_save_under_way_keeps_its_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = type(lake.parts().catalog)
    commit = catalog.commit

    def meanwhile(*args: Any, **kwargs: Any) -> None:
        vacuum(lake, older_than=NOW)
        commit(*args, **kwargs)

    monkeypatch.setattr(catalog, "commit", meanwhile)
    lake.save(run(1), task_id="a")
    assert lake.load("a").document == run(1)


def test_a_reader_that_outlives_the_grace_period_is_told_so(lake: Lake) -> None:
    lake.save(run(1), task_id="a")
    reader, relation = lake.load("a"), lake.sql("SELECT x FROM signals")
    lake.save(run(2), task_id="a", replace=True)
    assert reader.to_json() == json.dumps(run(1), separators=(",", ":")).encode()
    reader = Lake(lake.root, lake.conninfo, lake.parts().home).load("a")
    lake.save(run(3), task_id="a", replace=True)
    vacuum(lake, older_than=NOW)
    with pytest.raises(ConflictError, match="vacuum has taken those rows since; load it again"):
        reader.to_json()
    with pytest.raises(Exception, match="parquet"):
        relation.fetchall()
    assert lake.load("a").document == run(3)


def test_a_missing_file_of_a_live_result_is_not_taken_for_a_vacuumed_one(lake: Lake) -> None:
    lake.save(run(1), task_id="a")
    reader = lake.load("a")
    for name in on_disk(lake):
        (lake.root / name).unlink()
    with pytest.raises(lakestore.CorruptFileError, match="is missing"):
        reader.to_json()


def test_a_tombstone_stays_as_long_as_a_row_of_its_version_can_lie_in_the_lake(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.save(run(1), task_id="a")
    with monkeypatch.context() as patch:
        patch.setattr(tombstones, "leave", lambda *_: None)
        lake.save(run(2), task_id="a", replace=True)
    lake.delete("a")
    assert len(stones(lake)) == 1
    with monkeypatch.context() as patch:
        patch.setattr(Files, "remove", lambda *_: (_ for _ in ()).throw(StorageError("disk")))
        with pytest.raises(StorageError, match="disk"):
            vacuum(lake, older_than=NOW)
    # Forgotten by the catalog, still on disk: the replaced version's only witness is its tombstone.
    dead = {task for stone in tombstones.read(lake.parts().files) for task in stone.dead}
    assert len(dead) == 2 and rows(lake, "deleted_results") == 0 and len(on_disk(lake)) == 4
    assert len(vacuum(lake, older_than=NOW).files) == 0 and len(stones(lake)) == 2
    age(lake)
    done = vacuum(lake, older_than=NOW)
    assert (len(done.files), done.tombstones) == (4, 2) and stones(lake) == []
    assert not [page for page in unknown(lake.parts()) if page]


def test_a_vacuum_that_dies_anywhere_is_finished_by_the_next(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    upkeep = type(lake.parts().catalog.upkeep)
    for name in ("forget_results", "forget_files", "claim_paths", "needed_tombstones"):
        lake.save(run(1), task_id="kept" + name)
        lake.save(run(1), task_id="gone")
        lake.delete("gone")
        monkeypatch.setattr(upkeep, name, lambda *_: (_ for _ in ()).throw(CatalogError("lost")))
        age(lake)
        (path := lake.root / f"results/strategy=s/run_date=2026-01-31/{lake.parts().new_id()}.parquet").write_bytes(b"")
        os.utime(path, (0, 0))
        with pytest.raises(CatalogError, match="lost"):
            vacuum(lake, older_than=NOW)
        monkeypatch.undo()
        vacuum(lake, older_than=NOW)
        assert on_disk(lake) == live(lake) and stones(lake) == []
        assert lake.load("kept" + name).document == run(1)


def test_two_vacuums_at_once_do_the_work_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.save(run(1), task_id="a")
    lake.delete("a")
    upkeep = type(lake.parts().catalog.upkeep)
    forget, inner = upkeep.forget_files, []

    def both(*args: Any) -> Any:
        monkeypatch.setattr(upkeep, "forget_files", forget)
        inner.append(vacuum(lake, older_than=NOW))
        return forget(*args)

    monkeypatch.setattr(upkeep, "forget_files", both)
    outer = vacuum(lake, older_than=NOW)
    assert len(inner[0].files) == 2 and on_disk(lake) == set() and len(outer.files) in (0, 2)


@pytest.mark.parametrize("what", ["stamp.json", "tombstones"])
def test_on_a_full_disk_vacuum_says_that_little_room_is_enough(
    lake: Lake, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.save(run(1), task_id="a")
    lake.delete("a")
    before = on_disk(lake)
    create = Files._create

    def full(files: Files, name: str, *args: Any) -> None:
        if what in name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        create(files, name, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Files, "_create", full)
        with pytest.raises(StorageError, match=rf"{what}.*No space left on device.*make room for these"):
            vacuum(lake, older_than=NOW)
    assert on_disk(lake) == before
    vacuum(lake, older_than=NOW)
    assert on_disk(lake) == set()
