"""Plain Parquet: DuckDB, pandas, polars and Spark read the live files by themselves, and see what `lake.sql` shows."""

from __future__ import annotations

import gzip
import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lakestore
from lakestore import Item, Lake, layout, maintenance
from lakestore.bench.generate import typical
from tests.other_tools import canonical

ROOT = Path(__file__).parents[2]
_OWN = ("_pos", "strategy", "run_date", "filename")
"""Own columns that only some files have, or that come from the path."""

ULPS = "__ulps"
"""Follows the name of a column of decimals: the units in the last place that are missing to its doubles."""

Reader = Callable[[list[str]], list[list[dict[str, Any]]]]
"""The rows of each file."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """Results of several engines and sizes; some share files, some are compacted, some rows are sorted by symbol."""
    awkward = [
        {"n": 1, "x": 1.5, "at": "2024-01-01T00:00:00Z", "day": "2024-01-02", "in": {"yes": True}, "many": []},
        {"n": None, "x": float("nan"), "at": "1969-12-31T23:59:59.123456Z", "day": "1900-02-28", "many": [{"q": 1.25}]},
        {"n": 2**60, "x": 1e300, "text": "é\u0000\U0001f600", "in": {"yes": None}, "many": [None, {"q": -0.0}]},
    ]
    with lakestore.open(tmp_path_factory.mktemp("tools") / "lake", dsn="") as opened:
        for place, path in enumerate(sorted((ROOT / "examples").glob("*/*.json.gz"))):
            text = gzip.decompress(path.read_bytes())
            opened.save(text, task_id=f"real-{place}", strategy="iaf" if path.parent.name == "iaf" else None)
        for signals in (1, 100, 20_000):
            opened.save(typical(signals, signals).text)
        opened.save({"strategy": "odd=a/b", "rows": awkward * 40}, task_id="awkward")
        for places in (2, 5):
            beside = [
                {"n": n, "x": averages(places)[n] if n % 9 else None, "fills": filled(places, n)} for n in range(300)
            ]
            opened.save({"strategy": "s", "averages": beside}, task_id=f"averages-{places}")
        opened.save_many([Item(document=typical(40, 1_000 + seed).value) for seed in range(10)])
        done = list(maintenance.compact(opened, table="equity_curve", partition="month"))
        assert any(one.into for one in done) and not any(one.problem for one in done)
        yield opened


def averages(places: int) -> list[float]:
    """Averages of five prices, as a running sum makes them: each a few units in the last place beside a decimal."""
    prices = [round(100 + 3 * math.sin(n / 7) + (n * n) % 5 / 10, places) for n in range(305)]
    made, total = [], sum(prices[:5])
    for new, old in zip(prices[5:], prices, strict=False):
        total += new - old
        made.append(total / 5)
    return made


def filled(places: int, n: int) -> list[dict[str, Any] | None] | None:
    """Members of lists that lie beside decimals likewise; some lists, elements and members are null."""
    fills = [{"size": size, "at": averages(places)[(n + size) % 300] if n % 7 else None} for size in range(n % 4)]
    return [*fills, None] if n % 5 == 1 else fills if n % 11 else None


def by_duckdb(paths: list[str]) -> list[list[dict[str, Any]]]:
    con = duckdb.connect()
    found = [con.read_parquet(path, hive_partitioning=False).to_arrow_table().to_pylist() for path in paths]
    con.close()
    return found


def by_pandas(paths: list[str]) -> list[list[dict[str, Any]]]:
    frames = [pd.read_parquet(path, dtype_backend="pyarrow", partitioning=None) for path in paths]
    return [
        [dict(zip(frame.columns, row, strict=True)) for row in zip(*[_values(frame[c]) for c in frame], strict=True)]
        for frame in frames
    ]


def _values(column: Any) -> list[Any]:
    import pyarrow as pa

    values: list[Any] = pa.array(column).to_pylist()
    return values


def by_polars(paths: list[str]) -> list[list[dict[str, Any]]]:
    return [pl.read_parquet(path, hive_partitioning=False).to_dicts() for path in paths]


def by_spark(paths: list[str]) -> list[list[dict[str, Any]]]:
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: 'make test-spark' does")
    done = subprocess.run(
        [sys.executable, "-m", "tests.spark_rows"],
        input="\n".join(paths), capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    lines = done.stdout.splitlines()
    return [json.loads(line.removeprefix("ROWS ")) for line in lines if line.startswith("ROWS ")]


@pytest.mark.parametrize("read", [by_duckdb, by_pandas, by_polars, by_spark])
def test_another_tool_sees_the_rows_that_sql_shows(lake: Lake, read: Reader) -> None:
    tables = sorted({file.table for file in lake.files()} - {layout.RESULTS})
    assert {"trades", "signals", "equity_curve", "rows", "averages"} <= set(tables)
    paths = {table: [str(lake.root / file.path) for file in lake.files(table)] for table in tables}
    found = iter(read([path for table in tables for path in paths[table]]))
    for table in tables:
        seen = [_row(completed(row)) for _ in paths[table] for row in next(found)]
        shown = lake.sql(f'SELECT * FROM "{table}"').to_arrow_table()
        expected = [_row(row) for row in shown.to_pylist()]
        assert sorted(seen) == sorted(expected), table


def completed(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a file with the doubles that stand as a decimal of their first digits and the units beside it."""
    made = {name: _completed(value) for name, value in row.items()}
    for name in [name for name in row if name.endswith(ULPS)]:
        units, decimal = made.pop(name), row[name.removesuffix(ULPS)]
        if units is not None:
            value = float(decimal)
            joined = value + units * (value - math.nextafter(value, 0.0))
            assert math.isclose(value, joined, rel_tol=1e-12)
            made[name.removesuffix(ULPS)] = joined
    return made


def _completed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_completed(item) for item in value]
    return completed(value) if isinstance(value, dict) else value


def test_files_say_by_a_column_of_its_own_where_doubles_are_more_than_their_decimals(lake: Lake) -> None:
    for file in lake.files("averages"):
        schema = pq.read_schema(lake.root / file.path)
        assert pa.types.is_decimal(schema.field("x").type) and schema.field("x__ulps").type == pa.int64()
        fill = schema.field("fills").type.value_type
        assert pa.types.is_decimal(fill.field("at").type) and fill.field("at__ulps").type == pa.int64()
    shown = lake.sql("SELECT * FROM averages ORDER BY task_id, n")
    assert shown.columns == ["task_id", "strategy", "run_date", "n", "x", "fills"]
    expected = [averages(places)[n] if n % 9 else None for places in (2, 5) for n in range(300)]
    rows = shown.fetchall()
    assert [row[-2] for row in rows] == expected
    assert [row[-1] for row in rows] == [filled(places, n) for places in (2, 5) for n in range(300)]
    statistics = (
        "SELECT column_name, list(sum ORDER BY task_id) FROM run_stats WHERE table_name = 'averages' GROUP BY 1"
    )
    sums = dict(lake.sql(statistics).fetchall())
    halves = expected[:300], expected[300:]
    exact = [math.fsum(value for value in half if value is not None) for half in halves]
    assert sums == {"n": [sum(range(300))] * 2, "x": exact}


def _row(row: dict[str, Any]) -> str:
    return json.dumps(canonical({name: value for name, value in row.items() if name not in _OWN}))
