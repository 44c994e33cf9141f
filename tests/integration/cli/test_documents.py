"""Documents into the lake, out of it, and gone: what the command line prints, where, and with which exit code."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lakestore.cli.app import run
from lakestore.compression import zstd
from tests.command_line import RUN_A, RUN_B, Call, Done, ids


def test_init_refuses_a_lake_that_is_there(call: Call, lake: Path) -> None:
    done = call("init")
    assert (done.code, done.out) == (5, "")
    assert done.err.startswith("error: ")


@pytest.mark.parametrize(
    "text",
    [
        b'{"strategy": "s", "x": [1.50, NaN, -0.0, 1e400, 12345678901234567890123]}',
        b'\xef\xbb\xbf{ "strategy" : "s",\r\n\t"trades":[{"p":1},{"p":"\\u00e9\xc3\xa9"}] }\n\n',
        b'{"strategy":"s","strategy":"t","a":{"a":1,"a":2}}',
    ],
)
def test_load_prints_the_bytes_that_were_saved(
    call: Call, text: bytes, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    call("init")
    assert call("save", "-", "--task-id", "x", "--strategy", "s", stdin=text).code == 0
    assert run(["load", "x"]) == 0
    assert capfdbinary.readouterr() == (text, b"")


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstd.compress)])
def test_save_reads_compressed_files(call: Call, tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    text = json.dumps(RUN_A, indent=2)
    (tmp_path / f"a.json{suffix}").write_bytes(pack(text.encode()))
    call("init")
    assert call("save", f"a.json{suffix}").code == 0
    assert call("load", "a1").out == text


def test_a_document_without_a_time_takes_its_file_s_compressed_or_not(call: Call, tmp_path: Path) -> None:
    text = b'{"strategy": "s", "x": %d}'
    (tmp_path / "plain.json").write_bytes(text % 1)
    (tmp_path / "packed.json.gz").write_bytes(gzip.compress(text % 2))
    for path in tmp_path.glob("*.json*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    call("init")
    assert call("save", "plain.json", "packed.json.gz").code == 0
    assert {row["created_at"] for row in call("results", "--format", "json").json()} == {"2020-09-13T12:26:40Z"}


def test_save_says_what_it_saved_on_one_line_a_file(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(RUN_A))
    call("init")
    done = call("save", "a.json")
    assert done.out.startswith("saved a.json as a1: breakout, 2 rows, ")
    assert done.out.count("\n") == 1
    assert call("save", "a.json", "--quiet").out == "a1\n"


def test_saving_the_same_again_succeeds_and_changes_nothing(call: Call, lake: Path) -> None:
    before = call("results", "--format", "json").out
    assert call("save", "a.json").code == 0
    assert call("results", "--format", "json").out == before


def test_other_content_under_the_same_id_is_refused_unless_it_replaces(call: Call, lake: Path) -> None:
    changed = json.dumps(RUN_A | {"params": {}}).encode()
    done = call("save", "-", stdin=changed)
    assert (done.code, done.out) == (5, "")
    assert "a1" in done.err
    assert call("save", "-", "--replace", stdin=changed).code == 0
    assert call("load", "a1").out.encode() == changed


def test_one_bad_file_does_not_keep_the_others_out(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(RUN_A))
    (tmp_path / "bad.json").write_text('{"strategy": "s", ')
    (tmp_path / "b.json").write_text(json.dumps(RUN_B))
    call("init")
    done = call("save", "a.json", "bad.json", "none.json", "b.json")
    assert done.code == 3
    assert [line.split()[1] for line in done.out.splitlines()] == ["a.json", "b.json"]
    errors = done.err.splitlines()
    assert all(line.startswith("error: ") for line in errors[:2])
    assert "bad.json" in errors[0] and "none.json" in errors[1]
    assert errors[2] == "2 of 4 files were not saved"
    assert ids(call("results", "--format", "json")) == ["b1", "a1"]


def test_a_document_without_a_strategy_is_refused_with_what_to_give(call: Call) -> None:
    call("init")
    done = call("save", "-", stdin=b'{"trades": []}')
    assert done.code == 3
    assert "strategy" in done.err


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("none.json", None, 4),
        (".", None, 3),
        ("cut.json.gz", gzip.compress(b"{}" * 99, mtime=0)[:-9], 3),
        ("no.zst", b"{}", 3),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    call: Call, tmp_path: Path, name: str, content: bytes | None, code: int
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    call("init")
    done = call("save", name, "--strategy", "s")
    assert (done.code, done.out) == (code, "")
    assert name in done.err


def test_one_task_id_cannot_name_two_files(call: Call, lake: Path) -> None:
    done = call("save", "--task-id", "x", "a.json", "b.json")
    assert done.code == 2
    assert "--task-id names one result" in done.err


def test_load_writes_a_file_and_does_not_overwrite_one(call: Call, lake: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    assert call("load", "a1", "-o", "out.json") == Done(0, "", "")
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "a.json").read_bytes()
    done = call("load", "b1", "-o", "out.json")
    assert done.code == 5 and "--force" in done.err
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "a.json").read_bytes()
    assert call("load", "b1", "-o", "out.json", "--force").code == 0
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert set(tmp_path.iterdir()) - before == {tmp_path / "out.json"}


@pytest.mark.parametrize(("target", "code"), [("none/out.json", 10), ("folder", 5), ("folder/", 5)])
def test_load_says_when_it_cannot_write(call: Call, lake: Path, tmp_path: Path, target: str, code: int) -> None:
    (tmp_path / "folder").mkdir()
    done = call("load", "a1", "-o", target)
    assert (done.code, done.out) == (code, "")
    assert call("load", "a1", "-o", "folder", "--force").code == 3


def test_a_result_that_is_not_there_is_named(call: Call, lake: Path) -> None:
    done = call("load", "nobody")
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith("error: ") and "nobody" in done.err


def test_delete_takes_a_result_out_of_every_answer(call: Call, lake: Path) -> None:
    assert call("delete", "a1", "--yes") == Done(0, "deleted a1\n", "")
    assert ids(call("results", "--format", "json")) == ["b1"]
    assert call("sql", "SELECT count(*) AS n FROM trades", "--format", "json").json() == [{"n": 1}]
    assert len(call("files", "--table", "trades").out.splitlines()) == 1
    assert call("load", "a1").code == 4


def test_delete_asks_and_without_a_terminal_refuses(call: Call, lake: Path) -> None:
    done = call("delete", "a1", stdin=b"y\n")
    assert (done.code, done.out) == (2, "") and "--yes" in done.err
    assert call("load", "a1").code == 0


def test_delete_goes_on_after_one_that_is_not_there(call: Call, lake: Path) -> None:
    done = call("delete", "--yes", "nobody", "a1")
    assert (done.code, done.out) == (4, "deleted a1\n")
    assert "nobody" in done.err
