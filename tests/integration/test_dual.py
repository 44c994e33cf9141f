"""Two storages as one: the same bytes in both, and what one of them missed is never lost and never comes back."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import lakestore
from lakestore import (
    AlreadyExistsError,
    CatalogError,
    Difference,
    DualResultStorage,
    JsonResultStorage,
    Lake,
    LakeResultStorage,
    NotFoundError,
    StorageError,
)
from lakestore.storage.journal import Journal
from lakestore.storage.mend import mend
from lakestore.testing import run
from tests.databases import NOWHERE

Make = Callable[..., DualResultStorage]


@pytest.fixture
def journal(tree: JsonResultStorage, lake: Lake) -> Journal:
    return Journal(tree.root, lake.root)


@pytest.fixture
def make(tree: JsonResultStorage, lake: Lake) -> Make:
    """Make a dual storage; with `away` its lake's catalog cannot be reached."""

    def make(primary: str = "json", *, away: bool = False, **options: object) -> DualResultStorage:
        kept = LakeResultStorage.at(lake.root, dsn=NOWHERE) if away else LakeResultStorage(lake)
        pair = (JsonResultStorage(tree.root), kept)
        return DualResultStorage(*(pair if primary == "json" else pair[::-1]), **options)  # type: ignore[arg-type]

    return make


def mended(dual: DualResultStorage) -> list[str]:
    return [done.outcome for done in mend(dual.journal, dual.storages)]


@pytest.mark.parametrize("primary", ["json", "lake"])
def test_what_was_closed_saves_and_deletes_nothing_rather_than_leave_the_lake_behind(
    make: Make, journal: Journal, primary: str
) -> None:
    dual = make(primary)
    dual.save_result("a", {"strategy": "s", "n": 1})
    dual.close()
    dual.close()
    with pytest.raises(CatalogError, match="was closed: make another one"):
        dual.save_result("b", {"strategy": "s", "n": 2})
    with pytest.raises(CatalogError, match="was closed: make another one"):
        dual.delete_result("a")
    assert list(journal.entries()) == []
    assert make().load_result("a") == {"strategy": "s", "n": 1} and not make().exists("b")


@pytest.mark.parametrize("primary", ["json", "lake"])
def test_both_get_the_same_bytes_of_one_serialisation(
    make: Make, tree: JsonResultStorage, lake: Lake, primary: str
) -> None:
    info = make(primary).save_result("a", {"strategy": "s", "x": 1.50, "trades": [{"p": 1e-7}]})
    assert tree.load_json("a") == lake.load("a").to_json()
    # A run that states no time has one in both.
    assert info.created_at == lake.info("a").created_at == tree.list_results()[0].created_at


