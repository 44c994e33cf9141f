"""DuckDB connections over a snapshot of the lake: its tables and `results` as views."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from lakestore.catalog.lazy import LazyTable
from lakestore.catalog.snapshot import RESULTS_SCHEMA, Snapshot
from lakestore.codec.statistics import by_symbol, stats
from lakestore.errors import QueryError
from lakestore.layout import BY_SYMBOL, CATALOG_NAME, FROM_CATALOG, RESULTS, RUN_STATS
from lakestore.model import LakeTable, LiveFile
from lakestore.query import guard, intact, prune
from lakestore.query.constants import Params
from lakestore.query.failures import translated
from lakestore.query.instance import Instance, start
from lakestore.query.prune import Needs
from lakestore.query.sqltypes import identifier
from lakestore.query.tree import parse
from lakestore.query.views import lake_root, view_sql

_FROM_CATALOG = {RESULTS: RESULTS_SCHEMA, RUN_STATS: stats.SCHEMA, BY_SYMBOL: by_symbol.SCHEMA}
_OWN = ("task_id", "strategy", "run_date")
_INCOMING = "_lakestore_incoming"


def connect(root: Path, snapshot: Snapshot, *, config: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB connection that sees the snapshot: every lake table as a view, and `results`.

    Cursors of the connection see the same. The time zone is UTC, no extension is ever downloaded, and spilled data
    goes to a folder of this user's in the system's temporary directory. Whoever calls closes it.

    Args:
        root: the lake's root directory.
        snapshot: the live files, the tables and the results.
        config: DuckDB settings (`memory_limit`, `threads`, …), which win over the ones said above.

    Raises:
        QueryError: a setting is not known, or a view cannot be made.
    """
    con = start(config or {})
    try:
        refresh(con, root, snapshot)
    except BaseException:
        con.close()
        raise
    return con


def refresh(con: duckdb.DuckDBPyConnection, root: Path, snapshot: Snapshot) -> None:
    """Show another snapshot on a connection: all views change at once, or none does.

    Raises:
        QueryError: a transaction is open on the connection, or a table of the user's has a view's name.
    """
    _check(root, snapshot)
    try:
        # A failing BEGIN would end the user's transaction. Inside one, its id stays the same.
        now = "SELECT txid_current()"
        if con.execute(now).fetchall() == con.execute(now).fetchall():
            raise QueryError("a transaction is open on this connection: commit it or roll it back, then refresh")
        con.execute("BEGIN TRANSACTION")
        try:
            _create(con, root, snapshot, late=True)
            con.execute("COMMIT")
        except BaseException:
            con.execute("ROLLBACK")
            raise
    except duckdb.Error as exc:
        raise QueryError(f"the views of the lake were not renewed: {exc}; rename what is in the way") from exc


def run(
    root: Path,
    snapshot_source: Callable[[Needs], Snapshot],
    sql: str,
    params: Params = None,
    *,
    untrusted: bool = False,
    limits: guard.Limits = guard.DEFAULT,
    instance: Instance | None = None,
) -> duckdb.DuckDBPyRelation:
    """The answer to one SELECT, as a DuckDB relation that keeps what it needs alive.

    A trusted statement is evaluated when the relation is used; an untrusted one before this returns, within its limits.

    Args:
        root: the lake's root directory.
        snapshot_source: gives the files that a statement of these needs can read; more does no harm.
        sql: one statement: SELECT, FROM, WITH, VALUES, DESCRIBE, SUMMARIZE, SHOW; when trusted also EXPLAIN and PIVOT.
        params: values for `?`, `$1` (a sequence) or `$name` (a mapping).
        untrusted: the text comes from outside: it can read live rows and nothing else.
        limits: for untrusted statements.
        instance: a DuckDB that trusted statements share; a new one where none is given.

    Raises:
        QueryError: the SQL is not valid, names what is not there, is not allowed, or exceeds its limits.
        CorruptFileError: a data file is missing or damaged.
    """
    if params is not None and (isinstance(params, str | bytes) or not isinstance(params, Sequence | Mapping)):
        raise QueryError(
            f"params are a list (for ? and $1) or a dict (for $name), not {type(params).__name__}; one value is [value]"
        )
    shared = instance or Instance()
    con = start({**guard.CONFIG, **limits.config()}) if untrusted else shared.parser()
    needs: Needs | None = None
    snapshot: Snapshot | None = None
    try:
        guard.one_query(con, sql, untrusted=untrusted)
        tree = parse(con, sql)
        needs = prune.needed(con, tree, params)
        snapshot = snapshot_source(needs)
        if CATALOG_NAME in snapshot.tables:
            needs = prune.needed(con, tree, params, other_name=False)
            snapshot = snapshot_source(needs)
        tables = _names(snapshot)
        if untrusted:
            guard.check(tree, tables)
        names = needs.only(tables)
        if untrusted:
            _check(root, snapshot, names)
            con.execute("SET python_enable_replacements = false")
            _create(con, root, snapshot, names, needs.named)
            guard.lock(con, _paths(root, snapshot))
        else:
            con.close()
            con = _shown(shared, root, snapshot, names, needs.named)

        def answer() -> duckdb.DuckDBPyRelation:
            return guard.answer(con, sql, tree, params, limits) if untrusted else con.sql(sql, params=params)

        try:
            return answer()
        except duckdb.BinderException:
            if needs.named is None:
                raise
            # What it misses may be a column like one that the views do not show: the message is to name that.
            if untrusted:
                _create(con, root, snapshot, names)
            else:
                con.close()
                con = _shown(shared, root, snapshot, names)
            return answer()
    except (duckdb.Error, UnicodeError, RuntimeError, ValueError, TypeError) as exc:
        con.close()
        if isinstance(exc, QueryError):
            raise
        if snapshot is None:
            raise translated(exc, {}, needs, sql=sql) from exc
        raise translated(exc, _columns(snapshot), needs, _paths(root, snapshot), untrusted=untrusted) from exc
    except BaseException:
        con.close()
        raise


