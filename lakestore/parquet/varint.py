"""Integers of as many bytes as they need (LEB128), as Thrift and Parquet's encodings have them."""

from __future__ import annotations


def write(value: int, out: bytearray) -> None:
    """Append an integer that is not negative."""
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def read(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """The integer that begins at a place, and where it ends.

    Raises:
        IndexError: the data end before it does.
    """
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def zigzag(value: int) -> int:
    """An integer of 64 bits and either sign as one that is not negative, small where its size is."""
    return value << 1 ^ value >> 63
