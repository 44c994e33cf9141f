"""The command line in this process or in one of its own, and a lake that it made."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lakestore.cli.app import run
from tests.command_line import ROOT, RUN_A, RUN_B, Call, Done


@pytest.fixture
def call(
    tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Iterator[Call]:
    """`lakestore ARGS…` in this process, in a folder of its own, on a lake that is not made yet."""
    for name in [name for name in os.environ if name.startswith("LAKESTORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LAKESTORE_DSN", dsn)
    monkeypatch.chdir(tmp_path)

    def call(*args: str, stdin: bytes = b"") -> Done:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            code = run(args)
        out, err = capfdbinary.readouterr()
        assert b"Traceback" not in err
        return Done(code, out.decode(), err.decode())

    yield call


@pytest.fixture
def lake(call: Call, tmp_path: Path) -> Path:
    """The folder of a lake that holds run a1 and run b1."""
    assert call("init").code == 0
    for name, document in {"a.json": RUN_A, "b.json": RUN_B}.items():
        (tmp_path / name).write_text(json.dumps(document))
    done = call("save", "a.json", "b.json")
    assert (done.code, done.err) == (0, "")
    return tmp_path / "lake"


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """`lakestore ARGS…` as a process of its own, with the embedded catalog."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAKESTORE_")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def start(*args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "lakestore", *args],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Where the tests run in the background Ctrl-C is ignored, and so would it be here.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start
