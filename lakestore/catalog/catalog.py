"""The catalog of one lake: the door to everything that stands in Postgres."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Final
from uuid import UUID

from lakestore.catalog import columns, commits, reads, schema, skipping, snapshot, transactions
from lakestore.catalog.compaction import Compaction
from lakestore.catalog.connect import Connection, Connections
from lakestore.catalog.ledger import Ledger
from lakestore.catalog.rebuild import Rebuild
from lakestore.catalog.snapshot import EVERYTHING, Snapshot, Wanted
from lakestore.catalog.snapshot_cache import SnapshotCache
from lakestore.catalog.sql import queries
from lakestore.catalog.upkeep import Upkeep
from lakestore.model import (
    LakeTable,
    NewColumn,
    NewFile,
    NewResult,
    Numbers,
    Partition,
    ResultDigest,
    ResultInfo,
    RowSpan,
    SqlType,
    Statement,
)

_SETTINGS: Final = (
    "server_version",
    "server_encoding",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "wal_sync_method",
    "data_checksums",
    "max_connections",
    "default_transaction_read_only",
)


class Catalog:
    """What is in a lake, and the one place where that changes; safe for threads and forked children.

    Attributes:
        upkeep: what vacuum, sync, verify, compact and restore ask of it.
        rebuild: how it is made anew from the files.
        compaction: how new files take the place of old ones.
        partition: how coarse the lake's partitions were when it was opened.
    """

    def __init__(self, connections: Connections, partition: Partition) -> None:
        self._connections = connections
        self.partition = partition
        self.upkeep = Upkeep(connections)
        self.rebuild = Rebuild(connections)
        self.compaction = Compaction(connections)
        self._known = columns.KnownTables()
        self._intervals = skipping.Intervals()
        self._snapshots = SnapshotCache()

    @classmethod
    def open(
        cls,
        conninfo: str,
        *,
        lake_id: UUID,
        partition: Partition,
        numbers: Numbers,
        where: str,
        create: bool = True,
        rebuild: bool = False,
        revive: Callable[[], str] | None = None,
    ) -> Catalog:
        """Connect to the catalog of a lake; an empty database is made one, an older one is upgraded.

        Args:
            conninfo: a DSN, as a URL or as `key=value` pairs.
            lake_id: the id that stands in the lake's directory.
            partition, numbers: how the lake is told to store; of numbers the catalog must say the same.
            where: what messages call a catalog behind a socket, such as the lake's path.
            create: whether an empty database may be made a catalog.
            rebuild: whether one may be opened that is not rebuilt to the end.
            revive: starts a server that cannot be reached, and returns its DSN.

        Raises:
            CatalogError: it cannot be reached, is another lake's, or of a newer version.
        """
        connections = Connections(conninfo, where=where, revive=revive)
        try:
            identity = schema.LakeIdentity(lake_id, partition, numbers)
            found = schema.prepare(connections, identity, create=create, rebuild=rebuild)
        except BaseException:
            connections.close()
            raise
        return cls(connections, found)

    @property
    def place(self) -> str:
        """Where the catalog is, for messages: host, port and database, or the lake."""
        return self._connections.place

    def tables(self) -> dict[str, LakeTable]:
        """Return the lake tables by name as they are now (kept here while nothing changes them)."""
        return self._connections.run(
            "read the lake's tables", lambda conn: self._known.tables(conn, columns.read_counter(conn))
        )

    @property
    def counter(self) -> int:
        """How far the catalog had come when its tables were last asked for: a number that only grows."""
        return self._known.counter

    def read_counter(self) -> int:
        """Return how far the catalog has come by now."""
        return self._connections.run("look at the catalog's counter", columns.read_counter)

    def advance(self, seen: int) -> tuple[int, int] | None:
        """Let the counter grow; return it with the field id that the next column gets. None: it is behind `seen`."""
        return columns.advance(self._connections, seen)

    def catch_up(self, seen: int, next_field_id: int) -> tuple[int, int]:
        """Let the counter and the next field id be what was seen, or more; return both."""
        return columns.catch_up(self._connections, seen, next_field_id)

    def table_for(self, key: str, wanted: str) -> str:
        """Return the name of the lake table that stands for a key of documents; reserved if it is new.

        Args:
            key: the key as JSON text.
            wanted: the name wished for; `__2`, `__3`, … is appended while it is taken.

        Raises:
            InvalidInputError: the key cannot be stored.
            CatalogError: the catalog cannot be reached or changed.
        """
        return columns.table_for(self._connections, key, wanted)

    def reserve(
        self,
        table: str,
        wishes: Sequence[NewColumn],
        *,
        widen: Sequence[int] = (),
        mark_wide: Sequence[int] = (),
        settype: Mapping[int, SqlType] | None = None,
    ) -> LakeTable:
        """Give a table new columns and change types as far as allowed; return the table as it is afterwards.

        A wish whose parent and key are there gets that column, as it is; but one of type NULL takes the wish's
        type, and a BIGINT its mark of wide integers. Doing it twice does nothing more.

        Args:
            widen: BIGINT columns to become DOUBLE; left as they are if wide integers were stored.
            mark_wide: BIGINT columns that are to store integers beyond ±2**53; left if they are DOUBLE by now.
            settype: first real types of columns of type NULL; left if they have one by now.

        Raises:
            NotFoundError: there is no such table.
            InvalidInputError: a wish names a column that is not there.
            CatalogError: the catalog cannot be reached or changed.
        """
        return columns.reserve(self._connections, table, columns.Wishes(wishes, widen, mark_wide, settype or {}))

    def commit(
        self,
        results: Sequence[NewResult],
        files: Sequence[NewFile],
        *,
        replace: bool = False,
        also: Sequence[Statement] = (),
    ) -> list[tuple[UUID, str]]:
        """Make results and their files visible, all at once; on return they are durable.

        Committing the same writes again is a success. With `replace`, a result that is there is let go, provided
        that it is the one named by `replaces`, if that is given.

        Args:
            also: what else the transaction does, after the results.

        Returns:
            The versions that were replaced, with their task ids.

        Raises:
            AlreadyExistsError: a task_id is there, and `replace` is false.
            ConflictError: the result to be replaced is not the live one any more.
            InvalidInputError: what was given does not fit together or cannot be stored.
            CommitUnknownError: the connection was lost and the end could not be found out: keep the files.
            CatalogError: any other one; nothing was done.
            KeyboardInterrupt: and whatever else is no LakestoreError: only `is_in` tells whether it is done.
        """
        return commits.commit(self._connections, results, files, replace=replace, also=also)

    def is_in(self, write_id: UUID, cause: BaseException) -> bool:
        """Say whether a write whose commit was broken off by `cause` is in; if it is not, it never will be.

        Raises:
            CommitUnknownError: it could not be found out in time.
        """
        return transactions.is_in(self._connections, "save", write_id, cause)

    def delete(self, task_id: str, *, only: UUID | None = None) -> UUID | None:
        """Let a result go; return the write that was live, None if there was none.

        Args:
            only: the version that is to go; another one stays.

        Raises:
            CommitUnknownError: the connection was lost and the end could not be found out.
            CatalogError: any other one; nothing was done.
        """
        return commits.delete(self._connections, task_id, only=only)

    def get(self, task_id: str) -> ResultInfo | None:
        """Return what the catalog knows of a live result, None if there is none."""
        return reads.get(self._connections, task_id)

    def get_many(self, task_ids: Sequence[str]) -> dict[str, ResultInfo]:
        """Return what the catalog knows of those of the results that are live, by task id."""
        return reads.get_many(self._connections, task_ids)

    def digests(self, strategy: str | None = None) -> list[ResultDigest]:
        """Return the digests of all live results, or of those with a strategy, in no order."""
        return reads.digests(self._connections, strategy)

    def locate(self, task_id: str) -> tuple[ResultInfo, tuple[RowSpan, ...]] | None:
        """Return a live result and where its rows are, seen in one statement; None if there is none."""
        return reads.locate(self._connections, task_id)

    def results(
        self,
        *,
        strategy: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        after: tuple[datetime, str] | None = None,
        details: bool = True,
    ) -> list[ResultInfo]:
        """Return live results, newest first (by `created_at` descending, then `task_id`).

        Args:
            strategy: only results with this strategy; one of several counts.
            since, until: only `since <= created_at < until`; without zone: UTC.
            after: `(created_at, task_id)` of the last result of the page before.
            details: whether parameters and metrics are wanted.

        Raises:
            InvalidInputError: the limit is negative.
            CatalogError: the catalog cannot be reached.
        """
        return reads.results(
            self._connections,
            strategy=strategy,
            status=status,
            since=since,
            until=until,
            limit=limit,
            after=after,
            details=details,
        )

    def snapshot(self, wanted: Wanted = EVERYTHING) -> Snapshot:
        """Return live files, the lake tables and live results, all of one instant; more than wanted does no harm.

        Raises:
            CatalogError: the catalog cannot be reached.
        """
        found = self._snapshots.find(wanted)
        if found is not None and found[0] == snapshot.version(self._connections):
            return found[1]
        version, made = snapshot.read(self._connections, wanted, self._known, self._intervals)
        return self._snapshots.keep(wanted, version, made)

    def ledger(self, claimant: int) -> Ledger:
        """Return the ledger of `migrate`, for the run of this number."""
        return Ledger(self._connections, claimant)

    def settings(self) -> dict[str, str]:
        """Return the server's settings that matter for durability, by name, with the database and the role."""
        q = queries()

        def work(conn: Connection) -> dict[str, str]:
            found: dict[str, str] = dict(conn.execute(q["settings"], {"names": list(_SETTINGS)}).fetchall())
            database, role, standby = conn.execute(q["server_facts"]).fetchall()[0]
            return {**found, "database": database, "role": role, "standby": "on" if standby else "off"}

        return self._connections.run("read the server's settings", work)

    def close(self) -> None:
        """Close the connections; calling it twice is fine."""
        self._connections.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Catalog({self.place})"
