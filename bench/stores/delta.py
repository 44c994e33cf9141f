"""delta-rs: one Delta table of all signals, partitioned as the lake is."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa

from bench.runs import Run
from bench.stores.base import Answer, Place, asked, folder_size, rendered


class DeltaStore:
    """Appends; DuckDB asks through the table's Arrow dataset, which prunes by partition."""

    name = "delta-rs"
    lacks: tuple[str, ...] = ("no JSON back", "no fsync", "no unique task_id")

    def __init__(self, place: Place) -> None:
        import deltalake
        import deltalake.exceptions

        self.library = deltalake
        self.root = place.folder
        self.uri = str(place.folder / "signals")
        self.duck = duckdb.connect()
        self.conflicts = 0

    def prepare(self, run: Run) -> Any:
        return run.owned()

    def save(self, given: pa.Table) -> None:
        while True:
            try:
                self.library.write_deltalake(self.uri, given, mode="append", partition_by=["strategy", "run_date"])
                return
            except self.library.exceptions.CommitFailedError:
                self.conflicts += 1

    def load(self, task_id: str) -> pa.Table:
        table = self._dataset().to_table(filter=_is(task_id))
        return table.drop_columns(["task_id", "strategy", "run_date"])

    def _dataset(self) -> Any:
        return self.library.DeltaTable(self.uri).to_pyarrow_dataset()

    def json(self, task_id: str) -> bytes:
        return rendered(self.load(task_id))

    def sql(self, question: str) -> Answer:
        self.duck.register("delta_signals", self._dataset())
        return asked(self.duck, question, "delta_signals")

    def size(self) -> int:
        return folder_size(self.root)

    def close(self) -> None:
        self.duck.close()


def _is(task_id: str) -> Any:
    import pyarrow.compute as pc

    return pc.field("task_id") == task_id


def open_store(place: Place) -> DeltaStore:
    """A new table; ImportError where delta-rs is not installed."""
    return DeltaStore(place)
