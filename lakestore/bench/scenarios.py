"""Convert and back, save and find and load, migrate: measured on a lake of its own, every answer compared."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import lakestore
from lakestore import Lake
from lakestore.bench.generate import typical
from lakestore.errors import CorruptFileError
from lakestore.migrate import migrate

T = TypeVar("T")

FILES = 100
"""Files of the last scenario, each with a tenth of the signals."""
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement: `value` in `unit`."""

    scenario: str
    step: str
    value: float | int | str
    unit: str = ""


def run(signals: int, *, dsn: str | None = None, begun: Callable[[str], object] = str) -> Iterator[Step]:
    """Measure the three scenarios on a lake in a temporary directory, which is gone afterwards.

    Args:
        signals: of a document.
        dsn: an empty database for its catalog; None: an embedded one.
        begun: is told the name of each scenario before it runs.

    Raises:
        CorruptFileError: something came back other than it was saved.
    """
    with tempfile.TemporaryDirectory(prefix="lakestore-bench-") as folder:
        root = Path(folder)
        with lakestore.open(root / "lake", dsn=dsn or "") as lake:
            for name, scenario in (("convert", _convert), ("store", _store), ("migrate", _migrate)):
                begun(name)
                for step, value, unit in scenario(lake, root, signals):
                    yield Step(name, step, value, unit)


_Steps = Iterator[tuple[str, float | int | str, str]]


def _convert(lake: Lake, root: Path, signals: int) -> _Steps:
    """A JSON text into Parquet and back: what is lost, and how much smaller it is."""
    source = typical(signals).text
    info = lake.save(source)
    back = lake.load(info.task_id).to_json()
    _same("convert", back, source)
    yield "JSON", len(source), "bytes"
    yield "in the lake", info.file_size, "bytes"
    yield "smaller by", round(100 * (1 - info.file_size / len(source)), 2), "%"
    yield "bytes lost on the way back", 0, "bytes"
    yield "kept exact by", info.fidelity.kind, ""
    lake.delete(info.task_id)


def _store(lake: Lake, root: Path, signals: int) -> _Steps:
    """The daily round: an engine saves, somebody looks for it, loads it, asks across all."""
    documents = [typical(signals, seed).value for seed in range(_ROUNDS)]
    ids = [document["task_id"] for document in documents]
    took, _ = _each(documents, lake.save)
    yield "save a dict", took, "ms"
    path = root / "beside.json"
    took, _ = _each(documents, lambda document: path.write_text(json.dumps(document, indent=2)))
    yield "(json.dump of it, indent=2, not synced)", took, "ms"
    took, found = _each(ids, lambda _: lake.results(limit=100))
    if {info.task_id for info in found[0]} != set(ids):
        raise CorruptFileError("store: the list of results is not what was saved")
    yield "list the newest 100", took, "ms"
    took, values = _each(ids, lambda task_id: lake.load(task_id).document)
    _same("store", values, documents)
    yield "load as a Python value", took, "ms"
    took, _ = _each(ids, lambda task_id: lake.load(task_id).to_json())
    yield "load as JSON text", took, "ms"
    took, tables = _each(ids, lambda task_id: lake.load(task_id).tables["signals"])
    _same("store", [len(table) for table in tables], [signals] * _ROUNDS)
    yield "load the signals as Arrow", took, "ms"
    statement = "SELECT symbol, count(*), avg(price) FROM signals GROUP BY symbol"
    took, answers = _each(ids, lambda _: lake.sql(statement).fetchall())
    _same("store", sum(row[1] for row in answers[0]), signals * _ROUNDS)
    yield f"SQL over {_ROUNDS} results", took, "ms"
    statement = "SELECT sum(sum) FROM run_stats WHERE table_name = 'trades' AND column_name = 'pnl'"
    took, answers = _each(ids, lambda _: lake.sql(statement).fetchall())
    total = math.fsum(trade["pnl"] for document in documents for trade in document["trades"])
    if documents[0]["trades"] and not math.isclose(answers[0][0][0], total, rel_tol=1e-9, abs_tol=1e-6):
        raise CorruptFileError("store: run_stats gives another sum than the documents")
    yield "sums of all results from run_stats", took, "ms"


def _migrate(lake: Lake, root: Path, signals: int) -> _Steps:
    """A folder of old files into the lake."""
    pile = root / "pile"
    pile.mkdir()
    total = 0
    for seed in range(FILES):
        source = typical(max(1, signals // 10), 1_000 + seed).text
        (pile / f"run-{seed:03}.json").write_bytes(source)
        total += len(source)
    start = time.perf_counter()
    summary = migrate(lake, [pile])
    seconds = time.perf_counter() - start
    if summary.failed or summary.results != FILES:
        raise CorruptFileError(f"migrate: {summary.results} of {FILES} files arrived")
    for seed in (0, FILES // 2, FILES - 1):
        name = f"run-{seed:03}"
        _same("migrate", lake.load(name).to_json(), (pile / f"{name}.json").read_bytes())
    yield f"{FILES} files of {max(1, signals // 10):,} signals", round(seconds, 2), "s"
    yield "JSON", total, "bytes"
    yield "smaller by", round(100 * (1 - summary.bytes_after / total), 2), "%"
    yield "speed", round(total / seconds / 1e6, 1), "MB/s"


def _each(given: list[Any], work: Callable[[Any], T]) -> tuple[float, list[T]]:
    """The median in milliseconds over what is given, and what came of each."""
    times, made = [], []
    for one in given:
        start = time.perf_counter()
        made.append(work(one))
        times.append(time.perf_counter() - start)
    return round(1e3 * median(times), 2), made


def _same(scenario: str, found: object, expected: object) -> None:
    if found != expected:
        raise CorruptFileError(f"{scenario}: what came back is not what was saved; this is a fault in lakestore")
