"""What is kept from statement to statement: used while nothing was committed, and never seen when it is old."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import duckdb
import psycopg
import pytest

import lakestore
from lakestore import Lake
from lakestore.catalog import snapshot, snapshot_cache
from lakestore.catalog.bounds import Bounds
from lakestore.catalog.snapshot import Wanted
from lakestore.errors import CorruptFileError
from lakestore.query import instance

COUNT = "SELECT count(*), sum(x) FROM t"


@pytest.fixture
def lake(tmp_path: Path, dsn: str) -> Iterator[Lake]:
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        lake.save({"strategy": "s", "t": [{"x": 1}]}, task_id="a")
        yield lake


def test_a_snapshot_is_handed_out_again_until_something_is_committed(lake: Lake, dsn: str) -> None:
    catalog = lake.parts().catalog
    wanted = Wanted(tables={"t": Bounds()}, results=None)
    first = catalog.snapshot(wanted)
    # Other work on the same server, of other tests, may have come between.
    assert any(catalog.snapshot(wanted) is catalog.snapshot(wanted) for _ in range(20))
    with lakestore.open(lake.root, dsn=dsn) as other:
        other.save({"strategy": "s", "t": [{"x": 2}]}, task_id="b")
    assert len(catalog.snapshot(wanted).files) == len(first.files) + 1


def test_an_open_transaction_changes_nothing_until_it_commits(lake: Lake, dsn: str) -> None:
    asked = "SELECT count(*) FROM results WHERE status = 'odd'"
    with psycopg.connect(dsn) as conn:
        conn.execute("UPDATE backtest_results SET status = 'odd'")
        assert [lake.sql(asked).fetchall() for _ in range(3)] == [[(0,)]] * 3
        conn.commit()
        assert lake.sql(asked).fetchall() == [(1,)]


def test_each_statement_sees_what_was_committed_before_it(lake: Lake) -> None:
    for number in range(2, 6):
        for _ in range(2):
            assert lake.sql(COUNT).fetchall() == [(number - 1, sum(range(number)))]
            assert lake.sql("SELECT count(*) FROM results").fetchall() == [(number - 1,)]
        lake.save({"strategy": "s", "t": [{"x": number}]}, task_id=f"n{number}")
    lake.delete("a")
    assert lake.sql(COUNT).fetchall() == [(4, 14)]


def test_a_relation_outlives_what_is_kept(lake: Lake) -> None:
    late = [lake.sql(COUNT), lake.sql(COUNT)]
    for number in range(12):
        assert lake.sql(f"SELECT x + {number} AS x{number}, strategy FROM t ORDER BY ALL").fetchall()
        assert lake.sql("SELECT count(*) FROM results").fetchall() == [(number + 1,)]
        lake.save({"strategy": "s", "t": [{"x": 0}]}, task_id=f"n{number}")
        gc.collect()
    assert [relation.fetchall() for relation in late] == [[(1, 1)]] * 2


def test_databases_that_nobody_uses_go(lake: Lake) -> None:
    for number in range(20):
        lake.save({"strategy": "s", "t": [{"x": 0}]}, task_id=f"n{number}")
        lake.sql(COUNT).fetchall()
    gc.collect()
    lake.sql("SELECT 1").fetchall()
    attached = lake.sql("SELECT database_name FROM duckdb_databases() WHERE database_name LIKE 'lake%'").fetchall()
    assert len(attached) <= 8


def test_what_is_made_of_a_relation_is_not_seen_by_the_next_statement(lake: Lake) -> None:
    first, second = lake.sql(COUNT), lake.sql("SELECT x FROM t")
    second.create_view("t")
    first.create("mine")
    assert [lake.sql(COUNT).fetchall() for _ in range(2)] == [[(1, 1)]] * 2
    with pytest.raises(lakestore.QueryError, match="mine"):
        lake.sql("FROM mine")


def test_a_damaged_file_is_refused_however_often_it_was_read(lake: Lake) -> None:
    assert [lake.sql(COUNT).fetchall() for _ in range(2)] == [[(1, 1)]] * 2
    path = lake.root / lake.files("t")[0].path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptFileError, match="is damaged"):
        lake.sql(COUNT)


def test_a_name_that_is_not_there_does_not_change_what_is_kept(lake: Lake) -> None:
    for _ in range(2):
        with pytest.raises(lakestore.QueryError, match="y"):
            lake.sql("SELECT y FROM t")
        assert lake.sql("SELECT x FROM t").fetchall() == [(1,)]


def test_large_snapshots_and_those_without_version_are_not_kept(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = lake.parts().catalog
    monkeypatch.setattr(snapshot_cache, "_BYTES", 10)
    assert catalog.snapshot(Wanted()) is not catalog.snapshot(Wanted())
    monkeypatch.undo()
    monkeypatch.setattr(snapshot, "_only", lambda cursor: None)
    assert catalog.snapshot(Wanted()) is not catalog.snapshot(Wanted())
    assert not catalog.snapshot(Wanted()).kept


def test_a_notebook_that_cannot_draw_a_progress_bar_is_answered(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    # What DuckDB says of any setting of the bar in Jupyter without ipywidgets.
    monkeypatch.setattr(instance, "_QUIET", "SELECT error('required package ipywidgets is missing')")
    with pytest.raises(duckdb.InvalidInputException):
        duckdb.sql(instance._QUIET).fetchall()
    for untrusted in (False, True):
        for _ in range(2):
            assert lake.sql("SELECT x FROM t", untrusted=untrusted).fetchall() == [(1,)]
            assert lake.sql("SHOW TABLES", untrusted=untrusted).fetchall()
    with lake.connect() as con:
        assert con.execute("SELECT x FROM t").fetchall() == [(1,)]
