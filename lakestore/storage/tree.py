"""The files of a JSON tree: every one seen with what tells a change, and one looked up without reading its folder."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lakestore.errors import StorageError, reason
from lakestore.layout import PRIVATE
from lakestore.storage.names import Pattern

SETTLED_NS = 2_000_000_000
"""Nanoseconds after which a file system has moved its clock on: a change made later shows in the time of change."""


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A result's file: its path relative to the root, its id, and what tells a change of it."""

    path: str
    task_id: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def stamp(self) -> tuple[int, int, int, int]:
        """What is another once the file was written again."""
        return self.size, self.mtime_ns, self.ctime_ns, self.inode

    def is_settled(self, now_ns: int) -> bool:
        """Whether a change of the file from now on would show in its stamp."""
        return now_ns - max(self.mtime_ns, self.ctime_ns) > SETTLED_NS


class Tree:
    """The files below one root whose paths fit a pattern.

    Symbolic links are not followed, names that begin with a dot are passed over, and so is a lake with all in it.
    """

    def __init__(self, root: Path, pattern: Pattern) -> None:
        self.root = root
        self.pattern = pattern
        self._base = str(root)
        # By folder: when it was changed, and the folders in it.
        self._folders: dict[str, tuple[int, tuple[str, ...]]] = {}

    def files(self) -> Iterator[TreeFile]:
        """Every result's file, in no order; nothing where there is no such root.

        Raises:
            StorageError: a folder cannot be read.
        """
        task_id_of = self.pattern.task_id
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            entries = self._entries(folder)
            if any(entry.name == PRIVATE for entry in entries):
                continue
            for entry in entries:
                path = folder + entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path + "/")
                elif path.endswith(".json") and (task_id := task_id_of(path)) is not None:
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if stat.S_ISREG(found.st_mode):
                        yield _seen(path, task_id, found)

    def find(self, task_id: str) -> list[TreeFile]:
        """The files that hold a result: none, one, or several of one name in several folders, by path.

        Raises:
            StorageError: a folder cannot be read.
        """
        ends = self.pattern.ends(task_id)
        found = (self.at(folder + end, task_id) for folder in self._walk() for end in ends)
        return sorted((seen for seen in found if seen is not None), key=lambda seen: seen.path)

    def at(self, path: str, task_id: str) -> TreeFile | None:
        """The file at a path, None where there is no regular one."""
        try:
            found = os.stat(f"{self._base}/{path}", follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            if exc.errno == errno.ENAMETOOLONG:
                return None
            raise StorageError(f"cannot read {self.root / path}: {reason(exc)}") from exc
        return _seen(path, task_id, found) if stat.S_ISREG(found.st_mode) else None

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, None where it is gone.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            fd = os.open(f"{self._base}/{path}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            with open(fd, "rb") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise StorageError(f"cannot read {self.root / path}: {reason(exc)}") from exc

    def _walk(self) -> Iterator[str]:
        """Every folder, as what stands before a name in it; only those that changed are read."""
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            below = self._below(folder)
            if below is None:
                continue
            yield folder
            waiting.extend(f"{folder}{name}/" for name in below)

    def _below(self, folder: str) -> tuple[str, ...] | None:
        """Names of the folders in a folder; None where it is no part of the tree."""
        now = time.time_ns()
        try:
            changed = os.stat(f"{self._base}/{folder}").st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            self._folders.pop(folder, None)
            return None
        except OSError as exc:
            raise StorageError(f"cannot read {self.root / folder}: {reason(exc)}") from exc
        kept = self._folders.get(folder)
        if kept is not None and kept[0] == changed:
            return kept[1]
        entries = self._entries(folder)
        if any(entry.name == PRIVATE for entry in entries):
            return None
        below = tuple(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        if now - changed > SETTLED_NS:
            self._folders[folder] = changed, below
        return below

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(f"{self._base}/{folder}") as entries:
                return [entry for entry in entries if not entry.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            raise StorageError(f"cannot read {self.root / folder}: {reason(exc)}") from exc


def _seen(path: str, task_id: str, found: os.stat_result) -> TreeFile:
    return TreeFile(path, task_id, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
