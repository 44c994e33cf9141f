"""Views over real Parquet files: columns, names, partitions, dead rows, emptiness."""

from __future__ import annotations

import datetime as dt
import os
import re
import stat
import tempfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lakestore import query
from lakestore.errors import QueryError
from lakestore.query.views import view_sql
from tests.query_lake import QueryLake, column, stored

F64, I64, TEXT = pa.float64(), pa.int64(), pa.string()


@pytest.fixture
def lake(tmp_path: Path) -> QueryLake:
    return QueryLake(tmp_path)


def ask(lake: QueryLake, sql: str) -> list[tuple[object, ...]]:
    with query.connect(lake.root, lake.snapshot()) as con:
        return con.execute(sql).fetchall()


def opened(con: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, ...]:
    """How many files each scan of the statement opened, as DuckDB itself counts them."""
    plan = con.execute(f"EXPLAIN ANALYZE {sql}").fetchall()[0][1]
    return tuple(sorted(int(n) for n in re.findall(r"Total Files Read: (\d+)", plan)))


def test_own_columns_come_first_and_the_rest_in_order_of_field_id(lake: QueryLake) -> None:
    lake.table("trades", column(19, "z", "BIGINT"), column(17, "a", "VARCHAR"), column(18, "none", "NULL"))
    lake.write("trades", [stored("a", TEXT, 17)], [["x"]], task_ids=["t1"])
    with query.connect(lake.root, lake.snapshot()) as con:
        answer = con.sql("FROM trades")
        assert answer.columns == ["task_id", "strategy", "run_date", "a", "none", "z"]
        assert answer.fetchall() == [("t1", "sma", date(2024, 1, 2), "x", None, None)]


def test_every_type_of_the_catalog_comes_back(lake: QueryLake) -> None:
    us, usz = pa.timestamp("us"), pa.timestamp("us", tz="UTC")
    kinds = {"BIGINT": I64, "DOUBLE": F64, "BOOLEAN": pa.bool_(), "VARCHAR": TEXT, "DATE": pa.date32()}
    kinds |= {"TIMESTAMP": us, "TIMESTAMPTZ": usz, "JSON": TEXT}
    at = dt.datetime(2024, 1, 2, 3, 4, 5, 678901)
    values = [2**63 - 1, -0.0, True, "é", date(2024, 1, 2), at, at.replace(tzinfo=dt.UTC), '["\\ud800", NaN]']
    lake.table("t", *(column(16 + i, kind.lower(), kind) for i, kind in enumerate(kinds)))
    lake.write(
        "t", [stored(k, v, 16 + i) for i, (k, v) in enumerate(kinds.items())], [[v] for v in values], task_ids=["t"]
    )
    [row] = ask(lake, "SELECT * EXCLUDE (task_id, strategy, run_date, timestamptz), timestamptz::VARCHAR FROM t")
    assert row == (*values[:6], values[7], "2024-01-02 03:04:05.678901+00")
    assert str(row[1]) == "-0.0"


def test_missing_columns_and_nested_members_are_null(lake: QueryLake) -> None:
    lake.table(
        "t",
        column(16, "orders", "LIST"),
        column(17, "[]", "STRUCT", 16),
        column(18, "px", "DOUBLE", 17),
        column(19, "tag", "VARCHAR", 17),
        column(20, "meta", "STRUCT"),
        column(21, "never", "NULL", 20),
        column(22, "a.b \"c'", "BIGINT", 20),
        column(23, "hollow", "STRUCT"),
        column(24, "blank", "LIST"),
    )
    one = pa.struct([stored("px", pa.decimal128(18, 2), 18)])
    two = pa.struct([stored("tag", TEXT, 19), stored("px", F64, 18)])
    meta = pa.struct([stored("a.b \"c'", I64, 22)])
    orders_1, orders_2 = pa.list_(stored("element", one, 17)), pa.list_(stored("element", two, 17))
    lake.write("t", [stored("orders", orders_1, 16)], [[[{"px": Decimal("2.50")}, None], None]], task_ids=["a", "b"])
    lake.write(
        "t",
        [stored("orders", orders_2, 16), stored("meta", meta, 20)],
        [[[{"tag": "x", "px": 0.1}]], [{"a.b \"c'": 7}]],
        task_ids=["c"],
    )
    assert ask(lake, "SELECT task_id, orders, meta, hollow, blank FROM t ORDER BY ALL") == [
        ("a", [{"px": 2.5, "tag": None}, None], None, None, None),
        ("b", None, None, None, None),
        ("c", [{"px": 0.1, "tag": "x"}], {"never": None, "a.b \"c'": 7}, None, None),
    ]


