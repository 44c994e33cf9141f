"""A catalog made anew from the files: it answers as the lost one did, and what is doubtful is listed."""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

import lakestore
from lakestore import Item, Lake, tombstones
from lakestore.catalog.rebuild import Rebuild
from lakestore.codec.statistics import by_symbol
from lakestore.errors import CatalogError, ConflictError, NotFoundError
from lakestore.maintenance import compact, rebuild, restore, vacuum, verify, versions
from tests.answers import answers

ZERO = timedelta()
EXAMPLE = Path("examples/freqtrade/backtest-result-2024-09-06_13-05-54.json.gz")
Lose = Callable[[], None]
Dying = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def lose(lake: Lake, dsn: str, postgres: str) -> Lose:
    """Drop the database of the lake's catalog and make an empty one in its place."""

    def lose() -> None:
        lake.close()
        name = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
        with psycopg.connect(postgres, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            conn.execute(sql.SQL("CREATE DATABASE {}").format(name))

    return lose


def run(n: int, **more: Any) -> dict[str, Any]:
    return {
        "strategy": f"s{n % 3}",
        "created_at": f"2026-01-{n % 28 + 1:02}T10:00:00Z",
        "params": {"n": n, "deep": [{"x": 1.5}], "odd": "\0"},
        "metrics": {"sharpe": n / 4, "bad": None},
        "signals": [{"x": n + i, "price": (n + i) / 4, "tag": None if i % 2 else "ü"} for i in range(n % 5)],
        **more,
    }


def busy(lake: Lake) -> None:
    """Save, replace, delete and restore: alone and in batches, documents of several shapes and engines."""
    lake.save(gzip.decompress(EXAMPLE.read_bytes()))
    for n in range(12):
        lake.save(run(n), task_id=f"t{n}", status="odd" if n % 4 == 0 else None)
    lake.save(run(1, trades=[{"pnl": 1}]), task_id="t1", replace=True)
    lake.save(run(1, trades=[{"pnl": 1.5}]), task_id="t1", replace=True)
    lake.save('{"strategy": "nan", "created_at": "2026-01-01", "metrics": {"a": NaN}, "signals": []}', task_id="nan")
    lake.save({"strategy": "none"}, task_id="none", created_at="2025-12-31T23:00:00-02:00")
    batch = [Item(document=run(n, fills=[{"q": n}] * (n % 2)), task_id=f"b{n}") for n in range(20, 40)]
    for each in lake.save_many(batch):
        assert not isinstance(each, Exception)
    lake.save_many([Item(document=run(50 + n), task_id=f"b{20 + n}") for n in range(4)], replace=True)
    for task_id in ("t2", "t3", "b25", "b26"):
        lake.delete(task_id)
    restore(lake, "t3")


def test_statistics_by_symbol_come_back(lake: Lake, lose: Lose, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_symbol, "SHARE", 100.0)
    lake.save_many([Item(document=run(n, fills=[{"symbol": "A", "q": n}] * n), task_id=f"b{n}") for n in (1, 2, 3)])
    lake.save(run(4, fills=[{"symbol": symbol, "q": 1.5} for symbol in "BAB"]), task_id="a")
    asked = "SELECT task_id, symbol, rows, sum FROM run_stats_by_symbol ORDER BY ALL"
    before = lake.sql(asked).fetchall()
    assert before[:3] == [("a", "A", 1, 1.5), ("a", "B", 2, 3.0), ("b1", "A", 1, 1.0)]
    lose()
    rebuild(lake.root, dsn=dsn)
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert again.sql(asked).fetchall() == before


def test_statistics_that_no_file_of_results_holds_are_counted_again(lake: Lake, lose: Lose, dsn: str) -> None:
    def packed() -> dict[str, tuple[bytes | None, ...]]:
        with psycopg.connect(dsn) as conn:
            found = conn.execute("SELECT task_id, stats FROM backtest_results ORDER BY task_id").fetchall()
        return {task_id: tuple(rest) for task_id, *rest in found}

    forms: dict[str, list[float | int | None]] = {
        "decimals": [n / 8 for n in range(80)],
        "doubles": [1 / (n + 1) for n in range(80)],
        "beside": [100 + n / 8 + (n % 3 - 1) * math.ulp(100 + n / 8) for n in range(80)],
        "integers": list(range(80)),
        "zeros": [-0.0] * 40 + [0.1] * 40,
        "few_zeros": [-0.0, *(n / 10 for n in range(79))],
        "gaps": [None if n % 3 else n / 100 for n in range(80)],
        "odd": [float("nan"), *range(79)],
    }
    for number, (name, values) in enumerate(forms.items()):
        rows = [{"x": value, "wide": 2**60 + n} for n, value in enumerate(values)]
        lake.save({"strategy": "s", "created_at": f"2026-01-0{number // 6 + 1}", "t": rows, "u": []}, task_id=name)
        lake.save({"strategy": "s", "created_at": "2026-02-01", "t": rows[:9]}, task_id=f"{name} 2")
    lake.delete("gaps 2")
    restore(lake, "gaps 2")
    before = packed()
    for tables in (None, "t", "results"):
        if tables is not None:
            # In files of several results columns take other forms than they had alone.
            assert any(done.into for done in compact(lake, table=tables))
        assert packed() == before
        lake.close()
        lose()
        done = rebuild(lake.root, dsn=dsn)
        assert (done.results, done.incomplete, done.damaged) == (len(before), (), ())
        assert packed() == before
        lake = lakestore.open(lake.root, dsn=dsn)
    lake.close()


def test_the_rebuilt_catalog_answers_as_the_lost_one_did(lake: Lake, lose: Lose, dsn: str) -> None:
    busy(lake)
    before = answers(lake)
    let_go = {task_id: [v.info for v in versions(lake, task_id)] for task_id in ("t1", "t2", "t3", "b20", "b25")}
    lose()
    done = rebuild(lake.root, dsn=dsn)
    assert (done.doubtful, done.incomplete, done.damaged) == ((), (), ())
    assert (done.results, done.versions) == (len(before.results), 10)
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert answers(again) == before
        assert {task_id: [v.info for v in versions(again, task_id)] for task_id in let_go} == let_go
        assert [v.reason for v in versions(again, "t1") + versions(again, "t2")] == ["replaced"] * 2 + ["deleted"]
        assert restore(again, "b25").json_size == let_go["b25"][0].json_size
        assert not [each for each in verify(again) if each.problem]
        vacuum(again, older_than=ZERO)
        after = answers(again)
        again.delete("b25")
        assert answers(again).rows["signals"] == before.rows["signals"]
        assert {path for _, path, *_ in after.files} >= {path for _, path, *_ in before.files}


def test_a_rebuild_after_vacuum_answers_the_same(lake: Lake, lose: Lose, dsn: str) -> None:
    busy(lake)
    lake.save(run(0, gone=[{"only": 2**60}]), task_id="gone")
    lake.delete("gone")
    before = answers(lake)
    vacuum(lake, older_than=ZERO)
    assert answers(lake) == before
    lose()
    done = rebuild(lake.root, dsn=dsn)
    assert (done.doubtful, done.incomplete, done.damaged) == ((), (), ())
    with lakestore.open(lake.root, dsn=dsn) as again:
        # The column that only a vacuumed file told of is there, and so is its place among the ids.
        assert answers(again) == before
        fresh = again.save(run(1, fresh=[{"a": 1}]), task_id="fresh")
        assert fresh.tables["fresh"] == 1
        ids = {c.field_id for t in before.tables.values() for c in t.columns}
        assert ids.isdisjoint(c.field_id for c in again.tables()["fresh"].columns)


def test_columns_are_known_though_no_file_is_left_to_tell_of_them(lake: Lake, dsn: str) -> None:
    lake.save(run(1), task_id="a")
    lake.delete("a")
    vacuum(lake, older_than=ZERO)
    before = lake.tables()
    assert "signals" in before and not lake.files()
    rebuild(lake.root, dsn=dsn)
    assert lake.tables() == before
    lake.save(run(1), task_id="a")
    assert rebuild(lake.root, dsn=dsn).results == 1
    assert lake.tables() == before


def test_what_vacuum_took_stays_away_though_its_rows_stand_in_a_compacted_file(
    lake: Lake, lose: Lose, dsn: str
) -> None:
    for n in (1, 4, 7):
        lake.save(run(n, created_at="2026-01-01"), task_id=f"t{n}")
    for _ in compact(lake):
        pass
    lake.delete("t1")
    lake.save(run(4, created_at="2026-01-01", status="anew"), task_id="t4", replace=True)
    vacuum(lake, older_than=ZERO)
    lake.delete("t7")
    before = answers(lake)
    lose()
    done = rebuild(lake.root, dsn=dsn)
    assert (done.results, done.versions) == (1, 1)
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert answers(again) == before
        assert [len(versions(again, f"t{n}")) for n in (1, 4, 7)] == [0, 0, 1]
        with pytest.raises(NotFoundError, match="vacuum has taken it"):
            restore(again, "t1")
        # Once no row of them is left, nobody has to be told any more.
        vacuum(again, older_than=ZERO)
        assert not list((lake.root / tombstones.FOLDER).iterdir())


def test_a_lake_with_data_and_an_empty_catalog_is_refused_until_it_is_rebuilt(lake: Lake, lose: Lose, dsn: str) -> None:
    lake.save(run(1), task_id="a")
    lose()
    with pytest.raises(CatalogError, match=r"holds no catalog, and lake .* holds data.*sync --rebuild"):
        lakestore.open(lake.root, dsn=dsn)
    rebuild(lake.root, dsn=dsn)
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert again.load("a").document == run(1)


def test_nobody_uses_a_catalog_that_is_being_rebuilt(lake: Lake, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.save(run(1), task_id="a")
    end = Rebuild.end

    def meanwhile(self: Rebuild, next_field_id: int, counter: int) -> None:
        with pytest.raises(CatalogError, match="is being rebuilt"):
            lakestore.open(lake.root, dsn=dsn)
        for use in (lambda: lake.save(run(2), task_id="b"), lambda: lake.delete("a"), lambda: vacuum(lake)):
            with pytest.raises(CatalogError, match="being rebuilt"):
                use()
        end(self, next_field_id, counter)

    with monkeypatch.context() as patch:
        patch.setattr(Rebuild, "end", meanwhile)
        rebuild(lake.root, dsn=dsn)
    lake.save(run(2), task_id="b")
    assert lake.load("a").document == run(1) and lake.load("b").document == run(2)


def test_two_rebuilds_at_once_are_one_that_says_so(lake: Lake, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakestore.catalog.rebuild.PATIENCE_SECONDS", 0.1)
    lake.save(run(1), task_id="a")
    with lake.parts().catalog.rebuild.alone():
        with pytest.raises(ConflictError, match="is being rebuilt by another process: wait for its end"):
            rebuild(lake.root, dsn=dsn)
        assert lake.exists("a")
    monkeypatch.undo()
    assert rebuild(lake.root, dsn=dsn).results == 1


def test_a_rebuild_that_stops_goes_on_where_it_was(lake: Lake, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(lake)
    before = answers(lake)
    monkeypatch.setattr(sys.modules["lakestore.maintenance.rebuild"], "_PAGE", 9)
    calls = [0]
    real = {name: getattr(Rebuild, name) for name in ("add_files", "add_versions", "end")}

    def counted(name: str) -> Callable[..., Any]:
        def call(self: Rebuild, *args: Any) -> Any:
            calls[0] += 1
            if calls[0] % 3 == 0:
                raise CatalogError("stopped")
            return real[name](self, *args)

        return call

    with monkeypatch.context() as patch:
        for name in real:
            patch.setattr(Rebuild, name, counted(name))
        stops = 0
        while True:
            try:
                rebuild(lake.root, dsn=dsn)
                break
            except CatalogError:
                stops += 1
    assert stops > 5
    assert answers(lake) == before


def test_a_replacement_that_was_never_acknowledged_does_not_take_the_place_of_what_was(
    lake: Lake, lose: Lose, dsn: str, killed_before_commit: Dying, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task_id in ("a", "b"):
        lake.save(run(1), task_id=task_id)
    for task_id, new in (("a", run(2)), ("new", run(3))):
        with killed_before_commit():
            lake.save(new, task_id=task_id, replace=True)
    # One that was replaced again is known to have been alive.
    with monkeypatch.context() as patch:
        patch.setattr(tombstones, "write", lambda *_: None)
        lake.save(run(2), task_id="b", replace=True)
        lake.save(run(3), task_id="b", replace=True)
    lose()
    done = rebuild(lake.root, dsn=dsn)
    assert done.doubtful == ("a", "b")
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert again.load("a").document == run(1)
        assert again.load("b").document == run(2)
        # What cannot be told from a save that was committed is kept.
        assert again.load("new").document == run(3)
        assert [v.reason for v in versions(again, "a")] == ["replaced"]


def test_a_result_that_is_lost_in_part_is_named_and_the_others_are_there(lake: Lake, lose: Lose, dsn: str) -> None:
    for n in range(1, 5):
        lake.save(run(n), task_id=f"t{n}")
    (gone,) = lake.root.glob("signals/strategy=s1/run_date=2026-01-02/*.parquet")
    gone.unlink()
    (damaged,) = lake.root.glob("signals/strategy=s2/run_date=2026-01-03/*.parquet")
    damaged.write_bytes(b"PAR1")
    (lake.root / "signals" / "strategy=s1" / f"{uuid4()}.parquet").write_bytes(b"not named as a data file")
    lose()
    done = rebuild(lake.root, dsn=dsn)
    assert [task_id for task_id, _ in done.incomplete] == ["t1", "t2"]
    assert "rows of it in table 'signals' are nowhere" in done.incomplete[0][1]
    assert [each.path for each in done.damaged] == [damaged.relative_to(lake.root).as_posix()]
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert [info.task_id for info in again.results()] == ["t4", "t3"]
        assert [each.problem for each in verify(again)] == [None, None]


def test_a_deleted_result_whose_tombstone_was_not_written_comes_back(
    lake: Lake, lose: Lose, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.save(run(1), task_id="a")
    monkeypatch.setattr(tombstones, "leave", lambda *_: None)
    lake.delete("a")
    lose()
    rebuild(lake.root, dsn=dsn)
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert again.load("a").document == run(1)


def test_parameters_come_from_the_profile_that_the_result_was_read_with(lake: Lake, lose: Lose, dsn: str) -> None:
    folder = lake.root / "_lakestore" / "profiles"
    folder.mkdir()
    (folder / "mine.toml").write_text(
        'name = "mine"\nversion = 1\n\n[identity]\nstrategy = [["strategy"]]\nparams = [["setup", "knobs"]]\n'
        'metrics = [["equity", 1], ["equity"]]\n\n[[tables]]\npath = ["equity"]\n'
    )
    document = {"strategy": "s", "setup": {"knobs": {"a": 1}}, "equity": [{"x": 1}, {"x": 2}]}
    info = lake.save(json.dumps(document), task_id="a", profile="mine", created_at="2026-01-01")
    assert info.metrics == {"x": 2}
    lose()
    assert rebuild(lake.root, dsn=dsn).unstated == {}
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert again.info("a") == info
    (folder / "mine.toml").unlink()
    assert rebuild(lake.root, dsn=dsn).unstated == {"mine": ("a",)}
    with lakestore.open(lake.root, dsn=dsn) as again:
        assert again.info("a").params is None and again.load("a").document == document


def test_there_must_be_a_lake(tmp_path: Path, dsn: str) -> None:
    with pytest.raises(NotFoundError, match="there is no lake"):
        rebuild(tmp_path, dsn=dsn)
