"""A pooler between lakestore and its server, which gives each transaction whatever session is free."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

import lakestore
from lakestore import Lake
from lakestore.catalog import connect
from lakestore.catalog.sql import queries
from tests.lake_state import check, document


def prepared(lake: Lake) -> int:
    """Statements that a session of the lake holds prepared."""
    with lake.parts().catalog.upkeep._connections.take() as conn:
        found = conn.execute("SELECT count(*)::int FROM pg_prepared_statements", prepare=False).fetchone()
    return int(found[0]) if found else 0


def test_nothing_is_prepared_where_another_session_answers_than_the_one_that_was_connected(
    tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lakestore.open(tmp_path / "direct", dsn=dsn) as lake:
        lake.save(document("a"), task_id="a")
        assert prepared(lake) > 0
    # Poolers make up what they tell a client of its session, so another one answers.
    session = queries()["session"].replace(b"pg_backend_pid()", b"pg_backend_pid() + 1")
    monkeypatch.setattr(connect, "queries", lambda: {**queries(), "session": session})
    with lakestore.open(tmp_path / "direct", dsn=dsn) as lake:
        lake.save(document("b"), task_id="b")
        lake.delete("a")
        check(lake, {"b": document("b")})
        assert prepared(lake) == 0


def test_the_session_that_answers_is_known_without_a_pooler(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT pg_backend_pid()").fetchone() == (conn.info.backend_pid,)
