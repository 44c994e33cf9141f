"""The shapes of record tables: which one a value has, and its rows as a node. Loops inside C: every save comes here."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, Literal

import pyarrow as pa

from lakestore.codec import times
from lakestore.codec.columnise import MAX_KEYS, columnise, struct
from lakestore.codec.nodes import Node, offsets_of
from lakestore.codec.profiles.profile import MIN_KEYS

MAX_WIDTH = 64
"""Places of an array that become columns; longer rows are kept as one list column."""

_ID = 16
_LONG_ID = re.compile(r"(?=\D*\d)[A-Za-z0-9_-]+", re.ASCII)
"""Characters of an id from which no pattern is asked of it but a digit: UUID, hex, ULID."""
_TUPLE = re.compile(r"\(.+,.*\)")
"""What pandas makes of a key of several parts, as of each pair of parameters that were tried: `(5, 20)`."""
_DIGITS = re.compile("[0-9]+")
_SYMBOL = re.compile(r"[^a-z]*[A-Z0-9][^a-z]*|[^/]+/[^/]+|.+\.[A-Z]+", re.ASCII | re.DOTALL)
"""`BTCUSDT`, `BTC/USDT:USDT`, `rb2305.SHFE`, `2024`: what no engine calls a table of its own."""
_ONE_SYMBOL = re.compile(r"[A-Za-z0-9]+[-/.][A-Z0-9:]+", re.ASCII)
"""The same where no other key confirms it."""
_SCALARS = {str, int, float, bool, type(None)}
_NUMBERS = {int, float, type(None)}
_EPOCH_DIGITS = (10, 13, 16, 19)
"""Digits of seconds, milliseconds, microseconds and nanoseconds since 1970, from 2001 to 2286."""
_DAY = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", re.ASCII)
_MINUTE = re.compile(r"0|-?[1-9]\d*0{4}", re.ASCII)
"""A whole minute in milliseconds, or in what is smaller."""


def array_form(value: Sequence[Any]) -> Literal["objects", "arrays"] | None:
    """`objects` or `arrays` where an array is a record table of that shape."""
    kinds = set(map(type, value))
    if kinds == {dict}:
        return "objects" if any(value) else None
    if kinds == {list} and value[0] and len(set(map(len, value))) == 1:
        return "arrays"
    return None


def are_objects(value: Sequence[Any]) -> bool:
    """Whether an array holds objects alone."""
    return set(map(type, value)) == {dict}


def are_scalars(values: Collection[Any]) -> bool:
    """Whether there are values, and none is an array or object."""
    return bool(values) and set(map(type, values)) <= _SCALARS


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether the values are numbers or null, and not all null."""
    kinds = set(map(type, values))
    return kinds <= _NUMBERS and kinds != {type(None)}


def are_columns(value: Mapping[str, Any]) -> bool:
    """Whether an object holds equal-length arrays alone."""
    if len(value) > MAX_KEYS or set(map(type, value.values())) != {list}:
        return False
    lengths = set(map(len, value.values()))
    return len(lengths) == 1 and lengths != {0}


def are_long(value: Mapping[str, Sequence[Any]]) -> bool:
    """Whether several arrays hold eight or more scalars each."""
    first = next(iter(value.values()))
    return len(value) > 1 and len(first) >= MIN_KEYS and all(map(are_scalars, value.values()))


def are_records(values: Sequence[Any]) -> bool:
    """Whether all values are objects, or all arrays of scalars of one length that columns can have."""
    form = array_form(values)
    return form == "objects" or (
        form == "arrays" and len(values[0]) <= MAX_WIDTH and set(map(type, chain.from_iterable(values))) <= _SCALARS
    )


def are_alike(values: Sequence[Any]) -> bool:
    """Whether all values are objects of the same keys in the same order."""
    return array_form(values) == "objects" and len(set(map(tuple, values))) == 1


def are_keyed_columns(value: Mapping[str, Any]) -> bool:
    """Whether an object holds objects of the same keys in the same order: the records' keys, in each column."""
    return len(value) <= MAX_KEYS and are_alike(list(value.values()))


def are_frame(value: Mapping[str, Any]) -> bool:
    """Whether there are keyed columns, two or more of scalars; others may hold lists, as a day's orders."""
    return (
        len(value) > 1 and are_keyed_columns(value) and sum(are_scalars(each.values()) for each in value.values()) > 1
    )


def are_grouped(values: Sequence[Any]) -> bool:
    """Whether all values are arrays of objects, some of them perhaps empty."""
    return set(map(type, values)) == {list} and set(map(type, chain.from_iterable(values))) == {dict}


def are_grouped_arrays(values: Sequence[Any]) -> bool:
    """Whether all values are arrays of arrays of one length, some of them perhaps empty."""
    return set(map(type, values)) == {list} and array_form(list(chain.from_iterable(values))) == "arrays"


def are_by_symbol(value: Mapping[str, Any]) -> bool:
    """Whether the keys are symbols, or the like, over arrays of objects that begin with the same keys."""
    return (
        all(map((_SYMBOL if len(value) > 1 else _ONE_SYMBOL).fullmatch, value))
        and are_grouped(list(value.values()))
        and len({frozenset(rows[0]) for rows in value.values() if rows}) == 1
    )


def are_runs_by_symbol(value: Mapping[str, Any]) -> bool:
    """Whether the keys are symbols over objects of the same keys that have arrays of objects: a run of each."""
    values = list(value.values())
    return (
        len(value) > 1
        and all(map(_SYMBOL.fullmatch, value))
        and are_alike(values)
        and any(are_objects(item) for each in values for item in each.values() if type(item) is list)
    )


