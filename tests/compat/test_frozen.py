"""Lakes frozen by earlier formats are still whole: their files alone give every document back, and SQL its rows."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import duckdb
import pytest

import lakestore
from lakestore.maintenance.rebuild import rebuild
from lakestore.maintenance.verify import verify
from tests.compat.freeze import LAKES

FROZEN = sorted(path.name for path in LAKES.iterdir())


def test_the_formats_that_were_in_use_are_frozen() -> None:
    assert {"levels-1", "envelope-1", "envelope-2", "record-2", "kept-1", "units-1", "units-2", "stats-1"} <= set(
        FROZEN
    )


@pytest.mark.parametrize("name", FROZEN)
def test_a_frozen_lake_gives_every_document_back(name: str, tmp_path: Path, dsn: str) -> None:
    root = tmp_path / "lake"
    shutil.copytree(LAKES / name / "lake", root)
    documents = {
        path.name.removesuffix(".json.gz"): gzip.decompress(path.read_bytes())
        for path in (LAKES / name / "documents").iterdir()
    }
    found = rebuild(root, dsn=dsn)
    assert found.results == len(documents) and not (found.doubtful or found.incomplete or found.damaged)
    with lakestore.open(root, dsn=dsn, create=False) as lake:
        assert {info.task_id: lake.load(info.task_id).to_json() for info in lake.results(limit=1000)} == documents
        assert {each.problem for each in verify(lake)} == {None}
        rows = {
            task: len(json.loads(text).get("trades", ())) for task, text in documents.items() if task != "freqtrade"
        }
        counted = lake.sql("SELECT task_id, count(*) FROM trades WHERE task_id <> 'freqtrade' GROUP BY 1").fetchall()
        assert dict(counted) == {task: count for task, count in rows.items() if count}
        if "beside" in documents:
            shown = lake.sql("SELECT * EXCLUDE (task_id, strategy, run_date) FROM averages ORDER BY n").to_arrow_table()
            assert shown.to_pylist() == json.loads(documents["beside"])["averages"]
        # Results saved now lie beside those of then.
        lake.save({"strategy": "s", "trades": [{"pnl": 0.25, "tag": "x"}]}, task_id="new")
        (total,) = lake.sql("SELECT count(*) FROM trades WHERE task_id = 'new' OR task_id = 'shared-2'").fetchall()
        assert total == (6,)


@pytest.mark.parametrize("name", FROZEN)
def test_other_tools_read_a_frozen_lake(name: str) -> None:
    files = sorted(map(str, (LAKES / name / "lake" / "signals").rglob("*.parquet")))
    with duckdb.connect() as con:
        (count,) = con.execute("SELECT count(*) FROM read_parquet(?, union_by_name=true)", [files]).fetchall()
    assert count == (603,)
