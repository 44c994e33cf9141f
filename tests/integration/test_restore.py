"""Restore and verify: what was let go comes back exactly, and what is not exact any more is named."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

from lakestore import Lake
from lakestore.errors import AlreadyExistsError, CorruptFileError, InvalidInputError, NotFoundError
from lakestore.maintenance import restore, vacuum, verify, versions

ZERO = timedelta()


def text(n: int) -> bytes:
    signals = [{"x": n + i, "price": i / 4, "note": None if i % 3 else "ü"} for i in range(50)]
    return json.dumps({"strategy": "s", "created_at": "2026-01-31T10:00:00", "signals": signals}, indent=1).encode()


def test_a_deleted_result_comes_back_as_it_was(lake: Lake) -> None:
    old = lake.save(text(1), task_id="a", status="odd")
    lake.delete("a")
    info = restore(lake, "a")
    assert lake.load("a").to_json() == text(1) and lake.info("a") == info
    assert (info.status, info.created_at, info.tables) == (old.status, old.created_at, old.tables)
    assert info.write_id != old.write_id and info.sha256 == old.sha256
    assert lake.sql("SELECT count(*), sum(price) FROM signals").fetchall() == [(50, sum(i / 4 for i in range(50)))]
    vacuum(lake, older_than=ZERO)
    assert lake.load("a").to_json() == text(1)


def test_the_version_that_was_let_go_last_comes_back_unless_another_one_is_named(lake: Lake) -> None:
    first = lake.save(text(1), task_id="a")
    lake.save(text(2), task_id="a", replace=True)
    lake.delete("a")
    assert [each.reason for each in versions(lake, "a")] == ["deleted", "replaced"]
    restore(lake, "a")
    assert lake.load("a").to_json() == text(2)
    with pytest.raises(AlreadyExistsError, match="another version of result 'a' is in the lake"):
        restore(lake, "a", version=first.write_id)
    restore(lake, "a", version=first.write_id, replace=True)
    assert lake.load("a").to_json() == text(1)
    assert len(lake.results()) == 1


def test_restoring_what_is_alive_already_does_nothing(lake: Lake) -> None:
    lake.save(text(1), task_id="a")
    lake.delete("a")
    first = restore(lake, "a")
    assert restore(lake, "a") == first


@pytest.mark.parametrize("task_id", ["a", "b", "c\0"])
def test_what_was_never_let_go_or_is_vacuumed_cannot_come_back(lake: Lake, task_id: str) -> None:
    lake.save(text(1), task_id="a")
    if task_id == "b":
        lake.save(text(1), task_id="b")
        lake.delete("b")
        vacuum(lake, older_than=ZERO)
    with pytest.raises(NotFoundError, match="neither deleted nor replaced, or vacuum has taken it"):
        restore(lake, task_id)
    with pytest.raises(NotFoundError, match=r"version .* of result 'a'"):
        restore(lake, "a", version=uuid4())


def test_a_damaged_version_is_not_brought_back(lake: Lake) -> None:
    lake.save(text(1), task_id="a")
    (path,) = lake.root.glob("signals/*/*/*.parquet")
    path.write_bytes(path.read_bytes()[:-9] + b"x" * 9)
    lake.delete("a")
    before = sorted(lake.root.rglob("*.parquet"))
    with pytest.raises(CorruptFileError, match="is damaged"):
        restore(lake, "a")
    assert not lake.exists("a") and sorted(lake.root.rglob("*.parquet")) == before


def test_a_table_with_a_schema_of_its_own_comes_back_with_it(lake: Lake) -> None:
    table = pa.table({"at": pa.array([1, None], pa.timestamp("ns", "UTC")), "x": pa.array([1.5, 2.5], pa.float32())})
    lake.save({"strategy": "s"}, task_id="a", tables={"ticks": table})
    lake.delete("a")
    restore(lake, "a")
    assert lake.load("a").tables["ticks"].equals(table)


def test_verify_rebuilds_every_document_and_names_the_one_that_is_not_exact(lake: Lake) -> None:
    for n in range(5):
        lake.save(text(n), task_id=f"t{n}", strategy=f"s{n}")
    assert [(each.task_id, each.bytes, each.problem) for each in verify(lake)] == [
        (f"t{n}", len(text(n)), None) for n in range(5)
    ]
    (path,) = lake.root.glob("signals/strategy=s3/*/*.parquet")
    path.write_bytes(path.read_bytes()[:-9] + b"x" * 9)
    (path,) = lake.root.glob("signals/strategy=s4/*/*.parquet")
    path.unlink()
    wrong = {each.task_id: each.problem for each in verify(lake) if each.problem}
    assert set(wrong) == {"t3", "t4"}
    assert "is damaged" in str(wrong["t3"]) and "is missing" in str(wrong["t4"])
    assert [each.problem for each in verify(lake, ["t0", "t1"])] == [None, None]
    assert [each.problem for each in verify(lake, ["t0", "none"])][1]
    assert len(list(verify(lake, sample=3))) == 3 and len(list(verify(lake, sample=9))) == 5
    for wrong_call in ({"sample": -1}, {"task_ids": ["t0"], "sample": 1}):
        with pytest.raises(InvalidInputError, match="sample"):
            list(verify(lake, **wrong_call))  # type: ignore[arg-type]


def test_verify_goes_through_more_results_than_a_page(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakestore.catalog.upkeep.PAGE", 2)
    for n in range(5):
        lake.save(text(n), task_id=f"t{n}")
    found: list[Any] = []
    for each in verify(lake):
        found.append(each)
        if len(found) == 2:
            lake.delete("t3")
    assert [each.task_id for each in found] == ["t0", "t1", "t2", "t4"]
