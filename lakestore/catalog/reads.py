"""What the catalog tells of results: one, where its rows are, or a page of them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from lakestore.catalog.connect import Connection, Connections
from lakestore.catalog.failures import is_storable
from lakestore.catalog.sql import page_of, queries
from lakestore.errors import InvalidInputError
from lakestore.model import ResultDigest, ResultInfo, RowSpan, info_of

_INFO_COLUMNS = 17


def get(connections: Connections, task_id: str) -> ResultInfo | None:
    """Return what the catalog knows of a live result, None if there is none."""
    if not is_storable(task_id):
        return None
    query = queries()["result"]

    def work(conn: Connection) -> tuple[Any, ...] | None:
        return conn.execute(query, {"task_id": task_id}, binary=True).fetchone()

    row = connections.run(f"look up result '{task_id}'", work)
    return None if row is None else info_of(row)


def get_many(connections: Connections, task_ids: Sequence[str]) -> dict[str, ResultInfo]:
    """Return what the catalog knows of those of the results that are live, by task id."""
    wanted = [task_id for task_id in task_ids if is_storable(task_id)]
    if not wanted:
        return {}

    def work(conn: Connection) -> list[tuple[Any, ...]]:
        return conn.execute(queries()["results_of"], {"task_ids": wanted}).fetchall()

    found = map(info_of, connections.run(f"look up {len(wanted)} results", work))
    return {info.task_id: info for info in found}


def digests(connections: Connections, strategy: str | None) -> list[ResultDigest]:
    """Return the digests of all live results, or of those with a strategy, in no order."""
    if strategy is not None and not is_storable(strategy):
        return []
    query = queries()["digests"]
    rows = connections.run("compare results", lambda conn: conn.execute(query, {"strategy": strategy}).fetchall())
    return [ResultDigest(*row) for row in rows]


def locate(connections: Connections, task_id: str) -> tuple[ResultInfo, tuple[RowSpan, ...]] | None:
    """Return a live result with the live rows it has, in order of table and file; None if there is none."""
    if not is_storable(task_id):
        return None
    query = queries()["result_with_spans"]

    def work(conn: Connection) -> tuple[Any, ...] | None:
        return conn.execute(query, {"task_id": task_id}, binary=True).fetchone()

    row = connections.run(f"locate result '{task_id}'", work)
    if row is None:
        return None
    # Without any rows the arrays are null.
    spans = [array or () for array in row[_INFO_COLUMNS:]]
    return info_of(row[:_INFO_COLUMNS]), tuple(RowSpan(*span) for span in zip(*spans, strict=True))


def results(
    connections: Connections,
    *,
    strategy: str | None,
    status: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: tuple[datetime, str] | None,
    details: bool,
) -> list[ResultInfo]:
    """Return one page of live results, newest first; see `Catalog.results`."""
    limit = check_limit(limit)
    if not all(is_storable(text) for text in (strategy, status) if text is not None):
        return []
    if after is not None and not is_storable(after[1]):
        raise InvalidInputError(
            f"after: task_id {after[1]!r} holds NUL or a lone surrogate; give one of a listed result"
        )
    if strategy is not None:
        name = "results_by_strategy"
    else:
        name = "results" if status is None else "results_by_status"
    parameters = {
        "strategy": strategy,
        "status": status,
        "since": _utc(since),
        "until": _utc(until),
        "after_time": _utc(after[0]) if after else None,
        "after_id": after[1] if after else None,
        "details": details,
    }
    given = {key: value for key, value in parameters.items() if value is not None}
    query = page_of(name, frozenset(given), limit)
    rows = connections.run("list results", lambda conn: conn.execute(query, given, binary=True).fetchall())
    return list(map(info_of, rows))


def check_limit(limit: int) -> int:
    """How many results a page may have.

    Raises:
        InvalidInputError: it is no whole number, as None, or negative.
    """
    try:
        number = operator.index(limit)
    except TypeError as exc:
        raise InvalidInputError(f"limit {limit!r} is not a whole number: give how many results to return") from exc
    if number < 0:
        raise InvalidInputError(f"limit {number} is negative: give how many results to return")
    return number


def _utc(time: datetime | None) -> datetime | None:
    """A time without zone is UTC."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time
