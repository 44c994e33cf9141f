"""`lakestore migrate` of a tree that engines write to: what the lake missed is mended, what it let go stays away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import lakestore
from lakestore import DualResultStorage, JsonResultStorage, Lake, LakeResultStorage
from lakestore.cli.app import run as lakestore_cli
from lakestore.migrate import migrate
from lakestore.storage import Journal
from lakestore.testing import TASK_IDS, run
from tests.databases import NOWHERE


@pytest.fixture
def lake(beside_a_tree: None) -> Iterator[Lake]:
    with lakestore.open() as opened:
        yield opened


def test_ids_are_those_of_the_tree(lake: Lake, tree: JsonResultStorage) -> None:
    for number, task_id in enumerate(TASK_IDS):
        tree.save_result(task_id, run("../s", n=number))
    summary = migrate(lake, [tree.root], tree=tree)
    assert summary.failed == 0
    assert {digest.task_id: digest.sha256 for digest in lake.digests()} == {
        seen.task_id: facts.sha256 for seen, facts in tree.facts(documents=False)
    }
    assert len(lake.digests()) == len(TASK_IDS)


def test_what_the_lake_missed_is_mended(lake: Lake, tree: JsonResultStorage, capfd: pytest.CaptureFixture[str]) -> None:
    both = DualResultStorage(tree, LakeResultStorage(lake))
    for name in ("kept", "replaced", "deleted", "conflict"):
        both.save_result(name, run(n=1))
    assert lakestore_cli(["migrate", "tree"]) == 0
    away = DualResultStorage(tree, LakeResultStorage.at(lake.root, dsn=NOWHERE))
    away.save_result("new", run(n=2))
    away.save_result("replaced", run(n=2), replace=True)
    away.delete_result("deleted")
    away.save_result("conflict", run(n=2), replace=True)
    lake.save(run(n=3), task_id="conflict", replace=True)
    capfd.readouterr()
    assert lakestore_cli(["migrate", "tree"]) == 1
    out, err = capfd.readouterr()
    assert "3 results mended, of which the lake had missed something" in out
    assert "result 'conflict' has a version in the lake that the tree never had" in err
    assert {info.task_id: lake.load(info.task_id).document["n"] for info in lake.results()} == {
        "kept": 1, "new": 2, "replaced": 2, "conflict": 3,
    }  # fmt: skip
    both.save_result("conflict", run(n=4), replace=True)
    assert lakestore_cli(["migrate", "tree"]) == 0 and not list(Journal(tree.root, lake.root).entries())


def test_what_the_lake_is_right_about_is_left_out(
    lake: Lake, tree: JsonResultStorage, capfd: pytest.CaptureFixture[str]
) -> None:
    both = DualResultStorage(LakeResultStorage(lake), JsonResultStorage(tree.root))
    for name in ("replaced", "deleted"):
        both.save_result(name, run(n=1))
    tree.root.rename("aside")
    tree.root.write_bytes(b"")
    both.save_result("replaced", run(n=2), replace=True)
    both.delete_result("deleted")
    tree.root.unlink()
    Path("aside").rename(tree.root)
    assert lakestore_cli(["migrate", "--force", "tree"]) == 0
    assert "2 left out" in capfd.readouterr().out
    assert {info.task_id: lake.load(info.task_id).document["n"] for info in lake.results()} == {"replaced": 2}


def test_a_result_deleted_between_its_reading_and_its_commit_is_gone(
    lake: Lake, tree: JsonResultStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        tree.save_result(name, run(n=1))
    both = DualResultStorage(tree, LakeResultStorage(lake))

    class Observer:
        def planned(self, files: int, size: int) -> None:
            """The files were found and are about to be read by workers; one is deleted, one replaced meanwhile."""
            lake.save(tree.load_json("a"), task_id="a")
            both.delete_result("a")
            # As a worker does that has read the file before.
            lake.save(run(n=1), task_id="a")
            both.save_result("b", run(n=2), replace=True)

        def done(self, *args: object) -> None: ...
        def waiting(self, files: int) -> None: ...
        def stopping(self) -> None: ...

    summary = migrate(lake, [tree.root], tree=tree, observer=Observer())
    assert summary.unmended == []
    assert {info.task_id: lake.load(info.task_id).document["n"] for info in lake.results()} == {"b": 2}
    assert not list(Journal(tree.root, lake.root).entries())
