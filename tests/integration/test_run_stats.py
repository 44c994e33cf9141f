"""Statistics per result: equal to what SQL says of the rows, carried by every way a result comes into the catalog."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from lakestore import Item, Lake, maintenance, record
from lakestore.layout import RESULTS
from lakestore.model import RunStats
from lakestore.parquet import from_buffer

NAN, INF = math.nan, math.inf
COLUMNS: dict[str, list[Any]] = {
    "decimals": [0.1, 0.2, -0.3, 12.75],
    "long": [0.1 + 0.2, 1 / 3, -2e-300, 1e300],
    "whole": [1, -5, 7, 2**40],
    "wide": [2**62 + 1, 2**62 + 3, -(2**62), 0],
    "gaps": [None, 1.5, None, -1.5],
    "nan": [NAN, 1.0, 2.0, -0.0],
    "all_nan": [NAN, NAN, NAN, NAN],
    "infinite": [INF, -INF, 1.0, 2.0],
    "huge": [1.7e308, 1.7e308, -1.0, 0.5],
    "text": ["a", "b", "c", "d"],
}
ROWS = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*COLUMNS.values(), strict=True)]


def stats(lake: Lake, where: str = "true") -> dict[tuple[str, str], tuple[Any, ...]]:
    rows = lake.sql(f"SELECT task_id, column_name, rows, nulls, min, max, sum FROM run_stats WHERE {where}").fetchall()
    found = {(row[0], row[1]): row[2:] for row in rows}
    assert len(found) == len(rows)
    return found


def test_statistics_are_those_of_the_rows(lake: Lake) -> None:
    lake.save({"strategy": "s", "t": ROWS}, task_id="a")
    found = stats(lake)
    assert {column for _, column in found} == COLUMNS.keys() - {"text"}
    for name in COLUMNS.keys() - {"text", "huge"}:
        asked = f"count(*), count(*) - count({name}), min({name}), max({name}), sum({name}::DOUBLE)"
        [expected] = lake.sql(f"SELECT {asked} FROM t").fetchall()
        assert found["a", name] == pytest.approx(expected, nan_ok=True, rel=1e-12), name
    assert found["a", "decimals"][4] == 12.75
    assert found["a", "long"][4] == math.fsum(COLUMNS["long"])
    assert found["a", "huge"] == (4, 0, -1.0, 1.7e308, INF)


def test_bounds_of_integers_beyond_doubles_hold(lake: Lake) -> None:
    lake.save({"strategy": "s", "t": ROWS}, task_id="a")
    _, _, low, high, _ = stats(lake)["a", "wide"]
    assert low <= -(2**62)
    assert high >= 2**62 + 3


def test_a_column_without_any_value_has_no_statistics(lake: Lake) -> None:
    lake.save({"strategy": "s", "t": [{"x": 1.5}], "u": []}, task_id="a")
    lake.save({"strategy": "s", "t": [{"x": None}, {"x": None}], "u": []}, task_id="b")
    assert stats(lake) == {("a", "x"): (1, 0, 1.5, 1.5, 1.5)}


def test_every_way_into_the_lake_carries_statistics(lake: Lake) -> None:
    lake.save({"strategy": "s", "t": [{"x": 1}]}, task_id="a")
    lake.save_many([Item(document={"strategy": "s", "t": [{"x": n}, {"x": n}]}, task_id=f"b{n}") for n in (2, 3)])
    assert {key: value[4] for key, value in stats(lake).items()} == {("a", "x"): 1, ("b2", "x"): 4, ("b3", "x"): 6}
    lake.save({"strategy": "s", "t": [{"x": 9}]}, task_id="a", replace=True)
    lake.delete("b2")
    assert {key: value[4] for key, value in stats(lake).items()} == {("a", "x"): 9, ("b3", "x"): 6}


def test_compaction_leaves_statistics_as_they_were(lake: Lake) -> None:
    for task_id in ("a", "b", "c"):
        lake.save({"strategy": "s", "created_at": "2024-01-01", "t": ROWS}, task_id=task_id)
    lake.delete("b")
    before = repr(stats(lake))
    assert [(done.files, done.into) for done in maintenance.compact(lake, table="t")] == [(2, 1)]
    assert len(lake.files("t")) == 1
    assert repr(stats(lake)) == before
    [row] = lake.sql("SELECT count(*), sum(gaps), max(whole) FROM t").fetchall()
    [told] = lake.sql(
        "SELECT sum(rows) FILTER (column_name = 'gaps'), sum(sum) FILTER (column_name = 'gaps'), "
        "max(max) FILTER (column_name = 'whole') FROM run_stats"
    ).fetchall()
    assert row == told


def test_the_results_file_holds_the_same_statistics_where_rows_are_many_or_shared(
    lake: Lake, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held() -> dict[str, RunStats | None]:
        found = [
            row
            for file in lake.files(RESULTS)
            for row in record.rows(from_buffer((lake.root / file.path).read_bytes(), file.path), file.path)
        ]
        return {row.task_id: row.stats if row.has_stats else None for row in found}

    few = lake.save({"strategy": "s", "created_at": "2024-01-01", "t": ROWS}, task_id="few")
    monkeypatch.setattr(record, "FEW", len(ROWS) - 1)
    lake.save({"strategy": "s", "created_at": "2024-01-01", "t": ROWS}, task_id="many")
    lake.save_many([Item(document={"strategy": "b", "t": ROWS}, task_id=f"b{n}") for n in (1, 2)])
    with psycopg.connect(dsn) as conn:
        rows = conn.execute("SELECT task_id, stats FROM backtest_results").fetchall()
    packed = {task_id: RunStats(stats) for task_id, stats in rows}
    assert packed["few"] == few.stats != RunStats()
    assert held() == {**packed, "few": None}
    # In a file with others it is told: to count them again would take reading a file for each.
    assert [done.into for done in maintenance.compact(lake, table=RESULTS, strategy="s")] == [1]
    assert held() == packed


def test_statistics_are_bounded_like_results(lake: Lake) -> None:
    for number in range(4):
        document = {"strategy": f"s{number % 2}", "t": [{"x": number}]}
        lake.save(document, task_id=f"t{number}", created_at=datetime(2024, 1, 1 + number, tzinfo=UTC))
    assert {task for task, _ in stats(lake, "strategy = 's1' AND run_date >= '2024-01-03'")} == {"t3"}
    assert {task for task, _ in stats(lake, "task_id IN ('t0', 't2')")} == {"t0", "t2"}
    with lake.connect() as con:
        assert con.execute("SELECT sum(sum) FROM run_stats WHERE table_name = 't'").fetchall() == [(6.0,)]


def test_a_lake_without_numbers_answers_an_empty_list(lake: Lake) -> None:
    assert stats(lake) == {}
    lake.save({"strategy": "s", "t": [{"x": "text"}]}, task_id="a")
    assert stats(lake) == {}


def test_a_table_of_that_name_in_documents_stands_apart(lake: Lake) -> None:
    info = lake.save({"strategy": "s", "run_stats": [{"x": 1}]}, task_id="a")
    assert dict(info.tables) == {"run_stats__2": 1}
    assert lake.sql("SELECT x FROM run_stats__2").fetchall() == [(1,)]
