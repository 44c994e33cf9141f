"""Transactions whose end is always known, or said not to be.

The saving transaction takes an advisory lock named after its write, has that confirmed, and only then sends
COMMIT. So a connection lost before COMMIT was sent means rolled back; one lost after it is decided by whoever
gets the lock next: the transaction has ended then, and its write is there or is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar
from uuid import UUID

import psycopg

from lakestore.catalog.connect import COLLISIONS, PATIENCE_SECONDS, Connection, Connections, pipelined
from lakestore.catalog.failures import is_collision, is_lost, translate
from lakestore.catalog.sql import queries
from lakestore.errors import CatalogError, CommitUnknownError, ConflictError, LakestoreError

T = TypeVar("T")

RESOLVE_SECONDS: Final = 15.0
"""How long the end of a commit is looked for before it is called unknown."""
_Find: TypeAlias = tuple[str, Mapping[str, Any]]


def lock_key(write_id: UUID) -> int:
    """Return the signed 64-bit number that stands for a write among the advisory locks."""
    return int.from_bytes(write_id.bytes[8:], "big", signed=True)


def transact(
    connections: Connections,
    what: str,
    work: Callable[[Connection], tuple[T, UUID | None]],
    *,
    find: str,
    found_by: Mapping[str, Any] | None = None,
) -> T:
    """Run `work` in one transaction and return its value; on return the transaction is durable.

    Args:
        what: the operation for messages, as in "cannot <what>".
        work: runs or queues its statements (the connection is in pipeline mode). With its value it gives the
            write whose lock it took, or None if nothing is to be committed. It is called again after a
            collision, or after a connection that was lost with nothing done.
        find: name of the query that tells whether the write is in.
        found_by: its parameters beside the write.

    Raises:
        CommitUnknownError: the connection was lost around COMMIT, and no other one could tell the end.
        LakestoreError: any other one says that nothing was done.
        psycopg.errors.UniqueViolation: likewise; the caller knows better what it means.
    """
    q = queries()
    collisions = 0
    lost = False
    while True:
        write_id: UUID | None = None
        try:
            with connections.take(patience=PATIENCE_SECONDS if lost else 0.0) as conn:
                with pipelined(conn):
                    conn.execute(q["begin"], prepare=False)
                    conn.execute(q["durable"])
                    value, write = work(conn)
                # The end of the pipeline confirmed every statement, the lock is held: only now may COMMIT be sent.
                if write is not None:
                    write_id = write
                    conn.execute(q["commit"], prepare=False)
                return value
        except psycopg.Error as exc:
            if write_id is not None:
                if _resolve(connections, what, write_id, (find, {"write_id": write_id, **(found_by or {})}), exc):
                    return value
                if lost:
                    raise CatalogError(
                        f"cannot {what}: the connection to the catalog at {connections.place} was lost during the "
                        "commit, which was rolled back; nothing was done, try again"
                    ) from exc
                lost = True
                continue
            if isinstance(exc, psycopg.errors.UniqueViolation):
                raise
            if is_lost(exc) and not lost:
                lost = True
                connections.forget_idle()
            elif is_collision(exc) and collisions < COLLISIONS:
                collisions += 1
            elif is_collision(exc):
                raise ConflictError(
                    f"cannot {what}: others kept changing the same; nothing was done, try again"
                ) from exc
            else:
                raise translate(exc, what=what, place=connections.place) from exc


def is_in(connections: Connections, what: str, write_id: UUID, cause: BaseException) -> bool:
    """Say whether a write whose transaction was broken off is in; if it is not, it never will be.

    Raises:
        CommitUnknownError: it could not be found out in time.
    """
    return _resolve(connections, what, write_id, ("find_write", {"write_id": write_id}), cause)


def _resolve(connections: Connections, what: str, write_id: UUID, find: _Find, cause: BaseException) -> bool:
    """Say whether the write is in; if it is not, it never will be.

    Raises:
        CommitUnknownError: it could not be found out in time.
    """
    connections.forget_idle()
    deadline = time.monotonic() + RESOLVE_SECONDS
    problem = cause
    while (left := deadline - time.monotonic()) > 0:
        try:
            found = _look(connections, write_id, find, left)
        except (psycopg.Error, LakestoreError) as exc:
            problem = exc
            time.sleep(0.1)
            continue
        if found is not None:
            return found
        break
    raise CommitUnknownError(
        f"unknown whether it succeeded to {what}: the connection to the catalog at {connections.place} was lost "
        f"during the commit (write {write_id}); look it up before trying again"
    ) from problem


def _look(connections: Connections, write_id: UUID, find: _Find, seconds: float) -> bool | None:
    """Say whether the write is in; None if this server cannot know (a standby may lag behind)."""
    q = queries()
    with connections.take() as conn, conn.transaction(force_rollback=True):
        conn.execute(q["lock_patience"], {"milliseconds": str(max(1, int(seconds * 1000)))})
        conn.execute(q["lock_write"], {"lock": lock_key(write_id)})
        row = conn.execute(q[find[0]], find[1]).fetchone()
    if row is None or row[0]:
        return None
    return bool(row[1])
