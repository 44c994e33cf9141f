"""SQL: over every run, over few of very many, over compacted files; and its memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import lakestore
from bench.cases.base import BARE, LAKE, Bench, fill
from bench.measure import Case, Wrong, interleaved, peak_memory
from bench.results_file import figure
from bench.stores import bare
from bench.stores.base import QUESTIONS, expected, same
from bench.stores.lake import LakeStore
from lakestore import maintenance

_QUESTIONS = {
    "group": "group by strategy and symbol",
    "week": "one strategy in one week",
    "top": "top 10 by a sum",
}


def sql(bench: Bench) -> None:
    """The questions over all runs, in every store that answers SQL."""
    fill(bench)
    for question, what in _QUESTIONS.items():
        case = f"SQL over {bench.count} runs: {what}"
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
        cases[name] = Case.calling(work)
    return cases


def compacted(bench: Bench) -> None:
    """Questions over 500 runs (quick: 100): beside the floor, and of the lake beside one compacted by month."""
    runs = [bench.runs.run(number) for number in range(100 if bench.quick else 500)]
    lakes = {name: LakeStore(bench.fresh(name.replace(" ", ""))) for name in ("a file a run", "by month")}
    floor = bare.open_store(bench.fresh("floor"))
    for run in runs:
        for lake in lakes.values():
            lake.save(run)
        floor.save(floor.prepare(run))
    for done in maintenance.compact(lakes["by month"].lake, table="signals", partition="month"):
        if done.problem:
            raise Wrong(f"compaction failed: {done.problem}")
    for question, what in _QUESTIONS.items():
        right = expected(runs, question)
        case = f"SQL over {len(runs)} runs: {what}"
        works: dict[str, Callable[[], Any]] = {
            LAKE: partial(lakes["a file a run"].sql, question),
            BARE: partial(floor.sql, question),
        }
        # Compacted by month, `run_date` is the first of it: no week is asked for.
        if question != "week":
            works[f"{LAKE}, compacted by month"] = partial(lakes["by month"].sql, question)
        for name, work in works.items():
            if not same(work(), right):
                raise Wrong(f"{name} answers {question!r} over {len(runs)} runs otherwise than is right")
        timings = interleaved({name: Case.calling(work) for name, work in works.items()}, bench.rounds(12), least=0)
        bench.note(case, timings, BARE)
        bench.must(f"{case}: beside bare", 1.1, bench.ratio(case, LAKE, BARE))
        if question == "week":
            bench.must(case, 15, 1e3 * timings[LAKE].seconds, "ms")
        else:
            bench.must(f"{case}: compacted", 0.8, bench.ratio(case, f"{LAKE}, compacted by month", LAKE))
    floor.close()
    for lake in lakes.values():
        lake.close()


def memory(bench: Bench) -> None:
    """The memory that SQL over all runs takes, in a process of its own."""
    fill(bench)
    lake = bench.stores[LAKE]
    assert isinstance(lake, LakeStore)
    grown = peak_memory("bench.cases.questions:asking", str(lake.lake.root), lake.lake.conninfo)
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
