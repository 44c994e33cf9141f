"""Which parts of a document become record tables, in which shape, and that each gives its text back by style alone."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lakestore.codec import decode, plan, render
from lakestore.codec.profiles.declaration import parse
from lakestore.codec.profiles.profile import Profile
from lakestore.codec.profiles.registry import shipped
from lakestore.model import NewColumn
from tests.schemas import MemorySchema, Stored, store

GENERIC = shipped()["generic"]
RECORDS = {str(place): {"size": place, "price": place * 1.5} for place in range(8)}
DAYS = [f"2024-01-{day:02}" for day in range(1, 13)]
STYLES: dict[str, Mapping[str, Any]] = {
    "compact": {"separators": (",", ":")},
    "default": {},
    "indented": {"indent": 2},
    "tab": {"indent": "\t"},
}


def own(tables: str, **more: Any) -> Profile:
    return parse(f'name = "own"\nversion = 1\n{more.get("head", "")}\n{tables}', "own.toml")


def encoded(
    document: Any, profile: Profile | str | None = None, schema: MemorySchema | None = None, **style: Any
) -> Stored:
    text = document if isinstance(document, bytes) else json.dumps(document, **style).encode()
    stored = store(text, schema or MemorySchema(), profile=profile)
    assert stored.text() == text
    return stored


def shapes(document: Any, profile: Profile = GENERIC) -> dict[str, str]:
    return {".".join(map(str, region.path)): region.form for region in plan.regions(document, profile)}


def rows(stored: Stored, table: str) -> list[dict[str, Any]]:
    region = next(region for region in stored.envelope.regions if region.table == table)
    found: pa.Table = decode.table_of(decode.node_of(stored.envelope, region, stored.fetch, "it"), region.meta)
    return found.to_pylist()


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ([{"a": 1}, {"b": 2}], "objects"),
        ([[1, "x"], [2, "y"]], "arrays"),
        ({"a": [1, 2], "b": ["x", None]}, "columns"),
        (RECORDS, "keyed"),
        ({str(place): 1.5 for place in range(1, 9)}, "pairs"),
        (dict.fromkeys(DAYS, 1), "pairs"),
        ({f"{day} 00:00:00": 1.5 for day in DAYS}, "pairs"),
        ({str(1_700_000_000_000 + place): None if place else 1.0 for place in range(9)}, "pairs"),
        ({"Size": dict.fromkeys(DAYS, 1), "Price": dict.fromkeys(DAYS, 1.5)}, "keyed_columns"),
        ({"a": dict.fromkeys(DAYS, 1), "b": dict.fromkeys(DAYS), "c": {day: [1] for day in DAYS}}, "keyed_columns"),
        ({side: {f"O-{place}-1": side for place in range(9)} for side in ("a", "b")}, "keyed_columns"),
        ({day: [{"a": place}] * (place % 3) for place, day in enumerate(DAYS)}, "pairs"),
        ({day.replace("-", ""): [{"a": 1}] for day in DAYS}, "pairs"),
        ({day.replace("-", ""): 1.5 for day in DAYS}, "pairs"),
        ({str(place * 86_400_000): 1.5 for place in range(-5, 12_000, 1_000)}, "pairs"),
        ({str(place * 86_400_000): 1.5 for place in range(0, 9_000, 1_000)}, "pairs"),
        ({str(1_700_000_000_000_000_000 + place): 1.5 for place in range(9)}, "pairs"),
        ({day: [place] for place, day in enumerate(DAYS)}, "keyed"),
        ({f"{day} 09:30:00": [place, "x", None] for place, day in enumerate(DAYS)}, "keyed"),
        ({day: [[10, 1.5, 0, "A", -15.0]] for day in DAYS}, "pairs"),
        ({day: [[place, "A"]] * (place % 3) for place, day in enumerate(DAYS)}, "pairs"),
        ({str(place): [place, 1.5] for place in range(9)}, "keyed"),
        ({str(place): [1.5] * 20 for place in range(9)}, "columns"),
        ({f"('{place}', 'A')": [1.5] * 20 for place in range(9)}, "columns"),
        ({"BTC/USDT": [{"a": 1}], "ETH/USDT": [{"a": 2}, {"b": 2}]}, "pairs"),
        ({"BTCUSDT": [{"a": 1}], "ETHUSDT": []}, "pairs"),
        ({"rb2305.SHFE": [{"a": 1}]}, "pairs"),
        ({"BTC": {"trades": [], "n": 0}, "ETH": {"trades": [{"a": 1}], "n": 1}}, "keyed"),
    ],
)
@pytest.mark.parametrize("style", STYLES)
def test_a_shape_at_the_top_becomes_a_table_by_its_style_alone(value: Any, form: str, style: str) -> None:
    assert shapes({"rows": value, "x": 1}) == {"rows": form}
    assert encoded({"rows": value, "x": 1}, **STYLES[style]).encoded.fidelity.kind == "style"


@pytest.mark.parametrize(
    ("document", "form"),
    [
        ([{"a": 1}], "objects"),
        (RECORDS, "keyed"),
        (dict.fromkeys(DAYS, 1.5), "pairs"),
        ({"Size": dict.fromkeys(DAYS, 1), "Price": dict.fromkeys(DAYS, 1.5)}, "keyed_columns"),
        ({"t": list(range(8)), "equity": [1.5] * 8}, "columns"),
        ({day: [1.5, place] for place, day in enumerate(DAYS)}, "keyed"),
        ({day: [[1.5, place]] for place, day in enumerate(DAYS)}, "pairs"),
    ],
)
@pytest.mark.parametrize("style", STYLES)
def test_a_document_that_is_a_table_becomes_records(document: Any, form: str, style: str) -> None:
    stored = encoded(document, **STYLES[style])
    assert [(region.table, region.form) for region in stored.envelope.regions] == [("records", form)]
    assert stored.encoded.fidelity.kind == "style"
    assert stored.envelope.skeleton == b""


@pytest.mark.parametrize(
    "value",
    [
        [1, 2, 3],
        [[1, 2], [3]],
        [{"a": 1}, 2],
        [{}, {}],
        [],
        {},
        {"a": [1, 2], "b": [1]},
        {"a": [], "b": []},
        dict(list(RECORDS.items())[:7]),
        {str(place): {"size": place} for place in range(2, 12)},
        {str(place): {"a": 1} if place % 2 else {"b": 1} for place in range(10)},
        {str(place): {"a": 1} if place else 5 for place in range(10)},
        dict.fromkeys(map(str, range(10)), "text"),
        dict.fromkeys(map(str, range(10))),
        dict.fromkeys([*DAYS[:-1], "total"], 1.5),
        dict.fromkeys([*DAYS, "2024-02-01 00:00:00"], 1.5),
        {f"\ud800{place}": 1 for place in range(10)},
        {"BTC": {"a": 1}, "ETH": {"a": 2}},
        {f"name{place}x{'y' * place}": {"a": 1} for place in range(10)},
        {f"P-{place}": {"a": 1} if place % 2 else {"b": 1} for place in range(10)},
        {f"P-{place}": 1.5 for place in range(10)},
        {"a" * 20 + "bcdefghijk"[place]: {"a": 1} for place in range(10)},
        {"Price": {day: [1] * (place % 2) for place, day in enumerate(DAYS)}},
        {"fast": [5, 10], "slow": [20, 50], "range": [[1, 2]]},
        {"range": [[1, 2]], "both": {"fast": [5, 10], "slow": [20, 50]}},
        {"BTC": {"trades": [{"a": 1}]}, "ETH": {"fills": [{"a": 1}]}},
        {"BTC": {"trades": [1]}, "ETH": {"trades": [2]}},
        {"BTC": {"trades": []}, "ETH": {"trades": []}},
        {"fast": {"trades": [{"a": 1}]}, "slow": {"trades": [{"a": 1}]}},
        {day: {"trades": [{"a": place}], day: [{"a": 1}]} for place, day in enumerate(DAYS)},
        {day: [{"a": 1}] if place else 1 for place, day in enumerate(DAYS)},
        {day: [1] * (place % 3) for place, day in enumerate(DAYS)},
        {day: [[1.5]] for day in DAYS[:7]},
        {day: [1.5] * 20 for day in DAYS[:7]},
        dict.fromkeys(map(str, range(120_000, 1_200_000, 60_000)), 1.5),
        {str(place * 86_400_000): 1.5 for place in range(9_000, 0, -1_000)},
        {str(place * 86_400_001): 1.5 for place in range(1, 12_000, 1_000)},
        {f"202313{place:02}": 1.5 for place in range(1, 10)},
    ],
)
def test_what_is_not_a_table_beyond_doubt_stays(value: Any) -> None:
    assert shapes({"it": value}) == {}


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ([{"a": 1}, {"b": 2}], "objects"),
        ([[place, "x"] for place in range(8)], "arrays"),
        ({"a": list(range(8)), "b": ["x"] * 8}, "columns"),
        (RECORDS, "keyed"),
        ({day: [1.5] for day in DAYS}, "keyed"),
        (dict.fromkeys(DAYS, 1.5), "pairs"),
        ({"Size": dict.fromkeys(DAYS, 1), "Price": dict.fromkeys(DAYS, 1.5)}, "keyed_columns"),
    ],
)
@pytest.mark.parametrize("style", STYLES)
def test_a_table_in_an_object_at_the_top_is_one_by_its_style_alone(value: Any, form: str, style: str) -> None:
    document = {"rows": 1, "data": {"id": "é", "rows": value, "x": {"rows": 1}}, "z": {"y": 1}}
    assert shapes(document) == {"data.rows": form}
    stored = encoded(document, **STYLES[style])
    assert [region.table for region in stored.envelope.regions] == ["rows"]
    assert stored.encoded.fidelity.kind == "style"


def test_a_name_that_stands_in_several_objects_is_a_table_in_none() -> None:
    document = {name: {"trades": [{"a": 1}], name: [{"b": 1}]} for name in ("BTC", "ETH")}
    assert shapes(document) == {"BTC.BTC": "objects", "ETH.ETH": "objects"}


@pytest.mark.parametrize(
    ("document", "tables"),
    [
        ({"live": {"trades": [{"a": 1}]}, "trades": [{"a": 2}]}, ["live_trades", "trades"]),
        ({"trades": [{"a": 1}], "live": {"trades": [{"a": 2}]}}, ["trades", "live_trades"]),
        ({"a.b": [{"a": 1}], "a": {"b": [{"a": 2}]}, "b": [{"a": 3}]}, ["a_b", "a_b_", "b"]),
    ],
)
def test_a_table_at_the_top_and_one_below_are_told_apart(document: Any, tables: list[str]) -> None:
    assert [region.table for region in encoded(document).envelope.regions] == tables


@pytest.mark.parametrize(
    "keys",
    [
        [f"P-{place}" for place in range(9)],
        [f"O-2024{place:04}-{place}" for place in range(9)],
        [f"O-20240102-143000-001-000-{place}" for place in range(5, 14)],
        [f"{place:032x}" for place in range(10**30, 10**30 + 9)],
        [str(uuid.UUID(int=place)) for place in range(9)],
    ],
)
def test_records_under_ids_are_a_table(keys: list[str]) -> None:
    stored = encoded({"orders": {key: {"price": 1.5} for key in keys}})
    assert [(region.table, region.form) for region in stored.envelope.regions] == [("orders", "keyed")]
    assert [row["key"] for row in rows(stored, "orders")] == keys


def test_arrays_of_each_symbol_are_one_table_and_arrays_of_names_are_tables() -> None:
    rows_of = [{"price": 1.5}], [{"price": 2.5}, {"price": 3.5}]
    stored = encoded({"trades": dict(zip(("BTCUSDT", "ETHUSDT"), rows_of, strict=True))})
    assert rows(stored, "trades") == [{"key": "BTCUSDT", "value": rows_of[0]}, {"key": "ETHUSDT", "value": rows_of[1]}]
    assert shapes({"legs": dict(zip(("entries", "exits"), rows_of, strict=True))}) == {
        "legs.entries": "objects", "legs.exits": "objects"
    }  # fmt: skip
    assert shapes({"legs": {"IN": [{"a": 1}], "OUT": [{"b": 1}]}}) == {"legs.IN": "objects", "legs.OUT": "objects"}
    assert shapes({"legs": {"OUT": [{"b": 1}]}}) == {"legs.OUT": "objects"}


def test_a_day_is_no_table() -> None:
    days = {day: [{"size": place}] if place else [] for place, day in enumerate(DAYS)}
    stored = encoded({"positions": days, "n": 1})
    assert [row["value"] for row in rows(stored, "positions")] == list(days.values())


def test_what_pandas_has_under_several_indexes_is_a_table() -> None:
    index = pd.MultiIndex.from_product([range(3), ["BTC, spot", "ETH"], range(20, 22)])
    frame = pd.DataFrame({"sharpe": np.arange(12) * 0.25, "trades": np.arange(12)}, index=index)
    written = {
        "heatmap": json.loads(frame["sharpe"].to_json()),
        "runs": json.loads(frame.to_json(orient="index")),
        "columns": json.loads(frame.to_json()),
    }
    stored = encoded({**written, "ranges": {"(0, 1)": 2}, "notes": {f"(see {n})": n for n in range(9)}})
    assert {region.table: region.form for region in stored.envelope.regions} == {
        "heatmap": "pairs", "runs": "keyed", "columns": "keyed_columns"
    }  # fmt: skip
    assert stored.encoded.fidelity.kind == "style"
    for table in written:
        assert [row["key"] for row in rows(stored, table)] == list(written["heatmap"])


def test_what_pandas_splits_has_the_names_of_its_columns() -> None:
    split = {"columns": ["t", "Open", "key"], "index": [5, 6], "data": [["2024-01-02", 1.5, 1], ["2024-01-03", 2.5, 2]]}
    stored = encoded({"bars": split, "n": 1})
    assert rows(stored, "bars")[1] == {"t": date(2024, 1, 3), "Open": 2.5, "key": 2}
    stored = encoded(split)
    assert rows(stored, "records")[1] == {"t": date(2024, 1, 3), "Open": 2.5, "key": 2}
    for names in (["a", "A"], ["a"], ["a", ""], ["a", 1], ["a", ["b", "c"]], 5):
        assert shapes({"bars": {"columns": names, "data": [[1, 2]] * 8}}) == {"bars.data": "arrays"}
        assert [r.table for r in encoded({"bars": {"columns": names, "data": [[1, 2]] * 8}}).envelope.regions] == [
            "data"
        ]


def test_compact_answers_of_clickhouse_have_the_names_of_their_columns() -> None:
    answer: dict[str, Any] = {
        "meta": [{"name": "day", "type": "Date"}, {"name": "pnl", "type": "Float64"}],
        "data": [["2024-01-02", 1.5], ["2024-01-03", 2.5]],
        "rows": 2,
    }
    assert rows(encoded(answer), "records")[1] == {"day": date(2024, 1, 3), "pnl": 2.5}
    assert rows(encoded({"pnl": answer, "n": 1}), "pnl")[1] == {"day": date(2024, 1, 3), "pnl": 2.5}
    for meta in ({}, 5, [], [1, 2]):
        assert shapes({"pnl": {"meta": meta, "data": [[1, 2]] * 8}}) == {"pnl.data": "arrays"}
    assert shapes({**answer, "trades": [{"a": 1}]}) == {"meta": "objects", "data": "arrays", "trades": "objects"}


def test_what_pandas_writes_as_table_is_named_after_its_key() -> None:
    def frame(*values: float) -> dict[str, Any]:
        return {
            "schema": {"fields": [{"name": "pnl", "type": "number"}], "pandas_version": "1.4.0"},
            "data": [{"pnl": value} for value in values],
        }

    stored = encoded({"trades": frame(1.5, -2.5), "equity": frame(10.5), "none": frame()})
    assert [region.table for region in stored.envelope.regions] == ["trades", "equity"]
    assert rows(stored, "trades") == [{"pnl": 1.5}, {"pnl": -2.5}]
    assert [region.table for region in encoded({"x": {"schema": {}, "data": [{"a": 1}]}}).envelope.regions] == ["data"]


def test_places_of_different_names_are_different_columns() -> None:
    tables = '[[tables]]\npath = ["equity"]\ncolumns = [["t", "value"], ["t", "open", "close"]]'
    schema = MemorySchema()
    encoded({"equity": [[1, 2.5]]}, own(tables), schema)
    second = encoded({"equity": [[1, 3.5, 4.5]]}, own(tables), schema)
    third = encoded({"equity": [{"t": 1, "close": 5.5}]}, None, schema)
    encoded({"equity": [[1, 2]]}, None, schema)
    found = {table.name: [column.name for column in table.columns] for table in schema.tables.values()}
    assert found == {"equity": ["t", "value", "open", "close", "c0", "c1"]}
    assert rows(second, "equity") == [{"t": 1, "open": 3.5, "close": 4.5}]
    assert rows(third, "equity") == [{"t": 1, "close": 5.5}]


def test_a_column_that_was_made_by_place_keeps_the_places_of_its_name() -> None:
    tables = '[[tables]]\npath = ["equity"]\ncolumns = [["t", "value"], ["t", "open", "close"]]'
    schema = MemorySchema()
    table = schema.table('"equity"', "equity")
    # As a lakestore that knew places alone reserved them.
    schema.reserve(
        table.name,
        [NewColumn(None, "[0]", "t", "BIGINT"), NewColumn(None, "[1]", "value", "DOUBLE")],
        widen=[],
        mark_wide=[],
        settype={},
    )
    encoded({"equity": [[1, 2.5]]}, own(tables), schema)
    encoded({"equity": [[1, 3.5, 4.5]]}, own(tables), schema)
    found = {table.name: [(column.key, column.name) for column in table.columns] for table in schema.tables.values()}
    assert found == {"equity": [("[0]", "t"), ("[1]", "value"), ('"open"', "open"), ('"close"', "close")]}


def test_a_curve_of_the_benchmark_is_not_taken_for_the_strategy_s() -> None:
    curve = [[place, place * 1.5] for place in range(9)]
    document = {
        "strategy": {"equity": curve, "drawdowns": curve, "sharpe": 1.5},
        "benchmark": {"equity": curve, "beta": 1.0},
    }
    assert shapes(document) == {"strategy.drawdowns": "arrays"}
    del document["strategy"]["sharpe"]
    assert shapes(document) == {"strategy.drawdowns": "arrays"}
    assert shapes({"strategy": {"name": "x", "rules": [{"a": 1}]}}) == {}


def test_a_result_of_short_lists_alone_is_not_one_table() -> None:
    assert shapes({"pairs": ["BTC", "ETH"], "timeframes": ["1h", "4h"]}) == {}
    assert shapes({"equity": [1.5] * 10}) == {}


def test_a_keyed_table_has_its_keys_and_its_members_as_columns() -> None:
    stored = encoded(
        {"orders": {"1": {"price": 2.5}, "2": {"tag": "x", "price": 3.5}}},
        own('[[tables]]\npath = ["orders"]\nform = "keyed"'),
    )
    assert rows(stored, "orders") == [
        {"key": 1, "price": 2.5, "tag": None},
        {"key": 2, "price": 3.5, "tag": "x"},
    ]
    assert stored.encoded.fidelity.kind == "style"


def test_columns_of_pandas_are_records() -> None:
    stored = encoded({"Size": {str(place): place for place in range(8)}, "Tag": dict.fromkeys(map(str, range(8)))})
    assert rows(stored, "records")[1] == {"key": 1, "Size": 1, "Tag": None}


KEYED = own(
    '[[tables]]\npath = ["orders"]\nform = "keyed"\nkey = "id"\ncolumns = [["value"], ["price", "size"]]\n'
    '[[tables]]\npath = ["list"]\ncolumns = ["amount"]\n'
    '[[tables]]\npath = ["frame"]\nform = "keyed_columns"'
)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ({"a": {"p": 1}, "b": {}}, "keyed"),
        ({"a": {"id": 1, "id_": 2}, "b": {"id": 2}}, "keyed"),
        ({"a": {"p": {"q": [1, {"r": None}]}}}, "keyed"),
        ({"10": [1.5, 2], "20": [2.5, 3]}, "keyed"),
        ({"a": {"p": 1}, "b": None}, "pairs"),
        ({"a": 1, "b": "x", "c": [1], "d": {"e": 1}}, "pairs"),
        ({"a": [[1, "x"], [2, "y"]], "b": []}, "pairs"),
        ({"a": [1], "b": [1, 2]}, "pairs"),
        ({"": 1, "é/\u2028": 2, "\ud800": 3, 'a"b\\': 4}, "pairs"),
        ({"007": 1, "7": 2}, "pairs"),
        ({"1": 1, "99999999999999999999": 2}, "pairs"),
        ({"x": None}, "pairs"),
    ],
)
@pytest.mark.parametrize("style", STYLES)
def test_a_keyed_object_that_a_profile_names_comes_back_by_its_style_alone(value: Any, form: str, style: str) -> None:
    assert shapes({"orders": value}, KEYED) == {"orders": form}
    stored = encoded({"a": 0, "orders": value, "z": 0}, KEYED, **STYLES[style])
    assert stored.encoded.fidelity.kind == "style"


def test_keys_that_stand_twice_come_back() -> None:
    text = b'{"orders": {"1": {"p": 1}, "2": {"p": 2}, "1": {"p": 3}, "3": {"p": 1, "p": 2}}}'
    assert encoded(text, KEYED).encoded.fidelity.kind != "style"


def test_keys_that_are_numbers_in_one_result_and_text_in_another_come_back_from_one_table() -> None:
    schema = MemorySchema()
    for value in ({"1": {"p": 1}}, {"a": {"p": 1}}, {"2024-01-01": {"p": 1}}, {"5": {"p": 2}, "b": {"p": 3}}):
        assert encoded({"orders": value}, KEYED, schema).encoded.fidelity.kind == "style"
    schema = MemorySchema()
    for value in ({"a": 1}, {"1": 1}, {"2024-01-01": "x"}):
        assert encoded({"orders": value}, KEYED, schema).encoded.fidelity.kind == "style"


@pytest.mark.parametrize("keep_as", ["keyed", "pairs", "keyed_columns"])
def test_an_object_of_more_rows_than_are_rendered_at_once_comes_back(keep_as: str) -> None:
    n = render.BLOCK + 5
    value: dict[str, Any]
    match keep_as:
        case "keyed":
            value = {str(place): {"a": place, "b": "x"} if place % 3 else {"b": "y"} for place in range(n)}
        case "pairs":
            value = {f"k{place}": place / 4 for place in range(n)}
        case _:
            value = {name: {str(place): place for place in range(n)} for name in "ab"}
    stored = encoded({"frame" if keep_as == "keyed_columns" else "orders": value}, KEYED, indent=1)
    assert [(region.form, region.rows) for region in stored.envelope.regions] == [(keep_as, n)]
    assert stored.encoded.fidelity.kind == "style"


@pytest.mark.parametrize("profile", ["generic", "lean", "backtrader"])
def test_numbers_that_no_dialect_writes_come_back_in_every_shape_of_object(profile: str) -> None:
    number = numbers()
    text = (
        "{"
        + ", ".join(
            f'"{key}": {{' + ", ".join(f'"{place}": {next(number)}' for place in range(1, 20)) + "}"
            for key in ("profitLoss", "orders", "rows")
        )
        + ', "analyzers": {"time_return": {'
        + ", ".join(f'"{day}": {next(number)}' for day in DAYS)
        + "}}}"
    )
    encoded(text.encode(), profile)


def numbers() -> Iterator[str]:
    return itertools.cycle(["1.50", "1E5", "-0.0", "1e-7", "100.000", "7", "0.1", "1.5e+300", "-0"])


def test_names_for_places_are_those_of_their_number() -> None:
    schema = MemorySchema()
    encoded({"orders": {"10": [1.5, 2], "20": [2.5, 3]}}, KEYED, schema)
    encoded({"list": [1.5, 2.5]}, KEYED, schema)
    found = {table.name: [column.name for column in table.columns] for table in schema.tables.values()}
    assert found == {"orders": ["id", "price", "size"], "list": ["amount"]}


def test_a_list_of_scalars_is_a_table_where_a_profile_names_it() -> None:
    stored = encoded({"list": [1.5, None, "x"], "other": [1, 2]}, KEYED)
    assert [region.form for region in stored.envelope.regions] == ["scalars"]
    assert stored.encoded.fidelity.kind == "style"


def test_a_profile_says_what_stays() -> None:
    profile = own("", head='lift = true\nskip = [["yearly"], ["nested", "*", "rows"]]')
    assert shapes({"yearly": [[1, 2]], "daily": [[1, 2]]}, profile) == {"daily": "arrays"}


def test_what_a_profile_names_inside_is_preferred_to_the_whole() -> None:
    profile = own('[[tables]]\npath = ["charts", "equity"]', head="lift = true")
    document = {"charts": {"equity": [[1, 2]], "other": [[1, 2]] * 8}, "rows": [[1]]}
    assert shapes(document, profile) == {"charts.equity": "arrays", "charts.other": "arrays", "rows": "arrays"}


def test_a_table_inside_another_is_part_of_it() -> None:
    profile = own('[[tables]]\npath = ["a"]\nform = "keyed"\n[[tables]]\npath = ["a", "*", "rows"]')
    assert shapes({"a": {"x": {"rows": [{"b": 1}]}}}, profile) == {"a": "keyed"}
    # The outer one is no table here, so that the inner ones are.
    profile = own('[[tables]]\npath = ["a"]\n[[tables]]\npath = ["a", "*", "rows"]\ntable = "inner"')
    assert shapes({"a": {"x": {"rows": [{"b": 1}]}}}, profile) == {"a.x.rows": "objects"}


def test_beyond_the_limit_what_a_profile_names_comes_first() -> None:
    profile = own('[[tables]]\npath = ["last"]', head="lift = true")
    document = {f"t{place}": [{"a": 1}] for place in range(plan.MAX_TABLES + 5)} | {"last": [{"a": 1}]}
    found = list(shapes(document, profile))
    assert len(found) == plan.MAX_TABLES
    assert found[-1] == "last" and found[0] == "t0"
    assert encoded(document, profile).encoded.fidelity.kind == "style"


@pytest.mark.parametrize(
    "document",
    [
        {f"k{place}": place for place in range(1_000_000)},
        {f"k{place}": [place] for place in range(1_000_000)},
        {"strategy": {key: {"a": 1} for key in map(str, range(1000000))}, "strategy_comparison": []},
    ],
    ids=["scalars", "lists", "nested"],
)
def test_a_million_keys_are_no_burden(document: dict[str, Any]) -> None:
    start = time.process_time()
    for profile in shipped().values():
        profile.recognises(document)
    assert plan.regions(document, GENERIC) == []
    assert time.process_time() - start < 2
