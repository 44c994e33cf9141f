"""Columns that were read in chunks, each as one array, its rows in the order that is wanted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def one(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks)
        if column.num_chunks
        else pa.array([], column.type)
    )


def in_order(column: pa.ChunkedArray, order: pa.Array | None) -> pa.Array:
    """A column as one array of plain values, taken in this order; texts of a dictionary are looked up once."""
    if pa.types.is_dictionary(column.type):
        if column.num_chunks == 1:
            array = column.chunk(0)
            return array.dictionary.take(array.indices if order is None else array.indices.take(order))
        column = column.cast(column.type.value_type)
    array = one(column)
    return array if order is None else array.take(order)


def inverse(places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each place stands among the places."""
    if len(places) and 0 <= places.min() and places.max() < len(places):
        count = np.arange(len(places))
        found = np.empty(len(places), np.int64)
        found[places] = count
        if np.array_equal(found[places], count):
            return found
    # Not each place once: they are ranked.
    return np.argsort(places, kind="stable")
