"""Which files can a statement need? Bounds read from its syntax tree, never narrower than the truth.

What is understood: the WHERE of a SELECT that scans a table directly (or in inner joins, by qualified names), as
comparisons of an own column with constants, joined by AND and OR. What is said of one table holds for those joined
to it by `task_id`. Anything else leaves its table unbounded, and a statement that is not understood at all needs
everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import duckdb

from lakestore.catalog.bounds import UNBOUNDED, Bounds
from lakestore.layout import BY_SYMBOL, CATALOG_NAME, FROM_CATALOG, RESULTS, RUN_STATS
from lakestore.query.constants import Params, constant, interval_of, time_of
from lakestore.query.tree import Node, walk

LONG_COLUMNS: Final = frozenset({"params", "metrics", "tables"})
"""Columns of `results` that are only fetched where a statement may read them."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The tables a statement names, in small letters, each with its bounds; `everything`: it may read any table.

    `named` are, in small letters, the names among which all columns are that it reads; None: it may read any column.
    `made` are the names it gives to queries of its own; `others` the other names by which it calls tables that stand in
    `tables` by their own; `listing`: it asks which tables there are.
    """

    tables: Mapping[str, Bounds] = field(default_factory=dict)
    everything: bool = False
    named: frozenset[str] | None = None
    made: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    listing: bool = False

    @property
    def columns(self) -> frozenset[str]:
        """Those of `LONG_COLUMNS` that it may read."""
        return LONG_COLUMNS if self.named is None else LONG_COLUMNS & self.named

    def only(self, names: Collection[str]) -> frozenset[str] | None:
        """Those of the lake's tables that the statement can see; None: all, for it may list them, or miss one."""
        if self.everything or self.listing or not self.tables.keys() <= {*names, *self.made}:
            return None
        return frozenset(self.tables) | self.others


EVERYTHING: Final = Needs(everything=True)

# Table functions that read no table by a name of their own.
_SELF_CONTAINED: Final = frozenset(
    {"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"}
)
_TABLE_REFS: Final = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EMPTY", "EXPRESSION_LIST", "PIVOT", "SHOW_REF"}
)
_QUERY_NODES: Final = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})


def needed(
    con: duckdb.DuckDBPyConnection, tree: Node | None, params: Params = None, *, other_name: bool = True
) -> Needs:
    """What a statement can read.

    Args:
        con: evaluates its constants; its time zone is UTC.
        tree: its syntax tree; what has none, as it is not one SELECT, needs everything.
        params: the values of its parameters; those not given bound nothing.
        other_name: `backtest_results` is another name of `results`.
    """
    if tree is None:
        return EVERYTHING
    try:
        return _needs(con, tree, params, {CATALOG_NAME: RESULTS} if other_name else {})
    except (LookupError, TypeError, AttributeError, RecursionError):
        # A tree of a shape that this code does not know, from another version of DuckDB.
        return EVERYTHING


def _needs(con: duckdb.DuckDBPyConnection, tree: Node, params: Params, names: Mapping[str, str]) -> Needs:
    bounded: dict[int, Bounds] = {}
    nodes = list(walk(tree))
    if not all(map(understood, nodes)):
        return EVERYTHING
    made = frozenset(names_made(nodes))
    for node in nodes:
        if "from_table" in node:
            bounded.update(_bounded_scans(con, node, params, made, names))
    tables: dict[str, Bounds] = {}
    others: set[str] = set()
    for node in nodes:
        if node.get("type") == "BASE_TABLE":
            others.update({_name(node)} & names.keys())
            name = names.get(_name(node), _name(node))
            bounds = bounded.get(id(node), UNBOUNDED)
            tables[name] = tables[name].any(bounds) if name in tables else bounds
    # Those of DESCRIBE and SUMMARIZE hold a query; the others list what there is.
    listing = any(node.get("type") == "SHOW_REF" and not node.get("query") for node in nodes)
    return Needs(tables, named=_columns_named(nodes), made=made, others=frozenset(others), listing=listing)


def names_made(nodes: Iterable[Node]) -> set[str]:
    """The names, in small letters, that a statement gives to queries of its own (WITH)."""
    names: set[str] = set()
    for node in nodes:
        if "cte_map" in node:
            names.update(str(entry["key"]).lower() for entry in node["cte_map"]["map"])
        if node.get("type") in ("CTE_NODE", "RECURSIVE_CTE_NODE"):
            names.add(str(node.get("cte_name", node.get("ctename", ""))).lower())
    return names


