"""DELTA_BINARY_PACKED with differences in whole bytes.

Parquet lets a writer pack differences wider than they must be. Times on a grid are multiples of a large step: at 23
bits each they look like noise, at 24 each is the same three bytes again, which zstd finds. No reader has to know.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lakestore import varint

_MINI = 128
"""Differences of one width."""
_BLOCK = 4_096
_SHORT = 1_024
"""Values of a block, which names its least difference and the width of each part; shorter in a short column."""


def packed(values: npt.NDArray[np.int64], bits: int) -> bytes | None:
    """The values as Parquet's readers decode them; None where they span too much for this.

    Args:
        bits: 32 or 64, the width of the column's physical type.
    """
    if len(values) < 2 or int(values.max()) - int(values.min()) >= 1 << bits - 2:
        return None
    block = _BLOCK if len(values) > _SHORT else _SHORT
    out = bytearray()
    for number in (block, block // _MINI, len(values)):
        varint.write(number, out)
    varint.write(varint.zigzag(int(values[0])), out)
    differences = np.diff(values)
    for start in range(0, len(differences), block):
        part = differences[start : start + block]
        least = int(part.min())
        varint.write(varint.zigzag(least), out)
        runs = np.zeros(-(-len(part) // _MINI) * _MINI, "<u8")
        runs[: len(part)] = part - least
        minis = runs.reshape(-1, _MINI)
        widths = [-(-int(top).bit_length() // 8) for top in minis.max(axis=1)]
        # The parts that the last block has not are of width 0.
        out += bytes(8 * width for width in widths) + bytes(block // _MINI - len(widths))
        for mini, width in zip(minis, widths, strict=True):
            out += mini.view(np.uint8).reshape(_MINI, 8)[:, :width].tobytes()
    return bytes(out)
