"""Save the shipped backtest results in a new lake, ask SQL across them, and get one back byte for byte.

    python examples/demo.py [FOLDER]

FOLDER is made anew each time; it stays, so that you can go on with `lakestore --lake FOLDER sql …`.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
import time
from pathlib import Path

import lakestore

HERE = Path(__file__).parent
# investing-algorithm-framework names no strategy in its files, so one is given.
STRATEGIES = {"iaf": "moving-average"}

QUERY = """
    SELECT strategy, count(*) AS trades, round(avg(profit_ratio) * 100, 2) AS avg_profit_pct,
           round(sum(profit_abs), 2) AS profit, max(trade_duration) AS longest_minutes
    FROM trades
    WHERE profit_ratio IS NOT NULL
    GROUP BY strategy ORDER BY profit DESC
"""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(folder: Path) -> None:
    if (folder / "_lakestore").is_dir():
        shutil.rmtree(folder)
    started = time.perf_counter()
    with lakestore.open(folder) as lake:
        print(f"a new lake in {folder}, its catalog a PostgreSQL of its own ({time.perf_counter() - started:.1f} s)\n")

        originals: dict[str, tuple[Path, bytes]] = {}
        for path in sorted(HERE.glob("*/*.json.gz")):
            text = gzip.decompress(path.read_bytes())
            info = lake.save(text, strategy=STRATEGIES.get(path.parent.name))
            originals[info.task_id] = (path, text)
            rows = sum(info.tables.values())
            print(
                f"saved {path.relative_to(HERE)!s:56} {info.profile:9} {rows:>7,} rows  "
                f"{info.json_size:>10,} B of JSON in {info.file_size:>9,} B"
            )

        print(f"\nSQL across all of them:\n{QUERY.rstrip()}\n")
        print(lake.sql(QUERY))

        task_id, (path, text) = max(originals.items(), key=lambda item: len(item[1][1]))
        loaded = lake.load(task_id).to_json()
        print(f"{path.name}, {len(text):,} bytes\n  as the engine wrote it  {sha256(text)}")
        print(f"  as the lake gives it    {sha256(loaded)}")
        if any(lake.load(task_id).to_json() != text for task_id, (_, text) in originals.items()):
            sys.exit("error: a document came back changed")
        print(f"\nall {len(originals)} documents came back byte for byte; {time.perf_counter() - started:.1f} s in all")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".demo/lake"))