def _columns_named(nodes: Sequence[Node]) -> frozenset[str] | None:
    """The names of all columns that a statement may read; None where it can read one without naming it."""
    names: set[str] = set()
    relations: set[str] = set()
    for node in nodes:
        # Of a constant it is an object: with DuckDB 1.5 one that has no hash.
        kind = str(node.get("type", ""))
        if kind in ("STAR", "POSITIONAL_REFERENCE", "PIVOT", "SHOW_REF") or node.get("column_name_alias"):
            return None
        if kind == "JOIN":
            if node.get("ref_type") == "NATURAL":
                return None
            names.update(str(name).lower() for name in node["using_columns"])
        if kind == "COLUMN_REF":
            names.update(str(name).lower() for name in node["column_names"])
        elif kind in _TABLE_REFS:
            relations.update(str(node.get(key) or "").lower() for key in ("alias", "table_name"))
    # A relation named as a column is its whole row.
    last = {str(node["column_names"][-1]).lower() for node in nodes if node.get("type") == "COLUMN_REF"}
    return None if last & relations else frozenset(names)


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


def _bounded_scans(
    con: duckdb.DuckDBPyConnection, select: Node, params: Params, made: Collection[str], names: Mapping[str, str]
) -> Iterator[tuple[int, Bounds]]:
    """The tables that a SELECT scans itself, by the identity of their nodes, with the bounds of its WHERE.

    Args:
        made: names that the statement itself gives to queries (WITH).
        names: other names of tables, with what they stand for.
    """
    where = select.get("where_clause")
    if not where or select.get("sample"):
        return
    source = select["from_table"]
    alone = source.get("type") == "BASE_TABLE"
    merged = _merged(source)
    found: dict[str, Bounds] = {}
    scans: dict[str, Node] = {}
    for scan in _inner(source):
        if scan.get("sample") or scan.get("at_clause") or scan.get("column_name_alias"):
            continue
        alias = _alias(scan)
        table = names.get(_name(scan), _name(scan))
        reader = _Reader(con, alias, alone, alias == merged, table, params)
        found[alias], scans[alias] = reader.bounds(where), scan
    for group in _joined_by_task(source, where):
        members = [alias for alias in group if alias in found]
        ids = [found[alias].task_ids for alias in members]
        # A query of the statement's own may call anything task_id, run_date or created_at.
        own = [found[alias] for alias in members if _name(scans[alias]) not in made]
        for alias in members:
            if _name(scans[alias]) not in made:
                for other in own:
                    found[alias] = found[alias].both(other.of_task())
            for texts in ids:
                found[alias] = found[alias].both(Bounds(task_ids=texts))
    for alias, scan in scans.items():
        yield id(scan), found[alias]


def _name(scan: Node) -> str:
    return str(scan["table_name"]).lower()


def _alias(scan: Node) -> str:
    return str(scan.get("alias") or scan["table_name"]).lower()


def _inner(source: Node) -> Iterator[Node]:
    """The tables whose every row passes the WHERE unchanged: the one scanned, or those in inner joins."""
    if source.get("type") == "BASE_TABLE":
        yield source
    elif _is_inner(source):
        yield from _inner(source["left"])
        yield from _inner(source["right"])


def _is_inner(source: Node) -> bool:
    # Outer joins are left alone, and so are ASOF and POSITIONAL: a missing row there changes another one's partner.
    return bool(
        source.get("type") == "JOIN"
        and not source.get("alias")
        and not source.get("sample")
        and source.get("join_type") == "INNER"
        and source.get("ref_type") in ("REGULAR", "CROSS", "NATURAL")
    )


def _merged(source: Node) -> str | None:
    """The alias whose `task_id` is meant where it is not qualified: the first of those merged by USING."""
    if source.get("type") == "BASE_TABLE":
        return _alias(source)
    if _is_inner(source) and "task_id" in _using(source):
        return _merged(source["left"])
    return None


def _using(join: Node) -> set[str]:
    return {str(name).lower() for name in join["using_columns"]}


def _joined_by_task(source: Node, where: Node) -> Iterator[set[str]]:
    """Groups of aliases whose `task_id` is the same in every row that passes."""
    pairs = list(_equal_tasks(where))
    joins = [source] if _is_inner(source) else []
    while joins:
        join = joins.pop()
        if "task_id" in _using(join):
            left, right = _merged(join["left"]), _merged(join["right"])
            if left is not None and right is not None:
                pairs.append((left, right))
        if join.get("condition"):
            pairs.extend(_equal_tasks(join["condition"]))
        joins.extend(side for side in (join["left"], join["right"]) if _is_inner(side))
    groups: list[set[str]] = []
    for pair in pairs:
        touched = [group for group in groups if group & set(pair)]
        groups = [group for group in groups if group not in touched] + [set(pair).union(*touched)]
    yield from groups


