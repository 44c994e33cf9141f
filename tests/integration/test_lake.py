"""A lake as its users use it: saved, loaded, listed, queried, deleted, by several processes at once."""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

import lakestore
from lakestore import Lake
from lakestore.catalog.snapshot import Snapshot
from lakestore.query import Needs, instance

EXAMPLES = sorted(Path("examples").rglob("*.json*"))


def text(document: Any) -> bytes:
    return json.dumps(document, indent=2).encode()


def data_files(lake: Lake) -> list[Path]:
    return sorted(path for path in lake.root.rglob("*") if path.is_file() and "_lakestore" not in path.parts)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_a_shipped_document_comes_back_byte_for_byte_and_by_its_own_means(lake: Lake, path: Path) -> None:
    source = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    info = lake.save(source, strategy=None if b'"strategy_comparison"' in source else "iaf")
    result = lake.load(info.task_id)
    assert result.to_json() == source
    assert repr(result.document) == repr(json.loads(source))
    assert info.fidelity.kind == "style"
    assert dict(info.tables) == {name: table.num_rows for name, table in result.tables.items()}


def test_there_are_shipped_documents_of_two_engines() -> None:
    assert len(EXAMPLES) >= 3


def test_a_file_is_saved_by_its_path_and_dated_by_its_time(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b'{"strategy": "s", "signals": [{"price": 1.10}]}\n')
    info = lake.save(path)
    assert lake.load(info.task_id).to_json() == path.read_bytes()
    assert abs(info.created_at.timestamp() - path.stat().st_mtime) < 1e-3
    packed = tmp_path / "run.json.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    os.utime(packed, ns=(0, path.stat().st_mtime_ns))
    assert lake.save(packed, created_at=info.created_at) == info
    assert lake.save_many([lakestore.Item(document=packed)]) == [info]


def test_a_result_lies_where_the_layout_says_and_nothing_else_does(lake: Lake) -> None:
    lake.save({"strategy": "a b/ü", "created_at": "2026-01-31T23:30:00-02:00", "signals": [{"x": 1}]}, task_id="t")
    names = [path.relative_to(lake.root).as_posix().rsplit("/", 1)[0] for path in data_files(lake)]
    place = "strategy=a%20b%2F%C3%BC/run_date=2026-02-01"
    assert names == [f"results/{place}", f"signals/{place}"]
    assert lake.sql("SELECT strategy, run_date, x FROM signals").fetchall() == [("a b/ü", date(2026, 2, 1), 1)]


def test_the_same_document_saved_twice_is_one_result_and_writes_nothing(lake: Lake) -> None:
    document = {"strategy": "s", "signals": [{"x": 1}]}
    first = lake.save(document)
    files = data_files(lake)
    assert lake.save(document) == first
    assert lake.save(document, strategy="s").write_id == first.write_id
    assert data_files(lake) == files


def test_an_engine_may_change_its_dict_after_the_save(lake: Lake) -> None:
    document = {"strategy": "s", "params": {"fast": [1, 2]}, "trades": [{"pnl": 1.5}]}
    info = lake.save(document, task_id="a")
    document["params"]["fast"].append(3)  # type: ignore[index]
    document["trades"][0]["pnl"] = 2.5  # type: ignore[index]
    assert info == lake.info("a") and info.params == {"fast": [1, 2]}
    assert lake.load("a").document["trades"] == [{"pnl": 1.5}]


def test_other_content_under_a_taken_id_is_refused_and_leaves_nothing(lake: Lake) -> None:
    lake.save({"strategy": "s", "n": 1}, task_id="t")
    files = data_files(lake)
    with pytest.raises(lakestore.AlreadyExistsError, match="'t' is already in the lake with other content"):
        lake.save({"strategy": "s", "n": 2}, task_id="t")
    with pytest.raises(lakestore.AlreadyExistsError, match="status completed is stored, failed was given"):
        lake.save({"strategy": "s", "n": 1}, task_id="t", status="failed")
    assert data_files(lake) == files
    assert lake.load("t").document == {"strategy": "s", "n": 1}


