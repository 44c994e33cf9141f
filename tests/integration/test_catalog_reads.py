"""Reads: pages in a fixed order, any text in an identity, and snapshots of one instant."""

from __future__ import annotations

import copy
import json
import pickle
import random
import threading
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from lakestore.catalog import Catalog
from lakestore.catalog.bounds import UNBOUNDED, Bounds
from lakestore.catalog.snapshot import RESULTS_SCHEMA, Wanted, table_of
from lakestore.errors import CatalogError, InvalidInputError
from lakestore.model import Fidelity, LakeTable, LiveFile, ResultInfo, RunStats

Make = Callable[..., Any]
T0 = datetime(2024, 1, 1, tzinfo=UTC)
AWKWARD = [
    "a", "A", "ä", "Ä", "策略", "../x", "a=b", "%41", "a'b", 'a"b', "a,b", "a\\b", "\\N", "\\.", "a\nb", "a\r\nb", "\t",
    " ", " a", "a ", "NULL", "null", "{a,b}", "{}", "[]", "CON", "42", "-", "x" * 512, "\u202e",
    "\ufeff", "\x01", "\x7f", "🦆",
]  # fmt: skip


def commit_all(catalog: Catalog, saves: list[Any]) -> None:
    catalog.commit([s.result for s in saves], [f for s in saves for f in s.files])


@pytest.fixture
def many(catalog: Catalog, make_save: Make) -> list[ResultInfo]:
    """120 results of few times, strategies and statuses, so that there are ties everywhere."""
    rng = random.Random(20240506)
    saves = []
    for n in range(120):
        strategies = tuple(rng.sample(["s1", "s2", "s3"], rng.choice([1, 1, 2, 3])))
        saves.append(
            make_save(
                f"{rng.choice('aBzé')}{n}",
                strategy=strategies[0],
                strategies=strategies,
                status=rng.choice(["completed", "failed", "x" * 5000, "x" * 5000 + "y"]),
                created_at=T0 + timedelta(hours=rng.randrange(12)),
                tables=(),
            )
        )
    commit_all(catalog, saves)
    return sorted((s.result.info for s in saves), key=lambda i: (-i.created_at.timestamp(), i.task_id.encode()))


def pages(catalog: Catalog, limit: int, **filters: Any) -> list[ResultInfo]:
    found: list[ResultInfo] = []
    while page := catalog.results(limit=limit, after=_last(found), **filters):
        assert len(page) <= limit
        found += page
    return found


def _last(found: list[ResultInfo]) -> tuple[datetime, str] | None:
    return (found[-1].created_at, found[-1].task_id) if found else None


@pytest.mark.parametrize("limit", [3, 50, 1000])
@pytest.mark.parametrize("strategy", [None, "s2", "none"])
@pytest.mark.parametrize("status", [None, "failed", "x" * 5000], ids=["any", "failed", "long"])
def test_pages_together_are_the_sorted_list(
    catalog: Catalog, many: list[ResultInfo], limit: int, strategy: str | None, status: str | None
) -> None:
    since, until = T0 + timedelta(hours=2), T0 + timedelta(hours=9)
    for window in ({}, {"since": since}, {"until": until}, {"since": since, "until": until}):
        expected = [
            info
            for info in many
            if (strategy is None or strategy in info.strategies)
            and (status is None or info.status == status)
            and window.get("since", T0) <= info.created_at < window.get("until", datetime.max.replace(tzinfo=UTC))
        ]
        assert pages(catalog, limit, strategy=strategy, status=status, **window) == expected


def test_a_page_goes_on_after_a_result_that_was_deleted(catalog: Catalog, many: list[ResultInfo]) -> None:
    first = catalog.results(limit=10)
    catalog.delete(first[-1].task_id)
    assert catalog.results(limit=10, after=_last(first)) == many[10:20]


def test_times_in_any_zone_and_without_one_mean_the_same_instant(catalog: Catalog, make_save: Make) -> None:
    save = make_save("a", created_at=datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30))))
    commit_all(catalog, [save])
    at = datetime(2024, 1, 1, 6, 30)
    assert [i.task_id for i in catalog.results(since=at)] == ["a"]
    assert catalog.results(until=at) == []
    assert catalog.results(since=at.replace(tzinfo=UTC) + timedelta(microseconds=1)) == []
    info = catalog.get("a")
    assert info is not None
    assert (info.created_at, info.created_at.tzinfo) == (at.replace(tzinfo=UTC), UTC)


