"""The order of rows of the same value, told by the place that each takes among those that are left.

A file keeps rows of one symbol together, and a time that goes up in the document leads back to its order; only rows of
the same time are to be told apart. Counted is what is not known from the file's order: how many of the rows of the same
value that stand behind one in the file come before it in the document. Rows of one value stand together here, values in
their order, so a count is no larger than the rows of its value that follow, and takes the bits of that number: none for
a row that is alone or the last. Lowest bit first, 0.5 bits a row of a typical file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MOST = 32
"""Rows of one value up to which they are counted like this."""
_BITS = 5

Ints = npt.NDArray[np.int64]


def packed(values: Ints, places: Ints) -> bytes:
    """What leads from the order of a file's rows to that of the document, besides the values.

    Args:
        values: what is the same in rows that are to be told apart, and goes up in the document.
        places: each row's place in the document among those of its value, below `MOST`.
    """
    together = np.argsort(values, kind="stable")
    values, places = values[together], places[together]
    counts = np.zeros(len(values), np.int64)
    for ahead in range(1, int(places.max(initial=0)) + 1):
        before = (values[ahead:] == values[:-ahead]) & (places[ahead:] < places[:-ahead])
        counts[: len(before)] += before
    widths = _widths(*_runs(values))
    ends = np.cumsum(widths)
    out = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    for bit in range(_BITS):
        wide = np.flatnonzero(widths > bit)
        out[(ends - widths)[wide] + bit] = counts[wide] >> bit & 1
    return np.packbits(out, bitorder="little").tobytes()


def in_order(values: Ints, told: bytes | Ints) -> Ints:
    """The file's rows in the document's order, given what `packed` gave; nothing: they stand as they should.

    Args:
        values: what goes up in the document.
        told: or, as files had it before, the count of each row.

    Raises:
        ValueError, IndexError: they cannot be such counts.
    """
    if not len(values):
        return np.empty(0, np.int64)
    together = np.argsort(values, kind="stable")
    if isinstance(told, bytes) and not told:
        return together
    values = values[together]
    begins, sizes = _runs(values)
    if sizes.max() > MOST:
        raise ValueError("too many rows of one value")
    places = _unpacked(told, begins, sizes) if isinstance(told, bytes) else told[together]
    longer = [begins]
    for behind in range(1, int(sizes.max())):
        longer.append(begins[sizes > behind])
    for at in range(len(longer) - 2, -1, -1):
        for behind in range(at + 1, len(longer)):
            rows = longer[behind]
            places[rows + behind] += places[rows + behind] >= places[rows + at]
    found = np.full(len(values), -1)
    found[np.repeat(begins, sizes) + places] = together
    if found.min() < 0:
        raise ValueError("two rows in one place")
    return found


def _runs(values: Ints) -> tuple[Ints, Ints]:
    """Where rows of one value begin, and how many they are."""
    begins = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])
    return begins, np.diff(begins, append=len(values))


def _widths(begins: Ints, sizes: Ints) -> Ints:
    """The bits of each row's count."""
    behind = np.repeat(begins + sizes, sizes) - np.arange(int(sizes.sum())) - 1
    widths: Ints = np.frexp(behind.astype(np.float64))[1].astype(np.int64)
    return widths


def _unpacked(told: bytes, begins: Ints, sizes: Ints) -> Ints:
    widths = _widths(begins, sizes)
    ends = np.cumsum(widths)
    bits = np.unpackbits(np.frombuffer(told, np.uint8), bitorder="little")
    if len(bits) // 8 != -(-int(ends[-1]) // 8):
        raise ValueError("not the bits of so many rows")
    counts = np.zeros(len(widths), np.int64)
    for bit in range(_BITS):
        wide = np.flatnonzero(widths > bit)
        counts[wide] |= bits[(ends - widths)[wide] + bit].astype(np.int64) << bit
    return counts
