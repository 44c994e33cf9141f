"""One batch: read and prove, write, read back, and one transaction for the results and the ledger."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lakestore import home, inspection, layout
from lakestore.batch import Outcome, save_many
from lakestore.catalog.ledger import Finished, Known, Ledger
from lakestore.codec.profiles import registry as profiles
from lakestore.errors import AlreadyExistsError, InvalidInputError, LakestoreError, NotFoundError
from lakestore.lake import Lake
from lakestore.migrate.find import Found
from lakestore.migrate.options import BATCH_BYTES, Entry, Options
from lakestore.migrate.options import Outcome as Word
from lakestore.migrate.read import Document, Reader
from lakestore.model import Fidelity, ResultInfo, Statement
from lakestore.saving import Item


@dataclass(frozen=True, slots=True)
class Job:
    """A file to be done, and what the ledger knew of it."""

    found: Found
    known: Known | None = None


@dataclass(slots=True, eq=False)
class _File:
    """A file under way: its documents come one by one, and may end in several transactions.

    Attributes:
        results: task id → SHA-256 of what is in the lake.
        given: the task ids of the documents that were read.
        waiting: documents that were read and not saved yet; ended: there are no further ones.
        read: bytes of JSON that were read; before: of those that are in the lake; after: what they take there.
        gone: it was removed after it was found, as an engine removes what it deletes.
        recorded: its end is in the ledger.
    """

    job: Job
    reader: Reader
    results: dict[str, str] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    words: set[Word] = field(default_factory=set)
    fidelity: Counter[str] = field(default_factory=Counter)
    read: int = 0
    before: int = 0
    after: int = 0
    waiting: int = 0
    ended: bool = False
    gone: bool = False
    recorded: bool = False

    def finished(self, more: Mapping[str, str] | None = None) -> Finished:
        """The file's end as the ledger holds it, with the results that are about to be in."""
        reader = self.reader
        return Finished(self.job.found.path, reader.seen, reader.sha256, self.results | dict(more or {}), self.reason)

    @property
    def reason(self) -> str | None:
        """What stands against it; None where nothing does."""
        if not self.problems:
            return None
        more = len(self.problems) - 1
        return self.problems[0] + (f" (and {more:,} more of its documents were refused)" if more else "")

    def take(self, task_id: str, sha256: str, fidelity: Fidelity, before: int, after: int, word: Word) -> None:
        """One of its documents is in the lake; its bytes as JSON, and there."""
        self.results[task_id] = sha256
        self.words.add(word)
        self.fidelity[fidelity.kind] += 1
        self.before += before
        self.after += after

    def refuse(self, member: str | None, reason: str) -> None:
        """One of its documents cannot be brought in."""
        self.problems.append(reason if member is None else f"{member}: {reason}")

    def entry(self, seconds: float) -> Entry:
        """The file's entry in the report."""
        order: tuple[Word, ...] = ("would replace", "would save", "replaced", "saved", "same")
        word = next((word for word in order if word in self.words), None)
        if self.gone:
            return Entry(self.job.found.path, "skipped", "it was removed meanwhile", seconds=seconds)
        return Entry(
            self.job.found.path,
            "failed" if self.problems else word or "skipped",
            self.reason or (None if word else "there is no document in it"),
            dict(self.results),
            self.before,
            self.after,
            seconds,
            dict(self.fidelity),
        )


@dataclass(frozen=True, slots=True)
class _Given:
    """One document of a file, on its way into the lake; `again`: one before it in the file has its task id."""

    file: _File
    member: str | None
    item: Item
    again: bool


