"""lakestore itself."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

import lakestore
from bench.runs import Run
from bench.stores.base import QUESTIONS, Answer, Place, folder_size


class LakeStore:
    """A lake on the PostgreSQL that all stores share."""

    name = "lakestore"
    lacks: tuple[str, ...] = ()

    def __init__(self, place: Place) -> None:
        self.lake = lakestore.open(place.folder / "lake", dsn=place.dsn)

    def prepare(self, run: Run) -> Any:
        return run

    def save(self, given: Run) -> None:
        self.lake.save(
            given.head,
            task_id=given.task_id,
            strategy=given.strategy,
            created_at=given.created_at,
            tables={"signals": given.signals},
        )

    def load(self, task_id: str) -> pa.Table:
        return self.lake.load(task_id).tables["signals"]

    def json(self, task_id: str) -> bytes:
        return self.lake.load(task_id).to_json()

    def sql(self, question: str) -> Answer:
        return self.lake.sql(QUESTIONS[question].format(signals="signals")).fetchall()

    def size(self) -> int:
        return folder_size(self.lake.root)

    def close(self) -> None:
        self.lake.close()


def open_store(place: Place) -> LakeStore:
    """A new lake."""
    return LakeStore(place)
