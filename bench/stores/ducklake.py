"""DuckLake on the same PostgreSQL, in a process of its own: its extensions need a DuckDB of their release."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.runs import Run
from bench.stores.base import QUESTIONS, Answer, Place, Skipped, folder_size, rendered

PYTHON = "LAKESTORE_BENCH_DUCKLAKE"
"""Environment variable: the Python of an environment with duckdb 1.5.5 and the extensions' wheels."""
_WORKER = Path(__file__).with_name("ducklake_worker.py")
_OWN = ("task_id", "strategy", "run_date")


class DuckLakeStore:
    """A worker that is told what to do, a line of JSON each; what it needs to read is put into a file beforehand.

    Attributes:
        duckdb: the version of its DuckDB.
    """

    name = "DuckLake"
    lacks: tuple[str, ...] = ("no JSON back", "no fsync of data", "no unique task_id", "writers wait for each other")

    def __init__(self, place: Place) -> None:
        python = os.environ.get(PYTHON, ".venv-ducklake/bin/python")
        if not Path(python).exists():
            raise Skipped(f"no {python}; 'make bench-peers' makes it, or name one with {PYTHON}")
        self.root = place.folder / "data"
        self.incoming = place.folder / "incoming"
        self.incoming.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [python, str(_WORKER), place.dsn, str(self.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.duckdb: str = self._ask("version")

    def _ask(self, what: str, *values: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([what, *values]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Skipped("its process ended")
        answer = json.loads(line)
        if "error" in answer:
            raise Skipped(answer["error"])
        return answer["value"]

    def prepare(self, run: Run) -> Any:
        path = self.incoming / f"{run.task_id}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, run.owned().schema) as writer:
            writer.write_table(run.owned())
        # The worker maps it before the clock runs.
        self._ask("prepare", str(path))
        return str(path)

    def save(self, given: str) -> None:
        self._ask("save", given)

    def load(self, task_id: str) -> pa.Table:
        path = str(self.incoming / "out.parquet")
        self._ask("load", task_id, path)
        return pq.read_table(path)

    def json(self, task_id: str) -> bytes:
        return rendered(self.load(task_id))

    def sql(self, question: str) -> Answer:
        return [tuple(row) for row in self._ask("sql", QUESTIONS[question].format(signals="ducklake.signals"))]

    def size(self) -> int:
        return folder_size(self.root)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def open_store(place: Place) -> DuckLakeStore:
    """A new DuckLake; Skipped where its environment is not there."""
    return DuckLakeStore(place)
