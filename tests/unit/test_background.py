"""Work beside the caller's: done once, its error kept, never waited for where nobody has begun it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lakestore import background
from lakestore.background import Background

pytestmark = pytest.mark.skipif(not background._THREADS, reason="on one core nothing is done beside anything")


@pytest.fixture(autouse=True)
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has nothing else to do."""
    monkeypatch.setattr(background, "_is_core_free", lambda: True)


def test_a_thread_does_it_while_the_caller_goes_on() -> None:
    done = threading.Event()
    work = Background(lambda: (done.set(), threading.current_thread().name)[1])
    assert done.wait(10)
    assert work.result().startswith("lakestore-background")


def test_it_is_done_once_however_often_it_is_asked_for() -> None:
    calls: list[int] = []
    for apart in (True, False):
        calls.clear()
        work = Background(lambda: calls.append(1), apart=apart)
        asking = [threading.Thread(target=work.result) for _ in range(8)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert calls == [1]


def test_an_error_comes_to_who_asks_as_it_was_raised() -> None:
    error = KeyError("it")

    def fail() -> None:
        raise error

    for apart in (True, False):
        with pytest.raises(KeyError) as caught:
            Background(fail, apart=apart).result()
        assert caught.value is error


def test_who_wants_a_result_does_not_wait_for_threads_that_are_busy() -> None:
    free = threading.Event()
    busy = [Background(free.wait) for _ in range(2 * background._THREADS)]
    try:
        assert Background(threading.current_thread).result() is threading.current_thread()
    finally:
        free.set()
    assert all(work.result() for work in busy)


def test_all_threads_are_used_though_some_wait_for_others() -> None:
    together = threading.Barrier(background._THREADS)
    works = [Background(lambda: together.wait(10)) for _ in range(background._THREADS)]
    deadline = time.monotonic() + 10
    while together.n_waiting and time.monotonic() < deadline:
        time.sleep(0.001)
    assert sorted(work.result() for work in works) == list(range(background._THREADS))


def test_what_is_dropped_is_not_under_way() -> None:
    free, begun, seen = threading.Event(), threading.Barrier(background._THREADS + 1), []

    def slow() -> None:
        begun.wait(10)
        free.wait(10)
        seen.append("slow")

    busy = [Background(slow) for _ in range(background._THREADS)]
    begun.wait(10)
    never = Background(lambda: seen.append("never"))
    never.drop()
    free.set()
    for work in busy:
        work.drop()
    assert seen == ["slow"] * background._THREADS
    Background(lambda: None).result()
    assert "never" not in seen


def test_a_forked_child_has_threads_of_its_own() -> None:
    assert Background(lambda: 1).result() == 1
    child = os.fork()
    if not child:
        done = threading.Event()
        work = Background(done.set)
        # Nobody asks for it: only a thread can have done it.
        os._exit(0 if done.wait(10) and work.result() is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_it_is_done_while_the_interpreter_ends() -> None:
    code = (
        "import atexit\nfrom lakestore.background import Background\n"
        "assert Background(lambda: 1).result() == 1\n"
        "atexit.register(lambda: print(Background(lambda: 'done').result()))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("done\n", "", 0)


def test_threads_are_for_cores_that_nobody_else_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    load = tmp_path / "loadavg"
    monkeypatch.setattr(background, "_LOAD", str(load))
    monkeypatch.setattr(background, "_HOLDS", -1.0)
    for running in (1, background._CORES - 1, background._CORES, 4 * background._CORES):
        load.write_text(f"0.50 0.40 0.30 {running}/99 4711\n")
        assert background._is_core_free() == (running < background._CORES)
    load.unlink()
    assert background._is_core_free()


def test_cores_are_not_counted_while_threads_of_this_module_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    load = tmp_path / "loadavg"
    load.write_text("0.50 0.40 0.30 1/99 4711\n")
    monkeypatch.setattr(background, "_LOAD", str(load))
    monkeypatch.setattr(background, "_HOLDS", -1.0)
    assert background._is_core_free()
    load.write_text(f"0.50 0.40 0.30 {background._CORES + 1}/99 4711\n")
    monkeypatch.setattr(background, "_under_way", 1)
    assert background._is_core_free()
    monkeypatch.setattr(background, "_under_way", 0)
    assert not background._is_core_free()


def test_a_process_that_is_to_work_alone_does_it_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_is_alone", False)
    background.alone()
    assert Background(lambda: threading.current_thread()).result() is threading.current_thread()