def _shown(
    shared: Instance,
    root: Path,
    snapshot: Snapshot,
    names: frozenset[str] | None,
    columns: Collection[str] | None = None,
) -> duckdb.DuckDBPyConnection:
    """A connection that shows a snapshot to trusted statements; `names`, `columns` as for `_create`."""
    # Also of what was looked at before: a file may be damaged at any time.
    _check(root, snapshot, names)
    if names is None:
        # They may list what there is: nothing of other statements is to be seen.
        con = start({"python_enable_replacements": "false"})
        _create(con, root, snapshot, names, columns)
        return con
    widths = {name: len(table.columns) + len(_OWN) for name, table in snapshot.tables.items()}
    return shared.filled(
        snapshot,
        (names, columns),
        lambda con: _create(con, root, snapshot, names, columns),
        keep=snapshot.kept,
        chunks={file.path: widths[file.table] for file in snapshot.files if file.table in names & widths.keys()},
    )


def _check(root: Path, snapshot: Snapshot, names: Collection[str] | None = None) -> None:
    """Refuse damaged files of the tables of these names, or of all."""
    for name, files in _files(snapshot).items():
        if names is None or name in names:
            intact.check(lake_root(root), files)


def _files(snapshot: Snapshot) -> dict[str, list[LiveFile]]:
    files: dict[str, list[LiveFile]] = {}
    for file in snapshot.files:
        files.setdefault(file.table, []).append(file)
    return files


def _create(
    con: duckdb.DuckDBPyConnection,
    root: Path,
    snapshot: Snapshot,
    names: Collection[str] | None = None,
    columns: Collection[str] | None = None,
    *,
    late: bool = False,
) -> None:
    """Make the views of these names, or all of them; of lake tables with the columns of these names, or all.

    Args:
        late: what takes long to make is made when a statement reads it, and then read as Arrow.
    """
    files = _files(snapshot)
    for name, lake_table in _record_tables(snapshot):
        if names is None or name in names:
            view = view_sql(lake_table, files.get(name, ()), root, columns)
            con.execute(f"CREATE OR REPLACE VIEW {identifier(name)} AS {view}")
    held = {RESULTS: snapshot.results, RUN_STATS: snapshot.stats, BY_SYMBOL: snapshot.by_symbol}
    for name, schema in _FROM_CATALOG.items():
        if names is None or name in names:
            table = held[name]
            if late and isinstance(table, LazyTable):
                con.from_arrow(table).create_view(name)
            else:
                # What is only listed was not asked for.
                given = table.table() if isinstance(table, LazyTable) else table
                _copy(con, name, schema.empty_table() if given is None else given)
    if CATALOG_NAME not in snapshot.tables and (names is None or CATALOG_NAME in names):
        con.execute(f"CREATE OR REPLACE VIEW {CATALOG_NAME} AS FROM {RESULTS}")


def _copy(con: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    # A table of its own: a registered Arrow table would be missing in cursors, and change under open ones.
    con.register(_INCOMING, table)
    try:
        con.execute(f"CREATE OR REPLACE TABLE {identifier(name)} AS FROM {_INCOMING}")
    finally:
        con.unregister(_INCOMING)


def _record_tables(snapshot: Snapshot) -> Iterator[tuple[str, LakeTable]]:
    """The lake tables but the lake's own: SQL has those from the catalog."""
    return ((name, table) for name, table in snapshot.tables.items() if name not in FROM_CATALOG)


def _names(snapshot: Snapshot) -> list[str]:
    return [*_columns(snapshot), CATALOG_NAME]


def _columns(snapshot: Snapshot) -> dict[str, list[str]]:
    columns = {name: schema.names for name, schema in _FROM_CATALOG.items()}
    for name, table in _record_tables(snapshot):
        columns[name] = [*_OWN, *(column.name for column in table.shown)]
    return columns


def _paths(root: Path, snapshot: Snapshot) -> list[str]:
    base = lake_root(root)
    return [f"{base}/{file.path}" for file in snapshot.files if file.table != RESULTS]
