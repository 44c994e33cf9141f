"""What a user sees of it all: how small results become, and how long a pile of files takes to move in."""

from __future__ import annotations

from bench.cases.base import LAKE, Bench
from bench.migrate import measured, write
from bench.results_file import figure
from bench.sizes import fresh_lake, size_of
from lakestore.bench.generate import typical

SMALLER = "smaller than the JSON, everything counted"
_MUST = {1_000: 94.0, 10_000: 95.0, 100_000: 95.0}


def sizes(bench: Bench) -> None:
    """How much smaller a typical result is than its JSON (`indent=2`), with all its files and rows of the catalog."""
    for signals, must in _MUST.items():
        if bench.quick and signals > bench.signals:
            continue
        case = f"{signals:,} signals: {SMALLER}"
        with fresh_lake() as (lake, catalog):
            found = size_of(lake, catalog, typical(signals).text, case)
        note = f"{found.json:,} → {found.total:,} bytes"
        bench.figures.append(figure(case, LAKE, [found.saved], unit="%", note=note))
        bench.must(case, must, found.saved, "%", least=True)


def migrate(bench: Bench) -> None:
    """A folder of documents moved in by the command line, all included, every document compared afterwards."""
    count = 10 if bench.quick else 40
    place = bench.fresh("migrate").folder
    source = place / "pile"
    write(source, count, bench.signals)
    found = measured(source, place / "lake", cores=1)
    case = f"migrate {count} files, one core: a file"
    note = f"{found.before / found.seconds / 1e6:,.0f} MB of JSON a second"
    bench.figures.append(figure(case, LAKE, [found.each], note=note))
    bench.must(case, 0.25, found.each, "s")