def _equal_tasks(expr: Node) -> Iterator[tuple[str, str]]:
    """The `a.task_id = b.task_id` that an expression demands."""
    if expr.get("type") == "CONJUNCTION_AND":
        for child in expr["children"]:
            yield from _equal_tasks(child)
    elif expr.get("type") == "COMPARE_EQUAL":
        sides = [[str(name).lower() for name in side.get("column_names", ())] for side in (expr["left"], expr["right"])]
        if all(len(names) == 2 and names[1] == "task_id" for names in sides):
            yield sides[0][0], sides[1][0]


_FLIPPED: Final = {
    "COMPARE_EQUAL": "COMPARE_EQUAL",
    "COMPARE_LESSTHAN": "COMPARE_GREATERTHAN",
    "COMPARE_GREATERTHAN": "COMPARE_LESSTHAN",
    "COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHANOREQUALTO",
    "COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHANOREQUALTO",
}
_OWN_TEXTS: Final[Mapping[str, Callable[[frozenset[str]], Bounds]]] = {
    "strategy": lambda texts: Bounds(strategies=texts),
    "task_id": lambda texts: Bounds(task_ids=texts),
}
_TEXTS: Final[Mapping[str, Callable[[frozenset[str]], Bounds]]] = {
    **_OWN_TEXTS,
    "table_name": lambda texts: Bounds(table_names=texts),
    "column_name": lambda texts: Bounds(column_names=texts),
    "symbol": lambda texts: Bounds(symbols=texts),
}
"""Columns of texts that can be equal to what is said, of the statistics."""
_RESERVED: Final = frozenset({"strategy", "task_id", "run_date"})
_LOWER: Final = frozenset({"COMPARE_EQUAL", "COMPARE_GREATERTHAN", "COMPARE_GREATERTHANOREQUALTO"})
_UPPER: Final = frozenset({"COMPARE_EQUAL", "COMPARE_LESSTHAN", "COMPARE_LESSTHANOREQUALTO"})


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one WHERE for one table in it."""

    con: duckdb.DuckDBPyConnection
    alias: str
    alone: bool
    merged: bool
    table: str
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
        if len(names) == 1 and (self.alone or (self.merged and names == ["task_id"])):
            return names[0]
        if len(names) == 2 and names[0] == self.alias:
            return names[1]
        return None

    def _compared(self, column: str, kind: str, others: Sequence[Node]) -> Bounds:
        """`column` compared with one constant, or equal to one of several."""
        if column not in _RESERVED and self.table not in FROM_CATALOG:
            return self._number(column, kind, others)
        texts_of = _TEXTS if self.table in (RUN_STATS, BY_SYMBOL) else _OWN_TEXTS
        if column not in texts_of and column != "run_date" and not (column == "created_at" and self.table == RESULTS):
            return UNBOUNDED
        constants = [constant(self.con, other, self.params) for other in others]
        known = [value for value in constants if value is not None]
        if not known or len(known) < len(constants):
            return UNBOUNDED
        if column in texts_of:
            # A number would be compared as a number: '042' = 42.
            if kind != "COMPARE_EQUAL" or any(value.type != "VARCHAR" for value in known):
                return UNBOUNDED
            texts = frozenset(value.text for value in known)
            return texts_of[column](texts)
        times = [time_of(value, zoned=column == "created_at") for value in known]
        moments = [time for time in times if time is not None]
        if len(moments) < len(times):
            return UNBOUNDED
        lower = min(moments) if kind in _LOWER else None
        upper = max(moments) if kind in _UPPER and not any(value.moving for value in known) else None
        if column == "run_date":
            return Bounds(first_date=lower and lower.date(), last_date=upper and upper.date())
        return Bounds(since=lower, until=upper)

    def _number(self, column: str, kind: str, others: Sequence[Node]) -> Bounds:
        """A column of a lake table, which there may not be, compared with one number, or equal to one of several."""
        if any(other.get("class") not in ("CONSTANT", "PARAMETER") for other in others):
            # What would have to be evaluated costs more than it mostly saves.
            return UNBOUNDED
        constants = [constant(self.con, other, self.params) for other in others]
        intervals = [None if value is None else interval_of(value) for value in constants]
        known = [interval for interval in intervals if interval is not None]
        if len(known) < len(intervals):
            return UNBOUNDED
        low = min(low for low, _ in known) if kind in _LOWER else -math.inf
        high = max(high for _, high in known) if kind in _UPPER else math.inf
        return Bounds(numbers={column: (low, high)})
