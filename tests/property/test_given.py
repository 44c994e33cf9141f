"""The document of a value is what Python's `json` writes of it, however orjson is helped to write it."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakestore.codec import text
from lakestore.codec.draft import read
from lakestore.codec.given import _plain_value, written
from lakestore.codec.text import dump
from lakestore.errors import InvalidInputError


class Kind(enum.Enum):
    LONG = "long"
    PRICE = 1e-07


FLOATS = st.one_of(
    st.floats(), st.sampled_from([1e-05, 9.999e-05, 0.0001, 1e15, 1e16, -0.0, 5e-324, float("nan"), float("inf")])
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    FLOATS,
    st.text(max_size=4),
    st.sampled_from(["1e5", "null", '"', ":1e-7,", "\ud800", "\ud83d\ude42"]),
)
FOREIGN = st.one_of(
    FLOATS.map(np.float64),
    st.floats(width=32).map(np.float32),
    st.integers(0, 2**63).map(np.uint64),
    st.booleans().map(np.bool_),
    st.datetimes(),
    st.dates(),
    st.datetimes(timezones=st.just(dt.UTC)).map(lambda at: np.datetime64(at.replace(tzinfo=None))),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-9, max_value=9),
    st.just(decimal.Decimal("NaN")),
    st.uuids(),
    st.sampled_from(Kind),
    st.just(np.str_("text")),
    st.just(OrderedDict(a=1e-07)),
    st.just(np.timedelta64(3, "s")),
    st.just(np.datetime64("NaT", "ns")),
    st.just({1}),
)
ITEMS = st.one_of(SCALARS, FOREIGN)


def containers(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.text(max_size=3)
    return st.one_of(
        st.lists(inside, max_size=5),
        st.lists(inside, max_size=3).map(tuple),
        st.dictionaries(keys, inside, max_size=4),
        st.dictionaries(st.one_of(keys, st.integers()), inside, max_size=2),
    )


VALUES = st.recursive(ITEMS, containers, max_leaves=12)


@st.composite
def records(draw: st.DrawFn, kinds: Sequence[st.SearchStrategy[Any]]) -> list[Any]:
    """Rows, some with other keys or another order of them, of columns that are mostly of one kind."""
    keys = draw(st.lists(st.text(max_size=3), min_size=1, max_size=4, unique=True))
    columns = {key: draw(st.lists(draw(st.sampled_from(kinds)), min_size=1, max_size=3)) for key in keys}
    size = draw(st.sampled_from([1, 2, 5, 70]))
    rows = [{key: columns[key][place % len(columns[key])] for key in keys} for place in range(size)]
    if draw(st.booleans()):
        rows[draw(st.integers(0, size - 1))] = draw(st.dictionaries(st.text(max_size=3), ITEMS, max_size=3))
    if draw(st.booleans()):
        last = rows[-1]
        rows[-1] = dict(reversed(last.items()))
    return rows


ANY = records([FLOATS, FLOATS.map(np.float64), SCALARS, FOREIGN, VALUES])
PLAIN = records([FLOATS, SCALARS, st.lists(FLOATS, max_size=2), st.dictionaries(st.just("a"), FLOATS)])
DOCUMENTS = st.one_of(
    VALUES,
    ANY,
    st.dictionaries(st.text(max_size=3), st.one_of(ANY, VALUES), max_size=3),
    st.lists(st.lists(FLOATS, max_size=80), max_size=3),
)


@given(DOCUMENTS)
def test_a_document_is_what_json_writes_of_the_value(value: Any) -> None:
    try:
        plain = _plain_value(value, "$")
    except InvalidInputError as refused:
        with pytest.raises(InvalidInputError) as found:
            written(value)
        assert str(found.value) == str(refused)
        return
    made = written(value)
    assert made.text == dump(plain).encode()
    if made.value is not None:
        # Equal with types, NaN and the sign of zero.
        assert repr(made.value) == repr(json.loads(made.text))
    if made.value is not None and not made.python:
        # Whoever reads it may do so with orjson.
        orjson.loads(made.text)


@given(
    st.one_of(
        DOCUMENTS.filter(lambda value: isinstance(value, dict | list)),
        PLAIN,
        st.dictionaries(st.text(max_size=3), st.one_of(PLAIN, SCALARS), min_size=1, max_size=3),
    ),
    st.sampled_from([0, 20, 1 << 16]),
    st.sampled_from([0, 4_096]),
)
def test_so_it_is_where_columns_are_made_of_a_value_that_nobody_looked_at(value: Any, first: int, looked: int) -> None:
    looked_at = mock.patch.multiple("lakestore.codec.given", _FIRST=first, _LOOKED=looked)
    try:
        plain = _plain_value(value, "$")
    except InvalidInputError as refused:
        with pytest.raises(InvalidInputError) as found:
            with looked_at:
                made = written(value, unseen=True)
            read(made.text, "it", None, given=made)
        assert str(found.value) == str(refused)
        return
    with looked_at:
        made = written(value, unseen=True)
    draft = read(made.text, "it", None, given=made)
    assert draft.text == dump(plain).encode()
    assert text.in_json_types(draft.value)
    if draft.is_own:
        # What was read from a text that Python alone writes is read exactly where columns want it.
        assert repr(draft.value) == repr(json.loads(draft.text))


@given(st.uuids())
def test_an_id_is_its_text(value: uuid.UUID) -> None:
    assert written({"id": value}).text == f'{{"id":"{value}"}}'.encode()
