"""From a document to a committed result, in the order that makes it durable: encode, prove, write, commit."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from datetime import date, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import pyarrow as pa

from lakestore import layout, record, tombstones
from lakestore.catalog import Catalog
from lakestore.catalog.columns import name_for
from lakestore.codec import encode
from lakestore.codec.draft import Draft, read
from lakestore.codec.encode import Encoded, Ready
from lakestore.codec.profiles.registry import known
from lakestore.codec.statistics import by_symbol
from lakestore.config import MAX_DOCUMENT
from lakestore.errors import (
    AlreadyExistsError,
    CommitUnknownError,
    LakestoreError,
)
from lakestore.files import Files, Writing
from lakestore.home import Home
from lakestore.identity import Identity, identify, searchable
from lakestore.model import LakeTable, NewColumn, NewFile, NewResult, ResultInfo, RowSpan, RunStats, SqlType
from lakestore.source import source_of
from lakestore.stamp import Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A document to be saved, and what is said of it beside its text; see `Lake.save`.

    Attributes:
        where: what messages call the document.
        time: its time where nobody says one; UTC.
        strategy_if_none: its strategy where nobody names one.
    """

    document: Any
    task_id: str | None = None
    strategy: str | None = None
    status: str | None = None
    created_at: date | str | None = None
    profile: str | None = None
    tables: Mapping[str, Any] | None = None
    where: str | None = None
    time: datetime | None = None
    strategy_if_none: str | None = None


class Columns:
    """The catalog as the codec sees it: lake tables by document key, columns reserved on demand.

    Attributes:
        reserved: whether anything was reserved by now.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.reserved = False
        self._by_key = {table.key: table for table in catalog.tables().values()}

    def table(self, key: str, wanted: str) -> LakeTable:
        """The lake table for a document key, reserved under the wanted name where it is new."""
        if key in self._by_key:
            return self._by_key[key]
        name = name_for(key, {table.name: own for own, table in self._by_key.items()})
        if name is None:
            self.reserved = True
            name = self._catalog.table_for(key, wanted)
            self._by_key = {table.key: table for table in self._catalog.tables().values()}
        return next((table for table in self._by_key.values() if table.name == name), LakeTable(name, key))

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
        self.reserved = True
        made = self._catalog.reserve(table, wishes, widen=widen, mark_wide=mark_wide, settype=settype)
        self._by_key[made.key] = made
        return made


@dataclass(frozen=True, slots=True)
class Taken:
    """A document read and identified."""

    draft: Draft
    identity: Identity

    @property
    def sha(self) -> str:
        """SHA-256 of the document's text, hexadecimal."""
        return self.draft.sha256

    @property
    def task_id(self) -> str:
        """The result's id."""
        return self.identity.task_id

    def is_same(self, found: ResultInfo) -> bool:
        """Whether a stored result is this very one; defaulted fields do not count."""
        return found.sha256 == self.sha and not self._differing(found)

    def exists(self, found: ResultInfo) -> AlreadyExistsError:
        """The error that tells how a stored result differs from this one."""
        what = "other content" if found.sha256 != self.sha else "; ".join(self._differing(found))
        return AlreadyExistsError(
            f"result {found.task_id!r} is already in the lake with {what}; nothing was saved: "
            "choose another task_id, or replace it (replace=True, --replace)"
        )

    def _differing(self, found: ResultInfo) -> list[str]:
        return [
            f"{name} {getattr(found, name)!s} is stored, {getattr(self.identity, name)!s} was given"
            for name in ("strategy", "status", "created_at")
            if name in self.identity.given and getattr(found, name) != getattr(self.identity, name)
        ]


