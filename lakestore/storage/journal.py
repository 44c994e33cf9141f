"""The journal of what two storages do not agree on yet: a result that reached one of them only.

An entry is one small file for one `task_id` and says whose word counts. That storage has the result as it should be,
or lacks it because it was deleted; the other one is to be made the same. Whatever was saved, replaced or deleted
meanwhile, mending is the same: look at the side that is right, and do to the other one what is missing there.

The entry lies with the side that is right, `<json root>/.lakestore/journal/` or `<lake>/_lakestore/journal/`: that
disk has just taken the result, and no server is needed. Every process that shares these directories sees it at once.

What moves results in bulk keeps to three rules:

1. First `mend` what is wrong on the side it writes to: `lakestore migrate` the lake, `lakestore export` the JSON tree.
2. Do not copy a result whose entry says that the side they write to is `right`: what stands on the other side is an
   old version of it, or one that was deleted.
3. Keep `moving()` open from the first result read until the last one is committed, and `mend` once more behind it. A
   result deleted in between would come back with the copy that was read before; while somebody is moving, deletes and
   replaces leave their entries for that last `mend`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

from lakestore.errors import CorruptFileError, InvalidInputError, StorageError, reason
from lakestore.files import Files
from lakestore.layout import PRIVATE

Side = Literal["json", "lake"]
Action = Literal["save", "replace", "delete"]

HIDDEN = ".lakestore"
"""The folder in a JSON tree that holds what is no result."""

_FOLDER = "journal"
_FLOCK = "hhqqi0q"
"""Linux's `struct flock`."""
OTHER: dict[Side, Side] = {"json": "lake", "lake": "json"}
CALLED: dict[Side, str] = {"json": "tree", "lake": "lake"}
"""What messages call a side."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One result that the storage `right` has as it should be, and the other one may not.

    `old` are SHA-256 of versions that were let go on the side that is right: the other one may still have one of them.
    What is neither one of them nor the version that counts came from elsewhere, and is never overwritten.
    """

    task_id: str
    right: Side
    action: Action
    at: datetime
    reason: str
    old: tuple[str, ...] = ()

    @property
    def wrong(self) -> Side:
        """The side that is to be mended."""
        return OTHER[self.right]


