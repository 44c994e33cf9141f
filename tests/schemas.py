"""A lake's schema without a database: the catalog's own rules, kept in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakestore import parquet
from lakestore.catalog.columns import Wishes, free_table_name, plan
from lakestore.codec import decode, encode
from lakestore.codec.encode import Encoded
from lakestore.codec.envelope import Envelope, StoredRegion
from lakestore.model import FIRST_FIELD_ID, LakeTable, NewColumn, SqlType


class MemorySchema:
    """`encode.Schema` by `catalog.columns.plan`, which the catalog runs in a transaction."""

    def __init__(self) -> None:
        self.tables: dict[str, LakeTable] = {}
        self.reservations = 0

    def table(self, key: str, wanted: str) -> LakeTable:
        if key not in self.tables:
            taken = {table.name for table in self.tables.values()}
            self.tables[key] = LakeTable(free_table_name(wanted, taken), key)
        return self.tables[key]

    def reserve(
        self,
        table: str,
        wishes: Sequence[NewColumn],
        *,
        widen: Sequence[int],
        mark_wide: Sequence[int],
        settype: Mapping[int, SqlType],
    ) -> LakeTable:
        self.reservations += 1
        old = next(each for each in self.tables.values() if each.name == table)
        used = [column.field_id for each in self.tables.values() for column in each.columns]
        next_field_id = max(used, default=FIRST_FIELD_ID - 1) + 1
        columns = plan(table, old.columns, Wishes(wishes, widen, mark_wide, settype), next_field_id=next_field_id)
        self.tables[old.key] = LakeTable(table, old.key, columns)
        return self.tables[old.key]


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
