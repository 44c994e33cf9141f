"""Bytes of many texts, seen as cells of equal length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Items = npt.NDArray[np.void]


def ends(starts: Ints, size: int) -> Ints:
    """The places of the last `size` bytes of each text; shape (n, size)."""
    return starts[1:, None] + np.arange(-size, 0)


def windows(raw: Bytes, length: int) -> Items:
    """Every run of `length` bytes as one item, by the place where it begins, without copying."""
    return np.ndarray((raw.size - length + 1,), f"V{length}", raw, strides=(1,))
