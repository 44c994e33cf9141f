"""Envelope + data files → document: its text, its value, its record tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa

from lakestore.codec import fit, render, text
from lakestore.codec.envelope import Envelope, StoredRegion, decompress, patched
from lakestore.codec.nodes import Node
from lakestore.errors import CorruptFileError

Fetch = Callable[[StoredRegion], Mapping[int, pa.Array]]
"""Gives the columns of a record table by field id, as many rows as the region has."""


def node_of(envelope: Envelope, region: StoredRegion, fetch: Fetch, where: str) -> Node:
    """A record table as a node.

    Raises:
        CorruptFileError: its columns do not belong to the envelope.
    """
    try:
        return fit.read(region.meta, fetch(region), region.rows, envelope.blobs)
    except (KeyError, ValueError, IndexError, AttributeError, TypeError) as exc:
        raise CorruptFileError(
            f"the rows of {where} in table {region.table!r} do not fit its envelope: {exc!r}"
        ) from exc


def pieces(envelope: Envelope, fetch: Fetch, where: str) -> Iterator[bytes | memoryview]:
    """The document's text, in pieces.

    Raises:
        CorruptFileError: envelope and rows do not belong together.
    """
    cursor = 0
    for region in envelope.regions:
        yield envelope.skeleton[cursor : region.at]
        cursor = region.at
        if region.original is not None:
            yield decompress(envelope.blobs[region.original])
            continue
        rows = render.table(node_of(envelope, region, fetch, where), region.style, region.form)
        if region.patch is None:
            yield from rows
        else:
            yield patched(envelope.blobs[region.patch], b"".join(rows))
    yield envelope.skeleton[cursor:]


def value_of(source: bytes, envelope: Envelope, where: str) -> Any:
    """The document's Python value, as `json.loads` of its text gives it."""
    if envelope.python:
        return text.parse(source, where, exact=True)[0]
    with text.collector_off():
        return orjson.loads(source[len(text.BOM) :] if source.startswith(text.BOM) else source)


def table_of(node: Node, meta: fit.Meta | None = None) -> pa.Table:
    """A record table in natural types, its columns named by the document's keys, places by what its `meta` says."""
    given = {member["k"]: member["w"] for member in (meta or {}).get("c", ()) if "w" in member}
    names: list[str] = []
    arrays: list[pa.Array] = []
    for key, child in zip(node.keys, node.children, strict=True):
        name = given.get(key) or fit.name_of(key)
        names.append(name)
        arrays.append(array_of(child))
        if child.odd is not None:
            names.append(f"{name}__json")
            arrays.append(child.odd)
    return pa.Table.from_arrays(arrays, names=names)


def array_of(node: Node) -> pa.Array:
    """A node's values as an Arrow array; values of another kind are null (they stand in `odd`)."""
    if node.kind == "null":
        return pa.nulls(node.n)
    if node.kind == "struct":
        mask = None if node.valid is None else pa.array(~node.valid)
        fields = [
            (name, array)
            for key, child in zip(node.keys, node.children, strict=True)
            for name, array in _members(fit.name_of(key), child)
        ]
        return pa.StructArray.from_arrays([array for _, array in fields], names=[name for name, _ in fields], mask=mask)
    if node.kind == "list":
        assert node.offsets is not None and node.child is not None
        mask = None if node.valid is None else pa.array(~node.valid)
        return pa.ListArray.from_arrays(pa.array(node.offsets), array_of(node.child), mask=mask)
    return node.array


def _members(name: str, node: Node) -> Iterator[tuple[str, pa.Array]]:
    yield name, array_of(node)
    if node.odd is not None:
        yield f"{name}__json", node.odd