class Journal:
    """Entries by `task_id`, shared by all processes; safe for threads and processes.

    Where only one of the two directories is known, there is nothing to disagree with, and no entry.
    """

    def __init__(self, json_root: Path | None, lake_root: Path | None) -> None:
        """Look for entries in a JSON tree and in a lake; neither has to be there yet."""
        self._homes: dict[Side, tuple[Files, str]] = {}
        if json_root is not None:
            self._homes["json"] = Files(json_root), HIDDEN
        if lake_root is not None:
            self._homes["lake"] = Files(lake_root), PRIVATE

    def has_side(self, side: Side) -> bool:
        """Whether an entry that calls this side right has a directory to lie in."""
        return side in self._homes

    def get(self, task_id: str) -> JournalEntry | None:
        """The entry of a result, if there is one; of two the later.

        A directory that cannot be read is passed over: the storage whose word would count there cannot be read either.

        Raises:
            CorruptFileError: it cannot be understood.
        """
        found = []
        for side in self._homes:
            with contextlib.suppress(StorageError):
                entry = self._read(side, _name(task_id))
                if entry is not None:
                    found.append(entry)
        return max(found, key=lambda entry: entry.at, default=None)

    def write(self, entry: JournalEntry) -> None:
        """Note an entry in the place of the result's earlier one; on return it is durable.

        Raises:
            StorageError: the file system refused.
        """
        value = {
            "task_id": entry.task_id,
            "right": entry.right,
            "action": entry.action,
            "at": entry.at.astimezone(UTC).isoformat(),
            "reason": entry.reason,
            "old": list(entry.old),
        }
        files, home = self._homes[entry.right]
        self._make_root(entry.right)
        text = json.dumps(value).encode() + b"\n"
        files.put(f"{home}/{_FOLDER}/{_name(entry.task_id)}", text, replace=True)
        # After the new one: at no moment is there none. One that stays is the earlier of two.
        with contextlib.suppress(StorageError):
            self._remove(entry.wrong, entry.task_id)

    def let_go(self, task_id: str, *, right: Side, action: Action, digest: str, at: datetime) -> None:
        """Note what a storage that is used alone is about to let go: the other one may have it as well.

        The result's lock is the caller's to hold. Without the other directory there is nothing to note.

        Raises:
            StorageError: the file system refused.
        """
        if len(self._homes) == len(OTHER):
            before = self.get(task_id)
            known = () if before is None else before.old
            old = tuple(dict.fromkeys([*known, digest]))
            self.write(JournalEntry(task_id, right, action, at, f"the {CALLED[right]} was used alone", old))

    def clear(self, task_id: str) -> None:
        """Forget the entry of a result: both sides agree on it.

        Raises:
            StorageError: it is there and stays.
        """
        for side in self._homes:
            self._remove(side, task_id)

    def entries(self, *, wrong: Side | None = None) -> Iterator[JournalEntry]:
        """All entries, or those of one side to be mended, in no order.

        Raises:
            CorruptFileError: one cannot be understood.
            StorageError: one cannot be read.
        """
        for side in self._homes:
            if wrong is None or side == OTHER[wrong]:
                for name in self._names(side):
                    entry = self._read(side, name)
                    if entry is not None:
                        yield entry

    @contextlib.contextmanager
    def lock(self, task_id: str) -> Iterator[None]:
        """Keep others from changing what two storages have of a result; waits until it is free.

        A directory that cannot be written is passed over: its storage cannot be changed either.
        """
        name = lock_name("pair", task_id)
        with contextlib.ExitStack() as stack:
            for side, (files, home) in self._homes.items():
                with contextlib.suppress(StorageError):
                    self._make_root(side)
                    fd = stack.enter_context(files.opened(f"{home}/locks/{name}"))
                    fcntl.flock(fd, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def moving(self) -> Iterator[None]:
        """Say that results are being copied in bulk; see the rules above."""
        with contextlib.ExitStack() as stack:
            for side, (files, home) in self._homes.items():
                with contextlib.suppress(StorageError):
                    self._make_root(side)
                    fd = stack.enter_context(files.opened(f"{home}/locks/moving"))
                    fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _range(fcntl.F_RDLCK))
            yield

    def is_moving(self) -> bool:
        """Whether somebody copies results in bulk at this moment."""
        for files, home in self._homes.values():
            try:
                fd = os.open(files.path(f"{home}/locks/moving"), os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                # Only asked: two who ask at once must not take each other for a mover.
                answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _range(fcntl.F_WRLCK))
            finally:
                os.close(fd)
            if struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK:
                return True
        return False

    def _make_root(self, side: Side) -> None:
        """A tree of JSON files begins with whoever comes first; a lake is made by nobody but itself."""
        if side == "json":
            self._homes[side][0].make_root()

    def _names(self, side: Side) -> list[str]:
        files, home = self._homes[side]
        folder = files.path(f"{home}/{_FOLDER}")
        try:
            return sorted(name for name in os.listdir(folder) if not name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            raise StorageError(f"cannot read the journal in {folder}: {reason(exc)}") from exc

    def _read(self, side: Side, name: str) -> JournalEntry | None:
        files, home = self._homes[side]
        path = files.path(f"{home}/{_FOLDER}/{name}")
        try:
            text = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise StorageError(f"cannot read the journal's {path}: {reason(exc)}") from exc
        try:
            return _entry(json.loads(text), side)
        except (ValueError, KeyError, TypeError) as exc:
            raise CorruptFileError(
                f"{path} is not an entry of the journal ({exc!r}); compare the two sides with 'lakestore status', "
                "then remove it"
            ) from exc

    def _remove(self, side: Side, task_id: str) -> None:
        if side in self._homes:
            files, home = self._homes[side]
            files.remove([f"{home}/{_FOLDER}/{_name(task_id)}"])


def lock_name(kind: str, task_id: str) -> str:
    """One of 256 names for locks of a kind: few enough to stay, many enough that few wait for another result's."""
    return f"{kind}-{_digest(task_id)[:2]}"


def _range(kind: int) -> bytes:
    """A lock of a whole file, as the kernel is told of it."""
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def _name(task_id: str) -> str:
    """The file of an entry: a digest, since a task id need not be a file's name."""
    return _digest(task_id) + ".json"


def _digest(task_id: str) -> str:
    if not isinstance(task_id, str):
        raise InvalidInputError(f"task_id must be text, not {type(task_id).__name__}")
    return sha256(task_id.encode("utf-8", "surrogatepass")).hexdigest()


def _entry(value: dict[str, Any], side: Side) -> JournalEntry:
    if value["right"] != side or value["action"] not in get_args(Action):
        raise ValueError(f"right {value['right']!r}, action {value['action']!r}")
    at = datetime.fromisoformat(value["at"])
    return JournalEntry(value["task_id"], side, value["action"], at, str(value["reason"]), tuple(value["old"]))
