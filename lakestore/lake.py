"""A lake: results saved, loaded, listed, queried, deleted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import duckdb

from lakestore import batch, doctor, home, layout, query, tombstones
from lakestore.catalog import Catalog
from lakestore.catalog.bounds import Bounds
from lakestore.catalog.embedded import EmbeddedServer
from lakestore.catalog.snapshot import Snapshot, Wanted
from lakestore.closing import Closing
from lakestore.config import MAX_DOCUMENT, Config
from lakestore.errors import (
    CatalogError,
    InvalidInputError,
    LakestoreError,
    NotFoundError,
)
from lakestore.files import Files
from lakestore.identity import moment, uuid7
from lakestore.loading import Loader
from lakestore.model import LakeTable, LiveFile, Numbers, Partition, ResultDigest, ResultInfo
from lakestore.result import Result
from lakestore.saving import Item, Saver
from lakestore.stamp import Stamp


@dataclass(frozen=True, slots=True)
class Parts:
    """What an open lake works with, for the layers above that keep it in order."""

    home: home.Home
    files: Files
    catalog: Catalog
    now: Callable[[], datetime]
    new_id: Callable[[], UUID]
    stamp: Stamp


class Lake(Closing):
    """A root directory of Parquet files and the catalog that says what is in it; safe for threads.

    Attributes:
        root: the lake's directory, absolute.
        embedded: whether the lake runs the catalog itself.
        max_document: bytes of JSON that one document may take.
    """

    def __init__(
        self,
        root: Path,
        dsn: str | None,
        settings: home.Home,
        *,
        rebuild: bool = False,
        now: Callable[[], datetime] | None = None,
        new_id: Callable[[], UUID] | None = None,
        max_document: int = MAX_DOCUMENT,
    ) -> None:
        """Open a lake that is there; use `lakestore.open` or `Lake.create`.

        Args:
            rebuild: its catalog may be missing or unfinished; for `maintenance.rebuild`.
        """
        self.root = root
        self.embedded = dsn is None
        self.max_document = max_document
        self._home = settings
        self._closed = False
        self._now = now or (lambda: datetime.now(UTC))
        self._new_id = new_id or uuid7
        self._files = Files(root)
        self._duckdb = query.Instance()
        self._server = EmbeddedServer.attach(root / layout.PRIVATE / "catalog") if dsn is None else None
        self._dsn = str(dsn)
        try:
            self._catalog = Catalog.open(
                self.conninfo,
                lake_id=settings.lake_id,
                partition=settings.partition,
                numbers=settings.numbers,
                where=str(root),
                # Beside data an empty database is a lost catalog: what it gave out would be given out again.
                create=rebuild or not home.holds_data(root),
                rebuild=rebuild,
                revive=None if self._server is None else self._server.revived,
            )
            # The lake's own file may be older, where a compaction was stopped between the two.
            self._home = replace(settings, partition=self._catalog.partition)
            self._stamp = Stamp(self._files, self._catalog, self._now)
            if not rebuild:
                self._stamp.warn()
        except BaseException:
            if self._server is not None:
                self._server.close()
            raise

    @property
    def conninfo(self) -> str:
        """libpq's connection string of the catalog."""
        return self._dsn if self._server is None else self._server.conninfo

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        dsn: str | None = None,
        partition: Partition = "day",
        numbers: Numbers = "decimal",
    ) -> Self:
        """Make a directory a lake, and open it.

        Args:
            path: its root directory; made when missing.
            dsn: PostgreSQL connection string of an empty database for the catalog; empty: the embedded one.
            partition: the time that one directory of data files spans, by the UTC date of `created_at`.
            numbers: `decimal` keeps short decimals as scaled integers, smaller; `double` keeps doubles.

        Raises:
            AlreadyExistsError: there is a lake already.
            CatalogError, StorageError: the catalog cannot be reached, the directory not be made.
        """
        config = Config.load(lake=path, dsn=dsn)
        root = config.root()
        made, _ = home.make(root, partition=partition, numbers=numbers, exist_ok=False)
        return cls._first(root, config, made)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        dsn: str | None = None,
        create: bool = True,
        rebuild: bool = False,
    ) -> Self:
        """Open a lake, made with the defaults where there is none; see `lakestore.open`.

        Args:
            rebuild: its catalog may be missing or unfinished; for `maintenance.rebuild`.
        """
        config = Config.load(lake=path, dsn=dsn)
        root = config.root()
        found = home.find(root)
        if found is None:
            if not create:
                raise NotFoundError(f"there is no lake in {root}; 'lakestore init --lake {root}' makes one")
            found, ours = home.make(root, partition="day", numbers="decimal", exist_ok=True)
            if ours:
                return cls._first(root, config, found)
        return cls(root, config.dsn, found, rebuild=rebuild, max_document=config.max_document)

    @classmethod
    def _first(cls, root: Path, config: Config, made: home.Home) -> Self:
        """Open a lake just made; one whose catalog cannot be opened was none.

        After Ctrl-C it stays: the catalog may bear its id by now, and would be no other lake's.
        """
        try:
            return cls(root, config.dsn, made, max_document=config.max_document)
        except LakestoreError:
            home.unmake(root)
            raise

    def save(
        self,
        document: dict[str, Any] | list[Any] | str | bytes | bytearray | memoryview | Path,
        *,
        task_id: str | None = None,
        strategy: str | None = None,
        status: str | None = None,
        created_at: date | str | None = None,
        profile: str | None = None,
        replace: bool = False,
        tables: Mapping[str, Any] | None = None,
    ) -> ResultInfo:
        """Store one result; on return it is durable, visible, and proved to come back byte for byte.

        What is not given is taken from the document by its profile. Saving the same document under the same id again
        is a success and writes nothing.

        Args:
            document: a Python value (it becomes compact UTF-8 JSON), JSON text, JSON bytes, or the path of a file
                (unpacked where its name ends in `.gz` or `.zst`).
            task_id: the result's id; without any, one derived from the content.
            strategy: needed where the document names none.
            status: `completed` where nobody says.
            created_at: a time, a day, or ISO 8601 text, UTC without a zone. Else the document's, the file's, or now.
            profile: how to read the document: a profile's name, or the path of a TOML file; recognised where it is
                not given.
            replace: put it in the place of a result with this id and other content.
            tables: record tables held as columns (pyarrow, pandas, polars, `__arrow_c_stream__`); they become
                arrays of records in the document, under their names.

        Returns:
            What the catalog keeps of the result.

        Raises:
            InvalidInputError: not JSON, no strategy, or something that cannot be kept; nothing was written.
            AlreadyExistsError: this id has other content; nothing was saved.
            ConflictError: it was replaced by somebody else at the same time; nothing was saved.
            StorageError: the file system refused; nothing was saved.
            CommitUnknownError: the connection was lost at the commit: look the result up.
            CatalogError: the catalog cannot be reached; nothing was saved.
        """
        item = Item(
            document=document,
            task_id=task_id,
            strategy=strategy,
            status=status,
            created_at=created_at,
            profile=profile,
            tables=tables,
        )
        return self.save_item(item, replace=replace)

    def save_item(self, item: Item, *, replace: bool = False) -> ResultInfo:
        """Store one result given as for `save_many`; see `save`."""
        return self.saver().save(item, replace=replace)

    def save_many(self, items: Iterable[Item], *, replace: bool = False) -> list[ResultInfo | LakestoreError]:
        """Store many results at once; on return those that are in are durable, visible, and proved.

        Results of one strategy and day share a data file for each table: many small results take less room and time
        than saved one by one. One transaction makes all of them visible.

        Args:
            items: the documents, each with what `save` would be told of it; all are held in memory. What an iterator
                raises is raised here: it is read to its end before the first is saved.
            replace: put each in the place of a result with its id and other content.

        Returns:
            For each item in order what the catalog keeps of it, or the error for which it alone was not saved.

        Raises:
            InvalidInputError: one is no `Item`; none was saved.
            StorageError: the file system refused; none was saved.
            CommitUnknownError: the connection was lost at the commit: look the results up.
            CatalogError: the catalog cannot be reached; none was saved.
        """
        given = list(items)
        wrong = next(((place, item) for place, item in enumerate(given) if not isinstance(item, Item)), None)
        if wrong is not None:
            raise InvalidInputError(
                f"items[{wrong[0]}] is {type(wrong[1]).__name__}, not an Item: give lakestore.Item(document=…)"
            )
        return batch.save_many(self.saver(), given, replace=replace)

    def load(self, task_id: str) -> Result:
        """Find one result; its document and tables are read from the files when they are asked for.

        Raises:
            NotFoundError: there is none.
            CorruptFileError: a file of it is missing or damaged (checksums are compared).
            ConflictError: it was let go meanwhile, longer ago than vacuum waits: load it again.
        """
        located = self._open_catalog().locate(task_id)
        if located is None:
            raise _missing(task_id)
        return Loader(self._files, lambda path: self._open_catalog().upkeep.is_live_path(path)).result(*located)

    def info(self, task_id: str) -> ResultInfo:
        """What the catalog knows of one result.

        Raises:
            NotFoundError: there is none.
        """
        found = self._open_catalog().get(task_id)
        if found is None:
            raise _missing(task_id)
        return found

    def digests(self, *, strategy: str | None = None) -> list[ResultDigest]:
        """What tells whether each result is the same elsewhere, in no order.

        Args:
            strategy: only those with this strategy.
        """
        return self._open_catalog().digests(strategy)

    def exists(self, task_id: str) -> bool:
        """Whether there is a result of this id."""
        return self._open_catalog().get(task_id) is not None

    def results(
        self,
        *,
        strategy: str | None = None,
        status: str | None = None,
        since: date | timedelta | str | None = None,
        until: date | timedelta | str | None = None,
        limit: int = 100,
        after: ResultInfo | str | None = None,
        details: bool = True,
    ) -> list[ResultInfo]:
        """The results, newest first by `created_at`, then by `task_id`.

        Args:
            strategy: only those with this strategy.
            status: only those of this status.
            since, until: only `since <= created_at < until`: a time, a day, ISO text, or an age (`7d`, a timedelta).
            limit: at most so many.
            after: the last result of the page before (or its id): the next page begins behind it.
            details: False leaves `params` and `metrics` None, which halves what a page costs.

        Raises:
            InvalidInputError: a time or a limit that is none, or `after` is no result.
            NotFoundError: `after` is the id of no result.
        """
        if not isinstance(after, ResultInfo | str | None):
            raise InvalidInputError(f"after: {after!r} is no result of a list, nor the id of one")
        catalog = self._open_catalog()
        now = self._now()
        last = self.info(after) if isinstance(after, str) else after
        return catalog.results(
            strategy=strategy,
            status=status,
            since=moment("since", since, now),
            until=moment("until", until, now),
            limit=limit,
            after=None if last is None else (last.created_at, last.task_id),
            details=details,
        )

    def sql(
        self, sql: str, params: query.Params = None, *, untrusted: bool = False, limits: query.Limits | None = None
    ) -> duckdb.DuckDBPyRelation:
        """The answer to one SELECT over the lake's tables and `results`, as they are at this moment.

        Args:
            sql: one statement of DuckDB's SQL.
            params: values for its `?` or `$name`.
            untrusted: the SQL comes from outside: it can read live rows and nothing else.
            limits: time, memory and threads of an untrusted statement; a minute and 2 GB if None.

        Returns:
            A DuckDB relation: `.df()`, `.pl()`, `.to_arrow_table()`, `.fetchall()`, `.show()`. Unless the SQL is
            untrusted, these read the files, and what befalls them then is DuckDB's own error: where vacuum has
            taken a file meanwhile, an IOException that names it.

        Raises:
            QueryError: not valid, naming what is not there, not allowed, or beyond its limits.
        """
        self._open_catalog()
        bounds = limits or query.Limits()
        return query.run(
            self.root, self._snapshot_for, sql, params, untrusted=untrusted, limits=bounds, instance=self._duckdb
        )

    def connect(self, *, config: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection with every lake table and `results` as views: a snapshot; `refresh` renews it.

        Args:
            config: DuckDB settings, such as `{"memory_limit": "2GB"}`.

        Raises:
            QueryError: a setting is not known.
        """
        return query.connect(self.root, self._snapshot(), config=config)

    def refresh(self, con: duckdb.DuckDBPyConnection) -> None:
        """Show the lake as it is now on a connection of `connect`; all views change at once.

        Raises:
            QueryError: a transaction is open on it.
        """
        query.refresh(con, self.root, self._snapshot())

    def delete(self, task_id: str) -> None:
        """Let a result go; on return no reader sees it. Its files stay until they are vacuumed.

        Raises:
            NotFoundError: there is none.
            CatalogError: the catalog is older than its lake, or cannot be reached; nothing was done.
            CommitUnknownError: the connection was lost at the commit: look the result up.
        """
        catalog = self._open_catalog()
        self._stamp.press_if_writable()
        write_id = catalog.delete(task_id)
        if write_id is None:
            raise _missing(task_id)
        tombstones.leave(self._files, [(write_id, task_id)], "deleted", self._now(), write_id)

    def files(self, table: str | None = None, *, strategy: str | None = None) -> list[LiveFile]:
        """The live data files, for other tools; `table` is a lake table or `results`.

        Raises:
            NotFoundError: there is no such table.
        """
        bounds = Bounds(None if strategy is None else frozenset({strategy}))
        tables = None if table is None else {table: bounds}
        snapshot = self._open_catalog().snapshot(Wanted(tables, results=None))
        if table is not None and table != layout.RESULTS and table not in snapshot.tables:
            raise NotFoundError(
                f"there is no lake table {table!r}; there are: {', '.join(sorted(snapshot.tables)) or 'none'}"
            )
        return [file for file in snapshot.files if strategy is None or file.strategy == strategy]

    def tables(self) -> dict[str, LakeTable]:
        """The lake tables with their columns, by name."""
        return self._open_catalog().tables()

    def doctor(self) -> list[doctor.Check]:
        """What is in order and what is not: versions, catalog, durability, the lake's directory."""
        return doctor.check(
            self.root,
            self._open_catalog(),
            self._stamp,
            embedded=self.embedded,
            home=self._home,
            paths=lambda: [file.path for file in self.files()],
        )

    def parts(self) -> Parts:
        """The lake's settings, files, catalog, clock and source of ids, for upkeep."""
        return Parts(self._home, self._files, self._open_catalog(), self._now, self._new_id, self._stamp)

    def saver(self) -> Saver:
        """What a save needs, for what saves in batches of its own."""
        return Saver(
            self._home, self._files, self._open_catalog(), self._now, self._new_id, self._stamp, self.max_document
        )

    def close(self) -> None:
        """Let go of the catalog; the last user of an embedded one waits until its server is gone."""
        if self._closed:
            return
        self._closed = True
        self._duckdb.close()
        self._catalog.close()
        if self._server is not None:
            self._server.close()

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[Path]]:
        """Pickled, as workers get their arguments, it becomes the same lake, opened there for itself."""
        self._open_catalog()
        return partial(type(self).open, dsn="" if self.embedded else self.conninfo, create=False), (self.root,)

    def __repr__(self) -> str:
        return f"Lake({str(self.root)!r}{', closed' if self._closed else ''})"

    def _open_catalog(self) -> Catalog:
        if self._closed:
            raise CatalogError(f"lake {self.root} was closed; open it again with lakestore.open")
        return self._catalog

    def _snapshot(self) -> Snapshot:
        """Everything there is, without the files of the lake's own table: SQL has `results` from the catalog."""
        found = self._open_catalog().snapshot(Wanted(stats=Bounds(), by_symbol=Bounds()))
        return replace(found, files=tuple(file for file in found.files if file.table != layout.RESULTS))

    def _snapshot_for(self, needs: query.Needs) -> Snapshot:
        """What a statement can need."""
        if needs.everything:
            return self._snapshot()
        files = {name: bounds for name, bounds in needs.tables.items() if name not in layout.FROM_CATALOG}
        results, stats, by_symbol = map(needs.tables.get, layout.FROM_CATALOG)
        return self._open_catalog().snapshot(Wanted(files, results, stats, by_symbol, needs.columns))


def _missing(task_id: str) -> NotFoundError:
    return NotFoundError(f"result {task_id!r} is not in the lake; 'lakestore results' lists what is")
