"""Rows of one value are told apart by counts that are mostly 0."""

from __future__ import annotations

import numpy as np
import pytest

from lakestore.parquet import ties


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 500, 5_000])
@pytest.mark.parametrize("many", [1, 3, ties.MOST])
def test_rows_come_back_in_the_documents_order(rows: int, many: int) -> None:
    random = np.random.default_rng(rows + many)
    some = np.sort(random.integers(-(1 << 62), 1 << 62, rows // many + 1))
    values = some[np.arange(rows) // many]
    new = np.concatenate([[True], values[1:] != values[:-1]])[:rows]
    places = np.arange(rows) - np.maximum.accumulate(np.where(new, np.arange(rows), 0)) if rows else values
    order = random.permutation(rows)
    told = ties.packed(values[order], places[order])
    assert np.array_equal(order[ties.in_order(values[order], told)], np.arange(rows))
    assert bool(told) == (rows > 1 and many > 1)


def test_a_count_takes_the_bits_of_the_rows_behind_it() -> None:
    values, places = np.repeat(np.arange(8), 4), np.tile(np.arange(4), 8)
    assert ties.packed(values, places) == bytes(8 * (2 + 2 + 1) // 8)
    assert ties.packed(values[::-1], places[::-1]) == (sum((3 | 2 << 2 | 1 << 4) << 5 * n for n in range(8))).to_bytes(
        5, "little"
    )
    assert ties.packed(np.arange(9), np.zeros(9, np.int64)) == b""


def test_rows_of_which_nothing_is_told_stand_in_order() -> None:
    assert ties.in_order(np.array([2, 1, 1, 2]), b"").tolist() == [1, 2, 0, 3]


def test_counts_as_files_had_them_before_give_the_same_order() -> None:
    values = np.array([5, 5, 7, 5, 7])
    assert ties.in_order(values, np.array([2, 0, 1, 0, 0])).tolist() == [1, 3, 0, 4, 2]
    assert ties.in_order(values, ties.packed(values, np.array([2, 0, 1, 1, 0]))).tolist() == [1, 3, 0, 4, 2]


@pytest.mark.parametrize("told", [bytes(2), b"\xff"])
def test_bits_that_give_no_order_are_refused(told: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        ties.in_order(np.zeros(5, np.int64), told)


def test_more_rows_of_one_value_than_are_counted_are_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        ties.in_order(np.zeros(ties.MOST + 1, np.int64), np.zeros(ties.MOST + 1, np.int64))


@pytest.mark.parametrize("counts", [[1, 1], [0, 1], [5, 0], [-9, 0]])
def test_counts_that_give_no_order_are_refused(counts: list[int]) -> None:
    with pytest.raises((ValueError, IndexError)):
        ties.in_order(np.zeros(2, np.int64), np.array(counts))


@pytest.mark.parametrize("step", [1, 7, 60_000, 1 << 40, 1 << 50])
@pytest.mark.parametrize("rows", [0, 1, 63, 64, 3_000])
@pytest.mark.parametrize("odd", [False, True])
def test_steps_are_sorted_as_other_numbers_are(step: int, rows: int, odd: bool) -> None:
    random = np.random.default_rng(rows)
    for most in (1, 5, 1 << 13, 1 << 16, 1 << 20):
        values = random.integers(-most, most, rows) * step
        values[:1] = np.iinfo(np.int64).min if step == 1 << 50 else values[:1]
        # What is behind the first values may have another step.
        values[rows // 2 :] += odd
        assert np.array_equal(ties.rising(values), np.argsort(values, kind="stable"))
