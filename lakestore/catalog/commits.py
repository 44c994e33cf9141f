"""What changes the set of live results: a save's commit, a replacement, a delete; each one transaction."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import psycopg

from lakestore import layout
from lakestore.catalog.connect import Connection, Connections
from lakestore.catalog.failures import is_storable
from lakestore.catalog.sql import queries
from lakestore.catalog.transactions import lock_key, transact
from lakestore.errors import AlreadyExistsError, ConflictError, InvalidInputError
from lakestore.model import NewFile, NewResult, Statement

_ROUNDS = 5

Holding = tuple[UUID, str, int, int]
"""What a version of a result has of a file: the version, the file's path, the first row, the rows."""


def commit(
    connections: Connections,
    results: Sequence[NewResult],
    files: Sequence[NewFile],
    *,
    replace: bool,
    also: Sequence[Statement],
) -> list[tuple[UUID, str]]:
    """Make results and their files visible at once; see `Catalog.commit`."""
    if not results:
        raise InvalidInputError("a commit without results: nothing was done")
    _validate(results, files)
    # One order for all, so that two batches never wait for each other in a circle.
    ordered = sorted(results, key=lambda result: result.info.task_id)
    what = f"commit {_named([result.info.task_id for result in ordered])}"

    def work(conn: Connection) -> tuple[dict[str, UUID], UUID | None]:
        return _work(conn, ordered, files, replace=replace, also=also)

    for _ in range(_ROUNDS):
        try:
            replaced = transact(connections, what, work, find="find_write")
            return [(write_id, task_id) for task_id, write_id in replaced.items()]
        except psycopg.errors.UniqueViolation as exc:
            if _settled(connections, what, ordered, exc, replace=replace):
                return []
    raise ConflictError(f"cannot {what}: others kept saving and deleting the same; nothing was done, try again")


def _validate(results: Sequence[NewResult], files: Sequence[NewFile]) -> None:
    paths = {file.path for file in files}
    for task_id, count in Counter(result.info.task_id for result in results).items():
        if count > 1:
            raise InvalidInputError(f"result {task_id!r} stands {count} times in one commit: give it once")
        if not is_storable(task_id):
            raise InvalidInputError(f"task_id {task_id!r} holds NUL or a lone surrogate: choose another id")
    for result in results:
        info = result.info
        for name, text in [
            ("strategy", info.strategy),
            ("status", info.status),
            *(("strategies", s) for s in info.strategies),
        ]:
            if not is_storable(text):
                raise InvalidInputError(f"result '{info.task_id}': {name} {text!r} holds NUL or a lone surrogate")
        for span in result.spans:
            if span.path not in paths:
                raise InvalidInputError(f"result '{info.task_id}' has rows in {span.path}, which is not in this commit")


def _named(task_ids: Sequence[str]) -> str:
    return f"result '{task_ids[0]}'" if len(task_ids) == 1 else f"{len(task_ids)} results ('{task_ids[0]}', …)"


def _work(
    conn: Connection,
    results: Sequence[NewResult],
    files: Sequence[NewFile],
    *,
    replace: bool,
    also: Sequence[Statement],
) -> tuple[dict[str, UUID], UUID | None]:
    q = queries()
    write_id = results[0].info.write_id
    conn.execute(q["lock_write"], {"lock": lock_key(write_id)})
    old: dict[str, UUID] = {}
    if replace:
        old = dict(conn.execute(q["lock_results"], {"task_ids": [r.info.task_id for r in results]}).fetchall())
        if _is_in(results, old):
            return {}, None
        _expect(results, old)
    gone = list(old.values())
    if gone:
        _archive(conn, gone, "replaced")
    _insert(conn, results, files, old)
    if gone:
        _release_files(conn, gone)
    for name, values in also:
        conn.execute(q[name], values)
    return old, write_id


def _is_in(results: Sequence[NewResult], live: dict[str, UUID]) -> bool:
    """Say whether the very writes are in the catalog already: an earlier call succeeded."""
    return any(live.get(result.info.task_id) == result.info.write_id for result in results)


def _expect(results: Sequence[NewResult], live: dict[str, UUID]) -> None:
    for result in results:
        if result.replaces is not None and live.get(result.info.task_id) != result.replaces:
            raise ConflictError(
                f"result '{result.info.task_id}' was replaced or deleted by somebody else first; "
                "nothing was done, load it and try again"
            )


def _insert(conn: Connection, results: Sequence[NewResult], files: Sequence[NewFile], old: dict[str, UUID]) -> None:
    q = queries()
    for result in results:
        before = old.get(result.info.task_id)
        conn.execute(q["insert_result" if before is None else "replace_result"], result_row(result, before))
    insert_stats(conn, results)
    held = [(result.info.write_id, span.path, span.first_row, span.rows) for result in results for span in result.spans]
    insert_files(conn, files, held)


def insert_stats(conn: Connection, results: Sequence[NewResult]) -> None:
    """Insert what the results' numbers amount to by symbol."""
    rows = [
        (result.info.write_id, table, packed)
        for result in results
        for table, packed in result.info.stats.by_symbol.items()
    ]
    if rows:
        names = ("write_id", "table", "by_symbol")
        given = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        conn.execute(queries()["insert_run_stats"], given)


