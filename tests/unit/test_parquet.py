"""Data files: columns found by field id, footers that are enough to make the catalog anew."""

from __future__ import annotations

import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakestore import parquet
from lakestore.codec import encode
from lakestore.codec.draft import read
from lakestore.errors import CorruptFileError
from lakestore.model import Column, LakeTable
from lakestore.parquet import encodings, integers, key_values, thrift
from tests.schemas import MemorySchema, serialised, store


def test_a_footer_and_its_schema_say_all_of_the_columns_that_the_result_touched() -> None:
    rows = [
        {"Price": 1, "price": 2.5, "": "x", "n": None, "legs": [{"q": 2**60, "t": "2026-01-01"}], "mixed": 1},
        {"Price": 1, "price": 2.5, "": "x", "n": None, "legs": [], "mixed": "one"},
    ]
    schema = MemorySchema()
    source = serialised({"Signals": rows})
    encoded = encode.encode(read(source, "it", None), schema, task_id="t", strategy="s", decimals=True)
    (part,) = encoded.parts
    found = pq.read_schema(pa.BufferReader(part.data))
    metadata = pq.read_metadata(pa.BufferReader(part.data)).metadata
    (table,) = schema.tables.values()
    assert key_values.columns(found, metadata) == ('"Signals"', table.columns)
    assert table == LakeTable("signals", '"Signals"', table.columns)


def test_columns_that_never_had_a_value_are_named_together() -> None:
    gone = [
        Column(17, None, '"a"', "a", "NULL"),
        Column(18, None, '"b"', "b", "NULL"),
        Column(19, 40, '"c"', "c", "NULL"),
    ]
    others = [*gone, Column(20, 40, '"d"', "d", "NULL"), Column(22, 40, '"E"', "e__2", "NULL")]
    text = key_values.of_columns(pa.schema([]), [*others, Column(23, None, '"f"', "f", "JSON")], None, None, b"")
    assert text == b'[null,null,null,null,[[17,0,"a","b"],[19,40,"c","d"],[22,"e__2","N",40,"\\"E\\""],[23,"f","J"]]]'
    before = b'[null,null,null,null,[[17,"a","N"],[18,"b","N"],[19,"c","N",40]]]'
    for told, expected in ((text, [*others, Column(23, None, '"f"', "f", "JSON")]), (before, gone)):
        found = key_values.columns(pa.schema([]), {key_values.FOOTER_KEY: told})
        assert found == (None, tuple(expected))


def test_a_footer_as_it_was_written_before_says_the_same() -> None:
    columns = (
        Column(16, None, '"n.1"', "n", "BIGINT", True),
        Column(17, None, '"gone"', "gone", "NULL"),
        Column(18, 17, "[]", "element", "STRUCT"),
        Column(19, None, '"Gone"', "gone__2", "DOUBLE"),
    )
    table = pa.Table.from_arrays([pa.array([1])], schema=pa.schema([parquet.field("n", pa.int64(), 16)]))
    metadata = pq.read_metadata(
        pa.BufferReader(parquet.begun(table, columns, key=json.dumps("é"), order=16).result())
    ).metadata
    older = {
        "v": 1,
        "k": json.dumps("é"),
        "c": "b",
        "n": [[0, '"n.1"']],
        "o": 16,
        "x": [
            [17, None, '"gone"', "gone", "NULL"],
            [18, 17, "[]", "element", "STRUCT"],
            [19, None, '"Gone"', "gone__2", "DOUBLE"],
        ],
    }
    for told in (metadata, {key_values.OLDER_KEY: json.dumps(older).encode()}):
        assert key_values.columns(table.schema, told) == (json.dumps("é"), columns), told
        moved = table.replace_schema_metadata(told)
        assert parquet.columns_of(moved)[16].to_pylist() == [1]


def test_a_file_of_somebody_else_has_no_such_footer() -> None:
    assert key_values.columns(pa.schema([("a", pa.int64())]), {b"pandas": b"{}"}) is None


def test_rows_are_read_from_the_row_groups_that_hold_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 100)
    table = pa.Table.from_arrays([pa.array(range(350))], schema=pa.schema([parquet.field("x", pa.int64(), 16)]))
    data = parquet.to_buffer(table)
    for first, rows in ((0, 350), (0, 1), (99, 2), (150, 100), (349, 1), (350, 0)):
        columns = parquet.from_buffer(data, "it", first_row=first, rows=rows)
        assert columns[16].to_pylist() == list(range(first, first + rows))
    with pytest.raises(CorruptFileError, match="has 350 rows"):
        parquet.from_buffer(data, "it", first_row=300, rows=51)


def test_what_is_no_parquet_is_a_corrupt_file() -> None:
    with pytest.raises(CorruptFileError, match="data file x is not readable Parquet"):
        parquet.from_buffer(b"PAR1 and then nothing PAR1", "x")


def test_a_text_that_is_not_in_its_dictionary_is_a_corrupt_file() -> None:
    field = parquet.field("side", pa.dictionary(pa.int32(), pa.string()), 16)
    for places in ([0, 1], [0, -7]):
        array = pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), pa.array(["buy"]), safe=False)
        table = pa.Table.from_arrays([array], schema=pa.schema([field]))
        with pytest.raises(CorruptFileError, match="data file x is not readable Parquet"):
            parquet.columns_of(table, "x")


