"""Bytes of a Parquet file damaged as disks, copies and transfers damage them."""

from __future__ import annotations

import random
from collections.abc import Callable

TAIL = 8
"""The last bytes of a Parquet file: the footer's length, and the magic `PAR1`."""


def footer_start(data: bytes) -> int:
    """Where the footer of an undamaged file begins."""
    return len(data) - TAIL - int.from_bytes(data[-TAIL:-4], "little")


def damage(data: bytes, chance: random.Random) -> tuple[str, bytes]:
    """A damaged copy, never equal to the original, and what was done to it."""
    while True:
        name, change = chance.choice(_WAYS)
        changed = bytearray(data)
        changed = bytearray(change(changed, chance))
        if changed != data:
            return name, bytes(changed)


def _flip(low: Callable[[bytes], int], high: Callable[[bytes], int]) -> Callable[[bytearray, random.Random], bytes]:
    def change(data: bytearray, chance: random.Random) -> bytes:
        for _ in range(chance.choice((1, 1, 1, 2, 8))):
            data[chance.randrange(low(data), high(data))] ^= 1 << chance.randrange(8)
        return data

    return change


def _overwrite(data: bytearray, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((1, 4, 16, 512, 4096)))
    data[start:end] = bytes(end - start) if chance.random() < 0.5 else chance.randbytes(end - start)
    return data


def _footer_integer(data: bytearray, chance: random.Random) -> bytes:
    """Another value in the place of one byte of the footer: Thrift's integers are short."""
    data[chance.randrange(footer_start(data), len(data) - TAIL)] = chance.choice((0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF))
    return data


def _footer_length(data: bytearray, chance: random.Random) -> bytes:
    length = chance.choice((0, 1, len(data), 1 << 31, (1 << 32) - 1, chance.randrange(1 << 16)))
    data[-TAIL:-4] = length.to_bytes(4, "little")
    return data


_WAYS: tuple[tuple[str, Callable[[bytearray, random.Random], bytes]], ...] = (
    ("truncated", lambda data, chance: data[: chance.randrange(len(data))]),
    ("truncated", lambda data, chance: data[: len(data) - chance.randrange(1, 64)]),
    ("grown", lambda data, chance: data + chance.randbytes(chance.randrange(1, 512))),
    ("beginning lost", lambda data, chance: data[chance.randrange(1, len(data)) :]),
    ("bits flipped in pages", _flip(lambda data: 4, footer_start)),
    ("bits flipped in pages", _flip(lambda data: 4, footer_start)),
    ("bits flipped in the footer", _flip(footer_start, lambda data: len(data) - TAIL)),
    ("bits flipped in the footer", _flip(footer_start, lambda data: len(data) - TAIL)),
    ("a byte of the footer replaced", _footer_integer),
    ("footer length", _footer_length),
    ("overwritten", _overwrite),
)
