"""The strategies and writers themselves: valid for Python's json, and as awkward as they say."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from tests import strategies, writers
from tests.writers import Raw, Style, write

SLOW = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)


@SLOW
@given(strategies.texts())
def test_every_text_is_accepted_by_python(text: bytes) -> None:
    json.loads(text)
    text.decode("utf-8")


@SLOW
@given(strategies.json_values() | strategies.documents() | strategies.records(), strategies.styles())
def test_python_floats_bring_every_value_back(value: Any, style: Style) -> None:
    kept = Style(**{name: getattr(style, name) for name in Style.__slots__} | {"floats": "python"})
    assert repr(json.loads(write(value, kept))) == repr(value)


@SLOW
@given(strategies.json_values() | strategies.documents())
def test_python_styles_are_those_of_json_dumps(value: Any) -> None:
    for indent in (None, 0, 1, 2, 4, "\t"):
        step = " " * indent if isinstance(indent, int) else indent
        assert write(value, Style(indent=step)) == json.dumps(value, indent=indent).encode()
    assert write(value, Style(item=",", key=":")) == json.dumps(value, separators=(",", ":")).encode()


@SLOW
@given(strategies.json_values())
def test_texts_and_white_space_are_those_of_orjson(value: Any) -> None:
    try:
        compact, spread = orjson.dumps(value), orjson.dumps(value, option=orjson.OPT_INDENT_2)
    except (TypeError, orjson.JSONEncodeError):
        return
    if any(isinstance(part, float) and not 1e-4 <= abs(part) < 1e16 for part in _parts(value)):
        return
    assert write(value, Style(item=",", key=":", ascii=False, floats="orjson")) == compact
    assert write(value, Style(indent="  ", ascii=False, floats="orjson")) == spread


@SLOW
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_exact_float_dialects_keep_the_value(x: float) -> None:
    for name in ("python", "orjson", "msgspec", "rapidjson", "javascript", "dotnet"):
        read = json.loads(writers.FLOATS[name](x))
        assert float(read) == x
        if name != "javascript":
            assert type(read) is float
            assert math.copysign(1, read) == math.copysign(1, x)


@pytest.mark.parametrize(
    ("x", "texts"),
    [
        (248.0, "248.0 248.0 248.0 248.0 248 248.0"),
        (-0.0, "-0.0 -0.0 -0.0 -0.0 0 -0.0"),
        (4.756e-05, "4.756e-05 0.00004756 0.00004756 0.00004756 0.00004756 4.756E-05"),
        (1e-06, "1e-06 1e-6 1e-6 0.000001 0.000001 1E-06"),
        (1.5e-07, "1.5e-07 1.5e-7 1.5e-7 1.5e-7 1.5e-7 1.5E-07"),
        (1e16, "1e+16 1e+16 1e16 10000000000000000.0 10000000000000000 1E+16"),
        (1.5e22, "1.5e+22 1.5e+22 1.5e22 1.5e22 1.5e+22 1.5E+22"),
        (-123.456, "-123.456 -123.456 -123.456 -123.456 -123.456 -123.456"),
        (float("nan"), "NaN null null null null null"),
    ],
)
def test_float_dialects_differ_as_their_programs_do(x: float, texts: str) -> None:
    names = ("python", "orjson", "msgspec", "rapidjson", "javascript", "dotnet")
    assert " ".join(writers.FLOATS[name](x) for name in names) == texts


def test_rounding_dialects_write_as_pandas_does() -> None:
    assert writers.FLOATS["pandas_fixed15"](522.72) == "522.720000000000027"
    assert writers.FLOATS["pandas15"](248.0) == "248.0"
    assert writers.FLOATS["pandas10"](1 / 3) == "0.3333333333"
    assert writers.FLOATS["fixed8"](0.5) == "0.50000000"
    assert writers.FLOATS["ruby"](1e-5) == "1.0e-05"
    assert writers.FLOATS["rapidjson_cpp"](-1.4509086898153556) == "-1.4509086898153557"
    assert writers.FLOATS["rapidjson_cpp"](1.5) == "1.5"
    assert writers.FLOATS["pandas_ujson10"](1.19287991090052e-31) == "1.192879911e-31"


def test_styles_write_what_they_name() -> None:
    value = {"a/b": ["é\b", {}, [], Raw("1E5")], "x": {"y": [1, 2]}}
    assert write(value, Style(slash=True)) == b'{"a\\/b": ["\\u00e9\\b", {}, [], 1E5], "x": {"y": [1, 2]}}'
    assert write(value, Style(indent="\t", inline_from=2, item=",", key=":", ascii=False, short=False)).decode() == (
        '{\n\t"a/b":[\n\t\t"é\\u0008",\n\t\t{},\n\t\t[],\n\t\t1E5\n\t],\n\t"x":{\n\t\t"y":[1,2]\n\t}\n}'
    )
    assert write([[], 1], Style(indent="  ", empty="\n\n")) == b"[\n  [\n\n  ],\n  1\n]"
    assert write([{}, 1], Style(indent="  ", empty=" ")) == b"[\n  { },\n  1\n]"
    assert write([1], Style(indent=" ", newline="\r\n", final="\r\n", bom=True)) == b"\xef\xbb\xbf[\r\n 1\r\n]\r\n"
    assert write([1, 2], Style(item=","), gaps=[" ", "\t"]) == b" [\t1 ,\t2 ]\t"


def _parts(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _parts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _parts(item)


def _has(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: any(test(part) for part in _parts(value))


@pytest.mark.parametrize(
    "test",
    [
        lambda v: isinstance(v, float) and v != v,
        lambda v: isinstance(v, float) and v == 0 and math.copysign(1, v) < 0,
        lambda v: type(v) is int and abs(v) == 10**400,
        lambda v: type(v) is int and v == 2**53 + 1,
        lambda v: isinstance(v, float) and v == 5e-324,
        lambda v: isinstance(v, str) and any("\ud800" <= c < "\ue000" for c in v),
        lambda v: isinstance(v, str) and "\x00" in v,
        lambda v: isinstance(v, dict) and {"Price", "price"} <= set(v),
        lambda v: isinstance(v, dict) and "" in v,
        lambda v: isinstance(v, list) and len({tuple(r) for r in v if isinstance(r, dict)}) > 1,
        lambda v: isinstance(v, list) and {int, float} <= {type(x) for x in v},
    ],
)
def test_the_awkward_end_is_reached(test: Callable[[Any], bool]) -> None:
    same = settings(max_examples=5000, phases=[Phase.generate], database=None, deadline=None, derandomize=True)
    find(strategies.json_values(), _has(test), settings=same)


@SLOW
@given(strategies.strategy_names(), strategies.task_ids())
def test_identities_stay_within_their_limits(strategy: str, task_id: str) -> None:
    assert strategy
    assert "\x00" not in strategy + task_id
    assert 0 < len(task_id.encode()) <= 512


@SLOW
@given(strategies.documents(identified=True))
def test_identified_documents_have_an_identity(value: dict[str, Any]) -> None:
    assert list({"task_id", "strategy", "status", "created_at"} - set(value)) == []
    assert all(isinstance(value[key], str) and value[key] for key in ("task_id", "strategy", "status", "created_at"))


def test_nested_is_as_deep_as_asked() -> None:
    depth, value = 0, strategies.nested(900)
    while not isinstance(value, float):
        value = value[0] if isinstance(value, list) else value["k"]
        depth += 1
    assert depth == 900
