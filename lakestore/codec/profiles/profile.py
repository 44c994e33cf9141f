"""Profiles: which parts of an engine's document are its identity and its record tables, declared as data.

A profile says how a document is recognised, where strategy, time, status, parameters and metrics are, and which paths
are record tables. A path is a tuple of keys and places in arrays; `*` stands for every key of an object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

Path = tuple[str | int, ...]
ANY = "*"
ELSE = "_else"
"""Ends the name of an identity field's paths that come after its others, and may be tables all the same."""
GENERIC = "generic"
SHIPPED = "lakestore"
"""Where a shipped profile is from."""
MIN_KEYS = 8
"""Rows from which an object that no profile names can be a table: with fewer, numbered settings look the same."""

MAX_STATED = 256
"""Members of an object that only may be parameters or metrics: one of more is data."""

ObjectForm = Literal["columns", "keyed", "keyed_columns"]
Unit = Literal["s", "ms", "us", "ns"]


@dataclass(frozen=True, slots=True)
class TablePlan:
    """A record table that a profile names.

    Attributes:
        path: where it is.
        table: what it is called.
        form: what an object there is: `columns` (column → array), `keyed` (key → record or value) or `keyed_columns`
            (column → key → value, as pandas writes by default). Arrays need no word.
        key: name of the column that takes the keys of a keyed object.
        columns: names for the places of arrays, the ones with as many names as the arrays are long; the first name
            is that of the only column where the values are scalars.
        times: columns that hold times as numbers since 1970, and their unit.
    """

    path: Path
    table: str
    form: ObjectForm = "columns"
    key: str = "key"
    columns: tuple[tuple[str, ...], ...] = ()
    times: Mapping[str, Unit] = field(default_factory=dict)

    def names(self, width: int) -> tuple[str, ...]:
        """Names for the places of arrays of this length; none where the profile has none for it."""
        return next((names for names in self.columns if len(names) == width), ())

    @property
    def value(self) -> str:
        """Name of the only column of a table of scalars."""
        return (self.names(1) or ("value",))[0]


@dataclass(frozen=True, slots=True)
class Marks:
    """What tells an engine's documents: paths that are there, and paths with one certain value."""

    present: tuple[Path, ...] = ()
    equal: tuple[tuple[Path, Any], ...] = ()

    def on(self, document: Any) -> bool:
        """Whether a document has all of them."""
        return all(any(True for _ in find(document, path)) for path in self.present) and all(
            any(type(found) is type(value) and found == value for _, found in find(document, path))
            for path, value in self.equal
        )


@dataclass(frozen=True, slots=True)
class Profile:
    """One engine's documents.

    Attributes:
        marks: a document that has all of one of them is this engine's.
        lift: also take what is a record table at the top of the document or just below; skip: paths that are never
            taken.
        strategies: the path whose `*` is the strategy's name.
        identity: paths to try in order, by field.
        origin: `lakestore`, or the file that declares it; text: its TOML.
    """

    name: str
    version: int
    title: str = ""
    lift: bool = False
    skip: tuple[Path, ...] = ()
    marks: tuple[Marks, ...] = ()
    strategies: Path | None = None
    identity: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    tables: tuple[TablePlan, ...] = ()
    origin: str = SHIPPED
    text: str = ""

    def recognises(self, document: Any) -> bool:
        """Whether the document is of this profile's engine."""
        return any(marks.on(document) for marks in self.marks)

    def first(self, document: Any, field: str) -> Any:
        """The first value there is of an identity field; None when the document has none."""
        found = chain((value for _, value in self._stated(document, field)), self._perhaps(document, field))
        return next((value for value in found if value is not None), None)

    def identity_paths(self, document: Any) -> set[Path]:
        """Where the document has its identity, parameters and metrics: what stands there is no record table."""
        fields = [field for field in self.identity if not field.endswith(ELSE)]
        found = {path for field in fields for path, _ in self._stated(document, field)}
        # An object that has the name in it, where others have the name alone, describes the strategy.
        return found | {path[:-1] for path in found if path[:-1] in self.identity.get("strategy", ())}

    def _perhaps(self, document: Any, field: str) -> Iterator[dict[str, Any]]:
        """Objects at paths of a name that others use for data: some plain values show what they are.

        Record tables that the profile names in them are no part of them.
        """
        for path in self._paths(document, field + ELSE):
            tables = {plan.path[-1] for plan in self.tables if plan.path and plan.path[:-1] == path}
            for _, value in find(document, path):
                if (
                    isinstance(value, dict)
                    and len(value) <= MAX_STATED
                    and any(not isinstance(item, list | dict | None) for item in value.values())
                ):
                    yield {key: item for key, item in value.items() if key not in tables} if tables else value

    def _stated(self, document: Any, field: str) -> Iterator[tuple[Path, Any]]:
        """What stands at a field's paths, unless it is something else of that name.

        An object is no strategy's name but what the strategy gave, and an array of many is not metrics but a row for
        each day or trade.
        """
        for path in self._paths(document, field):
            for place, value in find(document, path):
                if (field == "strategy" and isinstance(value, dict)) or (
                    field == "metrics" and isinstance(value, list) and len(value) >= MIN_KEYS
                ):
                    continue
                yield place, value

    def _paths(self, document: Any, field: str) -> Iterator[Path]:
        """A field's paths but those whose first key a document has not: most of many."""
        for path in self.identity.get(field, ()):
            if not path or path[0] == ANY or not isinstance(document, dict) or path[0] in document:
                yield path

    def strategies_of(self, document: Any) -> list[str]:
        """All strategies of the document, in its order; empty where the profile has no word of them."""
        if self.strategies is not None:
            place = self.strategies.index(ANY)
            return [str(path[place]) for path, _ in find(document, self.strategies)]
        # A name may stand beneath what another engine has as the name itself: strategy.name beneath strategy.
        names = [name for _, name in self._stated(document, "strategy") if isinstance(name, str)]
        return sorted(names, key=lambda name: not name)[:1]


def find(value: Any, path: Path, done: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every place of a document that a path means, with its value, in the document's order."""
    if not path:
        yield done, value
        return
    head, rest = path[0], path[1:]
    if head == ANY and isinstance(value, dict):
        # A document may have a million keys: only what holds the path's next step is looked into.
        following = rest[0] if rest and rest[0] != ANY else None
        for key, item in value.items():
            if not isinstance(following, str) or (type(item) is dict and following in item):
                yield from find(item, rest, (*done, key))
    elif (isinstance(head, str) and isinstance(value, dict) and head in value) or (
        isinstance(head, int) and isinstance(value, list) and head < len(value)
    ):
        yield from find(value[head], rest, (*done, head))  # type: ignore[index]
