"""Tables that engines hold as columns (pyarrow, pandas, polars, …) ⇄ nodes.

A given table appears in the document as an array of records; it comes back with its own schema and values. Where the
values that JSON and SQL see do not say all of it, the Arrow data itself is kept beside them.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakestore.codec import numbers, times
from lakestore.codec.decode import array_of
from lakestore.codec.fit import decimals_of
from lakestore.codec.nodes import Node, offsets_of
from lakestore.codec.times import TimeFormat
from lakestore.errors import InvalidInputError
from lakestore.parquet.gather import one

_UTC = TimeFormat("T", True, ".", (0, 6), "+00:00")
_LOCAL = TimeFormat("T", True, ".", (0, 6), "")
_PERIOD = "pandas.period"
"""A type whose storage counts months or days since 1970: numbers that mean nothing to who reads JSON or SQL."""


def table_of(given: Any, name: str) -> pa.Table:
    """Any table as Arrow.

    Raises:
        InvalidInputError: it is none, or two of its columns have one name.
    """
    try:
        table = given if isinstance(given, pa.Table) else pa.table(given)
        # pandas says of an index where it stands among the columns; JSON records keep it as one of them.
        table = table.combine_chunks()
    except (pa.ArrowException, TypeError, ValueError) as exc:
        why = "; ".join(map(str, exc.args))
        raise InvalidInputError(
            f"tables[{name!r}] is {type(given).__name__}, which gives no Arrow table ({why}); {_advice(given)}"
        ) from exc
    if len(set(table.column_names)) != table.num_columns:
        raise InvalidInputError(f"tables[{name!r}] has two columns of one name: {table.column_names}; rename one")
    if not table.num_columns:
        raise InvalidInputError(f"tables[{name!r}] has no columns: leave it out")
    return table


def _advice(given: Any) -> str:
    """What to give in place of what gives no Arrow table."""
    for method in ("collect", "to_frame"):
        if callable(getattr(given, method, None)):
            return f"give its .{method}()"
    if isinstance(given, list):
        return "put a list of records into the document, under the table's name"
    if hasattr(given, "columns"):
        if len(set(given.columns)) != len(given.columns):
            return "rename one of two columns of one name"
        return "make each of its columns one of a single type"
    return "give a pyarrow.Table, a DataFrame of pandas or polars, or anything with __arrow_c_stream__"


def node_of(table: pa.Table, name: str) -> Node:
    """The rows of a table as records.

    Raises:
        InvalidInputError: a column's type has no form in JSON; named by its path.
    """
    children = tuple(
        _node(one(column), f"tables[{name!r}].{key}")
        for key, column in zip(table.column_names, table.columns, strict=True)
    )
    keys = tuple(table.column_names)
    return Node("struct", table.num_rows, keys=keys, children=children, shapes=(tuple(range(len(keys))),))


def schema_bytes(table: pa.Table) -> bytes:
    """A table's schema as Arrow IPC."""
    return bytes(table.schema.serialize().to_pybytes())


