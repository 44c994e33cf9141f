"""The detached process that owns postgres: starts it, keeps it while there are users, and ends with the last one.

Run by `server.py` as a program of its own, with nothing of the package but this folder and `errors`.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence

from lakestore.catalog.embedded import cluster, process
from lakestore.catalog.embedded.state import (
    HEARTBEAT,
    Machine,
    Paths,
    State,
    log_tail,
    open_private,
    read_log,
    read_state,
    try_lock,
    wait_lock,
)
from lakestore.errors import CatalogError, LakestoreError, StorageError

_FAST = 10.0
"""Seconds for a shutdown with checkpoint, then `_IMMEDIATE` for one without, then they are killed."""
_IMMEDIATE = 6.0
_LEFTOVERS = 3.0
"""Seconds that processes of a killed predecessor get before they are killed."""
_RESTARTS = 5
"""How often postgres may die within `_RESTART_WINDOW` seconds before the supervisor gives up."""
_RESTART_WINDOW = 60.0
_LOG_MAX = 1 << 20
"""Bytes of log after which its last part is moved to `server.log.1` and it begins anew."""
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


class _Stop(Exception):
    """The server has to go: nobody uses it, we were told to end, or (`at_once`) the state file is not ours."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.at_once = at_once
        super().__init__()


