"""A table that is made when somebody first reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

from lakestore.locks import Lock


class LazyTable:
    """An Arrow table of a known schema; whatever takes an Arrow stream takes this, as often as it likes.

    Attributes:
        schema: the schema of the table.
        nbytes: what it takes, or is taken to take until it is made.
    """

    def __init__(self, schema: pa.Schema, nbytes: int, make: Callable[[], pa.Table]) -> None:
        self.schema = schema
        self.nbytes = nbytes
        self._lock = Lock()
        self._make: Callable[[], pa.Table] | None = make
        self._made: pa.Table | None = None

    def table(self) -> pa.Table:
        """Return the table; it is made once."""
        with self._lock:
            if self._make is not None:
                self._made = self._make()
                self.nbytes = self._made.nbytes
                # With what it is made from.
                self._make = None
            return self._made

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The rows for other libraries: made when the first is asked for, not when the schema is."""
        return pa.RecordBatchReader.from_batches(self.schema, self._batches()).__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        yield from self.table().to_batches()
