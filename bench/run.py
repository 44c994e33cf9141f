"""`python -m bench run`: the cases, in one process, on one PostgreSQL, in turns."""

from __future__ import annotations

import gc
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

import lakestore
from bench import results_file
from bench.cases import CASES
from bench.cases.base import Bench
from bench.results_file import Found
from bench.runs import Runs
from bench.stores import OWN, PEERS
from bench.stores.base import Place, opened
from bench.stores.ducklake import DuckLakeStore


def run(*, signals: int, runs: int, cases: Sequence[str], quick: bool, peers: bool) -> Found:
    """Measure the cases, and return what was found."""
    with _places() as fresh, opened({**OWN, **(PEERS if peers else {})}, fresh) as (stores, skipped):
        for name, why in skipped.items():
            print(f"{name}: skipped, {why}", file=sys.stderr)
        bench = Bench(Runs(signals), signals, runs, quick, stores, fresh)
        # What is measured is collected before each turn, not the documents.
        gc.collect()
        gc.freeze()
        for name in cases:
            start = time.perf_counter()
            print(f"{name} …", end=" ", file=sys.stderr, flush=True)
            CASES[name](bench)
            print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
        ducklake = stores.get("DuckLake")
        return Found(
            at=results_file.now(),
            commit=results_file.commit(),
            settings={"signals": signals, "runs": runs, "quick": quick, "peers": peers, "cases": list(cases)},
            machine=results_file.about(),
            versions=results_file.versions()
            | ({"duckdb (DuckLake)": ducklake.duckdb} if isinstance(ducklake, DuckLakeStore) else {}),
            figures=tuple(bench.figures),
            reach=tuple(bench.reach),
            skipped=skipped | bench.skipped,
            lacks={name: store.lacks for name, store in stores.items() if store.lacks},
        )


@contextmanager
def _places() -> Iterator[Callable[[str], Place]]:
    """Gives each name an empty folder and an empty database of one embedded PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="lakestore-bench-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        with lakestore.open(root / "server", dsn="") as server:

            def fresh(name: str) -> Place:
                short = "bench_" + re.sub(r"[^a-z0-9]+", "_", name.lower())
                with psycopg.connect(server.conninfo, autocommit=True) as con:
                    con.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(short)))
                place = root / short
                place.mkdir()
                return Place(place, make_conninfo(server.conninfo, dbname=short))

            yield fresh
