"""Tables that an engine gives beside its document, of the types that pandas and polars have and JSON does not."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl
import pytest

from lakestore import InvalidInputError, Lake
from lakestore.codec.arrow import table_of


def test_categories_of_polars_are_texts_and_come_back(lake: Lake) -> None:
    given = pl.DataFrame(
        {
            "side": pl.Series(["buy", "sell", None, "buy"], dtype=pl.Categorical),
            "state": pl.Series(["open", "closed", "open", None], dtype=pl.Enum(["open", "closed"])),
            "tags": pl.Series([["a"], [], None, ["b", "a"]], dtype=pl.List(pl.Categorical)),
            "none": pl.Series([None] * 4, dtype=pl.Categorical),
        }
    )
    lake.save({"strategy": "s"}, tables={"trades": given}, task_id="t")
    result = lake.load("t")
    assert result.document["trades"] == given.to_dicts()
    assert result.tables["trades"].to_pylist() == given.to_dicts()
    assert lake.sql("SELECT count(*) FROM trades WHERE side = 'buy' AND state = 'open'").fetchall() == [(1,)]


def test_periods_of_pandas_are_refused_rather_than_counted_from_1970(lake: Lake) -> None:
    given = pd.DataFrame({"month": pd.period_range("2024-01", periods=2, freq="M")})
    with pytest.raises(InvalidInputError, match=r"tables\['m'\]\.month: a column of extension<pandas.period"):
        lake.save({"strategy": "s"}, tables={"m": given})


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (pl.LazyFrame({"a": [1]}), r"is LazyFrame, which gives no Arrow table .*; give its \.collect\(\)"),
        (pd.Series([1]), r"is Series, .*; give its \.to_frame\(\)"),
        (pd.DataFrame({"a": [1, "x"]}), r"column a .*; make each of its columns one of a single type"),
        ([{"a": 1}], r"is list, .*; put a list of records into the document"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), r"is DataFrame, .*; rename one of two columns"),
        (5, r"is int, .*; give a pyarrow\.Table, a DataFrame"),
    ],
)
def test_what_gives_no_table_is_refused_with_what_to_give(given: Any, advice: str) -> None:
    with pytest.raises(InvalidInputError, match=advice):
        table_of(given, "signals")
