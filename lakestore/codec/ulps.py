"""Doubles beside decimals, as a decimal and the units in the last place that are missing to the double.

`0.07708998999999998` is no decimal of a few digits but one unit beside one: what pandas' quick parser makes of the text
`0.07708999` (one value in five), what running sums make of an average or of an equity. As a double it takes six bytes,
as decimal and units two to four.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakestore.codec import numbers
from lakestore.codec.numbers import EXACT, Floats, Ints
from lakestore.parquet import encodings

MOST: Final = 4_096
"""Units that a value may be beside its decimal: whoever reads that alone has the first twelve digits."""
LEAST: Final = 64
"""Values from which another column can pay."""
_POWERS: Final = np.array([10.0**scale for scale in range(16)], np.float64)[:, np.newaxis]
_SAMPLE: Final = 256
WIDEST: Final = 45.0
"""Bits that a step of the decimals and the units may take together, of 52: beyond, zstd finds no less in doubles."""
_GAIN: Final = 0.9
"""Of the bytes of the doubles, what decimals and units may take: other tools read the decimals alone."""
_COLUMN: Final = 96
"""Bytes that another column takes in the footers of a file and in the envelope."""
_REUSED: Final = 31
"""Columns of one kind that are kept as the last one was before there are trials again."""
_KINDS: Final = 4_096
"""Kinds of columns whose trial is remembered."""

_PAID: dict[Hashable, list[int]] = {}
"""By kind of column: whether it paid, and of how many more that is taken to be so."""


@dataclass(frozen=True, slots=True)
class Parted:
    """Doubles as integers over ten to the `scale` and the units beside these, both of shape (n,): `joined` gives them.

    `bits` is about what a step of both takes.
    """

    scale: int
    whole: Ints
    ulps: Ints
    bits: int


def parted(values: Floats) -> Parted | None:
    """Decimals of the scale that makes them and the units shortest: proved to give each value back.

    None: no scale does, or so many digits are needed that nothing is gained.

    Args:
        values: not all of them are decimals as they are; shape (n,).
    """
    if len(values) < LEAST:
        return None
    run = values[max(0, len(values) - _SAMPLE) // 2 :][:_SAMPLE]
    spread = values[:: -(-len(values) // _SAMPLE)]
    bits_of = _bits(run, spread)
    for scale in np.argsort(bits_of, kind="stable").tolist():
        if bits_of[scale] > WIDEST:
            return None
        found = _parted(values, scale)
        if found is not None:
            return Parted(scale, *found, round(bits_of[scale]))
    return None


def joined(decimals: Floats, ulps: Ints) -> Floats:
    """The doubles that lie so many units beside decimals; a unit is the distance to the next double towards zero."""
    made: Floats = decimals + ulps * _unit(decimals)
    return made


def _unit(decimals: Floats) -> Floats:
    # The bits of a double count up from zero on; a tenth of the time of numpy.nextafter.
    bits = decimals.view(np.int64)
    unit: Floats = decimals - np.where(decimals == 0, bits, bits - 1).view(np.float64)
    return unit


def doubles(decimals: pa.Array, ulps: pa.Array) -> pa.Array:
    """`joined` of a column of doubles and a column of units; where there are none, the decimals are the values."""
    units = ulps.fill_null(0) if ulps.null_count else ulps
    return pa.array(joined(numbers.doubles(decimals), units.to_numpy()), mask=numbers.nulls(decimals))


def pays(values: pa.Array, decimals: pa.Array, ulps: pa.Array, found: Parted, kind: Hashable) -> bool:
    """Whether pages of the decimals and units are smaller than those of the doubles by a tenth: by trial.

    What came out holds for the next columns of a kind, of about as many rows and bits.
    """
    n = len(values)
    key = (kind, n.bit_length(), found.scale, found.bits)
    known = _PAID.get(key)
    if known is not None and known[1] > 0:
        known[1] -= 1
        return bool(known[0])
    item, other = pa.field("x", values.type), pa.field("u", ulps.type)
    plain = encodings.choose([(item, values)]).size
    both = encodings.choose([(item, decimals), (other, ulps)]).size + _COLUMN * min(n, encodings.SAMPLE) // n
    if len(_PAID) >= _KINDS:
        _PAID.clear()
    _PAID[key] = [both < _GAIN * plain, _REUSED]
    return both < _GAIN * plain


def _split(values: Floats, power: float | Floats) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """The values times the power as whole numbers, the units beside these, and which values both give back."""
    with np.errstate(all="ignore"):
        whole = np.rint(values * power)
        near = whole / power
        unit = _unit(near)
        ulps = np.where(unit == 0, 0.0, np.rint((values - near) / unit))
        fits = (np.abs(whole) < EXACT) & (np.abs(ulps) <= MOST) & (near + ulps * unit == values)
    return whole, ulps, fits


def _parted(values: Floats, scale: int) -> tuple[Ints, Ints] | None:
    whole, ulps, fits = _split(values, 10.0**scale)
    return (whole.astype(np.int64), ulps.astype(np.int64)) if fits.all() else None


def _bits(run: Floats, spread: Floats) -> Floats:
    """About how many bits a step of the decimals and the units take, by scale; infinite where that is no way.

    Args:
        run: values that follow each other.
        spread: values from everywhere.
    """
    whole, _, fits = _split(run, _POWERS)
    _, ulps, too = _split(spread, _POWERS)
    with np.errstate(all="ignore"):
        steps = np.log2(np.abs(np.diff(whole)) + 1.0).mean(axis=1) + 1
    distinct = np.count_nonzero(np.diff(np.sort(ulps)), axis=1) + 1
    units = np.maximum(np.log2(np.abs(ulps) + 1.0).mean(axis=1) + 1, np.log2(distinct))
    bits: Floats = np.where(fits.all(axis=1) & too.all(axis=1), steps + units, np.inf)
    return bits
