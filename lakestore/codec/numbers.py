"""Numbers as text and as scaled integers, by column.

A double's text is its shortest decimal digits that read back as the same double, laid out as the document's writer
does. The digits are a property of the number, not of a library; the layout is lakestore's own (`Dialect`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MAX_SCALE = 12
"""Decimals tried for scaled integers; a double has 15 that survive."""
EXACT = 2**53
"""Integers up to here are exact as doubles."""
_SHOWN = 8
"""Values whose texts show the least decimals of a column."""
_PLAIN_LOW, _PLAIN_HIGH = -5, 15
"""Exponents down and up to which orjson writes doubles without one, at least."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a writer lays out a double: positional while `low` <= exponent of its first digit < `high`.

    `plus`: `1e+16`, else `1e16`; `pad`: digits of the exponent at least; `point`: `1.0e+16`, else `1e+16`; `mark`: the
    letter.
    """

    low: int
    high: int
    plus: bool
    pad: int
    point: bool = False
    mark: str = "e"

    @property
    def name(self) -> str:
        """A name that says all of it, for one that has no other; `dialect` reads it."""
        return f"{self.low},{self.high},{self.plus:d},{self.pad},{self.point:d},{self.mark}"


DIALECTS: dict[str, Dialect] = {
    "python": Dialect(-4, 16, True, 2),
    "orjson": Dialect(-5, 16, True, 1),
    "msgspec": Dialect(-5, 16, False, 1),
    "rapidjson": Dialect(-6, 21, False, 1),
    "javascript": Dialect(-6, 21, True, 1),
    "newtonsoft": Dialect(-5, 15, True, 2),
    "fixed": Dialect(-400, 400, False, 1),
}
"""Writers by name: CPython's repr, orjson, msgspec, RapidJSON, ECMAScript's Number::toString, .NET's "R"; `fixed` has
no exponents."""


@cache
def dialect(name: str) -> Dialect:
    """The dialect of a name, one in `DIALECTS` or one that says what it is.

    Raises:
        ValueError: it is neither.
    """
    if name in DIALECTS:
        return DIALECTS[name]
    low, high, plus, pad, point, mark = name.split(",")
    if mark not in ("e", "E"):
        raise ValueError(f"{name!r} is no dialect of numbers")
    return Dialect(int(low), int(high), plus == "1", int(pad), point == "1", mark)


def layout(value: float, dialect: Dialect) -> str:
    """The text of one double in a dialect; NaN and the infinities as Python's `json` writes them."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    sign = "-" if value < 0 or (value == 0 and str(value)[0] == "-") else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return sign + "0.0"
    # The exponent of the first digit, in scientific notation.
    first = int(exponent or 0) + (len(whole) - 1 if whole != "0" else -1 - (len(fraction) - len(fraction.lstrip("0"))))
    digits = digits.rstrip("0") or "0"
    if dialect.low <= first < dialect.high:
        if first < 0:
            return f"{sign}0.{'0' * (-first - 1)}{digits}"
        if len(digits) <= first + 1:
            return f"{sign}{digits}{'0' * (first + 1 - len(digits))}.0"
        return f"{sign}{digits[: first + 1]}.{digits[first + 1 :]}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ".0" if dialect.point else ""
    mark = "-" if first < 0 else "+" if dialect.plus else ""
    return f"{sign}{digits[0]}{tail}{dialect.mark}{mark}{abs(first):0{dialect.pad}d}"


def special(values: Floats, low: int = -4, high: int = 15) -> npt.NDArray[np.bool_]:
    """Which values dialects write differently: from 10**high on, below 10**low (but zero), not finite."""
    size = np.abs(values)
    rare: npt.NDArray[np.bool_] = ~((size < 10.0**high) & ((size >= 10.0**low) | (size == 0)))
    return rare


def has_special(values: Floats, low: int = -4, high: int = 15) -> bool:
    """Whether dialects write one of the values differently; see `special`."""
    if not len(values):
        return False
    size = np.abs(values)
    # Mostly none is even zero. NaN is neither greater nor less.
    usual = size.min() >= 10.0**low and size.max() < 10.0**high
    return not usual and bool(special(values, low, high).any())


def texts(values: Floats, dialect: Dialect) -> pa.StringArray:
    """The text of each double in a dialect; shape (n,) → n texts, none null."""
    rare = _rare(values, dialect)
    if not rare.any():
        return _plain(values)
    places = np.flatnonzero(rare)
    distinct, inverse = np.unique(values[places].view(np.int64), return_inverse=True)
    several = distinct.view(np.float64).tolist()
    if dialect is DIALECTS["python"] and all(map(math.isfinite, several)):
        written = pa.array(list(map(repr, several)), pa.string())
    else:
        written = pa.array([layout(value, dialect) for value in several], pa.string())
    if len(places) == len(values):
        return written.take(pa.array(inverse))
    plain = _plain(np.where(rare, 0.0, values))
    return pc.replace_with_mask(plain, pa.array(rare), written.take(pa.array(inverse)))


def with_commas(values: Floats, dialect: Dialect) -> pa.StringArray | None:
    """As `texts`, each followed by a comma; None where dialects write a value differently."""
    if has_special(values, *_usual(dialect)):
        return None
    written = _in_a_row(values)
    if written is None:
        return None
    text, ends = written
    offsets = np.zeros(len(values) + 1, np.int32)
    offsets[1:] = ends
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(text))


def _rare(values: Floats, dialect: Dialect) -> npt.NDArray[np.bool_]:
    """Which values this dialect writes in another way than orjson."""
    return special(values, *_usual(dialect))


