"""Mending: what reached one of two storages only is done to the other one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from lakestore.errors import ConflictError, CorruptFileError, LakestoreError, NotFoundError
from lakestore.storage.journal import CALLED, Journal, JournalEntry, Side
from lakestore.storage.protocol import ResultStorage


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of an entry.

    `mended`: both sides agree. `conflict`: the side to be mended has a version that the other one never had, and
    keeps it; somebody has to choose. `failed`: try again later.
    """

    entry: JournalEntry
    outcome: Literal["mended", "conflict", "failed"]
    error: LakestoreError | None = None


def mend(journal: Journal, storages: Mapping[Side, ResultStorage], *, wrong: Side | None = None) -> Iterator[Mended]:
    """Do what is missing on one side, or on both, result by result.

    Doing it again is safe, as is doing it while engines save and others mend.

    Args:
        storages: both sides.
        wrong: only entries of this side to be mended.

    Raises:
        CorruptFileError: an entry cannot be understood.
        StorageError: the journal cannot be read.
    """
    for found in sorted(journal.entries(wrong=wrong), key=lambda entry: entry.at):
        with journal.lock(found.task_id):
            entry = journal.get(found.task_id)
            if entry is None or (wrong is not None and entry.wrong != wrong):
                continue
            try:
                even_out(entry, storages)
                journal.clear(entry.task_id)
                done = Mended(entry, "mended")
            except ConflictError as exc:
                done = Mended(entry, "conflict", exc)
            except LakestoreError as exc:
                done = Mended(entry, "failed", exc)
        yield done


def even_out(entry: JournalEntry, storages: Mapping[Side, ResultStorage]) -> None:
    """Make the side that is wrong what the other one is; its result's lock is the caller's to hold.

    Raises:
        ConflictError: the wrong side has a version that the other one never had; it was left as it is.
        LakestoreError: one of them cannot be read, or the wrong one not be changed.
    """
    right, wrong = storages[entry.right], storages[entry.wrong]
    text, there = stored(right, entry.task_id), stored(wrong, entry.task_id)
    if text == there:
        return
    if there and sha256(there).hexdigest() not in entry.old:
        raise ConflictError(
            f"result {entry.task_id!r} has a version in the {CALLED[entry.wrong]} that the {CALLED[entry.right]} "
            "never had; save the one that counts with replace=True in mode dual"
        )
    if text is None:
        wrong.delete_result(entry.task_id)
    else:
        info = right.info(entry.task_id)
        over = there is not None
        wrong.save_result(entry.task_id, text, replace=over, strategy=info.strategy, time=info.created_at)


def stored(storage: ResultStorage, task_id: str) -> bytes | None:
    """The text that a storage has of a result: None where there is none, empty where it is damaged."""
    try:
        return storage.load_json(task_id)
    except NotFoundError:
        return None
    except CorruptFileError:
        return b""
