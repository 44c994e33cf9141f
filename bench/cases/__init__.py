"""The cases: each measures stores in turns, verifies what they gave, and says what lakestore must reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.cases import loads, many, questions, saves, whole
from bench.cases.base import Bench

CASES: Mapping[str, Callable[[Bench], None]] = {
    "sizes": whole.sizes,
    "save_arrow": saves.save_arrow,
    "save_dict": saves.save_dict,
    "load_document": loads.load_document,
    "load_arrow": loads.load_arrow,
    "sql": questions.sql,
    "compacted": questions.compacted,
    "memory": questions.memory,
    "migrate": whole.migrate,
    "four_processes": saves.four_processes,
    "catalog_reads": many.catalog_reads,
    "many_files": many.many_files,
}
"""By the names that `--cases` takes; in this order."""
