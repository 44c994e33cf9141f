"""LanceDB's file format and dataset (the package `pylance`)."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa

from bench.runs import Run
from bench.stores.base import Answer, Place, asked, folder_size, rendered


class LanceStore:
    """Appends to one dataset; DuckDB asks through its Arrow dataset."""

    name = "LanceDB"
    lacks: tuple[str, ...] = ("no JSON back", "no fsync", "no unique task_id")

    def __init__(self, place: Place) -> None:
        import lance

        self.library = lance
        self.root = place.folder
        self.uri = str(place.folder / "signals.lance")
        self.duck = duckdb.connect()

    def prepare(self, run: Run) -> Any:
        return run.owned()

    def save(self, given: pa.Table) -> None:
        self.library.write_dataset(given, self.uri, mode="append")

    def load(self, task_id: str) -> pa.Table:
        table = self.library.dataset(self.uri).to_table(filter=f"task_id = '{task_id}'")
        return table.drop_columns(["task_id", "strategy", "run_date"])

    def json(self, task_id: str) -> bytes:
        return rendered(self.load(task_id))

    def sql(self, question: str) -> Answer:
        self.duck.register("lance_signals", self.library.dataset(self.uri))
        return asked(self.duck, question, "lance_signals")

    def size(self) -> int:
        return folder_size(self.root)

    def close(self) -> None:
        self.duck.close()


def open_store(place: Place) -> LanceStore:
    """A new dataset; ImportError where it is not installed."""
    return LanceStore(place)
