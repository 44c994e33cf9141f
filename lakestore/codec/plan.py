"""Which parts of a document become record tables: the profile's paths and, where it says so, what is one at the top."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import pyarrow as pa

from lakestore.codec import records
from lakestore.codec.columnise import TooDeepError
from lakestore.codec.nodes import Key, Node
from lakestore.codec.profiles.profile import ANY, MIN_KEYS, Path, Profile, TablePlan, Unit, find
from lakestore.codec.text import collector_off

Form = Literal["objects", "arrays", "scalars", "columns", "keyed", "pairs", "keyed_columns"]
MAX_TABLES = 64
"""Record tables lifted out of one document."""
MAX_LOOKED = 10_000
"""Arrays and objects in an object that are looked at: one with more is data, not a result's outline."""
_CONTAINERS = (dict, list)
_SPLIT = {"columns", "index", "data"}
_TABLE = {"schema", "data"}
_COMPACT = {"meta", "data", "totals", "extremes", "rows", "rows_before_limit_at_least", "statistics"}
ROOT_TABLE = "records"
"""The table of a document that is itself a record table."""


@dataclass(slots=True)
class Region:
    """A record table of a document: where it stands, its rows as a node, and its lake table.

    `key` is the document key the table stands for, as JSON text; `wanted` the name it wishes for. `names` are the
    column names a profile gives to places of arrays, `times` the units it gives to numbers. `start` is its byte offset
    in the text where it is known; `given` the Arrow table that an engine gave for it, whose rows end at `stop`.
    """

    path: Path
    key: str
    wanted: str
    form: Form
    node: Node
    strategy: str | None = None
    names: Mapping[Key, str] = field(default_factory=dict)
    times: Mapping[str, Unit] = field(default_factory=dict)
    start: int | None = None
    given: pa.Table | None = None
    stop: int | None = None


def regions(document: Any, profile: Profile) -> list[Region]:
    """The record tables of a document in its order, their rows as columns.

    Where there are more than `MAX_TABLES`, those that the profile names first stay.
    """
    with collector_off():
        found: dict[Path, Region] = {}
        for path, plan, value, form in _planned(document, profile):
            if len(found) == MAX_TABLES:
                break
            try:
                region = _region(path, plan, value, form)
            except TooDeepError:
                continue
            if region is not None:
                region.strategy = _strategy(path, profile.strategies)
                found[path] = region
        ordered = [found[path] for path in _in_order(document, list(found))]
        name_apart(ordered)
        return ordered


def name_apart(found: Sequence[Region]) -> None:
    """Regions of one table and strategy, without regard to case, get tables of their own, named after their path.

    The one nearest to the top keeps its name: its path is the name that the others avoid.
    """
    taken: set[tuple[str, str | None]] = set()
    for region in sorted(found, key=lambda region: len(region.path)):
        if (region.key.lower(), region.strategy) in taken:
            label = ".".join(map(str, region.path))
            while (json.dumps(label).lower(), region.strategy) in taken:
                label += "_"
            region.key, region.wanted = json.dumps(label), label
        taken.add((region.key.lower(), region.strategy))


