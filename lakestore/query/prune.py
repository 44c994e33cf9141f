"""Which files can a statement need? Bounds read from its syntax tree, never narrower than the truth.

What is understood: the WHERE of a SELECT that scans a table directly (or in inner joins, by qualified names), as
comparisons of an own column with constants, joined by AND and OR. Anything else leaves its table unbounded, and a
statement that is not understood at all needs everything.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final, TypeVar

import duckdb

from lakestore.layout import RESULTS
from lakestore.query.tree import Node, parse, render, walk

Params = Sequence[object] | Mapping[str, object] | None
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Rows outside of these cannot matter; None does not bound. Ends are inclusive, times are UTC."""

    strategies: frozenset[str] | None = None
    task_ids: frozenset[str] | None = None
    first_date: date | None = None
    last_date: date | None = None
    since: datetime | None = None
    """On `created_at`; only ever set for the table `results`."""
    until: datetime | None = None

    def both(self, other: Bounds) -> Bounds:
        """Bounds of what lies within this and the other."""
        return Bounds(
            _either(self.strategies, other.strategies, frozenset.intersection),
            _either(self.task_ids, other.task_ids, frozenset.intersection),
            _either(self.first_date, other.first_date, max),
            _either(self.last_date, other.last_date, min),
            _either(self.since, other.since, max),
            _either(self.until, other.until, min),
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
        )


def _either(a: T | None, b: T | None, join: Callable[[T, T], T]) -> T | None:
    return b if a is None else a if b is None else join(a, b)


def _each(a: T | None, b: T | None, join: Callable[[T, T], T]) -> T | None:
    return None if a is None or b is None else join(a, b)


UNBOUNDED: Final = Bounds()


@dataclass(frozen=True, slots=True)
class Needs:
    """The tables a statement names, in small letters, each with its bounds; `everything`: it may read any table."""

    tables: Mapping[str, Bounds] = field(default_factory=dict)
    everything: bool = False

    def table(self, name: str) -> Bounds | None:
        """The bounds on a table; None when the statement does not read it."""
        return self.tables.get(name.lower(), UNBOUNDED if self.everything else None)


EVERYTHING: Final = Needs(everything=True)

# Table functions that read no table by a name of their own.
_SELF_CONTAINED: Final = frozenset(
    {"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"}
)
_TABLE_REFS: Final = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EMPTY", "EXPRESSION_LIST", "PIVOT", "SHOW_REF"}
)
_QUERY_NODES: Final = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})


def needed(sql: str, params: Params = None) -> Needs:
    """What a statement can read.

    Args:
        sql: any text; what is not one SELECT needs everything.
        params: the values of its parameters; those not given bound nothing.
    """
    con = _scratch()
    return needed_by(con, parse(con, sql), params)


def needed_by(con: duckdb.DuckDBPyConnection, tree: Node | None, params: Params = None) -> Needs:
    """What the statement of this tree can read; `con`, with time zone UTC, evaluates its constants."""
    if tree is None:
        return EVERYTHING
    try:
        return _needs(con, tree, params)
    except (LookupError, TypeError, AttributeError, RecursionError):
        # A tree of a shape that this code does not know, from another version of DuckDB.
        return EVERYTHING


def _needs(con: duckdb.DuckDBPyConnection, tree: Node, params: Params) -> Needs:
    bounded: dict[int, Bounds] = {}
    nodes = list(walk(tree))
    for node in nodes:
        if not understood(node):
            return EVERYTHING
        if "from_table" in node:
            bounded.update(_bounded_scans(con, node, params))
    tables: dict[str, Bounds] = {}
    for node in nodes:
        if node.get("type") == "BASE_TABLE":
            name = str(node["table_name"]).lower()
            bounds = bounded.get(id(node), UNBOUNDED)
            tables[name] = tables[name].any(bounds) if name in tables else bounds
    return Needs(tables)


def understood(node: Node) -> bool:
    """Whether an object of the tree is of a kind that reads only the tables it names in BASE_TABLE nodes."""
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in _QUERY_NODES:
        return False
    if "sample" in node and "from_table" not in node and "query_location" in node and kind not in _TABLE_REFS:
        return False
    if kind == "TABLE_FUNCTION":
        return str(node.get("function", {}).get("function_name", "")).lower() in _SELF_CONTAINED
    return True


