"""Connections to the catalog: made on demand, kept for the next call, never shared with a forked child.

The driver's own pool is not used: it connects in threads of its own, which a fork loses, and tells a caller
whose server is away nothing but a timeout; here the caller's thread connects and learns the cause at once.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PipelineStatus, TransactionStatus

from lakestore.catalog.failures import is_collision, is_lost, translate
from lakestore.catalog.sql import queries
from lakestore.errors import CatalogError, ConflictError

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")

MAX_CONNECTIONS: Final = 8
WAIT_SECONDS: Final = 60.0
"""How long a thread waits for one of the process's connections."""
PATIENCE_SECONDS: Final = 5.0
"""How long a server that was there a moment ago is given to come back (a crash restarts it)."""
_DEFAULTS: Final = {
    "application_name": "lakestore",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "tcp_user_timeout": "60000",
}

# What a forked child inherits is kept, unused: closing it would end the parent's session.
_inherited: list[Connection] = []


def describe(conninfo: str, where: str) -> str:
    """Return host, port and database of a DSN for messages, or `where` for a socket; never a secret.

    Raises:
        CatalogError: the DSN cannot be read.
    """
    given = _parse(conninfo)
    host = str(given.get("host") or given.get("hostaddr") or "")
    if not host or host.startswith(("/", "@")):
        return where
    return f"{host}:{given.get('port') or 5432}/{given.get('dbname') or given.get('user') or ''}"


def _parse(conninfo: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(conninfo))
    except (psycopg.Error, UnicodeError):
        # Not chained: the driver's message may quote a part of the DSN, password included.
        raise CatalogError(
            "the catalog's DSN cannot be read; write postgresql://user@host:port/database, "
            "with special characters percent-encoded"
        ) from None


@contextmanager
def pipelined(conn: Connection) -> Iterator[None]:
    """Pipeline mode that raises the first error of its statements.

    psycopg logs a warning where an error leaves its own block while others are under way; nobody has to see that.
    """
    first: psycopg.Error | None = None
    try:
        with conn.pipeline():
            try:
                yield
            except psycopg.Error as exc:
                first = exc
    except psycopg.Error as exc:
        raise first or exc from None
    if first is not None:
        raise first


class Connections:
    """The process's connections to one catalog; safe to use from several threads and after a fork."""

    def __init__(self, conninfo: str, *, where: str) -> None:
        given = _parse(conninfo)
        self.place = describe(conninfo, where)
        # A session must speak UTF-8 whatever the environment says.
        self._conninfo = make_conninfo("", **{**_DEFAULTS, **given, "client_encoding": "UTF8"})
        self._closed = False
        self._renew()

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._idle: list[Connection] = []
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def _enter(self) -> threading.BoundedSemaphore:
        if self._pid != os.getpid():
            _inherited.extend(self._idle)
            self._renew()
        if self._closed:
            raise CatalogError(f"the catalog at {self.place} was closed; open the lake again")
        slots = self._slots
        if not slots.acquire(timeout=WAIT_SECONDS):
            raise CatalogError(
                f"all {MAX_CONNECTIONS} connections to the catalog at {self.place} are busy for {WAIT_SECONDS:.0f} s; "
                "end long calls in other threads or try again"
            )
        return slots

    @contextmanager
    def take(self, *, patience: float = 0.0) -> Iterator[Connection]:
        """Lend a connection in autocommit mode to the block; one that comes back unusable is closed.

        Args:
            patience: seconds to go on trying while the server cannot be reached.

        Raises:
            CatalogError: the server cannot be reached, or this was closed.
        """
        slots = self._enter()
        try:
            try:
                conn = self._idle.pop()
            except IndexError:
                conn = self._connect(patience)
            try:
                yield conn
            finally:
                self._give_back(conn)
        finally:
            slots.release()

    def _connect(self, patience: float) -> Connection:
        deadline = time.monotonic() + patience
        while True:
            try:
                conn = psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=0)
                break
            except psycopg.Error as exc:
                if time.monotonic() < deadline:
                    time.sleep(0.1)
                    continue
                fact = str(exc).strip().replace("\n", " ")
                raise CatalogError(
                    f"cannot reach the catalog at {self.place}: {fact}; is the server running and the DSN right?"
                ) from exc
        try:
            conn.execute(queries()["session"], prepare=False)
        except psycopg.Error as exc:
            conn.close()
            raise translate(exc, what="open a session", place=self.place) from exc
        return conn

    def _give_back(self, conn: Connection) -> None:
        if self._pid != os.getpid():
            _inherited.append(conn)
            return
        info = conn.pgconn
        if not conn.closed and info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            try:
                conn.rollback()
            except psycopg.Error:
                conn.close()
        sound = info.transaction_status == TransactionStatus.IDLE and info.pipeline_status == PipelineStatus.OFF
        if self._closed or not sound:
            conn.close()
        else:
            self._idle.append(conn)

    def forget_idle(self) -> None:
        """Close the idle connections: one was found lost, and the others are likely of the same server."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def run(self, what: str, work: Callable[[Connection], T]) -> T:
        """Call `work` with a connection; once more on a fresh one if the connection was lost.

        For work that may be done twice: reads, and writes that find their own work done.

        Args:
            what: the operation for messages, as in "cannot <what>".

        Raises:
            LakestoreError: as the failure demands.
        """
        collisions = 0
        lost = False
        while True:
            try:
                with self.take(patience=PATIENCE_SECONDS if lost else 0.0) as conn:
                    return work(conn)
            except psycopg.Error as exc:
                if is_lost(exc) and not lost:
                    lost = True
                    self.forget_idle()
                elif is_collision(exc) and collisions < 3:
                    collisions += 1
                elif is_collision(exc):
                    raise ConflictError(f"cannot {what}: others kept changing the same; try again") from exc
                else:
                    raise translate(exc, what=what, place=self.place) from exc

    def close(self) -> None:
        """Close the idle connections; those lent are closed when they come back. Calling it twice is fine."""
        self._closed = True
        if self._pid == os.getpid():
            self.forget_idle()
