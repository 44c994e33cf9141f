"""The constants of a statement: what an expression without columns is, as far as bounds can use it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

import duckdb

from lakestore.query.tree import Node, parse, render

Params = Sequence[object] | Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant's SQL type and text; `moving`: made from the clock, so a later look gives the same or more."""

    type: str
    text: str
    moving: bool = False


NUMBER: Final = "NUMBER"
"""In the place of a type: any of those of numbers."""

# Only plain texts, whose meaning is the same as a date, as a time and as text.
_PLAIN_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d:\d\d(\.\d{1,6})?(?P<zone>Z|[+-]\d\d(:\d\d)?)?)?", re.ASCII
)


_PLAIN_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def time_of(value: Constant, *, zoned: bool) -> datetime | None:
    """The time in UTC that a constant is; None where it means another one to other types. `zoned`: it is no DATE."""
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


def interval_of(value: Constant) -> tuple[float, float] | None:
    """The doubles that a number may be beside when it is compared; None where it is none."""
    try:
        near = float(value.text) if value.type == NUMBER else math.nan
    except ValueError:
        return None
    return (math.nextafter(near, -math.inf), math.nextafter(near, math.inf)) if math.isfinite(near) else None


_CLOCK: Final = frozenset({"now", "get_current_timestamp", "transaction_timestamp", "today", "current_date"})
_UNITS: Final = frozenset(
    {"trunc", "to_seconds", "to_minutes", "to_hours", "to_days", "to_weeks", "to_months", "to_years", "to_quarters"}
)


def constant(con: duckdb.DuckDBPyConnection, expr: Node, params: Params) -> Constant | None:
    """The value of an expression made of constants; None when it is not one, or NULL, or of no use here."""
    if expr.get("class") == "CONSTANT":
        # Texts at once: a long IN list must not cost a statement each. DuckDB 2 writes `literal`, 1 wrote `value`.
        literal, value = expr.get("literal"), expr.get("value")
        if isinstance(literal, dict) and literal.get("kind") == "STRING":
            return Constant("VARCHAR", str(literal["text"]))
        if isinstance(literal, dict) and literal.get("kind") in ("INTEGER", "NUMERIC"):
            return Constant(NUMBER, str(literal["text"]).replace("_", ""))
        if isinstance(value, dict) and (old := _older(value)) is not None:
            return old
    if expr.get("class") == "CAST" and not expr.get("try_cast") and (day := _date(con, expr)) is not None:
        return day
    if expr.get("class") == "PARAMETER":
        return _parameter(str(expr.get("identifier", "")), params)
    moving = _movement(expr)
    return None if moving is None else _evaluate(con, expr, moving)


def _older(value: Node) -> Constant | None:
    """A text or a number as DuckDB 1 wrote it: one that needs no type of its own, or a decimal by its digits."""
    kind, held = value["type"], value.get("value")
    if kind["id"] == "VARCHAR" and held is not None:
        return Constant("VARCHAR", str(held))
    if kind["id"] == "DECIMAL" and isinstance(held, int):
        return Constant(NUMBER, f"{held}e-{kind['type_info']['scale']}")
    # What does not fit 64 bits is an object.
    if kind["id"] in ("INTEGER", "BIGINT", "DOUBLE") and isinstance(held, int | float):
        return Constant(NUMBER, repr(held))
    return None


def _date(con: duckdb.DuckDBPyConnection, expr: Node) -> Constant | None:
    """A plain DATE '2024-01-31', without asking DuckDB, which takes a millisecond."""
    # DuckDB 2 writes `type_expr`, 1 wrote `cast_type`.
    kind = (expr.get("type_expr") or {}).get("type_name") or (expr.get("cast_type") or {}).get("id")
    if kind != "DATE" or expr["child"].get("class") != "CONSTANT":
        return None
    given = constant(con, expr["child"], None)
    if given is None or given.type != "VARCHAR" or not _PLAIN_DATE.fullmatch(given.text):
        return None
    return Constant("DATE", given.text)


def _parameter(name: str, params: Params) -> Constant | None:
    value: object = None
    if isinstance(params, Mapping):
        value = params.get(name)
    elif params is not None and name.isdecimal() and 0 < int(name) <= len(params):
        value = params[int(name) - 1]
    if isinstance(value, str):
        return Constant("VARCHAR", value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Constant(NUMBER, repr(value))
    if isinstance(value, datetime):
        return Constant("TIMESTAMP" if value.tzinfo is None else "TIMESTAMP WITH TIME ZONE", value.isoformat(" "))
    if isinstance(value, date):
        return Constant("DATE", value.isoformat())
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


def _evaluate(con: duckdb.DuckDBPyConnection, expr: Node, moving: bool) -> Constant | None:
    try:
        template = parse(con, "SELECT 1")
        if template is None:
            return None
        text = render(con, {**template, "select_list": [{**expr, "alias": ""}]})
        value = con.execute(f"SELECT typeof(v), CAST(v AS VARCHAR) FROM ({text}) AS t(v)")
        ((kind, found),) = value.fetchall()
    except duckdb.Error:
        return None
    return None if found is None else Constant(str(kind), str(found), moving)
