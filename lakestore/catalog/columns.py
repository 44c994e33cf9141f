"""Lake tables and their columns: names and field ids are given out here, once and for ever."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from lakestore.catalog.connect import Connection, Connections
from lakestore.catalog.failures import NOBODYS, is_storable
from lakestore.catalog.sql import queries
from lakestore.errors import CatalogError, InvalidInputError, NotFoundError
from lakestore.layout import CATALOG_NAME, FROM_CATALOG
from lakestore.locks import Lock
from lakestore.model import OWN_COLUMNS, Column, LakeTable, NewColumn, SqlType

MAX_TABLE_NAME: Final = 64


class KnownTables:
    """The lake tables as they were last read, kept while the catalog's counter of changes stands still."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: tuple[int, dict[str, LakeTable]] | None = None

    def tables(self, conn: Connection, counter: int) -> dict[str, LakeTable]:
        """Return the lake tables by name; `counter` was read before, so that a change in between is seen next time."""
        with self._lock:
            kept = self._kept
        if kept is None or kept[0] != counter:
            kept = (counter, read_tables(conn))
            with self._lock:
                self._kept = kept
        return dict(kept[1])

    @property
    def counter(self) -> int:
        """The counter of those tables; 0 before any were read."""
        with self._lock:
            return 0 if self._kept is None else self._kept[0]


def read_counter(conn: Connection) -> int:
    """Return the number that grows with each change of a table or column."""
    return counter_of(conn.execute(queries()["schema_counter"]).fetchone())


def counter_of(row: Sequence[Any] | None) -> int:
    """Return the counter in the row of `schema_counter`."""
    if row is None:
        raise CatalogError(NOBODYS)
    return int(row[0])


def read_tables(conn: Connection) -> dict[str, LakeTable]:
    """Return all lake tables by name, their columns in order of field id."""
    keys: dict[str, str] = dict(conn.execute(queries()["lake_tables"]).fetchall())
    columns: dict[str, list[Column]] = {name: [] for name in keys}
    for table, *rest in conn.execute(queries()["lake_columns"]).fetchall():
        # A table made between the two statements is seen when the counter is looked at next.
        if table in columns:
            columns[table].append(Column(*rest))
    return {name: LakeTable(name, key, tuple(columns[name])) for name, key in keys.items()}


def table_for(connections: Connections, key: str, wanted: str) -> str:
    """Return the lake table that stands for `key`, a new one near the wanted name if there is none.

    Args:
        key: the key in the documents as JSON text.
        wanted: the name wished for; what a table cannot be called is replaced by `_`.

    Raises:
        InvalidInputError: the key cannot be stored.
        CatalogError: the catalog cannot be reached or changed.
    """
    if not is_storable(key):
        raise InvalidInputError(f"table key {key!r} holds NUL or a lone surrogate: give it as ASCII JSON text")
    q = queries()

    def work(conn: Connection) -> str:
        if found := conn.execute(q["table_of_key"], {"key": key}).fetchone():
            return str(found[0])
        with conn.transaction():
            conn.execute(q["durable"])
            _, next_field_id = _lock(conn)
            tables = {str(row[0]): str(row[1]) for row in conn.execute(q["lake_tables"])}
            if (known := name_for(key, tables)) is not None:
                return known
            name = free_table_name(wanted, tables)
            conn.execute(q["insert_table"], {"name": name, "key": key})
            conn.execute(q["advance_lake"], {"next_field_id": next_field_id})
            return name

    return connections.run(f"reserve a lake table for {key}", work)


def name_for(key: str, tables: Mapping[str, str]) -> str | None:
    """Return the table that stands for a key, else for one that differs in case alone: SQL has one `trades`.

    Args:
        tables: the key of each table by its name.
    """
    alike = [name for name, own in tables.items() if own.lower() == key.lower()]
    return next((name for name in alike if tables[name] == key), min(alike, default=None))


def free_table_name(wanted: str, taken: Collection[str]) -> str:
    """Return a name of `[a-z0-9_]{1,64}` near `wanted` that is neither taken nor lakestore's own."""
    stem = re.sub(r"[^a-z0-9_]", "_", wanted.lower()).lstrip("_")[:MAX_TABLE_NAME] or "table"
    name, number = stem, 1
    while name in taken or name in (*FROM_CATALOG, CATALOG_NAME):
        number += 1
        suffix = f"__{number}"
        name = stem[: MAX_TABLE_NAME - len(suffix)] + suffix
    return name


def _lock(conn: Connection) -> tuple[int, int]:
    row = conn.execute(queries()["lock_lake"]).fetchone()
    if row is None:
        raise CatalogError(NOBODYS)
    return int(row[0]), int(row[1])


def advance(connections: Connections, seen: int) -> tuple[int, int] | None:
    """Let the counter of changes grow unless it is behind `seen`; see `Catalog.advance`."""

    def work(conn: Connection) -> tuple[int, int] | None:
        with conn.transaction():
            # The lake hears of it next, and is never to be ahead.
            conn.execute(queries()["durable"])
            row = conn.execute(queries()["advance_counter"], {"seen": seen}).fetchone()
        return None if row is None else (int(row[0]), int(row[1]))

    return connections.run("let the catalog's counter grow", work)


def catch_up(connections: Connections, seen: int, next_field_id: int) -> tuple[int, int]:
    """Let counter and next field id be at least what was seen; see `Catalog.catch_up`."""

    def work(conn: Connection) -> tuple[int, int]:
        with conn.transaction():
            conn.execute(queries()["durable"])
            now, next_now = _lock(conn)
            given = {"counter": max(now, seen) + 1, "next_field_id": max(next_now, next_field_id)}
            conn.execute(queries()["set_counter"], given)
            return given["counter"], given["next_field_id"]

    return connections.run("let the catalog's counter grow", work)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one save needs of a table's columns; see `Catalog.reserve`."""

    new: Sequence[NewColumn] = ()
    widen: Sequence[int] = ()
    mark_wide: Sequence[int] = ()
    settype: Mapping[int, SqlType] | None = None


