"""SQL from outside tries to break out: every attempt is refused and leaves nothing behind."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lakestore import query
from lakestore.catalog.snapshot import Snapshot
from lakestore.errors import CorruptFileError, QueryError
from lakestore.model import LiveFile
from lakestore.query import Limits
from tests.query_lake import QueryLake, column, stored

secret_table = pa.table({"secret": ["python"]})


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> QueryLake:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("SECRET", "from the environment")
    (tmp_path / "secret.txt").write_text("secret\n1\n")
    (tmp_path / "secret.csv").write_text("secret\n1\n")
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    duckdb.connect(str(tmp_path / "secret.duckdb")).execute("CREATE TABLE s AS SELECT 1 AS secret").close()
    lake = QueryLake(tmp_path / "lake")
    lake.table("trades", column(16, "pnl", "DOUBLE"), column(17, "symbol", "VARCHAR"))
    for strategy in ("a", "b"):
        lake.write(
            "trades",
            [stored("pnl", pa.float64(), 16), stored("symbol", pa.string(), 17)],
            [[1.0, 2.5], ["X", "Y"]],
            task_ids=["t1", "t2"],
            strategy=strategy,
        )
    (lake.root / "_lakestore").mkdir()
    (lake.root / "_lakestore" / "lake.json").write_text("{}")
    # A file that is on disk but no longer alive.
    gone = lake.write("trades", [], [], task_ids=["gone"], strategy="gone")
    (lake.root / gone.path).rename(lake.root / "gone.parquet")
    lake.files.remove(gone)
    return lake


def ask(lake: QueryLake, sql: str, params: query.Params = None, **limits: object) -> list[tuple[object, ...]]:
    chosen = Limits(**limits)  # type: ignore[arg-type]
    return query.run(lake.root, lake.pruned(), sql, params, untrusted=True, limits=chosen).fetchall()


def everything_on_disk(lake: QueryLake) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(lake.root.parent.rglob("*"))
        if path.is_file()
    }


def test_a_limit_that_is_none_is_refused(lake: QueryLake) -> None:
    with pytest.raises(QueryError, match="does not start with these settings"):
        ask(lake, "SELECT 1", memory="much")


ATTEMPTS = [
    # Files by function.
    "SELECT * FROM read_text('{dir}/secret.txt')",
    "SELECT * FROM read_blob('{dir}/secret.txt')",
    "SELECT * FROM read_csv('{dir}/secret.csv')",
    "SELECT * FROM read_csv_auto('{dir}/secret.csv')",
    "SELECT * FROM sniff_csv('{dir}/secret.csv')",
    "SELECT * FROM read_json('{dir}/secret.json')",
    "SELECT * FROM read_json_auto('{dir}/secret.json')",
    "SELECT * FROM read_ndjson_objects('{dir}/secret.json')",
    "SELECT * FROM read_parquet('{lake}/gone.parquet')",
    "SELECT * FROM parquet_scan('{lake}/gone.parquet')",
    "SELECT * FROM read_parquet('{live}')",
    "SELECT * FROM read_parquet('{lake}/**/*.parquet')",
    "SELECT * FROM read_text('{live}')",
    "SELECT * FROM read_text('{lake}/_lakestore/lake.json')",
    "SELECT * FROM parquet_metadata('{live}')",
    "SELECT * FROM parquet_schema('{lake}/gone.parquet')",
    "SELECT * FROM parquet_kv_metadata('{live}')",
    "SELECT * FROM parquet_file_metadata('{live}')",
    "SELECT * FROM glob('{dir}/*')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('https://example.invalid/x.csv')",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM read_duckdb('{dir}/secret.duckdb', table_name='s')",
    # Files by name.
    "SELECT * FROM '{dir}/secret.csv'",
    'SELECT * FROM "{dir}/secret.json"',
    "SELECT * FROM '{lake}/gone.parquet'",
    "SELECT * FROM '{live}'",
    "FROM '/etc/passwd'",
    "TABLE '{dir}/secret.csv'",
    "SUMMARIZE '{dir}/secret.csv'",
    "DESCRIBE '{dir}/secret.csv'",
    "SHOW '{dir}/secret.csv'",
    "SELECT * FROM trades WHERE symbol IN (FROM '{dir}/secret.csv')",
    "SELECT (SELECT content FROM read_text('{dir}/secret.txt'))",
    "WITH x AS (FROM read_text('{dir}/secret.txt')) SELECT * FROM x",
    "WITH x AS MATERIALIZED (FROM '{dir}/secret.csv') SELECT 1 FROM trades",
    "SELECT * FROM trades, LATERAL (FROM read_text('{dir}/secret.txt'))",
    "SELECT * FROM trades UNION ALL BY NAME FROM '{dir}/secret.csv'",
    "FROM (DESCRIBE FROM '{dir}/secret.csv')",
    "FROM '{dir}/secret.csv' PIVOT (count(*) FOR secret IN (1))",
    # Python variables.
    "SELECT * FROM secret_table",
    "SELECT * FROM lake",
    "SELECT * FROM snapshot",
    # SQL as text, other catalogs, settings, the environment.
    "SELECT * FROM query('FROM ''{dir}/secret.csv''')",
    "SELECT * FROM query_table('{dir}/secret.csv')",
    "SELECT * FROM query_table(['trades', '{dir}/secret.csv'])",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''{dir}/secret.txt'')'))",
    "SELECT getenv('SECRET')",
    "SELECT current_setting('secret_directory')",
    "SELECT getvariable('x')",
    "SELECT write_log('x')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_views()",
    "SELECT * FROM pragma_database_size()",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM _lakestore.main.answer",
    "FROM answer",
    # What DuckDB has under the name of a query, where that query is not seen.
    "WITH duckdb_views AS (FROM duckdb_views) FROM duckdb_views",
    "WITH RECURSIVE duckdb_views AS (FROM duckdb_views) FROM duckdb_views",
    "WITH RECURSIVE pg_settings AS (FROM pg_settings UNION ALL FROM pg_settings) FROM pg_settings",
    "WITH x AS (FROM pg_settings), pg_settings AS (FROM x) FROM pg_settings",
    "FROM (WITH pg_settings AS (SELECT 1) FROM pg_settings), pg_settings",
    "SELECT (WITH sqlite_master AS (SELECT 1) FROM sqlite_master), name FROM sqlite_master",
    'WITH "duc\u212adb_views" AS (SELECT 1) FROM duckdb_views',
    'FROM (WITH "{live}" AS (SELECT 1) FROM "{live}"), "{live}", trades',
    "SELECT * FROM arrow_scan(1::BIGINT, 2::BIGINT, 3::BIGINT)",
    "SELECT * FROM pandas_scan(1::BIGINT)",
    "SELECT * FROM seq_scan()",
    "SELECT nextval('s')",
    "SELECT sleep_ms(10)",
    # Other statements.
    "COPY trades TO '{dir}/out.csv'",
    "COPY (SELECT 1) TO '{live}'",
    "COPY (SELECT 1) TO '{lake}/trades/out.parquet' (FORMAT parquet)",
    "COPY trades FROM '{dir}/secret.csv'",
    "EXPORT DATABASE '{dir}/out'",
    "IMPORT DATABASE '{dir}/out'",
    "ATTACH '{dir}/secret.duckdb' AS s",
    "ATTACH '{dir}/new.duckdb'",
    "DETACH memory",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "FORCE INSTALL '{dir}/x.duckdb_extension'",
    "UPDATE EXTENSIONS",
    "PRAGMA version",
    "PRAGMA enable_profiling",
    "SET enable_external_access = true",
    "SET GLOBAL memory_limit = '100GB'",
    "RESET lock_configuration",
    "SET VARIABLE x = 1",
    "CALL range(3)",
    "CHECKPOINT",
    "VACUUM",
    "CREATE TABLE x AS SELECT 1",
    "CREATE VIEW x AS SELECT 1",
    "CREATE OR REPLACE VIEW trades AS SELECT 1",
    "CREATE MACRO m() AS TABLE FROM read_text('{dir}/secret.txt')",
    "CREATE SECRET (TYPE s3)",
    "INSERT INTO results SELECT * FROM results",
    "UPDATE results SET status = 'x'",
    "DELETE FROM results",
    "TRUNCATE results",
    "DROP VIEW trades",
    "ALTER VIEW trades RENAME TO x",
    "WITH x AS (INSERT INTO results FROM results RETURNING *) FROM x",
    "WITH x AS (DELETE FROM results RETURNING *) FROM x",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPLAIN COPY trades TO '{dir}/out.csv'",
    "EXPLAIN ANALYZE COPY trades TO '{dir}/out.csv'",
    "EXPLAIN ANALYZE SELECT * FROM '{dir}/secret.csv'",
    "PIVOT trades ON symbol",
    "COMMENT ON VIEW trades IS 'x'",
    # Several at once, none, and broken ends.
    "SELECT 1; COPY trades TO '{dir}/out.csv'",
    "SELECT 1; SELECT * FROM '{dir}/secret.csv'",
    "SELECT 1) AS x; COPY (SELECT 1) TO '{dir}/out.csv'; FROM (SELECT 1",
    "SELECT 1 /*",
    "SELECT 1 --\n) ; DROP VIEW trades; --",
    "",
    "   ",
    "-- nothing",
    ";",
    "SELECT '\0'; DROP VIEW trades",
    "SELECT '\ud800'",
    "SELECT " + "1 + " * 30_000 + "1",
    "SELECT " + "(" * 40_000 + "1" + ")" * 40_000,
    "SELECT " + "x" * 100_001,
]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda sql: ascii(sql[:60]))
def test_an_attempt_to_break_out_is_refused_and_leaves_nothing_behind(lake: QueryLake, attempt: str) -> None:
    live = lake.root / lake.files[0].path
    sql = attempt.replace("{dir}", str(lake.root.parent)).replace("{lake}", str(lake.root)).replace("{live}", str(live))
    before = everything_on_disk(lake)
    with pytest.raises(QueryError):
        ask(lake, sql)
    assert everything_on_disk(lake) == before


ALLOWED = {
    "SELECT sum(pnl) FROM trades": [(7.0,)],
    "SELECT strategy, sum(pnl) FROM trades GROUP BY ALL ORDER BY ALL": [("a", 3.5), ("b", 3.5)],
    "FROM trades SELECT count(*) WHERE strategy = 'a';": [(2,)],
    "SELECT 1; -- the end": [(1,)],
    "SELECT ';' -- a; b": [(";",)],
    "SELECT 1 /* ; */ ;;": [(1,)],
    "VALUES (1), (2)": [(1,), (2,)],
    "WITH t AS (FROM trades) SELECT count(*) FROM t": [(4,)],
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT max(n) FROM r": [(3,)],
    "WITH a AS (SELECT 1 AS n), B AS (FROM A) SELECT (WITH c AS (FROM b) SELECT n + (SELECT n FROM a) FROM c)": [(2,)],
    "WITH a AS (SELECT 1 AS n) (FROM a UNION ALL FROM a)": [(1,), (1,)],
    "WITH pg_settings AS MATERIALIZED (SELECT 3 AS n) FROM pg_settings": [(3,)],
    "SELECT count(*) FROM results": [(0,)],
    "SELECT count(*) FROM memory.main.trades": [(4,)],
    "SELECT count(*) FROM TRADES a JOIN trades b USING (task_id, strategy)": [(4,)],
    "SELECT sum(i) FROM range(4) t(i)": [(6,)],
    "SELECT unnest([1, 2])": [(1,), (2,)],
    "SELECT 1 AS a, 2 AS a": [(1, 2)],
    "FROM trades PIVOT (sum(pnl) FOR symbol IN ('X')) SELECT sum(X)": [(2.0,)],
    "SELECT '{\"a\": [1]}'::JSON->>'$.a[0]'": [("1",)],
    "SELECT task_id FROM trades ORDER BY pnl DESC, strategy DESC LIMIT 1": [("t2",)],
    "SELECT column_name FROM (DESCRIBE trades) LIMIT 1": [("task_id",)],
    "SELECT count(*) FROM (SUMMARIZE trades)": [(5,)],
    "SHOW TABLES": [("backtest_results",), ("results",), ("run_stats",), ("run_stats_by_symbol",), ("trades",)],
    "SELECT count(*) FROM memory.main.backtest_results": [(0,)],
}


@pytest.mark.parametrize("sql", ALLOWED)
def test_reading_the_lake_is_allowed(lake: QueryLake, sql: str) -> None:
    assert ask(lake, sql) == ALLOWED[sql]


SAYS: dict[str, str] = {
    "trades": "'FROM trades' gives the rows of a table of this name, SHOW TABLES lists all tables",
    " Trades ;": "'FROM Trades' gives the rows",
    "trades LIMIT 5": "a statement begins with SELECT, FROM or WITH",
    ".tables": "a statement begins with",
    "SHOW TABLES FROM _lakestore": "SHOW TABLES FROM is not allowed here: SHOW TABLES lists the tables",
    "FROM (SHOW TABLES FROM memory.main)": "SHOW TABLES FROM is not allowed here",
    "SHOW ALL TABLES": "SHOW ALL TABLES is not allowed here",
    "DESCRIBE": "SHOW ALL TABLES is not allowed here",
    "SHOW DATABASES": "SHOW databases is not allowed here",
    "COPY trades TO 'x.csv'": "COPY is not possible here: give the SELECT alone, 'lakestore sql --format csv' prints",
    "PIVOT trades ON symbol USING sum(pnl)": "PIVOT has to name its columns here: ",
    "SELECT $x": "give lake.sql(…, {'name': value}), or -p name=value",
    "SELECT pn FROM trades": "columns of trades: task_id, strategy, run_date",
}


@pytest.mark.parametrize("sql", SAYS)
def test_what_is_refused_says_what_to_write(lake: QueryLake, sql: str) -> None:
    with pytest.raises(QueryError) as refused:
        ask(lake, sql)
    assert SAYS[sql] in str(refused.value)


@pytest.mark.parametrize("sql", ["SELECT FROM trades LIMIT", "SELECT pnl + [1] FROM trades"])
def test_errors_of_other_kinds_say_nothing_of_columns(lake: QueryLake, sql: str) -> None:
    with pytest.raises(QueryError) as refused:
        ask(lake, sql)
    assert "columns of" not in str(refused.value) and "begins with" not in str(refused.value)


def test_parameters_work_in_sql_from_outside(lake: QueryLake) -> None:
    assert ask(lake, "SELECT count(*) FROM trades WHERE strategy = ? AND pnl > ?", ["a", 2]) == [(1,)]
    assert ask(lake, "SELECT count(*) FROM trades WHERE strategy = $s", {"s": "b"}) == [(2,)]
    with pytest.raises(QueryError):
        ask(lake, "SELECT count(*) FROM trades WHERE strategy = ?", [])


def test_the_configuration_alone_keeps_the_machine_closed(lake: QueryLake) -> None:
    answer = query.run(lake.root, lake.pruned(), "SELECT 1 AS one", untrusted=True)
    for name in ("secret.csv", "secret.json", "lake/gone.parquet"):
        with pytest.raises(duckdb.Error):
            answer.query("v", f"FROM '{lake.root.parent / name}'").fetchall()
    with pytest.raises(duckdb.Error):
        answer.query("v", "SET enable_external_access = true")
    with pytest.raises(duckdb.Error):
        answer.write_csv(str(lake.root.parent / "out.csv"))
    assert not (lake.root.parent / "out.csv").exists()


def test_time_is_limited(lake: QueryLake) -> None:
    # Left alone, it would go on for days.
    with pytest.raises(QueryError, match="longer than"):
        ask(
            lake,
            "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range * b.range % 7 = 3",
            seconds=0.3,
        )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM range(100000000)",
        "SELECT list(range) FROM range(100000000)",
        "SELECT string_agg(repeat('x', 100000), '') FROM range(10000)",
        "SELECT range, count(*) FROM range(50000000) GROUP BY ALL",
    ],
)
def test_memory_is_limited_and_nothing_is_spilled(lake: QueryLake, sql: str) -> None:
    before = everything_on_disk(lake)
    with pytest.raises(QueryError, match="memory"):
        ask(lake, sql, memory="100MB", seconds=30, threads=1)
    assert everything_on_disk(lake) == before


@pytest.mark.parametrize("untrusted", [True, False])
def test_a_relation_outlives_the_call_and_gives_every_form(lake: QueryLake, untrusted: bool) -> None:
    answer = query.run(lake.root, lake.pruned(), "SELECT task_id, pnl FROM trades ORDER BY ALL", untrusted=untrusted)
    gc.collect()
    for _ in range(2):
        assert answer.df().shape == (4, 2)
        assert answer.pl().shape == (4, 2)
        assert answer.to_arrow_table().num_rows == 4
        assert len(answer.fetchall()) == 4
    assert answer.filter("pnl > 2").limit(1).fetchall() == [("t2", 2.5)]
    answer.show()


def test_a_trusted_statement_does_not_see_python_variables(lake: QueryLake) -> None:
    tables = (
        r"the lake's tables: results, run_stats, run_stats_by_symbol, trades; lake\.connect\(\) sees tables of yours"
    )
    for name in ("snapshot", "needs", "columns", "secret_table"):
        with pytest.raises(QueryError, match=tables):
            query.run(lake.root, lake.pruned(), f"SELECT * FROM {name}")


@pytest.mark.parametrize("untrusted", [False, True])
def test_a_statement_is_text(lake: QueryLake, untrusted: bool) -> None:
    with pytest.raises(QueryError, match="a statement is text, not NoneType"):
        query.run(lake.root, lake.pruned(), None, untrusted=untrusted)  # type: ignore[arg-type]


def test_a_trusted_statement_reads_only(lake: QueryLake) -> None:
    for sql in ("CREATE TABLE x AS SELECT 1", "COPY trades TO 'x.csv'", "SET threads = 1", "SELECT 1; SELECT 2", ""):
        with pytest.raises(QueryError):
            query.run(lake.root, lake.pruned(), sql)
    assert query.run(lake.root, lake.pruned(), "PIVOT trades ON symbol USING sum(pnl) GROUP BY strategy").columns == [
        "strategy", "X", "Y",
    ]  # fmt: skip
    assert "trades" not in os.listdir()
    assert query.run(lake.root, lake.pruned(), "EXPLAIN SELECT * FROM trades").fetchall()


@pytest.mark.parametrize("untrusted", [True, False])
def test_an_unknown_column_is_answered_with_the_columns(lake: QueryLake, untrusted: bool) -> None:
    with pytest.raises(
        QueryError, match=r"(?s)profit.*columns of trades: task_id, strategy, run_date, pnl, symbol"
    ) as caught:
        query.run(lake.root, lake.pruned(), "SELECT profit FROM trades", untrusted=untrusted)
    assert isinstance(caught.value.__cause__, duckdb.Error)


@pytest.mark.parametrize("untrusted", [True, False])
def test_an_unknown_table_is_answered_with_the_tables(lake: QueryLake, untrusted: bool) -> None:
    with pytest.raises(QueryError, match=r"(?s)trade_log.*results, run_stats, run_stats_by_symbol, trades"):
        query.run(lake.root, lake.pruned(), "SELECT * FROM trade_log", untrusted=untrusted)


@pytest.mark.parametrize("untrusted", [True, False])
@pytest.mark.parametrize(
    "sql", ["SELEC 1", "SELECT FROM WHERE", "SELECT '", "SELECT nofunc(1)", "SELECT 1 + DATE '2024-01-01' + 'x'"]
)
def test_invalid_sql_is_a_query_error(lake: QueryLake, sql: str, untrusted: bool) -> None:
    with pytest.raises(QueryError):
        query.run(lake.root, lake.pruned(), sql, untrusted=untrusted)


@pytest.mark.parametrize("untrusted", [True, False])
def test_a_data_file_that_is_missing_is_named(lake: QueryLake, untrusted: bool) -> None:
    missing = lake.files[0].path
    (lake.root / missing).unlink()
    with pytest.raises(CorruptFileError, match=missing.rsplit("/", 1)[1]):
        query.run(lake.root, lake.pruned(), "SELECT sum(pnl) FROM trades", untrusted=untrusted).fetchall()


def test_only_the_files_that_a_statement_needs_are_given(lake: QueryLake) -> None:
    seen: list[LiveFile] = []
    answer = query.run(lake.root, lake.pruned(seen), "SELECT sum(pnl) FROM trades WHERE strategy = 'a'")
    assert answer.fetchall() == [(3.5,)]
    assert [file.strategy for file in seen] == ["a"]


def test_a_snapshot_source_that_fails_says_so_itself(lake: QueryLake) -> None:
    def source(needs: query.Needs) -> Snapshot:
        raise CorruptFileError("as it was")

    with pytest.raises(CorruptFileError, match="as it was"):
        query.run(lake.root, source, "SELECT 1")
