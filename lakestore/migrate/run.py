"""`migrate`: files into results, shared among workers here and runs elsewhere, resumed where it was stopped."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import FrameType, TracebackType
from typing import Any, Protocol

from lakestore import layout
from lakestore.catalog.ledger import Finished
from lakestore.codec.profiles import registry as profiles
from lakestore.errors import LakestoreError
from lakestore.lake import Lake
from lakestore.migrate.batch import Job, taken
from lakestore.migrate.find import Found, find
from lakestore.migrate.options import Entry, Options
from lakestore.migrate.plan import batches, is_done, plan
from lakestore.migrate.pool import Died, Pool
from lakestore.migrate.tree import Tree
from lakestore.migrate.worker import Setup
from lakestore.process import Process
from lakestore.storage import JsonResultStorage

_LOOK_SECONDS = 1.0
"""How often files that another run is at are looked at again."""


class Observer(Protocol):
    """Who is told how a run gets on."""

    def planned(self, files: int, size: int) -> None:
        """So many files, of so many bytes, are to be done."""

    def done(self, entry: Entry, size: int | None) -> None:
        """A file has ended; `size` of what was planned is done with it, None where it was not planned."""

    def waiting(self, files: int) -> None:
        """Nothing is left but files that other runs are at."""

    def stopping(self) -> None:
        """The run was told to stop, and waits for the batches under way."""


@dataclass(slots=True)
class Summary:
    """How a run ended.

    Attributes:
        outcomes: how many files had which outcome.
        left: files that were not done because the run was stopped.
        interrupted: it was stopped by Ctrl-C; stopped: by `fail_fast`.
        mended: results of which the lake had missed something; unmended: why others could not be mended.
        copies: results that it saved and that have the document of another result.
        results: results that are in the lake by it; bytes_before: of their JSON, bytes_after: of them in the lake.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    left: int = 0
    interrupted: bool = False
    stopped: bool = False
    mended: int = 0
    unmended: list[str] = field(default_factory=list)
    copies: int = 0
    results: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """Files that are not in the lake though they were to be."""
        return self.outcomes["failed"]


def migrate(
    lake: Lake,
    sources: Sequence[str | os.PathLike[str]],
    options: Options | None = None,
    *,
    pattern: str | None = None,
    workers: int = 1,
    started: Sequence[Process] = (),
    fail_fast: bool = False,
    tree: JsonResultStorage | None = None,
    leave_out: Collection[str | os.PathLike[str]] = (),
    observer: Observer | None = None,
) -> Summary:
    """Bring JSON results into a lake; the files are only read.

    Killed at any moment and called again, it does what is left. Several runs, on several machines, share the work.
    A file that cannot be brought in costs only itself, and is told to the observer.

    Args:
        lake: an open lake.
        sources: files, folders and globs; see `find.find`.
        options: how files become results.
        pattern: which files of folders are taken.
        workers: processes that do the work.
        started: such of them as were started ahead, each a `Process(WORKER)`; whoever
            started them ends them.
        fail_fast: stop at the first file that fails.
        tree: where engines keep JSON files beside the lake: what the lake missed of it is mended, and what it deleted
            meanwhile does not come back.
        leave_out: files that are not taken wherever they are found, such as the report of an earlier run.
        observer: is told of each file.

    Raises:
        NotFoundError, InvalidInputError: a source, a profile or an option that cannot be used; nothing was done.
        LakestoreError: the catalog cannot be reached, or the lake not be written. What was done until then stands.
    """
    options = options or Options()
    if options.profile is not None:
        # A profile that nobody knows is no fault of the files.
        profiles.named(options.profile, profiles.known(lake.root / layout.PROFILES))
    beside = None if tree is None else Tree(tree, lake)
    out = {os.path.realpath(path) for path in leave_out}
    files = (found for found in find(sources, pattern=pattern) if found.path not in out)
    return _Run(lake, options, workers, started, fail_fast, beside, observer or _NoObserver()).run(files)


class _NoObserver:
    def planned(self, files: int, size: int) -> None:
        pass

    def done(self, entry: Entry, size: int | None) -> None:
        pass

    def waiting(self, files: int) -> None:
        pass

    def stopping(self) -> None:
        pass