def _planned(document: Any, profile: Profile) -> Iterator[tuple[Path, TablePlan, Any, Form]]:
    """What can be a record table, first what the profile names, then what is lifted; none lies in another."""
    named: dict[Path, tuple[TablePlan, Any, Form]] = {}
    skipped = {path for skip in profile.skip for path, _ in find(document, skip)}
    for plan in profile.tables:
        for path, value in find(document, plan.path):
            if path not in named and path not in skipped:
                form = named_form(value, plan)
                if form is not None:
                    named[path] = (plan, value, form)
    above = {path[:depth] for path in named for depth in range(len(path))}
    for path, (plan, value, form) in named.items():
        if not any(path[:depth] in named for depth in range(len(path))):
            yield path, plan, value, form
    if not profile.lift or () in named:
        return
    taken = profile.identity_paths(document) | skipped | set(named)
    # What a profile names inside is preferred to the whole; identity is no table.
    if () not in taken | above and (form := lifted_form(document, root=True)) is not None:
        yield (), TablePlan((), ROOT_TABLE), document, form
        return
    if (split := _split((), document, ROOT_TABLE)) is not None and split[0] not in taken | above:
        yield split
        return
    # Where a strategy's name may stand, an object is at best what it gave: several tables, never one.
    outline = above | set(profile.identity.get("strategy", ()))
    below: dict[str, list[tuple[Path, Any, Form]]] = {}
    for key, value in _containers(document):
        if (key,) in taken:
            continue
        form = None if (key,) in outline else lifted_form(value)
        if form is not None:
            yield (key,), TablePlan((key,), key), value, form
            continue
        if (split := _split((key,), value, key)) is not None and split[0] not in taken | above:
            yield split
            continue
        for inner, item in _containers(value):
            if (key, inner) not in taken | above and (form := nested_form(item)) is not None:
                below.setdefault(inner, []).append(((key, inner), item, form))
    for key, found in below.items():
        # Trades of each symbol would be a table for each: a name that stands in several objects stays in all.
        if len(found) == 1:
            path, value, form = found[0]
            yield path, TablePlan(path, key), value, form


def _split(path: Path, value: Any, name: str) -> tuple[Path, TablePlan, Any, Form] | None:
    """The rows that pandas writes as `split` or `table`, ClickHouse as compact: `data` beside what describes it."""
    if not isinstance(value, dict):
        return None
    if path and set(value) == _TABLE and isinstance(value["schema"], dict) and "fields" in value["schema"]:
        rows = value["data"]
        if not isinstance(rows, list) or records.array_form(rows) != "objects":
            return None
        return (*path, "data"), TablePlan((*path, "data"), name), rows, "objects"
    if _SPLIT >= set(value) >= {"columns", "data"}:
        names, rows = value["columns"], value["data"]
    elif _COMPACT >= set(value) >= {"meta", "data"} and _are_records(value["meta"]):
        names, rows = [column.get("name") for column in value["meta"]], value["data"]
    else:
        return None
    if not isinstance(rows, list) or records.array_form(rows) != "arrays" or not isinstance(names, list):
        return None
    texts = [text for text in names if isinstance(text, str) and text and "\0" not in text]
    if len(texts) != len(rows[0]) or len({text.lower() for text in texts}) != len(names):
        return None
    path = (*path, "data")
    return path, TablePlan(path, name, columns=(tuple(texts),)), rows, "arrays"


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and records.are_objects(value)


def _containers(value: Any) -> Iterator[tuple[str, Any]]:
    """The arrays and objects in an object, and their keys; none where these are data: a table a day would never end."""
    if not isinstance(value, dict) or are_data(value):
        return iter(())
    return islice(((key, item) for key, item in value.items() if type(item) in _CONTAINERS), MAX_LOOKED)


def named_form(value: Any, plan: TablePlan) -> Form | None:
    """Which shape the value at a path that a profile names has; None: it is no record table and stays."""
    if isinstance(value, list):
        return records.array_form(value) or ("scalars" if records.are_scalars(value) else None)
    if not isinstance(value, dict) or not value:
        return None
    if plan.form == "columns":
        return "columns" if records.are_columns(value) else None
    if plan.form == "keyed_columns":
        return "keyed_columns" if records.are_keyed_columns(value) else None
    return "keyed" if records.are_records(list(value.values())) else "pairs"


