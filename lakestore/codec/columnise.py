"""Python values → nodes: one pass a column, the loops inside C.

What has no natural column (mixed depths, thousands of different keys, texts that are not Unicode) becomes JSON text,
so that every list of JSON values has a node. Whether the node gives back the same text is not decided here: it is
proved after encoding.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from itertools import chain
from operator import countOf
from struct import pack
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakestore.codec import times
from lakestore.codec.nodes import Mask, Node, offsets_of
from lakestore.codec.numbers import EXACT
from lakestore.codec.strings import column, is_unicode
from lakestore.codec.text import JSON_TYPES, ForeignError, dump, in_json_types
from lakestore.codec.times import among

MAX_KEYS = 512
"""A struct of more keys is kept as JSON text: a Parquet footer costs about 100 bytes a column."""
MAX_SHAPES = 256
"""Orders of keys in one column, beyond which it is kept as JSON text."""
MAX_DEPTH = 12
"""Levels of nesting inside a record, beyond which values are kept as JSON text."""
MAX_TEXT_DEPTH = 64
"""Levels inside such a text, beyond which the record table is not lifted: the renderer calls itself for each level."""

MAX_TEXTS = 65_536
"""Times whose texts are kept until they were compared with the document: written anew they take a save's 50th part."""

MAX_WORDS = 4
"""Different texts that may stand among times in a column of times."""

_ABSENT = frozenset(
    ("", "-", "--", "—", "N/A", "n/a", "NA", "nan", "NaN", "null", "None", "inf", "-inf", "Infinity", "-Infinity", "∞")
)
"""Texts that stand where a writer has no number."""

_NONE = type(None)


class TooDeepError(Exception):
    """Values nested too deep for a record table; the document keeps them in its envelope."""


def columnise(values: Sequence[Any], depth: int = 0) -> Node:
    """The node of a column of JSON values (None, bool, int, float, str, list, dict).

    Raises:
        TooDeepError: a value has more than `MAX_TEXT_DEPTH` levels below the last that has columns.
        ForeignError: one is not of JSON's own types.
    """
    kinds = set(map(type, values))
    if not kinds <= JSON_TYPES:
        raise ForeignError
    nulls = _NONE in kinds
    kinds.discard(_NONE)
    if not kinds:
        return Node("null", len(values))
    if len(kinds) == 1:
        node = _uniform(values, kinds.pop(), nulls, depth)
    elif kinds == {int, float}:
        node = _numbers(values)
    else:
        node = None
    return node if node is not None else _mixed(values, depth)


def texts_of(values: Sequence[Any]) -> pa.Array:
    """Compact JSON text of each value, null for None; ASCII escapes where the value is not Unicode."""
    for value in values:
        if isinstance(value, list | dict):
            if _is_deep(value):
                raise TooDeepError
            if not in_json_types(value):
                raise ForeignError
    return pa.array([None if value is None else dump(value) for value in values], pa.string())


def _is_deep(value: Any) -> bool:
    """Whether a value has more than `MAX_TEXT_DEPTH` levels."""
    level = [value]
    for _ in range(MAX_TEXT_DEPTH):
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, list | dict)
        ]
        if not level:
            return False
    return True


def struct(keys: Sequence[str | int], columns: Sequence[Sequence[Any]], n: int, depth: int = 0) -> Node:
    """A struct node of one shape whose values come by column.

    Raises:
        TooDeepError: as `columnise`.
    """
    children = tuple(columnise(column, depth + 1) for column in columns)
    return Node("struct", n, keys=tuple(keys), children=children, shapes=(tuple(range(len(keys))),))


def _uniform(values: Sequence[Any], kind: type, nulls: bool, depth: int) -> Node | None:
    n = len(values)
    if kind is float:
        return Node("float", n, array=_floats(values, nulls))
    if kind is str:
        try:
            array = pa.array(values, pa.string()) if nulls else column(values)
        except (UnicodeEncodeError, pa.ArrowInvalid):
            return None
        if isinstance(array, pa.ChunkedArray):
            return None
        parsed = times.parse(array)
        if parsed is not None:
            own = array if n <= MAX_TEXTS and not nulls else None
            return Node("time", n, array=parsed[1], format=parsed[0], texts=own)
        return _times(array) or Node("str", n, array=array)
    if kind is bool:
        return Node("bool", n, array=pa.array(values, pa.bool_()))
    if kind is int:
        try:
            return Node("int", n, array=pa.array(values, pa.int64()))
        except (OverflowError, pa.ArrowInvalid):
            return None
    if kind is dict:
        return _struct(values, nulls, depth)
    return _list(values, nulls, depth)


def _times(array: pa.StringArray) -> Node | None:
    """Times beside a few words (an empty text, `N/A`, `open`), which stand aside; None: it is a column of texts."""
    parted = among.part(array)
    if parted is None:
        return None
    fmt, values, others = parted
    words = array.filter(others).unique()
    if len(words) > MAX_WORDS:
        return None
    texts = pc.if_else(others, array, pa.scalar(None, pa.string()))
    written = pa.array([dump(word) for word in words.to_pylist()], pa.string())
    return Node("time", len(array), array=values, format=fmt, odd=written.take(pc.index_in(texts, value_set=words)))


