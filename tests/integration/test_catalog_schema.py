"""The catalog's schema: made, compared with the migrations, upgraded, refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from lakestore.catalog import Catalog, schema, sql
from lakestore.errors import CatalogError

LAST = max(sql.migrations())
COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
       a.attcollation::regcollation::text, pg_get_expr(d.adbin, d.adrelid),
       col_description(c.oid, a.attnum), obj_description(c.oid)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (c.oid, a.attnum)
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY 1, a.attnum
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
THE_QUERY = """
SELECT task_id, strategy, status, created_at, file_size FROM backtest_results
WHERE created_at > NOW() - INTERVAL '7 days' ORDER BY created_at DESC LIMIT 100
"""


def describe(dsn: str) -> list[list[tuple[Any, ...]]]:
    with psycopg.connect(dsn) as conn:
        return [conn.execute(query).fetchall() for query in (COLUMNS, CONSTRAINTS, INDEXES)]


def test_migrations_in_order_make_the_schema(dsn: str, other_dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute(sql.schema())
    with psycopg.connect(other_dsn) as conn:
        for step in sql.migrations().values():
            conn.execute(step)
    assert describe(dsn) == describe(other_dsn)
    assert len(describe(dsn)[0]) > 50


def test_migrations_are_numbered_without_a_gap() -> None:
    assert list(sql.migrations()) == list(range(1, len(sql.migrations()) + 1))


def test_every_table_and_column_is_explained(catalog: Catalog, dsn: str) -> None:
    unexplained = [row[:2] for row in describe(dsn)[0] if not row[-1] or not row[-2]]
    assert unexplained == []


def test_statements_without_heading_or_with_unknown_part_do_not_exist() -> None:
    named = sql.parse("-- name: part\na, b\n\n-- name: whole\n-- said of it\nSELECT {part} FROM t\n")
    assert named == {"part": b"a, b", "whole": b"SELECT a, b FROM t"}
    assert b"{" not in b"".join(sql.queries().values())


def test_the_design_query_is_answered_from_its_index(catalog: Catalog, dsn: str, make_save: Callable[..., Any]) -> None:
    now = datetime.now(UTC)
    for task_id, age in [("old", 8), ("new", 1), ("newer", 0)]:
        save = make_save(task_id, created_at=now - timedelta(days=age))
        catalog.commit([save.result], save.files)
    with psycopg.connect(dsn) as conn:
        rows = conn.execute(THE_QUERY).fetchall()
        assert [row[0] for row in rows] == ["newer", "new"]
        assert rows[0][1:3] == ("sma", "completed")
        assert rows[0][4] == 2000
        conn.execute("SET enable_seqscan = off")
        explained = "\n".join(row[0] for row in conn.execute("EXPLAIN " + THE_QUERY))
        assert "idx_backtest_results_created_at" in explained


def test_processes_that_open_an_empty_database_at_once_make_one_catalog(
    open_catalog: Callable[..., Catalog], dsn: str
) -> None:
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            open_catalog()
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*), max(version) FROM lakestore_schema").fetchone() == (1, LAST)
        assert conn.execute("SELECT count(*) FROM lake").fetchone() == (1,)


def test_another_lakes_catalog_is_refused_and_both_are_named(
    catalog: Catalog, open_catalog: Callable[..., Catalog], lake_id: UUID
) -> None:
    other = uuid4()
    with pytest.raises(CatalogError) as caught:
        open_catalog(lake_id=other)
    assert str(other) in str(caught.value)
    assert str(lake_id) in str(caught.value)


def test_a_catalog_that_stores_otherwise_is_refused_but_its_partitions_count(
    catalog: Catalog, open_catalog: Callable[..., Catalog]
) -> None:
    assert open_catalog(partition="month").partition == "day"
    with pytest.raises(CatalogError, match="double"):
        open_catalog(numbers="double")


def test_a_newer_schema_is_refused(catalog: Catalog, open_catalog: Callable[..., Catalog], dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("INSERT INTO lakestore_schema (version) VALUES (99)")
    with pytest.raises(CatalogError, match=r"schema version 99.*upgrade lakestore"):
        open_catalog()


def test_a_newer_format_is_refused(catalog: Catalog, open_catalog: Callable[..., Catalog], dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("UPDATE lake SET format_version = 99")
    with pytest.raises(CatalogError, match=r"format version 99.*upgrade lakestore"):
        open_catalog()


def test_an_empty_database_stays_empty_where_nothing_may_be_made(
    open_catalog: Callable[..., Catalog], dsn: str
) -> None:
    with pytest.raises(CatalogError, match=r"holds no catalog.*--rebuild"):
        open_catalog(create=False)
    assert describe(dsn) == [[], [], []]


def test_a_database_with_tables_of_others_is_refused_and_untouched(
    open_catalog: Callable[..., Catalog], dsn: str
) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("CREATE TABLE backtest_results (mine int)")
    before = describe(dsn)
    with pytest.raises(CatalogError, match="a database of its own"):
        open_catalog()
    assert describe(dsn) == before


def test_a_database_that_cannot_hold_every_text_is_refused(dsn: str, open_catalog: Callable[..., Catalog]) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE DATABASE ascii_only ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        try:
            with pytest.raises(CatalogError, match="SQL_ASCII"):
                open_catalog(make_conninfo(dsn, dbname="ascii_only"))
        finally:
            conn.execute("DROP DATABASE ascii_only WITH (FORCE)")


def test_an_older_catalog_is_upgraded_and_keeps_its_results(
    catalog: Catalog,
    open_catalog: Callable[..., Catalog],
    make_save: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    dsn: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    save = make_save("a")
    catalog.commit([save.result], save.files)
    steps = {
        **sql.migrations(),
        LAST + 1: b"ALTER TABLE lake ADD COLUMN note text; UPDATE lake SET note = 'next'",
        LAST + 2: b"SELECT 1",
    }
    monkeypatch.setattr(schema, "migrations", lambda: steps)
    assert open_catalog().get("a") == catalog.get("a")
    (message,) = caplog.messages
    assert f"upgraded from schema version {LAST} to {LAST + 2}" in message
    open_catalog()
    assert len(caplog.messages) == 1
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT note FROM lake").fetchone() == ("next",)
        versions = conn.execute("SELECT version FROM lakestore_schema ORDER BY 1").fetchall()
        assert versions == [(LAST,), (LAST + 1,), (LAST + 2,)]


def test_an_upgrade_that_fails_leaves_the_catalog_as_it_was(
    catalog: Catalog, open_catalog: Callable[..., Catalog], monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    before = describe(dsn)
    steps = {**sql.migrations(), LAST + 1: b"ALTER TABLE lake ADD COLUMN note text", LAST + 2: b"SELECT no_such_thing"}
    monkeypatch.setattr(schema, "migrations", lambda: steps)
    with pytest.raises(CatalogError, match="no_such_thing"):
        open_catalog()
    assert describe(dsn) == before
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT max(version) FROM lakestore_schema").fetchone() == (LAST,)
