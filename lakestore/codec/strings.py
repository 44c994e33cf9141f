"""Texts as JSON strings, by column: only columns that need an escape pay for it, once a distinct text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

import numpy as np
import pyarrow as pa

_FOREIGN = re.compile(r"[^ -~]")
_LARGEST = 2**31 - 1
"""Bytes of a column of texts."""


@dataclass(frozen=True, slots=True)
class Escapes:
    """What a writer escapes beside what JSON demands.

    Attributes:
        ascii: everything beyond ASCII; slash: `/` as `\\/`.
        upper: the digits of what is beyond ASCII are capitals.
        other: characters with an escape of their own, and that: `<` as `\\u003c` (Go), `'` as `\\u0027` (.NET).
    """

    ascii: bool = False
    slash: bool = False
    upper: bool = False
    other: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The escapes as JSON values; what most writers do not have is not named."""
        rare: dict[str, Any] = {"upper": True} if self.upper else {}
        if self.other:
            rare["other"] = list(map(list, self.other))
        return {"ascii": self.ascii, "slash": self.slash, **rare}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Escapes:
        """The escapes that `to_json` gave."""
        other = tuple((char, token) for char, token in value.get("other", ()))
        return cls(value["ascii"], value["slash"], value.get("upper", False), other)


PLAIN = Escapes()
"""Only what JSON demands."""


def escape(text: str, escapes: Escapes) -> str:
    """One text as a JSON string with its quotes; in ASCII where it is not Unicode."""
    if escapes.other or escapes.upper:
        return _translated(text, escapes)
    if not escapes.ascii:
        written = encode_basestring(text)
        if not written.isascii() and not is_unicode(written):
            written = encode_basestring_ascii(text)
    else:
        written = encode_basestring_ascii(text)
    return written.replace("/", "\\/") if escapes.slash else written


def escaped(array: pa.StringArray, escapes: Escapes) -> pa.StringArray:
    """Each text as it stands between the quotes of a JSON string; nulls stay null."""
    data = _data(array)
    if not len(data):
        return array
    # Single bytes are found several times as fast in bytes as in an array.
    raw, unsafe = data.tobytes(), (b'"', b"\\", *([b"/"] if escapes.slash else ()))
    unsafe += tuple(char.encode()[:1] for char, _ in escapes.other)
    # Python's json escapes U+007F as well.
    beyond = escapes.ascii and data.max() >= 127
    if not beyond and data.min() >= 32 and not any(each in raw for each in unsafe):
        return array
    coded = array.dictionary_encode()
    words = [escape(text, escapes)[1:-1] for text in coded.dictionary.to_pylist()]
    return pa.array(words, pa.string()).take(coded.indices)


def _translated(text: str, escapes: Escapes) -> str:
    written = text.translate(_table(escapes))
    if escapes.ascii or not is_unicode(written):
        written = _FOREIGN.sub(_capitals if escapes.upper else _small, written)
    return f'"{written}"'


@cache
def _table(escapes: Escapes) -> dict[int, str]:
    """The escape of each character below U+0080, where it has one, and those of the others."""
    plain = Escapes(escapes.ascii, escapes.slash)
    words = {code: escape(chr(code), plain)[1:-1] for code in range(128)}
    return {code: word for code, word in words.items() if word != chr(code)} | {
        ord(char): token for char, token in escapes.other
    }


def _small(match: re.Match[str]) -> str:
    return encode_basestring_ascii(match[0])[1:-1]


def _capitals(match: re.Match[str]) -> str:
    return "\\u" + "\\u".join(part.upper() for part in _small(match).split("\\u")[1:])


def is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogate: only such texts can be in a column of texts."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def column(texts: Sequence[str]) -> pa.Array:
    """Texts as a column, as `pa.array` gives it, in two thirds of the time: joined, with and without something between.

    Raises:
        UnicodeEncodeError: one has a lone surrogate.
    """
    parted = "\0".join(texts).encode()
    ends = np.flatnonzero(np.frombuffer(parted, np.uint8) == 0)
    if len(ends) + 1 != len(texts) or len(parted) > _LARGEST:
        return pa.array(texts, pa.string())
    offsets = np.zeros(len(texts) + 1, np.int32)
    offsets[1:-1] = ends
    offsets[-1] = len(parted)
    offsets[1:] -= np.arange(len(texts), dtype=np.int32)
    data = "".join(texts).encode()
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(data))


def _data(array: pa.StringArray) -> np.ndarray:
    """The bytes of all texts of an array (with those of nulls, if there are any)."""
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return np.empty(0, np.uint8)
    ends = np.frombuffer(offsets, np.int32)
    return np.frombuffer(data, np.uint8)[ends[array.offset] : ends[array.offset + len(array)]]
