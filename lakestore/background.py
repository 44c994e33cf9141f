"""Work beside the caller's own, in a few threads that the process keeps.

What is done inside of pyarrow, numpy, zstd, hashlib and the system's calls leaves Python's lock to others, so such work
goes on on another core meanwhile, where one is free. Nobody ever waits for a thread that is busy with something else:
who wants a result that nobody has begun makes it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_CORES: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_THREADS: Final = 4 if _CORES > 1 else 0
"""Some of them wait for each other; on a single core nothing is done beside anything."""

_LOAD: Final = "/proc/loadavg"
_HOLDS: Final = 0.05
"""Seconds for which an answer holds: about a save."""

_pool: ThreadPoolExecutor | None = None
_under_way = 0
_asked, _was_free = 0.0, True
_is_alone = False
_lock = threading.Lock()
# A parent's threads are not there in a forked child; what is said of them is kept, unused.
_inherited: list[object] = []


class Background(Generic[T]):
    """Work that is done once, by a thread or by the first who wants its result."""

    def __init__(self, work: Callable[[], T], *, apart: bool = True) -> None:
        """Let a thread do it as soon as one is free.

        Args:
            apart: whether it is worth a thread; else it is done when its result is wanted.
        """
        self._work: Callable[[], T] | None = work
        self._begun = threading.Lock()
        self._future: Future[T] = Future()
        if apart and _THREADS and not _is_alone and _is_core_free():
            _submit(self._do)

    def result(self) -> T:
        """What it gave, or the error that it raised."""
        self._do()
        return self._future.result()

    def drop(self) -> None:
        """Let it not begin any more; what has begun is waited for, its result forgotten."""
        if self._begun.acquire(blocking=False):
            self._work = None
        else:
            wait([self._future])

    def _do(self) -> None:
        # The lock is never let go: it is who has it that does the work.
        if not self._begun.acquire(blocking=False):
            return
        work, self._work = self._work, None
        assert work is not None
        try:
            self._future.set_result(work())
        except BaseException as exc:
            self._future.set_exception(exc)


def alone() -> None:
    """Do nothing beside anything in this process: others like it are there for the other cores."""
    global _is_alone
    _is_alone = True


def _is_core_free() -> bool:
    """Whether a core is left by what runs on this machine beside this module's threads.

    Where many processes save, threads would only make them take turns more often. What a thread has just done is still
    counted as running for a moment: asked meanwhile, three of four answers of an idle machine were no.
    """
    global _asked, _was_free
    now = time.monotonic()
    if not _under_way and now - _asked > _HOLDS:
        _asked, _was_free = now, _running() < _CORES
    return _was_free


def _running() -> int:
    """What runs or waits for a core on this machine; 0 where the system does not tell."""
    try:
        with open(_LOAD, "rb") as stream:
            return int(stream.read().split()[3].partition(b"/")[0])
    except (OSError, ValueError, IndexError):
        return 0


def _submit(work: Callable[[], None]) -> None:
    global _pool, _under_way

    def counted() -> None:
        global _under_way
        try:
            work()
        finally:
            with _lock:
                _under_way -= 1

    try:
        with _lock:
            if _pool is None:
                _pool = _started()
            _pool.submit(counted)
            _under_way += 1
    except RuntimeError:
        # The interpreter ends, or the system gives no more threads: whoever wants the result makes it.
        pass


def _started() -> ThreadPoolExecutor:
    """A pool with all of its threads: left to itself it takes one that is at work for an idle one."""
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="lakestore-background")
    together = threading.Barrier(_THREADS)
    try:
        for _ in range(_THREADS):
            pool.submit(together.wait)
    except RuntimeError:
        together.abort()
        raise
    return pool


def _forget() -> None:
    global _pool, _lock, _under_way
    _inherited.append(_pool)
    _pool, _lock, _under_way = None, threading.Lock(), 0


os.register_at_fork(after_in_child=_forget)