def test_a_lake_that_is_away_does_not_stop_the_engine_and_is_mended(
    make: Make, tree: JsonResultStorage, lake: Lake, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    before = make()
    for name in ("kept", "replaced", "deleted"):
        before.save_result(name, run(n=1))
    dual = make(away=True)
    with caplog.at_level(logging.WARNING, "lakestore"):
        dual.save_result("new", run(n=2))
        dual.save_result("replaced", run(n=2), replace=True)
        dual.delete_result("deleted")
    assert dual.missed == 3
    [warning] = [record.message for record in caplog.records if "missed" in record.message]
    assert "missed the save of result 'new'" in warning and "lakestore migrate" in warning
    noted = {entry.task_id: (entry.action, entry.right) for entry in journal.entries(wrong="lake")}
    assert noted == {"new": ("save", "json"), "replaced": ("replace", "json"), "deleted": ("delete", "json")}
    # Before it is mended, both primaries serve what counts.
    for primary in ("json", "lake"):
        seen = make(primary)
        assert seen.load_result("new")["n"] == seen.load_result("replaced")["n"] == 2
        assert not seen.exists("deleted")
        with pytest.raises(NotFoundError):
            seen.load_result("deleted")
        with pytest.raises(NotFoundError):
            seen.delete_result("deleted")
        assert [info.task_id for info in seen.list_results()] == ["kept", "new", "replaced"]
        assert seen.list_results()[2].sha256 == tree.info("replaced").sha256
    assert mended(make()) == ["mended"] * 3
    assert not list(journal.entries()) and mended(make()) == []
    assert [info.task_id for info in lake.results()] == ["kept", "new", "replaced"]
    assert all(lake.load(name).to_json() == tree.load_json(name) for name in ("kept", "new", "replaced"))


def test_a_tree_that_cannot_be_written_does_not_stop_the_engine_and_is_mended(
    make: Make, tree: JsonResultStorage, lake: Lake, journal: Journal
) -> None:
    make("lake").save_result("old", run(n=1))
    tree.root.rename(tree.root.with_name("aside"))
    tree.root.write_bytes(b"a file where the tree was")
    dual = make("lake")
    dual.save_result("new", run(n=2))
    dual.save_result("old", run(n=2), replace=True)
    assert dual.load_result("old")["n"] == dual.load_result("new")["n"] == 2
    assert [info.task_id for info in dual.list_results()] == ["new", "old"]
    assert {(entry.task_id, entry.wrong) for entry in journal.entries()} == {("new", "json"), ("old", "json")}
    tree.root.unlink()
    tree.root.with_name("aside").rename(tree.root)
    assert mended(make("lake")) == ["mended"] * 2
    assert tree.load_result("old")["n"] == tree.load_result("new")["n"] == 2


def test_an_engine_does_not_wait_at_each_save_for_a_lake_that_is_away(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    really = Lake.open.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(Lake, "open", classmethod(lambda cls, *a, **k: tried.append(a) or really(cls, *a, **k)))
    dual = make(away=True)
    for number in range(10):
        dual.save_result(str(number), run(n=number))
    assert dual.missed == 10 and len(tried) == 1


def test_an_engine_starts_and_reads_while_the_lake_is_away(make: Make, tree: JsonResultStorage) -> None:
    tree.save_result("a", run(n=1))
    dual = make(away=True, verify_reads=True)
    assert dual.load_result("a") == run(n=1)
    assert [info.task_id for info in dual.list_results()] == ["a"]
    assert not dual.exists("b")
    with pytest.raises(NotFoundError, match=r"'b' is not in .* and the lake cannot be read"):
        dual.load_result("b")


def test_a_primary_that_cannot_be_written_is_an_error_and_nothing_is_noted(make: Make, journal: Journal) -> None:
    make().save_result("a", run(n=1))
    dual = make("lake", away=True)
    with pytest.raises(CatalogError):
        dual.save_result("b", run(n=1))
    with pytest.raises(CatalogError):
        dual.save_result("a", run(n=2), replace=True)
    with pytest.raises(CatalogError):
        dual.delete_result("a")
    assert not list(journal.entries())
    # The other one serves what the primary cannot give.
    assert dual.load_result("a") == run(n=1)


def test_what_only_the_other_one_has_is_read_listed_and_protected(
    make: Make, tree: JsonResultStorage, lake: Lake
) -> None:
    lake.save(run(n=1, minutes=1), task_id="in the lake")
    tree.save_result("in the tree", run(n=1))
    dual = make()
    assert dual.load_result("in the lake")["n"] == 1 and dual.exists("in the lake")
    assert dual.info("in the lake").sha256 == lake.info("in the lake").sha256
    assert [info.task_id for info in dual.list_results()] == ["in the lake", "in the tree"]
    assert [info.task_id for info in dual.list_results(limit=1, after="in the lake")] == ["in the tree"]
    with pytest.raises(AlreadyExistsError, match="in the lake with other content"):
        dual.save_result("in the lake", run(n=2))
    dual.save_result("in the lake", run(n=1, minutes=1))
    assert tree.load_json("in the lake") == lake.load("in the lake").to_json()
    dual.save_result("in the tree", run(n=1))
    assert lake.exists("in the tree")
    lake.save(run(n=5), task_id="gone")
    dual.delete_result("gone")
    assert not lake.exists("gone") and not dual.exists("gone")


def test_pages_of_both_are_one_list(make: Make, tree: JsonResultStorage, lake: Lake) -> None:
    for number in range(12):
        if number % 3 != 1:
            tree.save_result(str(number), run(minutes=number // 2))
        if number % 3 != 2:
            lake.save(run(minutes=number // 2), task_id=str(number))
    for primary in ("json", "lake"):
        everything = make(primary).list_results()
        assert [info.task_id for info in everything] == ["10", "11", "8", "9", "6", "7", "4", "5", "2", "3", "0", "1"]
        pages: list[str] = []
        while page := make(primary).list_results(limit=5, after=pages[-1] if pages else None):
            pages += [info.task_id for info in page]
        assert pages == [info.task_id for info in everything]


def test_a_save_under_an_id_that_was_deleted_while_the_lake_was_away_counts(
    make: Make, lake: Lake, journal: Journal
) -> None:
    make().save_result("a", run(n=1))
    make(away=True).delete_result("a")
    make().save_result("a", run(n=2))
    assert not list(journal.entries())
    assert lake.load("a").document["n"] == 2


def test_a_version_that_came_from_elsewhere_is_not_overwritten(
    make: Make, tree: JsonResultStorage, lake: Lake, journal: Journal
) -> None:
    make().save_result("a", run(n=1))
    make(away=True).save_result("a", run(n=2), replace=True)
    lake.save(run(n=3), task_id="a", replace=True)
    [done] = mend(journal, make().storages)
    assert done.outcome == "conflict" and "'a' has a version in the lake that the tree never had" in str(done.error)
    assert lake.load("a").document["n"] == 3 and make().load_result("a")["n"] == 2
    # Whoever replaces a result means every version of it.
    make().save_result("a", run(n=4), replace=True)
    assert lake.load("a").document["n"] == tree.load_result("a")["n"] == 4 and not list(journal.entries())


def test_what_was_not_finished_is_finished(make: Make, lake: Lake, journal: Journal) -> None:
    class Stopped(LakeResultStorage):
        def save_result(self, *args: object, **kwargs: object) -> lakestore.ResultInfo:
            raise KeyboardInterrupt

        delete_result = save_result  # type: ignore[assignment]

    tree = JsonResultStorage(journal._homes["json"][0].root)
    for name in ("replaced", "deleted"):
        make().save_result(name, run(n=1))
    dual = DualResultStorage(tree, Stopped(lake))
    with pytest.raises(KeyboardInterrupt):
        dual.save_result("new", run(n=2))
    with pytest.raises(KeyboardInterrupt):
        dual.save_result("replaced", run(n=2), replace=True)
    with pytest.raises(KeyboardInterrupt):
        dual.delete_result("deleted")
    assert not make("lake").exists("deleted") and make("lake").load_result("replaced")["n"] == 2
    assert mended(make()) == ["mended"] * 3
    assert {info.task_id: lake.load(info.task_id).document["n"] for info in lake.results()} == {"new": 2, "replaced": 2}


def test_a_delete_while_results_are_copied_is_not_undone_by_the_copy(
    make: Make, tree: JsonResultStorage, lake: Lake, journal: Journal
) -> None:
    tree.save_result("a", run(n=1))
    with journal.moving():
        copy = tree.load_json("a")
        make().delete_result("a")
        lake.save(copy, task_id="a")
        assert not make().exists("a") and not make("lake").exists("a")
    assert mended(make()) == ["mended"]
    assert not lake.exists("a") and not list(journal.entries())


def test_a_verified_read_tells_a_difference_by_id_and_path(
    make: Make, tree: JsonResultStorage, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    found: list[Difference] = []
    dual = make(verify_reads=True, on_difference=found.append)
    dual.save_result("same", run(n=1))
    pairs: dict[str, tuple[object, object]] = {
        "value": (run(t=[{"p": 1.0}, {"p": 1.5}]), run(t=[{"p": 1.0}, {"p": 2.5}])),
        "type": (run(n=1), run(n=1.0)),
        "missing": (run(a={"b c": None}), run(a={})),
        "longer": (run(t=[1, 2]), run(t=[1, 2, 3])),
        "sign": (run(z=0.0), run(z=-0.0)),
    }
    for name, (left, right) in pairs.items():
        tree.save_result(name, left)  # type: ignore[arg-type]
        lake.save(right, task_id=name)  # type: ignore[arg-type]
    tree.save_result("space", b'{"strategy": "s"}')
    lake.save(b'{"strategy":"s"}', task_id="space")
    tree.save_result("alone", run())
    with caplog.at_level(logging.ERROR, "lakestore"):
        for name in ("same", *pairs, "space", "alone"):
            assert dual.load_json(name) == tree.load_json(name)
    assert [(each.task_id, each.path, each.left, each.right) for each in found] == [
        ("value", "t[1].p", "1.5", "2.5"),
        ("type", "n", "1", "1.0"),
        ("missing", 'a["b c"]', "null", ""),
        ("longer", "t", '"2 items"', '"3 items"'),
        ("sign", "z", "0.0", "-0.0"),
        ("space", "$", '… "s"}', '…"s"}'),
        ("alone", "$", f"a document of {len(tree.load_json('alone'))} bytes", ""),
    ]
    assert dual.differing == 7
    assert "result 'value' differs at t[1].p: 1.5 in the tree, 2.5 in the lake" in caplog.text


def test_a_damaged_file_of_the_primary_is_served_by_the_other(make: Make, tree: JsonResultStorage) -> None:
    make().save_result("a", run(n=1))
    [path] = tree.root.glob("*/a.json")
    path.write_bytes(b'{"strat')
    assert make().load_result("a") == run(n=1)


def test_many_processes_note_at_once(make: Make, journal: Journal, lake: Lake, tree: JsonResultStorage) -> None:
    script = (
        "import sys, lakestore\n"
        "from lakestore.storage import *\n"
        "dual = DualResultStorage(JsonResultStorage(sys.argv[1]), "
        f"LakeResultStorage.at(__import__('pathlib').Path(sys.argv[2]), dsn={NOWHERE!r}))\n"
        "for n in range(15):\n"
        "    dual.save_result(f'{sys.argv[3]}-{n}', {'strategy': 's', 'n': n})\n"
        "    dual.save_result('shared', {'strategy': 's', 'by': sys.argv[3]}, replace=True)\n"
    )
    made = [subprocess.Popen([sys.executable, "-c", script, str(tree.root), str(lake.root), by]) for by in "abcd"]
    assert [process.wait() for process in made] == [0] * 4
    assert len(list(journal.entries())) == 61
    assert mended(make()) == ["mended"] * 61
    assert len(lake.results()) == 61
    assert all(lake.load(info.task_id).to_json() == tree.load_json(info.task_id) for info in lake.results())


def test_an_entry_tells_what_and_when(make: Make, journal: Journal) -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    make(away=True, now=lambda: now).save_result("a/b", run(n=1))
    entry = journal.get("a/b")
    assert entry is not None and journal.get("a") is None
    assert (entry.action, entry.right, entry.at, entry.old) == ("save", "json", now, ())
    assert entry.reason.startswith("CatalogError: cannot reach") and "nowhere" in entry.reason
    [path] = (journal._homes["json"][0].root / ".lakestore" / "journal").iterdir()
    assert json.loads(path.read_text())["task_id"] == "a/b"


def test_what_is_said_later_counts(tree: JsonResultStorage, lake: Lake, journal: Journal) -> None:
    from lakestore.storage.journal import JournalEntry

    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    journal.write(JournalEntry("a", "json", "save", now, "x"))
    journal.write(JournalEntry("a", "lake", "delete", now + timedelta(seconds=1), "y"))
    found = journal.get("a")
    assert found is not None and found.right == "lake" and len(list(journal.entries())) == 1
    journal.clear("a")
    assert journal.get("a") is None and list(journal.entries()) == []
    assert not list(Journal(None, None).entries())


def test_an_entry_that_cannot_be_understood_is_named(tree: JsonResultStorage, journal: Journal) -> None:
    folder = tree.root / ".lakestore" / "journal"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text('{"task_id": "a"}')
    with pytest.raises(lakestore.CorruptFileError, match=r"x\.json is not an entry of the journal"):
        list(journal.entries())


def test_two_trees_or_two_lakes_are_no_pair(tree: JsonResultStorage) -> None:
    with pytest.raises(lakestore.InvalidInputError, match="JsonResultStorage and one other"):
        DualResultStorage(tree, tree)


def test_a_primary_of_ones_own_needs_a_journal(tree: JsonResultStorage, lake: Lake, tmp_path: Path) -> None:
    class Mine:
        def __init__(self) -> None:
            self._kept = LakeResultStorage(lake)

        def __getattr__(self, name: str) -> object:
            return getattr(self._kept, name)

    with pytest.raises(lakestore.InvalidInputError, match=r"has no directory: give journal="):
        DualResultStorage(Mine(), tree)  # type: ignore[arg-type]
    (tmp_path / "mine").mkdir()
    journal = Journal(tree.root, tmp_path / "mine")
    dual = DualResultStorage(Mine(), tree, journal=journal)  # type: ignore[arg-type]
    dual.save_result("a", run(n=1))
    dual.save_result("a", run(n=2), replace=True)
    assert tree.load_result("a") == run(n=2)
    dual.delete_result("a")
    assert not tree.exists("a") and list(journal.entries()) == []
    # A secondary needs none: what it missed lies beside the primary.
    DualResultStorage(tree, Mine()).save_result("a", run(n=3))  # type: ignore[arg-type]


def test_errors_of_the_primary_are_its_own(make: Make, tree: JsonResultStorage, journal: Journal) -> None:
    make().save_result("a", run(n=1))
    with pytest.raises(AlreadyExistsError):
        make().save_result("a", run(n=2))
    assert not list(journal.entries())
    with pytest.raises((StorageError, lakestore.InvalidInputError)):
        make().save_result("b", b"{")
    assert not list(journal.entries()) and not make().exists("b")
