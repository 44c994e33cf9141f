"""One DOUBLE column over files of other physical types: every value exact, every filter right."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lakestore import query
from tests.query_lake import QueryLake, column, stored

KINDS = ("int", "double", (18, 2), (15, 1), (9, 3), (18, 8), (4, 2), (18, 15), (18, 0))
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: _order(a) == _order(b),
    "<>": lambda a, b: _order(a) != _order(b),
    "<": lambda a, b: _order(a) < _order(b),
    "<=": lambda a, b: _order(a) <= _order(b),
    ">": lambda a, b: _order(a) > _order(b),
    ">=": lambda a, b: _order(a) >= _order(b),
}


def _order(value: float) -> tuple[bool, float]:
    # SQL sorts NaN after infinity and equal to itself.
    return (math.isnan(value), 0.0 if math.isnan(value) else value)


def _bits(value: float) -> bytes | str:
    return "nan" if math.isnan(value) else struct.pack("<d", value)


@dataclass
class Numbers:
    """A lake with one table of numbers (flat, in a STRUCT, in a LIST of STRUCT) and what each row holds."""

    lake: QueryLake
    truth: dict[int, float]
    connection: duckdb.DuckDBPyConnection


def _draw(rnd: random.Random, kind: str | tuple[int, int]) -> tuple[object, float]:
    if kind == "int":
        whole = rnd.choice([rnd.randrange(-(2**53), 2**53 + 1), rnd.randrange(-20, 20), 2**53, -(2**53), 2**53 - 1])
        return whole, float(whole)
    if kind == "double":
        near = rnd.choice([0.1, 1.25, 100.0])
        drawn = [rnd.random(), round(rnd.uniform(-10, 10), 2), near, math.nextafter(near, 9e9), -0.0, 1e300, 5e-324]
        value = rnd.choice([*drawn, math.inf, -math.inf, math.nan])
        return value, value
    assert isinstance(kind, tuple)
    precision, scale = kind
    limit = min(10**precision - 1, 2**53)
    drawn_units = [rnd.randrange(-limit, limit + 1), rnd.randrange(-min(limit, 2000), min(limit, 2000)), limit, -limit]
    units = rnd.choice([*drawn_units, 10**scale // 10, min(limit, 125 * 10**scale // 100)])
    value = Decimal(units).scaleb(-scale)
    return value, float(value)


@pytest.fixture(params=range(5))
def numbers(request: pytest.FixtureRequest, tmp_path: Path) -> Numbers:
    rnd = random.Random(request.param)
    lake = QueryLake(tmp_path)
    lake.table(
        "t",
        column(16, "k", "BIGINT"),
        column(17, "p", "DOUBLE"),
        column(18, "s", "STRUCT"),
        column(19, "px", "DOUBLE", 18),
        column(20, "o", "LIST"),
        column(21, "[]", "STRUCT", 20),
        column(22, "px", "DOUBLE", 21),
    )
    truth: dict[int, float] = {}
    kinds = [*rnd.sample(KINDS, 3), "double"]
    rnd.shuffle(kinds)
    for kind in kinds if request.param else ["double"]:
        drawn = [_draw(rnd, kind) for _ in range(24)]
        first = len(truth)
        truth |= {first + i: value for i, (_, value) in enumerate(drawn)}
        typ = pa.int64() if kind == "int" else pa.float64() if kind == "double" else pa.decimal128(*kind)
        member, element = pa.struct([stored("px", typ, 19)]), pa.struct([stored("px", typ, 22)])
        listed = pa.list_(stored("element", element, 21))
        raw = [value for value, _ in drawn]
        lake.write(
            "t",
            [stored("k", pa.int64(), 16), stored("p", typ, 17), stored("s", member, 18), stored("o", listed, 20)],
            [range(first, first + 24), raw, [{"px": v} for v in raw], [[{"px": v}] for v in raw]],
            task_ids=["x"] * 24,
            options={
                "row_group_size": rnd.choice([6, 24]),
                "write_statistics": rnd.random() < 0.8,
                "use_dictionary": rnd.random() < 0.5,
                "data_page_version": rnd.choice(["1.0", "2.0"]),
            },
        )
    return Numbers(lake, truth, query.connect(tmp_path, lake.snapshot(), config={"threads": 1}))


def test_every_value_is_exact_flat_and_nested(numbers: Numbers) -> None:
    rows = numbers.connection.execute("SELECT k, p, s.px, o[1].px FROM t").fetchall()
    assert len(rows) == len(numbers.truth)
    for k, *found in rows:
        assert [_bits(value) for value in found] == [_bits(numbers.truth[k])] * 3


def test_comparisons_at_the_borders_find_exactly_the_right_rows(numbers: Numbers) -> None:
    finite = [value for value in numbers.truth.values() if math.isfinite(value)]
    near = [*random.Random(1).sample(finite, 5), 0.1, 1.25, 2.0**53]
    borders = [*near, *(math.nextafter(v, math.inf) for v in near), *(math.nextafter(v, -math.inf) for v in near)]
    for shown in ("p", "s.px", "o[1].px"):
        for border in borders:
            for operator, holds in OPERATORS.items():
                sql = f"SELECT k FROM t WHERE {shown} {operator} '{border!r}'::DOUBLE"
                found = {k for (k,) in numbers.connection.execute(sql).fetchall()}
                assert found == {k for k, value in numbers.truth.items() if holds(value, border)}, sql


@pytest.mark.parametrize("literal", ["0.1", "1.25", "100", "-0.0", "0.10000000000000002", "'NaN'::DOUBLE"])
def test_plain_literals_mean_the_double(numbers: Numbers, literal: str) -> None:
    value = math.nan if "NaN" in literal else float(literal)
    for operator, holds in OPERATORS.items():
        if literal == "0.10000000000000002" and operator != "=":
            continue
        found = numbers.connection.execute(f"SELECT k FROM t WHERE p {operator} {literal}").fetchall()
        assert {k for (k,) in found} == {k for k, v in numbers.truth.items() if holds(v, value)}, operator


def test_extremes_and_order_know_of_nan(numbers: Numbers) -> None:
    ordered = sorted(numbers.truth.values(), key=_order)
    [(low, high, count)] = numbers.connection.execute("SELECT min(p), max(p), count(p) FROM t").fetchall()
    assert (_order(low), _order(high), count) == (_order(ordered[0]), _order(ordered[-1]), len(ordered))
    for direction, want in (("", ordered[:5]), ("DESC", ordered[::-1][:5])):
        found = numbers.connection.execute(f"SELECT p FROM t ORDER BY p {direction} LIMIT 5").fetchall()
        assert [_order(value) for (value,) in found] == [_order(value) for value in want]


def test_joins_on_a_double_find_every_partner(numbers: Numbers) -> None:
    numbers.connection.execute("CREATE TABLE wanted AS SELECT p FROM t WHERE k % 3 = 0 LIMIT 4")
    wanted = {_order(v) for (v,) in numbers.connection.execute("FROM wanted").fetchall()}
    found = numbers.connection.execute("SELECT k FROM t SEMI JOIN wanted USING (p)").fetchall()
    assert {k for (k,) in found} == {k for k, v in numbers.truth.items() if _order(v) in wanted}


def test_wide_integers_keep_every_digit(tmp_path: Path) -> None:
    lake = QueryLake(tmp_path)
    lake.table("t", column(16, "n", "BIGINT"))
    lake.write("t", [stored("n", pa.int64(), 16)], [[2**63 - 1, -(2**63), 2**53 + 1]], task_ids=["a", "b", "c"])
    with query.connect(tmp_path, lake.snapshot()) as con:
        assert con.execute("SELECT task_id FROM t WHERE n = 9007199254740993").fetchall() == [("c",)]
        assert con.execute("SELECT min(n), max(n) FROM t").fetchall() == [(-(2**63), 2**63 - 1)]
