"""JSON texts: what is read, and where values stand in them."""

from __future__ import annotations

import gc
import json

import pytest

from lakestore.codec import text
from lakestore.errors import InvalidInputError


def test_places_of_values_are_bytes_and_the_last_of_two_equal_keys_counts() -> None:
    source = '\ufeff { "é" : [1, {"x": "]é"}], "b":{"c" :[ 2 ]},"é": [3] }'.encode()
    found = text.locate(source, {("é",), ("b", "c")})
    assert {path: source[start:stop] for path, (start, stop) in found.items()} == {("é",): b"[3]", ("b", "c"): b"[ 2 ]"}


def test_an_integer_of_nineteen_digits_is_noticed() -> None:
    assert text.has_long_integer(b'{"a": 9223372036854775807}')
    assert not text.has_long_integer(b'{"a": 922337203685477580, "b": 1.5}')
    assert text.parse(b"[18446744073709551617]", "it")[0] != text.parse(b"[18446744073709551617]", "it", exact=True)[0]


def test_the_collector_is_as_it_was() -> None:
    with pytest.raises(InvalidInputError):
        text.parse(b"[", "it")
    assert gc.isenabled()


def test_nan_is_read_by_python_and_marked_so() -> None:
    value, python = text.parse(b"[NaN, 1]", "it")
    assert python and json.dumps(value) == "[NaN, 1]"
