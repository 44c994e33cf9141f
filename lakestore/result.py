"""One result as it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pyarrow as pa

from lakestore.codec import arrow, decode, values
from lakestore.codec.envelope import Envelope, StoredRegion
from lakestore.errors import CorruptFileError
from lakestore.identity import digest
from lakestore.model import ResultInfo
from lakestore.parquet.gather import one


class Result:
    """A stored result: its document as text or value, its record tables, what the catalog knows of it.

    Attributes:
        info: the catalog's entry.
    """

    def __init__(self, info: ResultInfo, envelope: Envelope, fetch: decode.Fetch) -> None:
        """Made by `Lake.load`."""
        self.info = info
        self._envelope = envelope
        self._fetch = fetch

    def to_json(self) -> bytes:
        """The JSON text, byte for byte as it was saved (its SHA-256 is compared each time).

        Raises:
            CorruptFileError: the files no longer give that text.
        """
        where = f"result {self.info.task_id!r}"
        text = b"".join(decode.pieces(self._envelope, self._fetch, where))
        if digest(text) != self.info.sha256:
            raise CorruptFileError(
                f"{where} no longer gives the text that was saved (SHA-256 {self.info.sha256[:12]}…); "
                "restore its files from a backup"
            )
        return text

    @cached_property
    def document(self) -> Any:
        """The Python value of the document, as `json.loads` of its text gives it.

        Raises:
            CorruptFileError: the files are damaged, or no longer give the text that was saved.
        """
        where = f"result {self.info.task_id!r}"
        found = values.document(
            self._envelope, lambda region: decode.node_of(self._envelope, region, self._fetch, where)
        )
        return found if found is not None else decode.value_of(self.to_json(), self._envelope, where)

    @cached_property
    def tables(self) -> Mapping[str, pa.Table]:
        """The record tables by name: columns named by the document's keys, in natural types; a table that an engine
        gave with its own schema.

        Where a document holds a table for each of several strategies, their rows follow each other.

        Raises:
            CorruptFileError: the files do not fit the result.
        """
        found: dict[str, list[pa.Table]] = {}
        for region in self._envelope.regions:
            found.setdefault(region.table, []).append(self._table(region))
        return {
            name: parts[0] if len(parts) == 1 else pa.concat_tables(parts, promote_options="permissive")
            for name, parts in found.items()
        }

    def _table(self, region: StoredRegion) -> pa.Table:
        blobs = self._envelope.blobs
        if region.arrow is not None and region.arrow_exact:
            return arrow.from_table_bytes(blobs[region.arrow])
        node = decode.node_of(self._envelope, region, self._fetch, f"result {self.info.task_id!r}")
        return decode.table_of(node, region.meta) if region.arrow is None else arrow.restore(node, blobs[region.arrow])

    def __reduce__(self) -> tuple[type[Result], tuple[ResultInfo, Envelope, Held]]:
        """Pickled, as workers give back what they loaded, it takes its rows along and needs no lake."""
        found = {_place(region): self._fetch(region) for region in self._envelope.regions}
        return Result, (self.info, self._envelope, Held({place: _packed(rows) for place, rows in found.items()}))

    def __repr__(self) -> str:
        return f"Result({self.info.task_id!r}, strategy={self.info.strategy!r}, tables={dict(self.info.tables)})"


class Held:
    """Rows of a result that were read before, as Arrow IPC by table and strategy."""

    def __init__(self, rows: Mapping[tuple[str, str], bytes]) -> None:
        """Hold them."""
        self._rows = rows

    def __call__(self, region: StoredRegion) -> Mapping[int, pa.Array]:
        """The columns of a region by field id."""
        with pa.ipc.open_stream(self._rows[_place(region)]) as reader:
            table = reader.read_all()
        return {int(name): one(table.column(name)) for name in table.column_names}


def _place(region: StoredRegion) -> tuple[str, str]:
    return region.table, region.strategy


def _packed(rows: Mapping[int, pa.Array]) -> bytes:
    # Pickle would take the whole of an array of which this is a part.
    return arrow.table_bytes(pa.table({str(number): array for number, array in rows.items()}))
