"""Loading one result: its envelope, and its rows when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import pyarrow as pa

from lakestore import layout, parquet, record
from lakestore.codec.envelope import Envelope, StoredRegion
from lakestore.errors import ConflictError, CorruptFileError
from lakestore.files import Files
from lakestore.model import ResultInfo, RowSpan
from lakestore.result import Result

_WHOLE = 1 << 20
"""Bytes up to which a file is read whole and its SHA-256 compared, however few of its rows are wanted."""

T = TypeVar("T")


class Loader:
    """Gives results from the files of a lake."""

    def __init__(self, files: Files, is_live: Callable[[str], bool]) -> None:
        """Read nothing yet.

        Args:
            is_live: whether the catalog still lists a path.
        """
        self._files = files
        self._is_live = is_live

    def result(self, info: ResultInfo, spans: Sequence[RowSpan]) -> Result:
        """A result whose rows lie in these files; they are read when they are asked for.

        Raises:
            CorruptFileError: the file with its envelope is missing or damaged.
            ConflictError: it was let go meanwhile.
        """
        where = f"result {info.task_id!r}"
        own = next((span for span in spans if span.table == layout.RESULTS), None)
        if own is None:
            raise CorruptFileError(f"{where} has no row in the table 'results'; its catalog entry is damaged")
        by_place = {(span.table, span.strategy): span for span in spans}

        def fetch(region: StoredRegion) -> Mapping[int, pa.Array]:
            span = by_place.get((region.table, region.strategy))
            if span is None:
                raise CorruptFileError(f"{where} has no rows in table {region.table!r}; its catalog entry is damaged")
            return self._columns(span, where)

        return Result(info, Envelope.from_bytes(self._envelope(own, where), where), fetch)

    def _envelope(self, own: RowSpan, where: str) -> bytes:
        data = self._whole(own, where) if own.bytes <= _WHOLE else None
        found = None if data is None else record.envelope_in(data, own.path)
        return record.envelope_of(self._columns(own, where, data), own.path) if found is None else found

    def _columns(self, span: RowSpan, where: str, data: bytes | None = None) -> Mapping[int, pa.Array]:
        """The rows of one result in one file, its checksum compared.

        Args:
            data: the file's bytes, where they were read already.
        """
        path = str(self._files.path(span.path))
        if data is None and span.bytes > _WHOLE:
            part = self._in_time(lambda: self._part(span, path), span, where)
            if part is not None:
                return part
        data = self._whole(span, where) if data is None else data
        return parquet.rows_of(data, path, first_row=span.first_row, rows=span.rows)

    def _part(self, span: RowSpan, path: str) -> Mapping[int, pa.Array] | None:
        """Only the rows that are wanted; None where the file must be read whole."""
        if self._files.size(span.path) != span.bytes:
            return None
        return parquet.read_part(path, span.first_row, span.rows)

    def _whole(self, span: RowSpan, where: str) -> bytes:
        data = self._in_time(lambda: self._files.read(span.path), span, where)
        self._files.compare(span.path, data, span.sha256)
        return data

    def _in_time(self, read: Callable[[], T], span: RowSpan, where: str) -> T:
        try:
            return read()
        except CorruptFileError as exc:
            if self._is_live(span.path):
                raise
            raise ConflictError(
                f"{where} was read too late: it was replaced, deleted or compacted after it was looked up, and vacuum "
                "has taken those rows since; load it again"
            ) from exc
