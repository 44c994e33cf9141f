"""Statistics by symbol: equal to what the JSON says, carried by every way a result comes into the catalog."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lakestore import Item, Lake, maintenance, record
from lakestore.bench import generate
from lakestore.codec.statistics import by_symbol
from lakestore.layout import RESULTS
from lakestore.parquet import from_buffer

EXACT = 2**53
Found = dict[tuple[str, str, str], tuple[Any, ...]]


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small results keep them too."""
    monkeypatch.setattr(by_symbol, "SHARE", 100.0)


def found_in(lake: Lake, where: str = "true") -> Found:
    rows = lake.sql(
        f"SELECT task_id, column_name, symbol, rows, nulls, min, max, sum FROM run_stats_by_symbol WHERE {where}"
    ).fetchall()
    found = {row[:3]: row[3:] for row in rows}
    assert len(found) == len(rows)
    return found


def trades(*pnl: float) -> list[dict[str, Any]]:
    return [{"symbol": "AB"[number % 2], "pnl": value} for number, value in enumerate(pnl)]


def document(*pnl: float) -> dict[str, Any]:
    return {"strategy": "s", "created_at": "2024-01-01", "trades": trades(*pnl)}


def test_a_typical_result_has_them_within_a_hundredth_of_what_it_takes(lake: Lake, dsn: str) -> None:
    infos = [lake.save(generate.typical(n).text, task_id=str(n)) for n in (1_000, 10_000, 20_000)]
    with psycopg.connect(dsn) as conn:
        taken = dict(
            conn.execute(
                "SELECT task_id, octet_length(stats) + coalesce(sum(octet_length(by_symbol)), 0)::int "
                "FROM run_stats RIGHT JOIN backtest_results USING (write_id) GROUP BY task_id"
            ).fetchall()
        )
    for info in infos[1:]:
        assert 2 * taken[info.task_id] <= info.file_size / 100
    # The short ones first: there is room for the trades of 10,000 signals, not for the signals' own.
    asked = "SELECT DISTINCT task_id, table_name FROM run_stats_by_symbol ORDER BY ALL"
    assert lake.sql(asked).fetchall() == [("10000", "trades"), ("20000", "signals"), ("20000", "trades")]
    told = "SELECT task_id, table_name FROM run_stats WHERE symbols = 10 GROUP BY ALL ORDER BY ALL"
    assert lake.sql(told).fetchall() == lake.sql(asked).fetchall()
    assert lake.sql("SELECT count(*) FROM run_stats WHERE symbols IS NULL AND task_id = '1000'").fetchall()[0][0] > 0


def test_they_are_those_of_the_rows(lake: Lake) -> None:
    lake.save(generate.typical(20_000).text, task_id="a")
    for table, column in (("trades", "pnl"), ("signals", "ema_fast"), ("signals", "volume")):
        asked = f"SELECT symbol, count(*), count(*) - count({column}), min({column}), max({column}), "
        asked += f"CAST(sum(CAST({column} AS DECIMAL(18, 4))) AS DOUBLE) FROM {table} GROUP BY 1 ORDER BY 1"
        told = f"SELECT symbol, rows, nulls, min, max, sum FROM run_stats_by_symbol WHERE table_name = '{table}' "
        told += f"AND column_name = '{column}' ORDER BY 1"
        assert lake.sql(told).fetchall() == lake.sql(asked).fetchall()


# A column of each kind: what does not fit a lake's column would stand beside it, as text.
numbers = st.fixed_dictionaries(
    {
        "decimal": st.lists(st.integers(-(10**9), 10**9).map(lambda number: number / 100), min_size=1, max_size=12),
        "whole": st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=12),
        "double": st.lists(st.floats(), min_size=1, max_size=12),
    }
)
tables = st.lists(
    st.tuples(st.sampled_from(["BTC/USDT", "é", "", "x\0y", '"']), st.booleans()), min_size=1, max_size=12
)


