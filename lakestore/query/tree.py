"""The syntax tree that DuckDB itself makes of a statement (`json_serialize_sql`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import duckdb

Node = dict[str, Any]


_MOST: Final = 256
_LONGEST: Final = 4_096
_kept: dict[str, Node] = {}
"""Trees of texts up to so many characters: they are read, never changed, and programs repeat their statements."""


def parse(con: duckdb.DuckDBPyConnection, sql: str) -> Node | None:
    """The tree of one SELECT, not to be changed; None when the text is anything else, or too deep to be read."""
    kept = _kept.get(sql)
    if kept is not None:
        return kept
    try:
        # All rows are taken: DuckDB 2.0 refuses other work on a connection whose last row was not asked for.
        ((text,),) = con.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
        tree: Node = json.loads(text)
    except (duckdb.Error, RecursionError, UnicodeError, ValueError):
        return None
    if tree["error"] or len(tree["statements"]) != 1:
        return None
    node: Node = tree["statements"][0]["node"]
    if len(sql) <= _LONGEST:
        if len(_kept) >= _MOST:
            _kept.clear()
        _kept[sql] = node
    return node


def render(con: duckdb.DuckDBPyConnection, node: Node) -> str:
    """SQL text of a tree."""
    tree = {"error": False, "statements": [{"node": node}]}
    ((text,),) = con.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchall()
    return str(text)


def walk(node: Any) -> Iterator[Node]:
    """Every object in the tree, in no promised order."""
    todo = [node]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            yield item
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
