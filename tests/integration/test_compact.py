"""Compaction: few files instead of many, every document as it was, whoever else is at work."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from dataclasses import replace as replace_fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

import lakestore
from lakestore import Item, Lake, parquet
from lakestore.catalog.compaction import Compaction
from lakestore.codec import decode
from lakestore.errors import CatalogError, InvalidInputError
from lakestore.maintenance import compact, rebuild, restore, sync, vacuum, verify
from lakestore.parquet import key_values
from tests.answers import Answers, answers

ZERO = timedelta()
EXAMPLE = Path("examples/freqtrade/backtest-result-2024-09-06_13-05-54.json.gz")


def run(n: int, **more: Any) -> dict[str, Any]:
    """Runs whose columns differ in scale, type, nesting and presence."""
    price = [n + 0.5, n / 8, n / 3, None, 1e300][n % 5]
    rows = [{"x": n + i, "price": price, "tags": ["a"] * (i % 3), "o": {"p": i / 4 or None}} for i in range(n % 7)]
    if n % 4 == 1:
        rows = [{**row, "x": str(row["x"]), "at": f"2026-01-0{i + 1}T00:00:0{n % 10}.5Z"} for i, row in enumerate(rows)]
    return {
        "strategy": f"s{n % 2}",
        "created_at": f"2026-01-{n % 3 + 1:02}T10:00:00Z",
        "params": {"n": n},
        "signals": rows,
        **({"fills": [{"q": n}]} if n % 3 == 0 else {}),
        **more,
    }


def fill(lake: Lake) -> None:
    lake.save(gzip.decompress(EXAMPLE.read_bytes()))
    for n in range(15):
        lake.save(run(n), task_id=f"t{n:02}")
    for each in lake.save_many(
        [Item(document=run(n, more=[{"a": n}] * (n % 2)), task_id=f"b{n}") for n in range(30, 46)]
    ):
        assert not isinstance(each, Exception)
    lake.save(run(3, signals=[{"x": -0.0}]), task_id="t03", replace=True)
    for task_id in ("t05", "b31", "b33"):
        lake.delete(task_id)


def same(one: Answers, other: Answers) -> bool:
    """Whether both are the same but for where the rows are, and so for the bytes they take."""

    def shown(found: Answers) -> Any:
        rows = dict(found.rows)
        names, values = rows.pop("results")
        place = names.index("file_size")
        return (
            [replace_fields(info, file_size=0) for info in found.results],
            found.documents,
            rows,
            [row[:place] + row[place + 1 :] for row in sorted(values)],
            found.tables,
        )

    return bool(shown(one) == shown(other))


def done(lake: Lake, **options: Any) -> list[Any]:
    found = list(compact(lake, **options))
    assert [each.problem for each in found if each.problem] == []
    return found


def test_compaction_changes_no_answer_and_leaves_one_file_for_each_table_and_partition(lake: Lake) -> None:
    fill(lake)
    before = answers(lake)
    told = list(compact(lake, dry_run=True))
    assert answers(lake) == before
    found = done(lake)
    assert [(each.table, each.files) for each in told] == [(each.table, each.files) for each in found]
    after = answers(lake)
    assert same(before, after)
    places = [(table, strategy, day) for table, _, strategy, day, *_ in after.files]
    assert len(set(places)) == len(places)
    assert all(not dead for *_, dead in after.files)
    assert sum(info.file_size for info in lake.results(limit=1000)) == sum(file.bytes for file in lake.files())
    assert sum(each.into_bytes for each in found) < 0.7 * sum(each.bytes for each in found)
    assert done(lake) == []
    assert not [each for each in verify(lake) if each.problem] and list(sync(lake, deep=True)) == []
    vacuum(lake, older_than=ZERO)
    assert answers(lake) == after


def test_the_catalog_is_rebuilt_the_same_after_compaction_before_and_after_vacuum(lake: Lake, dsn: str) -> None:
    fill(lake)
    done(lake)
    lake.delete("b40")
    lake.save(run(7, signals=[{"x": 1}]), task_id="t07", replace=True)
    lake.save_many([Item(document=run(n), task_id=f"c{n}") for n in range(5)])
    for step in range(3):
        if step == 1:
            done(lake)
        if step == 2:
            vacuum(lake, older_than=ZERO)
        before = answers(lake)
        lake.close()
        told = rebuild(lake.root, dsn=dsn)
        assert (told.doubtful, told.incomplete, told.damaged) == ((), (), ())
        lake = Lake(lake.root, dsn, lake._home)
        assert answers(lake) == before
    assert restore(lake, "b40") if step < 2 else True
    lake.close()


def test_a_result_let_go_before_or_after_compaction_comes_back(lake: Lake, dsn: str) -> None:
    fill(lake)
    done(lake)
    lake.delete("t06")
    done(lake)
    for task_id, document in (("t06", run(6)), ("b31", run(31, more=[{"a": 31}]))):
        restore(lake, task_id)
        assert lake.load(task_id).document == document


def test_others_at_work_meanwhile_lose_nothing_and_double_nothing(lake: Lake) -> None:
    fill(lake)
    documents = {info.task_id: lake.load(info.task_id).to_json() for info in lake.results(limit=1000)}
    stop, failures = threading.Event(), list[BaseException]()

    def change() -> None:
        n = 100
        try:
            while not stop.is_set():
                n += 1
                text = json.dumps(run(n)).encode()
                lake.save(text, task_id=f"t{n % 10:02}", replace=True)
                documents[f"t{n % 10:02}"] = text
                lake.save(text, task_id=f"n{n}")
                documents[f"n{n}"] = text
                if n % 3 == 0:
                    lake.delete(f"n{n}")
                    del documents[f"n{n}"]
        except BaseException as exc:
            failures.append(exc)

    def read() -> None:
        try:
            while not stop.is_set():
                count, distinct = lake.sql("SELECT count(*), count(DISTINCT (task_id, q)) FROM fills").fetchall()[0]
                assert count == distinct
                assert lake.load("b36").document == run(36, more=[])
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work) for work in (change, read)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        list(compact(lake))
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {info.task_id: lake.load(info.task_id).to_json() for info in lake.results(limit=1000)} == documents
    done(lake)
    assert lake.sql("SELECT count(*) FROM signals").fetchall()[0][0] == sum(
        len(json.loads(text).get("signals", ())) for text in documents.values()
    )


@pytest.mark.parametrize("change", ["replace", "delete"])
def test_compaction_gives_way_to_a_change_of_the_same_results(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    for n in range(3):
        lake.save(run(2 * n), task_id=f"t{n}", created_at="2026-01-01")
    exchange, times = Compaction.exchange, [0]

    def late(self: Compaction, *args: Any) -> None:
        times[0] += 1
        if times[0] < 3:
            lake.save(run(8 + times[0] * 2), task_id="t1", replace=True, created_at="2026-01-01")
            if change == "delete":
                lake.delete("t1")
        exchange(self, *args)

    monkeypatch.setattr(Compaction, "exchange", late)
    done(lake)
    assert times[0] == (3 if change == "replace" else 2)
    assert lake.exists("t1") == (change == "replace")
    assert {file.path for file in lake.files()} | {file.path for file in vacuum(lake, older_than=ZERO).files} >= {
        path.relative_to(lake.root).as_posix() for path in lake.root.rglob("*.parquet")
    }
    assert list(sync(lake, deep=True)) == []


def test_compaction_that_is_always_late_leaves_everything_as_it_is(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        lake.save(run(2 * n), task_id=f"t{n}", created_at="2026-01-01")
    exchange, times = Compaction.exchange, [0]

    def late(self: Compaction, *args: Any) -> None:
        times[0] += 1
        lake.save(run(8 + times[0] * 2), task_id="t1", replace=True, created_at="2026-01-01")
        exchange(self, *args)

    monkeypatch.setattr(Compaction, "exchange", late)
    assert ["others kept changing" in str(each.problem) for each in compact(lake)] == [True]
    assert all(
        key_values.VERSIONS_KEY not in (pq.read_metadata(path).metadata or {}) for path in lake.root.rglob("*.parquet")
    )


def test_a_document_that_would_not_come_back_keeps_its_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        lake.save(run(n), task_id=f"t{n}")
    before = sorted(lake.root.rglob("*.parquet"))
    monkeypatch.setattr(decode, "pieces", lambda *_: iter([b"{}"]))
    assert all("would not come back exactly" in str(each.problem) for each in compact(lake))
    monkeypatch.undo()
    assert sorted(lake.root.rglob("*.parquet")) == before
    (path,) = lake.root.glob("signals/strategy=s1/*/*.parquet")
    path.write_bytes(path.read_bytes()[:-9] + b"x" * 9)
    lake.save(run(1), task_id="t9")
    problems = [each.problem for each in compact(lake, strategy="s1") if each.problem]
    assert problems and all("is damaged" in str(problem) for problem in problems)
    assert lake.load("t0").document == run(0) and lake.load("t9").document == run(1)


def test_a_failing_commit_leaves_no_file_behind(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(lake)
    before = sorted(lake.root.rglob("*.parquet"))
    monkeypatch.setattr(Compaction, "exchange", lambda *_: (_ for _ in ()).throw(CatalogError("away")))
    with pytest.raises(CatalogError, match="away"):
        list(compact(lake))
    assert sorted(lake.root.rglob("*.parquet")) == before


def test_what_a_killed_compaction_leaves_changes_no_answer_not_even_of_a_rebuild(
    lake: Lake, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(lake)
    with monkeypatch.context() as patch:
        patch.setattr(Compaction, "exchange", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            list(compact(lake))
    lake.delete("t04")
    lake.save(run(8, signals=[{"x": 7}]), task_id="t08", replace=True)
    before = answers(lake)
    assert len(list(sync(lake))) == 0
    then = time.time() - 7200
    for path in lake.root.rglob("*.parquet"):
        os.utime(path, (then, then))
    assert {each.kind for each in sync(lake, adopt=True)} == {"leftover"}
    lake.close()
    told = rebuild(lake.root, dsn=dsn)
    assert (told.doubtful, told.incomplete, told.damaged) == ((), (), ())
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert same(answers(again), before)
        done(again)
        vacuum(again, older_than=ZERO)
        assert same(answers(again), before) and list(sync(again, deep=True)) == []


def test_only_what_is_asked_for_is_compacted(lake: Lake) -> None:
    fill(lake)
    assert {(each.strategy, each.table) for each in done(lake, strategy="s1", table="signals")} == {("s1", "signals")}
    assert {each.table for each in done(lake, table="results")} == {"results"}
    with pytest.raises(InvalidInputError, match="target_size"):
        list(compact(lake, target_size=0))


def test_files_grow_to_the_target_size_and_large_ones_are_not_written_again(lake: Lake) -> None:
    for n in range(12):
        lake.save(run(4, signals=[{"x": k * n % 97, "y": k / 8} for k in range(400)]), task_id=f"t{n:02}")
    size = max(file.bytes for file in lake.files("signals"))
    found = done(lake, table="signals", target_size=4 * size)
    assert len(found) >= 3 and all(each.files >= 2 for each in found)
    lake.save(run(4), task_id="small")
    assert done(lake, table="signals", target_size=size) == []


def test_a_lookup_reads_only_the_row_groups_of_its_result(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 500)
    monkeypatch.setattr(parquet.row_groups, "__defaults__", (500,))
    monkeypatch.setattr("lakestore.loading._WHOLE", 0)
    for n in range(12):
        lake.save(run(4, signals=[{"x": k, "y": k / 8} for k in range(200)]), task_id=f"t{n:02}")
    done(lake)
    (file,) = lake.files("signals")
    metadata = pq.read_metadata(lake.root / file.path)
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [400] * 6
    ranges = [(g.column(0).statistics.min, g.column(0).statistics.max) for g in groups]
    assert ranges == [(f"t{n:02}", f"t{n + 1:02}") for n in range(0, 12, 2)]
    read: list[Any] = []
    real = pq.ParquetFile.read_row_groups

    def noted(self: Any, which: Any, *args: Any, **kwargs: Any) -> Any:
        read.append(list(which))
        return real(self, which, *args, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", noted)
    assert lake.load("t07").document["signals"][-1] == {"x": 199, "y": 199 / 8}
    assert read == [[0], [3]]
    profile = lake.sql("EXPLAIN ANALYZE SELECT sum(x) FROM signals WHERE task_id = 't07'").fetchall()
    assert profile
    # A page that was changed on disk is noticed, although the file is not read whole.
    path = lake.root / file.path
    data = bytearray(path.read_bytes())
    start = groups[3].column(1).data_page_offset
    data[start + 40] ^= 1
    path.write_bytes(data)
    assert lake.load("t01").document["signals"][0] == {"x": 0, "y": 0.0}
    with pytest.raises(lakestore.CorruptFileError):
        lake.load("t07").document  # noqa: B018


def test_the_lake_moves_to_coarser_partitions_as_it_is_compacted(lake: Lake, dsn: str) -> None:
    fill(lake)
    before = answers(lake)
    first = done(lake, partition="month", strategy="s1")
    assert {each.run_date for each in first} == {date(2026, 1, 1)}
    with lakestore.open(lake.root, dsn=dsn) as again:
        info = again.save(run(2), task_id="late")
        assert info.run_date == date(2026, 1, 1)
        again.delete("late")
    done(lake)
    done(Lake(lake.root, dsn, lake._home))
    assert json.loads((lake.root / "_lakestore" / "lake.json").read_text())["partition"] == "month"
    after = answers(lake)
    assert after.documents == before.documents
    assert {day for _, _, _, day, *_ in after.files} == {date(2026, 1, 1), date(2024, 9, 1)}
    assert {info.run_date for info in after.results} == {date(2026, 1, 1), date(2024, 9, 1)}
    with lakestore.open(lake.root, dsn=dsn) as again, pytest.raises(InvalidInputError, match="cannot become finer"):
        list(compact(again, partition="day"))
    lake.close()
    rebuild(lake.root, dsn=dsn)
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert answers(again) == after


def test_a_join_finds_rows_whose_table_alone_moved_to_a_coarser_partition(lake: Lake) -> None:
    for day in (15, 16, 17):
        lake.save({"strategy": "a", "created_at": f"2024-02-{day}", "trades": [{"p": day}]}, task_id=f"t{day}")
    lake.save({"strategy": "a", "created_at": "2024-03-01", "trades": [{"p": 1}]}, task_id="march")
    assert [one.into for one in compact(lake, table="trades", partition="month")] == [1]

    def found(where: str) -> str:
        rows = lake.sql(f"SELECT t.task_id FROM results r JOIN trades t USING (task_id) WHERE {where} ORDER BY ALL")
        return " ".join(task_id for (task_id,) in rows.fetchall())

    assert found("r.run_date = '2024-02-17'") == "t17"
    assert found("r.run_date < '2024-02-17'") == "t15 t16"
    assert found("t.run_date = '2024-02-01'") == "t15 t16 t17"
    assert found("t.run_date = '2024-03-01'") == "march"


def test_partitions_that_changed_in_the_catalog_alone_are_the_lake_s(lake: Lake, dsn: str) -> None:
    lake.parts().catalog.compaction.coarsen("month")
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert again.save(run(1), task_id="a").run_date == date(2026, 1, 1)


def test_plain_duckdb_reads_compacted_files(lake: Lake) -> None:
    for n in range(0, 12, 2):
        lake.save(run(n), task_id=f"t{n}", created_at="2026-01-01")
    done(lake)
    (file,) = lake.files("signals")
    found = duckdb.read_parquet(str(lake.root / file.path)).aggregate("count(*)").fetchall()
    assert found == lake.sql("SELECT count(*) FROM signals").fetchall()
