"""Everything that a lake answers, to be compared before and after something that must not change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lakestore import Lake, LakeTable, ResultInfo
from lakestore.layout import FROM_CATALOG


@dataclass(frozen=True, slots=True)
class Answers:
    """Results page by page, documents, the rows of every table, the live files, the tables."""

    results: list[ResultInfo]
    documents: dict[str, bytes]
    rows: dict[str, tuple[list[str], list[tuple[Any, ...]]]]
    files: list[tuple[Any, ...]]
    tables: dict[str, LakeTable]


def answers(lake: Lake) -> Answers:
    """All that a lake answers; each result's entry and document are looked up alone too."""
    results: list[ResultInfo] = []
    while page := lake.results(limit=7, after=results[-1] if results else None):
        results += page
    for info in results:
        assert lake.info(info.task_id) == info
    rows = {}
    for name in [*FROM_CATALOG, *lake.tables()]:
        found = lake.sql(f'SELECT * FROM "{name}" ORDER BY ALL')
        rows[name] = (found.columns, [tuple(map(repr, row)) for row in found.fetchall()])
    return Answers(
        results,
        {info.task_id: lake.load(info.task_id).to_json() for info in results},
        rows,
        sorted((f.table, f.path, f.strategy, f.run_date, f.rows, f.bytes, f.dead) for f in lake.files()),
        lake.tables(),
    )
