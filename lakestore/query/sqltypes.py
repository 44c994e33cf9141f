"""SQL text for names, literals and the types of a lake table's columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lakestore.model import FIRST_FIELD_ID, Column

# JSON text is shown as VARCHAR: a cast to DuckDB's JSON refuses lone surrogates (`"\ud800"`), which Python's json
# reads and lakestore keeps, and one such value would fail every query of its table. `->>` works on VARCHAR too.
_SIMPLE: Mapping[str, str] = {
    "BIGINT": "BIGINT",
    "DOUBLE": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "VARCHAR": "VARCHAR",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "JSON": "VARCHAR",
    "NULL": '"NULL"',
}

Children = Mapping[int | None, Sequence[Column]]


def identifier(name: str) -> str:
    """A name as SQL quotes it, whatever stands in it."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string literal; NUL cannot stand in SQL text and is joined in."""
    quoted = "'" + value.replace("'", "''") + "'"
    return quoted if "\0" not in value else "(" + quoted.replace("\0", "' || chr(0) || '") + ")"


def children(columns: Iterable[Column]) -> Children:
    """The columns by the field id of what they lie in (None: the table itself), each group in order of field id."""
    groups: dict[int | None, list[Column]] = {}
    for column in sorted(columns, key=lambda column: column.field_id):
        if column.field_id >= FIRST_FIELD_ID:
            groups.setdefault(column.parent, []).append(column)
    return groups


def sql_type(column: Column, nested: Children) -> str:
    """The DuckDB type of a column; a STRUCT without members and a NULL hold nothing and have DuckDB's type "NULL"."""
    if column.type == "STRUCT":
        members = [f"{identifier(c.name)} {sql_type(c, nested)}" for c in nested.get(column.field_id, ())]
        return f"STRUCT({', '.join(members)})" if members else _SIMPLE["NULL"]
    if column.type == "LIST":
        element = nested.get(column.field_id, ())
        return f"{sql_type(element[0], nested) if element else _SIMPLE['NULL']}[]"
    return _SIMPLE[column.type]
