"""Worker processes, each with one pipe: batches in, entries out, and a death that is noticed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Final, Self

from lakestore.errors import LakestoreError
from lakestore.migrate.batch import Job
from lakestore.migrate.options import Entry
from lakestore.migrate.worker import Setup
from lakestore.process import Process

WORKER: Final = "lakestore.migrate.worker"
"""The module that a worker runs."""
_AHEAD = 2
"""Batches that a worker has, so that it need not wait for the next one."""


class _Worker:
    def __init__(self, process: Process, setup: Setup) -> None:
        self.batches: deque[list[Job]] = deque()
        self.process = process
        self.pipe = process.pipe
        self.send(setup)

    def send(self, what: object) -> None:
        try:
            self.pipe.send(what)
        except (BrokenPipeError, ConnectionResetError):
            # It has died, which its end of the pipe tells.
            return


class Died(Exception):
    """A worker ended without an answer: the batch that it was at, and the signal or code it ended with."""

    def __init__(self, batch: list[Job], code: int) -> None:
        super().__init__(batch, code)
        self.batch = batch
        self.code = code


class Pool:
    """Workers that come when there is work for them."""

    def __init__(self, setup: Setup, size: int, started: Sequence[Process] = ()) -> None:
        """Keep up to `size` workers; processes that were started ahead are the first of them."""
        self._setup = setup
        self._size = size
        self._started = deque(started)
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
            idle = _Worker(self._started.popleft() if self._started else Process(WORKER), self._setup)
            self._workers.append(idle)
        idle.batches.append(batch)
        idle.send(batch)

    def answers(self) -> Iterator[tuple[list[Job], list[Entry] | LakestoreError | Died]]:
        """Wait until a worker has something to say: a batch with its entries, or with the error that ended it."""
        pipes = {worker.pipe: worker for worker in self._workers if worker.batches}
        for pipe in wait(list(pipes)):
            assert isinstance(pipe, Connection)
            worker = pipes[pipe]
            try:
                answer = pipe.recv()
            except (EOFError, ConnectionResetError):
                yield from self._remove_dead(worker)
                continue
            yield worker.batches.popleft(), answer

    def _remove_dead(self, worker: _Worker) -> Iterator[tuple[list[Job], Died]]:
        """Only the first batch can have killed it; the others go to somebody else."""
        self._workers.remove(worker)
        code = worker.process.exit_code()
        first, *others = worker.batches
        yield first, Died(first, code)
        for batch in others:
            self.give(batch)

    def close(self, *, now: bool = False) -> None:
        """End all workers, after the batches under way unless `now`."""
        for worker in self._workers:
            # All are told before one is waited for.
            worker.pipe.close()
        for worker in self._workers:
            worker.process.stop(now=now)
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(now=exc_type is not None)