def _bounded_scans(con: duckdb.DuckDBPyConnection, select: Node, params: Params) -> Iterator[tuple[int, Bounds]]:
    """The tables that a SELECT scans itself, by the identity of their nodes, with the bounds of its WHERE."""
    where = select.get("where_clause")
    if not where or select.get("sample"):
        return
    source = select["from_table"]
    alone = source.get("type") == "BASE_TABLE"
    for scan in _inner(source):
        if scan.get("sample") or scan.get("at_clause") or scan.get("column_name_alias"):
            continue
        name = str(scan["table_name"]).lower()
        alias = str(scan.get("alias") or name).lower()
        yield id(scan), _Reader(con, alias, alone, name == RESULTS, params).bounds(where)


def _inner(source: Node) -> Iterator[Node]:
    """The tables whose every row passes the WHERE unchanged: the one scanned, or those in inner joins."""
    if source.get("type") == "BASE_TABLE":
        yield source
    elif source.get("type") == "JOIN" and not source.get("alias") and not source.get("sample"):
        # Outer joins are left alone, and so are ASOF and POSITIONAL: a missing row there changes another one's partner.
        if source.get("join_type") == "INNER" and source.get("ref_type") in ("REGULAR", "CROSS", "NATURAL"):
            yield from _inner(source["left"])
            yield from _inner(source["right"])


_FLIPPED: Final = {
    "COMPARE_EQUAL": "COMPARE_EQUAL",
    "COMPARE_LESSTHAN": "COMPARE_GREATERTHAN",
    "COMPARE_GREATERTHAN": "COMPARE_LESSTHAN",
    "COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHANOREQUALTO",
    "COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHANOREQUALTO",
}
_LOWER: Final = frozenset({"COMPARE_EQUAL", "COMPARE_GREATERTHAN", "COMPARE_GREATERTHANOREQUALTO"})
_UPPER: Final = frozenset({"COMPARE_EQUAL", "COMPARE_LESSTHAN", "COMPARE_LESSTHANOREQUALTO"})


