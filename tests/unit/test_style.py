"""How a document was written, told from its bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lakestore.codec import style
from lakestore.codec.strings import PLAIN, Escapes
from lakestore.codec.style import escapes
from lakestore.inspection import inspect


@pytest.mark.parametrize(
    ("source", "ascii", "slash"),
    [
        (rb'{"a": "/"}', False, False),
        (rb'{"a": "\/"}', False, True),
        (rb'{"a": "\\/"}', False, False),
        (rb'{"a": "\\\/"}', False, True),
        (rb'{"a": "\u00e9"}', True, False),
        (rb'{"a": "C:\\users"}', False, False),
        (rb'{"a": "\\\u00e9"}', True, False),
        ('{"a": "\\u00e9é"}'.encode(), False, False),
    ],
)
def test_an_escaped_backslash_escapes_nothing(source: bytes, ascii: bool, slash: bool) -> None:
    assert escapes(source) == Escapes(ascii, slash)


def test_a_slash_between_digits_is_escaped_in_times_too() -> None:
    slashed = (("/", r"\/"),)
    assert escapes(rb'{"a": "2024\/01\/02"}') == Escapes(other=slashed)
    assert escapes(rb'{"a": "2024\/01\/02 \u00e9"}') == Escapes(True, other=slashed)
    assert escapes(rb'{"a": "1\\/2"}') == PLAIN


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (rb'{"a": "\\u003c"}', Escapes()),
        (rb'{"a": "C:\\users \u0026 \u003c"}', Escapes(True, other=(("&", r"\u0026"), ("<", r"\u003c")))),
        ('{"a": "é \\u003c"}'.encode(), Escapes(other=(("<", r"\u003c"),))),
        ('{"a": "é \\u2028 \\n \\u0001"}'.encode(), Escapes(other=(("\u2028", r"\u2028"),))),
        (rb'{"a": "\u4E1C \u0022 \u002B"}', Escapes(True, upper=True, other=(('"', r"\u0022"), ("+", r"\u002B")))),
        (rb'{"a": "\u001F \u4e1c"}', Escapes(True, other=(("\x1f", r"\u001F"),))),
        (rb'{"a": "\u0009"}', Escapes(True, other=(("\t", r"\u0009"),))),
    ],
)
def test_escapes_of_ones_own_are_seen(source: bytes, found: Escapes) -> None:
    assert escapes(source) == found


def test_a_delete_character_that_stands_as_it_is_tells_that_only_control_characters_are_escaped() -> None:
    assert escapes(b'{"a": "\\u001f", "b": "\x7f"}').ascii is False
    assert escapes(b'{"a": "\\u001f", "b": "\\u00e9"}').ascii is True
    assert escapes(b'{"a": "\\u001f", "b": "\\u007f"}').ascii is True


@pytest.mark.parametrize(
    "document",
    [
        {name: {str(place): f"{name} {place}" for place in range(6_000)} for name in ("pair", "side", "tag")},
        {"curves": [{"name": name, "data": [{"t": place, "v": 1.5} for place in range(4_000)]} for name in ("a", "b")]},
        [{"name": name, "data": list(range(20_000))} for name in ("a", "b")],
    ],
)
@pytest.mark.parametrize("form", [{}, {"indent": 2}, {"indent": "\t"}, {"indent": 4, "separators": (",", ":")}])
def test_a_record_longer_than_the_sample_needs_no_patch(document: Any, form: dict[str, Any]) -> None:
    assert inspect(json.dumps(document, **form)).fidelity.kind == "style"


@pytest.mark.parametrize("form", [{}, {"indent": 2}, {"separators": (" , ", " : ")}])
@pytest.mark.parametrize("key", ["2024-01-02 09:30:{:02}+08:00", "a{{,[b]:}} {}", "{}"])
def test_where_the_sample_ends_tells_nothing(monkeypatch: pytest.MonkeyPatch, key: str, form: dict[str, Any]) -> None:
    text = json.dumps({key.format(place): place + 0.5 for place in range(9)}, **form).encode()
    whole = style.detect(text, 0, PLAIN)
    rows = text.index(b"1.5")
    for length in range(rows, len(text)):
        monkeypatch.setattr(style, "_SAMPLE", length)
        found = style.detect(text, 0, PLAIN)
        assert (found.colon, found.comma) == (whole.colon, whole.comma), text[:length]
        assert found.gaps[0, "{"][:2] == whole.gaps[0, "{"][:2]
