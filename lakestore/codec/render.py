"""Nodes → JSON text, by column: the renderer that rebuilds documents.

It belongs to the format: `RENDERER` is stored with every result, and a change of one byte in what it writes makes a
new number beside the old. It works on whole columns (`binary_join_element_wise`), in blocks of rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakestore.codec import numbers, times
from lakestore.codec.nodes import Key, Node
from lakestore.codec.strings import escape, escaped
from lakestore.codec.style import COMPACT, Style

RENDERER = 2
"""The renderer 2 has escapes and dialects that 1 had not; what 1 wrote it writes as well."""
BLOCK = 65_536
"""Rows rendered at once: bounds memory, and a block stays far below Arrow's 2 GiB a string array."""

_ARRAYS = ("objects", "arrays", "scalars")


def table(node: Node, style: Style, form: str) -> Iterator[memoryview]:
    """The text of a record table, in pieces; see `body` for its forms."""
    yield from body(node, style, form)
    pair = brackets(form)
    yield memoryview((style.at(0, pair[0]).close + pair[1]).encode())


def brackets(form: str) -> str:
    """The opening and the closing bracket of a record table's container."""
    return "[]" if form in _ARRAYS else "{}"


def body(node: Node, style: Style, form: str) -> Iterator[memoryview]:
    """The text of a record table up to the white space before its closing bracket: `node`'s slots, row by row.

    `form` says what the container is: `objects` (array of objects), `arrays`, `scalars`, `columns` (object of
    arrays), `keyed` (object whose keys are the records' first column), `pairs` (object whose keys and values are the
    two columns), `keyed_columns` (object of objects, whose keys are the first column).
    """
    opening = brackets(form)[0]
    gaps = style.at(0, opening)
    separator = style.comma + gaps.item
    yield memoryview((opening + gaps.open).encode())
    if form == "columns":
        yield from _columns(node, style, separator)
    elif form == "keyed_columns":
        yield from _keyed_columns(node, style, separator)
    else:
        if form == "scalars":
            node = node.children[0]
        for start in range(0, node.n, BLOCK):
            stop = min(node.n, start + BLOCK)
            block = node.slice(start, stop) if (start, stop) != (0, node.n) else node
            if form in ("keyed", "pairs"):
                value = block.children[1] if form == "pairs" else without_key(block)
                rows = _entries(block.children[0], value, style, 1, separator)
            else:
                rows = _texts(block, style, 1, separator)
            yield _bytes(rows, 0 if stop < node.n else len(separator.encode()))


def texts(node: Node, style: Style = COMPACT) -> pa.StringArray:
    """The JSON text of each slot; null where the value is JSON null or absent."""
    return _nullable(node, style, 0)


def _columns(node: Node, style: Style, separator: str) -> Iterator[memoryview]:
    gaps = style.at(1, "[")
    inner = style.comma + gaps.item
    for place, (key, child) in enumerate(zip(node.keys, node.children, strict=True)):
        before = separator if place else ""
        yield memoryview(f"{before}{_key(key, style)}{style.colon}[{gaps.open}".encode())
        for start in range(0, node.n, BLOCK):
            stop = min(node.n, start + BLOCK)
            yield _bytes(_texts(child.slice(start, stop), style, 2, inner), 0 if stop < node.n else len(inner.encode()))
        yield memoryview(f"{gaps.close}]".encode())


def _keyed_columns(node: Node, style: Style, separator: str) -> Iterator[memoryview]:
    gaps = style.at(1, "{")
    inner = style.comma + gaps.item
    for place, (key, child) in enumerate(zip(node.keys[1:], node.children[1:], strict=True)):
        before = separator if place else ""
        yield memoryview(f"{before}{_key(key, style)}{style.colon}{{{gaps.open}".encode())
        for start in range(0, node.n, BLOCK):
            stop = min(node.n, start + BLOCK)
            rows = _entries(node.children[0].slice(start, stop), child.slice(start, stop), style, 2, inner)
            yield _bytes(rows, 0 if stop < node.n else len(inner.encode()))
        yield memoryview(f"{gaps.close}}}".encode())


def without_key(node: Node) -> Node:
    """The records of a keyed object: all columns but the first."""
    shapes = tuple(tuple(index - 1 for index in shape[1:]) for shape in node.shapes)
    return Node(
        "struct", node.n, keys=node.keys[1:], children=node.children[1:], shapes=shapes, shape_ids=node.shape_ids
    )


