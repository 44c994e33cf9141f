"""Results, tables and files, listed by the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import duckdb
import pytest

from tests.command_line import RUN_A, Call, ids


def test_results_are_listed_newest_first(call: Call, lake: Path) -> None:
    lines = call("results").out.splitlines()
    assert lines[0].split() == ["task_id", "strategy", "status", "created_at", "json_size", "file_size"]
    assert lines[2].split()[:4] == ["b1", "revert", "completed", "2024-05-02T10:00:00Z"]
    assert lines[3].split()[:4] == ["a1", "breakout", "completed", "2024-05-01T10:00:00Z"]


def test_results_in_json_hold_what_the_catalog_knows(call: Call, lake: Path) -> None:
    (row,) = call("results", "--strategy", "breakout", "--format", "json").json()
    assert row["params"] == {"fast": 5, "slow": 20}
    assert row["metrics"] == {"sharpe": 1.25}
    assert row["tables"] == {"trades": 2}
    assert row["json_size"] == len(json.dumps(RUN_A))
    assert row["profile"] == "generic"
    assert set(row) == {
        "task_id", "strategy", "status", "created_at", "json_size", "file_size", "run_date", "strategies",
        "sha256", "profile", "fidelity", "fidelity_bytes", "saved_at", "tables", "params", "metrics",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--strategy revert", ["b1"]),
        ("--status failed", []),
        ("--since 2024-05-02", ["b1"]),
        ("--until 2024-05-02", ["a1"]),
        ("--since 7d", []),
        ("--limit 1", ["b1"]),
        ("--limit 1 --after b1", ["a1"]),
        ("--after a1", []),
    ],
)
def test_results_are_chosen_and_paged(call: Call, lake: Path, options: str, expected: list[str]) -> None:
    assert ids(call("results", "--format", "json", *options.split())) == expected


def test_a_note_says_what_the_limit_leaves_out(call: Call, lake: Path) -> None:
    assert call("results", "--limit", "1").err == (
        "note: there are more than these 1; --limit gives more, --after b1 the next\n"
    )
    assert call("results", "--limit", "2").err == call("results", "--limit", "1", "--after", "b1").err == ""


def test_a_time_that_is_none_is_refused(call: Call, lake: Path) -> None:
    done = call("results", "--since", "yesterday-ish")
    assert done.code == 3 and "yesterday-ish" in done.err


def test_tables_name_columns_types_and_keys(call: Call, lake: Path) -> None:
    rows = {(row["table"], row["column"]): row for row in call("tables", "--format", "json").json()}
    assert rows["trades", "pair"]["type"] == "VARCHAR"
    assert rows["trades", "pair"]["key"] == '"pair"'
    assert rows["trades", "pnl"]["type"] == "DOUBLE"
    assert rows["trades", "tags"]["type"] == "VARCHAR[]"
    assert call("tables", "trades", "--format", "json").json() == [
        row for (table, _), row in rows.items() if table == "trades"
    ]


def test_units_beside_decimals_are_no_column_of_their_own(call: Call, lake: Path, tmp_path: Path) -> None:
    prices = [math.nextafter(100 + n / 8, n % 3 * 100) for n in range(300)]
    (tmp_path / "run.json").write_text(
        json.dumps({"prices": [{"n": n, "x": x, "at": [{"x": x}]} for n, x in enumerate(prices)]})
    )
    assert call("save", str(tmp_path / "run.json"), "--strategy", "s").code == 0
    columns = [row["column"] for row in call("tables", "--format", "json").json() if row["table"] == "prices"]
    told = call("inspect", str(tmp_path / "run.json")).out
    assert columns == ["n", "x", "at"] and "ulps" not in told
    rows = call("sql", "FROM prices ORDER BY n", "--format", "json").json()
    assert [row["x"] for row in rows] == prices and [row["at"] for row in rows] == [[{"x": x}] for x in prices]
    refused = call("sql", "SELECT x__ulps FROM prices")
    assert refused.code and refused.err.endswith("columns of prices: task_id, strategy, run_date, n, x, at\n")


def test_files_are_absolute_and_other_tools_read_them(call: Call, lake: Path) -> None:
    paths = call("files", "--table", "trades").out.splitlines()
    assert len(paths) == 2
    assert all(Path(path).is_absolute() and Path(path).is_relative_to(lake) for path in paths)
    with duckdb.connect() as con:
        (total,) = con.execute("SELECT sum(pnl::DOUBLE) FROM read_parquet($1, union_by_name=true)", [paths]).fetchone()
    assert call("sql", "SELECT sum(pnl) AS total FROM trades", "--format", "json").json() == [{"total": total}]
    assert total == 13.75


def test_files_in_json_say_what_they_hold(call: Call, lake: Path) -> None:
    (row,) = call("files", "--table", "trades", "--strategy", "breakout", "--format", "json").json()
    path = Path(row.pop("path"))
    assert row == {
        "table": "trades", "strategy": "breakout", "run_date": "2024-05-01", "rows": 2,
        "bytes": path.stat().st_size, "dead": [],
    }  # fmt: skip


def test_a_table_that_is_not_there_is_not_an_empty_answer(call: Call, lake: Path) -> None:
    for command in (["files", "--table", "nothing"], ["tables", "nothing"], ["archive", "list", "nothing"]):
        done = call(*command)
        assert (done.code, done.out) == (4, "") and "nothing" in done.err
