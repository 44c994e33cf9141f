"""The catalog made anew from the files of its lake: page by page, so that it can go on where it was stopped."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import psycopg

from lakestore.catalog import columns, commits
from lakestore.catalog.connect import PATIENCE_SECONDS, Connection, Connections, pipelined
from lakestore.catalog.failures import NOBODYS, is_lost, translate
from lakestore.catalog.sql import queries
from lakestore.errors import CatalogError, ConflictError
from lakestore.model import FIRST_FIELD_ID, LakeTable, NewFile, NewResult, Reason, RowSpan

_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Held:
    """Rows of one version of a result in a data file that has `total` rows."""

    write_id: UUID
    span: RowSpan
    total: int


@dataclass(frozen=True, slots=True)
class Gone:
    """A version of a result that is not alive."""

    result: NewResult
    reason: Reason


class Rebuild:
    """The part of the catalog that a rebuild works with; each of its transactions is short."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only rebuild for as long as the block lasts.

        Raises:
            ConflictError: another one is at it.
        """
        what = "hold the catalog for a rebuild"
        with ExitStack() as stack:
            for patience in (0.0, PATIENCE_SECONDS):
                conn = stack.enter_context(self._connections.take(patience=patience))
                # The lock is the session's: given back to others, it would outlive the rebuild.
                stack.callback(conn.close)
                try:
                    held = _held(conn)
                    break
                except psycopg.Error as exc:
                    if patience or not is_lost(exc):
                        raise translate(exc, what=what, place=self._connections.place) from exc
            if not held:
                raise ConflictError(
                    f"the catalog at {self._connections.place} is being rebuilt by another process: wait for its end"
                )
            yield

    def begin(self) -> bool:
        """Empty the catalog and keep everybody else out of it; True: one that was begun goes on.

        The ledger of migrations stays as it is.
        """
        q = queries()

        def work(conn: Connection) -> bool:
            with self._writing(conn):
                row = conn.execute(q["rebuild_state"]).fetchone()
                if row is None:
                    raise CatalogError(NOBODYS)
                if row[0] == "rebuilding":
                    return True
                conn.execute(q["rebuild_empty"])
                conn.execute(q["rebuild_guard"], prepare=False)
                conn.execute(q["rebuild_begin"], {"next_field_id": FIRST_FIELD_ID})
            return False

        return self._connections.run("begin to rebuild the catalog", work)

    def files(self) -> Iterator[tuple[str, int, int]]:
        """Yield the files that were added: path, bytes, rows."""
        yield from ((path, size, rows) for _, path, size, rows in self._paged("rebuilt_files", 0))

    def versions(self) -> Iterator[UUID]:
        """Yield the versions of results that were added."""
        yield from (row[0] for row in self._paged("rebuilt_versions", UUID(int=0)))

    def tables(self) -> dict[str, LakeTable]:
        """Return the tables that were added so far."""
        return self._connections.run("read the lake's tables", columns.read_tables)

    def add_files(
        self,
        files: Sequence[NewFile],
        held: Sequence[commits.Holding],
        dead: Sequence[tuple[str, str]],
        tables: Iterable[LakeTable],
    ) -> None:
        """Add data files and what lies in them.

        Args:
            held: what each result has of them.
            dead: path and task id of rows that are of no known version.
            tables: the lake tables that are new, or have columns that are new or changed, with those columns.
        """
        q = queries()

        def work(conn: Connection) -> None:
            with self._writing(conn), pipelined(conn):
                for table in tables:
                    conn.execute(q["restore_table"], {"name": table.name, "key": table.key})
                    for column in table.columns:
                        conn.execute(q["restore_column"], columns.row_of(table.name, column))
                commits.insert_files(conn, files, held)
                _mark_dead(conn, dead)

        self._connections.run("add data files", work)

    def held(self, write_ids: Sequence[UUID]) -> list[Held]:
        """Return what lies where of versions of results."""
        query, given = queries()["spans_of_versions"], {"write_ids": list(write_ids)}
        rows = self._connections.run(
            "locate results", lambda conn: conn.execute(query, given, prepare=False).fetchall()
        )
        return [Held(row[0], RowSpan(*row[1:8]), row[8]) for row in rows]

    def add_versions(
        self,
        alive: Sequence[NewResult],
        gone: Sequence[Gone],
        dead: Sequence[tuple[str, str]],
        copies: Sequence[tuple[UUID, str]],
        empty: Sequence[tuple[UUID, str]],
    ) -> None:
        """Add versions of results, and say which rows are not theirs to show.

        Args:
            dead: path and task id of rows that are dead where their file is alive.
            copies: version and path of rows of living results that stand elsewhere too.
            empty: version and path of results that have no rows in a file that is named by them.
        """
        q = queries()

        def work(conn: Connection) -> None:
            with self._writing(conn), pipelined(conn):
                if gone:
                    conn.execute(q["stage_gone"], prepare=False)
                    for each in gone:
                        conn.execute(q["insert_gone"], commits.result_row(each.result, None), prepare=False)
                    for reason in ("deleted", "replaced"):
                        ids = [each.result.info.write_id for each in gone if each.reason == reason]
                        conn.execute(q["archive_gone"], {"write_ids": ids, "reason": reason}, prepare=False)
                for result in alive:
                    conn.execute(q["insert_result"], commits.result_row(result, None))
                commits.insert_stats(conn, [*(each.result for each in gone), *alive])
                _mark_dead(conn, dead)
                for name, spans in (("insert_empty_spans", empty), ("drop_spans", copies)):
                    if spans:
                        paths = [path for _, path in spans]
                        given = {"write_id": [version for version, _ in spans], "span_path": paths}
                        conn.execute(q[name], given | commits.at_paths(paths), prepare=False)

        self._connections.run("add results", work)

    def end(self, next_field_id: int, counter: int) -> None:
        """Let go the files that no living result needs, and open the catalog to all.

        Args:
            counter: how far the lost catalog had come.
        """
        q = queries()
        after = 0

        def page(conn: Connection) -> int | None:
            with self._writing(conn):
                row = conn.execute(q["next_files"], {"after": after, "limit": _PAGE}).fetchone()
                last: int | None = row[0] if row else None
                if last is not None:
                    given = {"after": after, "last": last}
                    conn.execute(q["let_unneeded_files_go"], given, prepare=False)
                    conn.execute(q["forget_dead_rows_of_let_go"], given, prepare=False)
                return last

        while (last := self._connections.run("let files go", page)) is not None:
            after = last

        def work(conn: Connection) -> None:
            with self._writing(conn):
                row = conn.execute(q["rebuild_state"]).fetchone()
                if row is not None and row[0] == "rebuilding":
                    conn.execute(q["rebuild_unguard"])
                    conn.execute(q["rebuild_end"], {"next_field_id": next_field_id, "counter": counter})

        self._connections.run("end the rebuild", work)

    @contextmanager
    def _writing(self, conn: Connection) -> Iterator[None]:
        """A transaction that may change a catalog which is being rebuilt."""
        q = queries()
        with conn.transaction():
            conn.execute(q["durable"])
            conn.execute(q["rebuild_pass"])
            yield

    def _paged(self, query: str, first: Any) -> Iterator[tuple[Any, ...]]:
        statement, given = queries()[query], {"after": first, "limit": _PAGE}
        while page := self._connections.run(
            "look up what was rebuilt", lambda conn: conn.execute(statement, given).fetchall()
        ):
            yield from page
            given["after"] = page[-1][0]


def _held(conn: Connection) -> bool:
    """Whether a session is that of the only rebuild; one that was killed a moment ago may seem to live."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        row = conn.execute(queries()["hold_rebuild"]).fetchone()
        if (row is not None and row[0]) or time.monotonic() > deadline:
            return row is not None and bool(row[0])
        time.sleep(0.05)


def _mark_dead(conn: Connection, dead: Sequence[tuple[str, str]]) -> None:
    if dead:
        conn.execute(queries()["insert_dead_rows"], commits.dead_rows(dead), prepare=False)
