"""Values packed in whole bytes: every reader decodes them as it decodes its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakestore import parquet
from lakestore.parquet import encodings
from lakestore.parquet.delta import packed
from lakestore.parquet.encodings import Choice

_RANDOM = np.random.default_rng(5)
_GRID = np.cumsum(_RANDOM.integers(0, 40, 10_000)) * 300_000
_CASES: dict[str, tuple[pa.DataType, Any]] = {
    "times on a grid": (pa.timestamp("ms", "UTC"), _GRID + 1_700_000_000_000),
    "downwards": (pa.int64(), -_GRID),
    "noise of 61 bits": (pa.int64(), _RANDOM.integers(-(1 << 60), 1 << 60, 5_000)),
    "two": (pa.int64(), np.array([-1, 1])),
    "a block": (pa.int64(), np.arange(1_025) * 7),
    "a block and one": (pa.int64(), np.arange(1_026) * 7),
    "the same": (pa.int64(), np.full(3_000, 5)),
    "days": (pa.date32(), np.arange(700) * 31),
    "decimals": (pa.decimal128(9, 2), _RANDOM.integers(-(1 << 28), 1 << 28, 3_000)),
    "wide decimals": (pa.decimal128(18, 4), _RANDOM.integers(-(1 << 50), 1 << 50, 3_000)),
}


def _array(kind: pa.DataType, values: Any) -> pa.Array:
    if pa.types.is_decimal(kind):
        wide = np.stack([values, values >> 63], axis=1)
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(wide.tobytes())])
    return pa.array(values.astype(np.int32 if pa.types.is_date(kind) else np.int64)).view(kind)


@pytest.mark.parametrize("encoding", [encodings.DELTA_BYTES, encodings.DELTA_BITS])
@pytest.mark.parametrize("case", _CASES)
def test_every_reader_gets_the_values(tmp_path: Path, case: str, encoding: str) -> None:
    kind, values = _CASES[case]
    table = pa.Table.from_arrays([_array(kind, values)], schema=pa.schema([parquet.field("n", kind, 16)]))
    assert encodings.pages(_array(kind, values), encoding, 3)(5, 0, len(values), b"") is not None
    path = tmp_path / "n.parquet"
    path.write_bytes(parquet.to_buffer(table, choice=Choice({"n": encoding}, 0)))
    assert "DELTA_BINARY_PACKED" in pq.read_metadata(path).row_group(0).column(0).encodings
    expected = table.column(0).to_pylist()
    assert pq.read_table(path).column(0).to_pylist() == expected
    assert pl.read_parquet(path)["n"].to_list() == expected
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        found = con.sql(f"SELECT n FROM '{path}'").to_arrow_table().column(0)
        assert found.cast(kind).to_pylist() == expected


def test_row_groups_are_packed_apart() -> None:
    table = pa.Table.from_arrays([pa.array(_GRID)], schema=pa.schema([parquet.field("n", pa.int64(), 16)]))
    data = parquet.to_buffer(table, choice=Choice({"n": encodings.DELTA_BYTES}, 0), groups=[4_000, 1, 5_999])
    with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
        assert file.metadata.num_row_groups == 3
        assert np.array_equal(file.read().column(0).to_numpy(), _GRID)


@pytest.mark.parametrize("encoding", [encodings.DELTA_BYTES, encodings.DELTA_BITS])
@pytest.mark.parametrize("groups", [(), (1_000, 1, 1_499)])
def test_every_reader_gets_nested_values_and_those_beside_nulls(
    tmp_path: Path, encoding: str, groups: tuple[int, ...]
) -> None:
    moments = [None if n % 7 == 3 else int(moment) for n, moment in enumerate(_GRID[:2_500])]
    members = [None if n % 5 == 1 else {"at": moment, "n": n * n} for n, moment in enumerate(moments)]
    lists = [None if n % 11 == 2 else [members[n - k] for k in range(n % 4)] for n in range(2_500)]
    inner = pa.struct([parquet.field("at", pa.int64(), 17), parquet.field("n", pa.int64(), 18)])
    kinds = {"plain": pa.int64(), "member": inner, "items": pa.list_(parquet.field("element", inner, 19))}
    arrays = [pa.array(values, kind) for values, kind in zip((moments, members, lists), kinds.values(), strict=True)]
    fields = [parquet.field(name, kind, 20 + place) for place, (name, kind) in enumerate(kinds.items())]
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    paths = ["plain", *(f"{above}.{name}" for above in ("member", "items.list.element") for name in ("at", "n"))]
    as_usual, data = (
        parquet.to_buffer(table, choice=Choice(dict.fromkeys(paths, kind), 0), groups=groups)
        for kind in ("DELTA_BINARY_PACKED", encoding)
    )
    assert not data.equals(as_usual) and (encoding == encodings.DELTA_BITS or len(data) < len(as_usual))
    path = tmp_path / "n.parquet"
    path.write_bytes(data)
    expected = table.to_pylist()
    assert pq.read_table(path, page_checksum_verification=True).to_pylist() == expected
    assert pl.read_parquet(path).to_dicts() == expected
    with duckdb.connect() as con:
        assert con.sql(f"FROM '{path}'").to_arrow_table().to_pylist() == expected


def test_times_on_a_grid_take_less_than_packed_in_bits() -> None:
    columns = [(parquet.field("at", pa.timestamp("ms"), 16), _array(pa.timestamp("ms"), _GRID))]
    assert encodings.choose(columns).encodings == {"at": encodings.DELTA_BYTES}


def test_short_numbers_without_order_name_their_least_difference_less_often() -> None:
    values = np.random.default_rng(3).integers(0, 5_000, 1_000)
    columns = [(parquet.field("n", pa.int64(), 16), pa.array(values))]
    assert encodings.choose(columns).encodings == {"n": encodings.DELTA_BITS}
    assert encodings.choose([(columns[0][0], pa.array(np.tile(values, 3)))]).encodings != {"n": encodings.DELTA_BITS}


@pytest.mark.parametrize("count", [2, 33, 34, 65, 66, 129, 130, 1_000, 1_024, 1_025, 5_000])
@pytest.mark.parametrize("whole", [True, False])
def test_every_number_of_values_is_read(count: int, whole: bool) -> None:
    values = np.cumsum(np.random.default_rng(count).integers(-(1 << 20), 1 << 40, count))
    table = pa.Table.from_arrays([pa.array(values)], schema=pa.schema([parquet.field("n", pa.int64(), 16)]))
    encoding = encodings.DELTA_BYTES if whole else encodings.DELTA_BITS
    data = parquet.to_buffer(table, choice=Choice({"n": encoding}, 0))
    assert np.array_equal(pq.read_table(pa.BufferReader(data)).column(0).to_numpy(), values)


def test_what_spans_too_much_is_not_packed() -> None:
    assert packed(np.array([-(1 << 62), 1 << 62]), 64) is None
    assert packed(np.array([-(1 << 31), (1 << 31) - 1]), 32) is None
    assert packed(np.array([1]), 64) is None


_SKEWED = (_RANDOM.random(50_000) ** 4 * 200).astype(np.int64)


@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), pa.decimal128(9, 2), pa.timestamp("ms", "UTC")], ids=str)
def test_every_reader_gets_the_values_of_a_dictionary_in_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    array = pa.array(list(map(str, _SKEWED))) if pa.types.is_string(kind) else _array(kind, _SKEWED)
    columns = [(parquet.field("n", kind, 16), array)]
    assert encodings.choose(columns).encodings == {"n": encodings.DICTIONARY_BYTES}
    table = pa.Table.from_arrays([array], schema=pa.schema([columns[0][0]]))
    path = tmp_path / "n.parquet"
    for groups in ((), (20_001, 29_999)):
        # Other values come first in the second row group.
        path.write_bytes(parquet.to_buffer(table, groups=groups))
        expected = array.to_pylist()
        assert pq.read_table(path, page_checksum_verification=True).column(0).to_pylist() == expected
        assert pl.read_parquet(path)["n"].to_list() == expected
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            found = con.sql(f"SELECT n FROM '{path}'").to_arrow_table().column(0)
            assert found.cast(kind).to_pylist() == expected


def test_a_dictionary_in_bytes_takes_less_than_in_bits() -> None:
    table = pa.Table.from_arrays([pa.array(_SKEWED)], schema=pa.schema([parquet.field("n", pa.int64(), 16)]))
    bits, in_bytes = (
        len(parquet.to_buffer(table, choice=Choice({"n": kind}, 0)))
        for kind in (encodings.DICTIONARY, encodings.DICTIONARY_BYTES)
    )
    assert in_bytes < bits


@pytest.mark.parametrize(
    "values", [list(range(300)) * 2, [None, "a"] * 300, ["x" * 60_000 + str(n) for n in range(200)]]
)
def test_pages_that_cannot_be_in_bytes_stay_as_they_are(values: list[object]) -> None:
    array = pa.array(values)
    table = pa.Table.from_arrays([array], schema=pa.schema([parquet.field("n", array.type, 16)]))
    data = parquet.to_buffer(table, choice=Choice({"n": encodings.DICTIONARY_BYTES}, 0))
    assert pq.read_table(pa.BufferReader(data)).column(0).to_pylist() == values
