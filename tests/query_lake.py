"""A lake of real Parquet files without a catalog, for the tests of the query layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from lakestore.catalog.bounds import Bounds
from lakestore.catalog.snapshot import RESULTS_SCHEMA, Snapshot
from lakestore.layout import data_path
from lakestore.model import Column, LakeTable, LiveFile
from lakestore.query import Instance, Needs, prune
from lakestore.query.constants import Params
from lakestore.query.tree import parse

DAY = date(2024, 1, 2)
_DUCKDB = Instance()


def needed(sql: str, params: Params = None) -> Needs:
    """What a statement can read, by its text."""
    con = _DUCKDB.parser()
    return prune.needed(con, parse(con, sql), params)


def bounds_on(table: str, needs: Needs) -> Bounds | None:
    """The bounds on a table; None when the statement does not read it."""
    return needs.tables.get(table, Bounds() if needs.everything else None)


def stored(name: str, kind: pa.DataType, field_id: int) -> pa.Field:
    """A field as data files hold it, with its id."""
    return pa.field(name, kind, metadata={b"PARQUET:field_id": str(field_id).encode()})


def column(field_id: int, name: str, kind: str, parent: int | None = None) -> Column:
    """A column of the catalog; what its key was does not matter to queries."""
    return Column(field_id, parent, f'"{name}"', name, kind)  # type: ignore[arg-type]


@dataclass
class QueryLake:
    """A root directory, lake tables, and the files written so far."""

    root: Path
    tables: dict[str, LakeTable] = field(default_factory=dict)
    files: list[LiveFile] = field(default_factory=list)
    results: pa.Table | None = field(default_factory=RESULTS_SCHEMA.empty_table)

    def table(self, name: str, *columns: Column) -> None:
        """Declare a lake table."""
        self.tables[name] = LakeTable(name, f'"{name}"', columns)

    def write(
        self,
        table: str,
        fields: Sequence[pa.Field],
        columns: Sequence[object],
        *,
        task_ids: Sequence[str],
        strategy: str = "sma",
        run_date: date = DAY,
        dead: tuple[str, ...] = (),
        options: Mapping[str, object] | None = None,
    ) -> LiveFile:
        """Write one data file; `task_ids` is its first column."""
        path = data_path(table, strategy, run_date, uuid4())
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        schema = pa.schema([stored("task_id", pa.string(), 1), *fields])
        arrays = [
            values if isinstance(values, pa.Array) else pa.array(values, f.type)
            for f, values in zip(schema, [list(task_ids), *columns], strict=True)
        ]
        chosen = {"compression": "zstd", "store_schema": False, "store_decimal_as_integer": True, **(options or {})}
        pq.write_table(pa.table(arrays, schema=schema), target, **chosen)
        file = LiveFile(table, path, strategy, run_date, len(task_ids), target.stat().st_size, dead)
        self.files.append(file)
        return file

    def kill(self, file: LiveFile, *task_ids: str) -> None:
        """Declare rows of a file dead."""
        self.files[self.files.index(file)] = replace(file, dead=task_ids)

    def snapshot(self) -> Snapshot:
        """All that is there now."""
        return Snapshot(tuple(self.files), dict(self.tables), self.results)

    def pruned(self, seen: list[LiveFile] | None = None) -> Callable[[Needs], Snapshot]:
        """A snapshot source that gives only what is needed, as a catalog may; `seen` takes the files given."""

        def source(needs: Needs) -> Snapshot:
            kept = [file for file in self.files if self._wanted(file, needs)]
            if seen is not None:
                seen.extend(kept)
            return replace(self.snapshot(), files=tuple(kept))

        return source

    @staticmethod
    def _wanted(file: LiveFile, needs: Needs) -> bool:
        bounds = bounds_on(file.table, needs)
        return (
            bounds is not None
            and (bounds.strategies is None or file.strategy in bounds.strategies)
            and (bounds.first_date is None or file.run_date >= bounds.first_date)
            and (bounds.last_date is None or file.run_date <= bounds.last_date)
        )
