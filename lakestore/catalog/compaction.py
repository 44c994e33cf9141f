"""What compaction asks of the catalog, and the one transaction that puts new files in the place of old ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from lakestore.catalog import commits
from lakestore.catalog.connect import Connection, Connections
from lakestore.catalog.sql import queries
from lakestore.catalog.transactions import lock_key, transact
from lakestore.errors import ConflictError
from lakestore.model import Digest, NewFile, Partition, RowSpan

_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class OldFile:
    """A live data file; `has_dead`: some of its rows are dead."""

    file_id: int
    path: str
    table: str
    strategy: str
    run_date: date
    rows: int
    size: int
    sha256: Digest
    has_dead: bool


@dataclass(frozen=True, slots=True)
class LivingRows:
    """The rows of one living result in a file."""

    file_id: int
    write_id: UUID
    task_id: str
    first_row: int
    rows: int


@dataclass(frozen=True, slots=True)
class Living:
    """A living result: the SHA-256 of its document (hexadecimal), and where its rows are."""

    sha256: str
    spans: tuple[RowSpan, ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """New files in the place of old ones.

    Attributes:
        held: what each result has of the new files.
        moved: versions whose row of `results` is in another partition now, by its date.
    """

    files: Sequence[NewFile]
    held: Sequence[commits.Holding]
    old: Sequence[int]
    moved: Mapping[date, Sequence[UUID]]


class Compaction:
    """The part of the catalog that compaction works with."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def strategies(self) -> Iterator[str]:
        """Yield the strategies that have live files."""
        given: dict[str, Any] = {"after": "", "limit": _PAGE}
        while page := self._rows("list strategies", "strategies_of_files", **given):
            yield from (row[0] for row in page)
            given["after"] = page[-1][0]

    def files(self, strategy: str, table: str | None) -> list[OldFile]:
        """Return the live files of a strategy, of one table or of all, in order of table, date and age."""
        return [OldFile(*row) for row in self._rows("list files", "compactable_files", strategy=strategy, table=table)]

    def living_rows(self, file_ids: Sequence[int]) -> list[LivingRows]:
        """Return the rows of living results in files, in the files' order."""
        return [LivingRows(*row) for row in self._rows("locate results", "living_rows", file_ids=list(file_ids))]

    def living(self, write_ids: Sequence[UUID]) -> dict[UUID, Living]:
        """Return those of the versions that are alive."""
        found: dict[UUID, Living] = {}
        for row in self._rows("locate results", "living_places", write_ids=list(write_ids)):
            before = found.get(row[0])
            found[row[0]] = Living(row[1], (*(before.spans if before else ()), RowSpan(*row[2:])))
        return found

    def stats(self, write_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """Return the packed statistics of those of the versions that are alive and have some."""
        rows = self._rows("read statistics", "living_stats", write_ids=list(write_ids))
        return {write_id: bytes(packed) for write_id, packed in rows}

    def exchange(self, exchange: Exchange, compaction_id: UUID) -> None:
        """Put new files in the place of old ones; on return that is durable.

        Raises:
            ConflictError: a result was replaced or deleted, or a file let go meanwhile; nothing was done.
            CommitUnknownError: the connection was lost at the commit: keep the files.
            CatalogError: any other one; nothing was done.
        """
        q = queries()
        write_ids = sorted({row[0] for row in exchange.held})
        old = sorted(exchange.old)

        def work(conn: Connection) -> tuple[None, UUID]:
            conn.execute(q["lock_write"], {"lock": lock_key(compaction_id)})
            versions = conn.execute(q["lock_versions"], {"write_ids": write_ids}, prepare=False).fetchone()
            files = conn.execute(q["lock_live_files"], {"file_ids": old}, prepare=False).fetchone()
            if versions != (len(write_ids),) or files != (len(old),):
                raise ConflictError(
                    "results were replaced or deleted while their files were compacted; nothing was done, try again"
                )
            commits.insert_files(conn, exchange.files, exchange.held)
            conn.execute(q["let_compacted_go"], {"file_ids": old}, prepare=False)
            conn.execute(q["forget_dead_rows"], {"file_ids": old}, prepare=False)
            conn.execute(q["resize_results"], {"write_ids": write_ids}, prepare=False)
            for day, moved in exchange.moved.items():
                conn.execute(q["move_results"], {"run_date": day, "write_ids": list(moved)}, prepare=False)
            return None, compaction_id

        what = f"compact {len(old)} files"
        path = exchange.files[0].path if exchange.files else ""
        transact(self._connections, what, work, find="find_file", found_by=commits.at_paths([path]))

    def coarsen(self, partition: Partition) -> None:
        """Let new results go into coarser partitions from now on."""
        q = queries()

        def work(conn: Connection) -> None:
            with conn.transaction():
                conn.execute(q["durable"])
                conn.execute(q["coarsen_lake"], {"partition": partition})

        self._connections.run("change the lake's partitions", work)

    def _rows(self, what: str, query: str, **given: Any) -> list[tuple[Any, ...]]:
        statement = queries()[query]
        return self._connections.run(what, lambda conn: conn.execute(statement, given, prepare=False).fetchall())
