"""How single numbers are written, where the writer's dialect does not say it: fixed decimals, kept zeros, exceptions.

Only for record tables whose style alone did not give the text. The number texts are taken from the document once, by
column, and the cheapest rule that gives them is kept with the column: one word for fixed decimals or significant
digits, a byte a value for trailing zeros, else the texts that differ by their places. What no rule gives is left to the
patch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakestore.codec import render
from lakestore.codec.fit import Meta
from lakestore.codec.nodes import Key, Node
from lakestore.codec.style import Style
from lakestore.codec.text import collector_off

MAX_OVERRIDES = 0.05
"""Share of a column's values that may be exceptions; more are cheaper as a patch."""

_SAMPLE = 512
"""Values on which a rule is tried first."""


class _Text(str):
    """The text of a number as it stands in the document."""

    __slots__ = ()


def refine(source: bytes, node: Node, meta: Meta, style: Style, form: str, blobs: list[bytes]) -> int | None:
    """Find rules for the number columns of a record table; they are put into node, meta and blobs.

    Args:
        source: the table's text in the document.

    Returns:
        The bytes that exceptions take before compression (a rule that is one word takes none); None: no rule was found.
    """
    with collector_off():
        value = json.loads(source, parse_float=_Text, parse_int=_Text)
        before = len(blobs)
        if not _members(node, meta, _columns(value, node, form), style, blobs):
            return None
    return sum(map(len, blobs[before:])) + _overridden(meta)


def _overridden(meta: Meta) -> int:
    """Bytes of the exceptions in a column and those below it."""
    below = [*meta.get("c", ()), *([meta["e"]] if "e" in meta else ())]
    return (len(json.dumps(meta["o"])) if "o" in meta else 0) + sum(map(_overridden, below))


def _columns(value: Any, node: Node, form: str) -> Sequence[Sequence[Any]]:
    """The values of a table by column, in the order of the node's keys."""
    if form == "columns":
        return [value[key] for key in node.keys]
    if form == "scalars":
        return [value]
    if form == "pairs":
        return [list(value), list(value.values())]
    if form == "keyed_columns":
        return [list(next(iter(value.values()))), *(list(column.values()) for column in value.values())]
    if form == "keyed":
        return [list(value), *_by_key(list(value.values()), node.keys[1:])]
    return _by_key(value, node.keys)


def _by_key(values: Sequence[Any], keys: Sequence[Key]) -> Sequence[Sequence[Any]]:
    """Members of objects or arrays by column, None where there is none."""
    if keys and isinstance(keys[0], int):
        return [[value[at] if isinstance(value, list) else None for value in values] for at in range(len(keys))]
    return [[value.get(key) if isinstance(value, dict) else None for value in values] for key in keys]


def _members(node: Node, meta: Meta, columns: Sequence[Sequence[Any]], style: Style, blobs: list[bytes]) -> bool:
    found = [
        _node(child, member, values, style, blobs)
        for child, member, values in zip(node.children, meta["c"], columns, strict=True)
    ]
    return any(found)


def _node(node: Node, meta: Meta, values: Sequence[Any], style: Style, blobs: list[bytes]) -> bool:
    if node.kind == "struct":
        return _members(node, meta, _by_key(values, node.keys), style, blobs)
    if node.kind == "list":
        assert node.child is not None
        flat = list(chain.from_iterable(value for value in values if isinstance(value, list)))
        return len(flat) == node.child.n and _node(node.child, meta["e"], flat, style, blobs)
    if node.kind not in ("float", "int"):
        return False
    texts = pa.array([str(value) if type(value) is _Text else None for value in values], pa.string())
    return _numbers(node, meta, texts, style, blobs)


def _numbers(node: Node, meta: Meta, texts: pa.Array, style: Style, blobs: list[bytes]) -> bool:
    wrong = _wrong(node, texts, style)
    if not len(wrong):
        return False
    if node.kind == "float":
        first, known = node.slice(0, min(node.n, _SAMPLE)), texts.slice(0, _SAMPLE)
        likely = len(_wrong(first, known, style))
        best: tuple[str, int] | None = None
        for rule in _rules(texts):
            first.digits = node.digits = rule
            if likely and len(_wrong(first, known, style)) * 2 > likely:
                continue
            left = _wrong(node, texts, style)
            # Of two rules that serve, the one with fewer exceptions.
            if len(left) * (4 if best is None else 1) < len(wrong):
                best, wrong = rule, left
            if not left:
                break
        node.digits = best
        if best is not None:
            meta["d"] = list(best)
        else:
            zeros = _zeros(node, texts, style)
            if zeros is not None:
                node.zeros = zeros
                left = _wrong(node, texts, style)
                if len(left) * 4 < len(wrong):
                    meta["q"] = len(blobs)
                    blobs.append(zeros.tobytes())
                    wrong = left
                else:
                    node.zeros = None
    if len(wrong) <= max(4, MAX_OVERRIDES * node.n):
        known = texts.take(pa.array(wrong, pa.int64())).to_pylist()
        node.overrides = dict(zip(wrong, known, strict=True))
        if node.overrides:
            meta["o"] = [[at, text] for at, text in node.overrides.items()]
    return "d" in meta or "q" in meta or "o" in meta


def _wrong(node: Node, texts: pa.Array, style: Style) -> list[int]:
    """Places whose text is not the one in the document."""
    differs = pc.fill_null(pc.not_equal(_ruled(node, style), texts), False)
    places: list[int] = pc.indices_nonzero(differs).to_pylist()
    return places


def _ruled(node: Node, style: Style) -> pa.StringArray:
    """The texts that the column's rule gives, without exceptions and values of other kinds."""
    plain = node.slice(0, node.n)
    plain.odd, plain.overrides = None, {}
    return render.texts(plain, style)


def _rules(texts: pa.Array) -> list[tuple[str, int]]:
    """Rules worth trying: the decimals that each text has, or the longest with zeros taken off; significant digits."""
    known = texts.drop_null()
    # Also writers of fixed decimals put the smallest with an exponent: those are no measure, but exceptions.
    plain = pc.filter(known, pc.invert(pc.match_substring_regex(known, "[eE]")))
    points = pc.find_substring(plain, ".")
    decimals = pc.filter(pc.subtract(pc.subtract(pc.utf8_length(plain), points), 1), pc.greater_equal(points, 0))
    if not len(decimals):
        return []
    least, most = pc.min_max(decimals).as_py().values()
    digits = pc.max(pc.utf8_length(pc.replace_substring_regex(known, r"^-?0*\.?0*|[eE].*$|\.", ""))).as_py()
    rules = [("fixed", most)] if least == most else []
    pandas = [("pandas", most)] if 0 < most <= 15 else []
    return [*rules, ("strip", most), *pandas, ("general", min(digits, 17))]


def _zeros(node: Node, texts: pa.Array, style: Style) -> Any:
    """How many zeros each text has more than the renderer writes; None: it is not that alone."""
    longer = pc.subtract(pc.utf8_length(texts), pc.utf8_length(_ruled(node, style)))
    more = pc.fill_null(longer, 0).to_numpy(zero_copy_only=False)
    if more.min(initial=0) < 0 or more.max(initial=0) > 100:
        return None
    return more.astype(np.uint8)
