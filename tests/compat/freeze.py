"""Freeze a small lake as this lakestore writes it: `python -m tests.compat.freeze NAME`.

Run it when the format of files changes, with the lakestore from before; what it made is kept for good, and
`test_frozen` reads it with every later one. The freqtrade document is one of `examples/`, under the licence told there.
"""

from __future__ import annotations

import gzip
import json
import math
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

import lakestore
from lakestore import Item, Lake
from lakestore.bench import generate
from lakestore.maintenance.compact import compact

LAKES = Path(__file__).parent / "lakes"
EXAMPLES = Path(__file__).parents[2] / "examples"
_AT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def freeze(name: str) -> None:
    """Make the lake `lakes/<name>`, its documents beside it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "lake"
        with lakestore.open(root, dsn="") as lake:
            _fill(lake)
            texts = {info.task_id: lake.load(info.task_id).to_json() for info in lake.results(limit=1000)}
        kept = LAKES / name
        shutil.copytree(root, kept / "lake", ignore=shutil.ignore_patterns("catalog*", "*.lock", "tmp"))
    documents = kept / "documents"
    documents.mkdir()
    for task_id, text in texts.items():
        (documents / f"{task_id}.json.gz").write_bytes(gzip.compress(text, mtime=0))


def _fill(lake: Lake) -> None:
    """Every way into the files: alone, shared, compacted, replaced, deleted, sorted, patched, from Arrow."""
    example = EXAMPLES / "freqtrade" / "backtest-result-2024-09-06_12-32-10.json.gz"
    lake.save(gzip.decompress(example.read_bytes()), task_id="freqtrade", created_at=_AT)
    lake.save(generate.typical(600, 1).text, task_id="typical")
    lake.save(_odd(), task_id="odd", strategy="a=b/策略", created_at=_AT)
    beside = [{"n": n, "x": _beside(n), "fills": [{"x": _beside(n + place)} for place in (0, 3)]} for n in range(400)]
    never = {"never": None, "nor": None}
    lake.save({"strategy": "s", "averages": [row | never for row in beside]}, task_id="beside", created_at=_AT)
    table = pa.table(
        {
            "at": pa.array([_AT, None, _AT], pa.timestamp("us", "UTC")),
            "side": pa.array(["buy", "sell", "buy"]).dictionary_encode(),
            "price": pa.array([1.5, -0.0, float("nan")]),
        }
    )
    lake.save({"n": 1}, task_id="arrow", strategy="s", created_at=_AT, tables={"signals": table})
    for outcome in lake.save_many([_small(f"shared-{n}", n) for n in range(4)]):
        assert isinstance(outcome, lakestore.ResultInfo)
    for outcome in lake.save_many([_small(f"compacted-{n}", n, strategy="c") for n in range(4)]):
        assert isinstance(outcome, lakestore.ResultInfo)
    lake.save(_small("compacted-4", 4, strategy="c").document, task_id="compacted-4")
    for done in compact(lake, strategy="c"):
        assert done.problem is None
    lake.save(_small("shared-0", 9).document, task_id="shared-0", replace=True)
    for gone in ("shared-1", "compacted-1"):
        lake.delete(gone)


def _small(task_id: str, seed: int, *, strategy: str = "s") -> Item:
    rows = [
        {"t": f"2024-05-0{1 + n}T00:00:00Z", "pnl": (seed - n) / 8, "tag": None if n % 2 else "x"} for n in range(5)
    ]
    document: dict[str, Any] = {"strategy": strategy, "created_at": _AT.isoformat(), "trades": rows, "seed": seed}
    return Item(document=json.dumps(document, indent=2).encode(), task_id=task_id)


def _beside(n: int) -> float:
    return 100 + n / 8 + (n % 3 - 1) * math.ulp(100 + n / 8)


def _odd() -> bytes:
    rows = [
        '{"n": 1, "Price": 1.10, "price": -0.0, "d": "2024-1-2"}',
        '{"n": 12345678901234567890, "Price": 2.50, "price": NaN, "d": "2024-01-02"}',
        '{"price": 1e-7, "n": "text", "Price": 3.00, "extra": {"a": [1, 2.5, null], "": {}}}',
    ]
    return b'{"trades": [' + ", ".join(rows).encode() + '], "note": "é\\u0000\\/"}\n'.encode()


if __name__ == "__main__":
    freeze(*sys.argv[1:])
