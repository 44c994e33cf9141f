"""`make fuzz-parquet`: damaged data files are refused by name, and never bring the process down.

Each case damages one data file of a lake, in a child process. Then the result must not load, a query must answer
as before or refuse with an error of lakestore's, and the layers that read files before a checksum is known
(a rebuild does) must either read something or say that the file is damaged.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import lakestore
from lakestore import Lake, layout, parquet, record
from lakestore.catalog.embedded import EmbeddedServer
from lakestore.codec.envelope import Envelope
from lakestore.errors import CorruptFileError, LakestoreError, QueryError
from tests.fuzz.damage import damage
from tests.reports import put

MEMORY = 4 << 30
"""Bytes of address space that a child may take: damage must not ask for more."""
_PATIENCE = 60.0
QUERY = (
    'SELECT count(*), sum(n), sum(price), min(side), max("at"), sum(len(legs)), count(DISTINCT task_id) FROM signals'
)


def fill(lake: Lake) -> None:
    """Save one result with columns of every kind of encoding."""
    chance = random.Random(5)
    signals = [
        {
            "n": n,
            "price": round(chance.uniform(90, 110), 2),
            "score": chance.random(),
            "side": chance.choice(("buy", "sell", None)),
            "at": f"2024-03-{1 + n // 24:02}T{n % 24:02}:00:00Z",
            "legs": [{"size": chance.randrange(9)}] * (n % 3),
        }
        for n in range(300)
    ]
    lake.save({"strategy": "sma", "signals": signals, "note": "x" * 500}, task_id="victim")


@dataclass
class Found:
    """What came of the cases: how often each way of damage ended how, and what must not be."""

    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def child(root: Path, dsn: str, seed: int, first: int, cases: int, pipe: Connection) -> None:
    """Damage files, case by case; what each came to goes into the pipe."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with lakestore.open(root, dsn=dsn, create=False) as lake:
        whole = {file: lake.root / file.path for file in lake.files()}
        kept = {path: path.read_bytes() for path in whole.values()}
        answer = lake.sql(QUERY, untrusted=True).fetchall()
        for number in range(first, first + cases):
            chance = random.Random(f"{seed}/{number}")
            path = chance.choice(list(kept))
            way, data = damage(kept[path], chance)
            pipe.send(("begin", number, f"{path.parts[len(root.parts)]}: {way}"))
            path.write_bytes(data)
            try:
                pipe.send(("end", number, _case(lake, path, data, answer)))
            finally:
                path.write_bytes(kept[path])


def _case(lake: Lake, path: Path, data: bytes, answer: list[Any]) -> tuple[str, str]:
    """How SQL took it, and what went wrong, if anything did."""
    problem = ""
    try:
        lake.load("victim").to_json()
        problem = "it was loaded"
    except CorruptFileError as exc:
        if str(path) not in str(exc):
            problem = f"the error does not name the file: {exc}"
    try:
        columns = parquet.from_buffer(data, path.name)
        if path.parts[len(lake.root.parts)] == layout.RESULTS:
            for row in record.rows(columns, path.name):
                Envelope.from_bytes(row.envelope, path.name)
    except CorruptFileError:
        pass
    try:
        found = lake.sql(QUERY, untrusted=True).fetchall()
        return ("answered" if found == answer else "wrong"), problem
    except CorruptFileError as exc:
        if str(path) not in str(exc):
            problem = problem or f"the error of SQL does not name the file: {exc}"
        return "refused", problem
    except (QueryError, LakestoreError) as exc:
        return exc.kind, problem


def fuzz(root: Path, dsn: str, cases: int, *, seed: int = 0, batch: int = 500) -> Found:
    """Try so many cases; a child that dies is a finding, and the next one goes on behind it."""
    context = multiprocessing.get_context("spawn")
    found = Found()
    done = 0
    while done < cases:
        ours, theirs = context.Pipe(duplex=False)
        arguments = (root, dsn, seed, done, min(batch, cases - done), theirs)
        process = context.Process(target=child, args=arguments, daemon=True)
        process.start()
        theirs.close()
        what = ""
        try:
            while True:
                if not ours.poll(_PATIENCE):
                    process.kill()
                    raise EOFError
                word, number, value = ours.recv()
                if word == "begin":
                    what = value
                else:
                    end, problem = value
                    done = number + 1
                    found.ends[what, end] += 1
                    if problem:
                        found.faults.append(f"case {number}, {what}: {problem}")
                    what = ""
        except EOFError:
            process.join()
        if what:
            found.faults.append(f"case {done}, {what}: the process ended with {process.exitcode}")
            done += 1
        elif process.exitcode:
            raise RuntimeError(f"a child ended with {process.exitcode}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz a lake of its own; return 1 where a file was not refused as it must be."""
    parser = argparse.ArgumentParser(prog="make fuzz-parquet", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, help="file to put the table into")
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lakestore-fuzz-") as name:
        with EmbeddedServer.attach(Path(name, "catalog")) as server:
            root = Path(name, "lake")
            with lakestore.open(root, dsn=server.conninfo) as lake:
                fill(lake)
            found = fuzz(root, server.conninfo, given.cases, seed=given.seed)
    text = report(found, time.monotonic() - begun)
    print(*found.faults[:50], text, sep="\n")
    if given.report:
        put(given.report, "fuzz-parquet", text)
    return 1 if found.faults else 0


def report(found: Found, seconds: float) -> str:
    """What came of a run, as a table: files of a lake table, which SQL reads; `results` is only ever loaded."""
    ends = ("refused", "answered", "wrong")
    rows: dict[str, Counter[str]] = {}
    for (what, end), count in found.ends.items():
        table, _, way = what.partition(": ")
        row = rows.setdefault(way, Counter())
        row["cases"] += count
        if table != layout.RESULTS:
            row["read by SQL"] += count
            row[end if end in ends else "refused"] += count
    lines = [
        f"Run of {datetime.now(UTC):%Y-%m-%d}, {seconds / 60:.0f} minutes: {found.ends.total():,} cases, "
        f"{len(found.faults)} faults.",
        "",
        "| damage | cases, none of which loaded | of these read by SQL | refused | same answer | other answer |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for way, row in sorted(rows.items()):
        lines.append(
            f"| {way} | {row['cases']:,} | {row['read by SQL']:,} | {' | '.join(f'{row[end]:,}' for end in ends)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
