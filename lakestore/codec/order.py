"""The order of rows in a data file: rows of one symbol together, where that makes numbers close to their neighbours.

Signals of ten symbols that take turns are ten walks shuffled: packed as differences, a price costs the distance
between symbols, not its own step. Sorted by symbol (and within it as the document has them) the differences are small;
`_pos` keeps each row's place. Symbols follow each other by their level, so that the step from one to the next is small
too, and where they have few rows every other one runs backwards: places then go up and down without a jump.

Where a column of the document only goes up (a time, mostly) the rows are found again by it: `_pos` then tells apart the
rows of the same value alone (`ties`), and is not there where these stand as they should.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakestore.parquet import ties
from lakestore.parquet.encodings import numbers_of

MIN_ROWS = 256
MAX_GROUPS = 256
_SAMPLE = 2_048
_GAIN = 0.5
"""Bits a row that must be saved beyond the cost of `_pos` for a try."""
_TIES = 0.5
"""Share of rows with the value of the row before, up to which rows are found again by a column."""
_FIRST = 64
"""Rows that mostly show already that a column does not only go up."""
_FEW = 256
"""Rows a symbol and result below which every other symbol runs backwards: jumps cost more than steps of both signs."""

Columns = Sequence[tuple[pa.Field, pa.Array]]
Order = npt.NDArray[np.int64]


def rising(columns: Columns, counts: Sequence[int]) -> tuple[int, Order] | None:
    """The place of the column that tells the document's order best, and each row's place among its value's rows.

    None: no column goes up in all results, or all have too many equal values, or too many of one.

    Args:
        columns, counts: as for `proposed`.
    """
    rows = sum(counts)
    first = np.zeros(rows, np.bool_)
    starts = np.cumsum(counts) - np.asarray(counts)
    first[starts[starts < rows]] = True
    best = None
    least = int(_TIES * rows)
    for place, (_, array) in enumerate(columns):
        if not _is_number(array.type) or array.null_count:
            continue
        numbers = numbers_of(array)
        if _falls(numbers[:_FIRST], first) or _falls(numbers, first):
            continue
        new = first.copy()
        new[1:] |= numbers[1:] > numbers[:-1]
        equal = rows - int(new.sum())
        if equal < least or (best is None and equal <= least):
            best, least = (place, new), equal
    if best is None:
        return None
    place, new = best
    begun = np.maximum.accumulate(np.where(new, np.arange(rows), 0))
    places = np.arange(rows) - begun
    return (place, places) if places.max(initial=0) < ties.MOST else None


def _falls(numbers: npt.NDArray[np.int64], first: npt.NDArray[np.bool_]) -> bool:
    """Whether a number is below the one before it in the same result, given where results begin."""
    return bool(((numbers[1:] < numbers[:-1]) & ~first[1 : len(numbers)]).any())


def proposed(columns: Columns, counts: Sequence[int], places: Order | None = None) -> int | None:
    """The place of the column by whose texts rows may pack better together; None: there is none.

    An estimate: it knows nothing of what zstd finds. Pages that are really made decide.

    Args:
        columns: the physical columns of a data file.
        counts: rows of each result in it, which stay together.
        places: of the rows among those of their value, from `rising`, where that takes the place of `_pos`.
    """
    rows = len(columns[0][1]) if columns else 0
    if rows < MIN_ROWS:
        return None
    sample = [(item, array.slice(0, _SAMPLE)) for item, array in columns]
    symbols = groups(columns)
    if not symbols:
        return None
    results = _results(counts)[:_SAMPLE]
    numeric = [(values, _dictionary_bits(values)) for values in _numbers(sample)]
    now = sum(min(_packed_bits(values), bound) for values, bound in numeric)
    kept = None if places is None else _dictionary_bits(places[:_SAMPLE])
    gain, chosen = _GAIN, None
    for place in symbols:
        codes = sample[place][1].dictionary_encode().indices.to_numpy()
        order = np.lexsort((codes, results))
        then = sum(min(_packed_bits(values[order]), bound) for values, bound in numeric)
        then += _packed_bits(order) if kept is None else kept
        if now - then > gain:
            gain, chosen = now - then, place
    return chosen


def groups(columns: Columns) -> list[int]:
    """The places of the columns of few texts in a sample."""
    found: list[int] = []
    for place, (_, array) in enumerate(columns):
        # In a column with nulls anywhere the order would not be that of the texts alone.
        if pa.types.is_string(array.type) and not array.null_count:
            sample = array.slice(0, _SAMPLE)
            if 2 <= len(sample.unique()) <= min(MAX_GROUPS, len(sample) // 16):
                found.append(place)
    return found


def order_by(columns: Columns, place: int, counts: Sequence[int], *, forwards: bool = False) -> Order:
    """The places of the rows in the order by one column of texts.

    Args:
        columns, counts: as for `proposed`, which proposed the column at `place`.
        forwards: no symbol runs backwards.
    """
    codes = columns[place][1].dictionary_encode()
    groups = codes.indices.to_numpy()
    number = len(codes.dictionary)
    level = max(_numbers(columns), key=np.ptp)
    means = np.bincount(groups, level.astype(np.float64), number) / np.bincount(groups, minlength=number)
    ranks = np.empty(number, np.int64)
    ranks[np.argsort(means, kind="stable")] = np.arange(number)
    results = _results(counts)
    # Every other result has its symbols downwards, so that none begins with a jump.
    upwards = results % 2 == 0
    turn = results * number + np.where(upwards, ranks[groups], number - 1 - ranks[groups])
    if not forwards and len(groups) < _FEW * number * len(counts):
        within = np.arange(len(groups))
        return np.lexsort((np.where(turn % 2, -within, within), turn)).astype(np.int64)
    # Numbers of 16 bits are sorted several times as fast.
    few = number * len(counts) <= 1 << 16
    return np.argsort(turn.astype(np.uint16) if few else turn, kind="stable").astype(np.int64)


def _results(counts: Sequence[int]) -> npt.NDArray[np.int64]:
    """The place of the result that each row belongs to."""
    return np.repeat(np.arange(len(counts)), counts)


def _numbers(columns: Columns) -> list[npt.NDArray[np.int64]]:
    return [numbers_of(array) for _, array in columns if _is_number(array.type)]


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
