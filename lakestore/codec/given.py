"""Python values that an engine gives → the document that they are: compact UTF-8 JSON.

Floats are written as Python's repr, NaN as Python's `json` does. Tuples become arrays; numpy scalars their Python
numbers; dates and times ISO text; Decimal a number of the same value; UUID text; Enum its value.

orjson writes the text, ten times as fast as Python's `json`. Records are looked through by column: what is of other
types than JSON's own is converted there, and floats that orjson writes in another way, or as null, are handed to it
as the text that they are. What this does not know goes the slow way, value by value, and is refused by its path there.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from math import isfinite
from operator import is_
from struct import pack
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from lakestore.codec import numbers
from lakestore.codec.text import JSON_TYPES, collector_off, dump, in_json_types
from lakestore.codec.values import records
from lakestore.errors import InvalidInputError

_EXPONENT = re.compile(rb"[0-9]e[-+0-9]")
_ZERO_E, _ZEROS, _ZERO_POINT = np.frombuffer(b"0e000.", "<u2")
_SPLIT_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_PLAIN: Final = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_FIRST: Final = 1 << 16
"""Bytes of a text in which small numbers mostly stand, where any does."""
_ITEMS, _LOOKED = 8, 4_096
"""Items at either end of a list, and of all lists and dicts of one depth, in which NaN is looked for."""
_LONG: Final = 64
"""Items of lists beside each other from which each is looked through by itself: they are different tables."""

_SCALARS: Final = {np.dtype(code).type for code in "?bBhHiIlLqQefd"}
"""numpy's scalars that are a number or a bool of Python's."""

Both = tuple[list[Any], list[Any]]
"""Values in JSON's own types, and what orjson is to write for them; each the list that came where nothing changed."""


class _SlowError(Exception):
    """A value that is written the slow way, or refused there."""


@dataclass(frozen=True, slots=True)
class Given:
    """A document made of an engine's value.

    Attributes:
        value: what `json` reads from the text, where that is known; it may be the engine's own value.
        unseen: nobody looked whether that is in JSON's own types, and its floats such that orjson writes them as Python
            does.
        python: only Python's `json` reads the text: it holds NaN or an infinity.
    """

    text: bytes
    value: Any | None
    unseen: bool = False
    python: bool = False


def written(value: Any, *, unseen: bool = False) -> Given:
    """The document that an engine's value is.

    Args:
        unseen: do not look at types and floats where that can be left; who makes columns of the value meets them
            anyway (`ForeignError`), and comes back for the text.

    Raises:
        InvalidInputError: a set, bytes, an object, a key that is not text; named by its path.
    """
    with collector_off():
        try:
            text: bytes | None = orjson.dumps(value, option=_PLAIN)
        except (TypeError, RecursionError):
            # Values that orjson does not write, or not as Python does.
            text = None
        if text is not None:
            if unseen and not _exponents(text[:_FIRST]) and not _shows_words(value):
                return Given(text, value, unseen=True)
            # Without a null there is no NaN either.
            if not _holds(text, b"null") and not _exponents(text) and in_json_types(value):
                return Given(text, value)
        try:
            found = _Columns(are_keys_texts=text is not None)
            [plain], [writable] = found.of([value])
            if text is None or writable is not value:
                text = orjson.dumps(writable, option=_PLAIN)
            return Given(text, plain, python=found.has_words)
        except (_SlowError, InvalidInputError, TypeError, RecursionError):
            # The slow way writes it, or says what is wrong with it and where.
            pass
        try:
            return Given(dump(_plain_value(value, "$")).encode(), None)
        except RecursionError as exc:
            raise InvalidInputError(
                "the document is nested too deep for Python's json, or holds itself: flatten it"
            ) from exc