class Supervisor:
    """One server's life, from the locks to the last file removed."""

    def __init__(self, paths: Paths, binaries: str) -> None:
        self._paths = paths
        self._binaries = binaries
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_r, False)
        os.set_blocking(self._wake_w, False)
        self._told = False
        self._unused = False
        self._beat_at = 0.0
        self._postmaster = 0
        self._server_lock: int | None = None
        self._state: State | None = None

    def run(self) -> None:
        """Serve until there is no user left, or we are told to end; nothing is left running afterwards."""
        self._listen()
        stop = _Stop()
        try:
            self._prepare()
            self._serve()
        except _Stop as exc:
            stop = exc
        except LakestoreError as exc:
            self._report(exc)
        except OSError as exc:
            why = "the disk is full; make room beside the lake, as vacuum needs the catalog"
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
                why = exc.strerror or str(exc)
            self._report(StorageError(f"cannot run the embedded catalog in {self._paths.directory}: {why}"))
        finally:
            self._end(at_once=stop.at_once)

    # ---- events

    def _listen(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)
        # A lock cannot be waited for together with signals, so a thread of its own does.
        threading.Thread(target=self._wait_for_users, daemon=True).start()

    def _tell(self, *_: object) -> None:
        self._told = True

    def _wait_for_users(self) -> None:
        # Never closed: the lock is ours until the process ends, so that new users wait for that.
        wait_lock(open_private(self._paths.users_lock))
        self._unused = True
        os.write(self._wake_w, b"\0")

    def _pause(self, seconds: float) -> None:
        """Wait for an event, at most so long; raise `_Stop` when it is time to go."""
        select.select([self._wake_r], [], [], seconds)
        try:
            os.read(self._wake_r, 4096)
        except BlockingIOError:
            pass
        if self._told or self._unused:
            raise _Stop
        if self._state is not None and time.monotonic() - self._beat_at >= HEARTBEAT:
            self._beat()

    def _beat(self) -> None:
        self._beat_at = time.monotonic()
        found = read_state(self._paths)
        if found is None or self._state is None or found.instance != self._state.instance:
            # The directory was removed, or another host took it over: not one more write to it.
            raise _Stop(at_once=True)
        os.utime(self._paths.state)
        if os.fstat(2).st_size > _LOG_MAX:
            with open(f"{self._paths.log}.1", "w", encoding="utf-8") as kept:
                kept.write(read_log(self._paths))
            os.ftruncate(2, 0)

    # ---- start

    def _prepare(self) -> None:
        self._wait_for_leftovers()
        before = read_state(self._paths)
        if before is not None and before.socket is not None and before.host == Machine.here().host:
            cluster.remove_socket(before.socket)
        cluster.clean_up(self._paths)
        self._stamp()
        self._server, maker = process.accounts(self._paths.data)
        cluster.write_access(self._paths)
        if not os.path.exists(self._paths.data):
            cluster.make(self._paths, self._binaries, self._server, maker, self._run_program)

    def _stamp(self) -> None:
        """Write the machine's stamp, as the only one: whoever else came first is not overwritten."""
        here = Machine.here()
        folder = cluster.make_socket_folder(self._paths)
        elsewhere = folder if folder != self._paths.socket else None
        self._state = State(os.urandom(8).hex(), here.host, here.boot, os.getpid(), elsewhere, False)
        try:
            os.unlink(self._paths.state)
        except FileNotFoundError:
            pass
        temporary = f"{self._paths.state}.{os.urandom(4).hex()}"
        self._write(temporary, self._state)
        try:
            os.link(temporary, self._paths.state)
            os.unlink(temporary)
        except FileExistsError as exc:
            cluster.remove_socket(folder)
            self._state = None
            raise CatalogError(
                f"another host opened {self._paths.directory} at this moment; set LAKESTORE_DSN"
            ) from exc
        except OSError:  # a file system without links
            os.rename(temporary, self._paths.state)
        self._beat_at = time.monotonic()

    def _publish(self, *, ready: bool) -> None:
        assert self._state is not None
        self._state = self._state._replace(ready=ready)
        temporary = f"{self._paths.state}.{os.urandom(4).hex()}"
        self._write(temporary, self._state)
        os.rename(temporary, self._paths.state)

    @staticmethod
    def _write(path: str, state: State) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(state.text())

    def _wait_for_leftovers(self) -> None:
        """Take `server.lock`: on return no process of this cluster lives but us."""
        fd = open_private(self._paths.server_lock)
        begun = time.monotonic()
        told = 0
        while not try_lock(fd):
            waited = time.monotonic() - begun
            if waited > _LEFTOVERS + 10:
                os.close(fd)
                raise CatalogError(
                    f"processes of an earlier server still hold {self._paths.server_lock}; "
                    "end them and open the lake again"
                )
            if told == 0 or (told == 1 and waited > _LEFTOVERS):
                number = signal.SIGQUIT if told == 0 else signal.SIGKILL
                cluster.signal_processes(self._paths, number)
                told += 1
            self._pause(0.01)
        self._server_lock = fd

    def _run_program(self, argv: Sequence[str], account: process.Account, text: bytes) -> None:
        """Run one of postgres' programs to its end; it does not outlive us, nor the last user."""
        before = os.fstat(2).st_size
        stdin_r, stdin_w = os.pipe()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.write(stdin_w, text)
            pid = self._spawn(argv, account, stdin=stdin_r, stdout=null, parent_death=signal.SIGKILL)
        finally:
            for fd in (stdin_r, stdin_w, null):
                os.close(fd)
        try:
            status = self._await_exit(pid)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        if status != 0:
            raise self._failure(f"{os.path.basename(argv[0])} failed in {self._paths.directory}", before)

    def _spawn(
        self, argv: Sequence[str], account: process.Account, *, stdin: int, stdout: int, parent_death: signal.Signals
    ) -> int:
        assert self._server_lock is not None
        env = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        return process.spawn(
            argv,
            account,
            cwd=self._paths.directory,
            env={**env, "LC_ALL": "C", "TZ": "UTC"},
            keep=self._server_lock,
            stdin=stdin,
            stdout=stdout,
            stderr=2,
            parent_death=parent_death,
        )

    def _await_exit(self, pid: int) -> int:
        """Return a child's status; meanwhile the heart beats."""
        while True:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                return status
            self._pause(HEARTBEAT)

    def _failure(self, what: str, log_from: int) -> LakestoreError:
        tail = log_tail(self._paths, start=log_from)
        text = read_log(self._paths, start=log_from)
        if any(os.strerror(number) in text for number in (errno.ENOSPC, errno.EDQUOT)):
            return StorageError(f"{what}: the disk is full; make room and open the lake again{tail}")
        if not tail:
            return CatalogError(f"{what}, and {self._paths.log} says nothing: is there room, and no 'ulimit -f'?")
        return CatalogError(f"{what}; the end of {self._paths.log} says why:{tail}")

    # ---- serve

    def _serve(self) -> None:
        """Keep postgres running, started again when it was killed, until it is time to go."""
        deaths: deque[float] = deque(maxlen=_RESTARTS)
        while True:
            if self._start_postmaster():
                self._publish(ready=True)
                self._report(None)
                self._await_exit(self._postmaster)
            self._postmaster = 0
            now = time.monotonic()
            if len(deaths) == _RESTARTS and now - deaths[0] < _RESTART_WINDOW:
                raise CatalogError(
                    f"postgres died {_RESTARTS + 1} times within {_RESTART_WINDOW:.0f} s; see {self._paths.log}"
                )
            deaths.append(now)
            self._publish(ready=False)
            self._wait_for_leftovers()
            cluster.clean_up(self._paths)

    def _start_postmaster(self) -> bool:
        """Return when postgres accepts connections, or was killed before (False)."""
        assert self._state is not None and self._server_lock is not None
        before = os.fstat(2).st_size
        argv = cluster.server_arguments(self._paths, self._binaries, self._state.socket_folder(self._paths))
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # SIGQUIT: without us it ends at once; what was committed is in the log and recovered at the next start.
            self._postmaster = self._spawn(argv, self._server, stdin=null, stdout=2, parent_death=signal.SIGQUIT)
        finally:
            os.close(null)
        # From here only postgres' own processes hold it.
        os.close(self._server_lock)
        self._server_lock = None
        while not cluster.is_ready(self._paths, self._postmaster):
            pid, status = os.waitpid(self._postmaster, os.WNOHANG)
            if pid:
                self._postmaster = 0
                if os.WIFSIGNALED(status):
                    return False
                raise self._failure(f"postgres did not start in {self._paths.directory}", before)
            self._pause(0.003)
        return True

    def _report(self, error: LakestoreError | None) -> None:
        """Tell who started us how it went, the first time; later it goes to the log."""
        text = {"kind": error.kind, "message": str(error)} if error is not None else {}
        try:
            os.write(1, json.dumps(text).encode() + b"\n")
        except OSError:
            pass
        if error is not None:
            os.write(2, f"lakestore: {error}\n".encode("utf-8", "replace"))
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(null, 1)
        os.close(null)

    # ---- end

    def _end(self, *, at_once: bool) -> None:
        """Stop postgres, see it gone, remove our state; what cannot be done now is done by the next start."""
        try:
            if self._postmaster:
                self._stop_postmaster(at_once=at_once)
            if self._state is not None:
                found = read_state(self._paths)
                ours = found is not None and found.instance == self._state.instance
                # The directory's own socket may be another host's by now.
                if ours or self._state.socket is not None:
                    cluster.remove_socket(self._state.socket_folder(self._paths))
                if ours:
                    os.unlink(self._paths.state)
        except OSError as exc:
            os.write(2, f"lakestore: {exc}\n".encode("utf-8", "replace"))

    def _stop_postmaster(self, *, at_once: bool) -> None:
        steps = ((signal.SIGINT, _FAST), (signal.SIGQUIT, _IMMEDIATE))
        for number, seconds in steps[1:] if at_once else steps:
            os.kill(self._postmaster, number)
            if self._ended_within(seconds):
                return
        cluster.signal_processes(self._paths, signal.SIGKILL)
        os.kill(self._postmaster, signal.SIGKILL)
        self._ended_within(_IMMEDIATE)

    def _ended_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while os.waitpid(self._postmaster, os.WNOHANG)[0] == 0:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            select.select([self._wake_r], [], [], min(left, 0.05))
            try:
                os.read(self._wake_r, 4096)
            except BlockingIOError:
                pass
        return True


def main(directory: str, binaries: str, supervisor_lock: str) -> None:
    """Detach from whoever started us, serve one catalog directory, end; `supervisor_lock` is a descriptor."""
    os.umask(0o077)
    # Ours for life, and not for postgres.
    os.set_inheritable(int(supervisor_lock), False)
    if os.fork() != 0:
        os._exit(0)
    paths = Paths(directory)
    try:
        process.become_owner(directory)
    except LakestoreError as exc:
        os.write(1, json.dumps({"kind": exc.kind, "message": str(exc)}).encode() + b"\n")
        os._exit(1)
    Supervisor(paths, binaries).run()
    # Both locks go at the same moment as the process.
    os._exit(0)
