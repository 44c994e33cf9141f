"""A view of the whole catalog at one instant: what readers build their tables from."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv

from lakestore.catalog import columns, skipping
from lakestore.catalog.bounds import UNBOUNDED, Bounds
from lakestore.catalog.connect import Connection, Connections, pipelined
from lakestore.catalog.lazy import LazyTable
from lakestore.catalog.sql import queries
from lakestore.codec.statistics import by_symbol, stats
from lakestore.errors import CatalogError
from lakestore.layout import BY_SYMBOL, RUN_STATS
from lakestore.model import LakeTable, LiveFile

_TIME: Final = pa.timestamp("us", tz="UTC")
# In the order of the query copy_results: as they come, and as they are handed out.
_COLUMNS: Final = (
    ("task_id", pa.string(), pa.string()),
    ("strategy", pa.string(), pa.string()),
    ("strategies", pa.string(), pa.list_(pa.string())),
    ("status", pa.string(), pa.string()),
    ("created_at", pa.int64(), _TIME),
    ("run_date", pa.int32(), pa.date32()),
    ("file_size", pa.int64(), pa.int64()),
    ("json_size", pa.int64(), pa.int64()),
    ("profile", pa.string(), pa.string()),
    ("fidelity", pa.string(), pa.string()),
    ("fidelity_bytes", pa.int64(), pa.int64()),
    ("sha256", pa.string(), pa.string()),
    ("saved_at", pa.int64(), _TIME),
    ("params", pa.string(), pa.string()),
    ("metrics", pa.string(), pa.string()),
    ("tables", pa.string(), pa.string()),
    ("write_id", pa.string(), pa.string()),
)
RESULTS_SCHEMA: Final = pa.schema([(name, out) for name, _, out in _COLUMNS])
"""Schema of the live results; `params`, `metrics` and `tables` are JSON texts, `sha256` is hexadecimal."""
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The live files, the lake tables and, if asked for, the live results (newest first) and their statistics.

    `kept`: the next reader may be given the very same one.
    """

    files: tuple[LiveFile, ...]
    tables: Mapping[str, LakeTable]
    results: pa.Table | None
    stats: pa.Table | None = None
    by_symbol: LazyTable | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader asks of the catalog.

    Attributes:
        tables: the lake tables whose files are wanted, with bounds on their rows; None: all files.
        results: bounds on the results that are wanted; None: none are.
        stats, by_symbol: bounds on the results whose statistics are wanted, and those by symbol; None: of none.
        columns: of `params`, `metrics` and `tables` of the results those that are wanted; others are null.
    """

    tables: Mapping[str, Bounds] | None = None
    results: Bounds | None = UNBOUNDED
    stats: Bounds | None = None
    by_symbol: Bounds | None = None
    columns: frozenset[str] = frozenset({"params", "metrics", "tables"})

    def statistics(self) -> Iterator[tuple[str, Bounds]]:
        """The tables of statistics that are wanted, with their bounds."""
        for name, bounds in ((RUN_STATS, self.stats), (BY_SYMBOL, self.by_symbol)):
            if bounds is not None:
                yield name, bounds


EVERYTHING: Final = Wanted()


def read(
    connections: Connections, wanted: Wanted, known: columns.KnownTables, intervals: skipping.Intervals
) -> tuple[str | None, Snapshot]:
    """Return a snapshot from one read-only transaction, and the catalog's version; see `Catalog.snapshot`."""
    q = queries()
    telling = {
        name: bounds.numbers
        for name, bounds in (wanted.tables or {}).items()
        # A few results are read as soon as told apart.
        if bounds.numbers and bounds.task_ids is None
    }

    def work(conn: Connection) -> tuple[str | None, Snapshot]:
        with pipelined(conn):
            conn.execute(q["begin_snapshot"], prepare=False)
            version = conn.execute(q["version"])
            counter = conn.execute(q["schema_counter"])
            files = list(_files(conn, wanted.tables))
            numbers = {name: _ask_stats(conn, name, bounds) for name, bounds in wanted.statistics()}
            whole = wanted.results is None and not telling
            if whole:
                # All in one round trip.
                conn.execute(q["commit"], prepare=False)
        rows = [row for cursor in files for row in cursor.fetchall()]
        # Read after the files, they may be younger: columns are only added, and types only widened.
        tables = known.tables(conn, columns.counter_of(counter.fetchone()))
        excluded = frozenset[str]()
        for name in telling.keys() & tables.keys():
            of_table = [skipping.File(row[1], row[7], row[4]) for row in rows if row[0] == name]
            excluded |= intervals.excluded(conn, tables[name], telling[name], of_table)
        live = tuple(
            LiveFile(table, path, strategy, run_date, count, size, tuple(dead or ()))
            for table, path, strategy, run_date, count, size, dead, _ in rows
            if path not in excluded
        )
        found = None if wanted.results is None else _results(conn, wanted.results, wanted.columns)
        if not whole:
            conn.execute(q["commit"], prepare=False)
        told = {name: cursor.fetchone() or () for name, cursor in numbers.items()}
        made = Snapshot(
            live,
            tables,
            found,
            None if wanted.stats is None else _stats(told[RUN_STATS], tables, wanted.stats),
            None if wanted.by_symbol is None else _stats_by_symbol(told[BY_SYMBOL], tables, wanted.by_symbol),
        )
        return _only(version), made

    return connections.run("take a snapshot", work)