class _Columns:
    """Values looked through by column.

    Attributes:
        has_words: a float was NaN or infinite.
    """

    def __init__(self, *, are_keys_texts: bool) -> None:
        self._are_keys_texts = are_keys_texts
        self.has_words = False

    def of(self, values: list[Any]) -> Both:
        """Values that stand under each other.

        Raises:
            _SlowError, InvalidInputError: one of them has no form in JSON, or one that is not known here.
        """
        plain, kinds = values, set(map(type, values))
        if not kinds <= JSON_TYPES:
            plain = _converted(values, kinds)
            kinds = set(map(type, plain))
        out = self._marked(plain, kinds) if float in kinds else plain
        for kind, inside in ((dict, self._records), (list, self._lists)):
            if kind in kinds:
                places = [place for place, value in enumerate(plain) if type(value) is kind]
                those = [plain[place] for place in places]
                inner, inner_out = inside(those)
                plain, out = _put(plain, places, those, inner), _put(out, places, those, inner_out)
        return plain, out

    def _marked(self, values: list[Any], kinds: set[type]) -> list[Any]:
        """The values, of floats that orjson writes in another way their texts."""
        floats = values if len(kinds) == 1 else [value if type(value) is float else 0.0 for value in values]
        array = np.frombuffer(pack(f"{len(floats)}d", *floats))
        rare = np.flatnonzero(numbers.special(array))
        if not len(rare):
            return values
        self.has_words |= not np.isfinite(array[rare]).all()
        out = list(values)
        for place in rare.tolist():
            out[place] = orjson.Fragment(_text(values[place]))
        return out

    def _records(self, values: list[Any]) -> Both:
        """Dicts: by column where they have the same keys in the same order."""
        keys = list(values[0])
        if not self._are_keys_texts and not set(map(type, chain.from_iterable(values))) <= {str}:
            raise _SlowError
        flat = list(chain.from_iterable(map(dict.values, values)))
        if len(values) == 1 or not keys or not all(map(keys.__eq__, map(list, values))):

            def made(items: Iterator[Any]) -> list[Any]:
                return [dict(zip(value, items, strict=False)) for value in values]

            return _made(values, flat, self.of(flat), made)
        columns = [flat[place :: len(keys)] for place in range(len(keys))]
        found = [self.of(column) for column in columns]

        def rows(own: list[list[Any]]) -> list[Any]:
            return values if all(map(is_, own, columns)) else records(keys, own)

        return rows([plain for plain, _ in found]), rows([out for _, out in found])

    def _lists(self, values: list[Any]) -> Both:
        sizes = list(map(len, values))
        if sum(sizes) >= _LONG * len(values):
            found = [self.of(value) for value in values]
            return [plain for plain, _ in found], [out for _, out in found]
        flat = list(chain.from_iterable(values))

        def made(items: Iterator[Any]) -> list[Any]:
            return [list(islice(items, size)) for size in sizes]

        return _made(values, flat, self.of(flat), made)


def _made(values: list[Any], flat: list[Any], found: Both, made: Callable[[Iterator[Any]], list[Any]]) -> Both:
    """Containers made anew of what was found in them, where that is something else."""
    plain, out = (values if items is flat else made(iter(items)) for items in found)
    return plain, out


def _put(holder: list[Any], places: list[int], before: list[Any], now: list[Any]) -> list[Any]:
    """A list with other values at these places, where they are others."""
    if all(map(is_, now, before)):
        return holder
    holder = list(holder)
    for place, value in zip(places, now, strict=True):
        holder[place] = value
    return holder


def _converted(values: list[Any], kinds: set[type]) -> list[Any]:
    """Values in JSON's own types; what stands in tuples may still be of others."""
    if kinds == {tuple}:
        return list(map(list, values))
    if len(kinds) == 1 and kinds <= _SCALARS:
        return list(np.array(values).tolist())
    return [value if type(value) in JSON_TYPES else _plain_value(value, "") for value in values]


def _text(value: float) -> str:
    """A float as Python's `json` writes it."""
    if isfinite(value):
        return repr(value)
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _shows_words(value: Any) -> bool:
    """Whether NaN or an infinity is among the outer items of lists: an indicator that begins, a trade still open."""
    level = [value]
    while level := list(islice(chain.from_iterable(map(_outer_items, level)), _LOOKED)):
        if not all(map(isfinite, [item for item in level if type(item) is float])):
            return True
    return False


def _outer_items(value: Any) -> Iterable[Any]:
    if type(value) is dict:
        return value.values()
    return value[:_ITEMS] + value[-_ITEMS:] if type(value) is list else ()


def _exponents(text: bytes) -> bool:
    """Whether floats may stand in the text that Python writes otherwise (`1e-05`, `0.00001`)."""
    for pairs in _pairs(text):
        if (pairs - _ZERO_E).min() <= 9 and _EXPONENT.search(text) is not None:
            return True
        zeros = pairs == _ZEROS
        places = np.flatnonzero(zeros[1:] & zeros[:-1])
        if (pairs[places[places > 0] - 1] == _ZERO_POINT).any():
            # Somewhere stands 0.0000
            return True
    return False


def _holds(text: bytes, word: bytes) -> bool:
    """Whether a word of two bytes or more stands in a text; several times as fast as `in` where it is rare."""
    first = np.frombuffer(word, "<u2", 1)
    return any((pairs == first).any() for pairs in _pairs(text)) and word in text