def test_replace_puts_the_new_content_in_place_and_hides_the_old_rows(lake: Lake) -> None:
    lake.save({"strategy": "s", "signals": [{"x": 1}, {"x": 2}]}, task_id="t")
    lake.save({"strategy": "s", "signals": [{"x": 7}]}, task_id="t", replace=True)
    assert lake.load("t").document["signals"] == [{"x": 7}]
    assert lake.sql("SELECT x FROM signals").fetchall() == [(7,)]
    assert len(lake.results()) == 1


def test_delete_hides_the_result_everywhere_and_leaves_a_tombstone(lake: Lake) -> None:
    info = lake.save({"strategy": "s", "signals": [{"x": 1}]}, task_id="t")
    lake.delete("t")
    assert lake.sql("SELECT count(*) FROM signals").fetchall() == [(0,)]
    assert lake.sql("SELECT count(*) FROM results").fetchall() == [(0,)]
    assert lake.results() == [] and not lake.exists("t") and lake.files() == []
    stone = json.loads((lake.root / "_lakestore" / "tombstones" / f"{info.write_id}.json").read_text())
    assert stone["dead"] == [[str(info.write_id), "t"]] and stone["reason"] == "deleted"
    for use in (lake.load, lake.delete, lake.info):
        with pytest.raises(lakestore.NotFoundError, match="result 't' is not in the lake"):
            use("t")


def test_columns_of_different_decimals_types_and_presence_give_exact_answers_together(lake: Lake) -> None:
    runs: list[list[dict[str, Any]]] = [
        [{"price": 1.25, "size": 1}, {"price": 2.5, "size": 2}],
        [{"price": 0.1 + 0.2, "size": 2.5}],
        [{"price": 3, "size": 2**53}, {"price": 1e300, "size": -(2**53)}],
        [{"price": "n/a", "size": 4, "only": True}, {"price": 90015638513.85, "size": None}],
        [{"price": None, "size": 2**60}],
        [{"size": "big"}],
    ]
    for place, rows in enumerate(runs):
        lake.save({"strategy": f"s{place % 2}", "signals": rows}, task_id=f"t{place}")
    rows = [row for run in runs for row in run]
    prices = sorted(float(r["price"]) for r in rows if isinstance(r.get("price"), int | float))
    assert [
        row[0] for row in lake.sql("SELECT price FROM signals WHERE price IS NOT NULL ORDER BY 1").fetchall()
    ] == prices
    assert lake.sql("SELECT price__json FROM signals WHERE price__json IS NOT NULL").fetchall() == [('"n/a"',)]
    sizes = sorted(r["size"] for r in rows if isinstance(r.get("size"), int | float) and abs(r["size"]) <= 2**53)
    assert [
        row[0] for row in lake.sql("SELECT size FROM signals WHERE size IS NOT NULL ORDER BY 1").fetchall()
    ] == sizes
    assert lake.sql("SELECT size__json FROM signals WHERE size__json IS NOT NULL ORDER BY 1").fetchall() == [
        ('"big"',),
        (str(2**60),),
    ]
    assert lake.sql("SELECT count(*) FROM signals WHERE price = 0.30000000000000004::DOUBLE").fetchall() == [(1,)]
    for place, run in enumerate(runs):
        assert repr(lake.load(f"t{place}").document["signals"]) == repr(run)


def test_no_key_of_a_record_disturbs_an_own_column_or_another_key(lake: Lake) -> None:
    row = {
        "date": "d",
        "strategy": "mine",
        "Price": 1,
        "price": 2,
        "filename": "f",
        "task_id": 5,
        "run_date": 6,
        "_pos": 7,
        "": 8,
    }
    lake.save({"strategy": "s", "created_at": "2026-01-02", "signals": [row]}, task_id="t")
    found = lake.sql("SELECT * FROM signals").to_arrow_table().to_pylist()[0]
    assert (found["task_id"], found["strategy"], found["run_date"]) == ("t", "s", date(2026, 1, 2))
    assert (found["strategy__2"], found["task_id__2"], found["run_date__2"], found["filename__2"]) == (
        "mine",
        5,
        6,
        "f",
    )
    assert (found["Price"], found["price__2"], found["date"]) == (1, 2, "d")
    assert lake.load("t").document["signals"] == [row]
    table = lake.load("t").tables["signals"]
    assert table.column_names == [*list(row)[:-1], "empty"]


