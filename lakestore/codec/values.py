"""Nodes → Python values, by column: a document's value without its text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from lakestore.codec import times
from lakestore.codec.envelope import Envelope, StoredRegion
from lakestore.codec.nodes import Node
from lakestore.codec.render import without_key
from lakestore.codec.text import BOM, collector_off

_DISPLAYED: Final = 24
"""Keys of a display that Python makes at once; beyond, it is no faster."""
_COMPILED: Final = 1000
"""Rows from which compiling a display, 0.2 ms, pays."""


def document(envelope: Envelope, node_of: Callable[[StoredRegion], Node]) -> Any | None:
    """The value that `json.loads` gives for the document's text, made from its columns; None: the text is needed.

    The text without its record tables is read with a hole for each, and the holes are filled.

    Args:
        node_of: reads a record table.
    """
    if any(region.patch is not None or region.original is not None for region in envelope.regions):
        return None
    with collector_off():
        rest = b"null".join(_pieces(envelope))
        value = json.loads(rest.decode()) if envelope.python else orjson.loads(rest)
        for region in envelope.regions:
            rows = table(node_of(region), region.form)
            *above, last = json.loads(region.key) or [None]
            if last is None:
                return rows
            holder = value
            for step in above:
                holder = holder[step]
            holder[last] = rows
        return value


def table(node: Node, form: str) -> Any:
    """A record table as Python values in one of the forms of `render.body`."""
    match form:
        case "columns":
            return {key: values(child) for key, child in zip(node.keys, node.children, strict=True)}
        case "keyed":
            return dict(zip(_keys(node), values(without_key(node)), strict=True))
        case "pairs":
            return dict(zip(_keys(node), values(node.children[1]), strict=True))
        case "keyed_columns":
            keys, columns = _keys(node), zip(node.keys[1:], node.children[1:], strict=True)
            return {key: dict(zip(keys, values(child), strict=True)) for key, child in columns}
    return values(node.children[0] if form == "scalars" else node)


def values(node: Node) -> list[Any]:
    """The value of each slot; None where it is JSON null or absent."""
    match node.kind:
        case "null":
            found = [None] * node.n
        case "float":
            found = _floats(node)
        case "str" | "time":
            texts = node.array if node.format is None else times.render(node.array, node.format)
            found = _texts(texts)
        case "json":
            found = [None if text is None else json.loads(text) for text in node.array.to_pylist()]
        case "struct":
            found = _structs(node)
        case "list":
            found = _lists(node)
        case _:
            found = node.array.to_pylist() if node.array.null_count else node.array.to_numpy(False).tolist()
    if node.odd is not None:
        for place, text in enumerate(node.odd.to_pylist()):
            if text is not None:
                found[place] = json.loads(text)
    return found


def _pieces(envelope: Envelope) -> Iterator[bytes]:
    cursor = len(BOM) if envelope.skeleton.startswith(BOM) else 0
    for region in envelope.regions:
        yield envelope.skeleton[cursor : region.at]
        cursor = region.at
    yield envelope.skeleton[cursor:]


def _keys(node: Node) -> list[str]:
    """The keys of an object, which may be kept as numbers."""
    return list(map(str, values(node.children[0])))


def _floats(node: Node) -> list[Any]:
    found: list[Any] = node.array.to_pylist() if node.array.null_count else node.array.to_numpy().tolist()
    if node.ints is not None:
        for place in np.flatnonzero(node.ints).tolist():
            found[place] = int(found[place])
    return found


def _texts(array: pa.StringArray) -> list[Any]:
    """Texts, each distinct one made once."""
    coded = array.dictionary_encode()
    if len(coded.dictionary) * 2 > len(array) or coded.null_count:
        return list(array.to_pylist())
    distinct = np.array(coded.dictionary.to_pylist(), object)
    return list(distinct[coded.indices.to_numpy()].tolist())


def _structs(node: Node) -> list[Any]:
    columns = [values(child) for child in node.children]
    found: list[Any]
    if node.keys and isinstance(node.keys[0], int):
        found = list(map(list, zip(*columns, strict=True)))
    elif node.shape_ids is None:
        order = node.shapes[0]
        keys = [node.keys[index] for index in order]
        found = records(keys, [columns[index] for index in order])
    else:
        found = _of_shapes(node, columns)
    if node.valid is not None:
        for place in np.flatnonzero(~node.valid).tolist():
            found[place] = None
    return found


def records(keys: Sequence[str | int], columns: Sequence[list[Any]]) -> list[Any]:
    """A dict of each row."""
    if columns and len(keys) <= _DISPLAYED and len(columns[0]) >= _COMPILED:
        return list(_maker(tuple(keys))(columns))
    return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]


@lru_cache(256)
def _maker(keys: tuple[str | int, ...]) -> Callable[[Sequence[list[Any]]], list[Any]]:
    """Makes dicts of columns by a display of the keys, `{"id": v0, …}`, in half the time of `dict(zip(…))`."""
    names = [f"v{place}" for place in range(len(keys))]
    pairs = ", ".join(f"{key!r}: {name}" for key, name in zip(keys, names, strict=True))
    # Nothing of a document is run: the repr of a text is that text's literal, whatever is in it.
    made: Callable[[Sequence[list[Any]]], list[Any]] = eval(
        f"lambda columns: [{{{pairs}}} for {', '.join(names)}, in zip(*columns, strict=True)]"
    )
    return made


def _of_shapes(node: Node, columns: Sequence[list[Any]]) -> list[Any]:
    shapes = [[(node.keys[index], columns[index]) for index in order] for order in node.shapes]
    assert node.shape_ids is not None
    return [{key: column[row] for key, column in shapes[shape]} for row, shape in enumerate(node.shape_ids.tolist())]


def _lists(node: Node) -> list[Any]:
    assert node.offsets is not None and node.child is not None
    flat = values(node.child)
    found: list[Any] = [flat[start:stop] for start, stop in pairwise(node.offsets.tolist())]
    if node.valid is not None:
        for place in np.flatnonzero(~node.valid).tolist():
            found[place] = None
    return found
