"""The cases: each measures stores in turns, verifies what they gave, and says what lakestore must reach."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle
from statistics import median
from typing import Any

import orjson
import psycopg

import lakestore
from bench.measure import Case, Timing, awake, interleaved, peak_memory
from bench.results_file import Figure, Reach, figure
from bench.runs import STRATEGIES, Run, Runs, text_of
from bench.stores import bare
from bench.stores.base import QUESTIONS, Place, Store, expected, same
from bench.stores.lake import LakeStore
from lakestore import maintenance

LAKE, BARE, ARCTIC = "lakestore", "bare pyarrow + INSERT", "ArcticDB"


class Wrong(Exception):
    """A store gave back something else than what was kept in it."""


@dataclass(slots=True)
class Bench:
    """What the cases share and what they have found.

    Attributes:
        runs: where runs come from; `count` of them are in each store after `fill`.
        quick: fewer rounds.
        fresh: gives an empty place for a name.
        held: what every store holds by now.
    """

    runs: Runs
    signals: int
    count: int
    quick: bool
    stores: Mapping[str, Store]
    fresh: Callable[[str], Place]
    figures: list[Figure] = field(default_factory=list)
    reach: list[Reach] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    held: list[Run] = field(default_factory=list)
    filled: bool = False

    def rounds(self, full: int) -> int:
        """Rounds of a case."""
        return max(3, full // 4) if self.quick else full

    def note(self, case: str, timings: Mapping[str, Timing], base: str, **more: Any) -> None:
        """Keep the timings of a case, with ratios to its base."""
        against = timings[base].wall if base in timings else ()
        for store, timing in timings.items():
            given = {"base": base, "against": against} if against and store != base else {}
            self.figures.append(figure(case, store, timing.wall, **given, **more))

    def must(self, case: str, limit: float, reached: float | None, unit: str = "×", *, least: bool = False) -> None:
        """Say whether a limit was kept; nothing where what it is compared with is absent."""
        if reached is None:
            return
        sign = "≥" if least else "≤"
        ok = reached >= limit if least else reached <= limit
        self.reach.append(Reach(case, f"{sign} {limit:,g} {unit}", f"{_short(reached)} {unit}", ok))

    def ratio(self, case: str, store: str, base: str) -> float | None:
        """How many times longer a store took than another one, from their medians."""
        a, b = (next((f for f in self.figures if (f.case, f.store) == (case, name)), None) for name in (store, base))
        return None if a is None or b is None else a.median / b.median


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def save_arrow(bench: Bench) -> None:
    """Save signals held as Arrow; each store as durable as it is."""
    case = "save from Arrow"
    numbers = {name: iter(range(10**9)) for name in bench.stores}
    made: dict[str, list[int]] = {name: [] for name in bench.stores}

    def prepare(name: str) -> Any:
        number = next(numbers[name])
        made[name].append(number)
        return bench.stores[name].prepare(bench.runs.run(number, "save"))

    cases = {
        name: Case(store.save, lambda name=name: prepare(name))  # type: ignore[misc]
        for name, store in bench.stores.items()
    }
    timings = interleaved(cases, bench.rounds(16), least=0)
    bench.note(case, timings, BARE, warm=True)
    for name, store in bench.stores.items():
        for number in made[name][:2]:
            _check_rows(bench, store, number, "save")
    assert all(numbers == made[LAKE] for numbers in made.values())
    bench.held += [bench.runs.run(number, "save") for number in made[LAKE]]
    bench.must(f"{case}: beside ArcticDB", 1.15, bench.ratio(case, LAKE, ARCTIC))
    bench.must(f"{case}: beside bare", 1.3, bench.ratio(case, LAKE, BARE))


def _check_rows(bench: Bench, store: Store, number: int, name: str) -> None:
    run = bench.runs.run(number, name)
    found = store.load(run.task_id)
    if len(found) != len(run.signals) or found["price"].to_pylist() != run.signals["price"].to_pylist():
        raise Wrong(f"{store.name} gave other signals for {run.task_id} than were saved")


def save_dict(bench: Bench) -> None:
    """Save a whole document held as a dict, proved exact; beside writing it as a JSON file, synced likewise."""
    case = "save from dict"
    place = bench.fresh("files")
    lake = LakeStore(bench.fresh("documents"))
    numbers = iter(range(10**9))

    def written(write: Callable[[Any, Any], object], mode: str = "wb") -> Callable[[Any], None]:
        def work(document: dict[str, Any]) -> None:
            with open(place.folder / f"{document['task_id']}.json", mode) as file:
                write(document, file)
                file.flush()
                os.fsync(file.fileno())

        return work

    works: dict[str, Callable[[Any], Any]] = {
        LAKE: lambda document: lake.lake.save(document),
        "json.dump(indent=2)": written(lambda document, file: json.dump(document, file, indent=2), "w"),
        "json.dump": written(json.dump, "w"),
        "orjson": written(lambda document, file: file.write(text_of(document))),
    }
    works |= {f"JSON, zstd {level}": written(_squeezed(level)) for level in (3, 19)}
    cases = {name: Case(work, lambda: bench.runs.document(next(numbers))) for name, work in works.items()}
    timings = interleaved(cases, bench.rounds(8), least=0)
    bench.note(case, timings, "json.dump(indent=2)")
    for info in lake.lake.results(limit=3):
        value = lake.lake.load(info.task_id).document
        if value != bench.runs.document(int(info.task_id.rsplit("-", 1)[1])):
            raise Wrong(f"lakestore gave another document for {info.task_id} than was saved")
    bench.must(f"{case}: beside json.dump(indent=2)", 0.4, bench.ratio(case, LAKE, "json.dump(indent=2)"))
    bench.must(f"{case}: beside json.dump (goal)", 1.0, bench.ratio(case, LAKE, "json.dump"))
    lake.close()


def _squeezed(level: int) -> Callable[[Any, Any], None]:
    from bench.measure import zstd

    return lambda document, file: file.write(zstd.compress(text_of(document), level=level))


def load_document(bench: Bench) -> None:
    """Load a whole document: as JSON text, and as a Python value."""
    lake = LakeStore(bench.fresh("loads"))
    document = bench.runs.document(0, "load")
    text = text_of(document)
    info = lake.lake.save(text)
    path = bench.fresh("loadfiles").folder / "document.json"
    path.write_bytes(text)
    value = orjson.loads(text)
    if lake.lake.load(info.task_id).to_json() != text or lake.lake.load(info.task_id).document != value:
        raise Wrong("lakestore gave another document than was saved")
    works: dict[str, Callable[[Any], Any]] = {
        LAKE: lambda _: lake.lake.load(info.task_id).to_json(),
        "orjson.dumps of the value": lambda _: orjson.dumps(value, option=orjson.OPT_INDENT_2),
        "the file's bytes": lambda _: path.read_bytes(),
    }
    timings = interleaved({name: Case(work) for name, work in works.items()}, bench.rounds(12), least=0.05)
    bench.note("load as JSON text", timings, "orjson.dumps of the value")
    bench.must(
        "load as JSON text: beside orjson.dumps", 8, bench.ratio("load as JSON text", LAKE, "orjson.dumps of the value")
    )
    works = {
        LAKE: lambda _: lake.lake.load(info.task_id).document,
        "json.load of the file": lambda _: json.loads(path.read_bytes()),
        "orjson.loads of the file": lambda _: orjson.loads(path.read_bytes()),
    }
    timings = interleaved({name: Case(work) for name, work in works.items()}, bench.rounds(12), least=0.05)
    bench.note("load as value", timings, "json.load of the file")
    bench.must("load as value: beside json.load", 1.0, bench.ratio("load as value", LAKE, "json.load of the file"))
    lake.close()


def fill(bench: Bench) -> None:
    """Put the runs into each store, in turns; the last saves beside the first ones are a case of their own."""
    if bench.filled:
        return
    case = "save after many"
    first: dict[str, list[float]] = {name: [] for name in bench.stores}
    last: dict[str, list[float]] = {name: [] for name in bench.stores}
    window = max(5, min(20, bench.count // 10))
    for number in range(bench.count):
        for name, store in bench.stores.items():
            given = store.prepare(bench.runs.run(number))
            start = time.perf_counter()
            store.save(given)
            took = time.perf_counter() - start
            # The first one opens connections and makes tables.
            if 0 < number <= window:
                first[name].append(took)
            elif number >= bench.count - window:
                last[name].append(took)
    for name, store in bench.stores.items():
        if last[name]:
            times = median(last[name]) / median(first[name])
            bench.figures.append(figure(f"{case}: {bench.count} runs", name, [times], unit="× the first"))
        bench.figures.append(figure(f"bytes of {bench.count} runs", name, [store.size() / 1e6], unit="MB"))
    bench.held += [bench.runs.run(number) for number in range(bench.count)]
    bench.filled = True


def load_arrow(bench: Bench) -> None:
    """Load the signals of one run of many by its id, as Arrow."""
    fill(bench)
    case = "load as Arrow"
    order = random.Random(0)
    cases = {
        name: Case(store.load, lambda: bench.runs.run(order.randrange(bench.count)).task_id)
        for name, store in bench.stores.items()
        if name != "JSON files"
    }
    bench.note(case, interleaved(cases, bench.rounds(12), least=0), BARE)
    for name in cases:
        _check_rows(bench, bench.stores[name], bench.count // 2, "run")
    bench.must(f"{case}: beside ArcticDB", 1.2, bench.ratio(case, LAKE, ARCTIC))
    text = {
        name: Case(store.json, lambda: bench.runs.run(order.randrange(bench.count)).task_id)
        for name, store in bench.stores.items()
    }
    bench.note("signals as JSON text", interleaved(text, bench.rounds(4), least=0), LAKE)


def sql(bench: Bench) -> None:
    """The questions over all runs, in every store that answers SQL."""
    fill(bench)
    for question, case in {
        "group": f"SQL over {bench.count} runs: group by strategy and symbol",
        "week": f"SQL over {bench.count} runs: one strategy in one week",
        "top": f"SQL over {bench.count} runs: top 10 by a sum",
    }.items():
        timings = interleaved(_asking(bench, question), bench.rounds(8), least=0)
        bench.note(case, timings, BARE)
        bench.must(f"{case}: beside bare", 1.1, bench.ratio(case, LAKE, BARE))
        if question == "week":
            bench.must(case, 15, 1e3 * timings[LAKE].seconds, "ms")


_TOP_BY_STATISTICS = (
    "SELECT task_id, round(sum, 6) AS total FROM run_stats WHERE table_name = 'signals' "
    "AND column_name = 'strength' ORDER BY total DESC, task_id LIMIT 10"
)


def _asking(bench: Bench, question: str) -> dict[str, Case]:
    """Everybody who can answer a question, each having answered it rightly once."""
    right = expected(bench.held, question)
    works: dict[str, Callable[[], Any]] = {}
    for name, store in bench.stores.items():
        # Reading the whole pile takes seconds: it is asked once, and not at all of many runs.
        if name != "JSON files" or (question == "group" and bench.count <= 250):
            works[name] = partial(store.sql, question)
    floor, lake = bench.stores[BARE], bench.stores[LAKE]
    assert isinstance(floor, bare.BareStore) and isinstance(lake, LakeStore)
    if question == "week":
        works["bare, pruned by its table"] = floor.pruned
    if question == "top":
        con = lake.lake.connect()
        works["lakestore, run_stats"] = lambda: lake.lake.sql(_TOP_BY_STATISTICS).fetchall()
        works["lakestore, run_stats in a snapshot"] = lambda: con.execute(_TOP_BY_STATISTICS).fetchall()
    cases = {}
    for name, work in works.items():
        try:
            found = work()
        except NotImplementedError:
            continue
        if not same(found, right):
            raise Wrong(f"{name} answers {question!r} with {found[:2]}, not {right[:2]}")
        cases[name] = Case(lambda _, work=work: work())  # type: ignore[misc]
    return cases


def compacted(bench: Bench) -> None:
    """Questions over 500 runs (quick: 100) of a lake that was compacted by month, beside one with a file for each."""
    runs = [bench.runs.run(number) for number in range(100 if bench.quick else 500)]
    case = f"SQL over {len(runs)} runs, compacted"
    lakes = {name: LakeStore(bench.fresh(name.replace(" ", ""))) for name in ("a file a run", "by month")}
    for run in runs:
        for lake in lakes.values():
            lake.save(run)
    for done in maintenance.compact(lakes["by month"].lake, table="signals", partition="month"):
        if done.problem:
            raise Wrong(f"compaction failed: {done.problem}")
    files = {name: len(lake.lake.files("signals")) for name, lake in lakes.items()}
    for question, what in (("group", "group by strategy and symbol"), ("top", "top 10 by a sum")):
        right = expected(runs, question)
        if not all(same(lake.sql(question), right) for lake in lakes.values()):
            raise Wrong(f"a compacted lake answers {question!r} otherwise than is right")
        works = {name: partial(lake.sql, question) for name, lake in lakes.items()}
        timings = interleaved({name: _calling(work) for name, work in works.items()}, bench.rounds(8), least=0)
        for name, timing in timings.items():
            bench.figures.append(figure(f"{case}: {what}", name, timing.wall, note=f"{files[name]} files"))
        bench.must(f"{case}: {what}", 0.8, bench.ratio(f"{case}: {what}", "by month", "a file a run"))
    for lake in lakes.values():
        lake.close()


def _calling(work: Callable[[], object]) -> Case:
    return Case(lambda _: work())


def four_processes(bench: Bench) -> None:
    """Four processes save at once, each runs of its own."""
    case = "4 processes saving"
    each = 5 if bench.quick else 20
    writers: dict[str, Callable[[Place], Store]] = {}
    from bench.stores import OWN, PEERS

    for name, opener in {**OWN, **PEERS}.items():
        if name in bench.stores and name not in ("DuckDB table", "JSON files"):
            writers[name] = opener
    for name, opener in writers.items():
        place = bench.fresh(f"four-{name}")
        # Tables and libraries are made once, by one process.
        first = opener(place)
        first.save(first.prepare(bench.runs.run(0, "first")))
        first.close()
        try:
            took, conflicts = _race(opener, place, bench.signals, each)
        except Wrong as exc:
            if name == LAKE:
                raise
            bench.skipped[f"{name} with 4 processes"] = str(exc)
            continue
        rate = 4 * each / max(sum(times) for times in took)
        flat = sorted(value for times in took for value in times)
        bench.figures.append(
            figure(case, name, [rate], unit="runs/s", note=f"{conflicts} conflicts" if conflicts else "no conflicts")
        )
        tail = flat[min(len(flat) - 1, int(len(flat) * 0.99))] / median(flat)
        bench.figures.append(figure(f"{case}: p99 beside p50", name, [tail], unit="× the median"))
        if name == LAKE:
            bench.must(f"{case}: p99 beside p50", 5, tail)
    rates = {f.store: f.median for f in bench.figures if f.case == case}
    if ARCTIC in rates:
        bench.must(f"{case}: beside ArcticDB", 1.4, rates[LAKE] / rates[ARCTIC], least=True)


def _race(opener: Callable[[Place], Store], place: Place, signals: int, each: int) -> tuple[list[list[float]], int]:
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(4), context.Queue()
    shared = (opener, place, signals, each)
    processes = [context.Process(target=_racer, args=(*shared, number, barrier, queue)) for number in range(4)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=600) for _ in processes]
    for process in processes:
        process.join()
    if failed := [answer for answer in answers if isinstance(answer, str)]:
        # The others only tell that somebody failed.
        raise Wrong(max(failed, key=lambda answer: "BrokenBarrier" not in answer))
    return [times for times, _ in answers], sum(conflicts for _, conflicts in answers)


def _racer(opener: Any, place: Place, signals: int, each: int, number: int, barrier: Any, queue: Any) -> None:
    try:
        store = opener(place)
        runs = Runs(signals)
        given = [store.prepare(runs.run(number * 1000 + turn, f"race{number}")) for turn in range(each + 1)]
        barrier.wait(120)
        # The first save opens connections and makes tables; it does not count.
        store.save(given[0])
        barrier.wait(120)
        times = []
        for one in given[1:]:
            start = time.perf_counter()
            store.save(one)
            times.append(time.perf_counter() - start)
        queue.put((times, getattr(store, "conflicts", 0)))
        store.close()
    except BaseException as exc:
        barrier.abort()
        queue.put(f"{type(exc).__name__}: {exc}")


def catalog_reads(bench: Bench) -> None:
    """The newest 100 of 7 days and one result by its id, in a catalog of a million (quick: 20,000).

    Once as it comes, and once on cores that are kept awake, as other work keeps them.
    """
    rows = 20_000 if bench.quick else 1_000_000
    place = bench.fresh("million")
    with lakestore.open(place.folder / "lake", dsn=place.dsn) as lake:
        info = lake.save({"strategy": "s", **bench.runs.run(0).head}, task_id="first")
        now = datetime.now(UTC)
        with psycopg.connect(place.dsn, autocommit=True) as con:
            con.execute(_COPIES, {"rows": rows, "now": now})
            con.execute("ANALYZE backtest_results")
            ids = [f"copy-{number:08}" for number in random.Random(0).sample(range(1, rows + 1), 1000)]
            if len(lake.results(since="7d", limit=100)) != 100 or lake.info(ids[0]).params != info.params:
                raise Wrong("the catalog does not list what is in it")
            if sys.platform != "linux":
                bench.skipped["cores kept awake"] = "only Linux has SCHED_IDLE"
            for state in ("", ", cores kept awake") if sys.platform == "linux" else ("",):
                with awake() if state else nullcontext():
                    _ask_catalog(bench, lake, con, ids, f"{rows:,} results{state}")


def _ask_catalog(bench: Bench, lake: lakestore.Lake, con: psycopg.Connection[Any], ids: list[str], what: str) -> None:
    plain = (
        "SELECT task_id, strategy, status, created_at, file_size FROM backtest_results "
        "WHERE created_at > NOW() - INTERVAL '7 days' ORDER BY created_at DESC LIMIT 100"
    )
    page, one = f"newest 100 of 7 days, {what}", f"one result by id, {what}"
    cases = {
        LAKE: Case(lambda _: lake.results(since="7d", limit=100)),
        "lakestore, details=False": Case(lambda _: lake.results(since="7d", limit=100, details=False)),
        "psycopg, five columns": Case(lambda _: con.execute(plain, prepare=True).fetchall()),
    }
    seconds = 0.2 if bench.quick else 1.0
    timings = interleaved(cases, bench.rounds(8), least=seconds)
    bench.note(page, timings, "psycopg, five columns")
    for name, timing in list(timings.items())[:2]:
        bench.must(f"{page}{name.removeprefix(LAKE)}", 1500, 1 / timing.seconds, "queries/s", least=True)
    waits = sorted(_each(lambda: lake.results(since="7d", limit=100), 200 if bench.quick else 2000))
    bench.must(f"{page}: p99", 5, 1e3 * waits[int(len(waits) * 0.99)], "ms")
    lookup = "SELECT * FROM backtest_results WHERE task_id = %s"
    turn = cycle(ids)
    cases = {
        LAKE: Case(lambda _: lake.info(next(turn))),
        "psycopg, all columns": Case(lambda _: con.execute(lookup, [next(turn)], prepare=True).fetchone()),
    }
    timings = interleaved(cases, bench.rounds(8), least=seconds)
    bench.note(one, timings, "psycopg, all columns")
    bench.must(f"{one}: queries/s", 5000, 1 / timings[LAKE].seconds, "queries/s", least=True)


def _each(work: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found


_COPIES = """
INSERT INTO backtest_results (task_id, strategy, strategies, status, created_at, file_size, json_size, run_date, sha256,
    profile, fidelity, fidelity_bytes, write_id, saved_at, tables, params, metrics)
