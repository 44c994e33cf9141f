"""Thrift's compact protocol, as much of it as Parquet's metadata is written in.

A struct is a dict: field id → (type, value). Unknown fields are values like any others, so that what is read is written
again as it was.
"""

from __future__ import annotations

from typing import Any

from lakestore.parquet import varint

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
Struct = dict[int, tuple[int, Any]]
"""Values: bool, int, bytes, `(type of the items, items)` for lists, another struct."""


def read(data: bytes | memoryview, at: int = 0) -> tuple[Struct, int]:
    """The struct that begins at a place, and where it ends.

    Raises:
        ValueError, IndexError: there is no such struct.
    """
    found: Struct = {}
    field = 0
    while head := data[at]:
        at += 1
        if head > 15:
            field += head >> 4
        else:
            field, at = _value(data, at, I16)
        kind = head & 15
        value, at = _value(data, at, kind)
        found[field] = kind, value
    return found, at + 1


def write(value: Struct) -> bytes:
    """A struct as bytes; its fields in the order of the dict, which must be that of their ids."""
    out = bytearray()
    _write_struct(value, out)
    return bytes(out)


def _value(data: bytes | memoryview, at: int, kind: int) -> tuple[Any, int]:
    if I16 <= kind <= I64:
        raw = data[at]
        # Most take one byte.
        if raw < 128:
            return raw >> 1 ^ -(raw & 1), at + 1
        raw, at = varint.read(data, at)
        return raw >> 1 ^ -(raw & 1), at
    if kind == STRUCT:
        return read(data, at)
    if kind == BINARY:
        size, at = varint.read(data, at)
        return data[at : at + size], at + size
    if kind == LIST or kind == SET:
        head = data[at]
        at += 1
        size, inner = head >> 4, head & 15
        if size == 15:
            size, at = varint.read(data, at)
        items = []
        for _ in range(size):
            # Inside a list a bool is a byte, elsewhere its type.
            item, at = (data[at] == TRUE, at + 1) if TRUE <= inner <= FALSE else _value(data, at, inner)
            items.append(item)
        return (inner, items), at
    if kind == TRUE or kind == FALSE:
        return kind == TRUE, at
    if kind == BYTE:
        return data[at], at + 1
    if kind == DOUBLE:
        return data[at : at + 8], at + 8
    raise ValueError(f"thrift type {kind} does not occur in Parquet")


def _write_struct(value: Struct, out: bytearray) -> None:
    before = 0
    for field, (kind, item) in value.items():
        if 0 < field - before < 16:
            out.append(field - before << 4 | kind)
        else:
            out.append(kind)
            varint.write(varint.zigzag(field), out)
        before = field
        _write_value(item, kind, out)
    out.append(0)


def _write_value(value: Any, kind: int, out: bytearray) -> None:
    if I16 <= kind <= I64:
        if 0 <= value < 64:
            out.append(value << 1)
        else:
            varint.write(varint.zigzag(value), out)
    elif kind == STRUCT:
        _write_struct(value, out)
    elif kind == BINARY:
        varint.write(len(value), out)
        out += value
    elif kind == LIST or kind == SET:
        inner, items = value
        if len(items) < 15:
            out.append(len(items) << 4 | inner)
        else:
            out.append(0xF0 | inner)
            varint.write(len(items), out)
        for item in items:
            if TRUE <= inner <= FALSE:
                out.append(TRUE if item else FALSE)
            else:
                _write_value(item, inner, out)
    elif kind == BYTE:
        out.append(value)
    elif kind == DOUBLE:
        out += value
