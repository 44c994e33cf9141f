"""What part of a table is wanted: bounds on a result's own columns, never narrower than the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, Final, TypeVar

from lakestore.catalog.failures import is_storable

T = TypeVar("T")
Interval = tuple[float, float]
"""The least and the greatest number; both belong to it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Rows outside of these cannot matter; None does not bound. Ends are inclusive, times are UTC."""

    strategies: frozenset[str] | None = None
    task_ids: frozenset[str] | None = None
    first_date: date | None = None
    last_date: date | None = None
    since: datetime | None = None
    """On the `created_at` of the result that a row belongs to."""
    until: datetime | None = None
    last_of_task: date | None = None
    """On the `run_date` of rows of the same result in another table: their partition may be a coarser one."""
    table_names: frozenset[str] | None = None
    """Of statistics, as the next two."""
    column_names: frozenset[str] | None = None
    symbols: frozenset[str] | None = None
    numbers: Mapping[str, Interval] = field(default_factory=dict)
    """Of columns of a lake table, by their names in small letters."""

    def both(self, other: Bounds) -> Bounds:
        """Bounds of what lies within this and the other."""
        return Bounds(
            _either(self.strategies, other.strategies, frozenset.intersection),
            _either(self.task_ids, other.task_ids, frozenset.intersection),
            _either(self.first_date, other.first_date, max),
            _either(self.last_date, other.last_date, min),
            _either(self.since, other.since, max),
            _either(self.until, other.until, min),
            _either(self.last_of_task, other.last_of_task, min),
            _either(self.table_names, other.table_names, frozenset.intersection),
            _either(self.column_names, other.column_names, frozenset.intersection),
            _either(self.symbols, other.symbols, frozenset.intersection),
            {**self.numbers, **other.numbers, **_shared(self.numbers, other.numbers, max, min)},
        )

    def any(self, other: Bounds) -> Bounds:
        """The narrowest bounds of what lies within this or the other."""
        return Bounds(
            _each(self.strategies, other.strategies, frozenset.union),
            _each(self.task_ids, other.task_ids, frozenset.union),
            _each(self.first_date, other.first_date, min),
            _each(self.last_date, other.last_date, max),
            _each(self.since, other.since, min),
            _each(self.until, other.until, max),
            _each(self.last_of_task, other.last_of_task, max),
            _each(self.table_names, other.table_names, frozenset.union),
            _each(self.column_names, other.column_names, frozenset.union),
            _each(self.symbols, other.symbols, frozenset.union),
            _shared(self.numbers, other.numbers, min, max),
        )

    def of_task(self) -> Bounds:
        """What of these bounds holds for every row of the same result."""
        first = None if self.first_date is None else datetime.combine(self.first_date, time(), UTC)
        return Bounds(
            task_ids=self.task_ids,
            # A partition begins at or before the result's own time.
            since=_either(self.since, first, max),
            until=self.until,
            last_of_task=_either(self.last_date, self.last_of_task, min),
        )

    def parameters(self) -> dict[str, Any]:
        """The bounds as the catalog's statements take them; a text that no database can hold is nobody's."""
        return {
            "strategies": _storable(self.strategies),
            "task_ids": _storable(self.task_ids),
            "first_date": self.first_date,
            "last_date": self.last_date,
            "since": self.since,
            "until": self.until,
            "last_of_task": self.last_of_task,
            "table_names": _storable(self.table_names),
        }


UNBOUNDED: Final = Bounds()


def _either(a: T | None, b: T | None, join: Callable[[T, T], T]) -> T | None:
    return b if a is None else a if b is None else join(a, b)


def _each(a: T | None, b: T | None, join: Callable[[T, T], T]) -> T | None:
    return None if a is None or b is None else join(a, b)


def _shared(
    a: Mapping[str, Interval], b: Mapping[str, Interval], low: Callable[..., float], high: Callable[..., float]
) -> dict[str, Interval]:
    return {name: (low(a[name][0], b[name][0]), high(a[name][1], b[name][1])) for name in a.keys() & b.keys()}


def _storable(texts: frozenset[str] | None) -> list[str] | None:
    return None if texts is None else sorted(filter(is_storable, texts))
