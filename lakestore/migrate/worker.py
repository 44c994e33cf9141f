"""A process that does batches: started by `pool`, spoken to through a pipe, gone when that closes."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lakestore import background
from lakestore.errors import LakestoreError
from lakestore.lake import Lake
from lakestore.migrate.batch import Batch
from lakestore.migrate.options import Options
from lakestore.process import keep_memory, without_pandas
from lakestore.storage import Journal


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is told first. `dsn` comes through the pipe: an argument could be read by anybody.

    `tree` is the root of a tree of JSON files beside the lake, if there is one.
    """

    root: str
    dsn: str
    claimant: int
    options: Options
    tree: Path | None = None


def main(pipe: Connection[Any, Any]) -> None:
    """Do batches until the pipe closes; each answer is the batch's entries, or the error that ended it."""
    # Ctrl-C is the parent's: it lets the batch under way end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    without_pandas()
    keep_memory()
    background.alone()
    # A parent that is gone closes the pipe; its claims are free then, and nobody waits for an answer.
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        setup = pipe.recv()
        assert isinstance(setup, Setup)
        try:
            with Lake.open(setup.root, dsn=setup.dsn, create=False) as lake, _moving(setup):
                ledger = lake.parts().catalog.ledger(setup.claimant)
                while True:
                    jobs = pipe.recv()
                    assert isinstance(jobs, list)
                    pipe.send(Batch(lake, ledger, setup.options).run(jobs))
        except LakestoreError as exc:
            pipe.send(exc)


def _moving(setup: Setup) -> AbstractContextManager[None]:
    """What was read may still be committed when the parent is gone: the worker says so itself."""
    return nullcontext() if setup.tree is None else Journal(setup.tree, Path(setup.root)).moving()
