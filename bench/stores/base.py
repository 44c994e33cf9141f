"""What is asked of a store, and how stores are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Protocol

import duckdb
import orjson
import pyarrow as pa

from bench.runs import START, Run

Answer = list[tuple[Any, ...]]


class Skipped(Exception):
    """A store that cannot be measured here, and why."""


class Store(Protocol):
    """A place for runs. What a store cannot do raises NotImplementedError."""

    name: str
    lacks: tuple[str, ...]
    """What it does not do that lakestore does."""

    def prepare(self, run: Run) -> Any:
        """What `save` takes, in the form that suits the store best; not timed."""

    def save(self, given: Any) -> None:
        """Keep one run; on return it is there for others."""

    def load(self, task_id: str) -> pa.Table:
        """The signals of one run."""

    def json(self, task_id: str) -> bytes:
        """The document of one run as JSON text; of a store that keeps none, its signals rendered as JSON."""

    def sql(self, question: str) -> Answer:
        """The answer to one of `QUESTIONS`."""

    def size(self) -> int:
        """Bytes on disk."""

    def close(self) -> None:
        """Let it go."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store may put things: an empty folder, and a PostgreSQL with an empty schema named as the store."""

    folder: Path
    dsn: str


Opener = Callable[[Place], Store]

WEEK = (START.date() + timedelta(days=1), START.date() + timedelta(days=7))
"""The week that is asked for, both days in it."""

QUESTIONS: Mapping[str, str] = {
    "group": "SELECT strategy, symbol, count(*) AS n, round(avg(price), 6) AS price FROM {signals} "
    "GROUP BY strategy, symbol ORDER BY strategy, symbol",
    "week": "SELECT count(*) AS n, round(avg(price), 6) AS price FROM {signals} "
    f"WHERE strategy = 's03' AND run_date >= DATE '{WEEK[0]}' AND run_date <= DATE '{WEEK[1]}'",
    "top": "SELECT task_id, round(sum(strength), 6) AS total FROM {signals} "
    "GROUP BY task_id ORDER BY total DESC, task_id LIMIT 10",
}
"""What is asked of all runs, in SQL; `{signals}` stands for the table."""


def rendered(signals: pa.Table) -> bytes:
    """Signals as JSON text, indented, by the fastest there is for stores that keep no JSON."""
    times = [place for place, kind in enumerate(signals.schema.types) if kind == pa.timestamp("ns")]
    for place in times:
        # Nanoseconds would become objects of pandas.
        name = signals.column_names[place]
        signals = signals.set_column(place, name, signals[name].cast(pa.timestamp("us")))
    return orjson.dumps(signals.to_pylist(), option=orjson.OPT_INDENT_2)


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def asked(con: duckdb.DuckDBPyConnection, question: str, signals: str) -> Answer:
    """The answer of DuckDB to a question."""
    return con.execute(QUESTIONS[question].format(signals=signals)).fetchall()


def expected(runs: Sequence[Run], question: str) -> Answer:
    """The answer from the runs themselves."""
    con = duckdb.connect()
    con.register("truth", pa.concat_tables([run.owned() for run in runs]))
    return asked(con, question, "truth")


def same(found: Answer, right: Answer) -> bool:
    """Whether two answers agree; sums of doubles may differ in their last digits."""
    return len(found) == len(right) and all(map(_same_row, found, right))


def _same_row(found: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    for a, b in zip(found, right, strict=True):
        if isinstance(b, float):
            if abs(a - b) > 1e-5 * max(1.0, abs(b)):
                return False
        elif a != b and not (isinstance(b, date) and str(a) == str(b)):
            return False
    return True


@contextmanager
def opened(
    openers: Mapping[str, Opener], places: Callable[[str], Place]
) -> Iterator[tuple[dict[str, Store], dict[str, str]]]:
    """All stores that can be opened, by name, and why the others cannot."""
    stores: dict[str, Store] = {}
    skipped: dict[str, str] = {}
    try:
        for name, opener in openers.items():
            try:
                stores[name] = opener(places(name))
            except (ImportError, Skipped) as exc:
                skipped[name] = str(exc)
        yield stores, skipped
    finally:
        for store in stores.values():
            store.close()