def version(connections: Connections) -> str | None:
    """What a snapshot's version is now; None where it cannot be told."""
    return connections.run("take a snapshot", lambda conn: _only(conn.execute(queries()["version"], prepare=True)))


def _only(cursor: psycopg.Cursor[tuple[Any, ...]]) -> str | None:
    ((value,),) = cursor.fetchall()
    return None if value is None else str(value)


def _files(conn: Connection, tables: Mapping[str, Bounds] | None) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
    """The live files; not prepared where bounded, for each set of bounds has a plan of its own."""
    q = queries()
    free = None if tables is None else [name for name, bounds in tables.items() if bounds == UNBOUNDED]
    if free is None or free:
        yield conn.execute(q["live_files"], {"tables": free})
    for name, bounds in (tables or {}).items():
        if bounds != UNBOUNDED:
            query = q["live_files_within" if bounds.task_ids is None else "live_files_of"]
            yield conn.execute(query, _of_table(name, bounds), prepare=False)


def _of_table(name: str, bounds: Bounds) -> dict[str, Any]:
    return {"table": name, **bounds.parameters()}


def _results(conn: Connection, bounds: Bounds, names: Collection[str]) -> pa.Table:
    parameters = {**bounds.parameters(), "columns": list(names)}
    with conn.cursor() as cursor, cursor.copy(queries()["copy_results"], parameters) as copy:
        parts = [bytes(part) for part in copy]
    return table_of(parts)


def _ask_stats(conn: Connection, name: str, bounds: Bounds) -> psycopg.Cursor[tuple[Any, ...]]:
    return conn.execute(queries()[name], bounds.parameters(), prepare=False, binary=True)


def _names(tables: Mapping[str, LakeTable], bounds: Bounds) -> dict[int, tuple[str, str]]:
    """The names of lake table and column, by field id, of the columns that statistics within these bounds are of."""
    names, own = bounds.table_names, bounds.column_names
    return {
        column.field_id: (table.name, column.name)
        for table in tables.values()
        if names is None or table.name in names
        for column in table.columns
        if own is None or column.name in own
    }


_UNPACKED: Final = 16
"""How much more a row takes than its packed one, about."""
_KEYS: Final = ("task_id", "strategy", "run_date", "table_name")


def _stats(row: Sequence[Any], tables: Mapping[str, LakeTable], bounds: Bounds) -> pa.Table:
    *keys, blobs, lengths = (value or () for value in row)
    return stats.unpacked(dict(zip(_KEYS[:-1], keys, strict=True)), bytes(blobs), lengths, _names(tables, bounds))


def _stats_by_symbol(row: Sequence[Any], tables: Mapping[str, LakeTable], bounds: Bounds) -> LazyTable:
    *keys, whole, whole_lengths, blobs, lengths = (value or () for value in row)
    make = partial(
        by_symbol.unpacked,
        dict(zip(_KEYS, keys, strict=True)),
        (bytes(whole), whole_lengths),
        (bytes(blobs), lengths),
        _names(tables, bounds),
        {own: table for own, (table, _) in _names(tables, UNBOUNDED).items()},
        bounds.symbols,
    )
    return LazyTable(by_symbol.SCHEMA, _UNPACKED * len(blobs), make)


def table_of(rows: Sequence[bytes]) -> pa.Table:
    """Return the table that the rows of `copy_results` (CSV, a row each) stand for."""
    if not rows:
        return RESULTS_SCHEMA.empty_table()
    try:
        raw = pa_csv.read_csv(
            pa.BufferReader(b"".join(rows)),
            # A row may not be longer than a block.
            read_options=pa_csv.ReadOptions(
                column_names=[name for name, _, _ in _COLUMNS],
                block_size=max(_BLOCK_BYTES, 2 * max(map(len, rows))),
            ),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            # COPY writes null as nothing and an empty text as "".
            convert_options=pa_csv.ConvertOptions(
                column_types={name: kind for name, kind, _ in _COLUMNS},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        arrays = [
            _strategies(raw) if name == "strategies" else raw.column(name).cast(kind) for name, _, kind in _COLUMNS
        ]
        return pa.table(arrays, schema=RESULTS_SCHEMA)
    except pa.ArrowException as exc:
        raise CatalogError("the catalog's list of results could not be read; this is a fault in lakestore") from exc


def _strategies(raw: pa.Table) -> pa.Array:
    """Lists of strategies: the JSON text where there are several, else the strategy alone."""
    several = raw.column("strategies")
    single = raw.column("strategy").combine_chunks()
    if several.null_count == len(several):
        return pa.ListArray.from_arrays(pa.array(range(len(single) + 1), pa.int32()), single)
    lists = [
        json.loads(text) if text is not None else [one]
        for text, one in zip(several.to_pylist(), single.to_pylist(), strict=True)
    ]
    return pa.array(lists, pa.list_(pa.string()))
