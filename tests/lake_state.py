"""What a lake must be at any moment: every result whole and exact, seen alike by library, SQL and other tools."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from lakestore import Lake
from lakestore.maintenance.sync import sync
from lakestore.maintenance.vacuum import vacuum

TABLES = ("signals", "trades")
"""The record tables of `document`."""


def document(task_id: str, version: int = 0, *, strategy: str = "sma", rows: int = 5, day: str | None = None) -> bytes:
    """A small result as JSON; every number in it tells which result and version it belongs to.

    Args:
        day: of `created_at`; one of two if None.
    """
    seed = int.from_bytes(sha256(f"{task_id}/{version}".encode()).digest()[:4], "big")
    value = {
        "strategy": strategy,
        "task": task_id,
        "version": version,
        "created_at": f"{day or f'2024-05-{1 + seed % 2:02}'}T07:08:09Z",
        "params": {"seed": seed},
        "signals": [
            {"n": n, "price": round(seed / 7 + n / 4, 2), "side": "buy" if n % 2 else None} for n in range(rows)
        ],
        "trades": [{"n": n, "pnl": (seed % 1000 - n) / 8} for n in range(rows // 2)],
    }
    return json.dumps(value, indent=2).encode()


def saved(lake: Lake) -> dict[str, bytes]:
    """Every result by `task_id`, loaded and rebuilt."""
    return {info.task_id: lake.load(info.task_id).to_json() for info in lake.results(limit=1_000_000)}


def check(lake: Lake, expected: Mapping[str, bytes]) -> None:
    """Assert that the lake holds exactly these documents of `document`, whoever looks."""
    infos = {info.task_id: info for info in lake.results(limit=1_000_000)}
    assert infos.keys() == expected.keys(), f"{sorted(infos)} are listed, {sorted(expected)} expected"
    for task_id, text in expected.items():
        result = lake.load(task_id)
        assert result.to_json() == text, task_id
        assert result.document == json.loads(text), task_id
        assert infos[task_id].sha256 == sha256(text).hexdigest()
    assert sorted(lake.sql("SELECT task_id FROM results").fetchall()) == sorted((task_id,) for task_id in expected)
    known = lake.tables()
    for table, wanted in rows(expected).items():
        if table in known:
            assert lake.sql(ROWS.format(table=table)).fetchall() == wanted, table
        else:
            assert not wanted, table


ROWS = "SELECT * EXCLUDE (strategy, run_date) FROM {table} ORDER BY task_id, n"
"""What `rows` gives, in SQL."""


def rows(expected: Mapping[str, bytes]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each record table of these documents of `document`, in order."""
    found: dict[str, list[tuple[Any, ...]]] = {table: [] for table in TABLES}
    for task_id, text in sorted(expected.items()):
        value = json.loads(text)
        for table in TABLES:
            found[table] += [(task_id, *record.values()) for record in value[table]]
    return found


def check_files(root: Path, seen: set[str] | None = None) -> None:
    """Assert that DuckDB can read every data file below a lake, those let go included, by nothing but a glob.

    Args:
        seen: files that were read already (they never change): only others are read, and added.
    """
    with duckdb.connect() as con:
        # A table's folder is made before its first file.
        for table in sorted({path.parent.parent.parent.name for path in root.glob("[!_]*/*/*/*.parquet")}):
            pattern = f"{root}/{table}/*/*/*.parquet"
            names = [name for (name,) in con.execute("FROM glob(?)", [pattern]).fetchall()]
            new = names if seen is None else [name for name in names if name not in seen]
            if new:
                # Every value is decoded, and nothing is asked of a file's columns but that they are there.
                options = "union_by_name = true, hive_partitioning = false"
                con.execute(f"SELECT sum(hash(COLUMNS(*))) FROM read_parquet(?, {options})", [new]).fetchall()
            if seen is not None:
                seen.update(new)


def unknown_files(lake: Lake) -> set[str]:
    """Files of a lake that its catalog knows neither as live nor as let go; the lake's own folder left out."""
    with psycopg.connect(lake.conninfo) as conn:
        known = {path for (path,) in conn.execute("SELECT path FROM data_files").fetchall()}
    there = (path.relative_to(lake.root) for path in lake.root.rglob("*") if path.is_file())
    return {path.as_posix() for path in there if path.parts[0] != "_lakestore"} - known


def backdate(lake: Lake) -> None:
    """Make every data file and leftover of a lake look old, so that vacuum takes what is nobody's."""
    then = time.time() - timedelta(days=2).total_seconds()
    for path in lake.root.glob("[!_]*/**/*"):
        if path.is_file():
            os.utime(path, (then, then))


def tidy(lake: Lake, *, keep: timedelta = timedelta()) -> None:
    """Return a lake in which nobody works to clean, and assert that: nothing is left that nobody needs.

    Args:
        keep: what was let go since then stays.
    """
    backdate(lake)
    harm = [found for found in sync(lake, deep=True) if found.is_harm]
    assert not harm, harm
    vacuum(lake, older_than=keep)
    odd = list(sync(lake))
    assert not odd, odd
    left = unknown_files(lake)
    assert not left, f"vacuum left {left}"
    if not keep:
        there = {path.relative_to(lake.root).as_posix() for path in lake.root.glob("[!_]*/**/*") if path.is_file()}
        live = {file.path for file in lake.files()}
        assert there == live, f"beside the live files there are {there - live}, and {live - there} are missing"


def settled(lake: Lake, before: Mapping[str, bytes], after: Mapping[str, bytes], *, whole: bool) -> dict[str, bytes]:
    """What a lake holds after work that may or may not be done: each result as before or as after.

    Args:
        whole: all of the work was done or none of it.
    """
    found = saved(lake)
    for task_id in found.keys() | before.keys() | after.keys():
        assert found.get(task_id) in (before.get(task_id), after.get(task_id)), f"{task_id} is neither old nor new"
    assert not whole or found in (before, after), "a part of the work is visible"
    return found
