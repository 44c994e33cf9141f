"""Commands as processes of their own, with the embedded catalog."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.command_line import RUN_A


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
