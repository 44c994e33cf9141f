"""JSON texts: reading what Python's `json` reads, and where in it values stand."""

from __future__ import annotations

import codecs
import contextlib
import gc
import json
import re
from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from itertools import chain
from json.decoder import JSONDecoder
from typing import Any

import numpy as np
import orjson

from lakestore.background import Background
from lakestore.codec.numbers import has_special
from lakestore.codec.strings import is_unicode
from lakestore.errors import InvalidInputError

BOM = b"\xef\xbb\xbf"
_ZIP = b"PK\x03\x04"
_PACKED = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
LARGE = 256 << 10
"""Bytes of a text from which threads share its work: to hand some over takes 0.1 ms."""
_LONG_INTEGER = re.compile(rb"\d{19}")
_SPACE = re.compile(r"[ \t\n\r]*")
JSON_TYPES = {dict, list, str, int, float, bool, type(None)}


class ForeignError(Exception):
    """A value that an engine gave is not of JSON's own types."""


class Hashed:
    """A text and its SHA-256, which a thread makes where the text is large."""

    __slots__ = ("_hash", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._hash = Background(lambda: sha256(data).hexdigest(), apart=len(data) >= LARGE)

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
            fact = _packed(body, where) or f"{where} is not UTF-8: byte {exc.start} ({exc.reason}); {_as_utf8(body)}"
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


def _packed(data: bytes, where: str) -> str | None:
    """What to say of bytes that are a compressed file, None of others."""
    if data.startswith(_ZIP):
        return f"{where} is a zip archive; 'lakestore migrate' reads freqtrade's, unpack others"
    ending = next((ending for magic, ending in _PACKED.items() if data.startswith(magic)), None)
    return ending and f"{where} is compressed: give it as a file whose name ends in {ending}, or unpack it"


def _as_utf8(data: bytes) -> str:
    """What to do about bytes that are not UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it is UTF-16: convert it ('iconv -f UTF-16 -t UTF-8')"
    return "JSON is kept as UTF-8: convert it"


def has_long_integer(text: bytes) -> bool:
    """Whether a text may hold an integer that orjson would read as a float."""
    return _LONG_INTEGER.search(text) is not None


def in_json_types(value: Any, but: Collection[int] = (), *, plain: bool = False) -> bool:
    """Whether a value consists of dicts, lists, texts, numbers, bools and None alone: none a tuple, an Enum, a UUID.

    Level by level, the loops inside C.

    Args:
        but: the `id` of dicts and lists in it that are not looked into.
        plain: whether its floats must be such that all writers write them the same way.
    """
    level = [value]
    while True:
        kinds = set(map(type, level))
        if not kinds <= JSON_TYPES:
            return False
        if plain and float in kinds and has_special(np.array([item for item in level if type(item) is float])):
            return False
        if but:
            level = [item for item in level if id(item) not in but]
        if not kinds & {dict, list}:
            return True
        dicts = level if kinds == {dict} else [item for item in level if type(item) is dict]
        lists = level if kinds == {list} else [item for item in level if type(item) is list]
        below = chain(map(dict.values, dicts) if dict in kinds else (), lists if list in kinds else ())
        level = list(chain.from_iterable(below))


def dump(value: Any) -> str:
    """One value as compact JSON text, UTF-8 where it can be."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if is_unicode(text) else json.dumps(value, separators=(",", ":"))


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
