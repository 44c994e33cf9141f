"""Users of the embedded catalog as processes of their own, and what runs for a catalog directory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from lakestore.catalog.embedded import EmbeddedServer
from lakestore.catalog.embedded.cluster import cluster_name
from lakestore.catalog.embedded.state import Paths

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[1]
NOBODY = 65534

needs_root = pytest.mark.skipif(not ROOT, reason="becomes another user, which only root can")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")

# What the rest of the package imports would take most of a user's time, so its `__init__` is left out.
LIGHT = f"""
import os, sys, types
from pathlib import Path
sys.modules["lakestore"] = types.ModuleType("lakestore")
sys.modules["lakestore"].__path__ = [{str(REPOSITORY / "lakestore")!r}]
"""

USER = f"""{LIGHT}
import psycopg
from lakestore.catalog.embedded import EmbeddedServer
server = EmbeddedServer.attach(Path(os.environ["CATALOG"]))
with psycopg.connect(server.conninfo) as conn:
    print(conn.execute("SELECT pg_postmaster_start_time()::text").fetchone()[0], flush=True)
sys.stdin.read()
server.close()
"""


class User:
    """A process of its own that uses the catalog until told to close, or killed."""

    def __init__(self, directory: Path, *, python: str = sys.executable, uid: int | None = None) -> None:
        # The directory goes through the environment: command lines with it are those of the server.
        self.process = subprocess.Popen(
            [python, "-c", USER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env={**os.environ, "CATALOG": str(directory), "PYTHONPATH": python_path()},
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )

    def started(self) -> str:
        """Wait until it is attached; return when its postmaster was started."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> int:
        self.process.communicate("")
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def python_path() -> str:
    return os.pathsep.join([str(REPOSITORY), str(Path(psycopg.__file__).parents[1])])


def processes(directory: Path) -> dict[int, str]:
    """Return the processes of the server of a directory: supervisor, postmaster and its children."""
    real = os.path.realpath(directory)
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                command = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if real in command or cluster_name(Paths(real)) in command:
                found[int(entry)] = command
    return found


def supervisor(directory: Path) -> int:
    (pid,) = [pid for pid, command in processes(directory).items() if "embedded.supervisor" in command]
    return pid


def postmaster(directory: Path) -> int:
    (pid,) = postmasters(directory)
    return pid


def postmasters(directory: Path) -> list[int]:
    found = {pid for pid, command in processes(directory).items() if "/postgres -D" in command}
    # A process that the postmaster has just forked still bears its name, and may be gone by now.
    return [pid for pid in found if parent(pid) not in (0, *found)]


def parent(pid: int) -> int:
    try:
        return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def eventually(fact: Callable[[], bool], *, seconds: float = 8.0) -> bool:
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def one(server: EmbeddedServer, query: str) -> object:
    with psycopg.connect(server.conninfo) as conn:
        row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def write(server: EmbeddedServer, *values: int) -> None:
    with psycopg.connect(server.conninfo) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        for value in values:
            conn.execute("INSERT INTO kept VALUES (%s)", [value])


def in_fork(act: Callable[[], object], *, uid: int | None = None) -> str:
    """Return what a forked child says, become another user first when one is given."""
    read, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if uid is not None:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            os.write(write_end, str(act()).encode())
        except BaseException as exc:
            os.write(write_end, repr(exc).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def as_nobody(act: Callable[[], str]) -> str:
    return in_fork(act, uid=NOBODY)


def connects(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError as exc:
            return type(exc).__name__
    return "connected"


def logs_in(conninfo: str) -> str:
    try:
        psycopg.connect(conninfo).close()
    except psycopg.Error as exc:
        return str(exc)
    return "connected"


def python_of_nobody() -> str:
    """Return a Python that user nobody can run with this repository and its packages."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        try:
            check = subprocess.run(
                [
                    python,
                    "-c",
                    f"{LIGHT}\nimport psycopg, lakestore.catalog.embedded as e\nopen(e.psql_path()).close()",
                ],
                env={**os.environ, "PYTHONPATH": python_path()},
                cwd="/",
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                capture_output=True,
            )
        except OSError:
            continue
        if check.returncode == 0:
            return python
    pytest.skip("user nobody can run no Python with these packages")
