"""Rows of a `results` file: what is damaged in a way that Parquet itself allows is called so."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakestore import record
from lakestore.errors import CorruptFileError


@pytest.mark.parametrize("created_at", [-(2**63), 2**63 - 1, None])
def test_a_time_that_no_calendar_has_is_damage(created_at: int | None) -> None:
    columns = {
        1: pa.array(["a"]),
        3: pa.array(["completed"]),
        4: pa.array([created_at], pa.int64()).cast(pa.timestamp("us", "UTC")),
        5: pa.array(["{}"]),
        6: pa.array([b"x"]),
    }
    with pytest.raises(CorruptFileError, match="the-file is not a file of the table 'results'"):
        list(record.rows(columns, "the-file"))
