"""Durable writes: the order of system calls, and nothing left where one of them fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from lakestore.errors import AlreadyExistsError, CorruptFileError, StorageError
from lakestore.files import Files


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that matter for durability, as they are made, with the base names they concern."""
    made: list[str] = []
    names: dict[int, str] = {}
    real = {name: getattr(os, name) for name in ("open", "fsync", "rename", "mkdir")}

    def opened(path: Any, *args: Any, **kwargs: Any) -> int:
        fd: int = real["open"](path, *args, **kwargs)
        names[fd] = "file" if str(path).endswith(".tmp") else "folder " + Path(path).name
        return fd

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", lambda fd: (made.append(f"fsync {names[fd]}"), real["fsync"](fd))[1])
    monkeypatch.setattr(os, "rename", lambda a, b: (made.append(f"rename to {Path(b).name}"), real["rename"](a, b))[1])
    monkeypatch.setattr(os, "mkdir", lambda p, *m: (made.append(f"mkdir {Path(p).name}"), real["mkdir"](p, *m))[1])
    return made


def test_a_file_is_synced_then_renamed_then_its_directory_synced(tmp_path: Path, calls: list[str]) -> None:
    files = Files(tmp_path)
    files.write([("t/a/x.parquet", b"1"), ("t/a/y.parquet", b"2")])
    root = tmp_path.name
    assert calls == [
        "mkdir t",
        f"fsync folder {root}",
        "mkdir a",
        "fsync folder t",
        "fsync file",
        "fsync file",
        "rename to x.parquet",
        "rename to y.parquet",
        "fsync folder a",
    ]
    calls.clear()
    files.write([("t/a/z.parquet", b"3")])
    assert calls == ["fsync file", "rename to z.parquet", "fsync folder a"]


def test_no_reader_takes_a_file_under_way_for_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(
        os, "rename", lambda old, new: (seen.extend(os.listdir(tmp_path / "t")), os.replace(old, new))[1]
    )
    Files(tmp_path).write([("t/x.parquet", b"1")])
    assert len(seen) == 1 and seen[0].startswith(".") and not seen[0].endswith(".parquet")


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename", "mkdir"])
@pytest.mark.parametrize("nth", range(8))
def test_a_call_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int) -> None:
    real = getattr(os, call)
    count = 0

    def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == nth + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    files = Files(tmp_path)
    monkeypatch.setattr(os, call, failing)
    try:
        files.write([("t/a/x.parquet", b"1"), ("t/b/y.parquet", b"2")])
        failed = False
    except StorageError as exc:
        failed = True
        assert "No space left on device (make room on that disk); nothing was saved" in str(exc)
    monkeypatch.undo()
    assert sorted(files.list()) == ([] if failed else ["t/a/x.parquet", "t/b/y.parquet"])
    assert failed == (count > nth)
    files.write([("t/a/x2.parquet", b"1")])


@pytest.mark.parametrize("apart", [True, False])
def test_files_that_are_not_finished_are_removed(tmp_path: Path, apart: bool) -> None:
    files = Files(tmp_path)
    with pytest.raises(KeyboardInterrupt), files.writing() as writing:
        writing.add([("t/a/x.parquet", b"1"), ("t/b/y.parquet", b"2")], apart=apart)
        raise KeyboardInterrupt
    assert list(files.list()) == []


def test_files_begun_one_after_the_other_get_their_names_together(tmp_path: Path, calls: list[str]) -> None:
    files = Files(tmp_path)
    with files.writing() as writing:
        writing.add([("t/a/x.parquet", b"1")], apart=True)
        writing.add([("t/b/y.parquet", b"2")], apart=False)
        assert not any(call.startswith("rename") for call in calls)
        writing.finish()
    synced = [at for at, call in enumerate(calls) if call == "fsync file"]
    named = [at for at, call in enumerate(calls) if call.startswith("rename")]
    assert len(synced) == len(named) == 2 and max(synced) < min(named)
    assert sorted(calls[max(named) + 1 :]) == ["fsync folder a", "fsync folder b"]


def test_a_missing_file_is_a_corrupt_lake_and_removing_it_is_fine(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with pytest.raises(CorruptFileError, match="is missing"):
        files.read("t/x.parquet")
    files.remove(["t/x.parquet"])


def test_a_removal_is_durable_on_return(tmp_path: Path, calls: list[str]) -> None:
    files = Files(tmp_path)
    files.write([("t/a/x.parquet", b"1"), ("t/a/y.parquet", b"2"), ("t/b/z.parquet", b"3")])
    calls.clear()
    files.remove(["t/a/x.parquet", "t/a/y.parquet", "t/b/z.parquet", "t/b/none.parquet"])
    assert calls == ["fsync folder a", "fsync folder b"] and list(files.list()) == []
    assert sorted(files.remove_empty_folders("t")) == ["t", "t/a", "t/b"]


def test_a_folder_that_holds_anything_stays(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.write([("t/a/x.parquet", b"1")])
    (tmp_path / "t" / "b").mkdir()
    assert files.remove_empty_folders("t") == ["t/b"] and files.remove_empty_folders("none") == []
    assert [(found.name, found.bytes) for found in files.scan("t")] == [("t/a/x.parquet", 1)]


def test_the_folders_of_a_root_are_told_and_a_root_that_is_gone_is_an_error(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
    assert list(Files(tmp_path).folders()) == ["a", "b"]
    with pytest.raises(StorageError, match="cannot list"):
        list(Files(tmp_path / "none").folders())


def test_a_file_is_put_in_the_place_of_another_at_once(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path)
    files.write([("t/x.json", b"old")])
    calls.clear()
    files.put("t/x.json", b"new", replace=True)
    assert calls == ["fsync file", "rename to x.json", "fsync folder t"] and files.read("t/x.json") == b"new"

    def refused(*_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(StorageError, match="Read-only file system"):
        files.put("t/x.json", b"newer", replace=True)
    monkeypatch.undo()
    assert files.read("t/x.json") == b"new" and list(files.list()) == ["t/x.json"]


def _no_links(*_: Any) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_a_new_file_takes_nobodys_place_on_a_file_system_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", _no_links)
    files = Files(tmp_path)
    files.put("x.json", b"1")
    with pytest.raises(AlreadyExistsError, match="there already"):
        files.put("x.json", b"2")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x.json", b"1")]


def test_a_file_system_that_can_do_neither_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", _no_links)
    monkeypatch.setattr("lakestore.files._RENAME_NOREPLACE", 1 << 20)
    with pytest.raises(StorageError, match=r"cannot write .*x\.json: Invalid argument"):
        Files(tmp_path).put("x.json", b"1")
    assert list(tmp_path.iterdir()) == []