SELECT 'copy-' || lpad(i::text, 8, '0'), s, ARRAY[s], status, t, file_size, json_size, t::date, sha256, profile,
    fidelity, fidelity_bytes, ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, saved_at, tables, params,
    metrics
FROM backtest_results, generate_series(1, %(rows)s) AS i,
    LATERAL (SELECT 's' || i %% 20 AS s, %(now)s::timestamptz - i * interval '1 minute' AS t) AS x
WHERE task_id = 'first'
"""


def many_files(bench: Bench) -> None:
    """SQL over 10,000 runs with a file each (quick: 1,000): only the files that can match are given to DuckDB."""
    runs = 1_000 if bench.quick else 10_000
    place = bench.fresh("many")
    lake = LakeStore(place)
    first = bench.runs.run(0, "first")
    lake.save(lake.prepare(first))
    before = [_timed_save(bench, lake, number) for number in range(1, 9)]
    _linked(place, lake, runs)
    after = [_timed_save(bench, lake, number) for number in range(11, 19)]
    times = median(after) / median(before)
    bench.figures.append(figure(f"save after {runs:,} runs", LAKE, [times], unit="× the first"))
    bench.must(f"save after {runs:,} runs", 1.1, times)
    day = (first.created_at + timedelta(days=runs // STRATEGIES // 2)).date()
    asked = "SELECT count(*), avg(price) FROM signals WHERE"
    statements = {
        "one strategy and day": f"{asked} strategy = 's03' AND run_date = '{day}'",
        "one task_id": f"{asked} task_id = 'save-000003'",
    }
    for what, statement in statements.items():
        case = f"SQL over {runs:,} runs: {what}"
        if lake.lake.sql(statement).fetchall()[0][0] != bench.signals:
            raise Wrong(f"{case}: the rows of one run were expected")
        timings = interleaved(
            {LAKE: Case(lambda _, s=statement: lake.lake.sql(s).fetchall())}, bench.rounds(12), least=0
        )  # type: ignore[misc]
        bench.note(case, timings, LAKE)
        bench.must(case, 30, 1e3 * timings[LAKE].seconds, "ms")
    for count in [count for count in (1_000, 3_000, 10_000) if count <= runs]:
        last = (first.created_at + timedelta(days=count // STRATEGIES - 1)).date()
        statement = f"SELECT count(*) FROM signals WHERE run_date <= '{last}'"
        timings = interleaved({LAKE: _statement(lake, statement)}, 2, least=0)
        case = "count all rows of so many runs"
        bench.figures.append(figure(case, f"{count:,} runs", timings[LAKE].wall, note="a file each"))
        if count == runs:
            bench.must(f"opening {count:,} files: each", 0.2, 1e3 * timings[LAKE].seconds / count, "ms")
    lake.close()


def _statement(lake: LakeStore, statement: str) -> Case:
    return Case(lambda _: lake.lake.sql(statement).fetchall())


def _timed_save(bench: Bench, lake: LakeStore, number: int) -> float:
    run = bench.runs.run(number, "save")
    start = time.perf_counter()
    lake.save(run)
    return time.perf_counter() - start


def _linked(place: Place, lake: LakeStore, runs: int) -> None:
    """Copies of the first run: rows in the catalog, and hard links to its files."""
    root = lake.lake.root
    with psycopg.connect(place.dsn, autocommit=True) as con:
        con.execute(_RUNS, {"runs": runs, "strategies": STRATEGIES})
        files = con.execute(
            "SELECT path, table_name, rows, bytes, f.sha256 FROM data_files f JOIN result_files USING (file_id, rows) "
            "JOIN backtest_results USING (write_id) WHERE task_id = 'first-000000'"
        ).fetchall()
        for path, table, rows, size, sha in files:
            made = con.execute(_FILES, {"table": table, "rows": rows, "bytes": size, "sha256": sha}).fetchall()
            for (target,) in made:
                (root / target).parent.mkdir(parents=True, exist_ok=True)
                os.link(root / path, root / target)
        con.execute("ANALYZE")


_RUNS = """
INSERT INTO backtest_results (task_id, strategy, strategies, status, created_at, file_size, json_size, run_date, sha256,
    profile, fidelity, fidelity_bytes, write_id, saved_at, tables, params, metrics)