@settings(
    deadline=None,
    max_examples=int(os.environ.get("LAKESTORE_EXAMPLES", "20")),
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.data())
def test_they_are_what_the_json_says(lake: Lake, roomy: None, data: st.DataObject) -> None:
    rows = data.draw(tables)
    columns = data.draw(numbers)
    gaps = data.draw(st.sampled_from(["", *columns]))
    records = [
        {
            "pair": symbol,
            **{name: None if null and name == gaps else drawn[at % len(drawn)] for name, drawn in columns.items()},
        }
        for at, (symbol, null) in enumerate(rows)
    ]
    task_id = f"drawn {next(_COUNTS)}"
    lake.save({"strategy": "s", "rows": records}, task_id=task_id)
    found = found_in(lake, f"task_id = '{task_id}'")
    expected = {}
    for name in columns:
        if any(row[name] is not None for row in records):
            for symbol in {symbol for symbol, _ in rows}:
                expected[task_id, name, symbol] = [row[name] for row in records if row["pair"] == symbol]
    assert found.keys() == expected.keys()
    for key, given_values in expected.items():
        _check(found[key], given_values)


_COUNTS = count()


def _check(found: tuple[Any, ...], given_values: list[Any]) -> None:
    there = [value for value in given_values if value is not None]
    rows, nulls, least, greatest, total = found
    assert (rows, nulls) == (len(given_values), len(given_values) - len(there))
    if not there:
        assert (least, greatest, total) == (None, None, None)
        return
    numbers = [value for value in there if not math.isnan(value)]
    low, high = (min(numbers), max(numbers)) if numbers else (math.nan, math.nan)
    if len(numbers) < len(there):
        # As in SQL, NaN is the largest.
        assert math.isnan(greatest) and math.isnan(total)
    elif isinstance(high, int) and max(-low, high) >= EXACT:
        assert greatest >= high and math.isclose(greatest, high)
    else:
        assert greatest == high
    if isinstance(low, int) and max(-low, high) >= EXACT:
        assert least <= low and math.isclose(least, low)
    elif numbers:
        assert least == low
    else:
        assert math.isnan(least)
    if len(numbers) == len(there) and all(map(math.isfinite, numbers)):
        exact = float(sum(Decimal(repr(value)) for value in numbers))
        assert total in (exact, _fsum(numbers))


def _fsum(numbers: list[Any]) -> float:
    try:
        return math.fsum(numbers)
    except OverflowError:
        return math.copysign(math.inf, sum(numbers))


def test_every_way_into_the_lake_carries_them(lake: Lake, roomy: None) -> None:
    lake.save(document(1, 2, 3), task_id="a")
    for each in lake.save_many([Item(document=document(n, 10 * n), task_id=f"b{n}") for n in (1, 2)]):
        assert not isinstance(each, Exception)
    sums = {key[::2]: value[4] for key, value in found_in(lake, "column_name = 'pnl'").items()}
    assert sums == {
        ("a", "A"): 4, ("a", "B"): 2, ("b1", "A"): 1, ("b1", "B"): 10, ("b2", "A"): 2, ("b2", "B"): 20,
    }  # fmt: skip
    lake.save(document(7), task_id="a", replace=True)
    lake.delete("b1")
    lake.delete("b2")
    maintenance.restore(lake, "b2")
    sums = {key[::2]: value[4] for key, value in found_in(lake).items()}
    assert sums == {("a", "A"): 7, ("b2", "A"): 2, ("b2", "B"): 20}


