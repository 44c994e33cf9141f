"""Processes of lakestore's own: new ones and copies, spoken to through a pipe, gone when it closes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest

from lakestore.process import Process

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux copies processes")


def main(pipe: Connection[Any, Any]) -> None:
    """What the processes of these tests run: each question's answer, until the pipe closes."""
    try:
        while True:
            pipe.send(eval(pipe.recv()))
    except EOFError:
        return


@pytest.fixture(params=[False, pytest.param(True, marks=linux)], ids=["new", "copy"])
def fork(request: pytest.FixtureRequest) -> Iterator[bool]:
    yield request.param


def started(*, fork: bool) -> Process:
    return Process(__name__, fork=fork)


def asked(process: Process, question: str) -> Any:
    process.pipe.send(question)
    assert process.pipe.poll(30)
    return process.pipe.recv()


def test_it_runs_beside_this_one_in_a_session_of_its_own(fork: bool) -> None:
    with started(fork=fork) as process:
        pid = asked(process, "os.getpid()")
        assert pid != os.getpid()
        assert asked(process, "os.getsid(0)") == pid


def test_a_closed_pipe_ends_it_though_others_were_started_later(fork: bool) -> None:
    with started(fork=fork) as first, started(fork=fork) as second:
        assert first.stop(now=False) == 0
        assert asked(second, "1 + 1") == 2


def test_how_it_ended_is_known(fork: bool) -> None:
    with started(fork=fork) as process:
        os.kill(asked(process, "os.getpid()"), signal.SIGKILL)
        with pytest.raises(EOFError):
            process.pipe.recv()
        assert process.exit_code() == -signal.SIGKILL


def test_it_ends_when_its_parent_is_killed(fork: bool) -> None:
    script = (
        "import sys, os, signal; sys.path.insert(0, sys.argv[1])\n"
        "from lakestore.process import Process\n"
        "children = [Process('test_process', fork=sys.argv[2] == 'True') for _ in range(2)]\n"
        "for child in children: child.pipe.send('os.getpid()')\n"
        "print(*[child.pipe.recv() for child in children], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, os.path.dirname(__file__), str(fork)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    wait_until_gone(pids)


def wait_until_gone(pids: list[int]) -> None:
    pause = threading.Event()
    for _ in range(200):
        if not any(os.path.exists(f"/proc/{pid}") and "(zombie)" not in status(pid) for pid in pids):
            return
        pause.wait(0.05)
    raise AssertionError(f"alive still: {pids}")


def status(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/status") as stream:
            return stream.read()
    except FileNotFoundError:
        return "(zombie)"


@linux
def test_a_copy_has_loaded_what_this_one_has_and_a_new_one_has_not() -> None:
    with started(fork=True) as copy, started(fork=False) as new:
        assert asked(copy, "'pytest' in sys.modules and os.getppid()") == os.getpid()
        assert not asked(new, "'lakestore.lake' in sys.modules")


@linux
def test_where_threads_run_no_copy_is_made() -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    try:
        with started(fork=True) as process:
            assert not asked(process, "'lakestore.lake' in sys.modules")
    finally:
        go.set()
        thread.join()
