"""Data files as they were committed? What DuckDB would not notice, and the name of what it stumbles over."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import duckdb

from lakestore.errors import CorruptFileError
from lakestore.model import LiveFile
from lakestore.parquet.seal import is_intact

FOOTERS = 1_000
"""Files of one statement up to which their footers are compared, for 10 µs each; beyond, their sizes alone."""
_MOST = 50_000
_known: dict[str, tuple[int, int, int]] = {}
"""Files whose footers were compared in this process, as they were then: inode, and times of the last changes."""


def check(base: str, files: Sequence[LiveFile]) -> None:
    """Refuse files whose size or footer is not the one that was committed.

    A changed page is found by `load` and `verify`, which compare checksums of all bytes; to do that for each query
    would cost more than the query. One that is missing is left to DuckDB.

    Raises:
        CorruptFileError: naming the first such file.
    """
    for file in files:
        path = f"{base}/{file.path}"
        try:
            good = _is_good(path, file.bytes, footer=len(files) <= FOOTERS)
        except OSError:
            continue
        if not good:
            raise CorruptFileError(
                f"data file {path} is damaged: its size or its footer is not the one that was committed; "
                "restore it from a backup"
            )


def _is_good(path: str, size: int, *, footer: bool) -> bool:
    found = os.stat(path)
    if found.st_size != size:
        return False
    mark = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    if not footer or _known.get(path) == mark:
        return True
    if not is_intact(path, size):
        return False
    if len(_known) >= _MOST:
        _known.clear()
    _known[path] = mark
    return True


def unreadable(paths: Iterable[str]) -> str | None:
    """The first of these files that DuckDB cannot read as a whole; None if it can read them all."""
    with duckdb.connect() as con:
        for path in paths:
            try:
                con.execute("SELECT sum(hash(COLUMNS(*))) FROM read_parquet(?)", [path]).fetchall()
            except duckdb.Error:
                return path
    return None
