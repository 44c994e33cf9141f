"""Rows of many results in one file: each comes back as it was, whatever lies beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakestore import parquet
from lakestore.codec import decode, encode, pack
from lakestore.codec.draft import read
from lakestore.codec.envelope import Envelope, StoredRegion
from tests.schemas import MemorySchema, serialised, units_beside
from tests.strategies import beside_decimals, floats, records, texts

relaxed = settings(
    deadline=None,
    max_examples=int(os.environ.get("LAKESTORE_EXAMPLES", "100")),
    suppress_health_check=list(HealthCheck),
)


def shared(sources: Sequence[bytes], decimals: bool, units: Sequence[bool] = ()) -> list[bytes]:
    """The texts that come back from files which hold the rows of all documents.

    Args:
        units: which documents have units beside decimals wherever that can be.
    """
    schema = MemorySchema()
    drafts = [read(source, "it", None) for source in sources]
    made = []
    for place, (draft, wherever) in enumerate(zip_longest(drafts, units, fillvalue=False)):
        with units_beside(wherever):
            made.append(encode.encode(draft, schema, task_id=f"t{place}", strategy="s", decimals=decimals, files=False))
    groups: dict[tuple[str, str], list[tuple[int, encode.Part]]] = {}
    for place, encoded in enumerate(made):
        for part in encoded.parts:
            groups.setdefault((part.table, part.strategy), []).append((place, part))
    found: dict[tuple[int, str, str], Mapping[int, pa.Array]] = {}
    for (name, strategy), parts in groups.items():
        used = frozenset[int]().union(*(part.used for _, part in parts))
        data = pack.data_file([part.held for _, part in parts], schema.tables[parts[0][1].lake.key], used)
        first = 0
        for place, part in parts:
            columns = parquet.from_buffer(data, "the test's file", first_row=first, rows=part.rows)
            assert set(columns[1].to_pylist()) <= {f"t{place}"}
            found[place, name, strategy] = columns
            first += part.rows

    def text_of(place: int) -> bytes:
        def fetch(region: StoredRegion) -> Mapping[int, pa.Array]:
            return found[place, region.table, region.strategy]

        return b"".join(decode.pieces(Envelope.from_bytes(made[place].envelope, "it"), fetch, "it"))

    return [text_of(place) for place in range(len(sources))]


@relaxed
@given(st.lists(texts(), min_size=2, max_size=5), st.booleans())
def test_documents_that_share_files_come_back_byte_for_byte(sources: list[bytes], decimals: bool) -> None:
    assert shared(sources, decimals) == sources


@relaxed
@given(st.lists(records(), min_size=2, max_size=4), st.integers(1, 200))
def test_long_tables_of_one_name_share_a_file(tables: list[list[dict[str, Any]]], times: int) -> None:
    """Columns of one name and other types: decimals of several scales, integers, doubles, structs of other members."""
    sources = [serialised({"rows": rows * times}) for rows in tables]
    assert shared(sources, True) == sources


@relaxed
@given(st.lists(st.tuples(st.lists(beside_decimals() | floats(), min_size=1), st.booleans()), min_size=2, max_size=5))
def test_columns_with_and_without_units_share_a_file(columns: list[tuple[list[float], bool]]) -> None:
    sources = [serialised({"rows": [{"x": value, "n": place} for place, value in enumerate(c)]}) for c, _ in columns]
    assert shared(sources, True, [units for _, units in columns]) == sources


def number_lists() -> st.SearchStrategy[list[Any]]:
    scaled = st.integers(0, 17).flatmap(
        lambda scale: st.lists(st.integers(-(2**53), 2**53).map(lambda whole: whole / 10**scale), min_size=1)
    )
    return (
        scaled | st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1) | st.lists(st.floats(), min_size=1)
    )


@relaxed
@given(st.lists(number_lists(), min_size=2, max_size=5))
def test_numbers_of_every_scale_share_a_column(columns: list[list[Any]]) -> None:
    sources = [serialised({"rows": [{"x": value, "in": {"x": value}, "of": [value]} for value in c]}) for c in columns]
    assert shared(sources, True) == sources
