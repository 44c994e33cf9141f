"""`python -m bench`: run, compare, report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import report, results_file
from bench.cases import CASES
from bench.measure import aligned
from bench.results_file import Found
from bench.run import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, compare two runs, or write the report; 1 where something got slower or was not reached."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("run", help="measure, into a file named by date and commit")
    measure.add_argument("--num-signals", type=int, default=10_000, help="signals of a run (default: %(default)s)")
    measure.add_argument("--runs", type=int, default=None, help="runs in each store (default: 200, quick: 30)")
    measure.add_argument("--cases", nargs="+", choices=sorted(CASES), default=list(CASES), metavar="CASE")
    measure.add_argument("--quick", action="store_true", help="fewer rounds and rows")
    measure.add_argument("--no-peers", action="store_true", help="lakestore and its floor alone")
    measure.add_argument("--output", type=Path, default=results_file.RESULTS, help="folder (default: bench/results)")
    both = commands.add_parser("compare", help="two runs, figure by figure")
    both.add_argument("old", type=Path)
    both.add_argument("new", type=Path)
    both.add_argument("--factor", type=float, default=1.15, help="what is slower by more (default: %(default)s)")
    told = commands.add_parser("report", help="write docs/benchmarks.md and its plots")
    told.add_argument("file", type=Path, nargs="?", help="default: the youngest of bench/results")
    options = parser.parse_args(arguments)
    if options.command == "run":
        count = options.runs or (30 if options.quick else 200)
        found = run(
            signals=options.num_signals,
            runs=count,
            cases=[name for name in CASES if name in options.cases],
            quick=options.quick,
            peers=not options.no_peers,
        )
        print("\n".join(report.tables(found)))
        print(found.write(options.output))
        return 0
    if options.command == "compare":
        return _compare(Found.read(options.old), Found.read(options.new), options.factor)
    path = options.file or results_file.newest()
    if path is None:
        print("there is no run in bench/results: 'python -m bench run' makes one", file=sys.stderr)
        return 1
    print(report.write(path))
    return 0


def _compare(old: Found, new: Found, factor: float) -> int:
    rows = list(results_file.compared(old, new, factor))
    shown = [
        (now.case, now.store, report.amount(before), report.amount(now), f"{change:.2f} ×", "SLOWER" if worse else "")
        for before, now, change, worse in rows
    ]
    print("\n".join(aligned(("case", "store", "old", "new", "change", ""), shown, right=(2, 3, 4))))
    return int(any(worse for *_, worse in rows))


if __name__ == "__main__":
    raise SystemExit(main())
