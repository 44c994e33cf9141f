"""Writers of numbers and texts that have no name here are measured from what they wrote."""

from __future__ import annotations

import random

import pytest

from lakestore.codec import numbers
from lakestore.codec.numbers import DIALECTS
from tests.schemas import MemorySchema, store
from tests.writers import Style, write

_WRITERS = (
    "python",
    "orjson",
    "msgspec",
    "rapidjson",
    "javascript",
    "dotnet",
    "system_text_json",
    "java",
    "julia",
    "php",
)


def _rows(low: int, high: int) -> list[dict[str, object]]:
    rng = random.Random(f"{low} {high}")
    return [
        {
            "id": at,
            "price": rng.choice((1, -1)) * rng.random() * 10.0 ** rng.randint(low, high),
            "note": rng.choice("ab"),
        }
        for at in range(600)
    ]


@pytest.mark.parametrize("writer", _WRITERS)
@pytest.mark.parametrize(("low", "high"), [(-9, 18), (-7, 0), (0, 9), (0, 20)])
@pytest.mark.parametrize("indent", [None, "  "])
def test_the_exponents_of_a_writer_are_no_exceptions(writer: str, low: int, high: int, indent: str | None) -> None:
    source = write({"trades": _rows(low, high)}, Style(indent=indent, floats=writer))
    stored = store(source, MemorySchema())
    assert stored.text() == source
    assert stored.encoded.fidelity.kind == "style", stored.encoded.fidelity


@pytest.mark.parametrize("name", [*DIALECTS, "-3,7,0,1,1,E", "-8,22,1,3,0,e"])
def test_a_dialect_is_read_from_its_name(name: str) -> None:
    dialect = numbers.dialect(name)
    assert numbers.dialect(dialect.name) == dialect


@pytest.mark.parametrize("name", ["", "nobody", "1,2", "-3,7,0,1,1,x", "a,b,c,d,e,e"])
def test_what_is_no_dialect_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        numbers.dialect(name)


@pytest.mark.parametrize(
    "style",
    [
        Style(item=",", key=":", ascii=False, html="&<>\u2028\u2029"),
        Style(indent="  ", upper=True, html="\"&'+<>`", floats="system_text_json"),
        Style(indent="  ", ascii=False, html="&'<=>"),
        Style(indent="    ", slash=True, html="\t\x7f"),
        Style(item=",", key=":", slash=True),
        Style(ascii=False, slash=True),
        Style(upper=True),
        Style(short=False),
    ],
)
def test_escapes_that_json_does_not_ask_for_are_no_exceptions(style: Style) -> None:
    words = (
        "RSI < 30 & MACD > 0",
        'a "b" + c',
        "p=q`r'",
        "naïve 策略 🙂",
        "C:\\u003c\\x",
        "\x7f\x1f\t\u2028",
        "a/b",
        "x",
    )
    when = {"when": "2024-01-02T03:04:05+02:00", "day": "2024/01/02", "minute": "2024/01/02 03:04"}
    rows = [{f"key <{at % 2}>": at, **when, "text": words[at % 8]} for at in range(90)]
    source = write({"signals": rows}, style)
    stored = store(source, MemorySchema())
    assert stored.text() == source
    assert stored.encoded.fidelity.kind == "style", stored.encoded.fidelity


def test_an_integer_tells_no_dialect_and_a_power_of_ten_does() -> None:
    source = b'{"trades":[{"id":0,"price":0.0},{"id":9223372036854775808,"price":1e-05}]}'
    stored = store(source, MemorySchema())
    assert stored.text() == source
    assert stored.encoded.fidelity.kind == "style", stored.encoded.fidelity