def at_paths(paths: Iterable[str]) -> dict[str, Any]:
    """The parameters of `at_paths` in SQL, which finds files by their paths."""
    given = list(paths)
    parsed = map(layout.parse_data_path, given)
    return {"paths": given, "names": [each[3] for each in parsed if each is not None]}


def dead_rows(dead: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The parameters of `insert_dead_rows`: path and task id of rows that are dead."""
    paths = [path for path, _ in dead]
    return {"span_path": paths, "task_id": [task_id for _, task_id in dead], **at_paths(paths)}


def insert_files(conn: Connection, files: Sequence[NewFile], held: Sequence[Holding]) -> None:
    """Insert data files and what each result has of them."""
    names = {file.path: layout.name_of(file.path, file.table, file.strategy, file.run_date) for file in files}
    several = {path for path, count in Counter(path for _, path, _, _ in held).items() if count > 1}
    rows = {file.path: file.rows for file in files}
    # What a file's own name says of its rows needs no row of its own.
    whole = {
        path
        for write_id, path, first, count in held
        if path not in several and write_id == names[path] and (first, count) == (0, rows[path])
    }
    told = [row for row in held if row[1] not in whole]
    conn.execute(
        queries()["insert_files"],
        {
            "name": [names[file.path] for file in files],
            "path": [file.path if names[file.path] is None else None for file in files],
            "is_whole": [file.path in whole for file in files],
            "table": [file.table for file in files],
            "strategy": [file.strategy for file in files],
            "run_date": [file.run_date for file in files],
            "rows": [file.rows for file in files],
            "bytes": [file.bytes for file in files],
            "sha256": [file.sha256 for file in files],
            "span_write_id": [row[0] for row in told],
            "span_path": [row[1] for row in told],
            "span_first_row": [row[2] for row in told],
            "span_rows": [row[3] for row in told],
        },
    )


def result_row(result: NewResult, old: UUID | None) -> dict[str, Any]:
    """The parameters of a result's row; `old` is the version that it replaces, where it does not say."""
    info = result.info
    return {
        "task_id": info.task_id,
        "strategy": info.strategy,
        "strategies": None if info.strategies == (info.strategy,) else list(info.strategies),
        "status": info.status,
        "created_at": info.created_at,
        "file_size": info.file_size,
        "json_size": info.json_size,
        "run_date": info.run_date,
        "sha256": bytes.fromhex(info.sha256),
        "profile": info.profile,
        "fidelity": info.fidelity.kind,
        "fidelity_bytes": info.fidelity.bytes,
        "write_id": info.write_id,
        "replaces": result.replaces or old,
        "saved_at": info.saved_at,
        "tables": json.dumps(dict(info.tables), separators=(",", ":")),
        "stats": info.stats.packed or None,
        "params": result.params,
        "metrics": result.metrics,
    }


def _settled(
    connections: Connections, what: str, results: Sequence[NewResult], exc: psycopg.Error, *, replace: bool
) -> bool:
    """Say whether a uniqueness that failed means that the commit is in; False: try again.

    Raises:
        AlreadyExistsError: a task_id is taken, and is not to be replaced.
        InvalidInputError: a file or a write is in the catalog for other results.
    """
    task_ids = [result.info.task_id for result in results]
    live: dict[str, UUID] = connections.run(
        what, lambda conn: dict(conn.execute(queries()["live_writes"], {"task_ids": task_ids}).fetchall())
    )
    if _is_in(results, live):
        return True
    if exc.diag.constraint_name != "backtest_results_pkey":
        raise InvalidInputError(
            f"cannot {what}: one of its data files or writes is in the catalog for another result; "
            "nothing was done, give new ids"
        ) from exc
    if live and not replace:
        raise AlreadyExistsError(
            f"already in the lake with other content: {_named(list(live))}; "
            "nothing was done, choose another task_id or replace what is there"
        ) from exc
    return False


def delete(connections: Connections, task_id: str, *, only: UUID | None = None) -> UUID | None:
    """Let a result go and return the write that was live; see `Catalog.delete`."""
    if not is_storable(task_id):
        return None
    q = queries()

    def work(conn: Connection) -> tuple[UUID | None, UUID | None]:
        found = conn.execute(q["lock_results"], {"task_ids": [task_id]}).fetchone()
        if found is None or only not in (None, found[1]):
            return None, None
        write_id: UUID = found[1]
        conn.execute(q["lock_write"], {"lock": lock_key(write_id)})
        _archive(conn, [write_id], "deleted")
        conn.execute(q["remove_results"], {"write_ids": [write_id]})
        _release_files(conn, [write_id])
        return write_id, write_id

    return transact(connections, f"delete result '{task_id}'", work, find="find_let_go")


def _archive(conn: Connection, write_ids: list[UUID], reason: str) -> None:
    """Keep the live rows of results that are about to go, their files locked."""
    q = queries()
    # Not prepared, here and below: a plan kept since the catalog was empty would walk all files.
    conn.execute(q["lock_files"], {"write_ids": write_ids}, prepare=False)
    conn.execute(q["archive_results"], {"write_ids": write_ids, "reason": reason}, prepare=False)


def _release_files(conn: Connection, write_ids: list[UUID]) -> None:
    """Let the files of results that have gone go too; what others need of them stays, with dead rows."""
    q = queries()
    conn.execute(q["let_files_go"], {"write_ids": write_ids}, prepare=False)
    conn.execute(q["mark_dead_rows"], {"write_ids": write_ids}, prepare=False)
