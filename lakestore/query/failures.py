"""DuckDB's errors as lakestore's, with what the statement could have named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import duckdb

from lakestore.errors import CorruptFileError, LakestoreError, QueryError, StorageError
from lakestore.layout import RESULTS
from lakestore.query.intact import unreadable
from lakestore.query.prune import Needs

_SHOWN = 40

_FILE = re.compile(r"""["']([^"']+\.parquet)["']""")

_START = re.compile(r'syntax error at or near "(.+)"')
"""Where the parser gave up."""

_NAMES_NOTHING = ("not found", "does not have a column", "mbiguous reference", "must appear in")
"""What DuckDB says of a column; other errors have nothing to do with how columns are called."""

_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)


def translated(
    error: Exception,
    columns: Mapping[str, Iterable[str]],
    needs: Needs | None = None,
    paths: Iterable[str] = (),
    *,
    sql: str = "",
    untrusted: bool = False,
) -> LakestoreError:
    """The error to raise in place of DuckDB's.

    Args:
        error: what DuckDB raised.
        columns: the tables that can be named, with their columns.
        needs: the tables that the statement names.
        paths: the data files that it reads.
        sql: the statement.
        untrusted: whether DuckDB was given it within another one, which begins a line above.
    """
    message = str(error).split("\nStack Trace", 1)[0].split("\n\nStack Trace", 1)[0].rstrip()
    if untrusted:
        message = _LINE.sub(_line_above, message)
    if _is_of_files(error, message):
        match = _FILE.search(message)
        path = match[1] if match else unreadable(paths)
        if path is not None:
            try:
                open(path, "rb").close()
            except FileNotFoundError:
                pass
            except OSError as exc:
                return StorageError(f"cannot read {path}: {exc.strerror}")
            return CorruptFileError(
                f"data file {path} cannot be read: {message.splitlines()[0]}; "
                "query again (vacuum may have taken it), else restore it from a backup"
            )
    if isinstance(error, duckdb.OutOfMemoryException):
        return QueryError(
            f"the statement needs more memory than it may have: {_first_line(message)}; narrow it, or raise the limit "
            "(Limits(memory=…), --memory)"
        )
    if isinstance(error, duckdb.CatalogException):
        # A DataFrame is a table to who knows DuckDB.
        hint = "" if untrusted else "; lake.connect() sees tables of yours beside them"
        return QueryError(f"{message}\n\nthe lake's tables: {_listed(columns, 'SHOW TABLES')}{hint}")
    if isinstance(error, duckdb.ParserException):
        return QueryError(message + _how_to_begin(message, sql))
    if isinstance(error, duckdb.BinderException) and any(words in message for words in _NAMES_NOTHING):
        named = [name for name in columns if needs is not None and name in needs.tables]
        lines = [f"columns of {name}: {_listed(columns[name], f'DESCRIBE {name}')}" for name in named]
        return QueryError("\n".join([message, "", *lines] if lines else [message]))
    if "Values were not provided" in message:
        message += "; give lake.sql(…, {'name': value}), or -p name=value to 'lakestore sql'"
    return QueryError(message)


def _is_of_files(error: Exception, message: str) -> bool:
    """Whether DuckDB speaks of a file, not of the statement: for a broken footer its error has no kind at all."""
    return (
        isinstance(error, duckdb.IOException)
        or type(error) is duckdb.Error
        or (isinstance(error, duckdb.InvalidInputException) and ("arquet" in message or "unicode" in message))
    )


def _line_above(found: re.Match[str]) -> str:
    # As wide as it was: a caret below points at a place in the line.
    return f"LINE {int(found[1]) - 1}:".ljust(len(found[0]))


def _how_to_begin(message: str, sql: str) -> str:
    """What to write in place of what begins as no statement does, such as the bare name of a table."""
    found, bare = _START.search(message), sql.strip().rstrip("; ")
    if found is None or not bare.startswith(found[1]):
        return ""
    if bare.isidentifier():
        return f"\n\n'FROM {bare}' gives the rows of a table of this name, SHOW TABLES lists all tables"
    return "\n\na statement begins with SELECT, FROM or WITH; SHOW TABLES lists the tables"


def _first_line(message: str) -> str:
    return message.split("\n", 1)[0]


def _listed(names: Iterable[str], by: str) -> str:
    known = sorted(names, key=lambda name: name != RESULTS)
    more = f", … ({len(known) - _SHOWN} more; {by} lists all)" if len(known) > _SHOWN else ""
    return ", ".join(known[:_SHOWN]) + more if known else "none yet"
