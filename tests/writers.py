"""JSON as many programs write it: an own writer for tests, sharing nothing with the library's renderer.

What it writes is always valid for Python's json, but not always the same value: JavaScript writes 248.0 as 248, and
all but Python write NaN as null. Tests of exactness compare bytes, so that does not matter to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle
from typing import Any


@dataclass(frozen=True, slots=True)
class Raw:
    """A number or other token written as it stands: `1E5`, `0.10`, `-0`."""

    token: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """An object given by its members, so that a key may stand twice."""

    members: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Style:
    """How a program writes JSON.

    `indent` is the text of one step, None for one line. `item` follows an item on one line, `key` a key. From depth
    `inline_from` on, values stand on one line although the rest is indented (LEAN does so). `floats` names a dialect.
    `html` are characters that are escaped though JSON does not ask for it (Go, Gson, .NET). `empty` stands in an empty
    array or object where values are spread over lines; two line ends bring the indent of what closes it (pandas and
    Ruby; Jackson has a space).
    """

    indent: str | None = None
    item: str = ", "
    key: str = ": "
    ascii: bool = True
    upper: bool = False
    slash: bool = False
    short: bool = True
    html: str = ""
    empty: str = ""
    floats: str = "python"
    newline: str = "\n"
    final: str = ""
    bom: bool = False
    inline_from: int | None = None


def write(value: Any, style: Style, *, gaps: Sequence[str] = ("",)) -> bytes:
    """The document as UTF-8; `gaps` are put in turn where JSON allows white space, beside what the style puts."""
    text = "".join(_value(value, style, cycle(gaps or ("",)), 0))
    return (b"\xef\xbb\xbf" if style.bom else b"") + (text + style.final).encode("utf-8")


def _value(value: Any, style: Style, gaps: Iterator[str], depth: int) -> Iterator[str]:
    yield next(gaps)
    match value:
        case Raw():
            yield value.token
        case Pairs():
            yield from _object(value.members, style, gaps, depth)
        case dict():
            yield from _object(value.items(), style, gaps, depth)
        case list() | tuple():
            parts = [_value(item, style, gaps, depth + 1) for item in value]
            yield from _inside("[", "]", parts, style, gaps, depth)
        case str():
            yield string(value, style)
        case bool() | None:
            yield {True: "true", False: "false", None: "null"}[value]
        case int():
            yield str(value)
        case float():
            yield FLOATS[style.floats](value)
        case _:
            raise TypeError(f"no JSON for {type(value).__name__}")
    yield next(gaps)


def _object(members: Iterable[tuple[str, Any]], style: Style, gaps: Iterator[str], depth: int) -> Iterator[str]:
    parts = [_member(key, item, style, gaps, depth) for key, item in members]
    yield from _inside("{", "}", parts, style, gaps, depth)


def _member(key: str, item: Any, style: Style, gaps: Iterator[str], depth: int) -> Iterator[str]:
    yield string(key, style)
    yield next(gaps)
    yield style.key
    yield from _value(item, style, gaps, depth + 1)


def _inside(
    begin: str, end: str, parts: Sequence[Iterator[str]], style: Style, gaps: Iterator[str], depth: int
) -> Iterator[str]:
    spread = style.indent is not None and (style.inline_from is None or depth < style.inline_from)
    step = style.newline + (style.indent or "") * (depth + 1) if spread else ""
    yield begin
    if not parts:
        yield next(gaps)
        if spread:
            yield style.empty + (style.indent or "") * depth * ("\n" in style.empty)
    for i, part in enumerate(parts):
        if i:
            yield "," if spread else style.item
        yield step
        yield from part
    if parts and spread:
        yield style.newline + (style.indent or "") * depth
    yield end


_SHORT = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def string(text: str, style: Style) -> str:
    """A text in quotes; what UTF-8 cannot hold (a lone surrogate) is escaped in every style."""
    out = ['"']
    for char in text:
        code = ord(char)
        if char in style.html:
            out.append(_escape(code, style))
        elif char in '"\\':
            out.append("\\" + char)
        elif char == "/" and style.slash:
            out.append("\\/")
        elif code < 0x20:
            out.append(_SHORT[char] if style.short and char in _SHORT else _escape(code, style))
        elif code > 0xFFFF and style.ascii:
            code -= 0x10000
            out.append(_escape(0xD800 + (code >> 10), style) + _escape(0xDC00 + (code & 0x3FF), style))
        elif 0xD800 <= code < 0xE000 or (code > 0x7E and style.ascii):
            out.append(_escape(code, style))
        else:
            out.append(char)
    out.append('"')
    return "".join(out)


def _escape(code: int, style: Style) -> str:
    return f"\\u{code:04X}" if style.upper else f"\\u{code:04x}"


# Floats. All but `python` and the rounding ones take the shortest digits and place the point by their own rules.


def _python(x: float) -> str:
    if math.isfinite(x):
        return repr(x)
    return "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"


def _shortest(x: float) -> tuple[str, str, int]:
    """Sign, shortest digits without trailing zeros, and the exponent of the first digit."""
    sign, digits, exponent = Decimal(repr(x)).as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    place = int(exponent) + len(text) - 1
    return "-" if sign else "", text.rstrip("0"), place


def _dialect(
    low: int,
    high: int,
    *,
    point: bool = True,
    mark: str = "e",
    plus: str = "+",
    pad: int = 1,
    zero: str = "-0.0",
    one: bool = False,
) -> Callable[[float], str]:
    """Plain decimals where the first digit's exponent lies in `low`..`high`, else d.ddd, `mark`, exponent.

    `one`: a mantissa has a decimal at least.
    """

    def text(x: float) -> str:
        if not math.isfinite(x):
            return "null"
        if x == 0:
            return zero if math.copysign(1, x) < 0 else "0.0" if point else "0"
        sign, digits, place = _shortest(x)
        if low <= place <= high:
            if place < 0:
                return sign + "0." + "0" * (-place - 1) + digits
            whole, rest = digits[: place + 1].ljust(place + 1, "0"), digits[place + 1 :]
            return sign + whole + ("." + rest if rest else ".0" if point else "")
        rest = "." + digits[1:] if len(digits) > 1 else ".0" if one else ""
        return sign + digits[0] + rest + mark + ("-" if place < 0 else plus) + str(abs(place)).rjust(pad, "0")

    return text


def _fixed(places: int, *, strip: bool = False) -> Callable[[float], str]:
    """Always so many decimals (Newtonsoft's decimals, numpy's savetxt), or those without trailing zeros (pandas)."""

    def text(x: float) -> str:
        if not math.isfinite(x):
            return "null"
        if abs(x) >= 1e16 or 0 < abs(x) < 10.0**-places:
            return repr(x)
        plain = f"{x:.{places}f}"
        if strip:
            plain = plain.rstrip("0")
            plain += "0" if plain.endswith(".") else ""
        return plain

    return text


def _ujson(places: int) -> Callable[[float], str]:
    """Decimals as pandas' own writer makes them: the fraction is scaled as a double, and half goes to even."""

    def text(x: float) -> str:
        if not math.isfinite(x):
            return "null"
        if abs(x) > 1e16 or 0 < abs(x) < 1e-15:
            return f"{x:.{places}g}"
        whole = int(abs(x))
        scaled = (abs(x) - whole) * 10.0**places
        fraction = int(scaled)
        rest = scaled - fraction
        fraction += rest > 0.5 or (rest == 0.5 and (fraction == 0 or fraction % 2 == 1))
        if fraction >= 10**places:
            whole, fraction = whole + 1, 0
        return ("-" if math.copysign(1, x) < 0 else "") + f"{whole}." + (f"{fraction:0{places}}".rstrip("0") or "0")

    return text