def _file(columns: dict[str, pa.Array]) -> bytes:
    fields = [parquet.field(name, array.type, own) for own, (name, array) in enumerate(columns.items(), 16)]
    table = pa.Table.from_arrays(list(columns.values()), schema=pa.schema(fields))
    mine, ids = parquet.task_ids(["t"], [len(table)])
    return bytes(parquet.to_buffer(table.add_column(0, mine, ids)).to_pybytes())


def test_a_load_reads_short_decimals_as_doubles_and_everything_else_as_it_is() -> None:
    short, long = pa.decimal128(9, 3), pa.decimal128(18, 3)
    for text in (["one"] * 9, ["a", "", None] * 3, [f"text {n}" for n in range(9)], [None] * 9, [""] * 9):
        given = {
            "price": pa.array([Decimal("-99999.999"), Decimal("0.001"), None] * 3, short),
            "size": pa.array([Decimal("123456789012345.678")] * 9, long),
            "n": pa.array([2**31, -1, None] * 3),
            "text": pa.array(text, pa.string()),
            "a.b": pa.array([Decimal(f"{n}.5") for n in range(9)], short),
        }
        for names in (given, {name: given[name] for name in ("price", "text", "n")}):
            data = _file({name: given[name] for name in names})
            everything, found = parquet.from_buffer(data, "x"), parquet.rows_of(data, "x", first_row=0, rows=9)
            for own, name in enumerate(names, 16):
                array = everything[own]
                if array.type == short:
                    array = pa.array([None if value is None else float(value) for value in array.to_pylist()])
                assert found[own].equals(array), name


def test_a_load_of_some_rows_or_of_nested_ones_gives_decimals_as_they_are() -> None:
    prices = pa.array([Decimal(f"{n}.25") for n in range(9)], pa.decimal128(9, 2))
    data = _file({"price": prices})
    assert parquet.rows_of(data, "x", first_row=2, rows=3)[16].equals(prices.slice(2, 3))
    inner = pa.StructArray.from_arrays([prices], fields=[parquet.field("q", prices.type, 17)])
    assert parquet.rows_of(_file({"legs": inner}), "x", first_row=0, rows=9)[16].field(0).equals(prices)


def test_more_schemas_than_are_remembered_are_read() -> None:
    for turn in range(2):
        for n in range(150):
            data = _file({f"c{n}": pa.array([Decimal(f"{n}.5")], pa.decimal128(9, 1))})
            assert parquet.rows_of(data, "x", first_row=0, rows=1)[16].to_pylist() == [n + 0.5], turn


def _changed(data: bytes, name: bytes, field: int, value: int) -> bytes:
    """A file whose footer says something else of one column of its schema."""
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer, _ = thrift.read(data[start:-8])
    column = next(each for each in footer[2][1][1] if each[4][1] == name)
    column[field] = column[field][0], value
    made = thrift.write(footer)
    return data[:start] + made + len(made).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize("place", [7, 8, 9], ids=["scale", "precision", "field id"])
def test_a_footer_that_lies_about_decimals_is_read_as_without_integers_or_refused(place: int) -> None:
    prices = pa.array([Decimal(f"{n}.25") for n in range(9)], pa.decimal128(9, 2))
    data = _file({"price": prices, "n": pa.array([2**40] * 9)})
    for value in (-1, 0, 1, 2, 3, 9, 10, 17, 308, 309, 1000, 2**31 - 1):
        changed = _changed(data, b"price", place, value)
        try:
            expected = parquet.from_buffer(changed, "x")
        except CorruptFileError:
            with pytest.raises(CorruptFileError, match="data file x"):
                parquet.rows_of(changed, "x", first_row=0, rows=9)
            continue
        found = parquet.rows_of(changed, "x", first_row=0, rows=9)
        for own in found:
            values = [float(each) if isinstance(each, Decimal) else each for each in expected[own].to_pylist()]
            assert [float(each) if isinstance(each, Decimal) else each for each in found[own].to_pylist()] == values


def test_nested_files_of_one_schema_are_remembered_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integers, "_known", {})
    for count in range(1, 9):
        inner = pa.StructArray.from_arrays([pa.array(range(count))], fields=[parquet.field("q", pa.int64(), 17)])
        assert parquet.rows_of(_file({"legs": inner}), "x", first_row=0, rows=count)[16].equals(inner)
    assert len(integers._known) == 1


def test_what_is_no_parquet_is_refused_by_a_load() -> None:
    for data in (b"", b"PAR1", b"PAR1 and then nothing PAR1", b"PAR1" + bytes(50) + b"\x09\0\0\0PAR1"):
        with pytest.raises(CorruptFileError, match="data file x is not readable Parquet"):
            parquet.rows_of(data, "x", first_row=0, rows=9)


def test_a_key_with_a_dot_beside_a_nested_key_of_the_same_path_is_kept() -> None:
    for nested, dotted in ((1.1, True), ("x", 0.3), (2**40, None), ([1.5], "y")):
        rows = [{"a.b": dotted, "a": {"b": nested}, "a.b.list.element": place / 7} for place in range(100)]
        source = serialised({"rows": rows})
        assert store(source, MemorySchema()).text() == source


@pytest.mark.parametrize(("rows", "encoding"), [(1_000, "PLAIN"), (10_000, "DICTIONARY")])
def test_a_long_column_of_texts_has_a_dictionary_where_another_encoding_is_little_smaller(
    rows: int, encoding: str
) -> None:
    symbols = pa.array([f"C{10 * row // rows}/USD" for row in range(rows)])
    assert encodings.choose([(parquet.field("symbol", pa.string(), 16), symbols)]).encodings == {"symbol": encoding}
