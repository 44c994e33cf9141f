"""The order of rows in a data file: rows of one symbol together, where that makes numbers close to their neighbours.

Signals of ten symbols that take turns are ten walks shuffled: packed as differences, a price costs the distance
between symbols, not its own step. Sorted by symbol (and within it as the document has them) the differences are small;
`_pos` keeps each row's place. Whether it pays is estimated on a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakestore.parquet import numbers_of, reordered, sampled_size

MIN_ROWS = 256
_ENTRY = 128
"""Bytes of the footer entry and the page header of `_pos`."""
MAX_GROUPS = 256
_SAMPLE = 8_192
_GAIN = 0.5
"""Bits a row that must be saved beyond the cost of `_pos` for a try."""

Order = npt.NDArray[np.int64]


def clustered(columns: Sequence[tuple[pa.Field, pa.Array]]) -> Order | None:
    """The places of the rows in the order that packs best; None: as they are.

    Args:
        columns: the physical columns of one record table.
    """
    rows = len(columns[0][1]) if columns else 0
    if rows < MIN_ROWS:
        return None
    numeric = [numbers_of(array.slice(0, _SAMPLE)) for _, array in columns if _is_number(array.type)]
    if not numeric:
        return None
    now = sum(map(_bits, numeric))
    best, chosen = now - _GAIN, None
    for _, array in columns:
        if not pa.types.is_string(array.type):
            continue
        sample = array.slice(0, _SAMPLE).dictionary_encode()
        groups = len(sample.dictionary)
        if sample.null_count or not 2 <= groups <= min(MAX_GROUPS, len(sample) // 16):
            continue
        order = np.argsort(sample.indices.to_numpy(), kind="stable")
        then = sum(_bits(values[order]) for values in numeric) + _bits(order)
        if then < best:
            best, chosen = then, array
    if chosen is None:
        return None
    codes = chosen.dictionary_encode().indices
    if codes.null_count:
        return None
    order = np.argsort(codes.to_numpy(), kind="stable").astype(np.int64)
    # The estimate proposes, pages that are really made decide.
    return order if sampled_size(reordered(columns, order)) < sampled_size(columns) - _ENTRY else None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_timestamp(kind))


def _bits(values: npt.NDArray[np.int64]) -> float:
    """Bits a value takes: as differences (32 at the width of their spread, in steps), or in a dictionary."""
    deltas = np.diff(values)
    step = int(np.gcd.reduce(deltas))
    whole = deltas[: len(deltas) - len(deltas) % 32].reshape(-1, 32)
    spread = (whole.max(axis=1).astype(np.float64) - whole.min(axis=1)) / max(step, 1)
    distinct = len(np.unique(values))
    return min(float(np.log2(spread + 1).mean()), float(np.log2(distinct)) + 64 * distinct / len(values))
