"""Rows of one value are told apart by counts that are mostly 0."""

from __future__ import annotations

import numpy as np
import pytest

from lakestore import ties


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 500, 5_000])
@pytest.mark.parametrize("many", [1, 3, ties.MOST])
def test_rows_come_back_in_the_documents_order(rows: int, many: int) -> None:
    random = np.random.default_rng(rows + many)
    some = np.sort(random.integers(-(1 << 62), 1 << 62, rows // many + 1))
    values = some[np.arange(rows) // many]
    new = np.concatenate([[True], values[1:] != values[:-1]])[:rows]
    places = np.arange(rows) - np.maximum.accumulate(np.where(new, np.arange(rows), 0)) if rows else values
    order = random.permutation(rows)
    counts = ties.counted(values[order], places[order])
    assert np.array_equal(order[ties.in_order(values[order], counts)], np.arange(rows))


def test_rows_that_stand_in_order_count_nothing() -> None:
    values, places = np.repeat(np.arange(100), 4), np.tile(np.arange(4), 100)
    assert not ties.counted(values, places).any()
    assert ties.counted(values[::-1], places[::-1]).tolist() == [3, 2, 1, 0] * 100


def test_more_rows_of_one_value_than_are_counted_are_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        ties.in_order(np.zeros(ties.MOST + 1, np.int64), np.zeros(ties.MOST + 1, np.int64))


@pytest.mark.parametrize("counts", [[1, 1], [0, 1], [5, 0], [-9, 0]])
def test_counts_that_give_no_order_are_refused(counts: list[int]) -> None:
    with pytest.raises((ValueError, IndexError)):
        ties.in_order(np.zeros(2, np.int64), np.array(counts))
