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
_FEW = 16
"""Rows up to which each is moved by itself: numpy's calls cost more."""
_SOME = 64
"""Values that tell the step of all others."""

Ints = npt.NDArray[np.int64]

_WIDTHS: Ints = np.array([behind.bit_length() for behind in range(MOST)], np.int64)
"""The bits of a count, by the rows of its value that follow."""


def packed(values: Ints, places: Ints) -> bytes:
    """What leads from the order of a file's rows to that of the document, besides the values.

    Args:
        values: what is the same in rows that are to be told apart, and goes up in the document.
        places: each row's place in the document among those of its value, below `MOST`.
    """
    together = rising(values)
    values, places = values[together], places[together]
    counts = np.zeros(len(values), np.int64)
    for ahead in range(1, int(places.max(initial=0)) + 1):
        before = (values[ahead:] == values[:-ahead]) & (places[ahead:] < places[:-ahead])
        counts[: len(before)] += before
    rows, behind = _followed(values)
    widths, counts = _WIDTHS[behind], counts[rows]
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
    order = rising(values)
    if not len(values) or (isinstance(told, bytes) and not told):
        return order
    values = values[order]
    rows, behind = _followed(values)
    if behind.max(initial=0) >= MOST:
        raise ValueError("too many rows of one value")
    if isinstance(told, bytes):
        by = _unpacked(told, behind)
    else:
        by = told[order][rows]
        if by.min(initial=0) < 0 or np.count_nonzero(by) != np.count_nonzero(told):
            raise ValueError("not the counts of these rows")
    if (by > behind).any():
        raise ValueError("more rows come before one than follow it")
    # The others stand as they should, unless one of these is moved past them.
    moved = np.flatnonzero(by != 0)
    if len(moved):
        _move(order, rows[moved], by[moved], values)
    return order


def rising(values: Ints) -> Ints:
    """The order in which values go up, equal ones as they stand: as numpy's stable sort gives it.

    Times mostly are whole steps of something. As numbers of 16 bits they are counted instead of compared.
    """
    if len(values) >= _SOME:
        low = values.min()
        span = int(values.max()) - int(low)
        step = int(np.gcd.reduce(values[:_SOME] - low)) or 1
        if span < min(step << 16, 1 << 63):
            above = values - low
            steps = above // step
            if step == 1 or np.array_equal(steps * step, above):
                return np.argsort(steps.astype(np.uint16), kind="stable")
    return np.argsort(values, kind="stable")


def _followed(values: Ints) -> tuple[Ints, Ints]:
    """The rows that are followed by some of their value, and by how many, given values that go up."""
    rows = np.flatnonzero(values[1:] == values[:-1])
    return rows, _left(rows[1:] == rows[:-1] + 1, len(rows))


def _left(goes_on: npt.NDArray[np.bool_], count: int) -> Ints:
    """For each of so many items how many are left of its group with it, given whether each has the next one in it."""
    last = np.flatnonzero(~goes_on)
    ends = np.concatenate([last, [count - 1]]) if count else last
    sizes = ends.copy()
    sizes[1:] -= ends[:-1]
    sizes[:1] += 1
    left: Ints = np.repeat(ends + 1, sizes) - np.arange(count)
    return left


def _unpacked(told: bytes, behind: Ints) -> Ints:
    widths = _WIDTHS[behind]
    ends = np.cumsum(widths)
    if len(told) != -(-int(ends[-1] if len(ends) else 0) // 8):
        raise ValueError("not the bits of so many rows")
    begins = ends - widths
    # A count lies in two bytes at most.
    pairs = np.frombuffer(told + b"\0", np.uint8).astype(np.int64)
    pairs[:-1] |= pairs[1:] << 8
    counts: Ints = pairs[begins >> 3] >> (begins & 7) & (1 << widths) - 1
    return counts


def _move(order: Ints, rows: Ints, by: Ints, values: Ints) -> None:
    """Move each of these rows behind so many of its value, beginning with the last row of each value."""
    own = values[rows]
    turns = _left(own[1:] == own[:-1], len(rows)).astype(np.uint8)
    by_turn = np.argsort(turns, kind="stable")
    rows, by = rows[by_turn], by[by_turn]
    begin = 0
    for count in np.bincount(turns)[1:].tolist():
        if count < _FEW:
            break
        _rotate(order, rows[begin : begin + count], by[begin : begin + count] + 1)
        begin += count
    for row, behind in zip(rows[begin:].tolist(), by[begin:].tolist(), strict=True):
        place = order[row]
        order[row : row + behind] = order[row + 1 : row + behind + 1]
        order[row + behind] = place


def _rotate(order: Ints, begins: Ints, sizes: Ints) -> None:
    """Put the first of each of these spans, none of which meets another, at its end."""
    ends = np.cumsum(sizes)
    to = np.repeat(begins - (ends - sizes), sizes) + np.arange(int(ends[-1]))
    source = to + 1
    source[ends - 1] = begins
    order[to] = order[source]