def test_a_connection_makes_them_when_a_statement_reads_them(
    lake: Lake, roomy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.save(document(1, 2), task_id="a")
    made = []
    unpacked = by_symbol.unpacked
    monkeypatch.setattr(by_symbol, "unpacked", lambda *given: made.append(1) or unpacked(*given))
    asked = "SELECT task_id, symbol, sum FROM run_stats_by_symbol WHERE column_name = 'pnl' ORDER BY ALL"
    rows = [("a", "A", 1.0), ("a", "B", 2.0)]
    with lake.connect() as con:
        listed = ["backtest_results", "results", "run_stats", "run_stats_by_symbol", "trades"]
        assert [name for (name,) in con.execute("SHOW TABLES").fetchall()] == listed
        described = con.execute("DESCRIBE run_stats_by_symbol").fetchall()
        assert con.execute("SELECT count(*) FROM run_stats").fetchall() == [(1,)]
        assert not made
        old = con.execute(asked)
        assert con.cursor().execute(asked).fetchall() == rows
        assert old.fetchall() == rows
        assert con.execute(f"SELECT count(*) FROM ({asked}) a JOIN ({asked}) b USING (symbol)").fetchall() == [(2,)]
        assert len(made) == 1
        lake.save(document(5), task_id="b")
        lake.refresh(con)
        assert len(made) == 1
        assert con.cursor().execute(asked).fetchall() == [*rows, ("b", "A", 5.0)]
        lake.delete("a")
        lake.delete("b")
        lake.refresh(con)
        assert con.execute(asked).fetchall() == []
        assert con.execute("DESCRIBE run_stats_by_symbol").fetchall() == described
    assert lake.sql("DESCRIBE run_stats_by_symbol").fetchall() == described


def test_compaction_leaves_them_as_they_were(lake: Lake, roomy: None) -> None:
    lake.save_many([Item(document=document(n, 2.5 * n), task_id=f"b{n}") for n in (1, 2, 3)])
    lake.save(document(-1, 1), task_id="a")
    lake.delete("b2")
    before = found_in(lake)
    assert len(before) == 6
    assert any(done.into for done in maintenance.compact(lake))
    assert found_in(lake) == before


def test_the_file_of_results_holds_them(lake: Lake, roomy: None) -> None:
    info = lake.save(document(1, 2), task_id="a")
    [file] = lake.files(RESULTS)
    [row] = record.rows(from_buffer((lake.root / file.path).read_bytes(), file.path), file.path)
    assert row.stats == info.stats
    assert row.stats.by_symbol.keys() == {"trades"}


def test_results_without_any_say_so(lake: Lake, roomy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.save(document(1, 2), task_id="new")
    monkeypatch.setattr(by_symbol, "SHARE", 0.0)
    lake.save(document(3, 4), task_id="old")
    assert {task for task, _, _ in found_in(lake)} == {"new"}
    asked = "SELECT task_id, symbols, sum FROM run_stats WHERE column_name = 'pnl' ORDER BY 1"
    assert lake.sql(asked).fetchall() == [("new", 2, 3.0), ("old", None, 7.0)]


def test_what_is_asked_for_is_found(lake: Lake, roomy: None) -> None:
    for number in (1, 2):
        lake.save({**document(number, -number), "fills": [{"symbol": "A", "q": 5}]}, task_id=f"t{number}")
    everything = found_in(lake)
    assert len(everything) == 2 * (2 + 1)
    wheres: dict[str, Callable[[str, str, str], bool]] = {
        "symbol = 'A'": lambda task, column, symbol: symbol == "A",
        "symbol IN ('B', 'C') AND table_name = 'trades'": lambda task, column, symbol: symbol == "B",
        "table_name = 'fills'": lambda task, column, symbol: column == "q",
        "column_name = 'pnl' AND task_id = 't1'": lambda task, column, symbol: (task, column) == ("t1", "pnl"),
        "column_name = 'q' OR symbol = 'B'": lambda task, column, symbol: column == "q" or symbol == "B",
        "symbol > 'A'": lambda task, column, symbol: symbol > "A",
        "column_name = 'Pnl'": lambda task, column, symbol: False,
        "lower(symbol) = 'a'": lambda task, column, symbol: symbol == "A",
    }
    for where, test in wheres.items():
        assert found_in(lake, where) == {key: value for key, value in everything.items() if test(*key)}, where
    joined = (
        "SELECT sum(s.sum) FROM run_stats_by_symbol s JOIN results r USING (task_id) "
        "WHERE s.symbol = 'B' AND r.task_id = 't2'"
    )
    assert lake.sql(joined).fetchall() == [(-2.0,)]
    with lake.connect() as con:
        told = con.execute("SELECT count(*), sum(sum) FROM run_stats_by_symbol WHERE column_name = 'q'").fetchall()
        assert told == [(2, 10.0)]
    assert json.loads(lake.load("t1").to_json())["fills"] == [{"symbol": "A", "q": 5}]
