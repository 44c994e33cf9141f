"""What compaction saves, and how long a lost catalog takes to be made anew: `make bench-upkeep`.

The first part saves typical results one by one and compacts them. The second makes a lake of many results cheaply
(copies of one result's files under other names), throws its catalog away, and rebuilds it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import lakestore
from lakestore import Lake, layout, parquet, record
from lakestore.bench.generate import typical
from lakestore.identity import uuid7
from lakestore.maintenance import compact, rebuild, verify


def compaction(root: Path, results: int, signals: int) -> None:
    """Print the share of their JSON that results take, before and after."""
    with lakestore.open(root) as lake:
        json_size = sum(lake.save(typical(signals, seed).text).json_size for seed in range(results))
        before = _live(lake)
        begun = time.perf_counter()
        problems = [each.problem for each in compact(lake) if each.problem]
        seconds = time.perf_counter() - begun
        after = _live(lake)
        exact = sum(each.problem is None for each in verify(lake))
        files = len(lake.files())
    assert not problems and exact == results, problems
    print(f"{results} results of {signals:,} signals, {json_size:,} bytes of JSON, all of them exact")
    print(f"one by one: {before:,} bytes, {before / json_size:.2%}")
    print(f"compacted: {after:,} bytes in {files} files, {after / json_size:.2%}, in {seconds:.1f} s")


def lost_catalog(root: Path, results: int) -> None:
    """Print how long a rebuild of so many results takes."""
    with lakestore.open(root) as lake:
        info = lake.save(typical(60, 1).text)
        located = lake.parts().catalog.locate(info.task_id)
        assert located is not None
        data = {span.table: lake.parts().files.read(span.path) for span in located[1]}
    row = next(record.rows(parquet.from_buffer(data[layout.RESULTS], "results"), "results"))
    for number in range(results - 1):
        created = info.created_at + timedelta(minutes=number + 1)
        copy = replace(info, task_id=f"t{number}", write_id=uuid7(), created_at=created)
        data[layout.RESULTS] = bytes(record.to_buffer([record.row_of(copy, row.envelope, replaces=None)]))
        for table, content in data.items():
            day = layout.run_date(created, "day")
            path = root / layout.data_path(table, info.strategy, day, copy.write_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    shutil.rmtree(root / layout.PRIVATE / "catalog")
    begun, worked = time.perf_counter(), time.process_time()
    done = rebuild(root, dsn="")
    seconds, work = time.perf_counter() - begun, time.process_time() - worked
    assert done.results == results and not done.incomplete
    print(
        f"rebuilt {done.results:,} results of {done.files:,} files in {seconds:.0f} s, {work:.0f} s of processor time"
    )


def _live(lake: Lake) -> int:
    return sum(file.bytes for file in lake.files())


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure compaction and rebuild."""
    parser = argparse.ArgumentParser(prog="python -m bench.upkeep", description=main.__doc__)
    parser.add_argument("--results", type=int, default=100, help="results to compact (default: %(default)s)")
    parser.add_argument("--signals", type=int, default=1_000, help="signals of each (default: %(default)s)")
    parser.add_argument("--rebuild", type=int, default=10_000, help="results to rebuild (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lakestore-bench-") as folder:
        compaction(Path(folder, "compaction"), options.results, options.signals)
        lost_catalog(Path(folder, "rebuild"), options.rebuild)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
