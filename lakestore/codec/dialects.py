"""How a document's writer lays out numbers with an exponent, told from the values of a table and the text itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal

import numpy as np

from lakestore.codec import numbers
from lakestore.codec.nodes import Node
from lakestore.codec.numbers import DIALECTS, Dialect

_NUMBER = re.compile(r"-?\d+(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)")
_EXPONENT = re.compile(rb"[\[:, \t\r\n]-?[1-9](\.\d+)?([eE])([+-]?)(\d+)(?=[\]}, \t\r\n])")
_LOW, _HIGH = -3, 6
"""Exponents between which every writer known writes doubles without one."""
_LOWEST, _HIGHEST = -8, 22
"""Exponents beyond which every writer known writes them with one, unless it never does."""
_TOKENS = 64
_SAMPLE = 4 << 20
_TRIED = 4
"""Numbers with an exponent, and bytes, that are looked at; values of one exponent."""
_OF_NUMBERS = frozenset(bytes([byte]) for byte in b"0123456789.eE")


def candidates(source: bytes, start: int, node: Node) -> Iterator[str]:
    """Names of the dialects that may be the writer's of the table that begins at `source[start]`, the likeliest first.

    Those whose text of the first telling number stands in the document, then the one that its numbers show, if any.
    """
    tried = set()
    for name in _named(source, start, node):
        tried.add(numbers.dialect(name))
        yield name
    measured = _measured(source, start, node) if next(_loose(node), None) is not None else None
    if measured is not None and measured not in tried:
        yield measured.name
    if not tried:
        yield "python"


def _named(source: bytes, start: int, node: Node) -> list[str]:
    first = _telling(node)
    if first is None:
        first = next(_loose(node), None)
        text = numbers.layout(first, DIALECTS["python"]) if first is not None else None
        return ["python"] if text is None or _stands(source, start, text) else []
    texts = {name: numbers.layout(first, dialect).encode() for name, dialect in DIALECTS.items()}
    seen = {text for text in set(texts.values()) if source.find(text, start) >= 0}
    return [name for name, text in texts.items() if text in seen]


def _telling(node: Node) -> float | None:
    """The first finite double that dialects write differently; from texts of other kinds one of theirs is taken."""
    if node.kind == "float":
        values = numbers.doubles(node.array)
        rare = np.flatnonzero(numbers.special(values) & np.isfinite(values))
        if len(rare):
            return float(values[rare[0]])
    if node.odd is not None or node.kind == "json":
        texts = node.odd if node.odd is not None else node.array
        for text in texts.drop_null().to_pylist():
            for token in _NUMBER.findall(text):
                value = float(token)
                if numbers.special(np.array([value]))[0] and math.isfinite(value):
                    return value
    return next((value for value in map(_telling, node.inside) if value is not None), None)


def _loose(node: Node) -> Iterator[float]:
    """Of each column the first double that some writer gives an exponent."""
    for values in _doubles(node):
        rare = np.flatnonzero(numbers.special(values, _LOW, _HIGH))
        if len(rare):
            yield float(values[rare[0]])


def _doubles(node: Node) -> Iterator[numbers.Floats]:
    """The finite doubles of each column that are not written as integers."""
    if node.kind == "float":
        values = numbers.doubles(node.array)
        if node.ints is not None:
            values = values[~node.ints]
        yield values[np.isfinite(values)]
    for below in node.inside:
        yield from _doubles(below)


def _stands(source: bytes, start: int, text: str) -> bool:
    """Whether a number stands in the document with this text."""
    token = text.encode()
    at = source.find(token, start)
    while at >= 0:
        # A pattern that looks behind would be searched for at a twentieth of the speed.
        if source[at - 1 : at] not in _OF_NUMBERS and source[at + len(token) : at + len(token) + 1] not in _OF_NUMBERS:
            return True
        at = source.find(token, at + 1)
    return False


def _measured(source: bytes, start: int, node: Node) -> Dialect | None:
    """The dialect that the first numbers with an exponent show; None: there are none."""
    mark, plus, pad, point, seen = "", False, 9, None, 0
    for match in _EXPONENT.finditer(source, start, start + _SAMPLE):
        fraction, letter, sign, digits = match.groups()
        mark = letter.decode()
        plus = plus or sign == b"+"
        pad = min(pad, len(digits))
        if fraction is None or fraction == b".0":
            point = fraction is not None
        seen += 1
        if seen == _TOKENS:
            break
    if not seen:
        return None
    form = Dialect(0, 0, plus, pad, bool(point), mark)
    return _bounded(source, start, node, form)


def _bounded(source: bytes, start: int, node: Node, form: Dialect) -> Dialect:
    """The dialect with the exponents between which it writes none."""
    values = np.abs(np.concatenate([np.zeros(0), *_doubles(node)]))
    values = values[values > 0]
    exponents = np.floor(np.log10(values))
    low, high = _LOWEST, _HIGHEST
    for exponent in range(-1, _LOWEST, -1):
        one = _written(values, exponents, exponent)
        if one is not None and _stands(source, start, numbers.layout(one, form)):
            low = exponent + 1
            break
    for exponent in range(0, _HIGHEST):
        one = _written(values, exponents, exponent)
        if one is not None and _stands(source, start, numbers.layout(one, form)):
            high = exponent
            break
    return Dialect(low, high, form.plus, form.pad, form.point, form.mark)


def _written(values: numbers.Floats, exponents: numbers.Floats, exponent: int) -> float | None:
    """A value of this exponent; a logarithm is not exact."""
    places = np.flatnonzero(exponents == exponent)[:_TRIED]
    return next((one for one in values[places].tolist() if Decimal(repr(one)).adjusted() == exponent), None)
