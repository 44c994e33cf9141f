"""Sums of segments: exact before each is rounded once, whatever the values are."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakestore.codec import fit
from lakestore.codec.statistics import sums

doubles = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e6, 1e6),
    st.integers(-(10**7), 10**7).map(lambda number: number / 100),
    st.sampled_from([0.0, -0.0, 1e300, -1e300, 5e-324, 2.0**-1000, 1e16, 1.0]),
)


def _starts(cuts: set[int], length: int) -> np.ndarray:
    return np.array([0, *sorted(cut for cut in cuts if cut < length)])


@given(st.lists(doubles, min_size=1, max_size=60), st.sets(st.integers(1, 60), max_size=4))
def test_sums_of_doubles_are_those_of_fsum(values: list[float], cuts: set[int]) -> None:
    starts = _starts(cuts, len(values))
    found = sums.of_doubles(np.array(values), starts)
    for (start, stop), total in zip(pairwise([*starts.tolist(), len(values)]), found, strict=True):
        try:
            assert total == math.fsum(values[start:stop])
        except OverflowError:
            assert math.isinf(total) or abs(total) > 1e300


def test_what_is_not_finite_adds_up_as_in_sql() -> None:
    values = np.array([1.0, math.inf, math.nan, 1.0, math.inf, -math.inf, 1.5, 0.25])
    assert sums.of_doubles(values, np.array([0, 2, 4, 6])) == pytest.approx(
        [math.inf, math.nan, math.nan, 1.75], nan_ok=True
    )


whole = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([s * 2**53 + n for s in (-1, 1) for n in (-1, 0, 1, 2)])


@given(st.lists(whole, min_size=1, max_size=40), st.sets(st.integers(1, 40), max_size=3))
def test_bounds_of_integers_hold_and_their_sums_are_rounded_once(values: list[int], cuts: set[int]) -> None:
    starts = _starts(cuts, len(values))
    found = sums.of(pa.array(values), starts)
    for place, (start, stop) in enumerate(pairwise([*starts.tolist(), len(values)])):
        segment = values[start:stop]
        least, greatest = found.least[place], found.greatest[place]
        assert least <= min(segment) and greatest >= max(segment)
        # No double lies nearer, and where one is the integer, it is that.
        assert least == min(segment) or math.nextafter(least, math.inf) > min(segment)
        assert greatest == max(segment) or math.nextafter(greatest, -math.inf) < max(segment)
        assert found.total[place] == (sum(segment) if found.scale == 0 else float(sum(segment)))


def test_values_are_taken_in_the_order_that_is_given() -> None:
    prices = fit.decimals_of(np.array([1050, -3, 7, 7]), 2, pa.array([1, 2, 3, 4]))
    found = sums.of(prices, np.array([0, 1]), np.array([1, 3, 0]))
    assert (found.scale, found.least, found.greatest, found.total) == (2, [-3, 7], [-3, 1050], [-3, 1057])
    assert found.doubles().total == [-0.03, 10.57]
