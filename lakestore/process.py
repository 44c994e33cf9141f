"""A Python process of lakestore's own, spoken to through a pipe; light to import, so that it can be started first.

Not one of `multiprocessing`'s: a forked child must not share the parent's connections and threads, and a spawned one
would run the caller's main module again. Its pipes serve.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

_START = """\
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from importlib import import_module
import_module(sys.argv[3]).main()
"""
"""It finds modules where its parent does, and nothing in the folder that it happens to be started in."""
_GRACE_SECONDS = 5.0


class Process:
    """A process that runs a module's `main`, which finds its end of the pipe as the descriptor `sys.argv[1]`.

    Attributes:
        pipe: this end; closed, it tells the process to end.
    """

    def __init__(self, module: str) -> None:
        """Start the process."""
        self.pipe: Connection[Any, Any]
        self.pipe, far = multiprocessing.Pipe()
        with far:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, str(far.fileno()), json.dumps(sys.path), module],
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Ctrl-C in a terminal goes to its whole process group.
                start_new_session=True,
            )

    def stop(self, *, now: bool) -> int:
        """End the process, after what it is at or at once; return how it ended."""
        if now:
            self._process.kill()
        self.pipe.close()
        return self._process.wait()

    def buried(self) -> int:
        """How a process ended that closed its pipe."""
        self.pipe.close()
        try:
            return self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return self.stop(now=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it at once, if it is there still."""
        self.stop(now=True)