def _significant(places: int) -> Callable[[float], str]:
    """So many significant digits (pandas 3, Excel)."""

    def text(x: float) -> str:
        if not math.isfinite(x):
            return "null"
        plain = f"{x + 0.0:.{places}g}"
        return plain if "e" in plain or "." in plain else plain + ".0"

    return text


def _seventeen(shortest: Callable[[float], str]) -> Callable[[float], str]:
    """Of 17 digits another last one that reads back as the same double, where there is one (RapidJSON's Grisu2)."""

    def text(x: float) -> str:
        written = shortest(x)
        digits, mark, exponent = written.partition("e")
        for last in "789":
            other = digits[:-1] + last + mark + exponent
            if len(digits.lstrip("-0.")) > 16 and other != written and float(other) == x:
                return other
        return written

    return text


FLOATS: dict[str, Callable[[float], str]] = {
    "python": _python,
    "orjson": _dialect(-5, 15),
    "msgspec": _dialect(-5, 15, plus=""),
    "rapidjson": _dialect(-6, 20, plus=""),
    "javascript": _dialect(-6, 20, point=False, zero="0"),
    "dotnet": _dialect(-4, 14, mark="E", pad=2),
    "system_text_json": _dialect(-4, 14, mark="E", pad=2, point=False, zero="-0"),
    "java": _dialect(-3, 6, mark="E", plus="", one=True),
    "julia": _dialect(-4, 5, plus="", one=True),
    "php": _dialect(-4, 14, one=True),
    "ruby": _dialect(-4, 15, pad=2, one=True),
    "rapidjson_cpp": _seventeen(_dialect(-6, 20, plus="")),
    "fixed2": _fixed(2),
    "fixed8": _fixed(8),
    "pandas_fixed15": _fixed(15, strip=True),
    "pandas_ujson15": _ujson(15),
    "pandas_ujson10": _ujson(10),
    "pandas10": _significant(10),
    "pandas15": _significant(15),
}
"""How programs write floats; every one gives a valid JSON number or null."""