NAMES = [
    'say "hi"',
    "a.b",
    "sélection",
    "select",
    "策略",
    "it's",
    "\\",
    "two\nlines",
    " ",
    "%s",
    "filename__2",
    "🙂",
    "c16",
]


@pytest.mark.parametrize("files", [0, 1])
def test_any_name_of_a_column_can_be_asked_for(lake: QueryLake, files: int) -> None:
    lake.table("t", *(column(16 + i, name, "DOUBLE") for i, name in enumerate(NAMES)))
    if files:
        fields = [stored(f"other{i}", F64, 16 + i) for i in range(len(NAMES))]
        lake.write("t", fields, [[float(i)] for i in range(len(NAMES))], task_ids=["t"])
    with query.connect(lake.root, lake.snapshot()) as con:
        for i, name in enumerate(NAMES):
            quoted = '"' + name.replace('"', '""') + '"'
            assert con.execute(f"SELECT {quoted} FROM t").fetchall() == [(float(i),)] * files


@pytest.mark.parametrize("name", ["select", "order", "table", "123", "main", "t_1", "from"])
def test_a_lake_table_may_be_called_like_a_reserved_word(lake: QueryLake, name: str) -> None:
    lake.table(name, column(16, "n", "BIGINT"))
    lake.write(name, [stored("n", I64, 16)], [[5]], task_ids=["t"])
    assert ask(lake, f'SELECT sum(n) FROM "{name}"') == [(5,)]


STRATEGIES = [
    "../x",
    "a=b",
    "策略",
    "42",
    "CON",
    "a b",
    "100%",
    "+",
    "a/b",
    "strategy=x/run_date=2020-01-01/",
    "\n",
    "'",
    ".",
]


@pytest.mark.parametrize(
    "folder", ["plain", "a[b]*?", "strategy=q/run_date=2020-01-01", "é e\u0301 🙂👨‍👩‍👧", "it's", "%20", "line\nbreak"]
)
def test_strategy_and_date_come_from_the_path_wherever_the_lake_lies(tmp_path: Path, folder: str) -> None:
    lake = QueryLake(tmp_path / folder)
    lake.table("t")
    for i, strategy in enumerate(STRATEGIES):
        lake.write("t", [], [], task_ids=[strategy], strategy=strategy, run_date=date(2024, 1, 1 + i))
    rows = [(s, s, date(2024, 1, 1 + i)) for i, s in enumerate(STRATEGIES)]
    assert ask(lake, "SELECT task_id, strategy, run_date FROM t ORDER BY run_date") == rows
    assert ask(lake, "SELECT DISTINCT typeof(strategy), typeof(run_date) FROM t") == [("VARCHAR", "DATE")]
    sql = "SELECT task_id, strategy, run_date FROM t ORDER BY run_date"
    assert query.run(lake.root, lake.pruned(), sql, untrusted=True).fetchall() == rows


def test_a_sibling_directory_that_matches_the_root_as_a_pattern_is_not_read(tmp_path: Path) -> None:
    lake, other = QueryLake(tmp_path / "a*[b]"), QueryLake(tmp_path / "axb")
    lake.table("t")
    mine = lake.write("t", [], [], task_ids=["mine"])
    target = other.root / mine.path
    target.parent.mkdir(parents=True)
    target.write_bytes((lake.root / mine.path).read_bytes())
    assert ask(lake, "SELECT count(*) FROM t") == [(1,)]


def test_filters_on_strategy_and_date_leave_files_unopened(lake: QueryLake) -> None:
    lake.table("t", column(16, "p", "DOUBLE"))
    for strategy in ("a", "b c", "策"):
        for day in range(1, 6):
            file = lake.write(
                "t",
                [stored("p", F64, 16)],
                [[1.0, 2.0]],
                task_ids=["x", "y"],
                strategy=strategy,
                run_date=date(2024, 1, day),
            )
            if day == 2:
                lake.kill(file, "x")
    with query.connect(lake.root, lake.snapshot()) as con:
        clean_dirty = opened(con, "SELECT sum(p) FROM t WHERE strategy = 'b c' AND run_date <= '2024-01-03'")
        assert clean_dirty == (1, 2)
        assert con.execute("SELECT sum(p) FROM t WHERE strategy = 'b c' AND run_date <= '2024-01-03'").fetchall() == [
            (8.0,)
        ]
        assert opened(con, "SELECT * FROM t WHERE strategy IN ('a', '策') AND run_date = DATE '2024-01-05'") in (
            (2,),
            (0, 2),
        )
        assert opened(con, "SELECT count(p) FROM t") == (3, 12)


