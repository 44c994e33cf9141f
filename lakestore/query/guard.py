"""SQL from outside: one SELECT over the lake's tables, which can write nothing and read nothing else.

Three fences, each of which should do alone: DuckDB itself (only live data files can be opened, its configuration is
locked), the statement's kind (one SELECT), and its syntax tree (known tables, known table functions).
"""

from __future__ import annotations

import string
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from lakestore.errors import QueryError
from lakestore.query.constants import Params
from lakestore.query.prune import understood
from lakestore.query.sqltypes import text
from lakestore.query.tree import Node, parse

CONFIG: Final[Mapping[str, Any]] = {
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    # No spilling: nothing is left behind, and memory is what bounds a statement.
    "temp_directory": "",
}
MAX_SQL: Final = 100_000
"""Characters of one statement from outside."""

_ANSWERS: Final = "_lakestore"
_BETWEEN: Final = "\n//"
"""In no absolute path, where a line break may be: there are no two slashes but at its beginning."""
# They look outside of the lake, wait, or run text as SQL.
_DENIED_FUNCTIONS: Final = frozenset(
    {
        "getenv", "getvariable", "current_setting", "write_log", "sleep_ms", "pg_sleep", "nextval", "currval",
        "setseed", "pg_get_viewdef", "current_query", "in_search_path", "invoke", "stats",
    }
)  # fmt: skip
_SHOWN_AS: Final = {"": "TABLES FROM", "__show_tables_expanded": "ALL TABLES"}
"""What DuckDB calls otherwise."""
_LETTERS: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_TRUSTED_KINDS: Final = ("SELECT", "EXPLAIN", "MULTI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one statement from outside may take: `seconds` of wall time, `memory` as DuckDB writes sizes, threads."""

    seconds: float = 60.0
    memory: str = "2GB"
    threads: int | None = None

    def config(self) -> dict[str, Any]:
        """The DuckDB settings that these limits are."""
        return {"memory_limit": self.memory} | ({} if self.threads is None else {"threads": self.threads})


DEFAULT: Final = Limits()


def one_query(con: duckdb.DuckDBPyConnection, sql: str, *, untrusted: bool) -> None:
    """Refuse what is not exactly one statement that reads.

    Raises:
        QueryError: there are none or several, or it is of another kind.
    """
    if not isinstance(sql, str):
        raise QueryError(f"a statement is text, not {type(sql).__name__}: give one SELECT")
    if untrusted and len(sql) > MAX_SQL:
        raise QueryError(f"the statement has {len(sql)} characters, at most {MAX_SQL} are accepted: shorten it")
    statements = con.extract_statements(sql)
    # DuckDB 1.5 makes two statements without text of one PIVOT, 2.0 one of kind MULTI.
    pivot = len(statements) > 1 and not any(statement.query for statement in statements)
    if not statements:
        raise QueryError("there is no SQL statement in the text: give a SELECT")
    if len(statements) != 1 and not pivot:
        raise QueryError(f"expected one SQL statement, not {len(statements)}: give them one by one")
    kind = "MULTI" if pivot else statements[0].type.name
    if kind not in (("SELECT",) if untrusted else _TRUSTED_KINDS):
        if kind == "MULTI":
            raise QueryError("PIVOT has to name its columns here: PIVOT … ON column IN ('a', 'b')")
        if kind == "COPY":
            rows = (
                "'lakestore sql --format csv' prints"
                if untrusted
                else "its .write_parquet(path) or .write_csv(path) writes"
            )
            raise QueryError(
                f"COPY is not possible here: give the SELECT alone, {rows} the rows; lake.connect() takes COPY"
            )
        hint = "only reading is possible here" if untrusted else "use lake.connect() for anything else"
        article = "an" if kind[0] in "AEIOU" else "a"
        raise QueryError(f"{article} {kind} statement is not a SELECT: {hint}")


def check(tree: Node | None, tables: Collection[str]) -> None:
    """Refuse a statement from outside that names anything but the lake's tables.

    Args:
        tree: its syntax tree.
        tables: what it may name.

    Raises:
        QueryError: naming what is not allowed.
    """
    if tree is None:
        raise QueryError("the statement is not one that can be checked: give one plain SELECT")
    held = {_folded(name) for name in tables}
    for node, made in _scoped(tree):
        names = held | made
        kind = node.get("type")
        if not understood(node):
            function = node.get("function", {}).get("function_name")
            shown = f"{function}()" if function else kind
            raise QueryError(f"{shown} is not allowed here: only the lake's tables can be read")
        if kind == "BASE_TABLE":
            _check_table(node, names, tables)
        elif kind == "SHOW_REF" and not node.get("query"):
            name = str(node.get("table_name", "")).strip('"')
            if _folded(name) not in {"tables", *names}:
                shown = _SHOWN_AS.get(name, name)
                raise QueryError(
                    f"SHOW {shown} is not allowed here: SHOW TABLES lists the tables, DESCRIBE the columns of one"
                )
        elif node.get("class") == "FUNCTION":
            function = str(node.get("function_name", "")).lower()
            if function in _DENIED_FUNCTIONS or function.startswith(("__internal", "read_", "json_execute")):
                raise QueryError(f"{function}() is not allowed here: it reaches outside of the lake")


def _scoped(tree: Node) -> Iterator[tuple[Node, frozenset[str]]]:
    """Every object of a tree, with the names of the queries (WITH) that are seen where it stands.

    Elsewhere DuckDB would read something else of that name: a view of its own, or a file.
    """
    todo: list[tuple[Any, frozenset[str]]] = [(tree, frozenset())]
    while todo:
        item, seen = todo.pop()
        if isinstance(item, list):
            todo.extend((child, seen) for child in item)
        elif isinstance(item, dict):
            for entry in item.get("cte_map", {}).get("map", ()):
                todo.append((entry["value"], seen))
                seen |= {_folded(str(entry["key"]))}
            yield item, seen
            # A recursive query sees itself in what is repeated alone.
            own = {_folded(str(item.get(key, ""))) for key in ("cte_name", "ctename")} - {""}
            for key, value in item.items():
                if key != "cte_map":
                    todo.append((value, seen | own if key in ("right", "child") else seen))


def _folded(name: str) -> str:
    """A name as DuckDB compares it: `str.lower` would also make a k of the Kelvin sign."""
    return name.translate(_LETTERS)


def _check_table(node: Node, names: Collection[str], tables: Iterable[str]) -> None:
    name = str(node["table_name"])
    catalog, schema = str(node.get("catalog_name") or "").lower(), str(node.get("schema_name") or "").lower()
    if catalog in ("", "memory") and schema in ("", "main") and _folded(name) in names:
        return
    shown = ".".join(part for part in (catalog, schema, name) if part)
    raise QueryError(f"table {shown!r} is not in the lake; its tables: {', '.join(sorted(tables))}")


def lock(con: duckdb.DuckDBPyConnection, paths: Iterable[str]) -> None:
    """Leave a connection nothing of the machine but these files, for good."""
    # In this order: the list cannot change once access is off, and nothing can once the configuration is locked.
    listed = list(paths)
    allowed = f"string_split({text(_BETWEEN.join(listed))}, {text(_BETWEEN)})" if listed else "[]::VARCHAR[]"
    con.execute(f"SET allowed_paths = {allowed}")
    con.execute(f"ATTACH ':memory:' AS {_ANSWERS}")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")


def answer(
    con: duckdb.DuckDBPyConnection, sql: str, tree: Node | None, params: Params, limits: Limits
) -> duckdb.DuckDBPyRelation:
    """Evaluate a checked SELECT now, within its limits; the rows stay in the connection's memory.

    Raises:
        QueryError: it took too long.
    """
    bare = _without_semicolon(con, sql)
    if parse(con, bare) != tree:
        raise QueryError("the statement's end is not clear: leave out what follows its last ';'")
    done = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            con.execute(f"CREATE TABLE {_ANSWERS}.main.answer AS FROM (\n{bare}\n)", params)
        except BaseException as exc:
            failures.append(exc)
        finally:
            done.set()

    # In a thread of its own: DuckDB does not look for Ctrl-C while it works, and here is nothing to do but to wait.
    threading.Thread(target=work, name="lakestore-statement", daemon=True).start()
    try:
        in_time = done.wait(limits.seconds)
    finally:
        # An interrupt is lost on a statement that has not begun: repeat it.
        while not done.is_set():
            con.interrupt()
            done.wait(0.05)
    if failures:
        if not in_time and isinstance(failures[0], duckdb.InterruptException):
            raise QueryError(
                f"the statement ran longer than {limits.seconds:g} s: narrow it, or raise the limit "
                "(Limits(seconds=…), --timeout)"
            ) from failures[0]
        raise failures[0]
    return con.table(f"{_ANSWERS}.main.answer")


def _without_semicolon(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    end = sql.rfind(";")
    while end >= 0:
        try:
            if con.extract_statements(sql[end:]):
                break
        except duckdb.Error:
            break
        sql = sql[:end]
        end = sql.rfind(";")
    return sql
