"""What upkeep asks of the catalog: what was let go long ago, what is known, what is to be checked; page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from lakestore import layout
from lakestore.catalog.columns import read_tables, row_of
from lakestore.catalog.commits import at_paths
from lakestore.catalog.connect import Connection, Connections
from lakestore.catalog.failures import is_storable
from lakestore.catalog.gathered import Gathered
from lakestore.catalog.sql import queries
from lakestore.errors import CatalogError
from lakestore.model import FIRST_FIELD_ID, Digest, LakeTable, LetGo, Reason, RowSpan, info_of

PAGE: Final = 1_000
"""Rows of a page: no statement of upkeep walks a large catalog, and no transaction of it lasts."""


@dataclass(frozen=True, slots=True)
class ExpiredFile:
    """A data file that was let go long ago."""

    file_id: int
    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class LiveBytes:
    """A live data file, and what its bytes must be."""

    path: str
    size: int
    sha256: Digest


class Upkeep:
    """The part of the catalog that upkeep works with."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def clock(self) -> datetime:
        """Return the server's time, by which everything let go is dated (UTC).

        Raises:
            CatalogError: the catalog is being rebuilt, so that it does not know its lake.
        """
        rows = self._rows("read the server's time", "clock")
        if not rows or rows[0][1] != "ready":
            raise CatalogError(f"the catalog at {self._connections.place} is being rebuilt; try again after the end")
        now: datetime = rows[0][0]
        return now.astimezone(UTC)

    def schema(self) -> tuple[int, dict[str, LakeTable]]:
        """Return the field id that the next column gets, and the lake tables, seen at one instant."""
        q = queries()

        def work(conn: Connection) -> tuple[int, dict[str, LakeTable]]:
            with conn.transaction():
                row = conn.execute(q["lock_lake"]).fetchone()
                return (int(row[1]) if row else FIRST_FIELD_ID), read_tables(conn)

        return self._connections.run("read the lake's tables", work)

    def expired_results(self, before: datetime) -> Iterator[list[tuple[UUID, str]]]:
        """Yield pages of versions let go before a time, with their task ids, the oldest first."""
        yield from self._paged("expired_results", before, UUID(int=0), lambda row: (row[0], row[1]))

    def forget_results(self, write_ids: Sequence[UUID], before: datetime) -> None:
        """Forget versions that were let go before a time; they can no longer be brought back."""
        query, given = queries()["forget_results"], {"write_ids": list(write_ids), "before": before}
        self._connections.run("forget what was let go", lambda conn: conn.execute(query, given))

    def expired_files(self, before: datetime) -> Iterator[list[ExpiredFile]]:
        """Yield pages of files let go before a time that no version needs which can still be brought back."""
        yield from self._paged("expired_files", before, 0, lambda row: ExpiredFile(*row))

    def forget_files(self, file_ids: Sequence[int], before: datetime) -> set[int]:
        """Forget files let go before a time, with what is known of their rows; return those no longer known.

        Doing it twice does nothing more, and returns the same.
        """
        q = queries()
        given = {"file_ids": list(file_ids), "before": before}

        def work(conn: Connection) -> set[int]:
            with conn.transaction():
                conn.execute(q["durable"])
                locked = {"file_ids": [row[0] for row in conn.execute(q["lock_expired_files"], given)]}
                for name in ("forget_dead_rows", "forget_spans", "forget_files"):
                    conn.execute(q[name], locked)
            return set(file_ids) - {row[0] for row in conn.execute(q["known_files"], given)}

        return self._connections.run("forget data files", work)

    def known_paths(self, paths: Sequence[str]) -> set[str]:
        """Return those of the paths that are data files, alive or let go."""
        return {row[0] for row in self._rows("look up data files", "known_paths", **at_paths(paths))}

    def is_live_path(self, path: str) -> bool:
        """Say whether a path is a live data file."""
        return bool(self._rows("look up a data file", "is_live_path", **at_paths([path]))[0][0])

    def claim_paths(self, files: Sequence[tuple[str, str, str, date]]) -> set[str]:
        """Let go files that the catalog does not know, so that nobody can commit them; return their paths.

        Args:
            files: path, table, strategy and date of each. One that became known meanwhile is left alone.
        """
        names = [layout.name_of(*file) for file in files]
        given = {
            "name": names,
            "path": [path if name is None else None for name, (path, *_) in zip(names, files, strict=True)],
            "table": [table for _, table, _, _ in files],
            "strategy": [strategy for _, _, strategy, _ in files],
            "run_date": [day for *_, day in files],
        }
        return {row[0] for row in self._rows("let leftovers go", "claim_paths", **given)}

    def needed_tombstones(self, write_ids: Sequence[UUID]) -> set[UUID]:
        """Return those versions whose rows may still lie in the lake, or that the catalog still knows."""
        return {row[0] for row in self._rows("look up versions", "needed_tombstones", write_ids=list(write_ids))}

    def live_files(self) -> Iterator[list[LiveBytes]]:
        """Yield pages of the live data files; those that come or go meanwhile may be among them."""
        after = 0
        while page := self._rows("list data files", "live_file_page", after=after, limit=PAGE):
            yield [LiveBytes(*row[1:]) for row in page]
            after = page[-1][0]

    def results_in(self, paths: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the task ids of the living results that have rows in data files, by path."""
        return {row[0]: tuple(row[1]) for row in self._rows("look up results", "results_in_files", **at_paths(paths))}

    def let_go(self) -> Iterator[list[tuple[UUID, str, Reason]]]:
        """Yield pages of the versions that were let go: their ids, task ids, and why."""
        after = UUID(int=0)
        while page := self._rows("list what was let go", "let_go_page", after=after, limit=PAGE):
            yield [(row[0], row[1], row[2]) for row in page]
            after = page[-1][0]

    def known_versions(self, write_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the versions that are alive, or can still be brought back."""
        return {row[0] for row in self._rows("look up versions", "known_versions", write_ids=list(write_ids))}

    def live_versions(self, write_ids: Sequence[UUID]) -> list[tuple[str, UUID]]:
        """Return those of the versions that are alive, with their task ids, in order of these."""
        return [(row[0], row[1]) for row in self._rows("look up versions", "live_versions", write_ids=list(write_ids))]

    def take_tables(self, tables: Iterable[LakeTable]) -> int:
        """Take in tables and columns that stand in data files; return how many columns were new or changed.

        Raises:
            CorruptFileError: the catalog means something else by a name or a field id.
        """
        q = queries()

        def work(conn: Connection) -> int:
            with conn.transaction():
                conn.execute(q["durable"])
                row = conn.execute(q["lock_lake"]).fetchone()
                found = Gathered(read_tables(conn), int(row[1]) if row else FIRST_FIELD_ID)
                for table in tables:
                    found.take(table)
                news = found.news()
                for table in news:
                    conn.execute(q["restore_table"], {"name": table.name, "key": table.key})
                    for column in table.columns:
                        conn.execute(q["restore_column"], row_of(table.name, column))
                if news:
                    conn.execute(q["advance_lake"], {"next_field_id": found.next_field_id})
                return sum(len(table.columns) or 1 for table in news)

        return self._connections.run("take in columns", work)

    def task_ids(self) -> Iterator[str]:
        """Yield the task ids of all live results, in order; those that come or go meanwhile may be among them."""
        after = ""
        while page := self._rows("list results", "live_task_ids", after=after, limit=PAGE):
            yield from (row[0] for row in page)
            after = page[-1][0]

    def some_task_ids(self, count: int) -> list[str]:
        """Return the task ids of so many live results, chosen at random."""
        return [row[0] for row in self._rows("choose results", "some_task_ids", limit=count)]

    def let_go_versions(self, task_id: str) -> list[LetGo]:
        """Return the versions of a result that were let go and can be brought back, the last one first."""
        if not is_storable(task_id):
            return []
        rows = self._rows(f"look up versions of result '{task_id}'", "let_go_versions", task_id=task_id)
        return [LetGo(info_of(row[2:]), row[0].astimezone(UTC), row[1]) for row in rows]

    def let_go_spans(self, write_id: UUID) -> list[RowSpan]:
        """Return where the rows of a version that was let go are."""
        rows = self._rows("locate a version", "let_go_spans", write_id=write_id)
        return [RowSpan(*row) for row in rows]

    def _rows(self, what: str, query: str, **given: Any) -> list[tuple[Any, ...]]:
        statement = queries()[query]
        return self._connections.run(what, lambda conn: conn.execute(statement, given).fetchall())

    def _paged(
        self, query: str, before: datetime, first: object, of: Callable[[Sequence[Any]], Any]
    ) -> Iterator[list[Any]]:
        """Pages of rows that begin with a time and an id, by which they are ordered."""
        given: dict[str, Any] = {"before": before, "after_time": None, "after_id": first, "limit": PAGE}
        while page := self._rows("look up what was let go", query, **given):
            yield [of(row[1:]) for row in page]
            given |= {"after_time": page[-1][0], "after_id": page[-1][1]}