def test_dead_rows_are_left_out_of_their_file_only(lake: QueryLake) -> None:
    lake.table("t", column(16, "n", "BIGINT"))
    ids = ["a", "it's", "a\nb", "é%", "keep"]
    shared = lake.write("t", [stored("n", I64, 16)], [[1, 2, 3, 4, 5]], task_ids=ids)
    again = lake.write("t", [stored("n", I64, 16)], [[10, 20, 30, 40, 50]], task_ids=ids)
    lake.write("t", [stored("n", I64, 16)], [[100]], task_ids=["a"])
    lake.kill(shared, *ids[:4])
    lake.kill(again, "keep")
    assert ask(lake, "SELECT sum(n) FROM t") == [(205,)]
    assert ask(lake, "SELECT count(*) FROM t") == [(6,)]
    assert ask(lake, "SELECT n FROM t WHERE task_id = 'keep'") == [(5,)]


def test_only_dirty_files_leave_only_live_rows(lake: QueryLake) -> None:
    lake.table("t", column(16, "n", "BIGINT"))
    lake.kill(lake.write("t", [stored("n", I64, 16)], [[1, 2]], task_ids=["a", "b"]), "a")
    assert ask(lake, "SELECT task_id, n FROM t") == [("b", 2)]


def test_an_empty_lake_table_is_typed(lake: QueryLake) -> None:
    lake.table(
        "t", column(16, "p", "DOUBLE"), column(17, "o", "LIST"), column(18, "[]", "BIGINT", 17), column(19, "x", "NULL")
    )
    with query.connect(lake.root, lake.snapshot()) as con:
        answer = con.sql("FROM t")
        assert [str(t) for t in answer.types[:5]] == ["VARCHAR", "VARCHAR", "DATE", "DOUBLE", "BIGINT[]"]
        assert con.execute("SELECT count(*), sum(p), avg(x) FROM t WHERE strategy = 'a'").fetchall() == [
            (0, None, None)
        ]


def test_an_empty_lake_answers_an_empty_list_of_results(lake: QueryLake) -> None:
    assert ask(lake, "SELECT count(*), max(created_at) FROM results") == [(0, None)]


def test_refresh_shows_the_new_snapshot_also_to_cursors(lake: QueryLake) -> None:
    lake.table("t")
    lake.write("t", [], [], task_ids=["a"])
    with query.connect(lake.root, lake.snapshot()) as con:
        cursor = con.cursor()
        lake.write("t", [], [], task_ids=["b"])
        lake.table("u")
        assert cursor.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
        query.refresh(con, lake.root, lake.snapshot())
        assert cursor.execute("SELECT count(*) FROM t").fetchall() == [(2,)]
        assert cursor.execute("SELECT count(*) FROM u").fetchall() == [(0,)]
        assert cursor.execute("SELECT now()::VARCHAR").fetchall()[0][0].endswith("+00")
        assert cursor.execute("SELECT count(*) FROM results").fetchall() == [(0,)]


def test_a_refresh_that_fails_changes_nothing(lake: QueryLake) -> None:
    lake.table("a")
    lake.table("t")
    with query.connect(lake.root, lake.snapshot()) as con:
        con.execute("CREATE TABLE zz (i INTEGER)")
        lake.write("a", [], [], task_ids=["x"])
        lake.table("zz")
        with pytest.raises(QueryError, match="zz"):
            query.refresh(con, lake.root, lake.snapshot())
        assert con.execute("SELECT count(*) FROM a").fetchall() == [(0,)]
        con.execute("BEGIN")
        with pytest.raises(QueryError, match="transaction"):
            query.refresh(con, lake.root, lake.snapshot())


def test_a_refresh_inside_the_users_transaction_leaves_it_open(lake: QueryLake) -> None:
    with query.connect(lake.root, lake.snapshot()) as con:
        con.execute("BEGIN")
        con.execute("CREATE TABLE mine AS SELECT 1 AS i")
        with pytest.raises(QueryError, match="transaction"):
            query.refresh(con, lake.root, lake.snapshot())
        con.execute("COMMIT")
        assert con.execute("FROM mine").fetchall() == [(1,)]


