"""The floor of this design: a Parquet file written durably, and one INSERT; no JSON, no proof, no checksums."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
import orjson
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from bench.runs import Run
from bench.stores.base import WEEK, Answer, Place, asked, folder_size, rendered


class BareStore:
    """Files in Hive partitions, a table of runs."""

    name = "bare pyarrow + INSERT"
    lacks: tuple[str, ...] = ("no JSON back", "no checksums", "nothing when a save is torn")

    def __init__(self, place: Place) -> None:
        self.root = place.folder
        self.con = psycopg.connect(place.dsn, autocommit=True, prepare_threshold=0)
        self.con.execute(
            "CREATE TABLE IF NOT EXISTS bare_runs (task_id text PRIMARY KEY, strategy text, run_date date, "
            "created_at timestamptz, head jsonb, path text)"
        )
        self.duck = duckdb.connect()

    def prepare(self, run: Run) -> Any:
        return run, run.signals.append_column("task_id", pa.array([run.task_id] * len(run.signals)))

    def save(self, given: tuple[Run, pa.Table]) -> None:
        run, table = given
        folder = self.root / f"strategy={run.strategy}" / f"run_date={run.run_date}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{run.task_id}.parquet"
        with open(path, "wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        _sync(folder)
        self.con.execute(
            "INSERT INTO bare_runs VALUES (%s, %s, %s, %s, %s, %s)",
            [run.task_id, run.strategy, run.run_date, run.created_at, orjson.dumps(run.head).decode(), str(path)],
        )

    def load(self, task_id: str) -> pa.Table:
        row = self.con.execute("SELECT path FROM bare_runs WHERE task_id = %s", [task_id]).fetchone()
        assert row is not None
        return pq.ParquetFile(row[0], memory_map=True).read(use_threads=False).drop_columns(["task_id"])

    def json(self, task_id: str) -> bytes:
        return rendered(self.load(task_id))

    def sql(self, question: str) -> Answer:
        return asked(self.duck, question, self._listed("SELECT path FROM bare_runs", []))

    def pruned(self) -> Answer:
        """The question of one week, with only the files that its table of runs names for it."""
        query = "SELECT path FROM bare_runs WHERE strategy = 's03' AND run_date BETWEEN %s AND %s"
        return asked(self.duck, "week", self._listed(query, list(WEEK)))

    def _listed(self, query: str, values: list[Any]) -> str:
        paths = ", ".join(f"'{path}'" for (path,) in self.con.execute(query, values))
        return f"read_parquet([{paths}], hive_partitioning=true, hive_types={{'run_date': DATE}})"

    def size(self) -> int:
        return folder_size(self.root)

    def close(self) -> None:
        self.con.close()
        self.duck.close()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_store(place: Place) -> BareStore:
    """A new folder and a new table."""
    return BareStore(place)