def _entries(keys: Node, values: Node, style: Style, depth: int, separator: str) -> pa.StringArray:
    """The text `"key": value` of each slot followed by the separator."""
    start, names, end = _parts(keys, style, depth, "")
    if not start:
        # Keys that are kept as numbers; those that are not text for another reason bring their quotes.
        names = pc.if_else(pc.starts_with(names, '"'), names, pc.binary_join_element_wise('"', names, '"', _empty()))
    left, values_text, right = _parts(values, style, depth, separator)
    return pc.binary_join_element_wise(
        pa.scalar(start), names, pa.scalar(end + style.colon + left), values_text, pa.scalar(right), _empty()
    )


def _texts(node: Node, style: Style, depth: int, separator: str) -> pa.StringArray:
    """The text of each slot followed by the separator; JSON null where there is no value."""
    before, middle, after = _parts(node, style, depth, separator)
    if not before and not after:
        return middle
    return pc.binary_join_element_wise(pa.scalar(before), middle, pa.scalar(after), _empty())


def _parts(node: Node, style: Style, depth: int, separator: str) -> tuple[str, pa.StringArray, str]:
    """Text before, texts, text after, so that a parent joins as few pieces as can be."""
    if node.kind in ("str", "time") and node.odd is None and not node.array.null_count and not node.overrides:
        return '"', _plain(node, style), '"' + separator
    if node.kind == "struct" and node.odd is None and node.valid is None and not node.overrides:
        return "", _struct(node, style, depth, separator), ""
    if separator.startswith(","):
        followed = _with_commas(node, style)
        if followed is not None:
            return "", followed, separator[1:]
    array = _nullable(node, style, depth)
    return "", array.fill_null("null") if array.null_count else array, separator


def _plain(node: Node, style: Style) -> pa.StringArray:
    """What stands between the quotes."""
    if node.kind == "time":
        assert node.format is not None
        written = times.render(node.array, node.format) if node.texts is None else node.texts
        # Nothing in a time must be escaped; .NET writes the `+` of a zone so.
        return escaped(written, style.escapes) if style.escapes.other else written
    return escaped(node.array, style.escapes)


def _nullable(node: Node, style: Style, depth: int) -> pa.StringArray:
    match node.kind:
        case "null":
            array = pa.nulls(node.n, pa.string())
        case "int" | "bool":
            array = pc.cast(node.array, pa.string())
        case "float":
            array = _floats(node, style)
        case "str" | "time":
            quote = pa.scalar('"')
            array = pc.binary_join_element_wise(quote, _plain(node, style), quote, _empty())
        case "json":
            array = _foreign(node.array, style, depth)
        case "struct":
            array = _struct(node, style, depth)
        case "list":
            array = _list(node, style, depth)
    if node.odd is not None:
        array = pc.coalesce(_foreign(node.odd, style, depth), array)
    if node.overrides:
        places = np.zeros(node.n, np.bool_)
        places[list(node.overrides)] = True
        array = pc.replace_with_mask(
            array, pa.array(places), pa.array([node.overrides[at] for at in sorted(node.overrides)])
        )
    return array


def _floats(node: Node, style: Style) -> pa.StringArray:
    array = node.array
    values = numbers.doubles(array)
    if node.digits is not None:
        result = numbers.rounded(values, *node.digits)
    else:
        result = numbers.texts(values, numbers.dialect(style.dialect))
    if node.zeros is not None:
        result = pc.binary_join_element_wise(result, _zeros().take(pa.array(node.zeros)), _empty())
    if node.ints is not None and node.ints.any():
        whole = numbers.integers(np.where(node.ints, values, 0.0).astype(np.int64))
        result = whole if node.ints.all() else pc.if_else(pa.array(node.ints), whole, result)
    if array.null_count:
        result = pc.if_else(array.is_valid(), result, pa.scalar(None, pa.string()))
    return result


def _struct(node: Node, style: Style, depth: int, separator: str = "") -> pa.StringArray:
    if node.shape_ids is None:
        rows = _shape(node, node.shapes[0], style, depth, separator)
    else:
        groups = [np.flatnonzero(node.shape_ids == shape) for shape in range(len(node.shapes))]
        parts = [
            _shape(node.take(ids), order, style, depth, separator)
            for ids, order in zip(groups, node.shapes, strict=True)
            if len(ids)
        ]
        places = np.empty(node.n, np.int64)
        places[np.concatenate(groups)] = np.arange(node.n)
        rows = pa.concat_arrays(parts or [pa.array([], pa.string())]).take(pa.array(places))
    if node.valid is not None:
        rows = pc.if_else(pa.array(node.valid), rows, pa.scalar(None, pa.string()))
    return rows


