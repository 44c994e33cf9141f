"""DuckDB itself: started, and kept for the next statement where that is safe.

Starting it takes 15 ms and more, a database of its own within a running one takes one. A statement from outside always
gets a DuckDB of its own, whose configuration can be locked.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import duckdb

from lakestore.catalog.embedded.cluster import is_private
from lakestore.errors import QueryError
from lakestore.locks import Lock
from lakestore.query.sqltypes import identifier

_QUIET: Final = "SET enable_progress_bar = false"


def start(config: Mapping[str, Any]) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB in UTC that downloads no extension and spills where only this user can look.

    Args:
        config: DuckDB settings, which win over these.

    Raises:
        QueryError: a setting is not known.
    """
    settings = {"autoinstall_known_extensions": "false", "temp_directory": _spill_folder(), **config}
    try:
        con = duckdb.connect(":memory:", config=settings)
        con.execute("SET GLOBAL TimeZone = 'UTC'")
        _disable_progress_bar(con)
    except (duckdb.Error, TypeError) as exc:
        raise QueryError(f"DuckDB does not start with these settings: {exc}") from exc
    return con


def _spill_folder() -> str:
    """Where one DuckDB is to spill, in a folder of this user's; empty, which is nowhere, where there can be none.

    DuckDB's own choice is `.tmp` in the working directory, and what it makes can be read by everybody.
    """
    try:
        folder = os.path.join(tempfile.gettempdir(), f"lakestore-{os.geteuid()}")
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        if not is_private(folder, os.geteuid()):
            folder = tempfile.mkdtemp(prefix="lakestore-")
    except OSError:
        return ""
    # DuckDB makes and removes this one.
    return os.path.join(folder, uuid4().hex)


def _disable_progress_bar(con: duckdb.DuckDBPyConnection) -> None:
    """Let no bar be drawn into the standard output of scripts."""
    # In a notebook without ipywidgets DuckDB draws none, and refuses to be told so.
    with suppress(duckdb.InvalidInputException):
        con.execute(_QUIET)


_SETTINGS: Final = {"python_enable_replacements": "false"}
_KEPT: Final = 4
"""Databases that wait for the next statement of the same needs."""

_CHUNKS: Final = 32_768
"""Columns in files up to which DuckDB keeps what footers say, in 1.4 kB each: 2,000 files of 15, in 45 MB."""
_PATIENCE: Final = 16
"""So many times as much is read without being kept, before what is kept makes way."""


class _Database:
    """The name of a database that goes with it: with the last connection to it, and the place where it is kept."""

    __slots__ = ("__weakref__", "name")

    def __init__(self, name: str) -> None:
        self.name = name


class Instance:
    """One DuckDB for the trusted statements of a process, in databases that nobody changes; safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._base: duckdb.DuckDBPyConnection | None = None
        self._inherited: duckdb.DuckDBPyConnection | None = None
        self._pid = 0
        self._count = 0
        # Names of databases that nobody uses any more.
        self._left: deque[str] = deque()
        self._kept: deque[tuple[object, object, _Database]] = deque(maxlen=_KEPT)
        # Files whose footers DuckDB keeps, the columns in them, and in those that it would have kept since.
        self._read: set[str] = set()
        self._held = self._refused = 0

    def parser(self) -> duckdb.DuckDBPyConnection:
        """A connection for what reads no table."""
        with self._lock:
            return self._started().cursor()

    def filled(
        self,
        source: object,
        key: object,
        fill: Callable[[duckdb.DuckDBPyConnection], None],
        *,
        keep: bool,
        chunks: Mapping[str, int],
    ) -> duckdb.DuckDBPyConnection:
        """A connection to a database that was filled, by this call or, for this very source and an equal key, before.

        What is made on it stands in a database of its own. Both go when the connection and its relations are gone,
        the one that was filled when it is not kept any more either.

        Args:
            keep: others may be given it, too.
            chunks: the files that are read, with the columns in each.
        """
        with self._lock:
            base, footers = self._reading(chunks)
            while self._left:
                # Still held where a reader of its rows lives: tried again with the next statement.
                with suppress(duckdb.Error):
                    base.execute(f"DETACH {identifier(self._left.popleft())}")
            found = next((kept for of, said, kept in self._kept if of is source and said == key), None)
            own = self._named()
            con = base.cursor()
            shown = found or (self._named() if keep else own)
        # What is made of the connection keeps it, and it the databases.
        weakref.finalize(con, _let_go, own, shown).atexit = False
        try:
            con.execute(f"ATTACH ':memory:' AS {own.name}")
            if found is None:
                attached = f"ATTACH ':memory:' AS {shown.name}; " if keep else ""
                con.execute(f"{attached}USE {shown.name}")
                _disable_progress_bar(con)
                fill(con)
            con.execute(f"SET search_path = '{own.name},{shown.name}'; {footers}")
            _disable_progress_bar(con)
        except BaseException:
            con.close()
            raise
        if keep and found is None:
            with self._lock:
                self._kept.append((source, key, shown))
        return con

    def _reading(self, chunks: Mapping[str, int]) -> tuple[duckdb.DuckDBPyConnection, str]:
        """The DuckDB for a statement over these files, and what makes it keep their footers; mind the lock."""
        base = self._started()
        news = chunks.keys() - self._read
        if (count := sum(chunks[path] for path in news)) + self._held > _CHUNKS:
            whole = sum(chunks.values())
            self._refused += count if whole <= _CHUNKS else 0
            if whole > _CHUNKS or self._refused < _CHUNKS * _PATIENCE:
                return base, ""
            # It forgets nothing that nobody reads any more: another takes over, and it ends with its last relation.
            self._base = None
            base, news, count = self._started(), set(chunks), whole
        self._read.update(news)
        self._held += count
        return base, "SET parquet_metadata_cache = true; "

    def _named(self) -> _Database:
        self._count += 1
        database = _Database(f"lake_{self._count}")
        weakref.finalize(database, self._left.append, database.name).atexit = False
        return database

    def _started(self) -> duckdb.DuckDBPyConnection:
        if self._base is None or self._pid != os.getpid():
            # DuckDB survives no fork: a child leaves its parent's alone and starts its own.
            self._inherited, self._base, self._pid = self._base, start(_SETTINGS), os.getpid()
            self._left = deque()
            self._kept.clear()
            self._read, self._held, self._refused = set(), 0, 0
        return self._base

    def close(self) -> None:
        """Let DuckDB go; it ends with the last relation that was made of it."""
        with self._lock:
            # Not closed: that would close what was made of it.
            self._base = None
            self._kept.clear()


def _let_go(*_: _Database) -> None:
    """The last that a connection does."""