def table_bytes(table: pa.Table) -> bytes:
    """A whole table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def from_table_bytes(data: bytes) -> pa.Table:
    """The table that `table_bytes` kept."""
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


def restore(node: Node, schema: bytes) -> pa.Table:
    """The table that was given, from its node and its schema.

    Raises:
        pa.ArrowException, ValueError: the values do not give that schema.
    """
    target = pa.ipc.read_schema(pa.BufferReader(schema))
    arrays = [_restore(child, kind.type) for child, kind in zip(node.children, target, strict=True)]
    return pa.Table.from_arrays(arrays, schema=target)


def same(left: pa.Table, right: pa.Table) -> bool:
    """Whether two tables have one schema (with its metadata) and the same values, NaN and −0.0 told apart."""
    if not left.schema.equals(right.schema, check_metadata=True) or left.num_rows != right.num_rows:
        return False
    return all(_same(one(a), one(b)) for a, b in zip(left.columns, right.columns, strict=True))


def _node(array: pa.Array, path: str) -> Node:
    kind, n = array.type, len(array)
    if isinstance(array, pa.ExtensionArray) and kind.extension_name != _PERIOD:
        return _node(array.storage, path)
    if pa.types.is_dictionary(kind):
        # Polars' categories are views of texts, which pyarrow cannot look up.
        words = array.dictionary.cast(pa.string()) if kind.value_type == pa.string_view() else array.dictionary
        return _node(pa.DictionaryArray.from_arrays(array.indices, words).dictionary_decode(), path)
    if array.null_count == n:
        return Node("null", n)
    if pa.types.is_boolean(kind):
        return Node("bool", n, array=array)
    if pa.types.is_integer(kind) or pa.types.is_duration(kind):
        try:
            return Node("int", n, array=array.cast(pa.int64()))
        except pa.ArrowInvalid:
            return Node("json", n, array=array.cast(pa.string()))
    if pa.types.is_floating(kind):
        return Node("float", n, array=array.cast(pa.float64()))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        texts = array.cast(pa.string())
        parsed = times.parse(texts)
        return Node("time", n, array=parsed[1], format=parsed[0]) if parsed else Node("str", n, array=texts)
    if pa.types.is_decimal(kind):
        return _decimal(array)
    if pa.types.is_date(kind):
        return Node("time", n, array=array.cast(pa.date32()), format=TimeFormat())
    if pa.types.is_timestamp(kind):
        return _timestamp(array)
    if pa.types.is_time(kind):
        return Node("str", n, array=pa.array([v and v.isoformat() for v in array.to_pylist()], pa.string()))
    if pa.types.is_struct(kind) and kind.num_fields:
        names = tuple(kind.field(i).name for i in range(kind.num_fields))
        if len(set(names)) == len(names):
            node = Node("struct", n, keys=names, shapes=(tuple(range(len(names))),))
            node.children = tuple(_node(array.field(i), f"{path}.{name}") for i, name in enumerate(names))
            node.valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
            return node
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        node = Node("list", n, offsets=offsets_of(lengths), child=_node(array.flatten(), f"{path}[]"))
        node.valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
        return node
    raise InvalidInputError(
        f"{path}: a column of {kind} has no form in JSON; give text, numbers, times, lists or structs"
    )


def _decimal(array: pa.Array) -> Node:
    """Decimals as the doubles of the same digits; as JSON numbers of all their digits where a double has too few."""
    n = len(array)
    doubles = array.cast(pa.string()).cast(pa.float64())
    whole = numbers.scaled(numbers.doubles(doubles), max(array.type.scale, 0))
    if whole is not None and decimals_of(whole, max(array.type.scale, 0), array).cast(array.type, safe=False).equals(
        array
    ):
        return Node("float", n, array=doubles)
    texts = [None if value is None else format(value, "f") for value in array.to_pylist()]
    return Node("json", n, array=pa.array(texts, pa.string()))


def _timestamp(array: pa.Array) -> Node:
    n, zone = len(array), array.type.tz
    try:
        micros = array.cast(pa.timestamp("us", zone)).cast(pa.timestamp("us", "UTC" if zone else None))
        if times.in_range(micros):
            return Node("time", n, array=micros, format=_UTC if zone else _LOCAL)
    except pa.ArrowInvalid:
        # Finer than microseconds: as text of all digits, like those beyond the years 1 to 9999.
        pass
    texts = pc.replace_substring(
        array.cast(pa.timestamp(array.type.unit)).cast(pa.string()), " ", "T", max_replacements=1
    )
    suffix = pa.scalar("+00:00" if zone else "")
    return Node("str", n, array=pc.binary_join_element_wise(texts, suffix, pa.scalar("")))


def _restore(node: Node, kind: pa.DataType) -> pa.Array:
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _restore(node, kind.storage_type))
    if pa.types.is_dictionary(kind):
        values = _restore(node, kind.value_type)
        return values.dictionary_encode().cast(kind)
    if node.kind == "null":
        return pa.nulls(node.n, kind)
    if (node.kind == "time" and pa.types.is_string(kind)) or pa.types.is_large_string(kind) or kind == pa.string_view():
        texts = times.render(node.array, node.format) if node.format is not None else node.array
        return texts.cast(kind)
    if pa.types.is_decimal(kind) and node.kind == "float":
        values = node.array
        whole = numbers.scaled(numbers.doubles(values), max(kind.scale, 0))
        if whole is None:
            raise ValueError("not decimals of that scale")
        return decimals_of(whole, max(kind.scale, 0), values).cast(kind, safe=False)
    if pa.types.is_struct(kind) and node.kind == "struct":
        mask = None if node.valid is None else pa.array(~node.valid)
        members = [_restore(child, kind.field(i).type) for i, child in enumerate(node.children)]
        return pa.StructArray.from_arrays(members, fields=list(kind), mask=mask)
    if node.kind == "list" and pa.types.is_list(kind):
        mask = None if node.valid is None else pa.array(~node.valid)
        assert node.child is not None
        return pa.ListArray.from_arrays(
            pa.array(node.offsets), _restore(node.child, kind.value_type), type=kind, mask=mask
        )
    return array_of(node).cast(kind)


def _same(left: pa.Array, right: pa.Array) -> bool:
    if left.type == right.type and not _is_nested(left.type) and _place(left) == _place(right):
        return True
    if pa.types.is_floating(left.type):
        if not left.is_valid().equals(right.is_valid()):
            return False
        bits = {16: np.uint16, 32: np.uint32, 64: np.uint64}[left.type.bit_width]
        return bool(np.array_equal(_bits(left, bits), _bits(right, bits)))
    if _is_nested(left.type):
        return _texts(left) == _texts(right)
    return bool(left.equals(right))


def _place(array: pa.Array) -> tuple[Any, ...]:
    """Where an array lies in memory."""
    return len(array), array.offset, *(buffer and buffer.address for buffer in array.buffers())


def _bits(array: pa.Array, kind: Any) -> Any:
    """The bit patterns of the valid values; every NaN is one."""
    values = array.drop_null().to_numpy(zero_copy_only=False)
    return np.where(np.isnan(values), np.float64("nan").astype(values.dtype), values).view(kind)


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_dictionary(kind))


def _texts(array: pa.Array) -> str:
    """Nested values as one text in which NaN, −0.0 and null differ."""
    return json.dumps(array.to_pylist(), default=repr)
