"""Connections to the catalog: made on demand, kept for the next call, never shared with a forked child.

The driver's own pool keeps them. It connects in a thread of its own and tells a caller whose server is away
nothing but a timeout; so its connections report why they failed, and callers wait in short steps and look.
"""

from __future__ import annotations

import logging
import os
import re
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PipelineStatus
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

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
COLLISIONS: Final = 3
"""How often work that the server gave up for another's sake is begun again."""
_STEP_SECONDS: Final = 0.1
_IDLE_SECONDS: Final = 60.0
"""After this long without need the pool closes one connection: it lends in turn, and few are faster than many."""
_CLOSE_SECONDS: Final = 0.5
"""How long a worker that is still trying to connect is waited for."""
_NAME: Final = "lakestore-catalog"
_ASKED: Final = re.compile(r" Is the server running [^?]*\?")
_DEFAULTS: Final = {
    "application_name": "lakestore",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "tcp_user_timeout": "60000",
}

# A parent's connections and pools, kept unused in a forked child: ending them would end the parent's sessions.
_inherited: list[object] = []


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


def _complete(conninfo: str) -> str:
    """A DSN with what it leaves open; a session must speak UTF-8 whatever the environment says."""
    return make_conninfo("", **{**_DEFAULTS, **_parse(conninfo), "client_encoding": "UTF8"})


@dataclass(frozen=True, slots=True)
class _Failure:
    at: float
    cause: psycopg.Error


class _Session(psycopg.Connection[tuple[Any, ...]]):
    """A connection of a pool; the last failure to make one stands in `failures`, where callers look."""

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        failures: list[_Failure] = kwargs.pop("failures")
        try:
            return super().connect(conninfo, **kwargs)
        except psycopg.Error as exc:
            failures[:] = [_Failure(time.monotonic(), exc)]
            raise


class _Pool(ConnectionPool[_Session]):
    """The driver's pool, for one process; a forked child can only forget it."""

    end: Callable[[], object]
    """Close it; only the first call does."""

    def __init__(self, conninfo: str) -> None:
        self.pid = os.getpid()
        self.failures: list[_Failure] = []
        super().__init__(
            conninfo,
            connection_class=_Session,
            kwargs={"autocommit": True, "prepare_threshold": 0, "failures": self.failures},
            configure=_configure,
            min_size=0,
            max_size=MAX_CONNECTIONS,
            max_idle=_IDLE_SECONDS,
            # A caller that still wants a connection asks again; for nobody, the server is not tried on and on.
            reconnect_timeout=0.0,
            num_workers=1,
            name=f"{_NAME}-{id(self):x}",
            open=False,
        )

    def __del__(self) -> None:
        """Do nothing: the threads waited for here may be frozen by the interpreter's end, or another process's."""


def _configure(conn: _Session) -> None:
    try:
        answer = conn.execute(queries()["session"], prepare=False)
        while answer.nextset():
            pass
        if answer.fetchone() != (conn.info.backend_pid,):
            # Behind a pooler the next transaction may be another session's, where a statement of this name is another.
            conn.prepare_threshold = None
    except psycopg.Error:
        conn.close()
        raise


def _end(pool: _Pool) -> None:
    if pool.pid == os.getpid():
        # Where garbage is collected in the pool's own worker, that one cannot be waited for.
        with suppress(RuntimeError):
            pool.close(_CLOSE_SECONDS)


def _is_news(record: logging.LogRecord) -> bool:
    """Say whether a line of the driver's log is to be shown: what befalls our pools is told by our errors."""
    if record.levelno < logging.WARNING or not isinstance(record.args, tuple):
        return True
    names = (record.threadName, *record.args)
    return not any(isinstance(name, _Session) or str(name).startswith(_NAME) for name in names)


logging.getLogger("psycopg.pool").addFilter(_is_news)


class Connections:
    """The process's connections to one catalog; safe to use from several threads and after a fork."""

    def __init__(self, conninfo: str, *, where: str, revive: Callable[[], str] | None = None) -> None:
        """Connect when a connection is wanted.

        Args:
            where: what messages call a server behind a socket.
            revive: starts a server that cannot be reached, and returns its DSN.
        """
        self.place = describe(conninfo, where)
        self._conninfo = _complete(conninfo)
        self._revive = revive
        self._closed = False
        self._renew()

    def _renew(self) -> None:
        pool = _Pool(self._conninfo)
        pool.end = finalizer = weakref.finalize(self, _end, pool)
        # Other callbacks of the interpreter's end may still save; what is open then ends with the process.
        finalizer.atexit = False
        self._pool = pool

    @contextmanager
    def take(self, *, patience: float = 0.0) -> Iterator[Connection]:
        """Lend a connection in autocommit mode to the block; one that comes back unusable is closed.

        Args:
            patience: seconds to go on trying while the server cannot be reached.

        Raises:
            CatalogError: the server cannot be reached, or this was closed.
        """
        if self._pool.pid != os.getpid():
            _inherited.append(self._pool)
            self._renew()
        pool, conn = self._lend(patience)
        try:
            yield conn
        finally:
            if pool.pid != os.getpid():
                _inherited.append(conn)
            else:
                if conn.pgconn.pipeline_status != PipelineStatus.OFF:
                    conn.close()
                pool.putconn(conn)

    def _lend(self, patience: float) -> tuple[_Pool, _Session]:
        begun = time.monotonic()
        revive = self._revive
        while True:
            pool = self._pool
            if self._closed:
                raise CatalogError(f"the catalog at {self.place} was closed; open the lake again")
            try:
                if pool.closed:
                    # Only now its threads begin; one that was ended refuses.
                    pool.open()
                return pool, pool.getconn(_STEP_SECONDS)
            except PoolClosed:
                continue
            except PoolTimeout as exc:
                now = time.monotonic()
                failed = [failure for failure in pool.failures[-1:] if failure.at >= begun]
                if failed and now >= begun + patience and revive is not None:
                    self._conninfo = _complete(revive())
                    self.forget_idle()
                    begun, revive = time.monotonic(), None
                    continue
                if failed and now >= begun + patience:
                    # libpq asks a question of its own, in a line of its own.
                    fact = _ASKED.sub("", " ".join(str(failed[0].cause).split()))
                    raise CatalogError(
                        f"cannot reach the catalog at {self.place}: {fact}; is the server running and the DSN right?"
                    ) from failed[0].cause
                if now >= begun + WAIT_SECONDS:
                    raise CatalogError(
                        f"all {MAX_CONNECTIONS} connections to the catalog at {self.place} are busy for "
                        f"{WAIT_SECONDS:.0f} s; end long calls in other threads or try again"
                    ) from exc
            except BaseException as exc:
                # An interrupted wait stays in the pool's queue, and the connection it is given would be lost.
                self.forget_idle()
                if isinstance(exc, RuntimeError):
                    raise CatalogError(
                        f"cannot connect to the catalog at {self.place}: {exc}; open the lake earlier"
                    ) from exc
                raise

    def forget_idle(self) -> None:
        """Close the idle connections: one was found lost, and the others are likely of the same server."""
        # Not drained: that connects anew in the background, maybe still to the server that goes away.
        lost = self._pool
        self._renew()
        lost.end()

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
                elif is_collision(exc) and collisions < COLLISIONS:
                    collisions += 1
                elif is_collision(exc):
                    raise ConflictError(f"cannot {what}: others kept changing the same; try again") from exc
                else:
                    raise translate(exc, what=what, place=self.place) from exc

    def close(self) -> None:
        """Close the idle connections; those lent are closed when they come back. Calling it twice is fine."""
        self._closed = True
        self._pool.end()
