"""The syntax tree that DuckDB itself makes of a statement (`json_serialize_sql`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb

Node = dict[str, Any]


def parse(con: duckdb.DuckDBPyConnection, sql: str) -> Node | None:
    """The tree of one SELECT; None when the text is anything else, or too deep to be read."""
    try:
        # All rows are taken: DuckDB 2.0 refuses other work on a connection whose last row was not asked for.
        ((text,),) = con.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
        tree: Node = json.loads(text)
    except (duckdb.Error, RecursionError, UnicodeError, ValueError):
        return None
    if tree["error"] or len(tree["statements"]) != 1:
        return None
    node: Node = tree["statements"][0]["node"]
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