def _shape(node: Node, order: tuple[int, ...], style: Style, depth: int, separator: str) -> pa.StringArray:
    """The texts of structs that all have the keys of one order, each followed by the separator."""
    positional = bool(node.keys) and isinstance(node.keys[0], int)
    opening, closing = "[]" if positional else "{}"
    if not order:
        return pa.array([opening + closing + separator] * node.n, pa.string())
    gaps = style.at(depth, opening)
    pieces: list[Any] = []
    pending = opening + gaps.open
    between = style.comma + gaps.item
    for index in order:
        if not positional:
            pending += _key(node.keys[index], style) + style.colon
        before, middle, after = _parts(node.children[index], style, depth + 1, between if index != order[-1] else "")
        pieces += [pa.scalar(pending + before), middle]
        pending = after
    return pc.binary_join_element_wise(*pieces, pa.scalar(pending + gaps.close + closing + separator), _empty())


def _with_commas(node: Node, style: Style) -> pa.StringArray | None:
    """The texts of common numbers, each followed by a comma; None where they have another form.

    The comma stands between numbers as they are written: to take it out costs more than a join.
    """
    plain = node.kind == "float" and node.digits is None and node.zeros is None and node.ints is None
    if not plain or node.odd is not None or node.overrides or node.array.null_count:
        return None
    return numbers.with_commas(node.array.to_numpy(), numbers.dialect(style.dialect))


def _list(node: Node, style: Style, depth: int) -> pa.StringArray:
    assert node.offsets is not None and node.child is not None
    gaps = style.at(depth, "[")
    before, middle, after = _parts(node.child, style, depth + 1, "")
    if before or after:
        middle = pc.binary_join_element_wise(pa.scalar(before), middle, pa.scalar(after), _empty())
    lists = pa.ListArray.from_arrays(pa.array(node.offsets), middle)
    joined = pc.binary_join(lists, style.comma + gaps.item)
    rows = pc.binary_join_element_wise(pa.scalar("[" + gaps.open), joined, pa.scalar(gaps.close + "]"), _empty())
    empty = np.diff(node.offsets) == 0
    if empty.any():
        rows = pc.if_else(pa.array(empty), pa.scalar("[]"), rows)
    if node.valid is not None:
        rows = pc.if_else(pa.array(node.valid), rows, pa.scalar(None, pa.string()))
    return rows


def _key(key: Key, style: Style) -> str:
    return escape(str(key), style.escapes)


def _foreign(array: pa.StringArray, style: Style, depth: int) -> pa.StringArray:
    """JSON texts written anew in the style; null stays null. Value by value: such columns are rare."""
    return pa.array(
        [None if text is None else write(json.loads(text), style, depth) for text in array.to_pylist()], pa.string()
    )


def write(value: Any, style: Style, depth: int) -> str:
    """One Python value as JSON text in a style, `depth` levels inside the record table."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return numbers.layout(value, numbers.dialect(style.dialect))
    if isinstance(value, str):
        return escape(value, style.escapes)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    if not value:
        return opening + closing
    gaps = style.at(depth, opening)
    if isinstance(value, dict):
        items = [_key(key, style) + style.colon + write(item, style, depth + 1) for key, item in value.items()]
    else:
        items = [write(item, style, depth + 1) for item in value]
    return opening + gaps.open + (style.comma + gaps.item).join(items) + gaps.close + closing


def _bytes(array: pa.StringArray, drop: int) -> memoryview:
    """The texts of an array one after the other, without the last `drop` bytes."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    _, offsets, data = array.buffers()
    if data is None:
        return memoryview(b"")
    ends = np.frombuffer(offsets, np.int32)
    return memoryview(data)[ends[array.offset] : ends[array.offset + len(array)] - drop]


# Made when they are needed: pyarrow loads pandas, if it is there, for the first value that it is given.
@cache
def _empty() -> pa.Scalar:
    return pa.scalar("")


@cache
def _zeros() -> pa.Array:
    """So many zeros, at each place."""
    return pa.array(["0" * count for count in range(128)])