def are_numbered(keys: Mapping[str, Any]) -> bool:
    """Whether there are at least eight keys that count from 0 or 1, or all are times in one form, or tuples."""
    if len(keys) < MIN_KEYS:
        return False
    first = next(iter(keys))
    if _TUPLE.fullmatch(first):
        return all(map(_TUPLE.fullmatch, keys))
    if first in ("0", "1"):
        start = int(first)
        if list(keys) == list(map(str, range(start, start + len(keys)))):
            return True
    return are_times(keys)


def are_times(keys: Mapping[str, Any]) -> bool:
    """Whether all keys are times in one form."""
    first = next(iter(keys))
    if len(first) in _EPOCH_DIGITS and first.isdecimal():
        together = "".join(keys)
        if set(map(len, keys)) == {len(first)}:
            return together.isdecimal() and together.isascii()
    if _DAY.fullmatch(first):
        return all(map(_DAY.fullmatch, keys))
    if _MINUTE.fullmatch(first):
        return _are_minutes(keys)
    try:
        return first[:4].isdecimal() and times.parse(pa.array(list(keys), pa.string())) is not None
    except UnicodeEncodeError:
        return False


def _are_minutes(keys: Mapping[str, Any]) -> bool:
    """Whether keys are whole minutes in milliseconds that go up, perhaps from before 2001 or 1970: of many lengths."""
    if not 11 <= max(map(len, keys)) <= 13 or not all(map(_MINUTE.fullmatch, keys)):
        return False
    values = list(map(int, keys))
    return not any(value % 60_000 for value in values) and all(a < b for a, b in pairwise(values))


def are_ids(keys: Mapping[str, Any]) -> bool:
    """Whether there are at least eight keys that are made up: long ones of one length, or one text but for numbers."""
    if len(keys) < MIN_KEYS:
        return False
    first = next(iter(keys))
    if len(first) >= _ID and set(map(len, keys)) == {len(first)} and all(map(_LONG_ID.fullmatch, keys)):
        return True
    form = _DIGITS.sub("0", first)
    return form.strip("0") not in ("", form) and all(_DIGITS.sub("0", key) == form for key in keys)


def objects(value: Sequence[dict[str, Any]]) -> Node | None:
    """Rows of an array of objects; None where they are too different for columns."""
    node = columnise(value)
    return node if node.kind == "struct" and node.odd is None else None


def arrays(value: Sequence[list[Any]]) -> Node:
    """Rows of an array of equal-length arrays, a column a place."""
    return struct(range(len(value[0])), list(zip(*value, strict=True)), len(value))


def scalars(value: Sequence[Any], name: str) -> Node:
    """Rows of an array of values, in one column."""
    return struct((name,), (value,), len(value))


def columns(value: Mapping[str, Sequence[Any]]) -> Node:
    """Rows of an object of equal-length arrays."""
    return struct(tuple(value), tuple(value.values()), len(next(iter(value.values()))))


def keyed(value: Mapping[str, Any], key: str) -> Node | None:
    """Rows of an object key → record: the key's column, then the record's; None where they have no columns."""
    values = list(value.values())
    node = arrays(values) if isinstance(values[0], list) else objects(values)
    if node is None:
        return None
    shapes = tuple((0, *(place + 1 for place in shape)) for shape in node.shapes)
    return Node(
        "struct",
        node.n,
        keys=(_apart(key, node.keys), *node.keys),
        children=(_keys(value), *node.children),
        shapes=shapes,
        shape_ids=node.shape_ids,
    )


def keyed_columns(value: Mapping[str, Mapping[str, Any]], key: str) -> Node:
    """Rows of an object column → key → value: the key's column, then the others."""
    first = next(iter(value.values()))
    children = (_keys(first), *(columnise(list(column.values()), 1) for column in value.values()))
    keys = (_apart(key, tuple(value)), *value)
    return Node("struct", len(first), keys=keys, children=children, shapes=(tuple(range(len(keys))),))


def pairs(value: Mapping[str, Any], key: str, name: str) -> Node:
    """Rows of an object key → value in two columns."""
    children = (_keys(value), _values(list(value.values())))
    return Node("struct", len(value), keys=(_apart(key, (name,)), name), children=children, shapes=((0, 1),))


def _keys(value: Mapping[str, Any]) -> Node:
    """Keys as integers where each is the one text of its number, else as what they are: times or text."""
    keys = list(value)
    if keys[0].isdecimal() and keys[0].isascii():
        try:
            texts = pa.array(keys, pa.string())
            whole = texts.cast(pa.int64())
            if whole.cast(pa.string()).equals(texts):
                return Node("int", len(keys), array=whole)
        except (pa.ArrowInvalid, UnicodeEncodeError):
            # Not all are integers: they stay text.
            pass
    return columnise(keys, 1)


def _values(values: Sequence[Any]) -> Node:
    """Values as a column; lists of equal-length arrays as lists of structs, so that each place keeps its type."""
    if set(map(type, values)) == {list}:
        rows = list(chain.from_iterable(values))
        if array_form(rows) == "arrays" and len(rows[0]) <= MAX_WIDTH:
            return Node("list", len(values), offsets=offsets_of(list(map(len, values))), child=arrays(rows))
    return columnise(values, 1)


def _apart(key: str, others: Collection[Any]) -> str:
    """The name for the column of keys that none of the others has."""
    while key in others:
        key += "_"
    return key
