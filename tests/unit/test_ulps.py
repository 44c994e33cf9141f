"""Doubles as decimals and units beside them: what comes back, what is left as it is, and when it pays."""

from __future__ import annotations

import math

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakestore.codec import ulps
from lakestore.codec.fit import decimals_of
from lakestore.codec.numbers import Floats
from lakestore.parquet import encodings
from lakestore.query import views


def walk(n: int, places: int, seed: int, *, start: float = 100.0) -> Floats:
    """Prices of so many decimals."""
    steps = np.random.default_rng(seed).integers(-50, 51, n)
    return (np.cumsum(steps) + round(start * 10**places)) / 10.0**places


def nudged(values: Floats, units: Floats) -> Floats:
    """The doubles so many units further from zero."""
    return (values.view(np.int64) + units.astype(np.int64)).view(np.float64)


@st.composite
def columns(draw: st.DrawFn) -> Floats:
    """Decimals of either sign, some of them moved by a few units; powers of two, where units change, among them."""
    n, places = draw(st.integers(64, 700)), draw(st.integers(0, 8))
    values = walk(n, places, draw(st.integers(0, 99)), start=draw(st.sampled_from((0.01, 1.0, 64.0, -0.5, 5e4))))
    for place, exponent in draw(st.dictionaries(st.integers(0, n - 1), st.integers(-6, 16), max_size=5)).items():
        values[place] = 2.0**exponent
    most = draw(st.sampled_from((1, 3, 40, 4_000)))
    units = np.random.default_rng(draw(st.integers(0, 99))).integers(-most, most + 1, n)
    return nudged(values, np.where(values == 0, 0, units).astype(float))


@settings(deadline=None)
@given(columns())
def test_what_is_parted_gives_each_double_back_bit_by_bit(values: Floats) -> None:
    found = ulps.parted(values)
    if found is not None:
        decimals = found.whole / 10.0**found.scale
        assert ulps.joined(decimals, found.ulps).tobytes() == values.tobytes()
        assert np.abs(found.ulps).max() <= ulps.MOST
        # Whoever reads the decimals alone has twelve digits.
        assert all(math.isclose(a, b, rel_tol=1e-12) for a, b in zip(decimals, values, strict=True))


@settings(deadline=None)
@given(columns())
def test_sql_joins_as_python_does(values: Floats) -> None:
    found = ulps.parted(values)
    if found is None:
        return
    made = decimals_of(found.whole, found.scale, pa.array(values))
    with duckdb.connect() as con:
        con.register("given", pa.table({"raw": made, "u": found.ulps}))
        joined = con.sql(f"SELECT {views.joined('x', 'u')} AS x FROM (SELECT raw::DOUBLE AS x, u FROM given)")
        assert joined.fetchnumpy()["x"].tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("what", "values", "scale"),
    [
        ("prices that were read one unit off", nudged(walk(300, 5, 1), np.arange(300) % 5 == 0), 5),
        ("averages of twenty", np.convolve(walk(300, 2, 2), np.ones(20), "valid") / 20, 4),
        ("sums that were added up", np.cumsum(walk(300, 2, 3) / 7 // 0.01 / 100), 2),
        ("noise of 17 digits", np.random.default_rng(4).random(300), None),
        ("thirds, beside decimals of more digits", walk(300, 2, 5) / 3, 11),
        ("one that is none of them, likewise", np.append(nudged(walk(300, 2, 6), np.ones(300)), math.pi), 11),
        ("NaN among them", np.append(nudged(walk(300, 2, 7), np.ones(300)), math.nan), None),
        ("infinity among them", np.append(nudged(walk(300, 2, 8), np.ones(300)), math.inf), None),
        ("what is left of zero", np.append(nudged(walk(300, 2, 9), np.ones(300)), 5.6e-17), None),
        ("too few", nudged(walk(63, 2, 10), np.ones(63)), None),
    ],
)
def test_what_lies_beside_decimals(what: str, values: Floats, scale: int | None) -> None:
    found = ulps.parted(values)
    assert (found and found.scale) == scale, what


def test_a_column_without_units_is_its_decimals() -> None:
    decimals = pa.array([1.5, None, 2.25])
    units = pa.array([None, None, 1], pa.int64())
    assert ulps.doubles(decimals, units).to_pylist() == [1.5, None, math.nextafter(2.25, 3)]


def test_a_kind_of_column_is_tried_once_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    choose = encodings.choose
    monkeypatch.setattr(encodings, "choose", lambda *given: tried.append(1) or choose(*given))
    answers = set()
    for seed in range(32):
        values = nudged(walk(600, 5, seed), np.arange(600) % 5 == 0)
        found = ulps.parted(values)
        assert found is not None
        found = ulps.Parted(found.scale, found.whole, found.ulps, 20)
        decimals = decimals_of(found.whole, found.scale, pa.array(values))
        answers.add(ulps.pays(pa.array(values), decimals, pa.array(found.ulps), found, ("test", "once")))
    assert answers == {True} and len(tried) == 2
    ulps.pays(pa.array(values), decimals, pa.array(found.ulps), found, ("test", "once"))
    assert len(tried) == 4


def test_units_as_noisy_as_the_doubles_do_not_pay() -> None:
    values = nudged(walk(600, 10, 1), np.random.default_rng(1).integers(-4_000, 4_000, 600).astype(float))
    found = ulps.parted(values)
    assert found is not None
    decimals = decimals_of(found.whole, found.scale, pa.array(values))
    assert not ulps.pays(pa.array(values), decimals, pa.array(found.ulps), found, ("test", "noise"))
