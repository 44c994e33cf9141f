"""What is left to do: files compared with the ledger by what a stat tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from lakestore.catalog.ledger import Known, Ledger, Seen
from lakestore.migrate.batch import Job
from lakestore.migrate.find import Found
from lakestore.migrate.options import BATCH_BYTES, Entry, Options
from lakestore.migrate.tree import Tree

_CHUNK = 5_000
_LEAST = 8 << 20
"""Bytes of JSON that fill a batch even at the end of a run: each has files and a transaction of its own."""


def plan(files: Iterable[Found], ledger: Ledger, options: Options, tree: Tree | None = None) -> Iterator[Entry | Job]:
    """Each file as a job, or as the entry that it ends with at once."""
    source = iter(files)
    while chunk := list(islice(source, _CHUNK)):
        known = ledger.known([found.path for found in chunk])
        for found in chunk:
            if tree is not None and tree.is_outdated(found.path):
                yield Entry(found.path, "skipped", "the lake has a newer version, or deleted it: 'lakestore export'")
            else:
                yield _job(found, known.get(found.path), options)


def _job(found: Found, known: Known | None, options: Options) -> Entry | Job:
    if found.refused is not None:
        return Entry(found.path, "failed", found.refused)
    if found.passed is not None:
        return Entry(found.path, "skipped", found.passed)
    if known is not None and not options.force and is_done(known, found.seen):
        return Entry(found.path, "unchanged", None, known.results)
    return Job(found, known)


def is_done(known: Known, seen: Seen) -> bool:
    """Whether the ledger calls a file done that looks as it did then."""
    return known.outcome == "done" and known.seen == seen


def batches(jobs: Sequence[Job], options: Options, workers: int) -> Iterator[list[Job]]:
    """The jobs in order, as many at a time as one transaction takes, and small enough for all workers to have some.

    The last ones are smaller: no worker is to be long at its last batch when the others have ended.
    """
    fair = max(1, -(-len(jobs) // (workers * 4)))
    count = min(options.batch_size, max(fair, 16))
    left = sum(job.found.seen.size for job in jobs)
    batch: list[Job] = []
    size = 0
    for job in jobs:
        batch.append(job)
        size += job.found.seen.size
        if len(batch) >= count or size >= min(BATCH_BYTES, max(left // (workers * 2), _LEAST)):
            yield batch
            left -= size
            batch, size = [], 0
    if batch:
        yield batch