@dataclass(frozen=True, slots=True)
class _Constant:
    """A constant's SQL type and text; `moving`: made from the clock, so a later look gives the same or more."""

    type: str
    text: str
    moving: bool = False


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one WHERE for one table in it."""

    con: duckdb.DuckDBPyConnection
    alias: str
    alone: bool
    is_results: bool
    params: Params

    def bounds(self, expr: Node) -> Bounds:
        kind = expr.get("type")
        if expr.get("class") == "CONJUNCTION":
            parts = [self.bounds(child) for child in expr["children"]]
            together = parts[0]
            for part in parts[1:]:
                together = together.both(part) if kind == "CONJUNCTION_AND" else together.any(part)
            return together
        if kind in _FLIPPED:
            left, right = expr["left"], expr["right"]
            if (column := self._column(left)) is not None:
                return self._compared(column, kind, [right])
            if (column := self._column(right)) is not None:
                return self._compared(column, _FLIPPED[kind], [left])
        elif kind == "COMPARE_IN" and (column := self._column(expr["children"][0])) is not None:
            return self._compared(column, "COMPARE_EQUAL", expr["children"][1:])
        elif kind == "COMPARE_BETWEEN" and (column := self._column(expr["input"])) is not None:
            lower = self._compared(column, "COMPARE_GREATERTHANOREQUALTO", [expr["lower"]])
            return lower.both(self._compared(column, "COMPARE_LESSTHANOREQUALTO", [expr["upper"]]))
        return UNBOUNDED

    def _column(self, expr: Node) -> str | None:
        if expr.get("class") != "COLUMN_REF":
            return None
        names = [str(name).lower() for name in expr["column_names"]]
        if len(names) == 1 and self.alone:
            return names[0]
        if len(names) == 2 and names[0] == self.alias:
            return names[1]
        return None

    def _compared(self, column: str, kind: str, others: Sequence[Node]) -> Bounds:
        """`column` compared with one constant, or equal to one of several."""
        if column not in ("strategy", "task_id", "run_date") and not (column == "created_at" and self.is_results):
            return UNBOUNDED
        constants = [constant(self.con, other, self.params) for other in others]
        known = [value for value in constants if value is not None]
        if not known or len(known) < len(constants):
            return UNBOUNDED
        if column in ("strategy", "task_id"):
            # A number would be compared as a number: '042' = 42.
            if kind != "COMPARE_EQUAL" or any(value.type != "VARCHAR" for value in known):
                return UNBOUNDED
            texts = frozenset(value.text for value in known)
            return Bounds(strategies=texts) if column == "strategy" else Bounds(task_ids=texts)
        times = [_time(value, zoned=column == "created_at") for value in known]
        moments = [time for time in times if time is not None]
        if len(moments) < len(times):
            return UNBOUNDED
        lower = min(moments) if kind in _LOWER else None
        upper = max(moments) if kind in _UPPER and not any(value.moving for value in known) else None
        if column == "run_date":
            return Bounds(first_date=lower and lower.date(), last_date=upper and upper.date())
        return Bounds(since=lower, until=upper)


# Only plain texts, whose meaning is the same as a date, as a time and as text.
_PLAIN_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d:\d\d(\.\d{1,6})?(?P<zone>Z|[+-]\d\d(:\d\d)?)?)?", re.ASCII
)


def _time(value: _Constant, *, zoned: bool) -> datetime | None:
    if value.type not in ("VARCHAR", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"):
        return None
    match = _PLAIN_TIME.fullmatch(value.text)
    # A text that becomes a DATE drops its zone, where a time is moved by it.
    if match is None or (value.type == "VARCHAR" and match["zone"] and not zoned):
        return None
    try:
        moment = datetime.fromisoformat(value.text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_CLOCK: Final = frozenset({"now", "get_current_timestamp", "transaction_timestamp", "today", "current_date"})
_UNITS: Final = frozenset(
    {"trunc", "to_seconds", "to_minutes", "to_hours", "to_days", "to_weeks", "to_months", "to_years", "to_quarters"}
)


def constant(con: duckdb.DuckDBPyConnection, expr: Node, params: Params) -> _Constant | None:
    """The value of an expression made of constants; None when it is not one, or NULL, or of no use here."""
    if expr.get("class") == "CONSTANT":
        # Texts at once: a long IN list must not cost a statement each. DuckDB 2 writes `literal`, 1 wrote `value`.
        literal, value = expr.get("literal"), expr.get("value")
        if isinstance(literal, dict) and literal.get("kind") == "STRING":
            return _Constant("VARCHAR", str(literal["text"]))
        if isinstance(value, dict) and value.get("type", {}).get("id") == "VARCHAR" and not value.get("is_null"):
            return _Constant("VARCHAR", str(value["value"]))
    if expr.get("class") == "PARAMETER":
        return _parameter(str(expr.get("identifier", "")), params)
    moving = _movement(expr)
    return None if moving is None else _evaluate(con, expr, moving)


def _parameter(name: str, params: Params) -> _Constant | None:
    value: object = None
    if isinstance(params, Mapping):
        value = params.get(name)
    elif params is not None and name.isdecimal() and 0 < int(name) <= len(params):
        value = params[int(name) - 1]
    if isinstance(value, str):
        return _Constant("VARCHAR", value)
    if isinstance(value, datetime):
        return _Constant("TIMESTAMP" if value.tzinfo is None else "TIMESTAMP WITH TIME ZONE", value.isoformat(" "))
    if isinstance(value, date):
        return _Constant("DATE", value.isoformat())
    return None


def _movement(expr: Node) -> bool | None:
    """Whether the expression follows the clock forward; None when it is not made of constants alone."""
    kind = expr.get("class")
    if kind == "CONSTANT":
        return False
    if kind == "CAST":
        return _movement(expr["child"])
    # `current_date` without parentheses stands in the tree as a column, and may be one.
    if kind != "FUNCTION" or expr.get("filter") or expr.get("schema"):
        return None
    name = str(expr["function_name"]).lower()
    # DuckDB 2 names arguments, 1 had `children`.
    arguments = expr["children"] if "children" in expr else [given["expression"] for given in expr["arguments"]]
    parts = [_movement(argument) for argument in arguments]
    if None in parts:
        return None
    if name in _CLOCK and not parts:
        return True
    if name in _UNITS and len(parts) == 1 and not parts[0]:
        return False
    if name in ("+", "-") and len(parts) == 2 and not parts[1]:
        return parts[0]
    return None


def _evaluate(con: duckdb.DuckDBPyConnection, expr: Node, moving: bool) -> _Constant | None:
    try:
        template = parse(con, "SELECT 1")
        if template is None:
            return None
        text = render(con, {**template, "select_list": [{**expr, "alias": ""}]})
        value = con.execute(f"SELECT typeof(v), CAST(v AS VARCHAR) FROM ({text}) AS t(v)")
        ((kind, found),) = value.fetchall()
    except duckdb.Error:
        return None
    return None if found is None else _Constant(str(kind), str(found), moving)


_scratch_lock = threading.Lock()
_scratch_of: dict[int, duckdb.DuckDBPyConnection] = {}


def _scratch() -> duckdb.DuckDBPyConnection:
    """A connection that reads no file, of one instance a process: DuckDB survives no fork."""
    with _scratch_lock:
        con = _scratch_of.get(os.getpid())
        if con is None:
            con = duckdb.connect(":memory:", config={"threads": 1, "autoinstall_known_extensions": "false"})
            con.execute("SET GLOBAL TimeZone = 'UTC'")
            _scratch_of[os.getpid()] = con
        return con.cursor()
