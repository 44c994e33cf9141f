"""What the cases share, and what they have found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from bench.measure import Timing, Wrong
from bench.results_file import Figure, Reach, figure
from bench.runs import Run, Runs
from bench.stores.base import Place, Store

LAKE, BARE, ARCTIC = "lakestore", "bare pyarrow + INSERT", "ArcticDB"


@dataclass(slots=True)
class Bench:
    """What the cases share and what they have found.

    Attributes:
        runs: where runs come from; `count` of them are in each store after `fill`.
        quick: fewer rounds.
        fresh: gives an empty place for a name.
        held: what every store holds by now.
        rounds_of: the rounds of each case and store, in seconds.
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
    rounds_of: dict[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)

    def rounds(self, full: int) -> int:
        """Rounds of a case."""
        return max(3, full // 4) if self.quick else full

    def note(self, case: str, timings: Mapping[str, Timing], base: str) -> None:
        """Keep the timings of a case, with ratios to its base."""
        against = timings[base].wall if base in timings else ()
        for store, timing in timings.items():
            self.rounds_of[case, store] = timing.wall
            if against and store != base:
                self.figures.append(figure(case, store, timing.wall, base=base, against=against))
            else:
                self.figures.append(figure(case, store, timing.wall))

    def must(self, case: str, limit: float, reached: float | None, unit: str = "×", *, least: bool = False) -> None:
        """Say whether a limit was kept; nothing where what it is compared with is absent."""
        if reached is None:
            return
        sign = "≥" if least else "≤"
        ok = reached >= limit if least else reached <= limit
        self.reach.append(Reach(case, f"{sign} {limit:,g} {unit}", f"{_short(reached)} {unit}", ok))

    def ratio(self, case: str, store: str, base: str) -> float | None:
        """How many times longer a store took than another one: the median over the rounds, taken within each."""
        if (case, store) not in self.rounds_of or (case, base) not in self.rounds_of:
            return None
        both = zip(self.rounds_of[case, store], self.rounds_of[case, base], strict=True)
        return median(a / b for a, b in both)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


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


def check_rows(bench: Bench, store: Store, number: int, name: str) -> None:
    """Compare the signals of a run with what was saved."""
    run = bench.runs.run(number, name)
    found = store.load(run.task_id)
    if len(found) != len(run.signals) or found["price"].to_pylist() != run.signals["price"].to_pylist():
        raise Wrong(f"{store.name} gave other signals for {run.task_id} than were saved")
