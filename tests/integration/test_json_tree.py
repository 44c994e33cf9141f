"""A tree of JSON files as a storage: what other programs put there, what must not be followed, what is kept of it."""

from __future__ import annotations

import contextlib
import gc
import gzip
import json
import os
import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lakestore import (
    AlreadyExistsError,
    CorruptFileError,
    DualResultStorage,
    InvalidInputError,
    JsonResultStorage,
    Lake,
    LakeResultStorage,
    StorageError,
)
from lakestore.storage import index
from lakestore.testing import run

ROOT = Path(__file__).parents[2]


def put(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return path


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as one that did not change just now."""
    monkeypatch.setattr(index.TreeFile, "is_settled", lambda seen, now: True)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, tree: JsonResultStorage) -> list[str]:
    """The paths that were read."""
    done: list[str] = []
    read = tree._tree.read
    monkeypatch.setattr(type(tree._tree), "read", lambda self, path: done.append(path) or read(path))
    return done


def test_files_of_other_programs_are_results_wherever_they_lie(tree: JsonResultStorage) -> None:
    put(tree.root / "a" / "deep" / "er" / "one.json", {"strategy": "s", "created_at": "2026-01-01"})
    put(tree.root / "folder" / "two.json", {"created_at": "2026-01-02"})
    put(tree.root / "three.json", {"strategy": "t", "created_at": "2026-01-03"})
    assert [(i.task_id, i.strategy) for i in tree.list_results()] == [("three", "t"), ("two", "folder"), ("one", "s")]
    assert tree.load_result("one")["strategy"] == "s"
    tree.save_result("two", {"strategy": "x"}, replace=True)
    assert not (tree.root / "x").exists() and tree.info("two").strategy == "x"


def test_shipped_results_are_listed_with_who_they_are(tree: JsonResultStorage) -> None:
    for path in sorted((ROOT / "examples" / "freqtrade").glob("*.json.gz")):
        put(tree.root / path.name.removesuffix(".gz"), gzip.decompress(path.read_bytes()))
    found = tree.list_results()
    assert len(found) == 7 and {info.profile for info in found} == {"freqtrade"}
    assert [info.created_at for info in found] == sorted((info.created_at for info in found), reverse=True)


def test_a_file_is_as_old_as_its_run(tree: JsonResultStorage) -> None:
    when = datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)
    tree.save_result("a", {"strategy": "s"}, time=when)
    [path] = tree.root.glob("*/*.json")
    assert path == tree.root / "s" / "a.json" and path.stat().st_mtime_ns % 1_000_000_000 == 123_456_000
    assert tree.list_results()[0].created_at == when


def test_what_is_hidden_linked_a_lake_or_no_json_is_no_result(tree: JsonResultStorage, tmp_path: Path) -> None:
    outside = put(tmp_path / "outside" / "out.json", {"strategy": "s"})
    put(tree.root / ".hidden" / "a.json", {"strategy": "s"})
    put(tree.root / ".b.json", {"strategy": "s"})
    put(tree.root / "s" / "c.txt", {"strategy": "s"})
    put(tree.root / "lake" / "_lakestore" / "lake.json", {"strategy": "s"})
    put(tree.root / "lake" / "d.json", {"strategy": "s"})
    (tree.root / "linked").symlink_to(outside.parent)
    (tree.root / "e.json").symlink_to(outside)
    os.mkfifo(tree.root / "f.json")
    assert tree.list_results() == []
    assert [name for name in ("a", ".b", "c", "lake", "d", "out", "e", "f") if tree.exists(name)] == []


def test_no_result_is_written_through_a_link(tree: JsonResultStorage, tmp_path: Path) -> None:
    tree.root.mkdir()
    (tmp_path / "outside").mkdir()
    (tree.root / "s").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match="symbolic link"):
        tree.save_result("a", {"strategy": "s"})
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_root_that_is_a_link_is_a_root(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    JsonResultStorage(tmp_path / "link").save_result("a", {"strategy": "s"})
    assert JsonResultStorage(tmp_path / "real").exists("a")


def test_a_lake_is_no_tree(tmp_path: Path) -> None:
    (tmp_path / "_lakestore").mkdir()
    with pytest.raises(InvalidInputError, match="is a lake"):
        JsonResultStorage(tmp_path)


def test_one_name_in_two_folders_is_one_result_while_the_content_is_the_same(tree: JsonResultStorage) -> None:
    for folder in "ab":
        put(tree.root / folder / "x.json", {"strategy": "s"})
    assert tree.load_result("x") == {"strategy": "s"}
    assert [info.task_id for info in tree.list_results()] == ["x"]
    put(tree.root / "b" / "x.json", {"strategy": "t"})
    for storage in (tree, JsonResultStorage(tree.root)):
        # Listed by the first of them, and not taken for the only one.
        assert [info.strategy for info in storage.list_results()] == ["s"]
        with pytest.raises(CorruptFileError, match=r"as a/x\.json and as b/x\.json; rename"):
            storage.load_result("x")
    tree.save_result("x", {"strategy": "u"}, replace=True)
    assert {path.read_bytes() for path in tree.root.glob("*/x.json")} == {b'{"strategy":"u"}'}
    tree.delete_result("x")
    assert not tree.exists("x") and not list(tree.root.glob("*/x.json"))


def test_a_file_that_is_no_json_is_there_but_not_listed(tree: JsonResultStorage) -> None:
    put(tree.root / "s" / "cut.json", b'{"strategy": "s", "tra')
    put(tree.root / "nameless.json", {"n": 1})
    tree.save_result("good", {"strategy": "s"})
    assert [info.task_id for info in tree.list_results()] == ["good"]
    assert tree.exists("cut") and tree.load_json("cut") == b'{"strategy": "s", "tra'
    with pytest.raises(CorruptFileError, match="not JSON: line 1"):
        tree.load_result("cut")
    problems = {seen.task_id: facts.problem for seen, facts in tree.facts(documents=True) if facts.problem}
    assert problems.keys() == {"cut", "nameless"} and "names no strategy" in str(problems["nameless"])


def test_a_save_leaves_only_its_file(tree: JsonResultStorage) -> None:
    tree.save_result("a", {"strategy": "s"})
    with pytest.raises(AlreadyExistsError):
        tree.save_result("a", {"strategy": "t"})
    tree.save_result("a", {"strategy": "t"}, replace=True)
    names = [path.relative_to(tree.root).as_posix() for path in tree.root.rglob("*") if path.is_file()]
    assert [name for name in names if not name.startswith(".lakestore/locks/")] == ["s/a.json"]


def test_a_folder_removed_by_others_is_made_again(tree: JsonResultStorage) -> None:
    tree.save_result("a", {"strategy": "s"})
    (tree.root / "s" / "a.json").unlink()
    (tree.root / "s").rmdir()
    tree.save_result("a", {"strategy": "s"})
    assert tree.exists("a")


def test_a_list_reads_a_file_once(tree: JsonResultStorage, reads: list[str], settled: None) -> None:
    for number in range(5):
        tree.save_result(str(number), {"strategy": "s", "params": {"n": number}})
    reads.clear()
    first = tree.list_results()
    assert len(reads) == 5
    assert JsonResultStorage(tree.root).list_results() == tree.list_results() == first
    assert len(reads) == 5 and first[0].params is not None
    tree.save_result("2", {"strategy": "s", "params": {"n": 7}}, replace=True)
    reads.clear()
    assert sorted(info.params["n"] for info in tree.list_results()) == [0, 1, 3, 4, 7]
    assert reads == ["s/2.json"]


def test_what_changed_just_now_is_read_again(tree: JsonResultStorage, reads: list[str]) -> None:
    path = put(tree.root / "a.json", {"strategy": "s"})
    assert tree.list_results()[0].strategy == "s"
    seen = path.stat()
    # Within the file system's tick a change may show in nothing but the content.
    path.write_text('{"strategy": "t"}')
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert tree.list_results()[0].strategy == "t"
    assert reads == ["a.json", "a.json"]


def test_an_index_that_is_damaged_or_cannot_be_written_is_done_without(
    tree: JsonResultStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.save_result("a", {"strategy": "s"})
    file = put(tree.root / ".lakestore" / "index.sqlite", b"no database" * 1000)
    assert [info.task_id for info in tree.list_results()] == ["a"]
    tree.close()
    with contextlib.closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT count(*) FROM documents").fetchone() == (1,)
    file.write_bytes(file.read_bytes()[:5000])
    assert [info.task_id for info in JsonResultStorage(tree.root).list_results()] == ["a"]
    file.unlink()
    file.mkdir()
    assert [info.strategy for info in JsonResultStorage(tree.root).list_results()] == ["s"]


def test_a_tree_that_cannot_be_written_is_read(tree: JsonResultStorage) -> None:
    put(tree.root / "s" / "a.json", {"strategy": "s"})
    tree.root.chmod(0o555)
    try:
        assert [info.task_id for info in tree.list_results()] == ["a"]
        assert tree.load_result("a") == {"strategy": "s"}
        if os.geteuid():
            with pytest.raises(StorageError):
                tree.save_result("b", {"strategy": "s"})
    finally:
        tree.root.chmod(0o755)


def test_a_child_of_a_fork_lists_and_saves(tree: JsonResultStorage) -> None:
    tree.save_result("a", {"strategy": "s"})
    tree.list_results()
    child = os.fork()
    if not child:
        try:
            tree.save_result("b", {"strategy": "s"})
            code = 0 if len(tree.list_results()) == 2 else 1
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert len(tree.list_results()) == 2


def test_files_have_the_rights_that_the_user_s_mask_leaves(tree: JsonResultStorage) -> None:
    mask = os.umask(0o027)
    try:
        tree.save_result("a", {"strategy": "s"})
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tree.root / "s" / "a.json").stat().st_mode) == 0o640


def test_a_storage_that_nobody_closes_lets_go_of_its_index(tmp_path: Path) -> None:
    tree = JsonResultStorage(tmp_path)
    put(tree.root / "one.json", {"strategy": "s", "created_at": "2026-01-01"})
    assert [info.task_id for info in tree.list_results()] == ["one"]
    db = tree._index._connection()
    del tree
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        db.execute("SELECT 1")


@pytest.mark.parametrize("dual", [False, True])
def test_a_tree_that_the_first_save_makes_is_durable(
    tmp_path: Path, lake: Lake, dual: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    tree = JsonResultStorage(tmp_path / "new" / "tree")
    storage = DualResultStorage(tree, LakeResultStorage(lake)) if dual else tree
    monkeypatch.setattr(os, "fsync", noted)
    storage.save_result("a", run(n=1))
    assert {str(tmp_path), str(tmp_path / "new"), str(tree.root)} <= set(synced)
