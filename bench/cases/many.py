"""Very many results: a catalog of a million, SQL over 10,000 runs."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from itertools import cycle
from statistics import median
from typing import Any

import psycopg

import lakestore
from bench.cases.base import LAKE, Bench
from bench.measure import Case, Wrong, awake, interleaved
from bench.results_file import figure
from bench.runs import STRATEGIES
from bench.stores.base import Place
from bench.stores.lake import LakeStore


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
            # A million rows in one go are not how a catalog grows; the server would tidy up after them meanwhile.
            con.execute("VACUUM (ANALYZE) backtest_results")
            con.execute("CHECKPOINT")
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
SELECT 'copy-' || lpad(i::text, 8, '0'), s, NULL, status, t, file_size, json_size, t::date, sha256, profile,
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
        timings = interleaved({LAKE: _statement(lake, statement)}, bench.rounds(12), least=0)
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
    return Case.calling(lambda: lake.lake.sql(statement).fetchall())


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
