"""The embedded catalog server in odd folders and of several users: who may come in, and as whom it runs."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import psycopg
import pytest

from lakestore.catalog.embedded import EmbeddedServer, psql_path
from lakestore.errors import CatalogError
from tests.embedded import (
    NOBODY,
    User,
    as_nobody,
    connects,
    logs_in,
    needs_linux,
    needs_root,
    one,
    postmaster,
    postmasters,
    processes,
    python_of_nobody,
)

pytestmark = needs_linux


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
def test_a_copy_that_kept_no_owners_is_told_how_to_copy(catalog: Path, tmp_path: Path) -> None:
    with EmbeddedServer.attach(catalog):
        pass
    copied = tmp_path / "copied"
    shutil.copytree(catalog, copied, ignore=lambda _, names: [name for name in names if name.endswith(".lock")])
    with pytest.raises(CatalogError, match=r"copied/data belongs to root, .* 'cp -a', or remove .*/copied while"):
        EmbeddedServer.attach(copied)


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