def _usual(dialect: Dialect) -> tuple[int, int]:
    """The exponents between which this dialect writes as orjson does."""
    return max(dialect.low, _PLAIN_LOW), min(dialect.high, _PLAIN_HIGH)


def _plain(values: Floats) -> pa.StringArray:
    """Texts of doubles that are positional in every dialect at hand: shortest digits, `.0` when integral."""
    written = _in_a_row(values)
    if written is None:
        return pa.array([layout(value, DIALECTS["fixed"]) for value in values.tolist()], pa.string())
    text, ends = written
    offsets = np.zeros(len(values) + 1, np.int32)
    offsets[1:] = ends - np.arange(1, len(values) + 1)
    made = text.replace(b",", b"")
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(made))


def _in_a_row(values: Floats) -> tuple[bytes, npt.NDArray[np.intp]] | None:
    """The texts of doubles, each followed by a comma, as one text for the whole column, and where each ends.

    None: another release of orjson draws the line to exponents elsewhere, and the layout is ours.
    """
    if not len(values):
        return b"", np.zeros(0, np.intp)
    text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1] + b","
    return None if b"e" in text else (text, np.flatnonzero(np.frombuffer(text, np.uint8) == ord(",")) + 1)


def rounded(values: Floats, rule: str, count: int) -> pa.StringArray:
    """The text of each double as C's printf writes it, correctly rounded from its exact value.

    Args:
        rule: `fixed` (`%.{count}f`), `strip` (the same without its last zeros, but one decimal), `general`
            (`%.{count}g`), `pandas` (as `strip`, but as the writer of pandas rounds).
        count: decimals, or significant digits.
    """
    if rule == "pandas":
        return _as_pandas(values, count)
    form = f"%.{count}g," if rule == "general" else f"%.{count}f,"
    # One text for the whole column, as `_plain`.
    body = np.frombuffer((form * len(values) % tuple(values.tolist())).encode(), np.uint8)
    commas = body == ord(",")
    offsets = np.zeros(len(values) + 1, np.int32)
    offsets[1:] = np.flatnonzero(commas) - np.arange(len(values))
    written = pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(body[~commas]))
    if rule != "strip":
        return written
    cut = pc.utf8_rtrim(written, "0")
    return pc.if_else(pc.ends_with(cut, "."), pc.binary_join_element_wise(cut, "0", ""), cut)


def _as_pandas(values: Floats, count: int) -> pa.StringArray:
    """The texts of `to_json(double_precision=count)`: its ujson scales the fraction as a double, and rounds that."""
    size = np.where(np.abs(values) < 2.0**63, np.abs(values), 0.0)
    whole = np.floor(size)
    scaled = (size - whole) * 10.0**count
    fraction = np.floor(scaled).astype(np.int64)
    rest = scaled - fraction
    fraction += (rest > 0.5) | ((rest == 0.5) & ((fraction == 0) | (fraction % 2 == 1)))
    over = fraction >= 10**count
    sign = np.where(np.signbit(values), "-", "")
    decimals = pc.utf8_rtrim(pc.utf8_lpad(integers(np.where(over, 0, fraction)), count, "0"), "0")
    decimals = pc.if_else(pc.equal(decimals, ""), "0", decimals)
    return pc.binary_join_element_wise(
        pa.array(sign, pa.string()), integers(whole.astype(np.int64) + over), ".", decimals, ""
    )


def integers(values: Ints) -> pa.StringArray:
    """The text of each integer."""
    return pc.cast(pa.array(values), pa.string())


def doubles(array: pa.DoubleArray) -> Floats:
    """The values of a column, 0.0 where it has none; shape (n,)."""
    values: Floats = (array.fill_null(0.0) if array.null_count else array).to_numpy(zero_copy_only=False)
    return values


def nulls(array: pa.Array) -> npt.NDArray[np.bool_] | None:
    """Where a column has no value; None where it has all. Shape (n,)."""
    missing: npt.NDArray[np.bool_] | None = None
    if array.null_count:
        missing = array.is_null().to_numpy(zero_copy_only=False)
    return missing


def decimals(values: Floats) -> tuple[int, Ints] | None:
    """Decimals with which every value is an exact scaled integer below 2**53, and these; None where there are none.

    −0.0 counts as 0; `int / 10**k` gives the same double back: proved of every value.
    """
    sample = values if len(values) <= 512 else values[:: len(values) // 256]
    # No scale gives back a text of more decimals than it has.
    least = max(map(_decimals, sample[:_SHOWN].tolist()), default=0)
    for scale in range(least, MAX_SCALE + 1):
        whole = scaled(sample, scale)
        if whole is not None and len(sample) < len(values):
            whole = scaled(values, scale)
        if whole is not None:
            return scale, whole
    return None


def _decimals(value: float) -> int:
    """The decimals of a double's shortest text."""
    text = repr(value)
    if "e" in text:
        return max(0, -int(Decimal(text).as_tuple().exponent))
    return 0 if text.endswith(".0") else len(text) - text.find(".") - 1


def scaled(values: Floats, scale: int) -> Ints | None:
    """The values as integers of that scale; None when one of them is not exact."""
    power = 10.0**scale
    with np.errstate(invalid="ignore", over="ignore"):
        rounded = np.rint(values * power)
        fits = bool((np.abs(rounded) < EXACT).all() and (rounded / power == values).all())
    return rounded.astype(np.int64) if fits else None


def negative_zeros(values: Floats) -> Sequence[int]:
    """Places of −0.0."""
    places: list[int] = np.flatnonzero((values == 0) & np.signbit(values)).tolist()
    return places
