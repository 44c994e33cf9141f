"""The lake's own table `results`: a row per result, enough to make the catalog anew."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pyarrow as pa

from lakestore import packed_record, parquet
from lakestore.codec.statistics import packing_older
from lakestore.errors import CorruptFileError
from lakestore.model import TASK_ID_FIELD, ResultInfo, RunStats
from lakestore.parquet import one_row

_STATUS, _MOSTLY = 3, "completed"
"""The column of the status is left out where it is this in all rows."""
_FIELDS = (
    ("task_id", pa.string(), TASK_ID_FIELD),
    ("status", pa.string(), _STATUS),
    ("created_at", pa.timestamp("us", "UTC"), 4),
    ("record", pa.string(), 5),
    ("envelope", pa.binary(), 6),
    ("kept", pa.binary(), 7),
)
_RECORD, _ENVELOPE, _KEPT = 5, 6, 7
_SHARED, _ALONE = (1, 3, 4, _RECORD, _ENVELOPE), (1, 3, 4, _KEPT)
"""The columns of a file of several rows, and of one row: there each column costs more than what stands in it."""
FEW = 4_096
"""Rows of a result up to which its own file does not repeat the statistics: who makes the catalog anew counts again."""
ROW_GROUP = 128
"""Rows of a row group of a compacted file: envelopes are large, and mostly one is looked for."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it stands in a `results` file; `record` is the JSON object beside its columns."""

    task_id: str
    status: str
    created_at: datetime
    record: Mapping[str, Any]
    envelope: bytes

    @property
    def write_id(self) -> UUID:
        """The version of the result that the row is of."""
        return UUID(self.record["write_id"])

    @property
    def file_id(self) -> UUID:
        """The name of the data files that hold the result: of its batch, else its own write id."""
        return UUID(self.record.get("batch", self.record["write_id"]))

    @property
    def has_stats(self) -> bool:
        """Whether it holds the statistics; else they are what the rows amount to."""
        return "stats" in self.record

    @property
    def stats(self) -> RunStats:
        """The statistics that it holds."""
        by_symbol = {table: b64decode(text) for table, text in self.record.get("by_symbol", {}).items()}
        told = self.record.get("stats", "")
        if isinstance(told, dict):
            older = {table: b64decode(text) for table, text in told.items()}
            return RunStats(packing_older.together(older, by_symbol), by_symbol)
        return RunStats(b64decode(told), by_symbol)


def row_of(
    info: ResultInfo, envelope: bytes, *, replaces: UUID | None, batch: UUID | None = None, zone_assumed: bool = False
) -> Row:
    """The row of a result; what has no column of its own stands in `record`.

    A column costs about 75 bytes a file, so only what people look for has one.

    Args:
        batch: the UUID that its data files are named by, where that is not its own `write_id`.
        zone_assumed: its time had no zone and was taken as UTC.
    """
    record: dict[str, Any] = {
        "write_id": str(info.write_id),
        "sha256": info.sha256,
        "json_size": info.json_size,
        "profile": info.profile,
        "fidelity": [info.fidelity.kind, info.fidelity.bytes],
        "tables": dict(info.tables),
        "saved_at": _micros(info.saved_at),
    }
    if info.strategies != (info.strategy,):
        record["strategies"] = list(info.strategies)
    follows = batch is None and not info.stats.by_symbol and sum(info.tables.values()) <= FEW
    if info.stats.packed and not follows:
        record["stats"] = b64encode(info.stats.packed).decode()
    if info.stats.by_symbol:
        record["by_symbol"] = {table: b64encode(row).decode() for table, row in info.stats.by_symbol.items()}
    if replaces is not None:
        record["replaces"] = str(replaces)
    if batch is not None:
        record["batch"] = str(batch)
    if zone_assumed:
        record["zone_assumed"] = True
    return Row(info.task_id, info.status, info.created_at, record, envelope)


def with_stats(row: Row, packed: bytes | None) -> Row:
    """A row for a file of several, which holds the statistics of each."""
    if row.has_stats or not packed:
        return row
    return replace(row, record={**row.record, "stats": b64encode(packed).decode()})


def to_buffer(rows: Sequence[Row], *, compacted: bool = False) -> pa.Buffer:
    """The bytes of a `results` file.

    Args:
        compacted: the file bears no save's name; it is written to be read in parts.
    """
    columns: dict[str, list[Any]] = {
        "task_id": [row.task_id for row in rows],
        "status": [row.status for row in rows],
        "created_at": [row.created_at for row in rows],
    }
    if all(row.status == _MOSTLY for row in rows):
        del columns["status"]
    if len(rows) == 1 and not compacted:
        columns["kept"] = [packed_record.packed(row.record, row.envelope) for row in rows]
    else:
        columns["record"] = [json.dumps(row.record, separators=(",", ":")) for row in rows]
        columns["envelope"] = [row.envelope for row in rows]
    fields = [item for item in _FIELDS if item[0] in columns]
    arrays = [pa.array(columns[name], kind) for name, kind, _ in fields]
    table = pa.Table.from_arrays(arrays, schema=pa.schema([parquet.field(*item) for item in fields]))
    if not compacted:
        return parquet.to_buffer(table)
    return parquet.to_buffer(table, groups=parquet.row_groups([1] * len(rows), ROW_GROUP))


def envelope_of(columns: Mapping[int, pa.Array], where: str) -> bytes:
    """The envelope in a row that was read.

    Raises:
        CorruptFileError: the file has no such column.
    """
    column = columns.get(_ENVELOPE, columns.get(_KEPT))
    if column is None or len(column) != 1 or not column[0].is_valid:
        raise CorruptFileError(f"{where} is not a file of the table 'results'")
    value = bytes(column[0].as_py())
    return value if _ENVELOPE in columns else packed_record.envelope_of(value, where)


def envelope_in(data: bytes, where: str) -> bytes | None:
    """The envelope in the bytes of a file of one row; None: of a file of another form, it stands in the columns.

    Raises:
        CorruptFileError: the row is damaged.
    """
    value = one_row.value_of(data, "kept")
    return None if value is None else packed_record.envelope_of(value, where)


def rows(columns: Mapping[int, pa.Array], where: str) -> Iterator[Row]:
    """The rows of a `results` file that was read.

    Raises:
        CorruptFileError: it is none.
    """
    try:
        wanted = _ALONE if _KEPT in columns else _SHARED
        mostly = [_MOSTLY] * len(columns[TASK_ID_FIELD])
        lists = [mostly if own == _STATUS and own not in columns else columns[own].to_pylist() for own in wanted]
        for task_id, status, created_at, *rest in zip(*lists, strict=True):
            record, envelope = (
                packed_record.unpacked(rest[0], where) if len(rest) == 1 else (json.loads(rest[0]), rest[1])
            )
            row = Row(task_id, status, created_at, record, envelope)
            if None in (task_id, status, created_at, envelope) or not row.write_id:
                raise ValueError("a value is missing")
            yield row
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, pa.ArrowException) as exc:
        raise CorruptFileError(f"{where} is not a file of the table 'results' ({exc!r})") from exc


def _micros(when: datetime) -> int:
    return round(when.timestamp() * 1_000_000)
