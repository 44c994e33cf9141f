"""The embedded catalog server, with real processes: started once, shared, killed at every point, left to nobody."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from lakestore.catalog.embedded import EmbeddedServer
from tests.embedded import (
    LIGHT,
    User,
    eventually,
    needs_linux,
    one,
    postmaster,
    postmasters,
    processes,
    python_path,
    supervisor,
    write,
)

pytestmark = needs_linux


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