@pytest.mark.parametrize(
    "created_at",
    [
        datetime.min.replace(tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
    ids=["first", "before 1970", "last"],
)
def test_times_at_the_edges_are_kept(catalog: Catalog, make_save: Make, created_at: datetime) -> None:
    save = make_save("a", created_at=created_at)
    commit_all(catalog, [save])
    assert catalog.results() == [save.result.info]
    taken = catalog.snapshot().results
    assert taken is not None
    assert taken.column("created_at").cast(pa.int64()).to_pylist() == [
        (created_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    ]


def test_any_text_may_be_an_identity(catalog: Catalog, make_save: Make) -> None:
    saves = [
        make_save(t, strategy=t, strategies=(t, *AWKWARD[:2]), status=t, tables=(), params={t: t}) for t in AWKWARD
    ]
    commit_all(catalog, saves)
    for save in saves:
        info = save.result.info
        assert catalog.get(info.task_id) == info
        assert info in catalog.results(strategy=info.strategy)
        assert catalog.results(status=info.status) == [info]
    taken = catalog.snapshot().results
    assert taken is not None
    assert taken.column("task_id").to_pylist() == sorted(AWKWARD, key=str.encode)
    rows = {row["task_id"]: row for row in taken.to_pylist()}
    for save in saves:
        row, info = rows[save.result.info.task_id], save.result.info
        assert (row["strategy"], row["status"], tuple(row["strategies"])) == (
            info.strategy,
            info.status,
            info.strategies,
        )
        assert json.loads(row["params"]) == info.params


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x\udfff"])
def test_what_no_database_can_hold_is_not_there(catalog: Catalog, text: str) -> None:
    assert catalog.get(text) is None
    assert catalog.locate(text) is None
    assert catalog.delete(text) is None
    assert catalog.results(strategy=text) == catalog.results(status=text) == []
    with pytest.raises(InvalidInputError):
        catalog.results(after=(T0, text))


def test_a_limit_below_zero_is_refused_and_none_is_no_result(catalog: Catalog, many: list[ResultInfo]) -> None:
    with pytest.raises(InvalidInputError, match="-1"):
        catalog.results(limit=-1)
    assert catalog.results(limit=0) == []


def test_parameters_beyond_what_python_reads_come_as_text(catalog: Catalog, make_save: Make, dsn: str) -> None:
    save = make_save("a", params={"a": 1})
    commit_all(catalog, [save])
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "UPDATE backtest_results SET params = '[1e6000]', metrics = %s::jsonb", ["[" * 3_000 + "]" * 3_000]
        )
    info = catalog.get("a")
    assert info is not None
    assert info.params == "[1" + "0" * 6000 + "]"
    # How deep Python's parser goes depends on its version; either way there is an answer.
    assert isinstance(info.metrics, str | list)


def test_a_snapshot_of_an_empty_lake_has_typed_columns(catalog: Catalog) -> None:
    taken = catalog.snapshot()
    assert (taken.files, taken.tables) == ((), {})
    assert taken.results == RESULTS_SCHEMA.empty_table()
    assert catalog.snapshot(Wanted(results=None)).results is None


def test_a_snapshot_tells_files_tables_and_results(catalog: Catalog, make_save: Make) -> None:
    table = catalog.table_for('"trades"', "trades")
    a = make_save("a", params={"x": 1}, metrics={"y": 2.5}, strategies=("sma", "ema"))
    b = make_save("b", created_at=T0)
    commit_all(catalog, [b, a])
    taken = catalog.snapshot()
    assert taken.tables == {table: LakeTable("trades", '"trades"')}
    assert set(taken.files) == {
        LiveFile(f.table, f.path, f.strategy, f.run_date, f.rows, f.bytes) for s in (a, b) for f in s.files
    }
    info = a.result.info
    assert taken.results is not None
    assert taken.results.schema == RESULTS_SCHEMA
    assert taken.results.to_pylist()[0] == {
        "task_id": "a",
        "strategy": "sma",
        "strategies": ["sma", "ema"],
        "status": "completed",
        "created_at": info.created_at,
        "run_date": info.run_date,
        "file_size": 2000,
        "json_size": 54321,
        "profile": "generic",
        "fidelity": "patched",
        "fidelity_bytes": 12,
        "sha256": info.sha256,
        "saved_at": info.saved_at,
        "params": '{"x": 1}',
        "metrics": '{"y": 2.5}',
        "tables": '{"trades":10}',
        "write_id": str(info.write_id),
    }
    assert taken.results.to_pylist()[1]["strategies"] == ["sma"]
    assert taken.results.to_pylist()[1]["params"] is None


def test_a_snapshot_can_be_of_some_tables(catalog: Catalog, make_save: Make) -> None:
    commit_all(catalog, [make_save("a", tables=("results", "trades", "signals"))])
    assert {f.table for f in catalog.snapshot(Wanted(dict.fromkeys(["trades", "results"], UNBOUNDED))).files} == {
        "trades",
        "results",
    }
    assert catalog.snapshot(Wanted({})).files == ()


def _day(number: int) -> datetime:
    return datetime(2024, 5, number, 12, tzinfo=UTC)


BOUNDED = {
    "": (UNBOUNDED, "abcd"),
    "strategy": (Bounds(strategies=frozenset({"sma", "none"})), "ab"),
    "strategy no database holds": (Bounds(strategies=frozenset({"\0"})), ""),
    "task_id": (Bounds(task_ids=frozenset({"a", "d", "none"})), "ad"),
    "from a day": (Bounds(first_date=date(2024, 5, 3)), "cd"),
    "to a day": (Bounds(last_date=date(2024, 5, 2)), "ab"),
    "since": (Bounds(since=_day(3)), "cd"),
    "until": (Bounds(until=_day(3)), "abc"),
    "to a day in another table": (Bounds(last_of_task=date(2024, 5, 2)), "ab"),
    "all together": (
        Bounds(frozenset({"ema"}), frozenset({"a", "c", "d"}), date(2024, 5, 1), date(2024, 5, 3), _day(1), _day(4)),
        "c",
    ),
}


@pytest.mark.parametrize("bounds", BOUNDED)
def test_a_snapshot_gives_what_lies_within_bounds(catalog: Catalog, make_save: Make, bounds: str) -> None:
    wanted, expected = BOUNDED[bounds]
    saves = [
        make_save(name, strategy="sma" if name < "c" else "ema", created_at=_day(1 + place))
        for place, name in enumerate("abcd")
    ]
    # `make_save` puts every result into one partition; here each has its own.
    for save in saves:
        day = save.result.info.created_at.date()
        info = replace(save.result.info, run_date=day)
        files = [replace(file, run_date=day) for file in save.files]
        catalog.commit([replace(save.result, info=info)], files)
    taken = catalog.snapshot(Wanted({"trades": wanted}, results=wanted))
    spans = {save.files[1].path: save.result.info.task_id for save in saves}
    assert "".join(sorted(spans[file.path] for file in taken.files)) == expected
    assert taken.results is not None
    assert "".join(sorted(taken.results["task_id"].to_pylist())) == expected


def test_a_bounded_file_names_its_dead(catalog: Catalog, make_save: Make) -> None:
    a, b = make_save("a", tables=("trades",)), make_save("b", tables=("trades",))
    shared = replace(b.result, spans=tuple(replace(span, first_row=10) for span in a.result.spans))
    catalog.commit([a.result, shared], a.files)
    catalog.delete("b")
    wanted = Wanted({"trades": Bounds(task_ids=frozenset({"a"}))}, results=None)
    assert [file.dead for file in catalog.snapshot(wanted).files] == [("b",)]


def test_a_month_of_files_holds_every_time_in_it(open_catalog: Callable[..., Catalog], make_save: Make) -> None:
    with open_catalog(partition="month") as catalog:
        save = make_save("a", created_at=_day(20))
        month = date(2024, 5, 1)
        info = replace(save.result.info, run_date=month)
        catalog.commit([replace(save.result, info=info)], [replace(file, run_date=month) for file in save.files])
        for since, found in ((_day(19), 2), (_day(31), 2), (datetime(2024, 6, 1, tzinfo=UTC), 0)):
            wanted = Wanted(dict.fromkeys(["trades", "results"], Bounds(since=since)), results=None)
            assert len(catalog.snapshot(wanted).files) == found
        for last, found in ((date(2024, 4, 30), 0), (date(2024, 5, 1), 2), (date(2024, 5, 20), 2)):
            wanted = Wanted({"trades": Bounds(last_of_task=last)}, results=Bounds(last_of_task=last))
            taken = catalog.snapshot(wanted)
            assert taken.results is not None
            assert len(taken.files) + taken.results.num_rows == found


def test_long_columns_come_where_they_are_wanted(catalog: Catalog, make_save: Make) -> None:
    commit_all(catalog, [make_save("a", params={"x": 1}, metrics={"y": 2})])
    taken = catalog.snapshot(Wanted({}, columns=frozenset({"metrics"}))).results
    assert taken is not None
    row = taken.to_pylist()[0]
    assert (row["params"], row["metrics"], row["tables"], row["status"]) == (None, '{"y": 2}', None, "completed")


@pytest.mark.parametrize("value", [{"a": 2**63, "b": [1.5, -0.25, None]}, {"a": 12345678901234567890123}, [], {}])
def test_parameters_come_back_as_python_has_them(catalog: Catalog, make_save: Make, value: Any) -> None:
    save = make_save("a", params=value)
    commit_all(catalog, [save])
    found = catalog.get("a")
    assert found == save.result.info
    assert repr(found.params) == repr(value)
    assert pickle.loads(pickle.dumps(catalog.get("a"))) == found
    assert replace(found, status="x").params == value


def test_a_listed_result_is_a_value_like_one_that_was_made(catalog: Catalog, many: list[ResultInfo]) -> None:
    for made in many:
        (listed,) = catalog.results(limit=1, after=_last(many[: many.index(made)]))
        assert listed == made and repr(listed) == repr(made)
        assert pickle.loads(pickle.dumps(listed)) == copy.copy(listed) == replace(listed) == made
        for change in (
            {"strategies": ("t", "u")}, {"json_size": 7}, {"sha256": "ab" * 32}, {"fidelity": Fidelity("patched", 3)},
            {"saved_at": T0}, {"stats": RunStats(b"x")}, {"params": {"a": 1}}, {"strategy": "t"},
        ):  # fmt: skip
            changed = replace(listed, **change)
            assert {name: getattr(changed, name) for name in change} == change
            assert changed == replace(made, **change)
        with pytest.raises(FrozenInstanceError):
            listed.json_size = 7  # type: ignore[misc]
        with pytest.raises(AttributeError, match="'ResultInfo' object has no attribute 'price'"):
            _ = listed.price  # type: ignore[attr-defined]


def test_a_row_longer_than_a_block_is_read_whole(catalog: Catalog, make_save: Make) -> None:
    text = "line\n" * 1_000_000
    commit_all(catalog, [make_save("a", params={"code": text}), make_save("b")])
    taken = catalog.snapshot().results
    assert taken is not None
    assert json.loads(taken.column("params")[0].as_py()) == {"code": text}


def test_empty_text_and_null_differ_in_a_snapshot(catalog: Catalog, make_save: Make) -> None:
    commit_all(catalog, [make_save("a", status="")])
    taken = catalog.snapshot().results
    assert taken is not None
    assert (taken.column("status")[0].as_py(), taken.column("params")[0].as_py()) == ("", None)


def test_rows_that_are_no_csv_are_reported_as_a_catalog_error() -> None:
    with pytest.raises(CatalogError, match="could not be read"):
        table_of([b"only,three,columns\n"])


def test_a_snapshot_is_of_one_instant(catalog: Catalog, open_catalog: Callable[..., Catalog], make_save: Make) -> None:
    """Each result has two files and one row at every moment, though all are replaced all the time."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def write(other: Catalog, name: str) -> None:
        try:
            while not stop.is_set():
                pair = [make_save(f"{name}{n}") for n in range(2)]
                other.commit([s.result for s in pair], [f for s in pair for f in s.files], replace=True)
                other.delete(f"{name}1")
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=write, args=(open_catalog(), name)) for name in "ab"]
    for thread in threads:
        thread.start()
    seen = set()
    for _ in range(60):
        taken = catalog.snapshot()
        assert taken.results is not None
        writes = taken.results.column("write_id").to_pylist()
        assert sorted(file.path.split("/")[-1].split(".")[0] for file in taken.files) == sorted(writes * 2)
        seen.add(len(writes))
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(seen) > 1


def test_the_settings_tell_whether_the_server_is_durable(catalog: Catalog) -> None:
    settings = catalog.settings()
    assert int(settings["server_version"].split(".")[0].split()[0]) >= 14
    assert settings["fsync"] in ("on", "off")
    assert settings["server_encoding"] == "UTF8"
    assert settings["standby"] == "off"
    assert {"full_page_writes", "synchronous_commit", "database", "role"} <= settings.keys()


def test_100_000_results_are_taken_in_a_few_seconds(catalog: Catalog, dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "INSERT INTO backtest_results SELECT 't' || n, 's', '{s}', 'completed', now() - n * interval '1 s', n, n, "
            "current_date, sha256('x'), 'generic', 'style', 0, gen_random_uuid(), null, now(), '{\"trades\": 1}', "
            "jsonb_build_object('n', n), jsonb_build_object('sharpe', n / 7.0) FROM generate_series(1, 100000) n"
        )
    started = datetime.now()
    taken = catalog.snapshot().results
    assert taken is not None
    assert datetime.now() - started < timedelta(seconds=10)
    assert taken.num_rows == 100_000
    assert taken.column("file_size").to_pylist() == list(range(1, 100_001))
