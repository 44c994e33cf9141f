"""What is known of the files of a JSON tree, kept between runs so that a listing need not read them all again.

The index is a cache, `<root>/.lakestore/index.sqlite`: it may be deleted at any time, and where it cannot be written
it is kept in memory. A row counts while its file's size, times and inode are the same and the file was settled when
it was read (as git does it: a change within the file system's tick would not show). What was read under other profiles
is read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from lakestore.locks import Lock
from lakestore.storage.tree import TreeFile

_log = logging.getLogger("lakestore")

_VERSION = 1
_BATCH = 500
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one file: its SHA-256, and who the result in it is where it was read as one.

    `problem`: why it is no result. Times are microseconds since 1970; `strategies` is JSON text.
    """

    sha256: str
    created_at: int | None = None
    strategy: str = ""
    strategies: str = "[]"
    status: str = ""
    profile: str = ""
    problem: str | None = None

    @property
    def is_read(self) -> bool:
        """Whether the document in it was read."""
        return self.created_at is not None or self.problem is not None


@dataclass(frozen=True, slots=True)
class Searchable:
    """Parameters and metrics as JSON text, which only a listing's page needs."""

    params: str | None = None
    metrics: str | None = None


Reader = Callable[[TreeFile], tuple[Facts, Searchable] | None]
"""Reads a file; None where it is gone."""

_COLUMNS = tuple(field.name for field in fields(Facts))
_STAMP = ("size", "mtime_ns", "ctime_ns", "inode")


