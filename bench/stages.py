"""Where the time goes: a save, a load and a statement taken apart by the functions that do the work.

`python -m bench.stages` prints shares of the whole under Python's own profiler, which makes Python's part look larger
than it is; so shares tell where to look, and `python -m bench run` what it costs.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import lakestore
from bench.measure import aligned
from bench.runs import Runs, text_of
from lakestore import background

Stages = Mapping[str, tuple[str, str]]
"""By the name that is printed, the file within lakestore and the function."""

SAVE: Stages = {
    "JSON of the value": ("codec/given.py", "written"),
    "profile, record tables into columns": ("codec/plan.py", "regions"),
    "a given table as JSON text": ("codec/draft.py", "_with_rows"),
    "columns into lake types": ("codec/encode.py", "place"),
    "encodings tried, Parquet begun": ("codec/pack.py", "begun"),
    "Parquet finished": ("codec/pack.py", "finished"),
    "read back": ("parquet/data_file.py", "from_buffer"),
    "rendered and compared with the document": ("codec/prove.py", "written"),
    "values from what was read, and compared": ("codec/encode.py", "_proved"),
    "statistics, of the run and by symbol": ("codec/statistics/by_symbol.py", "made"),
    "files written and synced": ("files.py", "finish"),
    "catalog: looked up": ("catalog/catalog.py", "get"),
    "catalog: committed": ("catalog/catalog.py", "commit"),
}
LOAD: Stages = {
    "catalog": ("catalog/catalog.py", "locate"),
    "files read": ("files.py", "read"),
    "checksums": ("~", "<built-in method _hashlib.openssl_sha256>"),
    "Parquet decoded": ("parquet/data_file.py", "from_buffer"),
    "values in the document's order": ("codec/fit.py", "read"),
    "rendered": ("codec/render.py", "_texts"),
    "Python values": ("codec/values.py", "table"),
}
SQL: Stages = {
    "a database, and the views where none is kept": ("query/instance.py", "filled"),
    "the statement's tree": ("query/tree.py", "parse"),
    "bounds": ("query/prune.py", "needed"),
    "catalog": ("catalog/catalog.py", "snapshot"),
    "files intact": ("query/intact.py", "check"),
    "views where none are kept": ("query/session.py", "_create"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the shares."""
    parser = argparse.ArgumentParser(prog="python -m bench.stages", description=main.__doc__)
    parser.add_argument("--num-signals", type=int, default=10_000)
    options = parser.parse_args(arguments)
    # The profiler sees one thread.
    background.alone()
    runs = Runs(options.num_signals)
    with tempfile.TemporaryDirectory() as folder, lakestore.open(Path(folder) / "lake", dsn="") as lake:
        numbers = iter(range(10**9))

        def save_table() -> None:
            run = runs.run(next(numbers), "table")
            given = {"signals": run.signals}
            lake.save(run.head, task_id=run.task_id, strategy=run.strategy, created_at=run.created_at, tables=given)

        info = lake.save(text_of(runs.document(next(numbers), "text")))
        week = "SELECT count(*), avg(price) FROM signals WHERE strategy = 's03' AND run_date = DATE '2024-07-01'"
        works: Mapping[str, tuple[Callable[[], object], Stages]] = {
            "save from a dict": (lambda: lake.save(runs.document(next(numbers))), SAVE),
            "save from Arrow": (save_table, SAVE),
            "load as JSON text": (lambda: lake.load(info.task_id).to_json(), LOAD),
            "load as value": (lambda: lake.load(info.task_id).document, LOAD),
            "load as Arrow": (lambda: lake.load(info.task_id).tables["signals"], LOAD),
            "SQL, one strategy and day": (lambda: lake.sql(week).fetchall(), SQL),
        }
        for name, (work, stages) in works.items():
            print("\n".join(_table(name, work, stages)))
            print()
    return 0


def _table(name: str, work: Callable[[], object], stages: Stages, times: int = 10) -> Iterator[str]:
    work()
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(times):
        work()
    profile.disable()
    stats = pstats.Stats(profile)
    # `pstats` keeps one of several compiled functions of one name: its total misses the others.
    whole = sum(entry.inlinetime for entry in profile.getstats())
    rows = []
    for stage, (file, function) in stages.items():
        spent = sum(
            timing[3]
            for (path, _, called), timing in stats.stats.items()  # type: ignore[attr-defined]
            if called == function and (path == file or path.endswith(f"lakestore/{file}"))
        )
        if spent:
            rows.append((stage, f"{1e3 * spent / times:.1f}", f"{100 * spent / whole:.0f} %"))
    rows.append(("all", f"{1e3 * whole / times:.1f}", ""))
    yield from aligned((name, "ms", "share"), rows, right=(1, 2))


if __name__ == "__main__":
    raise SystemExit(main())
