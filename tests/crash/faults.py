"""One process's operations on files and catalog, counted; the n-th one fails, or the process dies at it.

Nothing in the library knows of this: Python's own calls to the file system are replaced for paths below one folder,
and the driver's connections by ones that look before they send.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from lakestore.catalog import connect
from lakestore.catalog.sql import queries

WRITES = ("create", "write", "fsync", "mkdir", "rename", "link")
"""What a full disk refuses."""
FAULTS = {
    "input/output error": (errno.EIO, (*WRITES, "unlink", "rmdir", "read")),
    "disk full from here on": (errno.ENOSPC, WRITES),
    "permission denied": (errno.EACCES, ("create", "mkdir", "rename", "link", "unlink", "rmdir", "read")),
    "connection lost before": (0, ("statement", "commit")),
    "connection lost after": (0, ("commit",)),
    "refused by the server": (0, ("statement", "commit")),
    "killed before": (0, (*WRITES, "unlink", "rmdir", "read", "statement", "commit", "return")),
    "killed in the middle of a write": (0, ("write",)),
}
"""What can befall an operation: the error number of the file system's refusals, and the kinds of operation."""

_REFUSAL = (
    b"DO $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
)


class Op(NamedTuple):
    """One operation: its kind, and the file below the folder or the statement."""

    kind: str
    what: str


class Faults:
    """What befalls the process: `fault` at operation `at` (from 0), or the first one after it that it can befall.

    Attributes:
        armed: whether operations are counted by now.
        ops: what was counted.
        fired: the operation that was disturbed.
    """

    def __init__(self, folder: Path, fault: str = "", at: int = -1) -> None:
        self.ops: list[Op] = []
        self.fired: Op | None = None
        self.armed = False
        self._folder = f"{folder}{os.sep}"
        self._fault = fault
        self._at = at
        self._number, self._kinds = FAULTS.get(fault, (0, ()))
        self._paths: dict[int, str] = {}
        self._lock = threading.Lock()

    def step(self, kind: str, what: str) -> bool:
        """Count an operation; say whether the fault is to befall it now. Death comes at once."""
        with self._lock:
            if not self.armed:
                return False
            self.ops.append(Op(kind, what))
            # Threads may make the operations of a run one more or less: who is to be killed is, at the end at last.
            late = kind == "return" and self._at >= 0
            due = (late or len(self.ops) > self._at >= 0) and kind in self._kinds
            if not due or (self.fired is not None and self._number != errno.ENOSPC):
                return False
            self.fired = self.fired or self.ops[-1]
        if self._fault == "killed before":
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    def file(self, kind: str, path: str) -> None:
        """Count an operation on a file, or refuse it."""
        if self.step(kind, f"{path}{os.sep}".removeprefix(self._folder).rstrip(os.sep)) and self._number:
            raise OSError(self._number, os.strerror(self._number), path)

    def inside(self, path: Any) -> str | None:
        """A path as text if it lies below the folder, and is not the embedded server's."""
        if isinstance(path, int):
            return self._paths.get(path)
        text = os.fspath(path)
        text = os.fsdecode(text) if isinstance(text, bytes) else text
        return text if f"{text}{os.sep}".startswith(self._folder) and "/_lakestore/catalog/" not in text else None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Look at every operation of this process meanwhile."""
        kept = {name: getattr(os, name) for name in ("open", "close", "write")}
        simple = {name: name for name in ("mkdir", "unlink", "rename", "link", "fsync", "rmdir")}
        simple |= {"replace": "rename", "remove": "unlink"}
        kept |= {name: getattr(os, name) for name in simple}
        session, opened = connect._Session, io.open
        os.open, os.close, os.write = self._open(os.open), self._close(os.close), self._write(os.write)
        for name, kind in simple.items():
            setattr(os, name, self._simple(kind, kept[name]))
        io.open = builtins.open = self._stream(io.open)
        connect._Session = self._session(session)  # type: ignore[misc]
        try:
            yield
        finally:
            for name, call in kept.items():
                setattr(os, name, call)
            io.open = builtins.open = opened
            connect._Session = session  # type: ignore[misc]

    # ---- files

    def _open(self, real: Callable[..., int]) -> Any:
        def call(path: Any, flags: int, *args: Any, **options: Any) -> int:
            inside = self.inside(path)
            if inside is not None and not flags & os.O_DIRECTORY:
                self.file("create" if flags & (os.O_WRONLY | os.O_RDWR) else "read", inside)
            fd = real(path, flags, *args, **options)
            if inside is not None:
                with self._lock:
                    self._paths[fd] = inside
            return fd

        return call

    def _close(self, real: Callable[[int], None]) -> Any:
        def call(fd: int) -> None:
            with self._lock:
                self._paths.pop(fd, None)
            real(fd)

        return call

    def _write(self, real: Callable[[int, Any], int]) -> Any:
        def call(fd: int, data: Any) -> int:
            inside = self.inside(fd)
            if inside is not None:
                self.file("write", inside)
                if self.fired and self._fault == "killed in the middle of a write":
                    real(fd, memoryview(data)[: len(data) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(fd, data)

        return call

    def _simple(self, kind: str, real: Callable[..., Any]) -> Any:
        def call(path: Any, *args: Any, **options: Any) -> Any:
            # A rename counts where it leads to: the temporary name is nobody's business.
            inside = self.inside(args[0] if kind in ("rename", "link") else path)
            if inside is not None:
                self.file(kind, inside)
            return real(path, *args, **options)

        return call

    def _stream(self, real: Callable[..., Any]) -> Any:
        def call(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            inside = None if isinstance(file, int) else self.inside(file)
            if inside is not None:
                self.file("read" if set(mode) <= set("rbt") else "create", inside)
            return real(file, mode, *args, **options)

        return call

    # ---- catalog

    def _session(self, real: type[Any]) -> type[Any]:
        faults = self
        names = {query: name for name, query in queries().items()}

        def named(query: Any) -> str:
            text = query if isinstance(query, bytes) else str(query).encode()
            return names.get(text) or text.decode(errors="replace").split("\n")[0][:60]

        class Cursor(psycopg.Cursor[Any]):
            def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
                name = named(query)
                kind = "commit" if name.lower() == "commit" else "statement"
                if not faults.step(kind, name):
                    return super().execute(query, params, **options)
                if faults._fault == "refused by the server":
                    return super().execute(_REFUSAL, prepare=False)
                if faults._fault == "connection lost before":
                    _cut(self.connection)
                    return super().execute(query, params, **options)
                super().execute(query, params, **options)
                _cut(self.connection)
                raise psycopg.OperationalError("server closed the connection unexpectedly")

            def copy(self, statement: Any, params: Any = None, **options: Any) -> Any:
                if faults.step("statement", named(statement)):
                    _cut(self.connection)
                return super().copy(statement, params, **options)

        class Session(real):  # type: ignore[misc]
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.cursor_factory = Cursor

            def _exec_command(self, command: Any, *args: Any, **options: Any) -> Any:
                name = named(command)
                kind = "commit" if name.lower() == "commit" else "statement"
                due = faults.step(kind, name)
                after = due and faults._fault == "connection lost after"
                if due and not after:
                    _cut(self)
                done = yield from super()._exec_command(command, *args, **options)
                if after:
                    _cut(self)
                    raise psycopg.OperationalError("server closed the connection unexpectedly")
                return done

        return Session


def _cut(conn: Any) -> None:
    """Cut the line of a connection: what is sent from here on arrives nowhere."""
    with socket.socket(fileno=os.dup(conn.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
