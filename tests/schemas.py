"""One document through the codec without a lake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

from lakestore import parquet
from lakestore.catalog.memory import MemorySchema
from lakestore.codec import decode, encode, ulps, values
from lakestore.codec.draft import read
from lakestore.codec.encode import Encoded
from lakestore.codec.envelope import Envelope, StoredRegion
from lakestore.codec.given import written

__all__ = ["MemorySchema", "Stored", "store", "units_beside"]


@contextmanager
def units_beside(wherever: bool = True) -> Iterator[None]:
    """Doubles are kept as decimals and units beside them wherever they can be, also where it does not pay."""
    if not wherever:
        yield
        return
    with mock.patch.multiple(ulps, LEAST=2, WIDEST=99.0, pays=lambda *given: True):
        yield


class Stored:
    """One document encoded and read again from the bytes of its files."""

    def __init__(self, encoded: Encoded) -> None:
        self.encoded = encoded
        self.envelope = Envelope.from_bytes(encoded.envelope, "the test's document")
        self._parts = {(part.table, part.strategy): part for part in encoded.parts}

    def fetch(self, region: StoredRegion) -> Mapping[int, object]:
        part = self._parts[region.table, region.strategy]
        return parquet.rows_of(part.data, "the test's file", first_row=0, rows=region.rows)

    def value(self) -> Any:
        """The document's value from its columns; None where its text is needed."""
        where = "the test's document"
        return values.document(self.envelope, lambda region: decode.node_of(self.envelope, region, self.fetch, where))

    def text(self) -> bytes:
        return b"".join(decode.pieces(self.envelope, self.fetch, "the test's document"))


def serialised(value: Any) -> bytes:
    """The document that an engine's value is."""
    return written(value).text


def store(text: bytes, schema: MemorySchema, *, profile: str | None = None, decimals: bool = True) -> Stored:
    """Encode a text with the schema as it has become."""
    draft = read(text, "the test's document", profile)
    return Stored(encode.encode(draft, schema, task_id="t", strategy="s", decimals=decimals))