def test_an_empty_lake_answers_an_empty_table(lake: Lake) -> None:
    assert lake.sql("SELECT * FROM results").fetchall() == []
    assert lake.results() == [] and lake.tables() == {}
    with lake.connect() as con:
        assert con.sql("SELECT count(*) FROM results").fetchall() == [(0,)]


def test_a_connection_is_a_snapshot_until_it_is_refreshed(lake: Lake) -> None:
    lake.save({"strategy": "s", "signals": [{"x": 1}]}, task_id="a")
    with lake.connect() as con:
        lake.save({"strategy": "s", "signals": [{"x": 2, "y": 3}]}, task_id="b")
        count = "SELECT (SELECT count(*) FROM signals), (SELECT count(*) FROM results)"
        assert con.sql(count).fetchall() == [(1, 1)]
        lake.refresh(con)
        assert con.sql(count).fetchall() == [(2, 2)]
        assert con.sql("SELECT y FROM signals ORDER BY task_id").fetchall() == [(None,), (3,)]


def test_nan_stays_nan_and_is_not_null(lake: Lake) -> None:
    source = b'{"strategy": "s", "signals": [{"x": NaN}, {"x": 1.5}, {"x": null}, {"x": -Infinity}]}'
    lake.save(source, task_id="t")
    found = [row[0] for row in lake.sql("SELECT x FROM signals").fetchall()]
    assert math.isnan(found[0]) and found[1:] == [1.5, None, -math.inf]
    assert lake.load("t").to_json() == source


def test_a_document_of_several_strategies_has_rows_in_the_partition_of_each(lake: Lake) -> None:
    def strategy(profit: float) -> dict[str, Any]:
        return {"trades": [{"pair": "A", "profit_abs": profit}], "backtest_run_end_ts": 1_700_000_000}

    document = {"strategy": {"A": strategy(1.5), "B": strategy(2.25)}, "strategy_comparison": []}
    info = lake.save(document, task_id="t")
    assert (info.strategy, info.strategies, info.profile) == ("A", ("A", "B"), "freqtrade")
    assert info.created_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert lake.sql("SELECT strategy, profit_abs FROM trades ORDER BY 1").fetchall() == [("A", 1.5), ("B", 2.25)]
    assert lake.load("t").document == document
    assert [info.task_id for info in lake.results(strategy="B")] == ["t"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)),
        (
            pd.Timestamp("2026-01-31T09:30:00.123456789", tz="Europe/Berlin"),
            datetime(2026, 1, 31, 8, 30, 0, 123456, UTC),
        ),
        ("2026.01.31 09:30", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026/01/31", datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
def test_the_time_of_a_run_may_be_given_as_engines_have_it(lake: Lake, given: Any, expected: datetime) -> None:
    info = lake.save({"strategy": "s", "n": 1}, created_at=given)
    assert info.created_at == expected and type(info.created_at) is datetime
    assert lake.info(info.task_id).created_at == expected


def test_a_time_that_is_none_is_refused(lake: Lake) -> None:
    for given in (pd.NaT, "soon", "2026.13.31"):
        with pytest.raises(lakestore.InvalidInputError, match="is not a time"):
            lake.save({"strategy": "s", "n": 1}, created_at=given)


def test_an_id_that_is_no_text_is_told_so(lake: Lake) -> None:
    for ask in (lake.load, lake.info, lake.exists, lake.delete):
        with pytest.raises(lakestore.InvalidInputError, match="5 is int, not text, as ids"):
            ask(5)  # type: ignore[arg-type]


def test_given_tables_become_arrays_of_records_and_come_back_with_their_schema(lake: Lake) -> None:
    given = pa.table(
        {
            "t": pa.array([1, 2**40, None], pa.timestamp("ns", "Europe/Berlin")),
            "d": pa.array([Decimal("1.20"), None, Decimal("-3.00")], pa.decimal128(20, 2)),
            "f": pa.array([0.1, float("nan"), -0.0], pa.float32()),
            "c": pa.array(["a", "b", "a"]).dictionary_encode(),
            "l": pa.array([[1, None], [], None], pa.list_(pa.int16())),
            "s": pa.array([{"a": 1}, None, {"a": None}], pa.struct([("a", pa.uint8())])),
            "n": pa.nulls(3, pa.int64()),
        }
    ).replace_schema_metadata({"made by": "an engine"})
    lake.save({"strategy": "s", "m": 1}, tables={"signals": given}, task_id="t")
    result = lake.load("t")
    back = result.tables["signals"]
    assert back.schema.equals(given.schema, check_metadata=True)
    assert json.dumps(back.to_pylist(), default=repr) == json.dumps(given.to_pylist(), default=repr)
    assert [row["d"] for row in result.document["signals"]] == [1.2, None, -3.0]
    assert lake.sql("SELECT sum(d) FROM signals").fetchall() == [(-1.8,)]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"a": 1', r"is not JSON: line 1 column \d+"),
        (b'{"a": "\xff"}', "is not UTF-8: byte 7"),
        (b"PK\x03\x04\xff", "is a zip archive; 'lakestore migrate'"),
        (b'{"a": 1}\n{"a": 2}\n', "Extra data; files with a document on each line"),
        (b'{"a": 1} {"a": 2}', "Extra data$"),
        (b'{"signals": []}', "names no strategy .* strategy="),
        (b'{"strategy": ""}', "strategy is empty"),
        (b'{"strategy": "s", "task_id": "a\\u0000b"}', "holds a NUL"),
        (b'{"strategy": "__HIVE_DEFAULT_PARTITION__"}', "is what Hive writes"),
        (json.dumps({"strategy": "é" * 41}).encode(), "takes 246 percent-encoded bytes, at most 240"),
        (json.dumps({"strategy": "s", "task_id": "x" * 513}).encode(), "takes 513 bytes"),
    ],
)
def test_bad_input_is_refused_by_name_and_leaves_nothing(lake: Lake, source: bytes, message: str) -> None:
    with pytest.raises(lakestore.InvalidInputError, match=message):
        lake.save(source)
    assert data_files(lake) == [] and lake.results() == []