def lifted_form(value: Any, *, root: bool = False) -> Form | None:
    """Which shape a value has that no profile names; None: it stays.

    Beside arrays only objects that are tables beyond doubt: equal-length arrays (as a whole document: two or more, of
    eight or more scalars); eight or more keys that count from 0 or 1 or are times or tuples, over records of the same
    keys, over arrays of records, over numbers, or in each of the columns, two or more of scalars; ids over records of
    the same keys, or in such columns; symbols over arrays of alike records, or over objects that have such arrays.
    """
    if isinstance(value, list):
        return records.array_form(value)
    if not isinstance(value, dict) or not value:
        return None
    first = next(iter(value.values()))
    if isinstance(first, list):
        if records.are_by_symbol(value):
            return "pairs"
        if _are_rows(value, len(first)):
            return _rows_form(value)
    if records.are_columns(value) and (not root or records.are_long(value)):
        # Tables beside each other may have as many rows by chance.
        return None if all(map(records.are_objects, value.values())) else "columns"
    if records.are_numbered(value):
        values = list(value.values())
        if records.are_alike(values):
            return "keyed"
        if records.are_numbers(values) or records.are_grouped(values):
            return "pairs"
    elif isinstance(first, dict) and records.are_ids(value):
        return "keyed" if records.are_alike(list(value.values())) else None
    if isinstance(first, dict):
        if are_data(first) and records.are_frame(value):
            return "keyed_columns"
        return "keyed" if records.are_runs_by_symbol(value) else None
    return None


def _are_rows(value: Mapping[str, Any], width: int) -> bool:
    """Whether the keys over arrays are no names of columns: times, or many numbers over few values each."""
    return records.are_times(value) or (len(value) > width and records.are_numbered(value))


def _rows_form(value: Mapping[str, Any]) -> Form | None:
    """Which shape an object of eight or more rows has, each an array of scalars or of records."""
    values = list(value.values())
    if len(values) < MIN_KEYS:
        return None
    if records.are_records(values):
        return "keyed"
    return "pairs" if records.are_grouped(values) or records.are_grouped_arrays(values) else None


def are_data(keys: Mapping[str, Any]) -> bool:
    """Whether an object's keys are data (times, numbers, ids), which are never the names of tables."""
    return records.are_numbered(keys) or records.are_ids(keys)


def nested_form(value: Any) -> Form | None:
    """Which shape a value has that stands in an object at the top.

    Settings stand there as well: beside arrays of objects only what has eight or more rows, of scalars where they are
    columns.
    """
    form = lifted_form(value)
    if form == "columns":
        return form if records.are_long(value) else None
    return form if form != "arrays" or len(value) >= MIN_KEYS else None


def _region(path: Path, plan: TablePlan, value: Any, form: Form) -> Region | None:
    names: Mapping[Key, str] = {}
    node: Node | None
    match form:
        case "objects":
            node = records.objects(value)
        case "arrays":
            width = len(value[0])
            if width <= records.MAX_WIDTH:
                node, names = records.arrays(value), dict(enumerate(plan.names(width)))
            else:
                form, node = "scalars", records.scalars(value, plan.value)
        case "scalars":
            node = records.scalars(value, plan.value)
        case "columns":
            node = records.columns(value)
        case "keyed":
            first = next(iter(value.values()))
            node = records.keyed(value, plan.key)
            if isinstance(first, list):
                names = dict(enumerate(plan.names(len(first))))
        case "keyed_columns":
            node = records.keyed_columns(value, plan.key)
        case "pairs":
            node = None
    if form in ("keyed", "pairs") and node is None:
        form, node = "pairs", records.pairs(value, plan.key, plan.value)
    if node is None or node.kind != "struct" or node.odd is not None:
        return None
    return Region(path, json.dumps(plan.table), plan.table, form, node, names=names, times=plan.times)


def _strategy(path: Path, strategies: Path | None) -> str | None:
    """The strategy in whose part of the document a path lies."""
    if strategies is None:
        return None
    place = strategies.index(ANY)
    return str(path[place]) if len(path) > place and strategies[:place] == path[:place] else None


def _in_order(document: Any, paths: Sequence[Path]) -> list[Path]:
    """Paths in the order of their places in the document."""
    if not paths:
        return []
    below: dict[str | int, list[Path]] = {}
    for path in paths:
        if not path:
            return [path]
        below.setdefault(path[0], []).append(path[1:])
    steps = sorted(below) if isinstance(document, list) else filter(below.__contains__, document)
    return [(step, *rest) for step in steps for rest in _in_order(document[step], below[step])]
