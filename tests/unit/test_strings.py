"""Texts by column: as pyarrow takes them, and escaped as one by one."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakestore.codec.strings import PLAIN, Escapes, column, escape, escaped

TEXTS = ["", "a", "BTC/USDT", "naïve ☃ 😀", "", "with \x00 in it", "\x7f", 'a "b" \\ /', "\n"]


@pytest.mark.parametrize("stop", range(1, len(TEXTS) + 1))
def test_a_column_of_texts_is_what_pyarrow_makes_of_them(stop: int) -> None:
    for texts in (TEXTS[:stop], TEXTS[stop - 1 :], [""] * stop, ["\x00"] * stop):
        made = column(texts)
        made.validate(full=True)
        assert made.equals(pa.array(texts, pa.string()))
    assert column([]).equals(pa.array([], pa.string()))


def test_a_lone_surrogate_is_in_no_column() -> None:
    with pytest.raises(UnicodeEncodeError):
        column(["a", "\ud800"])


@pytest.mark.parametrize(
    "escapes",
    [
        PLAIN,
        Escapes(slash=True),
        Escapes(ascii=True),
        Escapes(ascii=True, slash=True, upper=True),
        Escapes(other=(("<", "\\u003c"), ("\u2028", "\\u2028"))),
        Escapes(ascii=True, other=(("+", "\\u002B"),)),
    ],
)
def test_each_character_of_a_column_is_escaped_as_it_is_alone(escapes: Escapes) -> None:
    for text in [*map(chr, range(0x180)), "\u2028", "☃", "😀", *TEXTS]:
        for texts in ([text], ["before", text, "after"]):
            expected = [escape(each, escapes)[1:-1] for each in texts]
            assert escaped(pa.array(texts, pa.string()), escapes).to_pylist() == expected
    some = pa.array(["a", None, '"', None, ""], pa.string())
    assert escaped(some, escapes).to_pylist() == ["a", None, '\\"', None, ""]
    assert escaped(some.slice(0, 2), escapes).to_pylist() == ["a", None]