def reserve(connections: Connections, table: str, wishes: Wishes) -> LakeTable:
    """Give a table the columns wished for, in one short transaction, and return it as it is afterwards."""
    for wish in wishes.new:
        if not (is_storable(wish.key) and is_storable(wish.name)):
            raise InvalidInputError(
                f"{table}: column {wish.name!r} holds NUL or a lone surrogate: give its key as ASCII JSON text"
            )
    q = queries()

    def work(conn: Connection) -> LakeTable:
        with conn.transaction():
            with conn.pipeline():
                conn.execute(q["durable"])
                lock = conn.execute(q["lock_lake"])
                named = conn.execute(q["key_of_table"], {"table": table})
                rows = conn.execute(q["columns_of"], {"table": table})
            numbers, key = lock.fetchone(), named.fetchone()
            if numbers is None:
                raise CatalogError(NOBODYS)
            if key is None:
                raise NotFoundError(f"lake table '{table}' is not in the catalog; reserve it first")
            before = tuple(Column(*row[1:]) for row in rows.fetchall())
            after = plan(table, before, wishes, next_field_id=numbers[1])
            _write(conn, table, before, after, next_field_id=numbers[1])
            return LakeTable(table, key[0], after)

    return connections.run(f"reserve columns of '{table}'", work)


def _write(
    conn: Connection, table: str, before: tuple[Column, ...], after: tuple[Column, ...], *, next_field_id: int
) -> None:
    if before == after:
        return
    q = queries()
    new = after[len(before) :]
    with conn.pipeline():
        for column in new:
            conn.execute(q["insert_column"], row_of(table, column))
        for old, now in zip(before, after, strict=False):
            if old != now:
                conn.execute(q["update_column"], {"field_id": now.field_id, "type": now.type, "wide": now.wide})
        conn.execute(q["advance_lake"], {"next_field_id": next_field_id + len(new)})


def row_of(table: str, column: Column) -> dict[str, Any]:
    """The parameters of a column's row."""
    return {
        "field_id": column.field_id,
        "table": table,
        "parent": column.parent,
        "key": column.key,
        "name": column.name,
        "type": column.type,
        "wide": column.wide,
    }


def plan(table: str, before: tuple[Column, ...], wishes: Wishes, *, next_field_id: int) -> tuple[Column, ...]:
    """Return the columns that a table has once the wishes are met as far as they can be.

    Args:
        before: the table's columns in order of field id.
        next_field_id: the id that the first new column gets.

    Raises:
        InvalidInputError: a wish names a column that the table has not.
    """
    columns = {column.field_id: column for column in before}
    by_key = {(column.parent, column.key): column.field_id for column in before}
    names: dict[int | None, set[str]] = {None: set(OWN_COLUMNS)}
    for column in before:
        names.setdefault(column.parent, set()).add(column.name.lower())
    granted: list[int] = []
    for wish in wishes.new:
        parent = _parent(table, wish, columns, granted)
        field_id = by_key.get((parent, wish.key))
        if field_id is None:
            field_id, next_field_id = next_field_id, next_field_id + 1
            taken = names.setdefault(parent, set())
            name = free_column_name(wish.name, taken)
            taken.add(name.lower())
            by_key[parent, wish.key] = field_id
            columns[field_id] = Column(field_id, parent, wish.key, name, wish.type, wish.wide)
        else:
            columns[field_id] = _meet(columns[field_id], wish)
        granted.append(field_id)
    for field_id, sql_type in (wishes.settype or {}).items():
        column = _known(table, columns, field_id)
        if column.type == "NULL":
            columns[field_id] = replace(column, type=sql_type)
    for field_id in wishes.mark_wide:
        column = _known(table, columns, field_id)
        if column.type == "BIGINT":
            columns[field_id] = replace(column, wide=True)
    for field_id in wishes.widen:
        column = _known(table, columns, field_id)
        if column.type == "BIGINT" and not column.wide:
            columns[field_id] = replace(column, type="DOUBLE")
    return tuple(columns[field_id] for field_id in sorted(columns))


def _meet(column: Column, wish: NewColumn) -> Column:
    """Give an existing column its first real type, or the mark of wide integers; nothing else changes."""
    if column.type == "NULL" and wish.type != "NULL":
        column = replace(column, type=wish.type)
    if wish.wide and column.type == wish.type == "BIGINT":
        column = replace(column, wide=True)
    return column


def _parent(table: str, wish: NewColumn, columns: Mapping[int, Column], granted: Sequence[int]) -> int | None:
    if wish.parent is None:
        return None
    if wish.parent < 0:
        if -wish.parent > len(granted):
            raise InvalidInputError(
                f"{table}: column {wish.name!r} names wish {wish.parent}, which does not precede it"
            )
        return granted[-wish.parent - 1]
    return _known(table, columns, wish.parent).field_id


def _known(table: str, columns: Mapping[int, Column], field_id: int) -> Column:
    try:
        return columns[field_id]
    except KeyError:
        raise InvalidInputError(f"lake table '{table}' has no column of field id {field_id}") from None


def free_column_name(wanted: str, taken: Collection[str]) -> str:
    """Return `wanted`, or `wanted__2`, `__3`, … : the first that is not taken, without regard to case."""
    name, number = wanted, 1
    while name.lower() in taken:
        number += 1
        name = f"{wanted}__{number}"
    return name
