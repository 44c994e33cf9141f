"""What upkeep asks of the catalog: what was let go long ago, what is known, what is to be checked; page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from lakestore.catalog.connect import Connection, Connections
from lakestore.catalog.failures import is_storable
from lakestore.catalog.reads import info_of
from lakestore.catalog.sql import queries
from lakestore.model import LetGo, RowSpan

PAGE: Final = 1_000
"""Rows of a page: no statement of upkeep walks a large catalog, and no transaction of it lasts."""


@dataclass(frozen=True, slots=True)
class ExpiredFile:
    """A data file that was let go long ago."""

    file_id: int
    path: str
    bytes: int


class Upkeep:
    """The part of the catalog that upkeep works with."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def clock(self) -> datetime:
        """Return the server's time, by which everything let go is dated (UTC)."""
        return self._rows("read the server's time", "clock")[0][0].astimezone(UTC)  # type: ignore[no-any-return]

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
        return {row[0] for row in self._rows("look up data files", "known_paths", paths=list(paths))}

    def is_live_path(self, path: str) -> bool:
        """Say whether a path is a live data file."""
        return bool(self._rows("look up a data file", "is_live_path", path=path)[0][0])

    def claim_paths(self, files: Sequence[tuple[str, str, str, date]]) -> set[str]:
        """Let go files that the catalog does not know, so that nobody can commit them; return their paths.

        Args:
            files: path, table, strategy and date of each. One that became known meanwhile is left alone.
        """
        columns: list[list[Any]] = [list(column) for column in zip(*files, strict=True)] or [[], [], [], []]
        given = dict(zip(("path", "table", "strategy", "run_date"), columns, strict=True))
        return {row[0] for row in self._rows("let leftovers go", "claim_paths", **given)}

    def needed_tombstones(self, write_ids: Sequence[UUID]) -> set[UUID]:
        """Return those versions whose rows may still lie in the lake, or that the catalog still knows."""
        return {row[0] for row in self._rows("look up versions", "needed_tombstones", write_ids=list(write_ids))}

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
