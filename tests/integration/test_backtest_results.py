"""`backtest_results`, the catalog's name of the results, means the same in `lake.sql` and `lakestore sql`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import lakestore
from lakestore import Lake, maintenance
from lakestore.catalog import columns

QUERY = """SELECT task_id, strategy, status, created_at, file_size FROM backtest_results
    WHERE created_at > NOW() - INTERVAL '7 days' ORDER BY created_at DESC LIMIT 100"""


def fill(lake: Lake) -> None:
    now = datetime.now(UTC)
    for days in (1, 3, 9):
        run = {"strategy": "s", "trades": [{"pnl": float(days)}]}
        lake.save(run, task_id=f"r{days}", created_at=now - timedelta(days=days))


@pytest.mark.parametrize("untrusted", [False, True])
def test_the_query_that_every_user_starts_with(lake: Lake, untrusted: bool) -> None:
    fill(lake)
    answer = lake.sql(QUERY, untrusted=untrusted)
    assert answer.columns == ["task_id", "strategy", "status", "created_at", "file_size"]
    rows = answer.fetchall()
    assert [row[:3] for row in rows] == [("r1", "s", "completed"), ("r3", "s", "completed")]
    assert rows == lake.sql(QUERY.replace("backtest_results", "results"), untrusted=untrusted).fetchall()


@pytest.mark.parametrize("untrusted", [False, True])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM BACKTEST_RESULTS",
        "SELECT count(*) FROM (FROM backtest_results EXCEPT FROM results) RIGHT JOIN results USING (task_id)",
        "SELECT count(*) FROM backtest_results b JOIN trades t USING (task_id) WHERE b.created_at < now()",
        "WITH results AS (SELECT 1 AS x) SELECT count(*) FROM backtest_results",
        "WITH backtest_results AS (FROM trades) SELECT count(*) FROM backtest_results WHERE pnl > 0",
        "WITH b AS (FROM backtest_results) SELECT count(*) FROM b, results r WHERE b.task_id = r.task_id",
        "SELECT count(*) FROM (SELECT unnest(range(3))) WHERE EXISTS (FROM backtest_results)",
    ],
)
def test_it_is_the_results_wherever_it_stands(lake: Lake, sql: str, untrusted: bool) -> None:
    fill(lake)
    assert lake.sql(sql, untrusted=untrusted).fetchall() == [(3,)]


def test_it_is_described_listed_and_renewed_as_results_are(lake: Lake) -> None:
    with lake.connect() as con:
        assert con.execute("SELECT count(*) FROM backtest_results").fetchall() == [(0,)]
        fill(lake)
        lake.refresh(con)
        assert [row[0] for row in con.cursor().execute(QUERY).fetchall()] == ["r1", "r3"]
        assert ("backtest_results",) in con.execute("SHOW TABLES").fetchall()
    assert lake.sql("DESCRIBE backtest_results").fetchall() == lake.sql("DESCRIBE results").fetchall()
    with pytest.raises(lakestore.QueryError, match="columns of results: task_id, strategy"):
        lake.sql("SELECT profit FROM backtest_results")


def test_a_record_table_of_that_name_stands_apart(lake: Lake) -> None:
    info = lake.save({"strategy": "s", "backtest_results": [{"x": 1}]}, task_id="a")
    assert dict(info.tables) == {"backtest_results__2": 1}
    assert lake.sql("SELECT x FROM backtest_results__2").fetchall() == [(1,)]
    assert lake.sql("SELECT task_id FROM backtest_results").fetchall() == [("a",)]


def test_an_older_lakes_table_of_that_name_keeps_it(lake: Lake, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.setattr(columns, "CATALOG_NAME", "results")
        lake.save({"strategy": "s", "backtest_results": [{"created_at": "2020-01-01", "x": 1}]}, task_id="a")
    lake.save({"strategy": "s", "backtest_results": [{"created_at": "2020-01-01", "x": 2}]}, task_id="b")
    joined = "SELECT count(*) FROM backtest_results b JOIN results USING (task_id) WHERE b.created_at < '2021-01-01'"

    def check(lake: Lake) -> None:
        for untrusted in (False, True):
            # The records' own created_at says nothing of when a result was made.
            for sql in ("SELECT count(*) FROM backtest_results WHERE created_at < '2021-01-01'", joined):
                assert lake.sql(sql, untrusted=untrusted).fetchall() == [(2,)]
            assert lake.sql("SELECT x FROM backtest_results WHERE x > 1", untrusted=untrusted).fetchall() == [(2,)]
            assert lake.sql("SELECT count(*) FROM results", untrusted=untrusted).fetchall() == [(2,)]
        with lake.connect() as con:
            assert con.execute("SELECT sum(x) FROM backtest_results").fetchall() == [(3,)]

    check(lake)
    lake.close()
    maintenance.rebuild(lake.root, dsn=dsn)
    with lakestore.open(lake.root, dsn=dsn) as again:
        check(again)
