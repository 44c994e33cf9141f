"""A DuckDB database file: one table of all signals, one process that writes."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa

from bench.runs import Run
from bench.stores.base import Answer, Place, asked, folder_size, rendered


class NativeStore:
    """Appends in transactions of their own."""

    name = "DuckDB table"
    lacks: tuple[str, ...] = ("no JSON back", "one process writes", "no unique task_id")

    def __init__(self, place: Place) -> None:
        self.root = place.folder
        self.con = duckdb.connect(str(place.folder / "runs.duckdb"))
        self.made = False

    def prepare(self, run: Run) -> Any:
        return run.owned()

    def save(self, given: pa.Table) -> None:
        self.con.register("incoming", given)
        if not self.made:
            self.con.execute("CREATE TABLE signals AS FROM incoming LIMIT 0")
            self.made = True
        self.con.execute("INSERT INTO signals FROM incoming")
        self.con.unregister("incoming")

    def load(self, task_id: str) -> pa.Table:
        query = "SELECT * EXCLUDE (task_id, strategy, run_date) FROM signals WHERE task_id = ?"
        return self.con.sql(query, params=[task_id]).to_arrow_table()

    def json(self, task_id: str) -> bytes:
        return rendered(self.load(task_id))

    def sql(self, question: str) -> Answer:
        return asked(self.con, question, "signals")

    def size(self) -> int:
        self.con.execute("CHECKPOINT")
        return folder_size(self.root)

    def close(self) -> None:
        self.con.close()


def open_store(place: Place) -> NativeStore:
    """A new database file."""
    return NativeStore(place)