def _pairs(text: bytes) -> Iterator[npt.NDArray[np.uint16]]:
    """The bytes 2n and 2n + 1 of a text as numbers, then the bytes 2n + 1 and 2n + 2."""
    for start in (0, 1):
        if len(text) > start + 1:
            yield np.frombuffer(text, "<u2", (len(text) - start) // 2, start)


def _plain_value(value: Any, path: str) -> Any:
    """The value in JSON's own types.

    Raises:
        InvalidInputError: naming the path of what has none.
    """
    kind = type(value)
    if kind is str:
        return _whole(value, path)
    if kind in (int, float, bool, type(None)):
        return value
    if kind is dict:
        plain = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidInputError(
                    f"{path}: key {key!r} is {type(key).__name__}; keys of JSON objects are text: "
                    "give {str(key): value for key, value in ….items()}"
                )
            plain[_whole(str(key), path)] = _plain_value(item, f"{path}.{key}")
        return plain
    if kind in (list, tuple):
        return [_plain_value(item, f"{path}[{place}]") for place, item in enumerate(value)]
    if isinstance(value, enum.Enum):
        return _plain_value(value.value, path)
    # NaT, which is not itself, is no time.
    if isinstance(value, dt.datetime | dt.date | dt.time | np.datetime64) and value == value:
        return _time(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, decimal.Decimal):
        return _decimal(value, path)
    # Of nanoseconds numpy makes a bare integer.
    scalar = not isinstance(value, np.datetime64 | np.timedelta64) and getattr(value, "ndim", None) == 0
    if scalar and hasattr(value, "item"):
        return _plain_value(value.item(), path)
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return base(value)
    if isinstance(value, dict):
        return _plain_value(dict(value), path)
    if isinstance(value, list | tuple):
        return _plain_value(list(value), path)
    raise InvalidInputError(
        f"{path}: {kind.__name__} has no form in JSON; "
        f"give text, a number, a bool, None, a list or a dict{_advice(value)}"
    )


def _advice(value: Any) -> str:
    """What to make of a value that has no form in JSON, in brackets; nothing where nobody can tell."""
    kind = type(value)
    listed = next((name for name in ("tolist", "to_list") if hasattr(value, name)), "")
    if isinstance(value, dt.date | np.datetime64 | np.timedelta64) and value != value:
        advice = "a missing time is None"
    elif kind.__name__ == "NAType":
        advice = "a missing value is None"
    elif isinstance(value, dt.timedelta):
        advice = "its .total_seconds()"
    elif isinstance(value, set | frozenset):
        advice = "sorted, it is a list"
    elif listed and not isinstance(value, np.generic):
        advice = f"its .{listed}()"
    elif hasattr(value, "__arrow_c_stream__"):
        advice = "a table beside the document: tables=…"
    elif (text := as_dict(value)) is not None:
        advice = text
    elif isinstance(value, bytes | bytearray):
        advice = "its .decode()"
    else:
        return ""
    return f" ({advice})"


def as_dict(value: Any) -> str | None:
    """How an object of fields becomes a dict; None: it has none."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return "dataclasses.asdict of it"
    if hasattr(kind, "__struct_fields__"):
        return "msgspec.to_builtins of it"
    return next((f"its .{name}()" for name in ("model_dump", "to_dict") if hasattr(kind, name)), None)


def _time(value: dt.datetime | dt.date | dt.time | np.datetime64) -> str:
    """ISO text; a numpy time that Python's types cannot hold in numpy's own spelling."""
    if isinstance(value, np.datetime64):
        item = value.item()
        return item.isoformat() if isinstance(item, dt.date) else str(value)
    return value.isoformat()


def _whole(text: str, path: str) -> str:
    """A text that JSON gives back.

    Raises:
        InvalidInputError: two of its characters are the halves of one, which JSON would join.
    """
    if _SPLIT_PAIR.search(text):
        raise InvalidInputError(f"{path}: {text[:40]!a} holds a character in two halves, which JSON joins; join them")
    return text


def _decimal(value: decimal.Decimal, path: str) -> int | float:
    """A Decimal as the number of the same value.

    Raises:
        InvalidInputError: it has more digits than a double keeps.
    """
    if value == value.to_integral_value() if value.is_finite() else False:
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and exponent >= 0:
            return int(value)
    number = float(value)
    if value.is_finite() and decimal.Decimal(repr(number)) != value:
        raise InvalidInputError(f"{path}: Decimal {value} has more digits than a JSON reader keeps; give it as text")
    return number
