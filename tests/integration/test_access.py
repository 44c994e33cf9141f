"""Who may do what: roles of the catalog, secrets that nobody sees, and SQL that tries to get out of a real lake."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import lakestore
from lakestore import Item, Lake
from lakestore.catalog import sql as catalog_sql
from lakestore.catalog.embedded import EmbeddedServer
from lakestore.cli.app import run
from lakestore.errors import CatalogError, LakestoreError, QueryError
from lakestore.maintenance.restore import restore, versions
from lakestore.maintenance.vacuum import vacuum
from lakestore.maintenance.verify import verify
from tests.lake_state import check, document

SECRET = "top-secret-password"
TEXTS = {task_id: document(task_id) for task_id in ("a", "b")}


@pytest.fixture(scope="module")
def postgres(fast_folder: str) -> Iterator[str]:
    """A server that may be told to make roles: the role of an embedded one can neither do that nor become another."""
    given = os.environ.get("LAKESTORE_TEST_DSN")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="lakestore-test-", dir=fast_folder) as name:
        folder = Path(name, "catalog")
        with EmbeddedServer.attach(folder) as server:
            ident = folder / "pg_ident.conf"
            ident.write_text(ident.read_text() + ident.read_text().replace(" lakestore\n", " postgres\n"))
            (folder / "pg_hba.conf").write_text("local all all peer map=lakestore\n")
            os.kill(int((folder / "data/postmaster.pid").read_text().splitlines()[0]), signal.SIGHUP)
            root = make_conninfo(server.conninfo, user="postgres")
            deadline = time.monotonic() + 10
            while not reachable(root):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield root


def reachable(conninfo: str) -> bool:
    try:
        psycopg.connect(conninfo).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def lake(tmp_path: Path, dsn: str) -> Iterator[Lake]:
    """A lake with two results and one that was deleted, its roles made."""
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        for task_id, text in {**TEXTS, "gone": document("gone")}.items():
            lake.save(text, task_id=task_id)
        lake.delete("gone")
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(catalog_sql.roles())
            # Again: nothing is in the way the second time.
            conn.execute(catalog_sql.roles())
        yield lake
    with psycopg.connect(dsn, autocommit=True) as conn:
        for role in ("reader", "writer"):
            name = sql.Identifier(name_of(dsn, role))
            conn.execute(sql.SQL("DROP OWNED BY {}").format(name))
            conn.execute(sql.SQL("DROP ROLE {}").format(name))


def name_of(dsn: str, role: str) -> str:
    return f"{psycopg.conninfo.conninfo_to_dict(dsn)['dbname']}_{role}"


def as_role(dsn: str, role: str) -> str:
    """A connection string whose sessions have the rights of a role and no others."""
    return make_conninfo(dsn, options=f"-c role={name_of(dsn, role)}")


@pytest.fixture
def reader(lake: Lake, dsn: str) -> Iterator[Lake]:
    with lakestore.open(lake.root, dsn=as_role(dsn, "reader"), create=False) as reader:
        yield reader


def state(lake: Lake) -> tuple[Any, ...]:
    """All rows of the catalog, and every file of the lake."""
    with psycopg.connect(lake.conninfo) as conn:
        tables = conn.execute("SELECT relname FROM pg_stat_user_tables ORDER BY 1").fetchall()
        rows = [
            conn.execute(sql.SQL("SELECT * FROM {} ORDER BY 1, 2").format(sql.Identifier(name))).fetchall()
            for (name,) in tables
        ]
    files = sorted((str(path), path.stat().st_size) for path in lake.root.rglob("*") if path.is_file())
    return tables, rows, files


def test_a_reader_can_do_everything_that_reads(lake: Lake, reader: Lake) -> None:
    before = state(lake)
    check(reader, TEXTS)
    assert reader.info("a").task_id == "a" and reader.exists("b") and not reader.exists("gone")
    assert len(reader.results(strategy="sma", limit=1)) == 1
    assert reader.load("a").tables["signals"].num_rows == 5
    con = reader.connect()
    reader.refresh(con)
    assert con.execute("SELECT count(*) FROM results").fetchall() == [(2,)]
    con.close()
    assert reader.sql("SELECT count(*) FROM signals", untrusted=True).fetchall() == [(10,)]
    assert len(reader.files()) == 6 and set(reader.tables()) == {"signals", "trades"}
    assert {each.name for each in reader.doctor() if not each.ok} == set()
    assert [each.problem for each in verify(reader)] == [None, None]
    assert [each.info.task_id for each in versions(reader, "gone")] == ["gone"]
    assert len(vacuum(reader, older_than=timedelta(), dry_run=True).files) == 3
    assert state(lake) == before


WRITES: dict[str, Callable[[Lake], object]] = {
    "save": lambda lake: lake.save(document("new"), task_id="new"),
    "save with a new column": lambda lake: lake.save({"strategy": "s", "signals": [{"other": 1}]}),
    "save with a new table": lambda lake: lake.save({"strategy": "s", "orders": [{"n": 1}]}),
    "save many": lambda lake: refuse(lake.save_many([Item(document=document("new"), task_id="new")])),
    "replace": lambda lake: lake.save(document("a", 1), task_id="a", replace=True),
    "delete": lambda lake: lake.delete("a"),
    "restore": lambda lake: restore(lake, "gone"),
    "vacuum": lambda lake: vacuum(lake, older_than=timedelta()),
}


def refuse(outcomes: list[Any]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, LakestoreError):
            raise outcome


@pytest.mark.parametrize("write", WRITES)
def test_a_reader_can_change_nothing(lake: Lake, reader: Lake, write: str) -> None:
    before = state(lake)
    with pytest.raises(CatalogError, match="the role lacks a privilege: ask the owner"):
        WRITES[write](reader)
    assert state(lake) == before


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO migrated_files SELECT * FROM migrated_files",
        "UPDATE backtest_results SET status = 'x'",
        "DELETE FROM files",
        "TRUNCATE shared_rows",
        "DROP TABLE dead_rows",
        "ALTER TABLE lake ADD COLUMN x integer",
        "CREATE TABLE x (y integer)",
        "CREATE TEMPORARY TABLE x (y integer)",
        "CREATE SCHEMA x",
        "CREATE INDEX ON backtest_results (status)",
        "SELECT * FROM backtest_results FOR UPDATE",
        "DO $$ BEGIN LOCK TABLE backtest_results IN EXCLUSIVE MODE; END $$",
        "COPY backtest_results TO PROGRAM 'cat'",
        "COPY backtest_results TO '/tmp/x'",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT lo_import('/etc/passwd')",
        "ALTER SYSTEM SET fsync = off",
        "SELECT rolpassword FROM pg_authid",
    ],
)
def test_a_reader_s_session_can_do_nothing_but_read(lake: Lake, dsn: str, statement: str) -> None:
    with psycopg.connect(as_role(dsn, "reader"), autocommit=True) as conn:
        assert conn.execute("SELECT count(*) FROM backtest_results").fetchone() == (2,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement)  # type: ignore[call-overload]


def test_a_writer_can_do_all_but_change_the_catalog_itself(lake: Lake, dsn: str) -> None:
    with lakestore.open(lake.root, dsn=as_role(dsn, "writer"), create=False) as writer:
        for write in WRITES.values():
            write(writer)
        assert writer.exists("gone") and not writer.exists("a")
    with psycopg.connect(as_role(dsn, "writer"), autocommit=True) as conn:
        for statement in (
            "UPDATE lake SET lake_id = gen_random_uuid()",
            "DELETE FROM lake",
            "INSERT INTO lakestore_schema (version) VALUES (99)",
            "DROP TABLE dead_rows",
            "ALTER TABLE lake ADD COLUMN x integer",
            "TRUNCATE backtest_results",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)


def test_a_role_without_any_right_is_told_so(lake: Lake, dsn: str) -> None:
    name = f"{name_of(dsn, 'nobody')}"
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        try:
            with pytest.raises(CatalogError, match="lakestore catalog roles"):
                lakestore.open(lake.root, dsn=as_role(dsn, "nobody"), create=False)
        finally:
            conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_roles_are_printed_as_sql(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["catalog", "roles"]) == 0
    assert "_reader" in capfd.readouterr().out


def test_a_server_without_fsync_or_waiting_commits_is_told_by_log_and_doctor(
    lake: Lake, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = make_conninfo(dsn, options="-c synchronous_commit=off")
    with caplog.at_level(logging.WARNING), lakestore.open(lake.root, dsn=options) as told:
        assert {each.name for each in told.doctor() if not each.ok} == {"catalog synchronous_commit"}
    (line,) = [record.getMessage() for record in caplog.records]
    assert "has synchronous_commit off" in line and "lakestore doctor" in line
    caplog.clear()
    lakestore.open(lake.root, dsn=dsn).close()
    assert caplog.records == []


# ---- secrets


def test_a_password_is_in_no_message_log_or_title(
    lake: Lake, dsn: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = make_conninfo(dsn, password=SECRET)
    seen = []
    with caplog.at_level(logging.DEBUG), lakestore.open(lake.root, dsn=secret, create=False) as told:
        seen += [repr(told), str(told.doctor()), told.parts().catalog.place]
        told.save(document("c"), task_id="c")
        for call in (lambda: told.save(b"[", task_id="x"), lambda: told.load("x"), lambda: told.sql("SELECT x")):
            with pytest.raises(LakestoreError) as caught:
                call()
            seen.append(repr(caught.getrepr(style="long", showlocals=False)))
        with psycopg.connect(dsn, autocommit=True) as conn:
            titles = conn.execute("SELECT application_name, query FROM pg_stat_activity").fetchall()
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        seen.append(str(titles))
    with pytest.raises(CatalogError) as refused:
        lakestore.open(lake.root, dsn=make_conninfo(secret, dbname="no_such_database"), create=False)
    seen += [str(refused.value), str(refused.value.__cause__), caplog.text]
    assert not [text for text in seen if SECRET in text]


def test_a_password_is_in_the_title_of_no_process_that_is_started(lake: Lake, dsn: str) -> None:
    environment = {**os.environ, "LAKESTORE_DSN": make_conninfo(dsn, password=SECRET), "LAKESTORE_LAKE": str(lake.root)}
    command = [sys.executable, "-m", "lakestore", "catalog", "psql", "-c", "SELECT pg_sleep(2)"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    titles = []
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                titles.append(entry.read_bytes())
            except OSError:
                continue
        time.sleep(0.02)
    _, errors = process.communicate()
    if b"there is no psql on this machine" not in errors:
        assert process.returncode == 0, errors
        assert any(b"pg_sleep(2)" in title for title in titles)
    assert not [title for title in titles if SECRET.encode() in title]


# ---- out of a real lake


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with lakestore.open(tmp_path_factory.mktemp("access") / "lake", dsn="") as lake:
        lake.save(TEXTS["a"], task_id="a")
        yield lake


BREAK_OUTS = [
    "SELECT * FROM read_text('{lake}/_lakestore/lake.json')",
    "SELECT * FROM read_text('{lake}/_lakestore/catalog/pg_hba.conf')",
    "SELECT * FROM read_blob('{lake}/_lakestore/catalog/data/base/**')",
    "SELECT * FROM read_blob('{lake}/results/**/*.parquet')",
    "SELECT * FROM glob('{lake}/**')",
    "SELECT * FROM glob('{lake}/_lakestore/catalog/data/**')",
    "SELECT * FROM '{lake}/results/*/*/*.parquet'",
    "SELECT * FROM parquet_kv_metadata('{lake}/signals/*/*/*.parquet')",
    "SELECT * FROM postgres_scan('host={lake}/_lakestore/catalog/socket', 'public', 'lake')",
    "ATTACH 'host={lake}/_lakestore/catalog/socket' AS c (TYPE postgres)",
    "ATTACH '{lake}/_lakestore/x.duckdb'",
    "COPY (SELECT 1) TO '{lake}/_lakestore/lake.json'",
    "COPY results TO '{lake}/signals/x.parquet'",
    "SELECT * FROM signals; DELETE FROM results",
    "SELECT getenv('LAKESTORE_DSN')",
    "FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "WITH signals AS (FROM read_text('/etc/passwd')) FROM signals",
    "SELECT (FROM (FROM read_text('/etc/passwd')))",
    "FROM signals WHERE price = (SELECT 1 FROM '/etc/passwd')",
    'FROM "{lake}/_lakestore/lake.json"',
    "FROM duckdb_secrets()",
    "FROM pg_catalog.pg_class",
    "FROM information_schema.columns",
    "CREATE TABLE x AS FROM results",
    "SET memory_limit = '1TB'",
    "LOAD '{lake}/x.duckdb_extension'",
]


@pytest.mark.parametrize("attempt", BREAK_OUTS, ids=lambda text: ascii(text[:50]))
def test_sql_from_outside_does_not_get_out_of_a_real_lake(embedded: Lake, attempt: str) -> None:
    text = attempt.replace("{lake}", str(embedded.root))
    with pytest.raises(QueryError):
        embedded.sql(text, untrusted=True)
    environ = {"LAKESTORE_LAKE": str(embedded.root), "LAKESTORE_DSN": ""}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert run(["sql", "-"]) not in (0, 1, 2)
    check(embedded, {"a": TEXTS["a"]})
