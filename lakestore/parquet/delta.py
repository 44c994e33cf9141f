"""DELTA_BINARY_PACKED with differences in whole bytes, or in blocks of another size.

Parquet lets a writer pack differences wider than they must be. Times on a grid are multiples of a large step: at 23
bits each they look like noise, at 24 each is the same three bytes again, which zstd finds. And blocks of 512 values
name their least difference less often than those of 128, which numbers without order never need. No reader has to
know.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lakestore.parquet import varint

_MINI = 128
"""Differences of one width in a long column; a short one has one width."""
_BLOCK = 4_096
"""Values of a block, which names its least difference and the width of each part."""
_SHORT = 1_024
_MIDDLE, _FINE = 512, 32
_LEAST = 128
"""A block has so many values, or a multiple of it, in up to four parts here."""


def packed(values: npt.NDArray[np.int64], bits: int, *, whole: bool = True) -> bytes | None:
    """The values as Parquet's readers decode them; None where they span too much for this.

    Args:
        bits: 32 or 64, the width of the column's physical type.
        whole: in whole bytes; else in as many bits as the widest of 32 needs.
    """
    if len(values) < 2 or int(values.max()) - int(values.min()) >= 1 << bits - 2:
        return None
    block, size = _parts(len(values) - 1) if whole else (_MIDDLE, _FINE)
    out = bytearray()
    for number in (block, block // size, len(values)):
        varint.write(number, out)
    varint.write(varint.zigzag(int(values[0])), out)
    differences = np.diff(values)
    for start in range(0, len(differences), block):
        part = differences[start : start + block]
        least = int(part.min())
        varint.write(varint.zigzag(least), out)
        runs = np.zeros(-(-len(part) // size) * size, "<u8")
        runs[: len(part)] = part - least
        minis = runs.reshape(-1, size)
        widths = [int(top).bit_length() for top in minis.max(axis=1)]
        if whole:
            widths = [-(-width // 8) * 8 for width in widths]
        # The parts that the last block has not are of width 0.
        out += bytes(widths) + bytes(block // size - len(widths))
        if whole:
            for mini, width in zip(minis, widths, strict=True):
                out += mini.view(np.uint8).reshape(size, 8)[:, : width // 8].tobytes()
        else:
            out += _in_bits(minis, widths)
    return bytes(out)


def _in_bits(minis: npt.NDArray[np.uint64], widths: list[int]) -> bytes:
    """The lowest bits of each part's values, so many as its width says, lowest first."""
    parts = [b""] * len(widths)
    for width in set(widths):
        places = [place for place, own in enumerate(widths) if own == width]
        raw = minis[places].view(np.uint8).reshape(len(places), -1, 8)
        bits = np.unpackbits(raw, axis=2, count=width, bitorder="little").reshape(len(places), -1)
        for place, row in zip(places, np.packbits(bits, axis=1, bitorder="little"), strict=True):
            parts[place] = row.tobytes()
    return b"".join(parts)


def _parts(count: int) -> tuple[int, int]:
    """The values of a block and of its parts, for so many differences; of few, one part holds all."""
    if count >= _SHORT:
        return _BLOCK, _MINI
    block = -(-count // _LEAST) * _LEAST
    return block, next(size for size in (block // 4, block // 2, block) if count <= size)
