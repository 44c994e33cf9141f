"""Objects that are tables come back byte for byte and as equal values, whatever their keys and values are."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakestore.codec import decode, plan, values
from lakestore.codec.profiles.declaration import parse
from tests.schemas import MemorySchema, store
from tests.strategies import KEY_EDGES, STRING_EDGES, records

PROFILE = parse(
    """
    name = "own"
    version = 1
    lift = true
    [[tables]]
    path = ["keyed"]
    form = "keyed"
    columns = [["a"], ["a", "b"]]
    [[tables]]
    path = ["frame"]
    form = "keyed_columns"
    [[tables]]
    path = ["list"]
    """,
    "own.toml",
)
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))

keys = st.one_of(
    st.sampled_from(KEY_EDGES),
    st.sampled_from(STRING_EDGES),
    st.integers(-5, 20).map(str),
    st.dates().map(str),
    st.datetimes().map(str),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(STRING_EDGES))
mixed = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.lists(st.lists(scalars, min_size=2, max_size=2), max_size=3),
    st.dictionaries(st.sampled_from(KEY_EDGES), scalars, max_size=3),
)
kinds = st.sampled_from([scalars, st.integers(), st.lists(scalars, min_size=2, max_size=2), mixed])


@st.composite
def keyed(draw: st.DrawFn) -> dict[str, Any]:
    """An object whose values are of one kind, or records."""
    names = draw(st.lists(keys, max_size=12, unique=True))
    if draw(st.booleans()):
        return dict(zip(names, draw(records()), strict=False))
    kind = draw(kinds)
    return {name: draw(kind) for name in names}


ORDERED = (
    list(map(str, range(9))),
    [f"2024-01-{day:02}" for day in range(1, 10)],
    [f"202401{day:02}" for day in range(1, 10)],
    [str(day * 86_400_000) for day in range(-3, 12_000, 1_000)],
    [f"O-20240102-{place}" for place in range(5, 14)],
    [f"{place:032x}" for place in range(10**30, 10**30 + 9)],
)
"""Keys of rows as pandas and engines have them."""
SYMBOLS = ("BTC/USDT", "BTCUSDT", "rb2305.SHFE", "000001.XSHE", "2024", "BTC-USD")


@st.composite
def grouped(draw: st.DrawFn) -> dict[str, Any]:
    """Arrays under times, ids or symbols, some of them empty, now and then one that is something else.

    They hold records, or a row (backtrader's value of each day), or several rows (its fills).
    """
    names = draw(st.one_of(st.sampled_from(ORDERED), st.lists(st.sampled_from(SYMBOLS), min_size=1, unique=True)))
    width = draw(st.integers(1, 3))
    row = st.lists(scalars, min_size=width, max_size=width)
    cells = draw(st.sampled_from((records(max_size=3), row, st.lists(row, max_size=3))))
    found: dict[str, Any] = {name: draw(cells) for name in names}
    if draw(st.integers(0, 9)) == 0:
        found[names[-1]] = draw(mixed)
    return found


@st.composite
def frames(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Columns over the same keys, some of them of lists, now and then with one missing."""
    names = draw(st.lists(keys, max_size=9, unique=True))
    rows = draw(st.one_of(st.lists(keys, max_size=9, unique=True), st.sampled_from(ORDERED)))
    cells = [draw(st.sampled_from((scalars, scalars, scalars, mixed, records(max_size=2)))) for _ in names]
    found = {name: {row: draw(cell) for row in rows} for name, cell in zip(names, cells, strict=True)}
    if names and rows and draw(st.integers(0, 9)) == 0:
        del found[names[-1]][rows[0]]
    return found


def comes_back(document: Any, schema: MemorySchema, indent: int | None) -> None:
    # Halves of one character are joined by whoever reads the text; the value is what is read.
    text = json.dumps(document, indent=indent).encode()
    stored = store(text, schema, profile=PROFILE)
    assert stored.text() == text
    value = values.document(stored.envelope, lambda region: decode.node_of(stored.envelope, region, stored.fetch, "it"))
    if value is None:
        value = decode.value_of(text, stored.envelope, "it")
    assert repr(value) == repr(json.loads(text))


@relaxed
@given(st.lists(st.tuples(keyed(), frames(), st.lists(scalars)), min_size=1, max_size=3), st.sampled_from([None, 2]))
def test_what_a_profile_names_comes_back_whatever_was_stored_before(
    parts: list[tuple[Any, Any, Any]], indent: int | None
) -> None:
    schema = MemorySchema()
    for one, frame, amounts in parts:
        comes_back({"keyed": one, "frame": frame, "list": amounts}, schema, indent)


@relaxed
@given(st.one_of(keyed(), frames(), grouped()), st.sampled_from([None, "\t"]))
def test_a_document_that_may_be_a_table_comes_back(document: Any, indent: Any) -> None:
    comes_back(document, MemorySchema(), indent)
    comes_back({"it": document, "n": 1}, MemorySchema(), indent)


@relaxed
@given(keyed())
def test_every_entry_of_a_keyed_object_is_a_row(value: dict[str, Any]) -> None:
    found = {region.path: region for region in plan.regions({"keyed": value}, PROFILE)}
    assert (("keyed",) in found) == bool(value)
    assert all(region.node.n == len(value) for region in found.values())
