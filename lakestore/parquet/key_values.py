"""What a data file says of itself in its footer's key-value metadata: its lake table's columns, and whose its rows are.

Ids, names and nesting stand in the file's own schema; the text adds the SQL types that are not those mostly stored so,
the keys that differ from the names, and the columns of which the file has no value.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as field_of
from typing import Any
from uuid import UUID

import pyarrow as pa

from lakestore.model import FIRST_FIELD_ID, Column, SqlType

FOOTER_KEY = b"lks"
OLDER_KEY = b"lakestore"
VERSIONS_KEY = b"lakestore.versions"
"""In the footer of a file that compaction wrote: whose rows it holds, as it bears no result's name."""
ELEMENT = "[]"
_CODES: Mapping[SqlType, str] = {
    "BIGINT": "B",
    "DOUBLE": "D",
    "BOOLEAN": "O",
    "VARCHAR": "V",
    "DATE": "A",
    "TIMESTAMP": "T",
    "TIMESTAMPTZ": "Z",
    "JSON": "J",
    "STRUCT": "S",
    "LIST": "L",
    "NULL": "N",
}
"""SQL types in a footer, where each byte is paid for by every small file; `b` is a BIGINT that is wide."""
_TYPE_OF: Mapping[str, SqlType] = {code: kind for kind, code in _CODES.items()}


def field_id(field: pa.Field) -> int:
    """The Parquet field id of a field; -1 where it has none."""
    return int((field.metadata or {}).get(b"PARQUET:field_id", b"-1"))


def columns(schema: pa.Schema, metadata: Mapping[bytes, bytes] | None) -> tuple[str | None, tuple[Column, ...]] | None:
    """What a data file says of its lake table: document key and columns; None: lakestore did not write it.

    The key is None where it is the table's name.
    """
    told = read(metadata)
    if told is None:
        return None
    found = list(told.others)
    placed = list(_placed(schema, None))
    codes = told.codes or [_CODES[column.type] for column in placed]
    for place, (column, code) in enumerate(zip(placed, codes, strict=True)):
        key = told.keys.get(place, column.key) or _beside(column.name)
        found.append(replace(column, type=_TYPE_OF[code.upper()], wide=code == "b", key=key))
    return told.key, tuple(sorted(found, key=lambda column: column.field_id))


@dataclass(frozen=True, slots=True)
class KeyValues:
    """What a footer says.

    Attributes:
        key: the document key of the lake table; None: its name.
        codes: the SQL type of each column in the file's schema; nothing: those that the schema shows.
        order: field id of the column that goes up in each document.
        told: what tells apart the rows of one value of it.
        keys: by their place in the schema, keys that differ from the columns' names; None: its name says it.
        others: the columns of which the file has no value.
    """

    key: str | None
    codes: str
    order: int | None = None
    told: bytes = b""
    keys: Mapping[int, str | None] = field_of(default_factory=dict)
    others: Sequence[Column] = ()


def read(metadata: Mapping[bytes, bytes] | None) -> KeyValues | None:
    """What stands in the key-value metadata of a file; None: lakestore did not write it."""
    held = metadata or {}
    raw = held.get(FOOTER_KEY, held.get(OLDER_KEY))
    if raw is None:
        return None
    value = json.loads(raw)
    if isinstance(value, dict):
        # As it was written before.
        others = [Column(*item) for item in value.get("x", ())]
        return KeyValues(value["k"], value["c"], value.get("o"), keys=dict(value.get("n", ())), others=others)
    key, codes, by, keys, others = (value + [None] * 5)[:5]
    order, told = by if isinstance(by, list) else (by, "")
    more = [column for item in others or () for column in _others(item)]
    own = None if key is None else json.dumps(key)
    named = dict((item, None) if isinstance(item, int) else item for item in keys or ())
    return KeyValues(own, codes or "", order, base64.b85decode(told), named, more)


def _others(item: list[Any]) -> list[Column]:
    """Columns without a value: the first one's field id, what all lie in, and names; or one with its name and type."""
    own, parent, *names = item
    if isinstance(parent, str):
        return [_other(*item)]
    return [_other(own + place, name, "N", parent or None) for place, name in enumerate(names)]


