"""Two storages as one: both are written, one of them counts, and neither can lose what the other has."""

from __future__ import annotations

import contextlib
import heapq
import logging
import time as clock
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace as replace_fields
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar

from lakestore.catalog.reads import check_limit
from lakestore.closing import Closing
from lakestore.errors import (
    AlreadyExistsError,
    CatalogError,
    CommitUnknownError,
    InvalidInputError,
    LakestoreError,
    NotFoundError,
    StorageError,
)
from lakestore.identity import moment
from lakestore.locks import Lock
from lakestore.model import ResultInfo
from lakestore.source import source_of
from lakestore.storage.compare import Difference, difference
from lakestore.storage.journal import CALLED, OTHER, Action, Journal, JournalEntry, Side
from lakestore.storage.json_tree import JsonResultStorage
from lakestore.storage.lake import LakeResultStorage
from lakestore.storage.mend import even_out, stored
from lakestore.storage.protocol import ResultStorage

T = TypeVar("T")
_log = logging.getLogger("lakestore")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAUSE = 5.0
_LONGEST_PAUSE = 60.0
"""Seconds for which a storage that could not be reached is left alone, doubled from one failure to the next."""


class DualResultStorage(Closing):
    """`ResultStorage` over a JSON tree and a lake that hold the same; safe for threads and processes.

    A save succeeds when the primary holds the result. Whatever the secondary does then, the caller is not troubled:
    what it missed stands in the journal, and is mended by `lakestore migrate` (the lake) or `lakestore export` (the
    JSON tree). Reads come from the primary, and from the other where it lacks the result or cannot be read.

    Attributes:
        missed: how often the secondary missed something since this storage was made.
        differing: how often a verified read found the two to differ.
    """

    def __init__(
        self,
        primary: ResultStorage,
        secondary: ResultStorage,
        *,
        journal: Journal | None = None,
        verify_reads: bool = False,
        on_difference: Callable[[Difference], None] | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """Make two storages one.

        Args:
            primary, secondary: a JSON tree and a lake, in either order.
            journal: where is noted what one of them missed; the one that both directories share if None. It is needed
                where the primary is neither a `JsonResultStorage` nor a `LakeResultStorage`.
            verify_reads: whether each read reads both and compares.
            on_difference: is told of each difference that a verified read finds; it is logged as well.

        Raises:
            InvalidInputError: not one of the two is a JSON tree, or the journal has no place beside the primary.
        """
        if isinstance(primary, JsonResultStorage) == isinstance(secondary, JsonResultStorage):
            raise InvalidInputError(
                "a dual storage is made of one JsonResultStorage and one other storage: give one of each"
            )
        self._side: Side = "json" if isinstance(primary, JsonResultStorage) else "lake"
        self.storages: dict[Side, ResultStorage] = {self._side: primary, OTHER[self._side]: secondary}
        if journal is None:
            tree, lake = self.storages["json"], self.storages["lake"]
            journal = Journal(
                tree.root if isinstance(tree, JsonResultStorage) else None,
                lake.root if isinstance(lake, LakeResultStorage) else None,
            )
        if not journal.has_side(self._side):
            raise InvalidInputError(
                f"the journal of {primary!r} has no directory: give "
                "journal=lakestore.storage.Journal(<root of the tree>, <a directory that is there>)"
            )
        self.journal = journal
        self.verify_reads = verify_reads
        self.missed = 0
        self.differing = 0
        self._on_difference = on_difference
        self._now = now or (lambda: datetime.now(UTC))
        self._warned: set[str] = set()
        self._lock = Lock()
        self._away_until = 0.0
        self._first, self._second = CALLED[self._side], CALLED[OTHER[self._side]]
        self._cause: CatalogError | StorageError = CatalogError(f"the {self._second} was not tried yet")
        self._pause = _PAUSE
        self._closed = False

    def save_result(
        self,
        task_id: str,
        result: dict[str, Any] | bytes | str,
        *,
        replace: bool = False,
        strategy: str | None = None,
        time: date | str | None = None,
        tables: Mapping[str, Any] | None = None,
    ) -> ResultInfo:
        """Store one result in both; on return it is durable in the primary. Both get the same bytes.

        So what is given as `tables` comes back from the lake in the types that its JSON has.

        Raises:
            InvalidInputError, AlreadyExistsError, StorageError, CatalogError: as the primary says; nothing was saved.
            CommitUnknownError: the primary is the lake and may have it: look the result up.
        """
        self._check_open()
        now = self._now()
        source = source_of(result, moment("time", time, now) or now, tables=tables)

        def save(side: Side) -> ResultInfo:
            return self.storages[side].save_result(
                task_id, source.text, replace=replace, strategy=strategy, time=source.time
            )

        with self.journal.lock(task_id):
            entry = self.journal.get(task_id)
            first = self._side if entry is None else entry.right
            here, there = stored(self.storages[first], task_id), None
            if replace or (entry is None and here is None):
                there = self._if_reached(OTHER[first], task_id)
                if not replace and there is not None and there != source.text:
                    raise AlreadyExistsError(
                        f"result {task_id!r} is already in the {CALLED[OTHER[first]]} with other content; "
                        "nothing was saved: choose another task_id, or replace it (replace=True)"
                    )
            old = [text for text in (here, there) if text is not None and text != source.text]
            note = self._note(task_id, first, "replace" if replace else "save", entry, old)
            # A first save needs no note: if the process ends in between, the result is there and can be copied.
            ahead = (replace and bool(old)) or entry is not None
            with self._noted(note, entry) if ahead else contextlib.nullcontext():
                info = save(first)
            if self._reaches(note, lambda: even_out(note, self.storages) if ahead else save(OTHER[first])) and ahead:
                self._settle(task_id)
        return info

    def load_result(self, task_id: str) -> Any:
        """The value of a result.

        Raises:
            NotFoundError: there is none.
            LakestoreError: it is there, and neither storage can give it.
        """
        if self.verify_reads:
            self._verify(task_id)
        return self._read(task_id, lambda storage: storage.load_result(task_id))

    def load_json(self, task_id: str) -> bytes:
        """The JSON text of a result, byte for byte; raises as `load_result` does."""
        if self.verify_reads:
            self._verify(task_id)
        return self._read(task_id, lambda storage: storage.load_json(task_id))

    def info(self, task_id: str) -> ResultInfo:
        """What is known of one result; raises as `load_result` does."""
        return self._read(task_id, lambda storage: storage.info(task_id))

    def list_results(
        self,
        *,
        strategy: str | None = None,
        status: str | None = None,
        since: date | timedelta | str | None = None,
        until: date | timedelta | str | None = None,
        limit: int = 100,
        after: ResultInfo | str | None = None,
    ) -> list[ResultInfo]:
        """What is known of the results of both, newest first; see `ResultStorage.list_results`."""
        if not check_limit(limit):
            return []
        filters = {"strategy": strategy, "status": status, "since": since, "until": until}
        place = self.info(after) if isinstance(after, str) else after
        pages = (self._pages(side, filters, limit, place) for side in (self._side, OTHER[self._side]))
        merged = heapq.merge(*pages, key=lambda item: _order(item[1]))
        found: dict[str, ResultInfo] = {}
        for side, info in merged:
            if info.task_id not in found and self._counts(side, info.task_id):
                found[info.task_id] = info
                if len(found) == limit:
                    break
        return list(found.values())

    def delete_result(self, task_id: str) -> None:
        """Let a result go in both; on return it is gone from the primary, and does not come back.

        Raises:
            NotFoundError: there is none.
            StorageError, CatalogError: as the primary says; it is still there.
        """
        self._check_open()
        with self.journal.lock(task_id):
            entry = self.journal.get(task_id)
            first = self._side if entry is None else entry.right
            here = stored(self.storages[first], task_id)
            there = self._if_reached(OTHER[first], task_id)
            # Where there is an entry, the first side is right: what the other one still has was deleted.
            if here is None and (entry is not None or (there is None and not self._is_away())):
                raise NotFoundError(f"result {task_id!r} is neither in the tree nor in the lake")
            old = [text for text in (here, there) if text is not None]
            note = self._note(task_id, first, "delete", entry, old)
            with self._noted(note, entry):
                if here is not None:
                    self.storages[first].delete_result(task_id)
            if self._reaches(note, lambda: even_out(note, self.storages)):
                self._settle(task_id)

    def exists(self, task_id: str) -> bool:
        """Whether there is a result of this id."""
        try:
            return self._read(task_id, lambda storage: self._existing(storage, task_id))
        except NotFoundError:
            return False

    def close(self) -> None:
        """Close both storages, as far as they are this one's to close; nothing is saved or deleted here any more."""
        self._closed = True
        for storage in self.storages.values():
            if isinstance(storage, JsonResultStorage | LakeResultStorage):
                storage.close()

    def __repr__(self) -> str:
        first, second = self.storages[self._side], self.storages[OTHER[self._side]]
        return f"DualResultStorage({first!r}, {second!r})"

    def _check_open(self) -> None:
        # Else the closed lake would be taken for one that is away, and miss all that is saved from now on.
        if self._closed:
            raise CatalogError(f"{self!r} was closed: make another one")

    # Writing: what the journal says at each moment is true however the process ends.

    def _note(
        self, task_id: str, right: Side, action: Action, before: JournalEntry | None, old: list[bytes]
    ) -> JournalEntry:
        known = before.old if before is not None else ()
        digests = dict.fromkeys([*known, *(sha256(text).hexdigest() for text in old)])
        return JournalEntry(task_id, right, action, self._now(), "it was not finished", tuple(digests))

    @contextlib.contextmanager
    def _noted(self, note: JournalEntry, before: JournalEntry | None) -> Iterator[None]:
        """Note first what the block is to do to the first side; no longer where it is known to have failed.

        A disk that failed may have done it all the same: the note stays, and whoever mends looks.
        """
        self.journal.write(note)
        try:
            yield
        except (CommitUnknownError, StorageError):
            raise
        except LakestoreError:
            if before is None:
                self.journal.clear(note.task_id)
            else:
                self.journal.write(before)
            raise

    def _reaches(self, note: JournalEntry, work: Callable[[], object]) -> bool:
        """Change the second side; where that fails, it is noted, counted, and warned of once."""
        try:
            if self._is_away():
                raise type(self._cause)(str(self._cause))
            work()
        except Exception as exc:  # Whatever it is: the first side has the result, and its caller is to go on.
            self._stay_away(exc)
            self.missed += 1
            self.journal.write(replace_fields(note, reason=f"{type(exc).__name__}: {exc}"))
            mender = "lakestore migrate" if note.wrong == "lake" else "lakestore export"
            self._warn(
                "missed",
                f"the {CALLED[note.wrong]} missed the {note.action} of result {note.task_id!r}: {exc}; noted in the "
                f"journal, '{mender}' mends it. Further ones are noted without a warning",
            )
            return False
        except BaseException:
            self.journal.write(note)
            raise
        self._pause = _PAUSE
        return True

    def _settle(self, task_id: str) -> None:
        """Both sides agree: the note goes, unless somebody is about to write a copy that was read before."""
        if not self.journal.is_moving():
            self.journal.clear(task_id)

    def _if_reached(self, side: Side, task_id: str) -> bytes | None:
        """What the second side has of a result; None also where it cannot be asked."""
        if self._is_away():
            return None
        try:
            return stored(self.storages[side], task_id)
        except LakestoreError as exc:
            self._stay_away(exc)
            return None

    def _is_away(self) -> bool:
        return clock.monotonic() < self._away_until

    def _stay_away(self, exc: Exception) -> None:
        """Leave a storage that cannot be reached alone for a while: an engine must not wait for it at each save."""
        if isinstance(exc, CatalogError | StorageError) and not self._is_away():
            self._cause = exc
            self._away_until = clock.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    # Reading

    def _read(self, task_id: str, how: Callable[[ResultStorage], T]) -> T:
        """Read from the side that counts, or from the other one where nothing speaks against it."""
        entry = self.journal.get(task_id)
        if entry is not None:
            return how(self.storages[entry.right])
        second = self.storages[OTHER[self._side]]
        try:
            return how(self.storages[self._side])
        except NotFoundError as exc:
            try:
                return how(second)
            except NotFoundError:
                raise exc from None
            except LakestoreError as failed:
                self._warn("unread", f"the {self._second} cannot be read: {failed}")
                raise NotFoundError(f"{exc}, and the {self._second} cannot be read ({failed})") from failed
        except LakestoreError as exc:
            with contextlib.suppress(LakestoreError):
                found = how(second)
                self._warn("fallback", f"the {self._first} cannot be read, the {self._second} serves: {exc}")
                return found
            raise

    def _existing(self, storage: ResultStorage, task_id: str) -> bool:
        if not storage.exists(task_id):
            raise NotFoundError(f"result {task_id!r} is not there")
        return True

    def _verify(self, task_id: str) -> None:
        """Compare what both have; what differs may be under way, and is looked at again when nobody changes it."""
        if self._is_away() or self._differ(task_id) is None:
            return
        with self.journal.lock(task_id):
            found = self._differ(task_id)
        if found is None:
            return
        self.differing += 1
        _log.error(
            "result %r differs at %s: %s in the %s, %s in the %s",
            task_id,
            found.path,
            found.left or "nothing",
            self._first,
            found.right or "nothing",
            self._second,
        )
        if self._on_difference is not None:
            self._on_difference(found)

    def _differ(self, task_id: str) -> Difference | None:
        if self.journal.get(task_id) is not None:
            return None
        texts: list[bytes | None] = []
        for side in (self._side, OTHER[self._side]):
            try:
                texts.append(self.storages[side].load_json(task_id))
            except NotFoundError:
                texts.append(None)
            except (CatalogError, StorageError) as exc:
                if side != self._side:
                    self._stay_away(exc)
                self._warn("unverified", f"reads are not verified, the {CALLED[side]} cannot be read: {exc}")
                return None
            except LakestoreError as exc:
                return Difference(task_id, "$", *((str(exc), "") if side == self._side else ("", str(exc))))
        left, right = texts
        if left is None or right is None:
            return None if left is right else Difference(task_id, "$", _size(left), _size(right))
        return difference(task_id, left, right)

    def _pages(
        self, side: Side, filters: dict[str, Any], limit: int, after: ResultInfo | None
    ) -> Iterator[tuple[Side, ResultInfo]]:
        """Everything that one side lists, page by page as it is asked for."""
        while True:
            try:
                page = self.storages[side].list_results(**filters, limit=limit, after=after)
            except (CatalogError, StorageError) as exc:
                if side == self._side:
                    raise
                self._warn("unlisted", f"the {CALLED[side]} cannot be listed: {exc}")
                return
            yield from ((side, info) for info in page)
            if len(page) < limit:
                return
            after = page[-1]

    def _counts(self, side: Side, task_id: str) -> bool:
        """Whether what a side lists is what a read would give."""
        entry = self.journal.get(task_id)
        if entry is not None:
            return entry.right == side
        return side == self._side or not self.storages[self._side].exists(task_id)

    def _warn(self, kind: str, message: str) -> None:
        with self._lock:
            if kind in self._warned:
                return
            self._warned.add(kind)
        _log.warning("%s", message)


def _order(info: ResultInfo) -> tuple[timedelta, bytes]:
    return _EPOCH - info.created_at, info.task_id.encode()


def _size(text: bytes | None) -> str:
    return "" if text is None else f"a document of {len(text)} bytes"
