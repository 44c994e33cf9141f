"""Nodes that are called the same are rendered alike; those that differ in anything that is seen are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lakestore.codec import render
from lakestore.codec.columnise import columnise
from lakestore.codec.nodes import Node, same
from lakestore.codec.strings import Escapes
from lakestore.codec.style import COMPACT


def column(values: list[Any], kind: str = "float", **more: Any) -> Node:
    types = {"float": pa.float64(), "int": pa.int64(), "str": pa.string()}
    return Node(kind, len(values), pa.array(values, types[kind]), **more)  # type: ignore[arg-type]


def records(*children: Node) -> Node:
    keys = tuple(f"k{place}" for place in range(len(children)))
    return Node("struct", children[0].n, keys=keys, children=children, shapes=(tuple(range(len(keys))),))


def text(node: Node) -> bytes:
    return b"".join(render.table(node, COMPACT, "objects"))


BASE = [1.5, None, -0.0]
OTHERS = {
    "a value": column([1.5, None, 1.0]),
    "a null": column([1.5, 2.0, -0.0]),
    "a sign of zero": column([1.5, None, 0.0]),
    "integers": column(BASE, ints=np.array([False, False, True])),
    "odd values": column(BASE, odd=pa.array([None, '"x"', None])),
    "digits": column(BASE, digits=("fixed", 2)),
    "zeros": column(BASE, zeros=np.array([1, 0, 0], np.uint8)),
    "a text of its own": column(BASE, overrides={0: "1.50"}),
    "kind": column(["1.5", None, "-0.0"], "str"),
    "length": column([*BASE, 1.0]),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_difference_is_seen(what: str) -> None:
    one, other = records(column(BASE)), records(OTHERS[what])
    assert not same(one, other)
    assert text(one) != text(other)


def test_equal_nodes_are_the_same_and_give_the_same_text() -> None:
    one, other = records(column(BASE), column([1, 2, 3], "int")), records(column(BASE), column([1, 2, 3], "int"))
    assert same(one, other)
    assert text(one) == text(other)
    assert not same(one, replace(other, keys=("k0", "other")))
    assert not same(one, replace(other, shapes=((1, 0),)))


def test_a_nan_is_the_same_as_itself() -> None:
    assert same(column([float("nan"), None]), column([float("nan"), None]))
    assert not same(column([float("nan")]), column([None]))


def test_lists_are_compared_by_their_elements() -> None:
    def made(last: float, offsets: list[int]) -> Node:
        return Node("list", 2, offsets=np.array(offsets, np.int32), child=column([1.0, last]))

    assert same(made(2.0, [0, 1, 2]), made(2.0, [0, 1, 2]))
    assert not same(made(2.0, [0, 1, 2]), made(3.0, [0, 1, 2]))
    assert not same(made(2.0, [0, 1, 2]), made(2.0, [0, 2, 2]))


def test_times_give_the_texts_that_they_were_read_from_without_them_too() -> None:
    """A save renders them from the texts, which were compared when they were read; a load from the values."""
    forms = ["2024-02-29T23:5{}:00", "2024-02-2{}", "2024-01-01 00:00:0{}.5+02:00", "2024-01-0{}T00:00:00.000Z"]
    node = columnise([{f"k{place}": form.format(row) for place, form in enumerate(forms, 1)} for row in range(1, 9)])
    without = replace(node, children=tuple(replace(child, texts=None) for child in node.children))
    assert all(child.kind == "time" and child.texts is not None for child in node.children)
    for style in (COMPACT, replace(COMPACT, escapes=Escapes(other=(("+", "\\u002B"),)))):
        for start, stop in ((0, 8), (2, 7), (3, 3)):
            parts = node.slice(start, stop), without.slice(start, stop)
            one, other = (b"".join(render.table(part, style, "objects")) for part in parts)
            assert one == other
    assert same(node, without)
