"""The order of rows in a data file: rows of one symbol together, where that makes numbers close to their neighbours.

Signals of ten symbols that take turns are ten walks shuffled: packed as differences, a price costs the distance
between symbols, not its own step. Sorted by symbol (and within it as the document has them) the differences are small;
`_pos` keeps each row's place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakestore.parquet import numbers_of

MIN_ROWS = 256
MAX_GROUPS = 256
_SAMPLE = 4_096
_GAIN = 0.5
"""Bits a row that must be saved beyond the cost of `_pos` for a try."""

Order = npt.NDArray[np.int64]


def proposed(columns: Sequence[tuple[pa.Field, pa.Array]], counts: Sequence[int]) -> Order | None:
    """The places of the rows in an order that may pack better; None: there is none.

    An estimate: it knows nothing of what zstd finds. Pages that are really made decide.

    Args:
        columns: the physical columns of a data file.
        counts: rows of each result in it, which stay together.
    """
    rows = len(columns[0][1]) if columns else 0
    if rows < MIN_ROWS:
        return None
    results = np.repeat(np.arange(len(counts)), counts)
    numeric = [
        (values, _dictionary_bits(values))
        for values in (numbers_of(array.slice(0, _SAMPLE)) for _, array in columns if _is_number(array.type))
    ]
    now = sum(min(_packed_bits(values), bound) for values, bound in numeric)
    gain, chosen = _GAIN, None
    for _, array in columns:
        if not pa.types.is_string(array.type):
            continue
        sample = array.slice(0, _SAMPLE).dictionary_encode()
        groups = len(sample.dictionary)
        if sample.null_count or not 2 <= groups <= min(MAX_GROUPS, len(sample) // 16):
            continue
        order = np.lexsort((sample.indices.to_numpy(), results[: len(sample)]))
        then = sum(min(_packed_bits(values[order]), bound) for values, bound in numeric) + _packed_bits(order)
        if now - then > gain:
            gain, chosen = now - then, array
    if chosen is None:
        return None
    codes = chosen.dictionary_encode().indices
    if codes.null_count:
        return None
    return np.lexsort((codes.to_numpy(), results)).astype(np.int64)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_timestamp(kind))


def _packed_bits(values: npt.NDArray[np.int64]) -> float:
    """Bits a value takes as differences: Parquet packs 32 at the width of their spread, zstd finds a common step."""
    deltas = np.diff(values)
    step = int(np.gcd.reduce(deltas))
    whole = deltas[: len(deltas) - len(deltas) % 32].reshape(-1, 32)
    spread = (whole.max(axis=1).astype(np.float64) - whole.min(axis=1)) / max(step, 1)
    return float(np.log2(spread + 1).mean())


def _dictionary_bits(values: npt.NDArray[np.int64]) -> float:
    """Bits a value takes in a dictionary, in whatever order."""
    ordered = np.sort(values)
    distinct = 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
    return float(np.log2(distinct)) + 64 * distinct / len(values)
