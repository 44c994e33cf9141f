"""What people give by mistake is refused in words that lead on, and what they have is taken as it is."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lakestore
from lakestore import Lake
from lakestore.storage import JsonResultStorage

RUN: dict[str, Any] = {"strategy": "s", "trades": [{"pnl": 1.5}]}
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        np.datetime64("2026-01-31T12:00"),
        np.datetime64("2026-01-31T12:00:00.000000001", "ns"),
        np.int64(NOON.timestamp()),
        np.float64(NOON.timestamp() * 1000),
    ],
)
def test_numpy_tells_when_a_run_was(lake: Lake, given: Any) -> None:
    assert lake.save(RUN, created_at=given).created_at == NOON
    assert len(lake.results(since=given)) == 1


@pytest.mark.parametrize("given", [np.datetime64("NaT", "ns"), np.array([1.0, 2.0]), np.float64("nan"), np.bool_(True)])
def test_what_is_no_time_of_numpy_is_refused(lake: Lake, given: Any) -> None:
    with pytest.raises(lakestore.InvalidInputError, match="is not a time"):
        lake.save(RUN, created_at=given)


def test_an_age_may_be_a_length_of_time(lake: Lake) -> None:
    now = datetime.now(UTC)
    for days in (1, 10):
        lake.save(RUN, task_id=f"{days}", created_at=now - timedelta(days=days))
    for week in (timedelta(days=7), pd.Timedelta(days=7), "7d"):
        assert [info.task_id for info in lake.results(since=week)] == ["1"]
        assert [info.task_id for info in lake.results(until=week)] == ["10"]
    with pytest.raises(lakestore.InvalidInputError, match="neither a time"):
        lake.results(since=timedelta.max)


@pytest.mark.parametrize(
    ("limit", "says"), [(None, "not a whole number"), (1.5, "not a whole number"), (-1, "negative")]
)
def test_a_limit_is_a_whole_number(lake: Lake, tmp_path: Path, limit: Any, says: str) -> None:
    for storage in (lake.results, JsonResultStorage(tmp_path / "tree").list_results):
        with pytest.raises(lakestore.InvalidInputError, match=says):
            storage(limit=limit)
        assert storage(limit=np.int64(1)) == []


def test_a_strategy_is_one_text(lake: Lake) -> None:
    with pytest.raises(lakestore.InvalidInputError, match="is list, not text, as ids, strategies"):
        lake.results(strategy=["s", "t"])  # type: ignore[arg-type]


def test_the_name_of_a_file_is_not_its_document(lake: Lake) -> None:
    for name in ("runs/a.json", "a.json.gz", "C:\\runs\\a.json"):
        with pytest.raises(lakestore.InvalidInputError, match=r"not the name of a file: .*pathlib\.Path\("):
            lake.save(name)
    assert lake.save('{"strategy": "x.json"}').strategy == "x.json"


def test_tables_are_given_by_name(lake: Lake, tmp_path: Path) -> None:
    tree = JsonResultStorage(tmp_path / "tree")
    for wrong in (pd.DataFrame({"a": [1]}), [pd.DataFrame({"a": [1]})], "signals"):
        with pytest.raises(lakestore.InvalidInputError, match=r"by their names, as tables=\{'signals'"):
            lake.save(RUN, tables=wrong)  # type: ignore[arg-type]
        with pytest.raises(lakestore.InvalidInputError, match=r"by their names, as tables=\{'signals'"):
            tree.save_result("a", RUN, tables=wrong)  # type: ignore[arg-type]
    assert lake.results() == tree.list_results() == []


def test_parameters_are_a_list_or_a_dict(lake: Lake) -> None:
    lake.save(RUN)
    for wrong in ("s", 5, np.float64(1.5), {"s"}):
        with pytest.raises(lakestore.QueryError, match=r"a list \(for \? and \$1\) or a dict .* is \[value\]"):
            lake.sql("SELECT count(*) FROM trades WHERE strategy = ?", wrong)
    for right in (["s"], ("s",), {"1": "s"}):
        assert lake.sql("SELECT count(*) FROM trades WHERE strategy = $1", right).fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (gzip.compress(b"{}", mtime=0), r"is compressed: give it as a file whose name ends in \.gz, or unpack it"),
        ('{"strategy": "s"}'.encode("utf-16"), "is not UTF-8: byte 0 .*; it is UTF-16: convert it"),
        (b'{"strategy": 5}', "gives 5 as its strategy, which is not text: .* strategy="),
    ],
)
def test_what_is_almost_a_document_is_called_what_it_is(lake: Lake, source: bytes, says: str) -> None:
    with pytest.raises(lakestore.InvalidInputError, match=says):
        lake.save(source)


def test_a_table_has_a_text_for_its_name(lake: Lake) -> None:
    with pytest.raises(lakestore.InvalidInputError, match="tables: the name 1 is int, not text"):
        lake.save({"strategy": "s"}, tables={1: pd.DataFrame({"pnl": [1.5]})})  # type: ignore[dict-item]


def test_times_as_text_and_as_milliseconds_answer_together(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    for at, times in enumerate((["2026-01-05 10:00"], [1767607200000], [1767607200001], [""], [None])):
        lake.save({"strategy": "s", "trades": [{"time": time} for time in times]}, task_id=str(at))
    assert [record.getMessage() for record in caplog.records] == [
        "trades.time is TIMESTAMP in this lake, and a document has BIGINT there: "
        "such values are in time__json, as JSON text"
    ]
    answer = lake.sql(
        "SELECT coalesce(time, epoch_ms(TRY_CAST(time__json AS BIGINT))) AS at FROM trades ORDER BY task_id"
    )
    noon = datetime(2026, 1, 5, 10)
    assert [row[0] for row in answer.fetchall()] == [noon, noon, noon + timedelta(milliseconds=1), None, None]
