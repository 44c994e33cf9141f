"""From a document to a committed result, in the order that makes it durable: encode, prove, write, commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa

from lakestore import layout, record
from lakestore.catalog import Catalog
from lakestore.codec import encode, text
from lakestore.codec.encode import Draft, Encoded
from lakestore.codec.known import known
from lakestore.errors import (
    AlreadyExistsError,
    CommitUnknownError,
    InvalidInputError,
    LakestoreError,
    NotFoundError,
    StorageError,
)
from lakestore.files import Files
from lakestore.home import Home
from lakestore.identity import Identity, digest, identify, searchable
from lakestore.model import LakeTable, NewColumn, NewFile, NewResult, ResultInfo, RowSpan, SqlType


@dataclass(frozen=True, slots=True)
class Source:
    """A document's text, what messages call it, its time where it says none, and its value where that is known."""

    text: bytes
    where: str
    time: datetime
    value: Any = None


def source_of(document: Any, now: datetime) -> Source:
    """The text of what an engine gives: a value, JSON text, JSON bytes, or a path to a file of them.

    Raises:
        InvalidInputError: it is none of these, or a value that JSON cannot hold.
        NotFoundError, StorageError: the file is not there, or cannot be read.
    """
    if isinstance(document, Path):
        try:
            return Source(document.read_bytes(), str(document), datetime.fromtimestamp(document.stat().st_mtime, UTC))
        except FileNotFoundError as exc:
            raise NotFoundError(f"there is no file {document}") from exc
        except (OSError, ValueError) as exc:
            raise StorageError(f"cannot read {document}: {exc}") from exc
    if isinstance(document, str):
        try:
            return Source(document.encode(), "the document", now)
        except UnicodeEncodeError as exc:
            raise InvalidInputError(f"the document is not UTF-8: character {exc.start} is a lone surrogate") from exc
    if isinstance(document, bytes | bytearray | memoryview):
        return Source(bytes(document), "the document", now)
    if isinstance(document, dict | list):
        source, value = text.written(document)
        return Source(source, "the document", now, value)
    raise InvalidInputError(
        f"a document is a dict, JSON text or bytes, or a pathlib.Path to JSON, not {type(document).__name__}"
    )


