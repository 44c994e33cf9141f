"""DuckDB itself: started, and kept for the next statement where that is safe.

Starting it takes 15 ms and more, a database of its own within a running one takes one. A statement from outside always
gets a DuckDB of its own, whose configuration can be locked.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import duckdb

from lakestore.errors import QueryError
from lakestore.query.sqltypes import identifier

# A bar would be drawn into the standard output of scripts.
_QUIET: Final = "SET enable_progress_bar = false"


def start(config: Mapping[str, Any]) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB in UTC that downloads no extension and spills into the system's temporary directory.

    Args:
        config: DuckDB settings, which win over these.

    Raises:
        QueryError: a setting is not known.
    """
    # DuckDB's own choice for spilled data is `.tmp` in the working directory.
    spill = os.path.join(tempfile.gettempdir(), f"lakestore-{uuid4().hex}")
    settings = {"autoinstall_known_extensions": "false", "temp_directory": spill, **config}
    try:
        con = duckdb.connect(":memory:", config=settings)
        con.execute(f"SET GLOBAL TimeZone = 'UTC'; {_QUIET}")
    except (duckdb.Error, TypeError) as exc:
        raise QueryError(f"DuckDB does not start with these settings: {exc}") from exc
    return con


class Instance:
    """One DuckDB for the trusted statements of a process, each in a database of its own; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._base: duckdb.DuckDBPyConnection | None = None
        self._pid = 0
        self._count = 0
        # Databases whose connection is gone, with all that was made of it.
        self._left: deque[str] = deque()

    def database(self) -> duckdb.DuckDBPyConnection:
        """A connection to an empty database that nobody else sees; it goes when the connection and its relations do."""
        with self._lock:
            if self._base is None or self._pid != os.getpid():
                # DuckDB survives no fork: a child leaves its parent's alone and starts its own.
                self._inherited, self._base, self._pid = self._base, start({}), os.getpid()
                self._left = deque()
            while self._left:
                # Still held where a reader of its rows lives: tried again with the next statement.
                with suppress(duckdb.Error):
                    self._base.execute(f"DETACH {identifier(self._left.popleft())}")
            self._count += 1
            name = f"lake_{self._count}"
            con = self._base.cursor()
        con.execute(f"ATTACH ':memory:' AS {name}; USE {name}; {_QUIET}")
        weakref.finalize(con, self._left.append, name).atexit = False
        return con

    def close(self) -> None:
        """Let DuckDB go; it ends with the last relation that was made of it."""
        with self._lock:
            # Not closed: that would close what was made of it.
            self._base = None
