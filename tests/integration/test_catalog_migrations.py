"""Migrations that change rows: what an older catalog says is what the present one would have said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

import lakestore
from lakestore import Item, Lake, maintenance
from lakestore.catalog import sql

TABLES = ("files", "shared_rows", "dead_rows", "backtest_results", "deleted_results")
ORDERED = {"files": "file_id", "shared_rows": "write_id, file_id, first_row", "dead_rows": "file_id, task_id"}
_AT = datetime(2024, 5, 6, tzinfo=UTC)

# A catalog as schema version 6 had it, from the present one.
OLDER = {
    "data_files": (
        "file_id, path, table_name, strategy, run_date, rows, bytes, sha256, added_at, let_go_at",
        "SELECT * FROM data_files",
    ),
    "result_files": (
        "write_id, file_id, first_row, rows, task_id",
        "SELECT write_id, file_id, first_row, rows, task_id FROM result_files JOIN ("
        "SELECT write_id, task_id FROM backtest_results UNION SELECT write_id, task_id FROM deleted_results) v "
        "USING (write_id)",
    ),
    "dead_rows": ("file_id, task_id", "SELECT file_id, task_id FROM dead_rows"),
    "backtest_results": (
        "task_id, strategy, strategies, status, created_at, file_size, json_size, run_date, sha256, profile, fidelity, "
        "fidelity_bytes, write_id, replaces, saved_at, tables, params, metrics",
        "SELECT task_id, strategy, coalesce(strategies, ARRAY[strategy]), status, created_at, file_size, json_size, "
        "run_date, sha256, profile, fidelity, fidelity_bytes, write_id, replaces, saved_at, tables, params, metrics "
        "FROM backtest_results",
    ),
    "deleted_results": ("write_id, task_id, let_go_at, reason, row", "SELECT * FROM deleted_results"),
}


@pytest.fixture
def lake(tmp_path: Path, dsn: str) -> Iterator[Lake]:
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        yield lake


def _filled(lake: Lake) -> None:
    """Files of every kind: of one result, shared, compacted, let go, and of a strategy that is encoded in paths."""

    def document(number: int) -> dict[str, Any]:
        return {"a": [{"x": number + n} for n in range(3)], "b": [{"y": number / 4}], "c": [] if number % 2 else [{}]}

    for number, strategy in enumerate(("s", "a=b/策略", "s", "t")):
        lake.save(document(number), task_id=f"alone-{number}", strategy=strategy, created_at=_AT)
    items = [
        Item(document=document(n), task_id=f"shared-{n}", strategy="s" if n < 3 else "a b", created_at=_AT)
        for n in range(5)
    ]
    for outcome in lake.save_many(items):
        assert not isinstance(outcome, Exception)
    lake.delete("shared-1")
    lake.save(document(9), task_id="alone-0", strategy="s", created_at=_AT, replace=True)
    assert all(done.problem is None for done in maintenance.compact(lake, strategy="t"))


def _said(conn: psycopg.Connection[Any]) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table: conn.execute(
            f"SELECT * FROM {table} ORDER BY {ORDERED.get(table, 'write_id')}"  # type: ignore[arg-type]
        ).fetchall()
        for table in TABLES
    }


@pytest.mark.parametrize("rebuilding", [False, True])
def test_rows_of_an_older_catalog_become_what_they_would_be_today(lake: Lake, other_dsn: str, rebuilding: bool) -> None:
    _filled(lake)
    with psycopg.connect(lake.conninfo) as now, psycopg.connect(other_dsn) as older:
        for number in range(1, 7):
            older.execute(sql.migrations()[number])
        for table, (columns, query) in OLDER.items():
            rows = now.execute(query).fetchall()  # type: ignore[arg-type]
            assert rows, table
            marks = ", ".join(["%s"] * (columns.count(",") + 1))
            override = "OVERRIDING SYSTEM VALUE " if table == "data_files" else ""
            statement = f"INSERT INTO {table} ({columns}) {override}VALUES ({marks})"
            for row in rows:
                values = [Jsonb(value) if isinstance(value, dict) else value for value in row]
                older.execute(statement, values)  # type: ignore[arg-type]
        if rebuilding:
            guard = sql.queries()["rebuild_guard"].replace(b"ON files ", b"ON data_files ")
            older.execute(guard)
        older.execute(sql.migrations()[7])
        older.commit()
        assert _said(older) == _said(now)
        if rebuilding:
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="being rebuilt"):
                older.execute("DELETE FROM files")
            return
        made = older.execute(
            "INSERT INTO files (path, table_name, strategy, run_date, rows, bytes, sha256) "
            "SELECT 'x', 't', 's', now(), 0, 0, sha256 FROM files LIMIT 1 "
            "RETURNING file_id, (SELECT max(file_id) FROM files)"
        ).fetchone()
        assert made is not None and made[0] > made[1]
