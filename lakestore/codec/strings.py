"""Texts as JSON strings, by column: only columns that need an escape pay for it, once a distinct text."""

from __future__ import annotations

from json.encoder import encode_basestring, encode_basestring_ascii

import numpy as np
import pyarrow as pa


def escape(text: str, *, ascii: bool, slash: bool) -> str:
    """One text as a JSON string with its quotes."""
    written = encode_basestring_ascii(text) if ascii else encode_basestring(text)
    return written.replace("/", "\\/") if slash else written


def escaped(array: pa.StringArray, *, ascii: bool, slash: bool) -> pa.StringArray:
    """Each text as it stands between the quotes of a JSON string; nulls stay null."""
    data = _data(array)
    unsafe = [data < 32, *(data == ord(each) for each in ('"', "\\", "/")[: 3 if slash else 2])]
    if ascii:
        # Python's json escapes U+007F as well.
        unsafe.append(data >= 127)
    if not any(places.any() for places in unsafe):
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
