"""What the library and the supervisor agree on: the names, locks and state file of one catalog directory.

Three locks (`flock`) say what is true, whatever was killed:

- `users.lock`: shared by every user; the supervisor gets it exclusively when there is no user left.
- `supervisor.lock`: exclusive, taken by who starts a supervisor and handed on to it for its whole life.
- `server.lock`: exclusive, inherited by every process of postgres: free means that none of them is left.

The state file says where the server listens and is the stamp of the machine that runs it. Its mtime is the
heartbeat: a stamp of another machine counts as living for `STALE` seconds after its last one.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from typing import NamedTuple

from lakestore.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows: `EmbeddedServer.attach` refuses before any of this is used
    pass

HEARTBEAT = 5.0
"""Seconds between two heartbeats of a supervisor."""
STALE = 60.0
"""Seconds after its last heartbeat for which another host's stamp is believed."""
REBOOTED = 3 * HEARTBEAT
"""The same for a stamp of this host's name from another boot, which most likely died with that boot."""

PORT = 5432
"""Names the socket only: nothing listens on the network."""


class Paths(NamedTuple):
    """The files of one catalog directory (a NamedTuple: dataclasses would cost each start 10 ms)."""

    directory: str

    @property
    def data(self) -> str:
        return os.path.join(self.directory, "data")

    @property
    def socket(self) -> str:
        return os.path.join(self.directory, "socket")

    @property
    def state(self) -> str:
        return os.path.join(self.directory, "state.json")

    @property
    def log(self) -> str:
        return os.path.join(self.directory, "server.log")

    @property
    def hba(self) -> str:
        return os.path.join(self.directory, "pg_hba.conf")

    @property
    def ident(self) -> str:
        return os.path.join(self.directory, "pg_ident.conf")

    @property
    def users_lock(self) -> str:
        return os.path.join(self.directory, "users.lock")

    @property
    def supervisor_lock(self) -> str:
        return os.path.join(self.directory, "supervisor.lock")

    @property
    def server_lock(self) -> str:
        return os.path.join(self.directory, "server.lock")


class Machine(NamedTuple):
    """One boot of one host; containers of one kernel share locks and sockets, so their boot id makes them one."""

    host: str
    boot: str

    @classmethod
    def here(cls) -> Machine:
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
                boot = file.read().strip()
        except (OSError, ValueError):
            boot = ""
        return cls(socket.gethostname(), boot)

    def is_same(self, other: Machine) -> bool:
        if self.boot and other.boot:
            return self.boot == other.boot
        return self.host == other.host


class State(NamedTuple):
    """What `state.json` says: which supervisor (`instance`) of which machine serves, and whether it is ready.

    `socket` is the folder of the socket when that is not the directory's own (which may have another path elsewhere).
    """

    instance: str
    host: str
    boot: str
    pid: int
    socket: str | None
    ready: bool

    @property
    def machine(self) -> Machine:
        return Machine(self.host, self.boot)

    def socket_folder(self, paths: Paths) -> str:
        return self.socket or paths.socket

    def text(self) -> bytes:
        return json.dumps(self._asdict()).encode() + b"\n"


def read_state(paths: Paths) -> State | None:
    """Return the state file's content; None when there is none, or it is not one."""
    try:
        with open(paths.state, "rb") as file:
            return State(**json.loads(file.read()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return None


def heartbeat_age(paths: Paths) -> float:
    """Return the seconds since the state file's last heartbeat, by the clock of its own file system."""
    probe = os.path.join(paths.directory, f".clock-{os.getpid()}-{os.urandom(4).hex()}")
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        return os.stat(probe).st_mtime - os.stat(paths.state).st_mtime
    finally:
        os.unlink(probe)


def open_private(path: str, flags: int = os.O_RDWR) -> int:
    """Open or make a file (0600) that belongs to the owner of its directory; links are refused.

    Only a file made by this call is given away, so that nobody can have root give away something else.
    """
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        try:
            fd = _above_standard(os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            try:
                fd = _above_standard(os.open(path, flags))
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise StorageError(f"{path} is not a regular file; remove it and open the lake again") from None
            return fd
        owner = os.stat(os.path.dirname(path))
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.fchown(fd, owner.st_uid, owner.st_gid)
        return fd


def _above_standard(fd: int) -> int:
    # In a process without standard input it would be 0, and replaced in the child it is meant for.
    if fd > 2:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def try_lock(fd: int, *, shared: bool = False) -> bool:
    """Take a `flock` if that is possible now."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_lock(fd: int) -> None:
    """Take an exclusive `flock`, however long that lasts."""
    fcntl.flock(fd, fcntl.LOCK_EX)


def is_locked(path: str) -> bool:
    """Say whether anybody holds an exclusive lock on a file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(fd, shared=True)
    finally:
        os.close(fd)


def read_log(paths: Paths, *, start: int = 0) -> str:
    """Return the server's log from byte `start` on, at most its last 64 KiB."""
    try:
        with open(paths.log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            # A log that shrank was begun anew meanwhile.
            file.seek(max(start if start <= size else 0, size - 65536))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def log_tail(paths: Paths, *, start: int = 0, lines: int = 8) -> str:
    """Return the last lines of the server's log from byte `start` on, indented for an error message."""
    # Lines that begin with a tab continue a statement.
    kept = [line for line in read_log(paths, start=start).splitlines() if line.strip() and line[0] != "\t"]
    return "".join(f"\n  {line}" for line in kept[-lines:])
