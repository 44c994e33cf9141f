"""Fixtures for every test: a real Postgres for the session, a fresh empty database for a test, and a lake on it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import lakestore
from lakestore import Lake
from lakestore.catalog.embedded import EmbeddedServer
from tests.databases import drop


@pytest.fixture(scope="session")
def fast_folder() -> str:
    """Give a folder for clusters of tests: in memory where there is room, since each has 1,000 files."""
    memory = "/dev/shm"
    try:
        found = os.statvfs(memory)
    except OSError:
        return tempfile.gettempdir()
    roomy = found.f_bavail * found.f_frsize >= 1 << 30
    return memory if roomy and os.access(memory, os.W_OK) else tempfile.gettempdir()


@pytest.fixture(scope="session")
def postgres(fast_folder: str) -> Iterator[str]:
    """Give the conninfo of a server for the whole session: `LAKESTORE_TEST_DSN`, else an embedded one."""
    given = os.environ.get("LAKESTORE_TEST_DSN")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="lakestore-test-", dir=fast_folder) as folder:
        with EmbeddedServer.attach(Path(folder, "catalog")) as server:
            yield server.conninfo


@pytest.fixture
def dsn(postgres: str) -> Iterator[str]:
    """Give the conninfo of a fresh empty database, dropped after the test with whoever is still connected."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield make_conninfo(postgres, dbname=name)
        finally:
            drop(conn, name)


@pytest.fixture
def lake(tmp_path: Path, dsn: str) -> Iterator[Lake]:
    """Give a new lake in `tmp_path / "lake"`, open, its catalog in the test's database."""
    with lakestore.open(tmp_path / "lake", dsn=dsn) as opened:
        yield opened