class Batch:
    """The files of one batch, done in as few transactions as memory allows."""

    def __init__(self, lake: Lake, ledger: Ledger, options: Options) -> None:
        """Work on a lake that is open; the batch's files are claimed by the ledger's run."""
        self._lake = lake
        self._ledger = ledger
        self._options = options
        self._files: list[_File] = []
        self._pile: list[_Given] = []
        self._size = 0

    def run(self, jobs: Sequence[Job]) -> list[Entry]:
        """Do the files, and tell what became of each.

        Raises:
            LakestoreError: not a file's fault: the catalog cannot be reached, the lake's disk is full. What was
                committed until then stands.
        """
        begun = time.monotonic()
        unchanged = []
        for job in jobs:
            if self._is_unchanged(job):
                unchanged.append(Entry(job.found.path, "unchanged", None, job.known.results if job.known else {}))
            else:
                self._read(job)
        self._flush()
        seconds = time.monotonic() - begun
        total = sum(file.read for file in self._files) or 1
        return unchanged + [file.entry(seconds * file.read / total) for file in self._files]

    def _is_unchanged(self, job: Job) -> bool:
        """Whether a file that the ledger calls done has the content that it had then, whatever its times say."""
        known = job.known
        if known is None or known.outcome != "done" or known.sha256 is None or self._options.force:
            return False
        reader = Reader(job.found)
        if reader.digest() != known.sha256:
            return False
        if not self._options.dry_run:
            self._ledger.finish([Finished(job.found.path, reader.seen, known.sha256, known.results)])
        return True

    def _read(self, job: Job) -> None:
        file = _File(job, Reader(job.found, limit=self._options.max_size))
        self._files.append(file)
        for document in file.reader.documents():
            self._add(file, document)
        if file.reader.problem is not None:
            file.gone = not job.found.named and not os.path.lexists(job.found.path)
            file.refuse(None, file.reader.problem)
        file.ended = True

    def _add(self, file: _File, document: Document) -> None:
        if len(self._pile) >= self._options.batch_size or self._size >= BATCH_BYTES:
            self._flush()
        found, member, options = file.job.found, document.member, self._options
        item = Item(
            document=document.text,
            task_id=options.id_of(found, member),
            strategy_if_none=options.strategy_of(found, member),
            profile=options.profile,
            where="the document",
            time=datetime.fromtimestamp(file.reader.modified, UTC),
        )
        self._pile.append(_Given(file, member, item, item.task_id in file.given))
        if item.task_id is not None:
            file.given.add(item.task_id)
        self._size += len(document.text)
        file.read += len(document.text)
        file.waiting += 1

    def _flush(self) -> None:
        """Save what has piled up, and write the end of the files that are complete."""
        pile, self._pile, self._size = self._pile, [], 0
        if self._options.dry_run:
            for given in pile:
                self._try(given)
            return
        old = {place for place, given in enumerate(pile) if self._may_replace(given)}
        self._save([given for place, given in enumerate(pile) if place not in old and not given.again], replace=False)
        self._save([pile[place] for place in sorted(old)], replace=True)
        # Behind those whose ids they have: of two documents of a file none takes the other's place.
        self._save([given for given in pile if given.again], replace=False)
        # What no transaction of results has ended: it was refused, or the lake had all of it.
        complete = [file for file in self._files if file.ended and not file.recorded]
        self._ledger.finish([file.finished() for file in complete])
        for file in complete:
            file.recorded = True

    def _may_replace(self, given: _Given) -> bool:
        """Whether the lake's result is the one that this file held before it changed, and nobody changed it since."""
        known, task_id = given.file.job.known, given.item.task_id
        if known is None or task_id is None or task_id not in known.results or given.again:
            return False
        stored = self._lake.parts().catalog.get(task_id)
        return stored is not None and stored.sha256 == known.results[task_id]

    def _save(self, pile: Sequence[_Given], *, replace: bool) -> None:
        """Save documents; the end of the files that are whole by it goes into the same transaction."""
        if not pile:
            return
        before = self._lake.parts().catalog.get_many([given.item.task_id for given in pile if given.item.task_id])
        ended: list[_File] = []

        def also(infos: Mapping[int, ResultInfo]) -> list[Statement]:
            made: dict[_File, dict[str, str]] = {}
            for place, info in infos.items():
                made.setdefault(pile[place].file, {})[info.task_id] = info.sha256
            ended[:] = [
                file for file, new in made.items() if file.ended and not file.problems and len(new) == file.waiting
            ]
            return [self._ledger.ending([file.finished(made[file]) for file in ended])] if ended else []

        outcomes = save_many(
            self._lake.saver(), [given.item for given in pile], replace=replace, also=also, reread=True
        )
        for given, outcome in zip(pile, outcomes, strict=True):
            self._settle(given, outcome, before)
        for file in ended:
            file.recorded = True

    def _settle(self, given: _Given, outcome: Outcome, before: Mapping[str, ResultInfo]) -> None:
        given.file.waiting -= 1
        if isinstance(outcome, LakestoreError):
            given.file.refuse(given.member, _reason(given, outcome))
            return
        stored = before.get(outcome.task_id)
        word: Word = "saved" if stored is None else "same" if stored.write_id == outcome.write_id else "replaced"
        given.file.take(outcome.task_id, outcome.sha256, outcome.fidelity, outcome.json_size, outcome.file_size, word)

    def _try(self, given: _Given) -> None:
        """Find out what saving a document would do."""
        item, catalog = given.item, self._lake.parts().catalog
        given.file.waiting -= 1
        try:
            found = inspection.inspect(
                item.document,
                profile=item.profile,
                profiles=profiles.known(self._lake.root / layout.PROFILES),
                home=home.find(self._lake.root),
            )
            if found.identity is None or (found.problem is not None and item.strategy_if_none is None):
                raise InvalidInputError(found.problem or "it cannot be a result")
            task_id = layout.check_task_id(item.task_id or found.identity.task_id)
            stored = catalog.get(task_id)
            differs = stored is not None and stored.sha256 != found.sha256 and not self._may_replace(given)
            if differs or given.file.results.get(task_id, found.sha256) != found.sha256:
                raise AlreadyExistsError(f"result {task_id!r} is in the lake with other content")
        except (InvalidInputError, NotFoundError, AlreadyExistsError) as exc:
            given.file.refuse(given.member, _reason(given, exc))
            return
        word: Word = "would save" if stored is None else "same" if stored.sha256 == found.sha256 else "would replace"
        size = len(given.item.document)
        given.file.take(task_id, found.sha256, found.fidelity, size, found.file_size, word)


def _reason(given: _Given, error: LakestoreError) -> str:
    """Why a document was refused, with what its user can do."""
    task_id, known = given.item.task_id, given.file.job.known
    if not isinstance(error, AlreadyExistsError) or task_id is None:
        return str(error)
    if known is not None and task_id in known.results and not given.again:
        return (
            f"the file was changed since it was migrated, and so was result {task_id!r} in the lake; "
            "'lakestore save --replace' puts in the one that counts"
        )
    return taken(task_id)


def taken(task_id: str, *, by: str | None = None) -> str:
    """The reason against a document whose id another one has: a result of the lake, or what a file would become."""
    other = f"result {task_id!r} is in the lake" if by is None else f"{by} would become result {task_id!r}"
    return (
        f"{other} with other content; where names are unique only in their folder, "
        "the task id '{parent}-{stem}' tells them apart"
    )