class _Run:
    def __init__(
        self,
        lake: Lake,
        options: Options,
        workers: int,
        started: Sequence[Process],
        fail_fast: bool,
        tree: Tree | None,
        observer: Observer,
    ) -> None:
        self._options = options
        self._tree = tree
        self._workers = max(1, workers)
        self._fail_fast = fail_fast
        self._observer = observer
        self._ledger = lake.parts().catalog.ledger(secrets.randbits(63))
        dsn = "" if lake.embedded else lake.conninfo
        root = None if tree is None or options.dry_run else tree.root
        self._pool = Pool(Setup(str(lake.root), dsn, self._ledger.claimant, options, root), self._workers, started)
        self._summary = Summary()
        self._sizes: dict[str, int] = {}
        self._todo: deque[list[Job]] = deque()
        self._elsewhere: dict[str, Job] = {}
        self._promised: dict[str, tuple[str, str]] = {}
        self._fatal: LakestoreError | None = None

    def run(self, files: Iterable[Found]) -> Summary:
        begun, since = time.monotonic(), datetime.now(UTC)
        if self._tree is None or self._options.dry_run:
            self._bring(files)
        else:
            self._mend(self._tree)
            with self._tree.moving():
                self._bring(files)
            self._mend(self._tree)
        self._summary.seconds = time.monotonic() - begun
        if self._fatal is not None:
            raise self._fatal
        if self._summary.outcomes["saved"]:
            self._summary.copies = self._ledger.copies(since)
        return self._summary

    def _mend(self, tree: Tree) -> None:
        self._summary.unmended.clear()
        for done in tree.mend():
            if done.error is None:
                self._summary.mended += 1
            else:
                self._summary.unmended.append(str(done.error))

    def _bring(self, files: Iterable[Found]) -> None:
        jobs: list[Job] = []
        for item in plan(files, self._ledger, self._options, self._tree):
            if isinstance(item, Job):
                jobs.append(item)
            else:
                self._end(item)
        self._sizes = {job.found.path: job.found.seen.size for job in jobs}
        self._observer.planned(len(jobs), sum(self._sizes.values()))
        self._todo.extend(batches(jobs, self._options, self._workers))
        self._summary.left = len(jobs)
        if jobs and not self._is_stopped:
            alive = nullcontext() if self._options.dry_run else self._ledger.alive()
            with _Interrupts(self), alive, self._pool:
                self._loop()

    def interrupt(self) -> None:
        """Stop after the batches under way."""
        self._summary.interrupted = True
        self._observer.stopping()

    @property
    def _is_stopped(self) -> bool:
        return self._summary.interrupted or self._summary.stopped or self._fatal is not None

    def _loop(self) -> None:
        while True:
            while self._todo and self._pool.has_room and not self._is_stopped:
                self._give(self._todo.popleft())
            if self._pool.busy:
                for batch, answer in self._pool.answers():
                    self._take(batch, answer)
            elif self._is_stopped or not (self._todo or self._elsewhere):
                return
            elif not self._todo:
                self._look_again()

    def _give(self, batch: list[Job]) -> None:
        if not self._options.dry_run:
            taken = self._ledger.claim({job.found.path: _ending(job) for job in batch})
            self._elsewhere |= {job.found.path: job for job in batch if job.found.path not in taken}
            batch = [job for job in batch if job.found.path in taken]
        if batch:
            self._pool.give(batch)

    def _take(self, batch: list[Job], answer: list[Entry] | LakestoreError | Died) -> None:
        if isinstance(answer, LakestoreError):
            self._fatal = self._fatal or answer
        elif isinstance(answer, list):
            self._end_jobs([self._kept_apart(entry) for entry in answer] if self._options.dry_run else answer)
        elif self._fatal is not None:
            # A worker that met what ends the run leaves its next batch undone.
            return
        elif len(batch) > 1:
            # One of its files killed the worker: alone, each shows whether it was it.
            if not self._options.dry_run:
                self._ledger.release([job.found.path for job in batch])
            self._todo.extendleft([job] for job in reversed(batch))
        else:
            path = batch[0].found.path
            reason = f"the process that read it {_ended(answer.code)}; it may need more memory than there is"
            if not self._options.dry_run:
                self._ledger.finish([Finished(path, reason=reason)])
            self._end_jobs([Entry(path, "failed", reason)])

    def _kept_apart(self, entry: Entry) -> Entry:
        """The entry of a dry run, failed where another file would have taken its id with other content."""
        for task_id, sha256 in entry.results.items():
            before, path = self._promised.setdefault(task_id, (sha256, entry.path))
            if before != sha256:
                reason = taken(task_id, by=path)
                return replace(entry, outcome="failed", reason=reason, results={}, bytes_before=0, bytes_after=0)
        return entry

    def _look_again(self) -> None:
        """Ask what became of the files that other runs were at; take over what they left."""
        self._observer.waiting(len(self._elsewhere))
        known = self._ledger.known(list(self._elsewhere))
        open_still: list[Job] = []
        for path, job in self._elsewhere.items():
            now = known.get(path)
            if now is None or now.finished_at == _ending(job):
                open_still.append(job)
            elif now.outcome == "failed":
                self._end_jobs([Entry(path, "failed", now.reason)])
            elif is_done(now, job.found.seen):
                self._end_jobs([Entry(path, "elsewhere", None, now.results)])
            else:
                open_still.append(Job(job.found, now))
        self._elsewhere.clear()
        if open_still:
            count = self._options.batch_size
            self._give(open_still[:count])
            self._elsewhere |= {job.found.path: job for job in open_still[count:]}
            if not self._pool.busy:
                time.sleep(_LOOK_SECONDS)

    def _end_jobs(self, entries: Sequence[Entry]) -> None:
        self._summary.left -= len(entries)
        for entry in entries:
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        summary = self._summary
        summary.outcomes[entry.outcome] += 1
        if entry.outcome not in ("unchanged", "elsewhere"):
            summary.results += len(entry.results)
            summary.bytes_before += entry.bytes_before
            summary.bytes_after += entry.bytes_after
        if entry.outcome == "failed" and self._fail_fast:
            summary.stopped = True
        self._observer.done(entry, self._sizes.get(entry.path))


def _ending(job: Job) -> datetime | None:
    return job.known.finished_at if job.known else None


def _ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


class _Interrupts:
    """Ctrl-C stops the run after the batches under way; a second one at once."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._before: Any = None

    def __enter__(self) -> None:
        # Python gives signals to its main thread alone.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._interrupted)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._run.interrupt()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
