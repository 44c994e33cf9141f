"""A document read: types that are looked at only where no columns are made of them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from lakestore.codec import text
from lakestore.codec.columnise import columnise
from lakestore.codec.draft import read
from lakestore.codec.given import written
from lakestore.codec.text import ForeignError
from tests.unit.test_given import Level, Side

FOREIGN: tuple[Any, ...] = ((1, 2), Side.BUY, Level.HIGH, uuid.UUID(int=5))
PLACES = (
    lambda odd: {"rows": [{"a": 1}, {"a": odd}]},
    lambda odd: {"rows": [{"a": odd}, {"a": odd}]},
    lambda odd: {"rows": [{"a": 1}, {"a": {"b": [odd]}}, {"a": "x"}]},
    lambda odd: {"rows": [{"a": {str(n): odd}} for n in range(600)]},
    lambda odd: {"rows": [odd, odd]},
    lambda odd: {"columns": {"a": [1, 2], "b": [odd, odd]}},
    lambda odd: {"params": {"a": [odd]}, "rows": [{"a": 1}]},
    lambda odd: {"status": odd},
)


@pytest.mark.parametrize("odd", FOREIGN, ids=repr)
@pytest.mark.parametrize("place", PLACES)
def test_a_value_in_other_types_is_read_as_its_text(place: Any, odd: Any) -> None:
    value = place(odd)
    given, seen = written(value, unseen=True), written(value)
    draft = read(given.text, "it", None, given=given)
    plain = read(seen.text, "it", None)
    assert (draft.text, draft.value) == (plain.text, plain.value)
    assert text.in_json_types(draft.value)
    assert [region.path for region in draft.regions] == [region.path for region in plain.regions]


def test_a_value_in_jsons_own_types_is_taken_as_it_is() -> None:
    value = {"rows": [{"a": 1, "b": [0.5, "x"]}], "params": {"a": True}}
    given = written(value, unseen=True)
    assert given.value is value
    assert read(given.text, "it", None, given=given).value is value


@pytest.mark.parametrize("odd", [float("nan"), float("-inf"), 1e-05, -1e22, {"a": 1e-05}, [float("nan")], (1e-05,)])
@pytest.mark.parametrize("place", PLACES)
def test_a_float_that_orjson_writes_otherwise_is_met_where_columns_are_made(
    place: Any, odd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakestore.codec.given._LOOKED", 0)
    value = {"rows": [{"a": 0.5, "b": "x" * 60}] * 1200, "last": place(odd)}
    given = written(value, unseen=True)
    assert given.unseen
    assert read(given.text, "it", None, given=given).text == text.dump(value).encode()


def test_columns_are_made_of_jsons_own_types_alone() -> None:
    for odd in FOREIGN:
        with pytest.raises(ForeignError):
            columnise([1, odd])
