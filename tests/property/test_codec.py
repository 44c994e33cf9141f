"""Every document comes back byte for byte, whatever it holds and whatever was stored before it."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakestore.codec import decode
from tests.schemas import MemorySchema, serialised, store, units_beside
from tests.strategies import documents, records, texts

relaxed = settings(
    deadline=None,
    max_examples=int(os.environ.get("LAKESTORE_EXAMPLES", "100")),
    suppress_health_check=list(HealthCheck),
)


def as_read(value: Any) -> str:
    """A value as text in which int and float, −0.0, NaN and the order of keys differ."""
    return repr(value)


@relaxed
@given(texts())
def test_a_text_comes_back_byte_for_byte(source: bytes) -> None:
    assert store(source, MemorySchema()).text() == source


@relaxed
@given(texts())
def test_a_document_comes_back_as_the_value_that_json_reads(source: bytes) -> None:
    stored = store(source, MemorySchema())
    expected = as_read(json.loads(source.decode("utf-8-sig")))
    assert as_read(decode.value_of(stored.text(), stored.envelope, "it")) == expected
    # Where the columns alone give the value, the text is not made at all.
    direct = stored.value()
    assert direct is None or as_read(direct) == expected


@relaxed
@given(st.lists(texts(), min_size=2, max_size=4), st.booleans())
def test_what_one_document_holds_never_changes_another(sources: list[bytes], decimals: bool) -> None:
    schema = MemorySchema()
    stored = [store(source, schema, decimals=decimals) for source in sources]
    assert [each.text() for each in stored] == sources


@relaxed
@given(st.lists(st.tuples(texts(), st.booleans()), min_size=1, max_size=4))
def test_doubles_beside_decimals_come_back_from_columns_that_have_units_or_not(given: list[tuple[bytes, bool]]) -> None:
    schema = MemorySchema()
    for source, wherever in given:
        with units_beside(wherever):
            stored = store(source, schema)
        assert stored.text() == source


@relaxed
@given(documents())
def test_a_dict_comes_back_equal_with_its_types(document: dict[str, Any]) -> None:
    source = serialised(document)
    stored = store(source, MemorySchema())
    assert as_read(decode.value_of(stored.text(), stored.envelope, "it")) == as_read(document)


@relaxed
@given(st.lists(records(), min_size=1, max_size=3))
def test_compact_records_without_oddities_need_no_more_than_their_style(tables: list[list[dict[str, Any]]]) -> None:
    source = serialised({f"table{place}": rows for place, rows in enumerate(tables)})
    stored = store(source, MemorySchema())
    assert stored.encoded.fidelity.kind == "style", stored.encoded.fidelity


@relaxed
@given(texts(), st.data())
def test_a_text_inside_a_text_is_not_taken_for_a_table(source: bytes, data: st.DataObject) -> None:
    """Regions are first looked for by their keys: the same bytes inside of a string must not mislead the proof."""
    inner = source.decode("utf-8-sig")
    decoy = json.dumps(
        {"note": inner, "rows": [{"v": 1}], "quoted": '"rows": [{"v":1}]'}, ensure_ascii=data.draw(st.booleans())
    )
    text = f'{{"before": {decoy}, "rows": {inner}, "after": {decoy}}}'.encode()
    assert store(text, MemorySchema()).text() == text


@relaxed
@given(st.integers(55, 85), st.integers(55, 85))
def test_values_around_the_deepest_that_have_a_column_meet_columns_of_other_types(first: int, second: int) -> None:
    schema = MemorySchema()
    for depth in (0, first, second, 0):
        deep = "[" * depth + "1" + "]" * depth
        source = f'[{{"v": {deep}}}, {{"v": 1}}, {{"w": {{"x": {deep}}}}}]'.encode()
        assert store(source, schema).text() == source


@relaxed
@given(records(), st.integers(1, 400))
def test_tables_long_enough_for_encodings_to_be_tried_come_back(rows: list[dict[str, Any]], times: int) -> None:
    """Drawn records are few; repeated, they go through the trial of encodings and the sorting of rows."""
    source = serialised({"rows": rows * times, "pairs": {"a.b": 1}})
    schema = MemorySchema()
    assert store(source, schema).text() == source
    assert store(source, schema, decimals=False).text() == source