def test_what_json_cannot_hold_is_refused_by_its_path(lake: Lake) -> None:
    with pytest.raises(lakestore.InvalidInputError, match=r"\$\.trades\[1\]\.legs: set has no form in JSON"):
        lake.save({"strategy": "s", "trades": [{}, {"legs": {1}}]})
    with pytest.raises(lakestore.InvalidInputError, match=r"\$: key 1 is int"):
        lake.save({"strategy": "s", 1: 2})  # type: ignore[dict-item]


def test_an_unknown_column_is_answered_with_those_there_are(lake: Lake) -> None:
    lake.save({"strategy": "s", "signals": [{"price": 1}]})
    with pytest.raises(lakestore.QueryError, match=r"(?s)prize.*price"):
        lake.sql("SELECT prize FROM signals")


def test_pages_of_results_follow_each_other_newest_first(lake: Lake) -> None:
    for hour in range(5):
        lake.save({"strategy": "s", "created_at": f"2026-01-01T0{hour // 2}:00:00Z", "n": hour}, task_id=f"t{hour}")
    first = lake.results(limit=2)
    second = lake.results(limit=2, after=first[-1])
    third = lake.results(limit=2, after=second[-1].task_id)
    assert [info.task_id for info in first + second + third] == ["t4", "t2", "t3", "t0", "t1"]
    assert [info.task_id for info in lake.results(since="2026-01-01T01:00:00Z")] == ["t4", "t2", "t3"]
    assert lake.results(since="7d") == []
    for day in (date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 2)):
        assert lake.results(since=day) == lake.results(since=datetime(day.year, day.month, day.day, tzinfo=UTC))
        assert lake.results(until=day) == lake.results(until=day.isoformat())
    with pytest.raises(lakestore.InvalidInputError, match="since 'soon'"):
        lake.results(since="soon")


def test_a_damaged_or_missing_file_is_named_and_never_answers(lake: Lake) -> None:
    lake.save({"strategy": "s", "signals": [{"x": 1}]}, task_id="t")
    path = lake.root / lake.files("signals")[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] + b"\0" + whole[-19:])
    with pytest.raises(lakestore.CorruptFileError, match=path.name):
        lake.load("t").to_json()
    path.unlink()
    with pytest.raises(lakestore.CorruptFileError, match="is missing"):
        lake.load("t").to_json()


