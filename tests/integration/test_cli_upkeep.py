"""The upkeep commands: what they print, where, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lakestore
from lakestore.cli.app import run

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Iterator[Call]:
    """`lakestore ARGS…` in this process, on a lake that holds `a`, which was replaced, and `b`, which was deleted."""
    monkeypatch.setenv("LAKESTORE_DSN", dsn)
    monkeypatch.setenv("LAKESTORE_LAKE", str(tmp_path / "lake"))
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        for task_id, x in (("a", 1), ("a", 2), ("b", 1)):
            lake.save({"strategy": "s", "signals": [{"x": x}]}, task_id=task_id, replace=True)
        lake.delete("b")

    def call(*args: str) -> tuple[int, str, str]:
        code = run(args)
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    yield call


def test_vacuum_lists_the_files_and_tells_the_sums(call: Call) -> None:
    code, out, err = call("vacuum", "--older-than", "0s", "--dry-run", "--format", "json")
    assert code == 0 and "would remove 4 files" in err and "2 versions" in err
    assert {file["why"] for file in json.loads(out)} == {"let go"} and len(json.loads(out)) == 4
    code, out, err = call("vacuum", "--older-than", "0s")
    assert code == 0 and err.startswith("removed 4 files") and out.count("let go") == 4
    assert call("vacuum")[2].startswith("removed 0 files")


@pytest.mark.parametrize("age", ["soon", "-1d", "7", ""])
def test_an_age_that_is_none_is_a_wrong_command_line(call: Call, age: str) -> None:
    code, out, err = call("vacuum", f"--older-than={age}")
    assert code == 2 and out == "" and "is not an age; give 7d, 12h or 30m" in err


def test_restore_lists_versions_and_brings_one_back(call: Call) -> None:
    code, out, _ = call("restore", "a", "--list", "--format", "json")
    (version,) = json.loads(out)
    assert code == 0 and version["reason"] == "replaced"
    assert call("restore", "b")[0] == 0
    code, out, err = call("restore", "a")
    assert code == 5 and out == "" and "another version" in err
    code, _, err = call("restore", "a", "--replace", "--version", version["version"])
    assert code == 0 and err.startswith("restored a: ")
    assert call("restore", "nobody")[0] == 4


def test_verify_exits_with_0_only_if_all_are_exact(call: Call, tmp_path: Path) -> None:
    code, out, err = call("verify", "--format", "json")
    assert code == 0 and json.loads(out) == [] and err.startswith("1 exact (")
    assert call("verify", "a", "--sample", "1")[0] == 2
    code, out, err = call("verify", "a", "nobody", "--format", "json")
    assert code == 7 and [each["task_id"] for each in json.loads(out)] == ["nobody"] and "1 exact" in err
    for path in tmp_path.rglob("signals/*/*/*.parquet"):
        path.write_bytes(b"")
    code, out, err = call("verify")
    assert code == 7 and "is damaged" in out and "0 exact" in err and "1 not" in err


def test_sync_names_what_is_wrong_and_exits_with_0_unless_something_saved_is_lost(call: Call, tmp_path: Path) -> None:
    assert call("catalog", "sync", "--format", "json")[:2] == (0, "[]\n")
    assert call("catalog", "sync", "--rebuild", "--deep")[0] == 2
    (path,) = [path for path in tmp_path.rglob("tombstones/*") if "deleted" in path.read_text()]
    path.unlink()
    code, out, _ = call("catalog", "sync", "--format", "json")
    assert code == 0 and [(each["kind"], each["task_ids"]) for each in json.loads(out)] == [("tombstone", ["b"])]
    for data in tmp_path.rglob("signals/*/*/*.parquet"):
        data.write_bytes(b"")
    code, out, _ = call("catalog", "sync")
    assert code == 7 and "damaged" in out


def test_rebuild_tells_what_the_catalog_knows_and_what_is_lost(call: Call, tmp_path: Path) -> None:
    code, out, err = call("catalog", "sync", "--rebuild")
    assert code == 0 and err.startswith("the catalog knows 1 result, 2 that were let go, and 6 files")
    for data in tmp_path.rglob("signals/*/*/*.parquet"):
        data.unlink()
    code, out, err = call("catalog", "sync", "--rebuild", "--format", "json")
    assert code == 7 and [(each["kind"], each["task_ids"]) for each in json.loads(out)] == [("incomplete", ["a"])]
    assert "knows 0 results" in err


def test_compact_tells_what_it_merged(call: Call, tmp_path: Path) -> None:
    assert call("restore", "b")[0] == 0
    code, out, err = call("compact", "--dry-run", "--format", "json")
    assert code == 0 and err.startswith("would merge 4 files")
    assert {(each["table"], each["files"], each["into"]) for each in json.loads(out)} == {
        ("results", 2, 0),
        ("signals", 2, 0),
    }
    code, out, err = call("compact", "--target-size", "1MB")
    assert code == 0 and err.startswith("merged 4 files") and "into 2 (" in err
    assert call("verify")[0] == 0 and call("compact")[2].startswith("merged 0 files")
    code, out, err = call("compact", "--partition", "month", "--format", "json")
    assert code == 0 and all(each["run_date"].endswith("-01") for each in json.loads(out))


@pytest.mark.parametrize("size", ["0", "much", "-1MB"])
def test_a_size_that_is_none_is_a_wrong_command_line(call: Call, size: str) -> None:
    code, _, err = call("compact", f"--target-size={size}")
    assert code == 2 and "is not a size" in err
