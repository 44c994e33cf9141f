"""Texts of floats from the test data of parsers: kept byte for byte, and in SQL the double that Python reads."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pyarrow as pa
import pytest

from lakestore import Lake
from tests.conformance.suites import members
from tests.schemas import MemorySchema, store

HEADER = b'{"strategy": "s", "bare": [%b], "rows": ['


def vectors() -> list[tuple[str, str]]:
    """Text and the 64 bits it stands for, of every line whose text is a number in JSON."""
    found = {}
    for name, data in members("parse_number_fxx_sample.zip", "data/"):
        assert name.endswith(".txt")
        for line in data.decode().splitlines():
            _, _, bits, text = line.split(" ")
            if valid(text):
                found[text] = bits.lower()
    return sorted(found.items())


def valid(text: str) -> bool:
    """Whether JSON knows a number written like this."""
    try:
        return type(json.loads(text)) in (int, float)
    except ValueError:
        return False


def bits(number: float) -> str:
    return struct.pack(">d", number).hex()


VECTORS = vectors()
FLOATS = [text for text, _ in VECTORS if type(json.loads(text)) is float]
INTEGERS = [text for text, _ in VECTORS if type(json.loads(text)) is int]


def document(texts: list[str]) -> bytes:
    """A result in which each text stands in the envelope and in a record."""
    rows = ", ".join(f'{{"n": {at}, "v": {text}}}' for at, text in enumerate(texts))
    return HEADER % ", ".join(texts).encode() + rows.encode() + b"]}\n"


def test_the_vectors_say_what_python_reads() -> None:
    assert len(FLOATS) > 2_000
    assert len(INTEGERS) > 40
    assert [text for text, expected in VECTORS if bits(float(text)) != expected] == []


@pytest.mark.parametrize("decimals", [True, False])
@pytest.mark.parametrize("some", [FLOATS, INTEGERS, [text for text, _ in VECTORS]], ids=["floats", "integers", "both"])
def test_each_text_comes_back_as_a_column_and_in_the_envelope(some: list[str], decimals: bool) -> None:
    assert store(document(some), MemorySchema(), decimals=decimals).text() == document(some)


@pytest.mark.parametrize("decimals", [True, False])
def test_each_text_comes_back_alone(decimals: bool) -> None:
    # Alone a text decides its column's style, dialect and scale; a few hundred of all kinds are enough here.
    for text, _ in VECTORS[:: max(1, len(VECTORS) // 250)]:
        source = document([text])
        assert store(source, MemorySchema(), decimals=decimals).text() == source


def test_sql_sees_the_double_that_python_reads(lake: Lake) -> None:
    lake.save(document(FLOATS), task_id="t")
    assert lake.load("t").to_json() == document(FLOATS)
    seen = lake.sql("SELECT v FROM rows ORDER BY n").to_arrow_table().column("v")
    assert seen.type == pa.float64()
    expected = [float(text) for text in FLOATS]
    wrong = [text for text, a, b in zip(FLOATS, seen.to_pylist(), expected, strict=True) if bits(a) != bits(b)]
    assert wrong == []


def test_sql_sees_short_decimals_exactly_in_either_kind_of_lake(tmp_path: Path, dsn: str, lake: Lake) -> None:
    texts = sorted({f"{sign}{n}.{f:0{w}d}" for sign in ("", "-") for n in (0, 1, 7, 99, 1234567, 2**40)
                    for w in (1, 2, 4, 8) for f in (0, 1, 5, 7 * 10 ** (w - 1))})  # fmt: skip
    lake.save(document(texts), task_id="t")
    assert lake.load("t").to_json() == document(texts)
    seen = [row[0] for row in lake.sql("SELECT v FROM rows ORDER BY n").fetchall()]
    assert [bits(each) for each in seen] == [bits(float(text)) for text in texts]


def test_sql_sees_integers_exactly_or_in_the_sibling(lake: Lake) -> None:
    lake.save(document(INTEGERS), task_id="t")
    assert lake.load("t").to_json() == document(INTEGERS)
    (columns,) = [table.columns for name, table in lake.tables().items() if name == "rows"]
    names = {column.name for column in columns}
    own, sibling = ("v" if "v" in names else "NULL"), ("v__json" if "v__json" in names else "NULL")
    seen = lake.sql(f"SELECT {own}, {sibling} FROM rows ORDER BY n").fetchall()
    read = [json.loads(text) for text in INTEGERS]
    assert [value if value is not None else json.loads(odd) for value, odd in seen] == read