@dataclass(frozen=True, slots=True)
class Saver:
    """What a save needs: the lake's settings, its files, its catalog, a clock and a source of ids."""

    home: Home
    files: Files
    catalog: Catalog
    now: Callable[[], datetime]
    new_id: Callable[[], UUID]
    stamp: Stamp
    max_document: int = MAX_DOCUMENT

    def save(self, item: Item, *, replace: bool) -> ResultInfo:
        """Store one result; see `Lake.save`."""
        taken = self.take(item)
        found = self.catalog.get(taken.task_id)
        if found is not None:
            if taken.is_same(found):
                # An old copy of the catalog may list what was deleted since.
                self.stamp.press_if_writable()
                return found
            if not replace:
                raise taken.exists(found)
        with self.files.writing() as writing:
            new, files = self._prepare(taken, found.write_id if found and replace else None, writing)
            writing.finish()
        try:
            replaced = self.catalog.commit([new], files, replace=replace)
        except CommitUnknownError:
            raise
        except AlreadyExistsError:
            self.files.remove([file.path for file in files])
            winner = self.catalog.get(taken.task_id)
            # Somebody saved it meanwhile: the same document is the same success.
            if winner is not None and taken.is_same(winner):
                return winner
            raise
        except LakestoreError:
            # Known to have rolled back: its files are nobody's.
            self.files.remove([file.path for file in files])
            raise
        except BaseException as exc:
            self.broken_off(new.info.write_id, [file.path for file in files], exc)
            raise
        tombstones.leave(self.files, replaced, "replaced", new.info.saved_at, new.info.write_id)
        return new.info

    def broken_off(self, write_id: UUID, paths: Sequence[str], cause: BaseException) -> None:
        """Remove the files of a commit that Ctrl-C broke off, unless it is done; where nobody can tell, vacuum does."""
        with suppress(LakestoreError):
            if not self.catalog.is_in(write_id, cause):
                self.files.remove(paths)

    def take(self, item: Item) -> Taken:
        """A document read by its profile, and who it is.

        Raises:
            InvalidInputError: it cannot be kept.
            NotFoundError, StorageError: its file is not there, or cannot be read.
        """
        source = source_of(item.document, self.now(), limit=self.max_document, unseen=True)
        where = item.where or source.where
        own = known(self.files.path(layout.PROFILES))
        draft = read(source.text, where, item.profile, item.tables, own, given=source.given)
        identity = identify(
            draft.value,
            draft.profile,
            lambda: draft.sha256,
            where,
            task_id=item.task_id,
            strategy=item.strategy,
            status=item.status,
            created_at=item.created_at,
            otherwise=item.time or source.time,
            strategy_if_none=item.strategy_if_none,
        )
        return Taken(draft, identity)

    def encode(self, taken: Taken, columns: Columns, *, files: bool, ready: Ready | None = None) -> Encoded:
        """A document's rows and envelope, proved; with files of its own, or rows that are to share some."""
        return encode.encode(
            taken.draft,
            columns,
            task_id=taken.task_id,
            strategy=taken.identity.strategy,
            decimals=self.home.numbers == "decimal",
            files=files,
            ready=ready,
        )

    def describe(self, taken: Taken, encoded: Encoded, write_id: UUID) -> ResultInfo:
        """What the catalog is to know of a result; the size of its files is 0 yet."""
        day = layout.run_date(taken.identity.created_at, self.home.partition)
        return described(taken.draft, encoded, taken.identity, taken.sha, day, write_id=write_id, saved_at=self.now())

    def _prepare(self, taken: Taken, replaces: UUID | None, writing: Writing) -> tuple[NewResult, list[NewFile]]:
        """A result encoded and proved: its catalog entry, and its files, which are being written."""
        columns = Columns(self.catalog)
        # All files of a write bear its id: so its row in `results` says where its other rows are.
        write_id = self.new_id()
        day = layout.run_date(taken.identity.created_at, self.home.partition)
        made: list[tuple[NewResult, list[NewFile]]] = []

        def begin(encoded: Encoded) -> None:
            self.stamp.press(anew=columns.reserved)
            writing.drop()
            files = [new_file(part.table, part.strategy, day, write_id, part.rows, part.data) for part in encoded.parts]
            pairs = zip(files, encoded.parts, strict=True)
            writing.add([(file.path, part.data) for file, part in pairs], apart=True)
            info = self.describe(taken, encoded, write_id)
            row = record.row_of(info, encoded.envelope, replaces=replaces, zone_assumed=taken.identity.zone_assumed)
            data = record.to_buffer([row])
            files.append(new_file(layout.RESULTS, info.strategy, day, write_id, 1, data))
            writing.add([(files[-1].path, data)], apart=True)
            info = replace_fields(info, file_size=sum(file.bytes for file in files))
            spans = tuple(RowSpan(f.path, f.table, f.strategy, 0, f.rows, f.sha256, f.bytes) for f in files)
            new = NewResult(info, spans, searchable(info.params), searchable(info.metrics), replaces)
            made[:] = [(new, files)]

        # Written while it is proved; the files get their names afterwards.
        self.encode(taken, columns, files=True, ready=begin)
        return made[0]


def new_file(table: str, strategy: str, day: date, file_id: UUID, rows: int, data: pa.Buffer) -> NewFile:
    """A data file that is about to be written."""
    path = layout.data_path(table, layout.check_strategy(strategy), day, file_id)
    return NewFile(table, path, strategy, day, rows, len(data), sha256(data).digest())


def described(
    draft: Draft, encoded: Encoded, identity: Identity, sha: str, day: date, *, write_id: UUID, saved_at: datetime
) -> ResultInfo:
    """What the catalog is to know of a result; the size of its files is not known yet."""
    rows: Counter[str] = Counter()
    for part in encoded.parts:
        rows[part.table] += part.rows
    params, metrics = (draft.profile.first(draft.value, name) for name in ("params", "metrics"))
    held = [(part.lake, part.held) for part in encoded.parts]
    stored = sum(len(part.file) for part in encoded.parts if part.file is not None)
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
        params=_own(params),
        metrics=_own(metrics),
        # Of rows that are to share files nobody knows yet what they take.
        stats=by_symbol.made(held, stored) if stored else RunStats(),
    )


def _own(value: Any) -> Any:
    """Parameters or metrics as they are now: the engine may go on with its dict."""
    return copy.deepcopy(value) if isinstance(value, dict | list) else None
