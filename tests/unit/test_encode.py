"""The proof of a save goes through the bytes of the files."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from lakestore import parquet
from tests.schemas import MemorySchema, serialised, store

ROWS = [{"a": n, "b": f"row {n}"} for n in range(100)]


@pytest.mark.parametrize("rows", [ROWS, 300 * ROWS], ids=["small", "large"])
def test_what_a_reader_gets_is_what_is_proved(monkeypatch: pytest.MonkeyPatch, rows: list[Any]) -> None:
    real = parquet.rows_of

    def wrong(*args: Any, **options: Any) -> dict[int, pa.Array]:
        columns = real(*args, **options)
        return {own: pa.array([7] * len(c)) if pa.types.is_integer(c.type) else c for own, c in columns.items()}

    source = serialised({"rows": rows})
    assert store(source, MemorySchema()).encoded.fidelity.kind == "style"
    monkeypatch.setattr(parquet, "rows_of", wrong)
    stored = store(source, MemorySchema())
    assert stored.text() == source
    assert stored.encoded.fidelity.kind != "style"


def test_a_large_document_makes_the_same_bytes_each_time() -> None:
    source = serialised({"rows": 300 * ROWS})
    one, other = (store(source, MemorySchema()).encoded for _ in range(2))
    assert [bytes(part.data) for part in one.parts] == [bytes(part.data) for part in other.parts]
    assert one.envelope == other.envelope
