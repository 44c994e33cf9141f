"""What a statement's text says of the files it needs: understood where it is safe, everything else left open."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import inf, nextafter

import pytest

from lakestore.catalog.bounds import Bounds
from lakestore.query.prune import EVERYTHING, LONG_COLUMNS
from tests.query_lake import bounds_on, needed

OPEN = Bounds()
A = Bounds(strategies=frozenset({"a"}))
AB = Bounds(strategies=frozenset({"a", "b"}))
X = Bounds(task_ids=frozenset({"x"}))
BELOW_3 = nextafter(3, -inf)
D1, D2 = date(2024, 1, 1), date(2024, 1, 2)

UNDERSTOOD = {
    "SELECT * FROM trades": OPEN,
    "FROM Trades": OPEN,
    "SELECT * FROM trades WHERE strategy = 'a'": A,
    "SELECT * FROM memory.main.trades WHERE STRATEGY = 'a'": A,
    "SELECT * FROM trades WHERE 'a' = strategy AND lower(price) > 3": A,
    "SELECT * FROM trades WHERE 'a' = strategy AND Price > 3": replace(A, numbers={"price": (BELOW_3, inf)}),
    "SELECT * FROM trades WHERE price > 3 AND 5e0 >= price AND pnl = -0.5": Bounds(
        numbers={"price": (BELOW_3, nextafter(5, inf)), "pnl": (nextafter(-0.5, -inf), nextafter(-0.5, inf))}
    ),
    "SELECT * FROM trades WHERE price > 3 OR (price > 5 AND pnl > 1)": Bounds(numbers={"price": (BELOW_3, inf)}),
    "SELECT * FROM trades t JOIN results r USING (task_id) WHERE t.price > 3": Bounds(
        numbers={"price": (BELOW_3, inf)}
    ),
    "SELECT * FROM results r JOIN trades t USING (task_id) WHERE r.file_size > 3": OPEN,
    "SELECT * FROM backtest_results r JOIN trades t USING (task_id) WHERE r.run_date >= '2024-01-01'": Bounds(
        since=datetime(2024, 1, 1, tzinfo=UTC)
    ),
    "SELECT * FROM trades WHERE price > '3'": OPEN,
    "SELECT * FROM trades WHERE price > 1 + 2": OPEN,
    "SELECT * FROM trades WHERE price IN (3, NULL)": OPEN,
    "SELECT * FROM trades WHERE price = 1e999": OPEN,
    "SELECT * FROM trades WHERE price = true": OPEN,
    "SELECT * FROM trades t WHERE t.strategy = 'a'": A,
    "SELECT * FROM trades WHERE trades.strategy = 'a'": A,
    "SELECT * FROM trades WHERE strategy IN ('a', 'b')": AB,
    "SELECT * FROM trades WHERE strategy = 'a' OR strategy = 'b'": AB,
    "SELECT * FROM trades WHERE strategy = 'a' OR price > 3": OPEN,
    "SELECT * FROM trades WHERE (strategy = 'a' OR strategy = 'b') AND strategy = 'a'": A,
    "SELECT * FROM trades WHERE strategy = 'it''s'": Bounds(strategies=frozenset({"it's"})),
    "SELECT * FROM trades WHERE task_id IN ('x', 'y')": Bounds(task_ids=frozenset({"x", "y"})),
    "SELECT * FROM trades WHERE run_date = '2024-01-01'": Bounds(first_date=D1, last_date=D1),
    "SELECT * FROM trades WHERE run_date >= DATE '2024-01-01'": Bounds(first_date=D1),
    "SELECT * FROM trades WHERE '2024-01-02'::DATE > run_date": Bounds(last_date=D2),
    "SELECT * FROM trades WHERE run_date BETWEEN '2024-01-01' AND '2024-01-02'": Bounds(first_date=D1, last_date=D2),
    "SELECT * FROM trades WHERE run_date < TIMESTAMP '2024-01-02 10:00:00'": Bounds(last_date=D2),
    "SELECT * FROM trades WHERE run_date > DATE '2024-01-08' - INTERVAL 7 DAY": Bounds(first_date=D1),
    "SELECT * FROM trades WHERE run_date > DATE '2024-01-08' - 7": Bounds(first_date=D1),
    "SELECT * FROM trades WHERE run_date IN ('2024-01-02', '2024-01-01')": Bounds(first_date=D1, last_date=D2),
    "SELECT * FROM trades WHERE created_at > '2024-01-01'": OPEN,
    "SELECT * FROM trades WHERE run_date > current_date": OPEN,
    "SELECT * FROM trades WHERE NOT strategy = 'a'": OPEN,
    "SELECT * FROM trades WHERE strategy <> 'a'": OPEN,
    "SELECT * FROM trades WHERE strategy > 'a'": OPEN,
    "SELECT * FROM trades WHERE strategy = 42": OPEN,
    "SELECT * FROM trades WHERE strategy IN ('a', 42)": OPEN,
    "SELECT * FROM trades WHERE strategy IN ('a', price)": OPEN,
    "SELECT * FROM trades WHERE strategy = NULL": OPEN,
    "SELECT * FROM trades WHERE strategy LIKE 'a%'": OPEN,
    "SELECT * FROM trades WHERE lower(strategy) = 'a'": OPEN,
    "SELECT * FROM trades WHERE strategy = upper('a')": OPEN,
    "SELECT * FROM trades WHERE strategy = 'a' COLLATE NOCASE": OPEN,
    "SELECT * FROM trades WHERE coalesce(strategy = 'a', true)": OPEN,
    "SELECT * FROM trades WHERE (strategy = 'a') IS NOT TRUE": OPEN,
    "SELECT * FROM trades WHERE strategy = ANY(SELECT 'a')": OPEN,
    "SELECT * FROM trades WHERE run_date = 'yesterday'": OPEN,
    "SELECT * FROM trades WHERE run_date >= '2024-01-01 23:00:00-05'": OPEN,
    "SELECT * FROM trades WHERE run_date >= 'infinity'::DATE": OPEN,
    "SELECT * FROM trades WHERE CASE WHEN true THEN strategy = 'a' END": OPEN,
    "SELECT * FROM trades t WHERE trades.strategy = 'a'": OPEN,
    "SELECT * FROM trades AS t(strategy, task_id) WHERE strategy = 'a'": OPEN,
    "SELECT * FROM trades TABLESAMPLE 10% WHERE strategy = 'a'": OPEN,
    "SELECT * FROM trades WHERE strategy = 'a' USING SAMPLE 5 ROWS": OPEN,
    "SELECT strategy FROM trades GROUP BY strategy HAVING strategy = 'a'": OPEN,
    "SELECT * FROM trades QUALIFY row_number() OVER () = 1 AND strategy = 'a'": OPEN,
    "SELECT count(*) FILTER (strategy = 'a') FROM trades": OPEN,
    # Inner joins, by qualified names.
    "SELECT * FROM trades t JOIN results r USING (task_id) WHERE t.strategy = 'a'": A,
    "SELECT * FROM trades t, results r WHERE t.task_id = r.task_id AND t.strategy = 'a'": A,
    "SELECT * FROM trades t JOIN results r USING (task_id) WHERE strategy = 'a'": OPEN,
    "SELECT * FROM trades t JOIN results r ON t.strategy = 'a'": OPEN,
    "SELECT * FROM trades t LEFT JOIN results r USING (task_id) WHERE t.strategy = 'a'": OPEN,
    "SELECT * FROM results r LEFT JOIN trades t USING (task_id) WHERE t.strategy = 'a'": OPEN,
    "SELECT * FROM results r ANTI JOIN trades t USING (task_id) WHERE r.strategy = 'a'": OPEN,
    "SELECT * FROM results r POSITIONAL JOIN trades t WHERE t.strategy = 'a'": OPEN,
    "SELECT * FROM results r ASOF JOIN trades t ON r.run_date >= t.run_date WHERE t.strategy = 'a'": OPEN,
    "SELECT * FROM trades a, trades b WHERE a.strategy = 'a' AND b.strategy = 'b'": AB,
    "SELECT * FROM trades a, trades b WHERE a.strategy = 'a'": OPEN,
    # What is joined by task_id is bounded alike; a strategy is not, for a result may have rows of several.
    "SELECT * FROM results r JOIN trades t USING (task_id) WHERE r.task_id = 'x'": X,
    "SELECT * FROM results JOIN trades USING (task_id) WHERE task_id = 'x'": X,
    "SELECT * FROM results r JOIN signals s USING (task_id) JOIN trades t USING (task_id) WHERE s.task_id = 'x'": X,
    "SELECT * FROM results r, trades t WHERE r.task_id = t.task_id AND r.task_id = 'x'": X,
    "SELECT * FROM results r JOIN trades t ON t.task_id = r.task_id AND t.pnl > 0 WHERE r.task_id = 'x'": X,
    "SELECT * FROM results r JOIN trades t USING (task_id) WHERE r.run_date = '2024-01-01'": Bounds(
        since=datetime(2024, 1, 1, tzinfo=UTC), last_of_task=D1
    ),
    "SELECT * FROM results r JOIN trades t USING (task_id) WHERE r.created_at >= '2024-01-02'": Bounds(
        since=datetime(2024, 1, 2, tzinfo=UTC)
    ),
    "SELECT * FROM results r JOIN trades t USING (task_id) WHERE r.strategy = 'a'": OPEN,
    "SELECT * FROM results r JOIN trades t ON r.task_id = t.task_id OR t.pnl > 0 WHERE r.task_id = 'x'": OPEN,
    "SELECT * FROM results r JOIN trades t ON r.task_id <> t.task_id WHERE r.task_id = 'x'": OPEN,
    "SELECT * FROM results r JOIN trades t ON r.task_id = t.strategy WHERE r.task_id = 'x'": OPEN,
    "SELECT * FROM results r JOIN trades t USING (run_date) WHERE r.task_id = 'x'": OPEN,
    "SELECT * FROM results r LEFT JOIN trades t USING (task_id) WHERE r.task_id = 'x'": OPEN,
    "SELECT * FROM (SELECT * FROM results LIMIT 1) r JOIN trades t USING (task_id) WHERE r.task_id = 'x'": OPEN,
    "WITH r AS (SELECT 'x' AS task_id, '2024-01-01' AS run_date) SELECT * FROM r JOIN trades t USING (task_id) "
    "WHERE r.task_id = 'x' AND r.run_date = '2024-01-01'": X,
    # Every scan counts.
    "SELECT * FROM trades WHERE strategy = 'a' UNION ALL SELECT * FROM trades WHERE strategy = 'b'": AB,
    "SELECT * FROM trades WHERE strategy = 'a' UNION ALL SELECT * FROM trades": OPEN,
    "WITH trades AS (SELECT * FROM trades WHERE strategy = 'a') SELECT * FROM trades": OPEN,
    "WITH t AS (SELECT * FROM trades WHERE strategy = 'a') SELECT * FROM t WHERE strategy = 'b'": A,
    "SELECT * FROM (FROM trades) WHERE strategy = 'a'": OPEN,
    "SELECT * FROM results r WHERE EXISTS (SELECT 1 FROM trades t WHERE t.strategy = 'a' AND t.task_id = r.task_id)": A,
    "SELECT (SELECT count(*) FROM trades WHERE strategy = 'a'), * FROM results": A,
    "SUMMARIZE SELECT * FROM trades WHERE strategy = 'a'": A,
    "DESCRIBE trades": OPEN,
    "FROM trades PIVOT (sum(pnl) FOR symbol IN ('x'))": OPEN,
}


@pytest.mark.parametrize("sql", UNDERSTOOD)
def test_bounds_of_a_table(sql: str) -> None:
    assert bounds_on("trades", needed(sql)) == UNDERSTOOD[sql]


@pytest.mark.parametrize(
    "sql",
    [
        "not sql",
        "",
        "SELECT 1; SELECT 2",
        "PIVOT trades ON symbol USING sum(pnl)",
        "EXPLAIN SELECT * FROM trades WHERE strategy = 'a'",
        "SELECT * FROM query('FROM trades')",
        "SELECT * FROM query_table('trades') WHERE strategy = 'a'",
        "SELECT * FROM trades, read_text('x') WHERE trades.strategy = 'a'",
        "SELECT * FROM trades WHERE strategy = '\0",
    ],
)
def test_what_is_not_understood_needs_everything(sql: str) -> None:
    assert needed(sql) == EVERYTHING
    assert bounds_on("trades", needed(sql)) == OPEN


@pytest.mark.parametrize("depth", [10, 500, 3000])
def test_depth_never_narrows(depth: int) -> None:
    sql = "SELECT * FROM trades WHERE strategy = 'a' OR " + "(" * depth + "NOT price > 3" + ")" * depth
    assert bounds_on("trades", needed(sql)) == OPEN


def test_tables_that_are_not_named_are_not_needed() -> None:
    needs = needed("SELECT * FROM trades")
    assert bounds_on("signals", needs) is None
    assert bounds_on("results", needs) is None


def test_created_at_bounds_the_results() -> None:
    needs = needed("SELECT * FROM results WHERE created_at >= '2024-01-01' AND created_at < '2024-01-02T00:00:00Z'")
    assert bounds_on("results", needs) == Bounds(
        since=datetime(2024, 1, 1, tzinfo=UTC), until=datetime(2024, 1, 2, tzinfo=UTC)
    )


def test_the_catalogs_name_of_the_results_bounds_them() -> None:
    since = Bounds(since=datetime(2024, 1, 1, tzinfo=UTC))
    needs = needed("SELECT status FROM Backtest_Results WHERE created_at >= '2024-01-01'")
    assert (needs.tables, needs.only(["results", "trades"])) == ({"results": since}, {"results", "backtest_results"})
    both = needed("FROM results, backtest_results b WHERE b.created_at >= '2024-01-01'")
    assert both.tables == {"results": OPEN}
    made = needed(
        "WITH backtest_results AS (FROM backtest_results) FROM backtest_results WHERE created_at > '2024-01-01'"
    )
    assert made.tables == {"results": OPEN}


@pytest.mark.parametrize("clock", ["NOW()", "get_current_timestamp()", "transaction_timestamp()"])
def test_the_clock_bounds_from_below_only(clock: str) -> None:
    before = datetime.now(UTC)
    bounds = bounds_on(
        "results", needed(f"FROM results WHERE created_at > {clock} - INTERVAL '7 days' AND created_at < {clock}")
    )
    assert bounds is not None and bounds.since is not None
    assert before - timedelta(days=7, seconds=1) < bounds.since <= datetime.now(UTC) - timedelta(days=7)
    assert bounds.until is None


@pytest.mark.parametrize(
    "text", ["DATE '2030-01-01' - (now() - TIMESTAMPTZ '2024-01-01')", "now() - (now() - '2024-01-01')", "random()"]
)
def test_an_expression_that_does_not_follow_the_clock_forward_bounds_nothing(text: str) -> None:
    assert bounds_on("trades", needed(f"FROM trades WHERE run_date >= {text}")) == OPEN


def test_parameters_bound_by_place_and_by_name() -> None:
    assert bounds_on("trades", needed("FROM trades WHERE strategy = ?", ["a"])) == A
    assert bounds_on("trades", needed("FROM trades WHERE strategy IN ($2, $1)", ["a", "b"])) == AB
    assert bounds_on("trades", needed("FROM trades WHERE strategy = $s", {"s": "a"})) == A
    assert bounds_on("trades", needed("FROM trades WHERE run_date >= ?", [D1])) == Bounds(first_date=D1)
    assert bounds_on("trades", needed("FROM trades WHERE run_date < ?", [datetime(2024, 1, 2, 5)])) == Bounds(
        last_date=D2
    )
    assert bounds_on("trades", needed("FROM trades WHERE strategy = ?", [42])) == OPEN
    assert bounds_on("trades", needed("FROM trades WHERE strategy = ?")) == OPEN


LONG = {
    "SELECT count(*) FROM results": set(),
    "SELECT task_id, sum(pnl) FROM results JOIN trades USING (task_id) GROUP BY ALL ORDER BY 2 DESC LIMIT 10": set(),
    "SELECT r.task_id FROM results r WHERE r.PARAMS->>'fast' = '5'": {"params"},
    "SELECT metrics->>'sharpe' FROM results ORDER BY (tables->>'trades')::INT": {"metrics", "tables"},
    "SELECT unnest(x) FROM (SELECT [params] AS x FROM results)": {"params"},
    "SELECT * FROM results": LONG_COLUMNS,
    "FROM results": LONG_COLUMNS,
    "SELECT COLUMNS('p.*') FROM results": LONG_COLUMNS,
    "SELECT r FROM results r": LONG_COLUMNS,
    "SELECT results FROM results": LONG_COLUMNS,
    "SELECT to_json(s) FROM (SELECT params FROM results) s": LONG_COLUMNS,
    "SELECT task_id FROM results NATURAL JOIN trades": LONG_COLUMNS,
    "SELECT a FROM results AS r(a, b)": LONG_COLUMNS,
    "SELECT #1 FROM results": LONG_COLUMNS,
    "SELECT task_id FROM results r JOIN trades t USING (params)": {"params"},
    "EXPLAIN SELECT 1 FROM results": LONG_COLUMNS,
}


NAMED = {
    "SELECT count(*) FROM trades": set(),
    "SELECT Symbol AS s, avg(t.price) FROM trades t WHERE pnl > 1 GROUP BY s": {"symbol", "t", "price", "pnl", "s"},
    "SELECT legs.size FROM trades JOIN results USING (task_id)": {"legs", "size", "task_id"},
    "SELECT list_transform(legs, leg -> leg.size) FROM trades": {"legs", "leg", "size"},
    "SELECT (SELECT max(o.price) FROM orders o WHERE o.id = t.id) FROM trades t": {"o", "price", "id", "t"},
    "SELECT sum(pnl) OVER (PARTITION BY symbol) FROM trades QUALIFY x > 1": {"pnl", "symbol", "x"},
    "SELECT sum(x) FROM (SELECT pnl AS x FROM trades)": {"x", "pnl"},
    "SELECT t.* FROM trades t": None,
    "SELECT * EXCLUDE (pnl) FROM trades": None,
    "SELECT count(COLUMNS(*)) FROM trades": None,
    "SELECT count(t) FROM trades t": None,
    "SELECT pnl FROM (FROM trades)": None,
    "UNPIVOT trades ON pnl, price": None,
    "DESCRIBE trades": None,
    "SUMMARIZE trades": None,
}  # fmt: skip


@pytest.mark.parametrize("sql", NAMED)
def test_the_columns_that_a_statement_can_read_are_among_those_it_names(sql: str) -> None:
    assert needed(sql).named == NAMED[sql]


@pytest.mark.parametrize("sql", LONG)
def test_long_columns_are_needed_where_they_can_be_read(sql: str) -> None:
    assert needed(sql).columns == LONG[sql]


@pytest.mark.parametrize(
    ("sql", "only"),
    [
        ("SELECT * FROM trades", {"trades"}),
        ("WITH x AS (FROM trades) FROM x", {"trades", "x"}),
        ("SELECT 1", set()),
        ("FROM trade", None),
        ("SHOW TABLES", None),
        ("EXPLAIN FROM trades", None),
        ("SELECT * FROM duckdb_views()", None),
    ],
)
def test_a_statement_that_may_list_tables_or_miss_one_sees_all(sql: str, only: set[str] | None) -> None:
    assert needed(sql).only(["trades", "signals", "results"]) == only
