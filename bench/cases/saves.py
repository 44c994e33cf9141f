"""Saves: from Arrow, from a dict, by four processes at once."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from bench.cases.base import ARCTIC, BARE, LAKE, Bench, check_rows
from bench.measure import Case, Wrong, interleaved
from bench.results_file import figure
from bench.runs import Runs, text_of
from bench.stores.base import Place, Store
from bench.stores.lake import LakeStore


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
    bench.note(case, timings, BARE)
    for name, store in bench.stores.items():
        for number in made[name][:2]:
            check_rows(bench, store, number, "save")
    assert all(numbers == made[LAKE] for numbers in made.values())
    bench.held += [bench.runs.run(number, "save") for number in made[LAKE]]
    bench.must(f"{case}: beside ArcticDB", 1.15, bench.ratio(case, LAKE, ARCTIC))
    bench.must(f"{case}: beside bare", 1.3, bench.ratio(case, LAKE, BARE))


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
    from lakestore.compression import zstd

    return lambda document, file: file.write(zstd.compress(text_of(document), level=level))


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
