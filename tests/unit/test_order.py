"""Rows of one symbol stand together where it pays, and come back in the document's order."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakestore import parquet
from lakestore.codec import pack
from lakestore.codec.order import order_by, proposed
from lakestore.model import Column, LakeTable
from lakestore.parquet import key_values
from tests.schemas import MemorySchema, Stored, serialised, store


def walks(
    rows: int, symbols: int, number: Callable[[int], int] = int.__neg__, seed: int = 1
) -> list[dict[str, object]]:
    random = Random(seed)
    prices = [20.0 * 7**place for place in range(symbols)]
    made = []
    for row in range(rows):
        at = random.randrange(symbols)
        prices[at] = round(prices[at] * (1 + random.uniform(-1, 1) / 500), 2)
        average = round(prices[at] * (1 + random.uniform(-1, 1) / 2000), 4)
        note = None if row % 3 else "n"
        made.append({"t": number(row), "symbol": f"S{at}", "price": prices[at], "average": average, "note": note})
    return made


def file_of(stored: Stored) -> pa.Table:
    (part,) = stored.encoded.parts
    return pq.read_table(pa.BufferReader(part.data))


def test_interleaved_walks_are_sorted_by_symbol_and_come_back_in_place() -> None:
    rows = walks(5_000, 6)
    source = serialised({"rows": rows})
    stored = store(source, MemorySchema())
    table = file_of(stored)
    symbols = table["symbol"].to_pylist()
    assert sum(a != b for a, b in itertools.pairwise(symbols)) == 5
    assert [rows[place]["price"] for place in table["_pos"].to_pylist()] == [
        float(p) for p in table["price"].to_pylist()
    ]
    assert stored.text() == source
    assert stored.encoded.fidelity.kind == "style"


@pytest.mark.parametrize("many", [1, 2, 3])
def test_rows_are_found_again_by_a_column_that_goes_up_in_the_document(many: int) -> None:
    rows = walks(5_000, 6, lambda row: row // many)
    source = serialised({"rows": rows})
    stored = store(source, MemorySchema())
    table = file_of(stored)
    assert sum(a != b for a, b in itertools.pairwise(table["symbol"].to_pylist())) == 5
    if many == 1:
        assert "_pos" not in table.column_names
    elif many == 2:
        # The first of two in the file may be the second in the document: a bit for each two.
        assert [len(told) for told in table["_pos"].to_pylist() if told] == [2_500 // 8 + 1]
    else:
        # Two of three rows have the number of the one before: their places in the document are kept.
        assert sorted(table["_pos"].to_pylist()) == list(range(5_000))
    assert stored.text() == source


def test_a_long_run_of_one_number_changes_nothing_for_the_others() -> None:
    rows = walks(5_000, 6, lambda row: max(row - 20, 0))
    source = serialised({"rows": rows})
    stored = store(source, MemorySchema())
    # 21 rows of one time.
    assert [len(told) for told in file_of(stored)["_pos"].to_pylist() if told] == [
        (5 * 5 + 4 * 8 + 3 * 4 + 2 * 2 + 1) // 8 + 1
    ]
    assert stored.text() == source


def test_what_tells_rows_apart_weighs_no_more_in_a_long_file() -> None:
    # 16 kB of a file of 1 MB stand in one row, which is in each sample.
    rows = 1 << 18
    random = np.random.default_rng(5)
    symbols = random.integers(0, 4, rows)
    prices = np.array([1, 7, 49, 343])[symbols] * 1_000_000 + random.integers(0, 1 << 12, rows)
    columns = {
        "t": pa.array(np.arange(rows) // 2),
        "symbol": pa.array([f"S{at}" for at in symbols.tolist()]),
        "price": pa.array(prices),
    }
    held = [(parquet.field(name, array.type, 16 + place), array) for place, (name, array) in enumerate(columns.items())]
    table = LakeTable("t", '"t"', tuple(Column(16 + i, None, f'"{n}"', n, "BIGINT") for i, n in enumerate(columns)))
    data = pack.data_file([pack.Rows("a", rows, held)], table, (16, 17, 18))
    found = pq.read_table(pa.BufferReader(data))
    assert sum(a != b for a, b in itertools.pairwise(found["symbol"].to_pylist())) == 3
    assert [len(told) for told in found["_pos"].to_pylist() if told] == [rows // 2 // 8]
    assert parquet.from_buffer(data, "it")[18].to_numpy().tolist() == prices.tolist()


def test_of_one_short_result_the_footer_says_it() -> None:
    rows = walks(2_000, 6, lambda row: row // 2)
    source = serialised({"rows": rows})
    stored = store(source, MemorySchema())
    assert "_pos" not in file_of(stored).column_names
    told = key_values.read(parquet.footer_of(stored.encoded.parts[0].data))
    assert told is not None and len(told.told) == 1_000 // 8
    assert stored.text() == source


def test_a_part_of_a_shared_file_has_its_rows_in_the_documents_order_too() -> None:
    schema = MemorySchema()
    documents = [walks(5_000, 6, lambda row: row // 2 + 5), walks(3_000, 6, lambda row: row, 2)]
    parts = [store(serialised({"rows": rows}), schema).encoded.parts[0] for rows in documents]
    table = parts[-1].lake
    held = [pack.Rows(str(place), part.held.count, part.held.columns) for place, part in enumerate(parts)]
    shared = pack.data_file(held, table, parts[0].used)
    assert parquet.footer_of(shared)[key_values.FOOTER_KEY].endswith(b",16]")
    numbers = next(column.field_id for column in table.columns if column.name == "t")
    first = 0
    for rows in documents:
        wanted = [row["t"] for row in rows]
        own = parquet.from_buffer(shared, "it", first_row=first, rows=len(rows))
        assert own[numbers].to_pylist() == wanted
        cut = parquet.cut(shared, "it", first, len(rows))
        assert parquet.from_buffer(cut, "it")[numbers].to_pylist() == wanted
        first += len(rows)


def test_sorting_makes_interleaved_walks_at_least_a_fifth_smaller() -> None:
    rows = walks(5_000, 6)
    sorted_ = len(store(serialised({"rows": rows}), MemorySchema()).encoded.parts[0].data)
    plain = [dict(row, symbol=f"{row['symbol']}-{place}") for place, row in enumerate(rows)]
    # The same prices in the same order, but nothing to sort them by.
    without = file_of(store(serialised({"rows": plain}), MemorySchema()))
    assert "_pos" not in without.column_names
    sink = pa.BufferOutputStream()
    shuffled = file_of(store(serialised({"rows": rows}), MemorySchema())).sort_by("_pos").drop_columns(["_pos"])
    pq.write_table(shuffled, sink, compression="zstd", store_decimal_as_integer=True, store_schema=False)
    assert sorted_ < 0.8 * len(sink.getvalue())


def test_one_walk_or_a_short_table_stays_as_it_is() -> None:
    for rows in (walks(3_000, 1), walks(100, 6)):
        stored = store(json.dumps({"rows": rows}).encode(), MemorySchema())
        assert "_pos" not in file_of(stored).column_names


def test_symbols_follow_each_other_by_level_and_short_ones_run_to_and_fro() -> None:
    rows = walks(600, 6)
    table = file_of(store(serialised({"rows": rows}), MemorySchema()))
    symbols = [name for name, _ in itertools.groupby(table["symbol"].to_pylist())]
    assert symbols == [f"S{place}" for place in range(6)]
    places = table["_pos"].to_pylist()
    for at, name in enumerate(symbols):
        own = [place for place, symbol in zip(places, table["symbol"].to_pylist(), strict=True) if symbol == name]
        assert own == sorted(own, reverse=at % 2 == 1)


def test_in_a_shared_file_every_other_result_has_its_symbols_downwards() -> None:
    symbols = pa.array([f"S{place % 4}" for place in range(800)])
    prices = pa.array([10 ** (place % 4) * 1_000 + place % 7 for place in range(800)])
    columns = [(pa.field("s", pa.string()), symbols), (pa.field("p", pa.int64()), prices)]
    order = order_by(columns, 0, [400, 400])
    assert sorted(order.tolist()) == list(range(800))
    assert sorted(order[:400].tolist()) == list(range(400))
    shown = [name for name, _ in itertools.groupby(symbols.take(pa.array(order)).to_pylist())]
    assert shown == ["S0", "S1", "S2", "S3", "S2", "S1", "S0"]


def test_nothing_is_proposed_without_numbers_or_without_groups() -> None:
    names = pa.array([f"s{place % 7}" for place in range(2_000)])
    assert proposed([(pa.field("s", pa.string()), names)], [2_000]) is None
    assert proposed([(pa.field("n", pa.int64()), pa.array(range(2_000)))], [2_000]) is None
    assert proposed([], []) is None
