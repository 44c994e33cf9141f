"""Restore: a version of a result that was deleted or replaced is alive again, until vacuum has taken it.

It comes back as a new version: its rows are copied, and its row of `results` names what it replaces. So files that
were let go stay let go, and a rebuild finds the same order of versions as the catalog has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as replace_fields
from hashlib import sha256
from uuid import UUID

import pyarrow as pa

from lakestore import layout, parquet, record, tombstones
from lakestore.codec.envelope import Envelope, StoredRegion
from lakestore.errors import (
    AlreadyExistsError,
    CommitUnknownError,
    CorruptFileError,
    LakestoreError,
    NotFoundError,
)
from lakestore.identity import searchable
from lakestore.lake import Lake, Parts
from lakestore.maintenance.described import stats_of
from lakestore.model import LetGo, NewFile, NewResult, ResultInfo, RowSpan
from lakestore.result import Result

_CONTENT = ("sha256", "strategy", "status", "created_at")


def versions(lake: Lake, task_id: str) -> list[LetGo]:
    """The versions of a result that were deleted or replaced and can be brought back, the last one first."""
    return lake.parts().catalog.upkeep.let_go_versions(task_id)


def restore(lake: Lake, task_id: str, *, version: UUID | None = None, replace: bool = False) -> ResultInfo:
    """Bring back a deleted or replaced version of a result; on return it is durable, visible and proved exact.

    Where the live result has the same content already, nothing is done.

    Args:
        version: its `write_id`; the version that was let go last if None.
        replace: let the live result go in its favour, if there is one.

    Returns:
        The result as it is now, with a `write_id` of its own.

    Raises:
        NotFoundError: there is no such version, or vacuum has taken it.
        AlreadyExistsError: a live result with other content has the id; nothing was done.
        ConflictError: somebody else changed it at the same time; nothing was done.
        CorruptFileError: a file of the version is damaged; nothing was done.
        CommitUnknownError: the connection was lost at the commit: look the result up.
    """
    parts = lake.parts()
    found = [each for each in versions(lake, task_id) if version in (None, each.info.write_id)]
    live = parts.catalog.get(task_id)
    if not found:
        what = f"result {task_id!r}" if version is None else f"version {version} of result {task_id!r}"
        state = "; a version of it is alive" if live is not None else ""
        raise NotFoundError(
            f"{what} was neither deleted nor replaced, or vacuum has taken it{state}; "
            "'lakestore restore --list' tells what can be brought back"
        )
    old = found[0].info
    if live is not None:
        if all(getattr(live, name) == getattr(old, name) for name in _CONTENT):
            return live
        if not replace:
            raise AlreadyExistsError(
                f"another version of result {task_id!r} is in the lake; nothing was done: "
                "delete it first, or let it be replaced (replace=True, --replace)"
            )
    parts.stamp.press(anew=True)
    new, files, data = _copied(parts, old, None if live is None else live.write_id)
    parts.files.write([(file.path, buffer) for file, buffer in zip(files, data, strict=True)])
    try:
        replaced = parts.catalog.commit([new], files, replace=live is not None)
    except CommitUnknownError:
        raise
    except LakestoreError:
        # Known to have rolled back: its files are nobody's.
        parts.files.remove([file.path for file in files])
        raise
    except BaseException as exc:
        lake.saver().broken_off(new.info.write_id, [file.path for file in files], exc)
        raise
    tombstones.leave(parts.files, replaced, "replaced", new.info.saved_at, new.info.write_id)
    return new.info


def _copied(parts: Parts, old: ResultInfo, live: UUID | None) -> tuple[NewResult, list[NewFile], list[pa.Buffer]]:
    """The rows of a version as a new one, proved: its catalog entry, its files and their bytes."""
    where = f"result {old.task_id!r}"
    write_id = parts.new_id()
    files: list[NewFile] = []
    data: list[pa.Buffer] = []
    rows: dict[tuple[str, str], pa.Buffer] = {}
    own: record.Row | None = None

    def add(table: str, strategy: str, count: int, buffer: pa.Buffer) -> None:
        path = layout.data_path(table, strategy, old.run_date, write_id)
        files.append(NewFile(table, path, strategy, old.run_date, count, len(buffer), sha256(buffer).digest()))
        data.append(buffer)

    for span in parts.catalog.upkeep.let_go_spans(old.write_id):
        buffer = parquet.cut(_read(parts, span, where), span.path, span.first_row, span.rows)
        if span.table == layout.RESULTS:
            own = next(record.rows(parquet.from_buffer(buffer, span.path), span.path), None)
        else:
            add(span.table, span.strategy, span.rows, buffer)
            rows[span.table, span.strategy] = buffer
    if own is None:
        raise CorruptFileError(f"{where} has no row in the table 'results' any more: nothing was restored")

    def fetch(region: StoredRegion) -> Mapping[int, pa.Array]:
        if (region.table, region.strategy) not in rows:
            raise CorruptFileError(f"{where} has no rows in table {region.table!r} any more: nothing was restored")
        return parquet.from_buffer(rows[region.table, region.strategy], where)

    envelope = Envelope.from_bytes(own.envelope, where)
    told = stats_of(parts, own, envelope, parts.catalog.tables(), fetch)
    info = replace_fields(old, write_id=write_id, saved_at=parts.now(), stats=told)
    Result(info, envelope, fetch).to_json()
    replaces = live or old.write_id
    zone_assumed = bool(own.record.get("zone_assumed"))
    row = record.row_of(info, own.envelope, replaces=replaces, zone_assumed=zone_assumed)
    add(layout.RESULTS, old.strategy, 1, record.to_buffer([row]))
    info = replace_fields(info, file_size=sum(file.bytes for file in files))
    spans = tuple(RowSpan(f.path, f.table, f.strategy, 0, f.rows, f.sha256, f.bytes) for f in files)
    return NewResult(info, spans, searchable(info.params), searchable(info.metrics), replaces), files, data


def _read(parts: Parts, span: RowSpan, where: str) -> bytes:
    """A file that was let go, its checksum compared.

    Raises:
        NotFoundError: vacuum has just taken it.
        CorruptFileError: it is damaged.
    """
    try:
        data = parts.files.read(span.path)
    except CorruptFileError as exc:
        if parts.catalog.upkeep.known_paths([span.path]):
            raise
        raise NotFoundError(f"{where} is being vacuumed: it cannot be brought back") from exc
    parts.files.compare(span.path, data, span.sha256)
    return data
