"""Integers of any width up to 64 bits behind each other, lowest bit first."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
PADDING: Final = 8
"""Bytes that must follow what is read."""
REACH: Final = 57
"""Bits up to which an integer may begin anywhere; a wider one begins at a full byte."""


class Writer:
    """Collects integers, those of one call in one width."""

    def __init__(self) -> None:
        self._values: list[Words] = []
        self._widths: list[int] = []
        self._written = 0

    def put(self, values: npt.NDArray[Any], least: int = 0) -> int:
        """Append integers that are not negative; return how many bits each takes, `least` or more."""
        width = max(least, int(values.max()).bit_length())
        self._append(values.astype(np.uint64), width)
        return width

    def pad(self) -> None:
        """Fill the last byte with zeros."""
        self._append(np.zeros(1, np.uint64), -self._written % 8)

    def _append(self, values: Words, width: int) -> None:
        self._values.append(values)
        self._widths.append(width)
        self._written += len(values) * width

    def to_bytes(self) -> bytes:
        """All of them."""
        values = np.concatenate(self._values)
        widths = np.repeat(self._widths, [len(part) for part in self._values])
        within = np.arange(self._written) - np.repeat(np.cumsum(widths) - widths, widths)
        ones = (np.repeat(values, widths) >> within.astype(np.uint64)) & np.uint64(1)
        return np.packbits(ones.astype(np.uint8), bitorder="little").tobytes()


def read(data: npt.NDArray[np.uint8], places: Places, widths: Places) -> Words:
    """The integers that begin at these bits.

    Args:
        data: the bytes, with `PADDING` behind them.
    """
    assert sys.byteorder == "little", "the bytes are read as words where they lie"
    words: Words = np.ndarray((len(data) - 7,), np.uint64, data, strides=(1,))
    found = words[places >> 3] >> (places & 7).astype(np.uint64)
    # No shift by all 64 bits: it is undefined.
    masks = np.where(widths > 0, ~np.uint64(0) >> (64 - np.maximum(widths, 1)).astype(np.uint64), np.uint64(0))
    made: Words = found & masks
    return made


def signed(zigzags: Words) -> Places:
    """The integers that stand as zigzags (`varint.zigzag`)."""
    whole: Places = (zigzags >> np.uint64(1)).astype(np.int64) ^ -(zigzags & np.uint64(1)).astype(np.int64)
    return whole
