"""Which parts of a document become record tables: the profile's paths and, where it says so, the arrays at the top."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from lakestore.codec.columnise import MAX_KEYS, columnise, struct
from lakestore.codec.nodes import Key, Node
from lakestore.codec.profile import ANY, Path, Profile, find
from lakestore.codec.text import collector_off

Form = Literal["objects", "arrays", "scalars", "columns", "keyed"]
MAX_TABLES = 64
"""Record tables lifted out of one document."""
MAX_WIDTH = 64
"""Places of an array that become columns; longer rows are kept as one list column."""
ROOT_TABLE = "records"
"""The table of a document that is itself an array of records."""


@dataclass(slots=True)
class Region:
    """A record table of a document: where it stands, its rows as a node, and its lake table.

    `key` is the document key the table stands for, as JSON text; `wanted` the name it wishes for. `names` are the
    column names a profile gives to places of arrays. `start` is its byte offset in the text where it is known;
    `given` the Arrow table that an engine gave for it.
    """

    path: Path
    key: str
    wanted: str
    form: Form
    node: Node
    strategy: str | None = None
    names: Mapping[Key, str] = field(default_factory=dict)
    start: int | None = None
    given: pa.Table | None = None


def regions(document: Any, profile: Profile) -> list[Region]:
    """The record tables of a document in its order, their rows as columns."""
    with collector_off():
        planned: dict[Path, tuple[str, tuple[str, ...]]] = {}
        for plan in profile.tables:
            for path, _ in find(document, plan.path):
                planned.setdefault(path, (plan.table, plan.columns))
        kept = {path for paths in profile.identity.values() for path in paths}
        if profile.lift:
            if isinstance(document, list):
                planned.setdefault((), (ROOT_TABLE, ()))
            elif isinstance(document, dict):
                for key in document:
                    if (key,) not in kept:
                        planned.setdefault((key,), (key, ()))
        found: list[Region] = []
        place = profile.strategies.index(ANY) if profile.strategies is not None else None
        for path in _in_order(document, _outermost(planned)):
            if len(found) == MAX_TABLES:
                break
            region = _region(document, path, *planned[path])
            if region is not None:
                if place is not None and len(path) > place and profile.strategies[:place] == path[:place]:  # type: ignore[index]
                    region.strategy = str(path[place])
                found.append(region)
        name_apart(found)
        return found


def table_name(key: str) -> str:
    """The lake table name that a document key wishes for."""
    return re.sub(r"[^a-z0-9_]", "_", key.lower()).lstrip("_")[:56] or "table"


def _region(document: Any, path: Path, table: str, columns: Sequence[str]) -> Region | None:
    value = document
    for step in path:
        value = value[step]
    form = form_of(value)
    if form is None:
        return None
    names: Mapping[Key, str] = {}
    if form == "objects":
        node = columnise(value)
    elif form == "arrays":
        width = len(value[0])
        if width > MAX_WIDTH:
            node = struct(("value",), (value,), len(value))
            form = "scalars"
        else:
            node = struct(range(width), list(zip(*value, strict=True)), len(value))
            names = dict(enumerate(columns))
    else:
        node = struct(tuple(value), tuple(value.values()), len(next(iter(value.values()))))
    if node.kind != "struct" or node.odd is not None:
        return None
    return Region(path, json.dumps(table), table_name(table), form, node, names=names)


def form_of(value: Any) -> Form | None:
    """Which of the shapes of a record table a value has; None: it stays in the envelope."""
    if isinstance(value, list) and value:
        kinds = set(map(type, value))
        if kinds == {dict}:
            return "objects" if any(value) else None
        if kinds == {list} and len(set(map(len, value))) == 1 and value[0]:
            return "arrays"
    elif isinstance(value, dict) and value and set(map(type, value.values())) == {list}:
        lengths = set(map(len, value.values()))
        if len(lengths) == 1 and lengths != {0} and len(value) <= MAX_KEYS:
            return "columns"
    return None


def _outermost(paths: Mapping[Path, Any]) -> list[Path]:
    """Paths that lie in no other."""
    return [path for path in paths if not any(path[:depth] in paths for depth in range(len(path)))]


def _in_order(document: Any, paths: Sequence[Path]) -> list[Path]:
    """Paths in the order of their places in the document."""
    orders: dict[Path, dict[str, int]] = {}

    def places(path: Path) -> tuple[int, ...]:
        value, result = document, []
        for depth, step in enumerate(path):
            if isinstance(step, int):
                result.append(step)
            else:
                order = orders.get(path[:depth])
                if order is None:
                    order = orders[path[:depth]] = {key: place for place, key in enumerate(value)}
                result.append(order[step])
            value = value[step]
        return tuple(result)

    return sorted(paths, key=places)


def name_apart(found: Sequence[Region]) -> None:
    """Regions of one table and strategy get tables of their own, named after their path."""
    taken: set[tuple[str, str | None]] = set()
    for region in found:
        if (region.key, region.strategy) in taken:
            label = ".".join(map(str, region.path))
            region.key, region.wanted = json.dumps(label), table_name(label)
        taken.add((region.key, region.strategy))
