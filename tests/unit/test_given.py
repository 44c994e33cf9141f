"""Python values that engines give: what is written, what is refused."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lakestore.codec import given
from lakestore.errors import InvalidInputError
from tests.schemas import serialised


class Side(enum.Enum):
    BUY = "buy"


class Level(enum.IntEnum):
    HIGH = 3


CONVERTED: list[tuple[Any, str]] = [
    ((1, 2), "[1,2]"),
    (np.float64(0.1), "0.1"),
    (np.int32(7), "7"),
    (np.bool_(True), "true"),
    (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), '"2026-01-02T03:04:05+00:00"'),
    (dt.date(2026, 1, 2), '"2026-01-02"'),
    (np.datetime64("2026-01-02T03:04:05"), '"2026-01-02T03:04:05"'),
    (np.datetime64("2026-01-02"), '"2026-01-02"'),
    (np.datetime64("2026-01-02T03:04:05", "ns"), '"2026-01-02T03:04:05.000000000"'),
    (pd.Timestamp("2026-01-02T03:04:05Z"), '"2026-01-02T03:04:05+00:00"'),
    (decimal.Decimal("1.10"), "1.1"),
    (decimal.Decimal("7"), "7"),
    (uuid.UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
    (Side.BUY, '"buy"'),
    (Level.HIGH, "3"),
    (float("nan"), "NaN"),
    (-0.0, "-0.0"),
    (1e-05, "1e-05"),
    (0.00001234, "1.234e-05"),
    (1e16, "1e+16"),
    (10**400, str(10**400)),
    ("é\u2028", '"é\u2028"'),
    ("\ud800", '"\\ud800"'),
    ("\x00\x7f", '"\\u0000\x7f"'),
]


@pytest.mark.parametrize(("value", "written"), CONVERTED, ids=lambda item: repr(item)[:30])
def test_a_value_is_written_as_pythons_json_would(value: Any, written: str) -> None:
    assert serialised({"v": value}).decode() == f'{{"v":{written}}}'


def test_a_value_in_jsons_own_types_is_not_parsed_again() -> None:
    value = {"a": [{"b": 1, "c": [0.5, "e", True]}], "d": {}}
    made = given.written(value)
    assert made.value is value and json.loads(made.text) == value


@pytest.mark.parametrize("odd", [None, float("nan"), float("-inf"), 1e-7, 1e22])
def test_of_numbers_that_orjson_writes_otherwise_the_value_is_kept(odd: Any) -> None:
    value = {"a": [{"b": 1}, {"b": odd}], "c": [[odd, 2], [3.5, odd]]}
    made = given.written(value)
    assert made.value is value and repr(json.loads(made.text)) == repr(value)
    assert made.python == (odd is not None and not math.isfinite(odd))


@pytest.mark.parametrize("odd", [(1, 2), Side.BUY, Level.HIGH, uuid.UUID(int=5), np.float64(1e-7), 10**30])
def test_a_value_in_other_types_is_what_its_text_says(odd: Any) -> None:
    value = {"a": [{"b": 1}, {"b": odd}]}
    made = given.written(value)
    assert made.value is not value
    assert made.value is None or repr(made.value) == repr(json.loads(made.text))


def test_values_of_a_column_are_converted_where_they_stand() -> None:
    rows = [{"at": dt.datetime(2026, 1, 1, n % 24), "size": np.float64(n), "tag": None} for n in range(100)]
    curve = [(n, n / 7) for n in range(200)]
    made = given.written({"rows": rows, "curve": curve, "name": "x"})
    assert made.value is not None and made.value["name"] == "x"
    assert made.value["rows"][25] == {"at": "2026-01-01T01:00:00", "size": 25.0, "tag": None}
    assert made.value["curve"] == [list(pair) for pair in curve]
    assert rows[25]["size"].__class__ is np.float64
    assert json.loads(made.text) == made.value


@pytest.mark.parametrize(
    ("source", "found"),
    [(b"[1e5]", True), (b"[11e-7]", True), (b"[1.5e+300]", True), (b'"1e"', False), (b'["e5", "a1e"]', False)],
)
def test_exponents_are_found_at_even_and_odd_places(source: bytes, found: bool) -> None:
    assert given._exponents(source) is found
    assert given._exponents(b" " + source) is found


def test_a_word_is_found_at_any_place() -> None:
    for before in range(6):
        for behind in range(3):
            source = b"n" * before + b"null" + b"n" * behind
            assert given._holds(source, b"null")
            assert not given._holds(source, b"nuln")
    for short in (b"", b"n", b"nu", b"nul"):
        assert not given._holds(short, b"null")


@dataclass
class _Trade:
    price: float = 1.5


class _Quote:
    __struct_fields__ = ("price",)


class _Model:
    def model_dump(self) -> dict[str, Any]:
        return {"price": 1.5}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, r"\$\.a\[0\]\.v: set has no form in JSON; .* \(sorted, it is a list\)"),
        (pd.Series([1]), r"\$\.a\[0\]\.v: Series has no form .* \(its \.tolist\(\)\)"),
        (b"x", r"\$\.a\[0\]\.v: bytes has no form .* \(its \.decode\(\)\)"),
        (pd.NA, r"\$\.a\[0\]\.v: NAType has no form .* \(a missing value is None\)"),
        (_Trade(), r"\$\.a\[0\]\.v: _Trade has no form .* \(dataclasses\.asdict of it\)"),
        (_Quote(), r"\$\.a\[0\]\.v: _Quote has no form .* \(msgspec\.to_builtins of it\)"),
        (_Model(), r"\$\.a\[0\]\.v: _Model has no form .* \(its \.model_dump\(\)\)"),
        ({(5, 20): 1.5}, r"\$\.a\[0\]\.v: key \(5, 20\) is tuple; .*: give \{str\(key\): value for"),
        (
            pd.DataFrame({"a": [1]}),
            r"\$\.a\[0\]\.v: DataFrame has no form .* \(a table beside the document: tables=…\)",
        ),
        (object(), r"\$\.a\[0\]\.v: object has no form"),
        (np.datetime64("NaT", "ns"), r"\$\.a\[0\]\.v: datetime64 has no form"),
        (np.timedelta64(5, "ns"), r"\$\.a\[0\]\.v: timedelta64 has no form"),
        (pd.NaT, r"\$\.a\[0\]\.v: NaTType has no form .* \(a missing time is None\)"),
        (dt.timedelta(1), r"\$\.a\[0\]\.v: timedelta has no form .* \(its \.total_seconds\(\)\)"),
        (np.array([1]), r"\$\.a\[0\]\.v: ndarray has no form .* \(its \.tolist\(\)\)"),
        ({2: 1}, r"\$\.a\[0\]\.v: key 2 is int"),
        ("\ud83d\ude42", r"\$\.a\[0\]\.v: .* in two halves"),
        (decimal.Decimal("0.1000000000000000000000001"), r"\$\.a\[0\]\.v: Decimal .* more digits"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_its_path(value: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        serialised({"a": [{"v": value}]})


def test_a_value_that_holds_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["v"] = value
    with pytest.raises(InvalidInputError, match="holds itself"):
        serialised(value)