def _one_kind(node: Node, values: Sequence[Any]) -> Node:
    """The node of a column of texts without values aside; one of several kinds as it is."""
    if node.kind != "time" or node.odd is None or not set(map(type, values)) <= {str, _NONE}:
        return node
    # A lone surrogate stands aside as a value of another kind would.
    return (
        Node("str", node.n, array=pa.array(values, pa.string())) if all(map(is_unicode, filter(None, values))) else node
    )


def _floats(values: Sequence[Any], nulls: bool) -> pa.Array:
    if not nulls:
        return pa.array(np.frombuffer(pack(f"{len(values)}d", *values)))
    # from_pandas=False: NaN is a value, only None is null.
    return pa.array(values, pa.float64(), from_pandas=False)


def _numbers(values: Sequence[Any]) -> Node | None:
    n = len(values)
    ints = np.fromiter((type(value) is int for value in values), np.bool_, n)
    if any(abs(value) > EXACT for value in values if type(value) is int):
        return None
    return Node("float", n, array=pa.array(values, pa.float64(), from_pandas=False), ints=ints)


def _struct(values: Sequence[Any], nulls: bool, depth: int) -> Node | None:
    n = len(values)
    present = [value for value in values if value is not None] if nulls else values
    first = tuple(present[0])
    if depth < MAX_DEPTH and not nulls and 0 < len(first) <= MAX_KEYS and countOf(map(tuple, values), first) == n:
        # Row by row, as the values lie in memory.
        flat: list[Any] = []
        deque(map(flat.extend, map(dict.values, values)), maxlen=0)
        return struct(first, [flat[place :: len(first)] for place in range(len(first))], n, depth)
    orders: dict[tuple[str, ...], int] = {}
    ids = [orders.setdefault(tuple(value), len(orders)) for value in present]
    if len(orders) > MAX_SHAPES or depth >= MAX_DEPTH:
        return None
    keys: dict[str, int] = {}
    for order in orders:
        for key in order:
            keys.setdefault(key, len(keys))
    if not keys or len(keys) > MAX_KEYS:
        return None
    children = tuple(
        columnise([None if value is None else value.get(key) for value in values], depth + 1) for key in keys
    )
    node = Node("struct", n, keys=tuple(keys), children=children)
    node.shapes = tuple(tuple(keys[key] for key in order) for order in orders)
    if len(orders) > 1:
        node.shape_ids = np.zeros(n, np.int32)
        node.shape_ids[_present(values) if nulls else slice(None)] = ids
    if nulls:
        node.valid = _present(values)
    return node


def _list(values: Sequence[Any], nulls: bool, depth: int) -> Node | None:
    present = [value for value in values if value is not None] if nulls else values
    if depth >= MAX_DEPTH:
        return None
    flat = list(chain.from_iterable(present))
    child = _one_kind(columnise(flat, depth + 1), flat)
    lengths = [0 if value is None else len(value) for value in values] if nulls else list(map(len, values))
    node = Node("list", len(values), offsets=offsets_of(lengths), child=child)
    if nulls:
        node.valid = _present(values)
    return node


def _present(values: Sequence[Any]) -> Mask:
    return np.fromiter((value is not None for value in values), np.bool_, len(values))


def _mixed(values: Sequence[Any], depth: int) -> Node:
    """A column of several kinds: the commonest kind as itself, the others as JSON text beside it.

    Texts that only say that there is no value are never the commonest.
    """
    integers = not any(type(value) is float for value in values)
    families = [_family(value, integers=integers) for value in values]
    counts = Counter(family for family in families if family)
    texts = {value for value, family in zip(values, families, strict=True) if family == "str"}
    # Were half of a result's profits "", none of any result's would be a number in SQL.
    last = "str" if texts <= _ABSENT else None
    for family in sorted(counts, key=lambda family: (family == last, -counts[family])):
        # A column of one family comes here when it has no natural form at all.
        if family == "odd" or len(counts) == 1:
            continue
        node = _split(values, families, family, depth)
        if node is not None:
            return node
    return Node("json", len(values), array=texts_of(values))


def split(values: Sequence[Any], family: str) -> Node | None:
    """A column of several kinds as a node of the kind asked for, the others as JSON text; None: it has none of it.

    Args:
        family: `bool`, `number` (exact as a double), `integer` (of 64 bits), `str`, `struct` or `list`.
    """
    families = [_family(value, integers=family == "integer") for value in values]
    return _split(values, families, family, 0) if family in families else None


def _split(values: Sequence[Any], families: Sequence[str], family: str, depth: int) -> Node | None:
    kept = [value if own == family else None for value, own in zip(values, families, strict=True)]
    node = _one_kind(columnise(kept, depth), kept)
    if node.kind == "json" or node.odd is not None or node.is_hollow:
        return None
    rest = [None if own == family else value for value, own in zip(values, families, strict=True)]
    if any(value is not None for value in rest):
        node.odd = texts_of(rest)
    return node


def _family(value: Any, *, integers: bool) -> str:
    """The kind that a value shares a column with; of numbers, with `integers` the ones of 64 bits alone."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        if integers:
            return "integer" if -(2**63) <= value < 2**63 else "odd"
        return "number" if abs(value) <= EXACT else "odd"
    if isinstance(value, float):
        return "odd" if integers else "number"
    if isinstance(value, str):
        return "str" if is_unicode(value) else "odd"
    return "struct" if isinstance(value, dict) else "list"
