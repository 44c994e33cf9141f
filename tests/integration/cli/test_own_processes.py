"""Commands as processes of their own, with the embedded catalog."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import ROOT, RUN_A


def test_a_session_with_the_embedded_catalog(program: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    def finish(*args: str) -> bytes:
        process = program(*args)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out

    (tmp_path / "a.json").write_text(json.dumps(RUN_A))
    finish("init", "--partition", "month")
    finish("save", "a.json")
    assert finish("load", "a1") == (tmp_path / "a.json").read_bytes()
    assert b"run_date=2024-05-01" in finish("files", "--table", "trades")
    assert finish("catalog", "psql", "-A", "-t", "-c", "SELECT count(*) FROM backtest_results") == b"1\n"
    assert b"embedded" in finish("doctor")


def test_a_reader_that_goes_away_ends_the_command_quietly(
    program: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    assert program("init").communicate(timeout=60)[0] == b""
    process = program("sql", "SELECT i FROM range(2000000) t(i)", "--format", "csv")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"i\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


def shell(tmp_path: Path, line: str) -> subprocess.CompletedProcess[bytes]:
    """A line of a shell in which `$lakestore` is the command, and what it gave."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAKESTORE_")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "lakestore": f"{sys.executable} -m lakestore"}
    return subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, timeout=60)


def test_output_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(RUN_A))
    assert shell(tmp_path, "$lakestore init && $lakestore save -q a.json").returncode == 0
    full, closed = (">/dev/full", b"No space left on device"), (">&-", b"Bad file descriptor")
    for command, (where, why) in (("results", closed), ("load a1", full), ("sql 'FROM trades' --format json", full)):
        done = shell(tmp_path, f"$lakestore {command} {where}")
        assert done.returncode == 10
        assert done.stderr == b"error: cannot write to standard output: " + why + b"; what was printed is not whole\n"


@pytest.mark.parametrize("command", ["--help", "--version", "sql --help"])
def test_help_that_cannot_be_written_is_an_error(tmp_path: Path, command: str) -> None:
    for where, why in ((">/dev/full", b"No space left on device"), (">&-", b"Bad file descriptor")):
        done = shell(tmp_path, f"$lakestore {command} {where}")
        said = b"error: cannot write to standard output: " + why + b"; what was printed is not whole\n"
        assert (done.returncode, done.stderr) == (10, said)


def test_streams_that_were_closed_take_no_message_and_give_no_data(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(RUN_A))
    assert shell(tmp_path, "$lakestore init 2>&- && $lakestore save -q a.json <&- >&- 2>&-").returncode == 10
    assert shell(tmp_path, "$lakestore save -q a.json --task-id b1 2>&-").stdout == b"b1\n"
    done = shell(tmp_path, "$lakestore results --format json --limit 1 2>&-")
    assert len(json.loads(done.stdout)) == 1  # The note that there are more is not among them.
    assert shell(tmp_path, "$lakestore delete b1 <&-").returncode == 2
    assert shell(tmp_path, "$lakestore load b1 2>&- <&-").stdout == (tmp_path / "a.json").read_bytes()


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    assert shell(tmp_path, "$lakestore init").returncode == 0
    go = "mkdir gone && cd gone && rmdir ../gone"
    done = shell(tmp_path, f"{go} && $lakestore results")
    assert done.returncode == 10 and b"the working directory is gone" in done.stderr
    assert b"Traceback" not in done.stderr
    assert shell(tmp_path, f"{go} && $lakestore results --lake {tmp_path}/lake").returncode == 0


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_ctrl_c_ends_a_long_query_with_130(program: Callable[..., subprocess.Popen[bytes]]) -> None:
    assert program("init").communicate(timeout=60)[0] == b""
    process = program("sql", "SELECT count(*) FROM range(100000000000) a(i) WHERE hash(i) % 7 = 3")
    # Only the query itself takes so much time of the processor.
    while processor_seconds(process.pid) < 5:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
