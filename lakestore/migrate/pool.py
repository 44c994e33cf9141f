"""Worker processes, each with one pipe: batches in, entries out, and a death that is noticed.

Not `multiprocessing`'s own processes: a forked child must not share the parent's connections and threads, and a
spawned one would run the caller's main module again. Its pipes serve.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Self

from lakestore.errors import LakestoreError
from lakestore.migrate.batch import Job
from lakestore.migrate.options import Entry
from lakestore.migrate.worker import Setup

_AHEAD = 2
"""Batches that a worker has, so that it need not wait for the next one."""

_START = """\
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from lakestore.migrate.worker import main
main()
"""
"""A worker finds modules where its parent does, and nothing in the folder that it happens to be started in."""
_GRACE_SECONDS = 5.0


class _Worker:
    def __init__(self, setup: Setup) -> None:
        self.batches: deque[list[Job]] = deque()
        self.pipe, far = multiprocessing.Pipe()
        with far:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, str(far.fileno()), json.dumps(sys.path)],
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Ctrl-C in a terminal goes to its whole process group.
                start_new_session=True,
            )
        self.pipe.send(setup)

    def stop(self, *, now: bool) -> int:
        """End the process, after the batch under way or at once; return how it ended."""
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


class Died(Exception):
    """A worker ended without an answer: the batch that it was at, and the signal or code it ended with."""

    def __init__(self, batch: list[Job], code: int) -> None:
        super().__init__(batch, code)
        self.batch = batch
        self.code = code


class Pool:
    """Workers that come when there is work for them."""

    def __init__(self, setup: Setup, size: int) -> None:
        """Keep up to `size` workers."""
        self._setup = setup
        self._size = size
        self._workers: list[_Worker] = []

    @property
    def busy(self) -> bool:
        """Whether a batch is under way."""
        return any(worker.batches for worker in self._workers)

    @property
    def has_room(self) -> bool:
        """Whether another batch would be taken."""
        return len(self._workers) < self._size or any(len(worker.batches) < _AHEAD for worker in self._workers)

    def give(self, batch: list[Job]) -> None:
        """Hand a batch to the worker with the fewest; a new one while there are fewer than there may be."""
        idle = min(self._workers, key=lambda worker: len(worker.batches), default=None)
        if idle is None or (idle.batches and len(self._workers) < self._size):
            idle = _Worker(self._setup)
            self._workers.append(idle)
        idle.batches.append(batch)
        try:
            idle.pipe.send(batch)
        except (BrokenPipeError, ConnectionResetError):
            # It has died, which its end of the pipe tells.
            return

    def answers(self) -> Iterator[tuple[list[Job], list[Entry] | LakestoreError | Died]]:
        """Wait until a worker has something to say: a batch with its entries, or with the error that ended it."""
        pipes = {worker.pipe: worker for worker in self._workers if worker.batches}
        for pipe in wait(list(pipes)):
            assert isinstance(pipe, Connection)
            worker = pipes[pipe]
            try:
                answer = pipe.recv()
            except (EOFError, ConnectionResetError):
                yield from self._bury(worker)
                continue
            yield worker.batches.popleft(), answer

    def _bury(self, worker: _Worker) -> Iterator[tuple[list[Job], Died]]:
        """Only the first batch can have killed it; the others go to somebody else."""
        self._workers.remove(worker)
        code = worker.buried()
        first, *others = worker.batches
        yield first, Died(first, code)
        for batch in others:
            self.give(batch)

    def close(self, *, now: bool = False) -> None:
        """End all workers, after the batches under way unless `now`."""
        for worker in self._workers:
            worker.stop(now=now)
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(now=exc_type is not None)