SELECT 'copy-' || i, s, NULL, status, t, file_size, json_size, t::date, sha256, profile, fidelity, fidelity_bytes,
    ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, saved_at, tables, params, metrics
FROM backtest_results, generate_series(100, %(runs)s - 1) AS i,
    LATERAL (SELECT 's' || lpad((i %% %(strategies)s)::text, 2, '0') AS s,
                    created_at + (i / %(strategies)s) * interval '1 day' AS t) AS x
WHERE task_id = 'first-000000'
"""

_FILES = """
WITH added AS (
    INSERT INTO files (name, table_name, strategy, run_date, rows, bytes, sha256, is_whole)
    SELECT write_id, %(table)s, strategy, run_date, %(rows)s, %(bytes)s, %(sha256)s, true
    FROM backtest_results WHERE task_id LIKE 'copy-%%' RETURNING name, strategy, run_date
)
SELECT %(table)s || '/strategy=' || strategy || '/run_date=' || run_date || '/' || name || '.parquet' FROM added
"""


def memory(bench: Bench) -> None:
    """The memory that SQL over all runs takes, in a process of its own."""
    fill(bench)
    lake = bench.stores[LAKE]
    assert isinstance(lake, LakeStore)
    grown = peak_memory("bench.cases:asking", str(lake.lake.root), lake.lake.conninfo)
    case = f"memory of SQL over {bench.count} runs"
    bench.figures.append(figure(case, LAKE, [grown / 1e6], unit="MB"))
    bench.must(case, 1024, grown / 1e6, "MB")


class asking:
    """For `peak_memory`: the grouping question."""

    def __init__(self, root: str, dsn: str) -> None:
        self.lake = lakestore.open(root, dsn=dsn)

    def __enter__(self) -> Callable[[], object]:
        return lambda: self.lake.sql(QUESTIONS["group"].format(signals="signals")).fetchall()

    def __exit__(self, *exc: object) -> None:
        self.lake.close()


CASES: Mapping[str, Callable[[Bench], None]] = {
    "save_arrow": save_arrow,
    "save_dict": save_dict,
    "load_document": load_document,
    "load_arrow": load_arrow,
    "sql": sql,
    "compacted": compacted,
    "memory": memory,
    "four_processes": four_processes,
    "catalog_reads": catalog_reads,
    "many_files": many_files,
}
"""By the names that `--cases` takes; in this order."""
