"""The pile that lakestore replaces: a JSON file per run, indented by two."""

from __future__ import annotations

import os
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from bench.runs import Run
from bench.stores.base import Answer, Place, asked, folder_size


class JsonStore:
    """Files by task_id, written by orjson and synced; DuckDB reads all of them for each question."""

    name = "JSON files"
    lacks: tuple[str, ...] = ("every question reads everything", "no list by time", "the folder is not synced")

    def __init__(self, place: Place) -> None:
        self.root = place.folder
        self.duck = duckdb.connect()

    def prepare(self, run: Run) -> Any:
        value = {"task_id": run.task_id, "strategy": run.strategy, "run_date": run.run_date, **run.head}
        return run.task_id, {**value, "signals": run.signals.to_pylist()}

    def save(self, given: Any) -> None:
        task_id, value = given
        with open(self.root / f"{task_id}.json", "wb") as file:
            file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2))
            file.flush()
            os.fsync(file.fileno())

    def load(self, task_id: str) -> pa.Table:
        return pa.Table.from_pylist(orjson.loads(self.json(task_id))["signals"])

    def json(self, task_id: str) -> bytes:
        return (self.root / f"{task_id}.json").read_bytes()

    def sql(self, question: str) -> Answer:
        rows = (
            "(SELECT task_id, strategy, run_date::DATE AS run_date, unnest(signals, recursive := true) "
            f"FROM read_json('{self.root}/*.json', maximum_object_size=1000000000))"
        )
        return asked(self.duck, question, rows)

    def size(self) -> int:
        return folder_size(self.root)

    def close(self) -> None:
        self.duck.close()


def open_store(place: Place) -> JsonStore:
    """A new folder."""
    return JsonStore(place)