class Index:
    """Facts by path; safe for threads and forked children, shared by processes."""

    def __init__(self, folder: Path, rules: str) -> None:
        """Keep facts in a folder, made when there is something to keep.

        Args:
            rules: what identities depend on beside the files; rows of other rules are not used.
        """
        self._path = folder / "index.sqlite"
        self._rules = hashlib.sha256(f"{_VERSION} {rules}".encode()).hexdigest()[:16]
        self._lock = Lock()
        self._rows: dict[str, tuple[tuple[int, ...], bool, Facts]] = {}
        self._opened: tuple[int, sqlite3.Connection] | None = None
        # Connections of a parent process, kept unused: closing them would let go of the parent's locks.
        self._inherited: list[sqlite3.Connection] = []

    def facts(self, files: Iterable[TreeFile], read: Reader, *, documents: bool) -> list[tuple[TreeFile, Facts]]:
        """What is known of files, read where it is not known yet; those that are gone are left out.

        Args:
            documents: whether the identity of each is wanted, or only its SHA-256.
        """
        with self._lock:
            everything = list(files)
            try:
                return self._facts(everything, read, documents)
            except sqlite3.Error as exc:
                _log.warning("the index %s cannot be used (%s); it is kept in memory", self._path, exc)
                self.close()
                self._opened = self._kept(_in_memory())
                return self._facts(everything, read, documents)

    def _facts(self, files: Sequence[TreeFile], read: Reader, documents: bool) -> list[tuple[TreeFile, Facts]]:
        self._load()
        found: list[tuple[TreeFile, Facts]] = []
        unknown: list[TreeFile] = []
        for seen in files:
            facts = self._known(seen)
            if facts is not None and (facts.is_read or not documents):
                found.append((seen, facts))
            else:
                unknown.append(seen)
        self._forget(self._rows.keys() - {seen.path for seen in files})
        for start in range(0, len(unknown), _BATCH):
            found += self._read(unknown[start : start + _BATCH], read)
        return found

    def searchable(self, paths: Sequence[str]) -> dict[str, Searchable]:
        """Parameters and metrics of files whose facts were asked for just before."""
        with self._lock:
            found: dict[str, Searchable] = {}
            query = "SELECT params, metrics FROM searchable WHERE rules = ? AND path = ?"
            with contextlib.suppress(sqlite3.Error):
                for path in paths:
                    row = self._connection().execute(query, self._key(path)).fetchone()
                    if row is not None:
                        found[path] = Searchable(*row)
            return found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._opened is not None and self._opened[0] == os.getpid():
                self._opened[1].close()
            self._opened = None
            self._rows = {}

    def _known(self, seen: TreeFile) -> Facts | None:
        row = self._rows.get(seen.path)
        return row[2] if row is not None and row[1] and row[0] == seen.stamp else None

    def _read(self, files: Sequence[TreeFile], read: Reader) -> list[tuple[TreeFile, Facts]]:
        found: list[tuple[TreeFile, Facts]] = []
        rows: list[tuple[object, ...]] = []
        texts: list[tuple[object, ...]] = []
        for seen in files:
            now = time.time_ns()
            made = read(seen)
            if made is None:
                continue
            facts, searchable = made
            settled = seen.is_settled(now)
            self._rows[seen.path] = seen.stamp, settled, facts
            rows.append((*self._key(seen.path), *seen.stamp, settled, *(getattr(facts, name) for name in _COLUMNS)))
            texts.append((*self._key(seen.path), searchable.params, searchable.metrics))
            found.append((seen, facts))
        marks = ", ".join("?" * (7 + len(_COLUMNS)))
        with self._connection() as db:
            db.executemany(f"INSERT OR REPLACE INTO documents VALUES ({marks})", rows)
            db.executemany("INSERT OR REPLACE INTO searchable VALUES (?, ?, ?, ?)", texts)
        return found

    def _forget(self, paths: Iterable[str]) -> None:
        gone = list(paths)
        for path in gone:
            del self._rows[path]
        if gone:
            keys = [self._key(path) for path in gone]
            with self._connection() as db:
                db.executemany("DELETE FROM documents WHERE rules = ? AND path = ?", keys)
                db.executemany("DELETE FROM searchable WHERE rules = ? AND path = ?", keys)

    def _load(self) -> None:
        """Take in what is in the file; what others add later is read from the tree."""
        if not self._rows:
            names = ", ".join(("path", *_STAMP, "settled", *_COLUMNS))
            found = self._connection().execute(f"SELECT {names} FROM documents WHERE rules = ?", (self._rules,))
            self._rows = {os.fsdecode(row[0]): (row[1:5], bool(row[5]), Facts(*row[6:])) for row in found}

    def _key(self, path: str) -> tuple[str, bytes]:
        # A path may hold bytes that are no UTF-8.
        return self._rules, os.fsencode(path)

    def _connection(self) -> sqlite3.Connection:
        if self._opened is not None and self._opened[0] == os.getpid():
            return self._opened[1]
        if self._opened is not None:
            self._inherited.append(self._opened[1])
        for attempt in range(2):
            try:
                # Not its parents: a tree that is not there has nothing to be kept.
                self._path.parent.mkdir(exist_ok=True)
                self._opened = self._kept(_in_file(self._path))
                return self._opened[1]
            except sqlite3.DatabaseError as exc:
                if isinstance(exc, sqlite3.OperationalError) or attempt:
                    _log.info("the index %s cannot be written (%s); it is kept in memory", self._path, exc)
                    break
                # Damaged: it holds nothing that the tree does not.
                with contextlib.suppress(OSError):
                    self._path.unlink()
            except OSError as exc:
                _log.info("the index %s cannot be written (%s); it is kept in memory", self._path, exc)
                break
        self._opened = self._kept(_in_memory())
        return self._opened[1]

    def _kept(self, db: sqlite3.Connection) -> tuple[int, sqlite3.Connection]:
        """A connection of this process, which ends with the index where nobody closes that."""
        weakref.finalize(self, _let_go, os.getpid(), db)
        return os.getpid(), db


def _let_go(pid: int, db: sqlite3.Connection) -> None:
    # A forked child leaves it alone: to close it would let go of its parent's locks.
    if pid == os.getpid():
        db.close()


def _in_file(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)
    try:
        # No log beside it, so that it can lie on a network's file system.
        db.execute("PRAGMA journal_mode = TRUNCATE")
        db.execute("PRAGMA synchronous = NORMAL")
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _in_memory() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", check_same_thread=False)
    _prepare(db)
    return db


def _prepare(db: sqlite3.Connection) -> None:
    """Make the table; one of another version is dropped, since all of it can be read again."""
    with db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            columns = {"documents": (*_STAMP, "settled", *_COLUMNS), "searchable": ("params", "metrics")}
            for table, names in columns.items():
                db.execute(f"DROP TABLE IF EXISTS {table}")
                db.execute(f"CREATE TABLE {table} (rules, path, {', '.join(names)}, PRIMARY KEY (rules, path))")
            db.execute(f"PRAGMA user_version = {_VERSION}")


def strategies_of(facts: Facts) -> tuple[str, ...]:
    """All strategies of a document."""
    return tuple(json.loads(facts.strategies))
