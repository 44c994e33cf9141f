"""The runs that all stores are given: the same signals as Arrow and as JSON, each under its own identity."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from lakestore.bench import generate

STRATEGIES = 20
"""Strategies that take turns; each runs once a day."""
START = datetime(2024, 7, 1, 12, tzinfo=UTC)
_DISTINCT = 8
"""Documents that are really made; the other runs repeat their signals."""


@dataclass(frozen=True, slots=True)
class Run:
    """One backtest: who it is, its parameters, its signals as a table (times as timestamps)."""

    task_id: str
    strategy: str
    created_at: datetime
    head: dict[str, Any]
    signals: pa.Table

    @property
    def run_date(self) -> date:
        """The UTC day of the run."""
        return self.created_at.date()

    def owned(self) -> pa.Table:
        """The signals with columns that say whose they are, for stores that keep all runs in one table."""
        n = len(self.signals)
        mine = {
            "task_id": pa.array([self.task_id]).take(pa.array([0] * n)),
            "strategy": pa.array([self.strategy]).take(pa.array([0] * n)),
            "run_date": pa.array([self.run_date], pa.date32()).take(pa.array([0] * n)),
        }
        return pa.table({**mine, **{name: self.signals[name] for name in self.signals.column_names}})


class Runs:
    """An endless row of runs made from a seed."""

    def __init__(self, signals: int) -> None:
        self.documents = [generate.typical(signals, seed) for seed in range(_DISTINCT)]
        self.tables = [_signals(document.value["signals"]) for document in self.documents]

    def run(self, number: int, name: str = "run") -> Run:
        """The run of a number; `name` begins its id."""
        value = self.documents[number % _DISTINCT].value
        head = {"params": value["params"], "metrics": value["metrics"], "status": "completed"}
        created = START + timedelta(days=number // STRATEGIES, minutes=number % STRATEGIES)
        strategy = f"s{number % STRATEGIES:02}"
        return Run(f"{name}-{number:06}", strategy, created, head, self.tables[number % _DISTINCT])

    def document(self, number: int, name: str = "document") -> dict[str, Any]:
        """The whole document of a run, as an engine has it."""
        run = self.run(number, name)
        own = {"task_id": run.task_id, "strategy": run.strategy, "created_at": run.created_at.isoformat()}
        return {**self.documents[number % _DISTINCT].value, **own}


def text_of(document: dict[str, Any]) -> bytes:
    """The document as engines mostly write it."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _signals(records: list[dict[str, Any]]) -> pa.Table:
    table = pa.Table.from_pylist(records)
    place = table.column_names.index("timestamp")
    times = pc.cast(table["timestamp"].combine_chunks(), pa.timestamp("us"))
    return table.set_column(place, "timestamp", times)
