"""Sync: what differs between lake and catalog is named, and taken in or completed where that is safe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

import lakestore
from lakestore import Item, Lake, stamp, tombstones
from lakestore.errors import CatalogError, CorruptFileError, StorageError
from lakestore.maintenance import Finding, compact, rebuild, restore, sync, vacuum
from tests.answers import answers

ZERO = timedelta()
Dying = Callable[[], AbstractContextManager[None]]


def run(n: int, **more: Any) -> dict[str, Any]:
    return {"strategy": "s", "created_at": "2026-01-31T10:00:00Z", "signals": [{"x": n}, {"x": n + 1}], **more}


def age(lake: Lake, folder: str = "") -> None:
    then = (datetime.now(UTC) - timedelta(hours=2)).timestamp()
    for path in (lake.root / folder).rglob("*"):
        if path.is_file() and "catalog" not in path.parts:
            os.utime(path, (then, then))


def kinds(found: Iterator[Finding]) -> list[tuple[str, tuple[str, ...]]]:
    return sorted((each.kind, each.task_ids) for each in found)


def one(lake: Lake, pattern: str) -> Path:
    (path,) = lake.root.glob(pattern)
    return path


def refuse(*_: object, **__: object) -> None:
    raise StorageError("No space left on device")


@pytest.fixture
def killed(lake: Lake, killed_before_commit: Dying) -> Callable[..., None]:
    """A save that dies after its files were written, before its commit."""

    def die(task_id: str, n: int) -> None:
        with killed_before_commit():
            lake.save(run(n), task_id=task_id, replace=True)

    return die


def test_a_lake_in_order_has_no_findings(lake: Lake) -> None:
    lake.save(run(1), task_id="a")
    lake.save(run(2), task_id="a", replace=True)
    lake.save_many([Item(document=run(n), task_id=f"b{n}") for n in range(3)])
    lake.delete("b1")
    age(lake)
    assert kinds(sync(lake, deep=True)) == []


def test_missing_and_damaged_files_are_named_with_the_results_in_them(lake: Lake) -> None:
    lake.save(run(1), task_id="a")
    lake.save_many([Item(document=run(n, strategy="t"), task_id=f"b{n}") for n in range(3)])
    lake.delete("b1")
    lake.save(run(1, strategy="u"), task_id="c")
    one(lake, "signals/strategy=s/*/*.parquet").unlink()
    path = one(lake, "signals/strategy=t/*/*.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    path = one(lake, "results/strategy=u/*/*.parquet")
    path.write_bytes(path.read_bytes()[:-9] + b"x" * 9)
    assert kinds(sync(lake)) == [("damaged", ("b0", "b2")), ("missing", ("a",))]
    found = list(sync(lake, deep=True))
    assert kinds(iter(found)) == [("damaged", ("b0", "b2")), ("damaged", ("c",)), ("missing", ("a",))]
    assert all(each.is_harm and "restore it from a backup" in each.detail for each in found)


def test_files_that_were_let_go_are_nobody_s_loss(lake: Lake) -> None:
    lake.save(run(1), task_id="a")
    lake.delete("a")
    one(lake, "signals/*/*/*.parquet").unlink()
    assert kinds(sync(lake, deep=True)) == []


def test_leftovers_are_told_of_after_an_hour_and_left_to_vacuum(lake: Lake, killed: Callable[..., None]) -> None:
    lake.save(run(1), task_id="a")
    killed("a", 2)
    killed("new", 3)
    folder = one(lake, "signals/strategy=s/run_date=*")
    (folder / ".x.parquet.0123abcd.tmp").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    assert kinds(sync(lake)) == [("foreign", ())]
    age(lake)
    # What was about to replace another result is worth nothing: that one's save is known to have returned.
    assert kinds(sync(lake)) == [("foreign", ()), *[("leftover", ())] * 3, ("unsaved", ("new",))]
    assert len(vacuum(lake, older_than=ZERO).files) == 5
    assert kinds(sync(lake)) == [("foreign", ())]
    assert lake.load("a").document == run(1)


def test_missing_tombstones_are_written(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for task_id in ("a", "b"):
        lake.save(run(1), task_id=task_id)
    with monkeypatch.context() as patch:
        patch.setattr(tombstones, "leave", lambda *_: None)
        lake.save(run(2), task_id="a", replace=True)
        lake.delete("b")
    assert kinds(sync(lake, dry_run=True)) == kinds(sync(lake)) == [("tombstone", ("a",)), ("tombstone", ("b",))]
    assert kinds(sync(lake)) == []
    reasons = {reason: stone.dead for stone in tombstones.read(lake.parts().files) for reason in [stone.reason]}
    assert set(reasons) == {"deleted", "replaced"}


def test_adopt_takes_in_complete_results_that_the_catalog_does_not_know(
    lake: Lake, killed: Callable[..., None]
) -> None:
    lake.save(run(1), task_id="a")
    killed("new", 3)
    killed("a", 2)
    age(lake)
    assert ("unsaved", ("new",)) in kinds(sync(lake, adopt=True, dry_run=True))
    assert not lake.exists("new")
    found = kinds(sync(lake, adopt=True))
    assert ("adopted", ("new",)) in found and ("refused", ("a",)) in found
    assert lake.load("new").document == run(3) and lake.load("a").document == run(1)
    assert lake.sql("SELECT sum(x) FROM signals").fetchall() == [(1 + 2 + 3 + 4,)]
    assert len(vacuum(lake, older_than=ZERO).files) == 2


@pytest.fixture
def dump(lake: Lake) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """Back up the catalog, and restore the backup."""
    tables = "lake, lake_tables, lake_columns, backtest_results, files, shared_rows, dead_rows, deleted_results"
    kept: dict[str, list[Any]] = {}

    def back_up() -> None:
        with psycopg.connect(lake.conninfo) as conn:
            for table in tables.split(", "):
                with conn.cursor().copy(f"COPY {table} TO STDOUT") as copy:  # type: ignore[arg-type]
                    kept[table] = [bytes(part) for part in copy]

    def restore() -> None:
        with psycopg.connect(lake.conninfo) as conn:
            conn.execute(f"TRUNCATE {tables}")  # type: ignore[arg-type]
            for table, parts in kept.items():
                with conn.cursor().copy(f"COPY {table} FROM STDIN") as copy:  # type: ignore[arg-type]
                    for part in parts:
                        copy.write(part)

    yield back_up, restore


def test_after_an_old_backup_of_the_catalog_adopt_brings_back_what_was_saved_since(
    lake: Lake, dump: tuple[Callable[[], None], Callable[[], None]], dsn: str
) -> None:
    back_up, bring_back = dump
    lake.save(run(1), task_id="old")
    back_up()
    lake.save(run(2, fresh=[{"y": 1.5, "z": [1, {"w": "x"}]}]), task_id="new")
    batch = [Item(document=run(n, fresh=[{"y": n}] * (n % 2)), task_id=f"b{n}") for n in range(4)]
    lake.save_many(batch)
    lake.delete("b1")
    before = answers(lake)
    bring_back()
    age(lake)
    with lakestore.open(lake.root, dsn=dsn) as again:
        found = kinds(sync(again, adopt=True))
        assert found == [("adopted", ("b0", "b2", "b3")), ("adopted", ("new",)), ("behind", ())]
        assert answers(again) == before
        assert kinds(sync(again, deep=True)) == []
        # Ids that files hold are not given out again.
        again.save(run(1, later=[{"v": 1}]), task_id="later")
        assert answers(again).rows["fresh"] == before.rows["fresh"]


def test_an_old_copy_counts_as_one_until_what_was_saved_in_the_last_hour_is_taken_in(
    lake: Lake, dump: tuple[Callable[[], None], Callable[[], None]], dsn: str
) -> None:
    back_up, bring_back = dump
    lake.save(run(1), task_id="old")
    back_up()
    lake.save(run(2), task_id="new")
    lake.parts().stamp.press(anew=True)
    before = answers(lake)
    bring_back()
    with lakestore.open(lake.root, dsn=dsn) as again:
        for options in ({}, {"adopt": True}):
            found = list(sync(again, **options))
            assert kinds(iter(found)) == [("behind", ()), ("unsaved", ("new",))]
            assert "--rebuild at once" in found[0].detail and "refused until --adopt from" in found[1].detail
        # It was taken for the present one: after a week vacuum would have taken the result.
        with pytest.raises(CatalogError, match="older than its lake"):
            vacuum(again)
        age(lake)
        assert kinds(sync(again, adopt=True)) == [("adopted", ("new",)), ("behind", ())]
        assert answers(again) == before
        vacuum(again, older_than=ZERO)
        assert answers(again) == before


def test_deletes_alone_tell_an_old_copy_too(
    lake: Lake, dump: tuple[Callable[[], None], Callable[[], None]], dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up, bring_back = dump
    for task_id in ("a", "b"):
        lake.save(run(1), task_id=task_id)
    back_up()
    with monkeypatch.context() as patch:
        patch.setattr(stamp, "FRESH", ZERO)
        lake.delete("a")
    with monkeypatch.context() as patch:
        # A delete also works on a full disk.
        patch.setattr(stamp, "FRESH", ZERO)
        patch.setattr(lake.parts().files, "put", refuse)
        lake.delete("b")
    bring_back()
    with lakestore.open(lake.root, dsn=dsn) as again:
        with pytest.raises(CatalogError, match="older than its lake"):
            again.save(run(2), task_id="a", replace=True)
        assert kinds(sync(again, adopt=True)) == [("behind", ()), ("outdated", ("a",)), ("outdated", ("b",))]
        again.save(run(1), task_id="a")
    assert rebuild(lake.root, dsn=dsn).results == 1


def test_adopt_follows_the_tombstones_of_what_was_deleted_and_replaced_since(
    lake: Lake, dump: tuple[Callable[[], None], Callable[[], None]], dsn: str
) -> None:
    back_up, bring_back = dump
    for task_id in ("replaced", "twice", "deleted", "replaced and deleted", "restored", "kept"):
        lake.save(run(1), task_id=task_id)
    back_up()
    lake.save(run(2), task_id="replaced", replace=True)
    lake.save_many([Item(document=run(n), task_id="twice") for n in (2,)], replace=True)
    lake.save(run(3), task_id="twice", replace=True)
    lake.delete("deleted")
    lake.save(run(2), task_id="replaced and deleted", replace=True)
    lake.delete("replaced and deleted")
    lake.delete("restored")
    restore(lake, "restored")
    before = answers(lake)
    bring_back()
    age(lake)
    with lakestore.open(lake.root, dsn=dsn) as again:
        gone = ["deleted", "replaced and deleted", "replaced", "restored", "twice"]
        for options in ({}, {"adopt": True, "dry_run": True}):
            found = {each.task_ids[0] for each in sync(again, **options) if each.kind == "outdated"}
            assert found == set(gone)
        found = kinds(sync(again, adopt=True))
        assert [(kind, ids) for kind, ids in found if kind == "outdated"] == [("outdated", (id,)) for id in gone[:2]]
        assert answers(again) == before
        assert {kind for kind, _ in kinds(sync(again, deep=True))} <= {"leftover"}
        # What was replaced is as it was: vacuum takes nothing that a rebuild needs.
        vacuum(again, older_than=ZERO)
        assert answers(again) == before
    done = rebuild(lake.root, dsn=dsn)
    assert not (done.doubtful or done.incomplete or done.damaged)
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert answers(again) == before


@pytest.mark.parametrize("table", [None, "signals", "results"])
@pytest.mark.parametrize("old", ["", "results", "all"])
def test_what_only_a_compacted_file_holds_keeps_an_old_copy_from_counting_as_the_present_catalog(
    lake: Lake, dump: tuple[Callable[[], None], Callable[[], None]], dsn: str, table: str | None, old: str
) -> None:
    back_up, bring_back = dump
    # In a partition of its own, which compaction leaves as it is.
    lake.save(run(1, created_at="2026-01-30"), task_id="old")
    back_up()
    for n in (2, 3):
        lake.save(run(n), task_id=f"new{n}")
    assert not [each.problem for each in compact(lake, table=table) if each.problem]
    vacuum(lake, older_than=ZERO)
    before = answers(lake)
    bring_back()
    if old:
        age(lake, "" if old == "all" else old)
    with lakestore.open(lake.root, dsn=dsn) as again:
        found = list(sync(again, adopt=True))
        refused = {task_id for kind, task_ids in kinds(found) if kind == "refused" for task_id in task_ids}
        assert refused == {"new2", "new3"} and "--rebuild" in found[-1].detail
        with pytest.raises(CatalogError, match="older than its lake"):
            vacuum(again, older_than=ZERO)
    rebuild(lake.root, dsn=dsn)
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert answers(again) == before
        assert kinds(sync(again, deep=True)) == []


@pytest.mark.parametrize("anew", [False, True])
def test_an_old_copy_of_the_catalog_learns_that_partitions_are_coarser(
    lake: Lake, dump: tuple[Callable[[], None], Callable[[], None]], dsn: str, anew: bool
) -> None:
    back_up, bring_back = dump
    lake.save(run(1), task_id="old")
    back_up()
    assert not [each.problem for each in compact(lake, partition="month") if each.problem]
    with lakestore.open(lake.root, dsn=dsn) as again:
        again.save(run(2), task_id="new")
        before = answers(again)
    bring_back()
    age(lake)
    if anew:
        rebuild(lake.root, dsn=dsn)
    else:
        with lakestore.open(lake.root, dsn=dsn) as again:
            assert ("adopted", ("new",)) in kinds(sync(again, adopt=True))
    with lakestore.open(lake.root, dsn=dsn) as again:
        if anew:
            assert answers(again) == before
        asked = "SELECT count(*) FROM results r JOIN signals s USING (task_id) WHERE r.created_at >= '2026-01-31'"
        assert again.sql(asked).fetchall() == [(4,)]
        assert again.parts().home.partition == "month"


def test_a_catalog_that_gave_out_the_same_ids_again_is_not_mixed_up(
    lake: Lake, dump: tuple[Callable[[], None], Callable[[], None]], dsn: str
) -> None:
    back_up, bring_back = dump
    lake.save(run(1), task_id="old")
    back_up()
    lake.save(run(2, fresh=[{"y": 1.5}]), task_id="new")
    bring_back()
    # Nothing tells of it as long as the lake's stamp is gone.
    (lake.root / stamp.NAME).unlink()
    with lakestore.open(lake.root, dsn=dsn) as again:
        again.save(run(1, other=[{"v": "text"}]), task_id="later")
        age(lake)
        (refused,) = sync(again, adopt=True)
        assert refused.kind == "refused" and "gave ids out again" in refused.detail
        assert again.sql("SELECT v FROM other").fetchall() == [("text",)]


def test_a_catalog_under_rebuild_is_not_compared(lake: Lake) -> None:
    lake.parts().catalog.rebuild.begin()
    with pytest.raises(CatalogError, match="is being rebuilt"):
        list(sync(lake))


def test_a_damaged_tombstone_is_named(lake: Lake) -> None:
    lake.save(run(1), task_id="a")
    lake.delete("a")
    one(lake, "_lakestore/tombstones/*").write_text("{")
    with pytest.raises(CorruptFileError, match="is not a tombstone"):
        list(sync(lake))