class Columns:
    """The catalog as the codec sees it: lake tables by document key, columns reserved on demand."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._by_key = {table.key: table for table in catalog.tables().values()}

    def table(self, key: str, wanted: str) -> LakeTable:
        """The lake table for a document key, reserved under the wanted name where it is new."""
        if key not in self._by_key:
            name = self._catalog.table_for(key, wanted)
            self._by_key = {table.key: table for table in self._catalog.tables().values()}
            self._by_key.setdefault(key, LakeTable(name, key))
        return self._by_key[key]

    def reserve(
        self,
        table: str,
        wishes: Sequence[NewColumn],
        *,
        widen: Sequence[int],
        mark_wide: Sequence[int],
        settype: Mapping[int, SqlType],
    ) -> LakeTable:
        """The lake table after what is wished for was reserved."""
        made = self._catalog.reserve(table, wishes, widen=widen, mark_wide=mark_wide, settype=settype)
        self._by_key[made.key] = made
        return made


@dataclass(frozen=True, slots=True)
class Saver:
    """What a save needs: the lake's settings, its files, its catalog, a clock and a source of ids."""

    home: Home
    files: Files
    catalog: Catalog
    now: Callable[[], datetime]
    new_id: Callable[[], UUID]

    def save(
        self,
        document: Any,
        *,
        task_id: str | None,
        strategy: str | None,
        status: str | None,
        created_at: datetime | str | None,
        profile: str | None,
        replace: bool,
        tables: Mapping[str, Any] | None,
    ) -> ResultInfo:
        """Store one result; see `Lake.save`."""
        source = source_of(document, self.now())
        own = known(self.files.path(layout.PROFILES))
        draft = encode.read(source.text, source.where, profile, tables, own, value=source.value)
        sha = digest(draft.text)
        identity = identify(
            draft.value,
            draft.profile,
            sha,
            source.where,
            task_id=task_id,
            strategy=strategy,
            status=status,
            created_at=created_at,
            otherwise=source.time,
        )
        found = self.catalog.get(identity.task_id)
        if found is not None:
            if _is_same(found, identity, sha):
                return found
            if not replace:
                raise _exists(found, identity, sha)
        new, files, data = self._prepare(draft, identity, sha, found.write_id if found and replace else None)
        self.files.write([(file.path, buffer) for file, buffer in zip(files, data, strict=True)])
        try:
            self.catalog.commit([new], files, replace=replace)
        except CommitUnknownError:
            raise
        except AlreadyExistsError:
            self.files.remove([file.path for file in files])
            winner = self.catalog.get(identity.task_id)
            # Somebody saved it meanwhile: the same document is the same success.
            if winner is not None and _is_same(winner, identity, sha):
                return winner
            raise
        except LakestoreError:
            # Known to have rolled back: its files are nobody's.
            self.files.remove([file.path for file in files])
            raise
        return new.info

    def _prepare(
        self, draft: Draft, identity: Identity, sha: str, replaces: UUID | None
    ) -> tuple[NewResult, list[NewFile], list[pa.Buffer]]:
        """A result encoded and proved: its catalog entry, its files and their bytes."""
        encoded = encode.encode(
            draft,
            Columns(self.catalog),
            task_id=identity.task_id,
            strategy=identity.strategy,
            decimals=self.home.numbers == "decimal",
        )
        day = layout.run_date(identity.created_at, self.home.partition)
        files: list[NewFile] = []
        data: list[pa.Buffer] = []

        def add(table: str, strategy: str, count: int, buffer: pa.Buffer) -> None:
            path = layout.data_path(table, strategy, day, self.new_id())
            files.append(NewFile(table, path, strategy, day, count, len(buffer), sha256(buffer).digest()))
            data.append(buffer)

        for part in encoded.parts:
            add(part.table, layout.check_strategy(part.strategy), part.rows, part.data)
        info = described(draft, encoded, identity, sha, day, write_id=self.new_id(), saved_at=self.now())
        add(
            layout.RESULTS,
            identity.strategy,
            1,
            record.to_buffer(info, encoded.envelope, replaces=replaces, zone_assumed=identity.zone_assumed),
        )
        info = replace_fields(info, file_size=sum(file.bytes for file in files))
        spans = tuple(RowSpan(f.path, f.table, f.strategy, 0, f.rows, f.sha256, f.bytes) for f in files)
        return NewResult(info, spans, searchable(info.params), searchable(info.metrics), replaces), files, data


def described(
    draft: Draft, encoded: Encoded, identity: Identity, sha: str, day: date, *, write_id: UUID, saved_at: datetime
) -> ResultInfo:
    """What the catalog is to know of a result; the size of its files is not known yet."""
    rows: Counter[str] = Counter()
    for part in encoded.parts:
        rows[part.table] += part.rows
    params, metrics = (draft.profile.first(draft.value, name) for name in ("params", "metrics"))
    return ResultInfo(
        task_id=identity.task_id,
        strategy=identity.strategy,
        status=identity.status,
        created_at=identity.created_at,
        file_size=0,
        json_size=len(draft.text),
        run_date=day,
        strategies=identity.strategies,
        sha256=sha,
        profile=draft.profile.name,
        fidelity=encoded.fidelity,
        write_id=write_id,
        saved_at=saved_at,
        tables=dict(rows),
        params=params if isinstance(params, dict | list) else None,
        metrics=metrics if isinstance(metrics, dict | list) else None,
    )


def _differing(found: ResultInfo, identity: Identity) -> list[str]:
    """Fields that were given and are not what is stored; defaulted ones do not count."""
    return [
        f"{name} {getattr(found, name)!s} is stored, {getattr(identity, name)!s} was given"
        for name in ("strategy", "status", "created_at")
        if name in identity.given and getattr(found, name) != getattr(identity, name)
    ]


def _is_same(found: ResultInfo, identity: Identity, sha: str) -> bool:
    return found.sha256 == sha and not _differing(found, identity)


def _exists(found: ResultInfo, identity: Identity, sha: str) -> AlreadyExistsError:
    what = "other content" if found.sha256 != sha else "; ".join(_differing(found, identity))
    return AlreadyExistsError(
        f"result {found.task_id!r} is already in the lake with {what}; nothing was saved: "
        "choose another task_id, or replace it (replace=True, --replace)"
    )
