"""Files are left out by the statistics of their results: fewer are read, and every answer stays the same."""

from __future__ import annotations

import math
import os
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import lakestore
from lakestore import Item, Lake, maintenance
from lakestore.catalog import skipping
from tests.query_lake import needed

NAN = math.nan


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful of files is worth telling apart."""
    monkeypatch.setattr(skipping, "_FEW", 0)


def save(lake: Lake, task_id: str, *rows: Any) -> None:
    records = [row if isinstance(row, dict) else {"x": row} for row in rows]
    lake.save({"strategy": "s", "created_at": "2024-01-01", "t": records}, task_id=task_id)


def read(lake: Lake, sql: str) -> int:
    """How many files of the table a statement reads; its answer is that of all files."""
    snapshot = lake._snapshot_for(needed(sql))
    with lake.connect() as con:
        expected = con.execute(sql).fetchall()
    assert sorted(map(repr, lake.sql(sql).fetchall())) == sorted(map(repr, expected)), sql
    return len([file for file in snapshot.files if file.table == "t"])


def test_only_files_with_numbers_in_the_range_are_read(lake: Lake) -> None:
    for number in range(4):
        save(lake, f"a{number}", 10 * number, 10 * number + 5.5)
    for late in range(2):
        assert read(lake, "SELECT x FROM t WHERE x > 25") == 2 + late
        assert read(lake, "SELECT x FROM t WHERE x >= 25.5") == 2 + late
        assert read(lake, "SELECT x FROM t WHERE 9 > x") == 1
        assert read(lake, "SELECT x FROM t WHERE X = 10") == 1
        assert read(lake, "SELECT x FROM t WHERE x IN (10, 15.5)") == 1
        assert read(lake, "SELECT x FROM t WHERE x BETWEEN 12 AND 22") == 2
        assert read(lake, "SELECT x FROM t WHERE x < 5 OR x > 1e3") == 4 + late
        assert read(lake, "SELECT x FROM t WHERE x > 1_000") == 0
        joined = "SELECT t.x FROM t JOIN results r USING (task_id) WHERE t.x > 25 AND r.status = 'completed'"
        assert read(lake, joined) == 2 + late
        save(lake, f"late {late}", 99)


def test_what_is_not_understood_reads_every_file(lake: Lake) -> None:
    for number in range(3):
        save(lake, f"a{number}", number)
    for where in (
        "x > 5 OR x IS NULL", "NOT (x < 5 OR x < 2)", "abs(x) > 5", "x > '5'", "x + 0 > 5", "task_id > 'b' OR x > 5"
    ):  # fmt: skip
        assert read(lake, f"SELECT count(*) FROM t WHERE {where}") == 3, where
    assert read(lake, "SELECT count(*) FROM t LEFT JOIN t u ON t.x = u.x WHERE u.x > 5") == 3
    assert read(lake, "SELECT count(*) FROM t WHERE EXISTS (SELECT * FROM results r WHERE t.x > 5)") == 3
    assert read(lake, "SELECT (SELECT count(*) FROM results WHERE x > 5) FROM t") == 3


def test_nan_null_and_what_stands_beside_a_column_are_kept_apart(lake: Lake) -> None:
    save(lake, "nan", NAN, 1.0)
    save(lake, "all nan", NAN)
    save(lake, "null", None, {"y": 1})
    save(lake, "text", "7", 1)
    save(lake, "number", 2.5)
    assert read(lake, "SELECT task_id, x FROM t WHERE x > 100") == 3
    assert read(lake, "SELECT task_id, x FROM t WHERE x < 2") == 3
    assert read(lake, "SELECT task_id, x FROM t WHERE x = 2.5") == 3


def test_a_column_of_integers_that_becomes_one_of_doubles_is_told_apart(lake: Lake) -> None:
    save(lake, "a", 2**53 - 1, 5)
    save(lake, "b", 0.5)
    assert read(lake, "SELECT x FROM t WHERE x > 1") == 1
    assert read(lake, f"SELECT x FROM t WHERE x = {2**53 - 1}") == 1
    assert read(lake, f"SELECT x FROM t WHERE x > {2**53 - 2}.5") == 1


def test_results_without_statistics_keep_their_file(lake: Lake, dsn: str) -> None:
    save(lake, "old", 1)
    save(lake, "new", 1)
    with psycopg.connect(dsn) as conn:
        conn.execute("UPDATE backtest_results SET stats = NULL WHERE task_id = 'old'")
    assert read(lake, "SELECT x FROM t WHERE x > 5") == 1


def test_a_shared_file_is_kept_for_any_of_its_results(lake: Lake) -> None:
    documents = [{"strategy": "s", "created_at": "2024-01-01", "t": [{"x": number}]} for number in (1, 5, 9)]
    lake.save_many([Item(document=each, task_id=f"b{place}") for place, each in enumerate(documents)])
    save(lake, "a", 3)
    assert read(lake, "SELECT x FROM t WHERE x = 5") == 1
    assert read(lake, "SELECT x FROM t WHERE x = 7") == 1
    lake.delete("b2")
    with lakestore.open(lake.root, dsn=lake.conninfo) as fresh:
        # Of rows that are dead nobody asks, and what a lake knows already holds all the same.
        assert read(fresh, "SELECT x FROM t WHERE x = 7") == 0
        assert read(lake, "SELECT x FROM t WHERE x = 7") == 1
    assert any(done.into for done in maintenance.compact(lake))
    assert read(lake, "SELECT x FROM t WHERE x = 7") == 0
    assert read(lake, "SELECT x FROM t WHERE x = 5") == 1


def test_what_was_learnt_of_many_files_is_put_together(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipping, "_BLOCKS", 2)
    for number in range(6):
        save(lake, f"a{number}", {"x": number, f"y{number % 3}": number})
        assert read(lake, f"SELECT count(*) FROM t WHERE x >= {number}") == 1
    assert read(lake, "SELECT count(*) FROM t WHERE y1 = 4 AND x > 0") == 5
    monkeypatch.setattr(skipping, "_MOST", 3)
    save(lake, "late", 7)
    for _ in range(2):
        assert read(lake, "SELECT count(*) FROM t WHERE x > 4.5") == 2


numbers = st.one_of(
    st.integers(-20, 20),
    st.integers(-20, 20).map(lambda number: number / 4),
    st.sampled_from([NAN, math.inf, -math.inf, -0.0, 2**53, -(2**53), 2**60, 1e300, None, "text", True]),
)
constants = st.sampled_from(["0", "-1.25", "3", "2.5", "1e3", "9007199254740993", "-0.0", "1e300", "1e-300"])
compared = st.one_of(
    st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(["<", "<=", ">", ">=", "=", "<>"]), constants).map(" ".join),
    st.tuples(constants, constants).map(lambda two: f"x BETWEEN {two[0]} AND {two[1]}"),
    st.tuples(constants, constants).map(lambda two: f"y IN ({two[0]}, {two[1]}, NULL)"),
)
wheres = st.recursive(
    compared, lambda inner: st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda p: f"({' '.join(p)})")
)
_COUNTS = count()


@settings(
    deadline=None,
    max_examples=int(os.environ.get("LAKESTORE_EXAMPLES", "20")),
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=3), st.lists(wheres, min_size=4, max_size=4))
def test_every_answer_stays_the_same(lake: Lake, rows: list[tuple[Any, Any]], asked: list[str]) -> None:
    save(lake, f"drawn {next(_COUNTS)}", *({"x": x, "y": y} for x, y in rows))
    for where in asked:
        read(lake, f"SELECT task_id, x, y FROM t WHERE {where}")
