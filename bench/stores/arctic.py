"""ArcticDB on LMDB: a symbol per run, data frames (prepared beforehand) in, Arrow out."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from bench.runs import Run
from bench.stores.base import Answer, Place, rendered


class ArcticStore:
    """One library; parameters and metrics as a symbol's metadata."""

    name = "ArcticDB"
    lacks: tuple[str, ...] = ("no SQL", "no JSON back", "overwrites without being asked")

    def __init__(self, place: Place) -> None:
        import arcticdb

        self.root = place.folder
        self.uri = f"lmdb://{place.folder}?map_size=8GB"
        self.library = arcticdb.Arctic(self.uri).get_library("runs", create_if_missing=True)
        self.arrow = arcticdb.OutputFormat.PYARROW

    def prepare(self, run: Run) -> Any:
        return run, run.signals.to_pandas()

    def save(self, given: Any) -> None:
        run, frame = given
        head = {**run.head, "strategy": run.strategy, "created_at": run.created_at.isoformat()}
        self.library.write(run.task_id, frame, metadata=head)

    def load(self, task_id: str) -> pa.Table:
        return self.library.read(task_id, output_format=self.arrow).data

    def json(self, task_id: str) -> bytes:
        return rendered(self.load(task_id))

    def sql(self, question: str) -> Answer:
        raise NotImplementedError

    def size(self) -> int:
        # LMDB maps a file of its full size: what it takes is what is allocated.
        return sum(path.stat().st_blocks * 512 for path in self.root.rglob("*") if path.is_file())

    def close(self) -> None:
        del self.library


def open_store(place: Place) -> ArcticStore:
    """A new LMDB; ImportError where ArcticDB is not installed."""
    return ArcticStore(place)
