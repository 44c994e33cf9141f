"""Packed statistics in the forms that earlier lakestores wrote, which `packing_older` reads."""

from __future__ import annotations

import struct

from lakestore.codec.statistics import sums
from lakestore.parquet import varint


def first_form(rows: int, *entries: tuple[int, int, float, float, float]) -> bytes:
    """A row of a lake table; an entry is a field id, nulls, least, greatest, sum."""
    return struct.pack("<Q", rows) + b"".join(struct.pack("<IIddd", *entry) for entry in entries)


def second_form(rows: int, *columns: tuple[int, int, int, float, float, float]) -> bytes:
    """A row of a lake table; a column is a field id, nulls, scale, least, greatest, sum."""
    out = bytearray()
    varint.write(rows, out)
    for column in columns:
        for value in column[:3]:
            varint.write(int(value), out)
        for number in column[3:]:
            is_double = column[2] == sums.DOUBLES
            raw = struct.pack("<d", number)
            varint.write(int.from_bytes(raw, "big") if is_double else varint.zigzag(int(number)), out)
    return bytes(out) + (b"\0" if len(out) % 32 == 8 else b"")
