"""A Python process of lakestore's own, spoken to through a pipe; light to import, so that it can be started first."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from multiprocessing.connection import Connection
from types import ModuleType, TracebackType
from typing import Any, Self

_START = """\
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from importlib import import_module
from multiprocessing.connection import Connection
import_module(sys.argv[3]).main(Connection(int(sys.argv[1])))
"""
"""It finds modules where its parent does, and nothing in the folder that it happens to be started in."""
_GRACE_SECONDS = 5.0
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's `mallopt`, from its malloc.h."""


class _WithoutPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("this process does without pandas", name=fullname)


def without_pandas() -> None:
    """Let this process never load pandas: pyarrow would, for the first value it is given, and takes 0.15 s for it."""
    sys.meta_path.insert(0, _WithoutPandas())


def keep_memory() -> None:
    """Let what a document took serve the next one: glibc returns it, and the kernel clears each page anew.

    A tenth of the time of a long run of saves; other C libraries have no such word, and nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


class Process:
    """A process that runs a module's `main(pipe)`.

    Attributes:
        pipe: this end; closed, it tells the process to end.
    """

    def __init__(self, module: str, *, fork: bool = False) -> None:
        """Start the process: a new one, whatever this one has open.

        Args:
            fork: a copy of this one, which has loaded already what the other would have to; for a command that has
                opened nothing yet. A new one all the same where a copy is not safe.
        """
        self.pipe: Connection[Any, Any]
        self.pipe, far = multiprocessing.Pipe()
        # Threads are not copied, what they hold locked is; macOS's frameworks take no fork at all.
        forks = fork and sys.platform == "linux" and threading.active_count() == 1
        _HERE.add(self)
        with far:
            self._child = _Copy(module, far) if forks else _New(module, far)

    def stop(self, *, now: bool) -> int:
        """End the process, after what it is at or at once; return how it ended."""
        if now:
            self._child.kill()
        self.pipe.close()
        return self._child.wait(None)

    def exit_code(self) -> int:
        """How a process ended that closed its pipe."""
        self.pipe.close()
        try:
            return self._child.wait(_GRACE_SECONDS)
        except TimeoutError:
            return self.stop(now=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it at once, if it is there still."""
        self.stop(now=True)


_HERE: weakref.WeakSet[Process] = weakref.WeakSet()
"""Processes that this one has started: a copy of it must not hold this end of their pipes, nor of its own."""


class _New:
    """Not one of `multiprocessing`'s, which would run the caller's main module again. Its pipes serve."""

    def __init__(self, module: str, far: Connection[Any, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(far.fileno()), json.dumps(sys.path), module],
            pass_fds=[far.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Ctrl-C in a terminal goes to its whole process group.
            start_new_session=True,
        )
        self.kill = self._process.kill

    def wait(self, seconds: float | None) -> int:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired as exc:
            raise TimeoutError from exc


class _Copy:
    def __init__(self, module: str, far: Connection[Any, Any]) -> None:
        self._process = multiprocessing.get_context("fork").Process(target=_copied, args=(module, far), daemon=True)
        with warnings.catch_warnings():
            # Python 3.12 warns of threads that it did not start: OpenBLAS has some, and sees to itself in a fork.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        self.kill = self._process.kill

    def wait(self, seconds: float | None) -> int:
        self._process.join(seconds)
        if self._process.exitcode is None:
            raise TimeoutError
        return self._process.exitcode


def _copied(module: str, pipe: Connection[Any, Any]) -> None:
    os.setsid()
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
    for process in _HERE:
        process.pipe.close()
    import_module(module).main(pipe)
