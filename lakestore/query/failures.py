"""DuckDB's errors as lakestore's, with what the statement could have named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import duckdb

from lakestore.errors import CorruptFileError, LakestoreError, QueryError
from lakestore.layout import RESULTS
from lakestore.query.prune import Needs

_SHOWN = 40
_FILE = re.compile(r'"([^"]+\.parquet)"')


def translated(error: Exception, columns: Mapping[str, Iterable[str]], needs: Needs | None = None) -> LakestoreError:
    """The error to raise in place of DuckDB's.

    Args:
        error: what DuckDB raised.
        columns: the tables that can be named, with their columns.
        needs: the tables that the statement names.
    """
    message = str(error).split("\nStack Trace", 1)[0].split("\n\nStack Trace", 1)[0].rstrip()
    if isinstance(error, duckdb.IOException) and (match := _FILE.search(message)):
        return CorruptFileError(
            f"data file {match[1]} cannot be read: {message.splitlines()[0]}; "
            "query again (vacuum may have taken it), else restore it from a backup"
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return QueryError(f"the statement needs more memory than it may have: {message}; narrow it, or raise the limit")
    if isinstance(error, duckdb.CatalogException):
        return QueryError(f"{message}\n\nthe lake's tables: {_listed(columns)}")
    if isinstance(error, duckdb.BinderException):
        named = [name for name in columns if needs is not None and name in needs.tables]
        lines = [f"columns of {name}: {_listed(columns[name])}" for name in named]
        return QueryError("\n".join([message, "", *lines] if lines else [message]))
    return QueryError(message)


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    known.sort(key=lambda name: name != RESULTS) if RESULTS in known else None
    more = f", … ({len(known) - _SHOWN} more; DESCRIBE lists all)" if len(known) > _SHOWN else ""
    return ", ".join(known[:_SHOWN]) + more if known else "none yet"