def test_a_lake_of_a_newer_format_is_refused(tmp_path: Path, dsn: str) -> None:
    lakestore.open(tmp_path, dsn=dsn).close()
    home = tmp_path / "_lakestore" / "lake.json"
    home.write_text(home.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(lakestore.CatalogError, match="format 2, this lakestore knows formats up to 1"):
        lakestore.open(tmp_path, dsn=dsn)


def test_a_catalog_of_another_lake_is_refused(tmp_path: Path, dsn: str) -> None:
    lakestore.open(tmp_path / "a", dsn=dsn).close()
    with pytest.raises(lakestore.CatalogError):
        lakestore.open(tmp_path / "b", dsn=dsn)


def test_a_catalog_that_cannot_be_reached_leaves_no_lake_behind(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    with pytest.raises(lakestore.CatalogError, match=r"cannot reach the catalog at 127\.0\.0\.1:1/x") as caught:
        lakestore.open(root, dsn="postgresql://user:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)
    assert not root.exists()


def test_months_and_doubles_are_chosen_when_a_lake_is_made(tmp_path: Path, dsn: str) -> None:
    with Lake.create(tmp_path / "lake", dsn=dsn, partition="month", numbers="double") as lake:
        lake.save({"strategy": "s", "created_at": "2026-05-17", "signals": [{"x": 1.25}]})
        (file,) = lake.files("signals")
        assert file.run_date == date(2026, 5, 1)
        assert pa.parquet.read_schema(lake.root / file.path).field("x").type == pa.float64()
    with pytest.raises(lakestore.AlreadyExistsError, match="is a lake already"):
        Lake.create(tmp_path / "lake", dsn=dsn)


def test_a_closed_lake_says_so(tmp_path: Path, dsn: str) -> None:
    lake = lakestore.open(tmp_path / "lake", dsn=dsn)
    lake.close()
    lake.close()
    with pytest.raises(lakestore.CatalogError, match="was closed"):
        lake.save({"strategy": "s"})


def test_a_read_only_directory_is_a_storage_error_and_saves_nothing(lake: Lake) -> None:
    blocker = lake.root / "signals"
    blocker.write_text("in the way")
    with pytest.raises(lakestore.StorageError, match="nothing was saved"):
        lake.save({"strategy": "s", "signals": [{"x": 1}]}, task_id="t")
    assert not lake.exists("t")
    assert [path for path in data_files(lake) if path != blocker] == []


def test_a_page_without_details_has_neither_parameters_nor_metrics(lake: Lake) -> None:
    run = {"strategy": "s", "params": {"fast": 5}, "metrics": {"sharpe": 1.5}, "trades": [{"pnl": 1}]}
    info = lake.save(run, task_id="a")
    assert lake.results() == [info]
    for given in ({}, {"strategy": "s"}, {"status": "completed"}):
        [brief] = lake.results(details=False, **given)
        assert brief == dataclasses.replace(info, params=None, metrics=None)


def test_statements_share_a_duckdb_and_see_nothing_of_each_other(lake: Lake) -> None:
    lake.save({"strategy": "s", "trades": [{"pnl": 1.5}]}, task_id="a")
    first = lake.sql("SELECT * EXCLUDE (run_date) FROM trades")
    lake.save({"strategy": "s", "trades": [{"pnl": 2.5}]}, task_id="b")
    second = lake.sql("SELECT sum(pnl) FROM trades")
    assert first.fetchall() == [("a", "s", 1.5)]
    first.create("mine")
    with pytest.raises(lakestore.QueryError, match="mine"):
        lake.sql("FROM mine")
    assert lake.sql("SELECT count(*) FROM duckdb_databases() WHERE NOT internal").fetchall() == [(1,)]
    listed = ["backtest_results", "results", "run_stats", "run_stats_by_symbol", "trades"]
    assert [name for (name,) in lake.sql("SHOW TABLES").fetchall()] == listed
    lake.close()
    assert second.fetchall() == [(4.0,)]


def test_footers_are_kept_of_so_many_files_and_make_way(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for task_id in "abc":
        lake.save({"strategy": "s", "trades": [{"pnl": 1.5}]}, task_id=task_id)
    # Three files of four columns: two of them can be kept.
    monkeypatch.setattr(instance, "_CHUNKS", 8)
    monkeypatch.setattr(instance, "_PATIENCE", 2)

    def asked(ids: str) -> bool:
        listed = ", ".join(f"'{task_id}'" for task_id in ids)
        kept = "current_setting('parquet_metadata_cache')"
        rel = lake.sql(f"SELECT {kept}, sum(pnl) FROM trades WHERE task_id IN ({listed}) GROUP BY 1")
        relations.append((rel, 1.5 * len(ids)))
        return bool(rel.fetchall()[0][0])

    relations: list[tuple[duckdb.DuckDBPyRelation, float]] = []
    assert [asked(ids) for ids in ("a", "ab", "a", "abc", "c", "c", "a")] == [
        True,
        True,
        True,
        False,
        False,
        False,
        True,
    ]
    # Four times a file that is not kept: twice what is. Then it is, and the others are not any more.
    assert [asked(ids) for ids in ("c", "c", "a", "b", "c")] == [False, True, True, False, True]
    assert [rel.fetchall()[0][1] for rel, _ in relations] == [total for _, total in relations]


def test_a_footer_that_was_kept_is_not_believed_when_the_file_changed(lake: Lake) -> None:
    lake.save({"strategy": "s", "trades": [{"pnl": 1.5}]}, task_id="a")
    sql = "SELECT sum(pnl) FROM trades"
    assert lake.sql(sql).fetchall() == lake.sql(sql).fetchall() == [(1.5,)]
    (path,) = (path for path in data_files(lake) if path.is_relative_to(lake.root / "trades"))
    held = path.read_bytes()
    path.write_bytes(held[:-20] + bytes(12) + held[-8:])
    with pytest.raises(lakestore.CorruptFileError, match=path.name):
        lake.sql(sql)
    path.write_bytes(held)
    assert lake.sql(sql).fetchall() == [(1.5,)]


FORKS = """
import os, sys, lakestore
lake = lakestore.open(sys.argv[1], dsn=sys.argv[2])
sql = "SELECT sum(pnl) FROM trades"
assert lake.sql(sql).fetchall() == [(1.5,)]
child = os.fork()
if not child:
    os._exit(0 if lake.sql(sql).fetchall() == [(1.5,)] else 1)
assert os.waitpid(child, 0)[1] == 0
assert lake.sql(sql).fetchall() == [(1.5,)]
"""


def test_a_statement_is_answered_in_a_forked_child_too(lake: Lake, dsn: str) -> None:
    lake.save({"strategy": "s", "trades": [{"pnl": 1.5}]}, task_id="a")
    subprocess.run([sys.executable, "-c", FORKS, str(lake.root), dsn], check=True, timeout=60)


@pytest.mark.parametrize(
    ("where", "files"),
    [
        ("true", 6),
        ("strategy = 's1'", 2),
        ("strategy = 's1' AND run_date = '2024-01-02'", 1),
        ("task_id = 't4'", 1),
        ("task_id IN ('t1', 't4')", 2),
        ("task_id = 'none'", 0),
        ("task_id IN (SELECT task_id FROM results)", 6),
    ],
)
def test_a_statement_is_given_only_the_files_that_can_match(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, where: str, files: int
) -> None:
    for number in range(6):
        document = {"strategy": f"s{number % 3}", "trades": [{"pnl": float(number)}]}
        lake.save(document, task_id=f"t{number}", created_at=f"2024-01-{1 + number:02}T12:00:00Z")
    seen: list[int] = []
    source = lake._snapshot_for

    def counted(needs: Needs) -> Snapshot:
        found = source(needs)
        seen.append(len(found.files))
        return found

    everything = lake.sql(f"SELECT count(*) FROM (SELECT * FROM trades) WHERE {where}").fetchall()
    monkeypatch.setattr(lake, "_snapshot_for", counted)
    assert lake.sql(f"SELECT count(*) FROM trades WHERE {where}").fetchall() == everything == [(files,)]
    assert seen == [files]
