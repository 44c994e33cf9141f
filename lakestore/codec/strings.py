"""Texts as JSON strings, by column: only columns that need an escape pay for it, once a distinct text."""

from __future__ import annotations

from json.encoder import encode_basestring, encode_basestring_ascii

import numpy as np
import pyarrow as pa

_UNSAFE = np.zeros(256, np.bool_)
_UNSAFE[:32] = _UNSAFE[ord('"')] = _UNSAFE[ord("\\")] = True
_UNSAFE_ASCII = _UNSAFE.copy()
# Python's json escapes U+007F as well.
_UNSAFE_ASCII[127:] = True


def escape(text: str, *, ascii: bool, slash: bool) -> str:
    """One text as a JSON string with its quotes."""
    written = encode_basestring_ascii(text) if ascii else encode_basestring(text)
    return written.replace("/", "\\/") if slash else written


def escaped(array: pa.StringArray, *, ascii: bool, slash: bool) -> pa.StringArray:
    """Each text as it stands between the quotes of a JSON string; nulls stay null."""
    data = _data(array)
    unsafe = (_UNSAFE_ASCII if ascii else _UNSAFE)[data].any() or (slash and (data == ord("/")).any())
    if not unsafe:
        return array
    coded = array.dictionary_encode()
    words = [escape(text, ascii=ascii, slash=slash)[1:-1] for text in coded.dictionary.to_pylist()]
    return pa.array(words, pa.string()).take(coded.indices)


def _data(array: pa.StringArray) -> np.ndarray:
    """The bytes of all texts of an array (with those of nulls, if there are any)."""
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return np.empty(0, np.uint8)
    ends = np.frombuffer(offsets, np.int32)
    return np.frombuffer(data, np.uint8)[ends[array.offset] : ends[array.offset + len(array)]]
