"""Migrations that change rows: what an older catalog says is what the present one would have said."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from lakestore import Item, Lake, maintenance
from lakestore.catalog import sql
from lakestore.codec.statistics import by_symbol, stats, sums
from tests import older_stats

TABLES = ("files", "shared_rows", "dead_rows", "backtest_results", "deleted_results", "run_stats")
ORDERED = {
    "files": "file_id",
    "shared_rows": "write_id, file_id, first_row",
    "dead_rows": "file_id, task_id",
    "run_stats": "write_id, table_name",
}
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


def _filled(lake: Lake) -> None:
    """Files of every kind: of one result, shared, compacted, let go, and of a strategy that is encoded in paths."""

    def document(number: int) -> dict[str, Any]:
        rows = [{"x": number + n, "symbol": "AB"[n % 2]} for n in range(3)]
        return {"a": rows, "b": [{"y": number / 4, "z": 0.1 + number / 3}], "c": [] if number % 2 else [{}]}

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


def _said(conn: psycopg.Connection[Any]) -> dict[str, list[dict[str, Any]]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return {
            table: cursor.execute(
                f"SELECT * FROM {table} ORDER BY {ORDERED.get(table, 'write_id')}"  # type: ignore[arg-type]
            ).fetchall()
            for table in TABLES
        }


def _numbers(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What the statistics in rows of `backtest_results` say, which are taken out of them."""
    packed = [row.pop("stats") or b"" for row in rows]
    return list(zip(*map(np.ndarray.tolist, stats.read(b"".join(packed), list(map(len, packed)))), strict=True))


def _older_stats(now: psycopg.Connection[Any], older: psycopg.Connection[Any]) -> None:
    """The statistics of `now` as schema version 6 had them."""
    for row in _said(now)["backtest_results"]:
        write_id, told = row["write_id"], _numbers([row])
        names = dict(now.execute("SELECT field_id, table_name FROM lake_columns").fetchall())
        kept = dict(
            now.execute("SELECT table_name, by_symbol FROM run_stats WHERE write_id = %s", [write_id]).fetchall()
        )
        tables: dict[str, list[tuple[Any, ...]]] = {}
        for each in told:
            tables.setdefault(names[each[3]], []).append(each)
        for table, columns in tables.items():
            packed = older_stats.second_form(
                columns[0][1], *((*c[3:6], *map(_number, [c[5]] * 3, c[6:])) for c in columns)
            )
            older.execute("INSERT INTO run_stats VALUES (%s, %s, %s, %s)", [write_id, table, packed, kept.get(table)])
    let_go = now.execute(
        "SELECT write_id, table_name, '\\x00'::bytea, by_symbol FROM run_stats JOIN deleted_results USING (write_id)"
    ).fetchall()
    assert let_go
    for row in let_go:
        older.execute("INSERT INTO run_stats VALUES (%s, %s, %s, %s)", row)


def _number(scale: int, bits: int) -> float:
    return struct.unpack("<d", struct.pack("<q", bits))[0] if scale == sums.DOUBLES else bits


@pytest.mark.parametrize("rebuilding", [False, True])
def test_rows_of_an_older_catalog_become_what_they_would_be_today(
    lake: Lake, other_dsn: str, rebuilding: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_symbol, "SHARE", 100.0)
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
        _older_stats(now, older)
        if rebuilding:
            guard = sql.queries()["rebuild_guard"].replace(b"ON files ", b"ON data_files ")
            older.execute(guard)
        for number in range(7, max(sql.migrations()) + 1):
            older.execute(sql.migrations()[number])
        older.commit()
        said, expected = _said(older), _said(now)
        told = _numbers(expected["backtest_results"])
        assert {each[2] for each in told} == {0, 2}
        assert _numbers(said["backtest_results"]) == told
        assert said == expected
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


def test_a_files_name_tells_when_it_was_added(lake: Lake) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    _filled(lake)
    with psycopg.connect(lake.conninfo) as conn:
        conn.execute(
            "INSERT INTO files (path, table_name, strategy, run_date, rows, bytes, sha256, added_at) "
            "SELECT 'x', 't', 's', now(), 0, 0, sha256, %s FROM files LIMIT 1",
            [_AT],
        )
        times = [row[0] for row in conn.execute("SELECT added_at FROM data_files").fetchall()]
    assert min(times) == _AT
    assert all(before <= each <= datetime.now(UTC) for each in times if each != _AT)
