"""Columns as Python values: long tables of known keys are made by a display, whatever the keys hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakestore.codec import values
from lakestore.codec.columnise import columnise

AWKWARD = ["v0", "'", '"', "\\", "\n", "{x}", "\u2028", "\x00", "", "price", "λ", "__import__('os')", "'): 1}]#"]


@settings(max_examples=60, deadline=None)
@given(
    keys=st.lists(
        st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=["Cs"])), min_size=1, unique=True
    ),
    rows=st.sampled_from([1, values._COMPILED - 1, values._COMPILED]),
)
def test_records_have_their_keys_in_order(keys: list[str], rows: int) -> None:
    records = [{key: (row, f"{row % 7}")[place % 2] for place, key in enumerate(keys)} for row in range(rows)]
    made = values.values(columnise(records))
    assert made == records
    assert [*made[-1]] == keys


@pytest.mark.parametrize("count", [1, values._DISPLAYED, values._DISPLAYED + 1, 300])
def test_any_number_of_keys(count: int) -> None:
    records = [{f"k{place}": row + place for place in range(count)} for row in range(values._COMPILED)]
    assert values.values(columnise(records)) == records


def test_texts_that_repeat_and_texts_that_do_not() -> None:
    records = [{"same": "a", "other": f"{row}", "few": "xy"[row % 2]} for row in range(values._COMPILED)]
    made = values.values(columnise(records))
    assert made == records
    assert all(type(value) is str for record in made for value in record.values())
