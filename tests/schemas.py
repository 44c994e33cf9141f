"""One document through the codec without a lake."""

from __future__ import annotations

from collections.abc import Mapping

from lakestore import parquet
from lakestore.catalog.memory import MemorySchema
from lakestore.codec import decode, encode
from lakestore.codec.encode import Encoded
from lakestore.codec.envelope import Envelope, StoredRegion

__all__ = ["MemorySchema", "Stored", "store"]


class Stored:
    """One document encoded and read again from the bytes of its files."""

    def __init__(self, encoded: Encoded) -> None:
        self.encoded = encoded
        self.envelope = Envelope.from_bytes(encoded.envelope, "the test's document")
        self._parts = {(part.table, part.strategy): part for part in encoded.parts}

    def fetch(self, region: StoredRegion) -> Mapping[int, object]:
        part = self._parts[region.table, region.strategy]
        return parquet.from_buffer(part.data, "the test's file", rows=region.rows)

    def text(self) -> bytes:
        return b"".join(decode.pieces(self.envelope, self.fetch, "the test's document"))


def store(text: bytes, schema: MemorySchema, *, profile: str | None = None, decimals: bool = True) -> Stored:
    """Encode a text with the schema as it has become."""
    draft = encode.read(text, "the test's document", profile)
    return Stored(encode.encode(draft, schema, task_id="t", strategy="s", decimals=decimals))
