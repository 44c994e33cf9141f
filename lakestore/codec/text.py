"""JSON texts and Python values: reading what Python's `json` reads, writing what an engine gives as values."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import enum
import gc
import json
import re
import uuid
from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from itertools import chain
from json.decoder import JSONDecoder
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from lakestore.beside import Beside
from lakestore.codec.strings import is_unicode
from lakestore.errors import InvalidInputError

BOM = b"\xef\xbb\xbf"
_ZIP = b"PK\x03\x04"
LARGE = 256 << 10
"""Bytes of a text from which threads share its work: to hand some over takes 0.1 ms."""
_LONG_INTEGER = re.compile(rb"\d{19}")
_EXPONENT = re.compile(rb"[0-9]e[-+0-9]")
_ZERO_E, _ZEROS, _ZERO_POINT = np.frombuffer(b"0e000.", "<u2")
_SPLIT_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SPACE = re.compile(r"[ \t\n\r]*")
JSON_TYPES = {dict, list, str, int, float, bool, type(None)}
_PLAIN = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


class ForeignError(Exception):
    """A value that an engine gave is not of JSON's own types."""


class Hashed:
    """A text and its SHA-256, which a thread makes where the text is large."""

    __slots__ = ("_hash", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._hash = Beside(lambda: sha256(data).hexdigest(), apart=len(data) >= LARGE)

    @property
    def sha256(self) -> str:
        """The hash, hexadecimal."""
        return self._hash.result()


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """No garbage collection while many values are made at once: it halves the time of a parse."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def parse(text: bytes, where: str, *, exact: bool = False) -> tuple[Any, bool]:
    """The Python value of a JSON text, as `json.loads` gives it, and whether `json` had to read it.

    Unless `exact`, orjson reads first: it is faster, and differs where an integer is beyond 64 bits (a float).

    Raises:
        InvalidInputError: empty, not UTF-8, not JSON or nested too deep; with the position.
    """
    body = text[len(BOM) :] if text.startswith(BOM) else text
    if not body.strip(b" \t\n\r"):
        raise InvalidInputError(f"{where} is empty: a result is one JSON document")
    with collector_off():
        if not exact:
            try:
                return orjson.loads(body), False
            except orjson.JSONDecodeError:
                # Either not JSON, or of the kind that only `json` reads: NaN, lone surrogates, great depth.
                pass
        try:
            return json.loads(body.decode()), True
        except UnicodeDecodeError as exc:
            if body.startswith(_ZIP):
                fact = f"{where} is a zip archive; 'lakestore migrate' reads freqtrade's, unpack others"
            else:
                fact = f"{where} is not UTF-8: byte {exc.start} ({exc.reason}); JSON is kept as UTF-8"
            raise InvalidInputError(fact) from exc
        except json.JSONDecodeError as exc:
            fact = f"{where} is not JSON: line {exc.lineno} column {exc.colno} (character {exc.pos}): {exc.msg}"
            if exc.msg == "Extra data" and exc.lineno > 1 and exc.colno == 1:
                fact += "; files with a document on each line (.jsonl) are read by 'lakestore migrate'"
            raise InvalidInputError(fact) from exc
        except RecursionError as exc:
            raise InvalidInputError(f"{where} is nested too deep for Python's json: flatten it") from exc
        except ValueError as exc:
            raise InvalidInputError(f"{where} cannot be read: {exc}") from exc


def has_long_integer(text: bytes) -> bool:
    """Whether a text may hold an integer that orjson would read as a float."""
    return _LONG_INTEGER.search(text) is not None


def written(value: Any, *, unseen: bool = False) -> tuple[bytes, Any | None]:
    """The document that an engine's value is, and what orjson reads from it where that is known.

    The document is compact UTF-8 JSON, floats as Python's repr, NaN as Python's `json`. Tuples become arrays; numpy
    scalars their Python numbers; dates and times ISO text; Decimal a number of the same digits; UUID text; Enum its
    value. What JSON cannot hold is refused. What orjson reads is, of a value in JSON's own types, the value itself.

    Args:
        unseen: do not look whether it is; who makes columns of it meets its types anyway (`ForeignError`).

    Raises:
        InvalidInputError: a set, bytes, an object, a key that is not text; named by its path.
    """
    with collector_off():
        plain = value
        try:
            text = orjson.dumps(value, option=_PLAIN)
            # Without a null there is no NaN either.
            null = holds(text, b"null")
            if unseen and not null and not _exponents(text):
                return text, value
            if not null and in_json_types(value):
                if not _exponents(text):
                    return text, value
            else:
                parsed = orjson.loads(text)
                if parsed != value:
                    plain = _plain_value(value, "$")
                elif not _exponents(text):
                    return text, parsed
        except (TypeError, orjson.JSONDecodeError, RecursionError):
            # Values that orjson does not write, or not as Python does: the slow way says which, or writes them.
            plain = None
        try:
            return dump(plain if plain is not None else _plain_value(value, "$")).encode(), None
        except RecursionError as exc:
            raise InvalidInputError(
                "the document is nested too deep for Python's json, or holds itself: flatten it"
            ) from exc


def in_json_types(value: Any, but: Collection[int] = ()) -> bool:
    """Whether a value consists of dicts, lists, texts, numbers, bools and None alone: none a tuple, an Enum, a UUID.

    Level by level, the loops inside C.

    Args:
        but: the `id` of dicts and lists in it that are not looked into.
    """
    level = [value]
    while True:
        kinds = set(map(type, level))
        if not kinds <= JSON_TYPES:
            return False
        if but:
            level = [item for item in level if id(item) not in but]
        if not kinds & {dict, list}:
            return True
        dicts = level if kinds == {dict} else [item for item in level if type(item) is dict]
        lists = level if kinds == {list} else [item for item in level if type(item) is list]
        below = chain(map(dict.values, dicts) if dict in kinds else (), lists if list in kinds else ())
        level = list(chain.from_iterable(below))


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


def holds(text: bytes, word: bytes) -> bool:
    """Whether a word of two bytes or more stands in a text; several times as fast as `in` where it is rare."""
    first = np.frombuffer(word, "<u2", 1)
    return any((pairs == first).any() for pairs in _pairs(text)) and word in text


def _pairs(text: bytes) -> Iterator[npt.NDArray[np.uint16]]:
    """The bytes 2n and 2n + 1 of a text as numbers, then the bytes 2n + 1 and 2n + 2."""
    for start in (0, 1):
        if len(text) > start + 1:
            yield np.frombuffer(text, "<u2", (len(text) - start) // 2, start)


def dump(value: Any) -> str:
    """One value as compact JSON text, UTF-8 where it can be."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if is_unicode(text) else json.dumps(value, separators=(",", ":"))


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
                raise InvalidInputError(f"{path}: key {key!r} is {type(key).__name__}; keys of JSON objects are text")
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
    table = " (a table beside the document: tables=…)" if hasattr(kind, "__arrow_c_stream__") else ""
    raise InvalidInputError(
        f"{path}: {kind.__name__} has no form in JSON; give text, a number, a bool, None, a list or a dict{table}"
    )


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


def locate(text: bytes, paths: set[tuple[str | int, ...]]) -> dict[tuple[str | int, ...], tuple[int, int]]:
    """Where in a valid JSON text the values at these paths stand, as byte offsets (start, stop).

    Of a key that stands twice the last counts, as for `json`.
    """
    found: dict[tuple[str | int, ...], tuple[int, int]] = {}
    source = text.decode()
    # Python's own scanner: it finds a value's end and says what the value is.
    scan: Callable[[str, int], tuple[Any, int]] = JSONDecoder().scan_once  # type: ignore[attr-defined]
    above = {path[:depth] for path in paths for depth in range(len(path))}

    def skip(at: int) -> int:
        match = _SPACE.match(source, at)
        assert match is not None
        return match.end()

    def walk(at: int, path: tuple[str | int, ...]) -> int:
        if path in paths:
            end = scan(source, at)[1]
            found[path] = (at, end)
            return end
        if path not in above or source[at] not in "{[":
            return scan(source, at)[1]
        closing = "}" if source[at] == "{" else "]"
        place = 0
        at = skip(at + 1)
        while source[at] != closing:
            key: str | int = place
            if closing == "}":
                key, at = scan(source, at)
                at = skip(skip(at) + 1)
            at = skip(walk(at, (*path, key)))
            place += 1
            if source[at] == ",":
                at = skip(at + 1)
        return at + 1

    walk(skip(1 if text.startswith(BOM) else 0), ())
    if source.isascii():
        return found
    return {path: (len(source[:a].encode()), len(source[:b].encode())) for path, (a, b) in found.items()}
