"""`lakestore export` and `lakestore status`: the way back, what was missed, and where a move stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lakestore
from lakestore import DualResultStorage, JsonResultStorage, Lake, LakeResultStorage, ResultManager
from lakestore.cli.app import run as lakestore_cli
from lakestore.storage import Journal, exporting
from lakestore.storage.cutover import Standing, standing
from lakestore.testing import START, run
from tests.databases import NOWHERE


@pytest.fixture
def lake(beside_a_tree: None) -> Iterator[Lake]:
    with lakestore.open() as opened:
        yield opened


@pytest.fixture
def call(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, str, str]]:
    def call(*args: str) -> tuple[int, str, str]:
        code = lakestore_cli(args)
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return call


Call = Callable[..., tuple[int, str, str]]


def stands(tree: JsonResultStorage, lake: Lake, mode: Any = "dual") -> Standing:
    return standing(tree, lake, Journal(tree.root, lake.root), mode=mode)


def test_results_come_back_as_the_files_they_were(lake: Lake, tree: JsonResultStorage, call: Call) -> None:
    texts = {"a/b": b'{"strategy":"s", "n": 1.50}\n', "plain": b'{"n": 1}', "two": b'{"strategy":"t"}'}
    for day, (task_id, text) in enumerate(texts.items(), 1):
        lake.save(
            text,
            task_id=task_id,
            strategy="x" if task_id == "plain" else None,
            created_at=START.replace(day=day),
        )
    assert call("export", "--to", "tree", "--strategy", "t") == (0, "1 written, 16 bytes of JSON\n", "")
    assert call("export", "--to", "tree") == (0, "2 written, 36 bytes of JSON\n1 there already\n", "")
    assert call("export", "--to", "tree", "--missing") == (0, "0 written\n3 there already\n", "")
    assert (tree.root / "s" / "a%2Fb.json").read_bytes() == texts["a/b"]
    assert (tree.root / "x" / "plain.json").read_bytes() == texts["plain"]
    seen = {info.task_id: (info.strategy, info.created_at, info.sha256) for info in tree.list_results()}
    assert seen == {info.task_id: (info.strategy, info.created_at, info.sha256) for info in lake.results()}
    assert stands(tree, lake).equal == 3


def test_a_file_that_differs_is_told_and_left_unless_it_is_to_be_replaced(
    lake: Lake, tree: JsonResultStorage, call: Call
) -> None:
    lake.save(run(n=1), task_id="a")
    lake.save(run(n=1), task_id="b")
    tree.save_result("a", run(n=2))
    assert call("export", "--to", "tree", "--missing")[:2] == (0, "1 written, 63 bytes of JSON\n1 there already\n")
    code, out, err = call("export", "--to", "tree")
    assert (code, out) == (5, "0 written\n1 there already\n1 failed\n")
    assert "result 'a' differs from the file of its name" in err and "--replace" in err
    assert tree.load_result("a")["n"] == 2
    assert call("export", "--to", "tree", "--replace")[0] == 0
    assert tree.load_result("a")["n"] == 1


def test_a_result_of_two_files_that_differ_is_told_as_one(lake: Lake, tree: JsonResultStorage, call: Call) -> None:
    for folder, n in (("a", 1), ("b", 2)):
        path = tree.root / folder / "x.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(run(n=n)))
    code, _, err = call("migrate", str(tree.root))
    assert code == 1 and "{parent}-{stem}" in err
    for found in (stands(tree, lake), stands(tree, lake, "lake")):
        assert (found.in_json, found.differing, found.ready) == (1, 1, False)
        for told in (found.next, found.back):
            assert told.endswith("1 result is in several files of the tree that differ: rename all but one of each")


def test_what_the_tree_missed_is_mended_deletes_as_well(lake: Lake, tree: JsonResultStorage, call: Call) -> None:
    dual = DualResultStorage(LakeResultStorage(lake), JsonResultStorage(tree.root))
    for name in ("kept", "replaced", "deleted"):
        dual.save_result(name, run(n=1))
    tree.root.rename("aside")
    tree.root.write_bytes(b"")
    dual.save_result("replaced", run(n=2), replace=True)
    dual.save_result("new", run(n=2))
    dual.delete_result("deleted")
    tree.root.unlink()
    Path("aside").rename(tree.root)
    found = stands(tree, lake)
    assert (found.equal, found.pending_json, found.only_json, found.only_lake, found.differing) == (1, 3, 0, 0, 0)
    assert (
        not found.ready
        and "3 results are to be mended in the tree, 'lakestore export'"
        in found.next
        == found.back.replace("json", "lake", 1)
    )
    # Another tree is not what missed them.
    assert call("export", "--to", "elsewhere")[1].startswith("3 written")
    assert stands(tree, lake).pending_json == 3
    assert call("export", "--to", "tree") == (0, "3 mended in the tree\n0 written\n3 there already\n", "")
    found = stands(tree, lake)
    assert (found.equal, found.in_json, found.pending_json, found.ready) == (3, 3, 0, True)
    assert not tree.exists("deleted") and tree.load_result("replaced")["n"] == 2


def test_what_the_lake_missed_is_not_written_over_the_tree(lake: Lake, tree: JsonResultStorage, call: Call) -> None:
    DualResultStorage(tree, LakeResultStorage(lake)).save_result("a", run(n=1))
    DualResultStorage(tree, LakeResultStorage(lake)).save_result("b", run(n=1))
    away = DualResultStorage(tree, LakeResultStorage.at(lake.root, dsn=NOWHERE))
    away.save_result("a", run(n=2), replace=True)
    away.delete_result("b")
    code, out, _ = call("export", "--to", "tree", "--replace")
    assert code == 0 and "2 left out: the tree has the version that counts, 'lakestore migrate' mends" in out
    assert tree.load_result("a")["n"] == 2 and not tree.exists("b")


def test_how_much_is_to_be_exported_is_told_before_the_first(lake: Lake, tree: JsonResultStorage) -> None:
    sizes = [lake.save(run(n=n), task_id=name).json_size for n, name in enumerate("abc")]
    told: list[tuple[int, int]] = []
    steps = exporting.export(lake, tree, planned=lambda results, size: told.append((results, size)))
    assert next(steps).outcome == "written" and told == [(3, sum(sizes))]


def test_a_result_deleted_while_it_is_exported_stays_deleted(lake: Lake, tree: JsonResultStorage) -> None:
    for name in "abc":
        lake.save(run(), task_id=name)
    dual = DualResultStorage(LakeResultStorage(lake), JsonResultStorage(tree.root))
    journal = Journal(tree.root, lake.root)
    steps = exporting.export(lake, tree, journal=journal)
    assert next(steps).task_id == "a"
    dual.delete_result("a")
    dual.delete_result("c")
    assert [(done.task_id, done.outcome) for done in steps] == [
        ("b", "written"), ("c", "there"), ("a", "mended"), ("c", "mended"),
    ]  # fmt: skip
    assert [info.task_id for info in tree.list_results()] == ["b"] and not list(journal.entries())


def test_the_way_from_json_to_the_lake_in_words(lake: Lake, tree: JsonResultStorage, call: Call) -> None:
    tree.save_result("a", run(n=1))
    tree.save_result("b", run(n=1))
    found = stands(tree, lake, "json")
    assert (found.phase, found.in_json, found.only_json, found.ready) == ("json", 2, 2, True)
    assert found.next.startswith("ready for dual: set RESULT_STORAGE_MODE=dual")
    found = stands(tree, lake)
    assert not found.ready
    assert found.next.startswith("not ready for lake: 2 results are only in the tree, 'lakestore migrate'")
    assert found.back.startswith("ready for json")
    for name in "ab":
        lake.save(tree.load_json(name), task_id=name)
    lake.save(run(n=3), task_id="c")
    found = stands(tree, lake)
    assert found.ready and (found.equal, found.only_lake, found.named["only_lake"]) == (2, 1, ("c",))
    assert found.next == (
        "ready for lake: every result of the tree is in the lake, byte for byte; set RESULT_STORAGE_MODE=lake"
    )
    assert found.back.startswith("not ready for json: 1 result is only in the lake, 'lakestore export' to the tree")
    assert stands(tree, lake, "lake").next.startswith("ready for archive")
    tree.save_result("b", run(n=2), replace=True)
    found = stands(tree, lake)
    assert not found.ready and found.named["differing"] == ("b",) and "1 result is not the same in both" in found.next
    for name in "ab":
        tree.delete_result(name)
    found = stands(tree, lake, "lake")
    assert (found.phase, found.ready, found.in_json, found.in_lake) == ("archive", True, 0, 3)
    assert found.json_bytes == 0 and found.lake_json_bytes == sum(info.json_size for info in lake.results())


def test_the_exit_code_tells_whether_the_next_phase_can_begin(
    lake: Lake, tree: JsonResultStorage, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESULT_STORAGE_MODE", "dual")
    tree.save_result("a", run(n=1))
    code, out, _ = call("status")
    assert code == 1 and "not ready for lake: 1 result is only in the tree" in out
    lake.save(tree.load_json("a"), task_id="a")
    code, out, _ = call("status", "--format", "json")
    [found] = json.loads(out)
    assert code == 0 and found["ready"] is True and found["equal"] == 1 and found["phase"] == "dual"
    assert call("status", "--json-root", "nowhere")[0] == 0
    monkeypatch.setenv("RESULT_STORAGE_MODE", "lake")
    code, _, err = call("status", "--json-root", "nowhere")
    assert code == 4 and "there is no directory" in err
    monkeypatch.delenv("RESULT_STORAGE_JSON_ROOT")
    code, out, _ = call("status")
    assert code == 1 and "not ready for archive: no tree of JSON files is named: set RESULT_STORAGE_JSON_ROOT" in out
    monkeypatch.setenv("RESULT_STORAGE_MODE", "neither")
    assert call("status")[0] == 3


def test_without_a_lake_it_says_so_and_makes_none(beside_a_tree: None, call: Call) -> None:
    Path("tree").mkdir()
    code, out, _ = call("status", "--lake", "none")
    assert code == 1 and "there is no lake yet, 'lakestore init' makes one" in out
    assert not Path("none").exists()


def test_files_are_read_once(lake: Lake, tree: JsonResultStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        tree.save_result(str(number), run(n=number))
        lake.save(tree.load_json(str(number)), task_id=str(number))
    monkeypatch.setattr("lakestore.storage.tree.TreeFile.is_settled", lambda seen, now: True)
    reads: list[str] = []
    read = type(tree._tree).read
    monkeypatch.setattr(type(tree._tree), "read", lambda self, path: reads.append(path) or read(self, path))
    assert stands(tree, lake).equal == 20 and len(reads) == 20
    assert stands(JsonResultStorage(tree.root), lake).equal == 20 and len(reads) == 20
    # A listing reads the documents, and what it keeps serves the comparison too.
    assert len(JsonResultStorage(tree.root).list_results()) == 20 and len(reads) == 40
    assert stands(JsonResultStorage(tree.root), lake).equal == 20 and len(reads) == 40


@pytest.mark.parametrize("mode", ["json", "lake"])
def test_what_one_side_lets_go_alone_is_noted_for_the_other(
    lake: Lake, tree: JsonResultStorage, mode: Any, call: Call
) -> None:
    with ResultManager.from_env(mode="dual") as both:
        for name in ("kept", "replaced", "deleted"):
            both.save_result(name, run(n=1))
    with ResultManager.from_env(mode=mode) as alone:
        alone.save_result("replaced", run(n=2), replace=True)
        alone.save_result("replaced", run(n=3), replace=True)
        alone.save_result("new", run(n=2), replace=True)
        alone.delete_result("deleted")
    found = stands(tree, lake, "dual")
    assert (found.pending_lake, found.pending_json) == ((2, 0) if mode == "json" else (0, 2))
    with ResultManager.from_env(mode="dual", primary="lake" if mode == "json" else "json") as both:
        assert both.load_result("replaced")["n"] == 3 and both.exists("new")
        assert not both.exists("deleted")
        assert [info.task_id for info in both.list_results()] == ["kept", "new", "replaced"]
    if mode == "lake":
        assert call("export", "--to", "tree")[1].startswith("2 mended in the tree\n1 written")
        assert stands(tree, lake, "dual").ready


def test_a_delete_by_hand_is_noted_for_the_tree(lake: Lake, tree: JsonResultStorage, call: Call) -> None:
    DualResultStorage(tree, LakeResultStorage(lake)).save_result("a", run(n=1))
    assert call("delete", "--yes", "a")[0] == 0
    with ResultManager.from_env(mode="dual") as both:
        assert not both.exists("a")
    assert call("export", "--to", "tree") == (0, "1 mended in the tree\n0 written\n", "")
    assert not tree.exists("a")
