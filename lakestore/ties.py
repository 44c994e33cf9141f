"""The order of rows of the same value, told by the place that each takes among those that are left.

A file keeps rows of one symbol together, and a time that goes up in the document leads back to its order; only rows of
the same time are to be told apart. Their places among each other are 0, 1, 2, … whatever order they have. Counted is
what is not known from the file's order: how many of the rows of the same value that stand behind one in the file come
before it in the document. That is 0 for all rows but those that changed places, and less than half of the bytes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MOST = 32
"""Rows of one value up to which they are counted like this."""

Ints = npt.NDArray[np.int64]


def counted(values: Ints, places: Ints) -> Ints:
    """For each row of a file how many rows of its value behind it come before it in the document.

    Args:
        values: what is the same in rows that are to be told apart.
        places: each row's place in the document among those of its value, below `MOST`.
    """
    together = np.argsort(values, kind="stable")
    values, places = values[together], places[together]
    counts = np.zeros(len(values), np.int64)
    for ahead in range(1, int(places.max(initial=0)) + 1):
        before = (values[ahead:] == values[:-ahead]) & (places[ahead:] < places[:-ahead])
        counts[: len(before)] += before
    found = np.empty_like(counts)
    found[together] = counts
    return found


def in_order(values: Ints, counts: Ints) -> Ints:
    """The file's rows in the document's order, given what `counted` gave.

    Args:
        values: what goes up in the document.

    Raises:
        ValueError, IndexError: they cannot be such counts.
    """
    if not len(values):
        return np.empty(0, np.int64)
    together = np.argsort(values, kind="stable")
    values = values[together]
    begins = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    sizes = np.diff(begins, append=len(values))
    if sizes.max() > MOST:
        raise ValueError("too many rows of one value")
    places = counts[together]
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