def test_a_users_own_variable_is_seen_by_a_connection(lake: QueryLake) -> None:
    lake.table("t")
    lake.write("t", [], [], task_ids=["a"])
    mine = pa.table({"task_id": ["a"], "tag": ["x"]})
    with query.connect(lake.root, lake.snapshot()) as con:
        assert con.sql("SELECT tag FROM t JOIN mine USING (task_id)").fetchall() == [("x",)]
    assert mine.num_rows == 1


def test_settings_are_the_users_and_a_wrong_one_is_named(lake: QueryLake) -> None:
    with query.connect(lake.root, lake.snapshot(), config={"threads": 1}) as con:
        assert con.execute("SELECT current_setting('threads')").fetchall() == [(1,)]
    with pytest.raises(QueryError, match="no_such_setting"):
        query.connect(lake.root, lake.snapshot(), config={"no_such_setting": 1})


@pytest.mark.parametrize("taken", [False, True])
def test_what_is_spilled_lies_where_only_its_user_can_look(
    lake: QueryLake, tmp_path: Path, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    mine = tmp_path / "tmp" / f"lakestore-{os.geteuid()}"
    mine.parent.mkdir()
    if taken:
        # Of that name, and open to others.
        mine.mkdir()
        mine.chmod(0o777)
    with query.connect(lake.root, lake.snapshot(), config={"memory_limit": "60MB", "threads": 1}) as con:
        con.execute(
            "CREATE TEMP TABLE t AS SELECT md5(i::VARCHAR) AS a, md5((i + 1)::VARCHAR) AS b FROM range(1500000) r(i)"
        )
        (spilled,) = {path.parent for path in mine.parent.rglob("duckdb_temp*")}
        assert stat.S_IMODE(spilled.parent.stat().st_mode) == 0o700 and (spilled.parent == mine) is not taken
    assert not spilled.exists()


def test_ten_thousand_paths_stand_in_the_view_once(lake: QueryLake) -> None:
    lake.table("t", column(16, "p", "DOUBLE"))
    file = lake.write("t", [stored("p", F64, 16)], [[1.0]], task_ids=["a"])
    text = view_sql(lake.tables["t"], [file] * 10_000, lake.root)
    assert len(text) < 10_000 * (len(file.path) + 2) + 2_000


NARROWED = (
    "SELECT count(*) FROM trades",
    "SELECT max(PNL) FROM trades",
    "SELECT task_id, t.legs.size FROM trades t ORDER BY ALL",
    "SELECT legs FROM trades t ORDER BY t.pnl",
    "SELECT a.pnl, b.symbol FROM trades a JOIN trades b USING (task_id) ORDER BY ALL",
    "SELECT symbol FROM trades WHERE strategy = 'sma' AND run_date = '2024-01-02' GROUP BY ALL ORDER BY sum(pnl)",
    "SELECT t FROM trades t ORDER BY pnl",
    "SELECT {'row': trades} FROM trades ORDER BY ALL",
    "SELECT min(COLUMNS('.*l')) FROM trades",
    "WITH x AS (FROM trades) SELECT symbol FROM x ORDER BY ALL",
    "SELECT (SELECT pnl) + 1 FROM trades ORDER BY ALL",
    "SELECT price FROM (SELECT pnl AS price, 7 AS symbol FROM trades) ORDER BY ALL",
    "SELECT x FROM trades, unnest([pnl, 1]) AS u(x) ORDER BY ALL",
    "FROM (SELECT symbol FROM trades) UNION ALL BY NAME (SELECT pnl FROM trades) ORDER BY ALL",
)


@pytest.mark.parametrize("sql", NARROWED)
def test_a_statement_answers_as_on_a_connection_with_all_columns(lake: QueryLake, sql: str) -> None:
    legs = pa.struct([stored("size", I64, 19)])
    lake.table(
        "trades", column(16, "pnl", "DOUBLE"), column(17, "symbol", "VARCHAR"), column(18, "legs", "STRUCT"),
        column(19, "size", "BIGINT", 18),
    )  # fmt: skip
    fields = [stored("pnl", F64, 16), stored("symbol", TEXT, 17), stored("legs", legs, 18)]
    file = lake.write("trades", fields, [[1.5, 2.5], ["x", "y"], [{"size": 1}, {"size": 2}]], task_ids=["a", "b"])
    lake.write("trades", fields, [[0.5], ["z"], [None]], task_ids=["c"])
    lake.kill(file, "b")
    for untrusted in (False, True):
        answer = query.run(lake.root, lake.pruned(), sql, untrusted=untrusted).fetchall()
        assert answer == ask(lake, sql) != []