def _other(own: int, name: str, code: str, parent: int | None = None, key: str | None = None) -> Column:
    return Column(own, parent, json.dumps(name) if key is None else key, name, _TYPE_OF[code.upper()], code == "b")


def versions(metadata: Mapping[bytes, bytes] | None) -> tuple[tuple[UUID, int], ...]:
    """The versions of results in a file that compaction wrote, each with its rows, in the file's order."""
    raw = (metadata or {}).get(VERSIONS_KEY)
    if raw is None:
        return ()
    value = json.loads(raw)
    ids = base64.b64decode(value["ids"])
    found = [UUID(bytes=ids[at : at + 16]) for at in range(0, len(ids), 16)]
    return tuple(zip(found, value["rows"], strict=True))


def of_versions(given: Sequence[tuple[UUID, int]]) -> bytes:
    """The text of the versions of results whose rows stand in a file, in its order."""
    ids = base64.b64encode(b"".join(write_id.bytes for write_id, _ in given)).decode()
    return json.dumps({"ids": ids, "rows": [rows for _, rows in given]}, separators=(",", ":")).encode()


def of_columns(schema: pa.Schema, given: Sequence[Column], key: str | None, order: int | None, told: bytes) -> bytes:
    """The text of a lake table's columns.

    Args:
        schema: the file's; those of the columns that are not in it have no value there.
        key: the document key of the lake table; None: its name.
        order, told: see `KeyValues`.
    """
    by_id = {column.field_id: column for column in given}
    codes = shown = ""
    keys: list[int | tuple[int, str]] = []
    for place, placed in enumerate(_placed(schema, None)):
        column = by_id.pop(placed.field_id)
        codes += _code(column)
        shown += _CODES[placed.type]
        if column.key != placed.key:
            keys.append(place if column.key == _beside(column.name) else (place, column.key))
    others: list[list[Any]] = []
    for c in by_id.values():
        usual = c.key == json.dumps(c.name)
        if c.type != "NULL" or not usual:
            others.append(_short([c.field_id, c.name, _code(c), c.parent, None if usual else c.key]))
        elif others and others[-1][1] == (c.parent or 0) and c.field_id == others[-1][0] + len(others[-1]) - 2:
            others[-1].append(c.name)
        else:
            others.append([c.field_id, c.parent or 0, c.name])
    by = [order, base64.b85encode(told).decode()] if told else order
    value = _short(
        [None if key is None else json.loads(key), None if codes == shown else codes, by, keys or None, others or None]
    )
    return json.dumps(value, separators=(",", ":")).encode()


def _beside(name: str) -> str:
    """The key of a column beside another one, by its name: `price__ulps` has the key `"price"#ulps`."""
    stem, _, kind = name.rpartition("__")
    return f"{json.dumps(stem)}#{kind}"


def _code(column: Column) -> str:
    return "b" if column.wide else _CODES[column.type]


def _short(items: list[Any]) -> list[Any]:
    """A list without the nulls at its end."""
    while items and items[-1] is None:
        items.pop()
    return items


def _placed(fields: Iterable[pa.Field], parent: int | None) -> Iterator[Column]:
    """The columns that a schema shows by itself; a type is the one that is mostly stored so."""
    for item in fields:
        own = field_id(item)
        if own < FIRST_FIELD_ID:
            continue
        key = ELEMENT if parent is not None and item.name == "element" else json.dumps(item.name)
        yield Column(own, parent, key, item.name, _shown(item.type))
        if pa.types.is_struct(item.type):
            yield from _placed([item.type.field(i) for i in range(item.type.num_fields)], own)
        elif pa.types.is_list(item.type):
            yield from _placed([item.type.value_field], own)


def _shown(kind: pa.DataType) -> SqlType:
    """The SQL type that mostly is stored as this one."""
    if pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        return "DOUBLE"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz is None else "TIMESTAMPTZ"
    return next((found for test, found in _SHOWN if test(kind)), "VARCHAR")


_SHOWN: Sequence[tuple[Callable[[pa.DataType], bool], SqlType]] = (
    (pa.types.is_integer, "BIGINT"),
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_struct, "STRUCT"),
    (pa.types.is_list, "LIST"),
)
