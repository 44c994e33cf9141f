"""From what the database driver raises to what the caller can act on."""

from __future__ import annotations

import psycopg

from lakestore.codec.strings import is_unicode
from lakestore.errors import CatalogError, InvalidInputError, LakestoreError

NOBODYS = (
    "the catalog does not say whose it is (its table lake is empty): restore the database from a backup, or let "
    "'lakestore catalog sync --rebuild' make it anew"
)
"""Said where the one row of the catalog's table `lake` is missing."""

# Connection exceptions, and a server that stops, crashed or starts.
_LOST = ("08", "57P01", "57P02", "57P03", "57P05")
# Data exceptions and program limits: what was given does not fit.
_INPUT = ("22", "54")
_HINTS = {
    "25006": "the server accepts no writes (read-only, a standby, or default_transaction_read_only): use the primary",
    "25P03": "the server ended a transaction as idle: raise idle_in_transaction_session_timeout for this role",
    "25P04": "the server ended a transaction as too long: raise transaction_timeout for this role",
    "42501": "the role lacks a privilege: ask the owner of the database for it",
    "42P01": "a table of the catalog is missing: restore the database or rebuild the catalog",
    "42703": "a column of the catalog is missing: restore the database or rebuild the catalog",
    "53100": "the server's disk is full: make room",
    "53300": "the server has no connection left: close some or raise max_connections",
    "55P03": "a lock was not to be had in time: try again",
    "57014": "the statement was cancelled or took too long: try again, or raise statement_timeout for this role",
}


def is_storable(text: str) -> bool:
    """Say whether a Postgres text can hold it: no NUL, no lone surrogate.

    Raises:
        InvalidInputError: it is no text, as an id that an engine counts.
    """
    if not isinstance(text, str):
        raise InvalidInputError(f"{text!r} is {type(text).__name__}, not text, as ids, strategies and statuses are")
    return "\0" not in text and is_unicode(text)


def is_lost(exc: psycopg.Error) -> bool:
    """Say whether the connection itself is gone, so that a fresh one may serve."""
    if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
        return exc.sqlstate is None or exc.sqlstate.startswith(_LOST)
    return False


def is_collision(exc: psycopg.Error) -> bool:
    """Say whether the server gave the transaction up for another one's sake: trying again may serve."""
    return exc.sqlstate in ("40001", "40P01")


def translate(exc: psycopg.Error, *, what: str, place: str) -> LakestoreError:
    """Return the error to raise from `exc`; it names what was done, where, and the next step.

    Args:
        what: the operation, as in "cannot <what>".
        place: the catalog, without any secret.
    """
    state = exc.sqlstate or ""
    fact = (exc.diag.message_primary or str(exc) or type(exc).__name__).strip()
    if is_lost(exc):
        return CatalogError(
            f"cannot {what}: the connection to the catalog at {place} was lost ({fact}); nothing was done, try again"
        )
    if state.startswith(_INPUT) or isinstance(exc, psycopg.DataError):
        return InvalidInputError(f"cannot {what}: the catalog cannot hold what was given ({fact})")
    hint = _HINTS.get(state, "see the server's log")
    return CatalogError(f"cannot {what}: the catalog at {place} said '{fact}'; {hint}")
