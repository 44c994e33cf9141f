"""What the catalog tells of results: one, where its rows are, or a page of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

from lakestore.catalog.connect import Connection, Connections
from lakestore.catalog.failures import is_storable
from lakestore.catalog.sql import page_of, queries
from lakestore.errors import InvalidInputError
from lakestore.model import Fidelity, ResultDigest, ResultInfo, RowSpan

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
    if limit < 0:
        raise InvalidInputError(f"limit {limit} is negative: give how many results to return")
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
    return [info_of(row) for row in rows]


def _utc(time: datetime | None) -> datetime | None:
    """A time without zone is UTC."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _setter(name: str) -> Callable[[ResultInfo, Any], None]:
    return cast("Callable[[ResultInfo, Any], None]", getattr(ResultInfo, name).__set__)


_task_id, _strategy, _status, _created_at = map(_setter, ("task_id", "strategy", "status", "created_at"))
_file_size, _json_size, _run_date, _strategies = map(_setter, ("file_size", "json_size", "run_date", "strategies"))
_sha256, _profile, _fidelity, _write_id = map(_setter, ("sha256", "profile", "fidelity", "write_id"))
_saved_at, _texts, _stats = map(_setter, ("saved_at", "texts", "stats"))


def info_of(row: Sequence[Any]) -> ResultInfo:
    """Return the result that a row of `result_columns` stands for; its JSON is parsed when it is looked at."""
    (
        task_id, strategy, status, created_at, file_size, json_size, run_date, strategies, sha256, profile,
        fidelity, fidelity_bytes, write_id, saved_at, tables, params, metrics,
    ) = row  # fmt: skip
    # A page makes a hundred: slot by slot takes half of what the constructor of a frozen dataclass takes.
    info = object.__new__(ResultInfo)
    _task_id(info, task_id)
    _strategy(info, strategy)
    _status(info, status)
    _created_at(info, created_at if created_at.tzinfo is UTC else created_at.astimezone(UTC))
    _file_size(info, file_size)
    _json_size(info, json_size)
    _run_date(info, run_date)
    _strategies(info, (strategy,) if strategies is None else tuple(strategies))
    _sha256(info, sha256)
    _profile(info, profile)
    _fidelity(info, _fidelity_of(fidelity, fidelity_bytes))
    _write_id(info, write_id)
    _saved_at(info, saved_at if saved_at.tzinfo is UTC else saved_at.astimezone(UTC))
    _texts(info, (tables, params, metrics))
    _stats(info, {})
    return info


_fidelity_of = lru_cache(1024)(Fidelity)
