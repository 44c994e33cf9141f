"""Packed statistics by symbol: what is unpacked is what was packed, and there is room for it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lakestore import parquet
from lakestore.codec import fit
from lakestore.codec.pack import Rows
from lakestore.codec.statistics import by_symbol, stats
from lakestore.model import Column, LakeTable, RunStats

SYMBOLS = ["b", "ä/ö", "b", "", "b"]
COLUMNS = {
    "prices": fit.decimals_of(np.array([1050, -3, 7, 8, 9]), 2, pa.array(range(5))),
    "whole": pa.array([1, None, -(2**53) + 1, None, None]),
    "wide": pa.array([2**53 + 1, 2**62, -1, -(2**62), 5]),
    "opposite": pa.array([2**52, -(2**52), 2**52, -(2**52), 2**52]),
    "long": pa.array([0.1 + 0.2, -0.0, math.nan, 1 / 3, None]),
    "none": pa.array([None] * 5, pa.int64()),
}
EXPECTED: dict[tuple[str, str], tuple[Any, ...]] = {
    ("prices", ""): (1, 0, 0.08, 0.08, 0.08),
    ("prices", "b"): (3, 0, 0.07, 10.5, 10.66),
    ("prices", "ä/ö"): (1, 0, -0.03, -0.03, -0.03),
    ("whole", ""): (1, 1, None, None, None),
    ("whole", "b"): (3, 1, float(-(2**53) + 1), 1.0, float(-(2**53) + 2)),
    ("whole", "ä/ö"): (1, 1, None, None, None),
    ("wide", ""): (1, 0, -(2.0**62), -(2.0**62), -(2.0**62)),
    ("wide", "b"): (3, 0, -1.0, math.nextafter(2.0**53, math.inf), float(2**53 + 5)),
    ("wide", "ä/ö"): (1, 0, 2.0**62, 2.0**62, 2.0**62),
    ("opposite", ""): (1, 0, -(2.0**52), -(2.0**52), -(2.0**52)),
    ("opposite", "b"): (3, 0, 2.0**52, 2.0**52, 3 * 2.0**52),
    ("opposite", "ä/ö"): (1, 0, -(2.0**52), -(2.0**52), -(2.0**52)),
    ("long", ""): (1, 0, 1 / 3, 1 / 3, 1 / 3),
    ("long", "b"): (3, 1, 0.1 + 0.2, math.nan, math.nan),
    ("long", "ä/ö"): (1, 0, -0.0, -0.0, 0.0),
    ("none", ""): (1, 1, None, None, None),
    ("none", "b"): (3, 3, None, None, None),
    ("none", "ä/ö"): (1, 1, None, None, None),
}
PLENTY = 1 << 20


def part(names: list[str], symbols: list[str | None], called: str = "Pair") -> stats.Part:
    columns = [Column(16 + i, None, f'"{n}"', n, "DOUBLE") for i, n in enumerate(names)]
    table = LakeTable("t", '"t"', (*columns, Column(9, None, f'"{called}"', called, "VARCHAR")))
    held = [(parquet.field(n, COLUMNS[n].type, 16 + i), COLUMNS[n][: len(symbols)]) for i, n in enumerate(names)]
    return table, Rows("a", len(symbols), [(parquet.field(called, pa.string(), 9), pa.array(symbols)), *held])


def made(parts: list[stats.Part], stored: int = PLENTY) -> RunStats:
    return by_symbol.made(parts, stored)


def unpacked(each: list[RunStats], names: list[str], **wanted: Any) -> dict[tuple[str, str, str], tuple[Any, ...]]:
    rows = {"strategy": ["x"] * len(each), "table_name": ["t"] * len(each), "run_date": [0] * len(each)}
    rows["task_id"] = [str(place) for place in range(len(each))]
    whole = [one.packed for one in each]
    packed = [one.by_symbol["t"] for one in each]
    table = by_symbol.unpacked(
        rows,
        (b"".join(whole), list(map(len, whole))),
        (b"".join(packed), list(map(len, packed))),
        {16 + i: ("t", name) for i, name in enumerate(names)},
        {16 + i: "t" for i in range(len(COLUMNS))},
        **wanted,
    )
    return {
        (row["task_id"], row["column_name"], row["symbol"]): tuple(
            row[name] for name in ("rows", "nulls", "min", "max", "sum")
        )
        for row in table.to_pylist()
    }


@pytest.mark.parametrize("many", range(1, len(COLUMNS) + 1))
def test_what_is_unpacked_was_packed(many: int) -> None:
    names = list(COLUMNS)[:many]
    found = unpacked([made([part(names, list(SYMBOLS))])], names)
    assert {key[1:]: repr(value) for key, value in found.items()} == {
        key: repr(value) for key, value in EXPECTED.items() if key[0] in names
    }


def test_one_symbol_has_what_the_whole_table_has(monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(COLUMNS)
    one, several = made([part(names, ["x"] * 5)]), made([part(names, list(SYMBOLS))])
    assert one.by_symbol["t"] == b"\x01\x03\x01" + bytes([5 | 1 << 3]) + b"x"
    # Packed rows of both kinds, over the end of a block.
    monkeypatch.setattr(by_symbol, "_BLOCK", 2)
    found = unpacked([one, several, one], names)
    assert {repr(value) for key, value in found.items() if key[:2] == ("0", "opposite")} == {
        repr((5, 0, -(2.0**52), 2.0**52, 2.0**52))
    }
    assert [repr(found["2", name, "x"]) for name in names] == [repr(found["0", name, "x"]) for name in names]
    assert found["1", "prices", "b"] == EXPECTED["prices", "b"]
    assert len(found) == len(names) * (1 + 3 + 1)


def test_only_what_is_wanted_is_unpacked() -> None:
    packed = made([part(["prices", "whole"], list(SYMBOLS))])
    assert unpacked([packed] * 2, ["prices"], symbols={"b", "c"}).keys() == {(n, "prices", "b") for n in "01"}
    assert unpacked([packed], ["prices"], symbols=set()) == {}


def test_parts_of_several_strategies_count_together() -> None:
    parts = [part(["prices"], ["x", "y"]), part(["prices"], ["y", "z"])]
    found = unpacked([made(parts)], ["prices"])
    assert found["0", "prices", "y"] == (2, 0, -0.03, 10.5, 10.47)


@pytest.mark.parametrize(
    "symbols", [["a", None, "b"], [f"s{number}" for number in range(by_symbol.MOST + 1)]], ids=["missing", "too many"]
)
def test_rows_without_a_symbol_or_of_too_many_have_none(symbols: list[str | None]) -> None:
    table, rows = part([], symbols)
    numbers = (parquet.field("n", pa.int64(), 16), pa.array(range(len(symbols))))
    table = LakeTable("t", '"t"', (Column(16, None, '"n"', "n", "BIGINT"), *table.columns))
    assert made([(table, Rows("a", len(symbols), [*rows.columns, numbers]))]).by_symbol == {}


def test_another_name_is_no_symbol() -> None:
    assert made([part(["prices"], list(SYMBOLS), "ticker")]).by_symbol == {}
    assert made([part(["prices"], list(SYMBOLS), "SYMBOL")]).by_symbol.keys() == {"t"}


def test_statistics_take_a_hundredth_or_are_not_kept_by_symbol() -> None:
    parts = [part(["prices", "whole"], list(SYMBOLS))]
    packed, plain = made(parts), made(parts, 0)
    assert packed.by_symbol.keys() == {"t"} and plain.by_symbol == {}
    just = 200 * (len(plain.packed) + 1 + len(packed.by_symbol["t"]))
    assert 200 * (len(packed.packed) + len(packed.by_symbol["t"])) <= just
    assert made(parts, just) == packed
    assert made(parts, just - 200) == plain


def test_columns_stand_by_their_field_ids_whatever_their_order() -> None:
    table, rows = part(["prices", "whole"], list(SYMBOLS))
    [(one, two)] = [(made([(table, rows)]), made([(table, Rows("a", rows.count, rows.columns[::-1]))]))]
    assert one == two
