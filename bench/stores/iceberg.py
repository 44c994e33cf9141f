"""pyiceberg with its SqlCatalog on the same PostgreSQL."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
from psycopg.conninfo import conninfo_to_dict

from bench.runs import Run
from bench.stores.base import WEEK, Answer, Place, asked, folder_size, rendered


class IcebergStore:
    """Appends to one table; a scan with a filter becomes Arrow, which DuckDB asks."""

    name = "pyiceberg"
    lacks: tuple[str, ...] = ("no JSON back", "no fsync of data", "no unique task_id", "writers conflict")

    def __init__(self, place: Place) -> None:
        from pyiceberg.catalog.sql import SqlCatalog

        self.root = place.folder
        given = conninfo_to_dict(place.dsn)
        query = "&".join(f"{key}={given[key]}" for key in ("host", "port", "user", "password") if given.get(key))
        uri = f"postgresql+psycopg2:///{given.get('dbname', 'postgres')}?{query}"
        self.catalog = SqlCatalog("bench", uri=uri, warehouse=f"file://{place.folder}")
        self.catalog.create_namespace_if_not_exists("bench")
        self.table: Any = None
        self.duck = duckdb.connect()
        self.conflicts = 0

    def prepare(self, run: Run) -> Any:
        return run.owned()

    def save(self, given: pa.Table) -> None:
        from pyiceberg.exceptions import CommitFailedException

        if self.table is None:
            self.table = self.catalog.create_table_if_not_exists("bench.signals", schema=given.schema)
        while True:
            try:
                self.table.append(given)
                return
            except CommitFailedException:
                self.conflicts += 1
                self.table.refresh()

    def load(self, task_id: str) -> pa.Table:
        from pyiceberg.expressions import EqualTo

        table = self.table.scan(row_filter=EqualTo("task_id", task_id)).to_arrow()
        return table.drop_columns(["task_id", "strategy", "run_date"])

    def json(self, task_id: str) -> bytes:
        return rendered(self.load(task_id))

    def sql(self, question: str) -> Answer:
        fields = {
            "group": ("strategy", "symbol", "price"),
            "week": ("strategy", "run_date", "price"),
            "top": ("task_id", "strength"),
        }
        only = {}
        if question == "week":
            only = {"row_filter": f"strategy = 's03' AND run_date >= '{WEEK[0]}' AND run_date <= '{WEEK[1]}'"}
        self.duck.register("iceberg_signals", self.table.scan(selected_fields=fields[question], **only).to_arrow())
        return asked(self.duck, question, "iceberg_signals")

    def size(self) -> int:
        return folder_size(self.root)

    def close(self) -> None:
        self.duck.close()


def open_store(place: Place) -> IcebergStore:
    """A new catalog and table; ImportError where pyiceberg is not installed."""
    return IcebergStore(place)
