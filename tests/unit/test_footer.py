"""Trimmed files: chunks of the same bytes stand once, readers see every column."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from lakestore import parquet
from lakestore.parquet import delta, thrift
from lakestore.parquet.footer import trimmed

_START = datetime(2026, 1, 1, tzinfo=UTC)
_TIMES = [_START + timedelta(minutes=(place * place) % 977) for place in range(500)]
_VALUES: dict[str, pa.Array] = {
    "time": pa.array(_TIMES, pa.timestamp("ms", "UTC")),
    "epoch": pa.array([round(time.timestamp() * 1000) for time in _TIMES], pa.int64()),
    "stop": pa.array([Decimal(place * 37 % 1000).scaleb(-2) for place in range(500)], pa.decimal128(9, 2)),
    "first_stop": pa.array([Decimal(place * 37 % 1000).scaleb(-2) for place in range(500)], pa.decimal128(9, 2)),
    "open": pa.array([False] * 500),
    "short": pa.array([False] * 500),
    "orders": pa.array([[{"at": place, "again": place}] * (place % 3) for place in range(500)]),
    "none": pa.array([None] * 500, pa.int64()),
    "nil": pa.array([None] * 500, pa.int64()),
}


@pytest.fixture(scope="module")
def whole() -> pa.Table:
    return pa.table(_VALUES)


def _written(table: pa.Table, **options: Any) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, use_dictionary=False, compression="zstd", data_page_version="1.0", **options)
    return sink.getvalue()


def _places(data: pa.Buffer) -> dict[str, int]:
    group = pq.read_metadata(pa.BufferReader(data)).row_group(0)
    columns = map(group.column, range(group.num_columns))
    return {column.path_in_schema: column.data_page_offset for column in columns}


def test_columns_that_repeat_another_are_kept_once(whole: pa.Table) -> None:
    data = trimmed(_written(whole))
    at = _places(data)
    for one, other in (
        ("time", "epoch"),
        ("stop", "first_stop"),
        ("open", "short"),
        ("orders.list.element.at", "orders.list.element.again"),
        ("none", "nil"),
    ):
        assert at[one] == at[other]
    assert len(set(at.values())) == 5
    assert len(data) < 0.6 * len(_written(whole))


def test_every_reader_sees_all_columns_of_a_trimmed_file(whole: pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "trimmed.parquet"
    path.write_bytes(trimmed(_written(whole, row_group_size=150)))
    rows = whole.to_pylist()
    assert pq.read_table(path, pre_buffer=True).to_pylist() == rows
    assert pq.read_table(path, memory_map=True, pre_buffer=False).to_pylist() == rows
    assert ds.dataset(path).to_table().to_pylist() == rows
    assert pl.read_parquet(path).to_dicts() == rows
    assert (
        pl.scan_parquet(path).select("epoch", "none").collect().to_dicts()
        == whole.select(["epoch", "none"]).to_pylist()
    )
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    assert con.sql(f"FROM '{path}'").to_arrow_table().cast(whole.schema).to_pylist() == rows
    assert con.execute(f"SELECT sum(epoch), sum(stop) FROM '{path}' WHERE epoch > {rows[100]['epoch']}").fetchone() == (
        sum(row["epoch"] for row in rows if row["epoch"] > rows[100]["epoch"]),
        sum(row["stop"] for row in rows if row["epoch"] > rows[100]["epoch"]),
    )
    con.close()


@pytest.mark.parametrize("rows", [10, 40, 5_000, 90_000])
def test_a_frame_leaves_its_size_to_the_page(rows: int, tmp_path: Path) -> None:
    table = pa.table({"n": pa.array([place // 3 for place in range(rows)])})
    data = trimmed(_written(table))
    chunk = pq.read_metadata(pa.BufferReader(data)).row_group(0).column(0)
    _, at = thrift.read(data.to_pybytes(), chunk.data_page_offset)
    size = rows * 8
    assert chunk.compression == "ZSTD"
    # The magic, then a descriptor: one byte of size within one segment, or none and the window's.
    assert data.to_pybytes()[at + 4] == (0x20 if size < 256 else 0)
    path = tmp_path / "n.parquet"
    path.write_bytes(data)
    assert pq.read_table(path).equals(table)
    assert pl.read_parquet(path)["n"].to_list() == table["n"].to_pylist()
    with duckdb.connect() as con:
        assert con.sql(f"SELECT sum(n) FROM '{path}'").fetchall() == [(sum(table["n"].to_pylist()),)]


def test_the_same_bytes_at_other_levels_of_nesting_stay_apart() -> None:
    flat = pa.array([None] * 40, pa.int64())
    nested = pa.array([None] * 40, pa.struct([("x", pa.int64())]))
    table = pa.table({"flat": flat, "nested": nested, "listed": pa.array([None] * 40, pa.list_(pa.int64()))})
    data = trimmed(_written(table))
    assert len(set(_places(data).values())) == 3
    assert pq.read_table(pa.BufferReader(data)).equals(table)


def test_statistics_metadata_and_field_ids_are_what_they_were(whole: pa.Table) -> None:
    table = pa.Table.from_arrays(
        [whole["epoch"].combine_chunks()], schema=pa.schema([parquet.field("e", pa.int64(), 77)])
    )
    data = trimmed(_written(table.replace_schema_metadata({"lakestore": "x"}), row_group_size=200))
    read = pq.read_metadata(pa.BufferReader(data))
    assert read.metadata[b"lakestore"] == b"x"
    assert read.row_group(1).column(0).statistics.max == max(table["e"].to_pylist()[200:400])
    assert parquet.field_id(pq.read_schema(pa.BufferReader(data)).field("e")) == 77


def test_a_footer_is_read_and_written_the_same(whole: pa.Table) -> None:
    data = bytes(_written(whole, row_group_size=30))
    size = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - size : -8]
    value, end = thrift.read(footer)
    assert end == size
    assert thrift.write(value) == footer


def test_a_thrift_struct_of_every_type_is_read_and_written_the_same() -> None:
    value: thrift.Struct = {
        1: (thrift.TRUE, True),
        2: (thrift.FALSE, False),
        3: (thrift.BYTE, 200),
        4: (thrift.I16, -5),
        60: (thrift.I64, -(2**63)),
        61: (thrift.I32, 2**31 - 1),
        62: (thrift.DOUBLE, b"12345678"),
        63: (thrift.BINARY, b"x" * 300),
        64: (thrift.LIST, (thrift.TRUE, [True, False] * 20)),
        65: (thrift.STRUCT, {1: (thrift.SET, (thrift.I32, [0, -1, 1]))}),
    }
    written = thrift.write(value)
    assert thrift.read(written) == (value, len(written))
    with pytest.raises(ValueError, match="type 14"):
        thrift.read(b"\x1e\x00")


def test_a_page_in_another_form_is_put_in_only_where_it_is_smaller() -> None:
    # In whole bytes each difference takes two, in bits nine: noise that zstd cannot undo.
    noise = np.cumsum(np.random.default_rng(1).integers(0, 2**9, 2_000))
    data = _written(pa.table({"x": pa.array(noise)}), column_encoding={"x": "DELTA_BINARY_PACKED"})
    made = []

    def again(used: int, first: int, rows: int, levels: bytes) -> tuple[bytes, int] | None:
        page = delta.packed(noise[first : first + rows], 64)
        assert page is not None
        made.append(pa.Codec("zstd").compress(page, asbytes=True))
        return made[-1], len(page)

    assert trimmed(data, repacked={"x": lambda first, rows: again}).equals(trimmed(data))
    assert len(made) == 1
