"""`make crash`: the whole matrix and the random kills; what came of it goes into docs/reliability.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.pool import ThreadPool
from pathlib import Path

from lakestore.catalog.embedded import EmbeddedServer
from tests.crash import kills
from tests.crash.faults import FAULTS, Op
from tests.crash.jobs import JOBS, Job
from tests.crash.matrix import Outcome, Prototype, cases, run, try_case
from tests.reports import put, taken

COLUMNS = {
    "input/output error": "I/O error",
    "disk full from here on": "disk full",
    "permission denied": "no permission",
    "connection lost before": "connection lost",
    "connection lost after": "lost after COMMIT",
    "refused by the server": "server refuses",
    "killed before": "killed",
    "killed in the middle of a write": "killed in a write",
}
assert COLUMNS.keys() == FAULTS.keys()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything; return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--job", action="append", choices=[job.name for job in JOBS], help="only this; may be repeated")
    parser.add_argument("--every", type=int, default=1, help="only each so many-th case of the matrix")
    parser.add_argument("--kills", type=int, default=2000, help="writers to kill at random moments")
    parser.add_argument("--server-kills", type=int, default=30, help="kills of an embedded server under load")
    parser.add_argument("--work", type=Path, help="folder for the lakes; a temporary one by default")
    parser.add_argument("--report", type=Path, help="file to put the tables into")
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    before = taken(given.report, "crash") if given.report else ""
    rows: list[_Row] = []
    random: list[list[str]] = []
    broken: list[str] = []

    def tell() -> str:
        text = _report(rows, random, before)
        if given.report is not None:
            put(given.report, "crash", text)
        return text

    with tempfile.TemporaryDirectory(prefix="lakestore-crash-", dir=given.work) as name:
        folder = Path(name)
        with EmbeddedServer.attach(folder / "catalog") as server:
            for job in JOBS:
                if given.job is None or job.name in given.job:
                    rows.append(_job(job, server.conninfo, folder / job.name.replace(" ", "-"), given.every))
                    broken += rows[-1].broken
                    # A run that is stopped has told what it did.
                    tell()
            with _told(broken):
                if given.kills:
                    random.append(_random("writers", kills.kill_writers(folder / "w", server.conninfo, given.kills)))
                    tell()
            with _told(broken):
                if given.server_kills:
                    # A supervisor gives up where its server dies more than five times a minute.
                    found = kills.kill_server(folder / "s", given.server_kills, pause=13.0)
                    random.append(_random("embedded server", found))
    print(tell())
    print(f"{time.monotonic() - begun:.0f} s, {len(broken)} broken promises")
    return 1 if broken else 0


@contextmanager
def _told(broken: list[str]) -> Iterator[None]:
    """Note a broken promise, and go on."""
    try:
        yield
    except AssertionError as exc:
        broken.append(str(exc))
        print(exc, file=sys.stderr)


class _Row:
    """What came of one job."""

    def __init__(self, job: Job, ops: Sequence[Op]) -> None:
        self.job = job
        self.files = sum(op.kind not in ("statement", "commit", "return") for op in ops)
        self.statements = sum(op.kind in ("statement", "commit") for op in ops)
        self.ends: Counter[tuple[str, str]] = Counter()
        self.broken: list[str] = []


def _job(job: Job, postgres: str, folder: Path, every: int) -> _Row:
    prototype = Prototype(job, postgres, folder / "first")
    with prototype.copy(folder / "quiet") as (root, dsn):
        quiet = run(job, root, dsn)
    assert quiet.end == "done", f"{job.name} does not even succeed undisturbed: {quiet.message}"
    row = _Row(job, quiet.ops)
    chosen = cases(quiet.ops)[::every]

    def one(case: tuple[str, int]) -> Outcome | AssertionError:
        fault, at = case
        try:
            return try_case(prototype, folder / f"case-{fault.replace('/', '-')}-{at}", fault, at)
        except AssertionError as exc:
            return exc

    with ThreadPool(2) as pool:
        for (fault, _), outcome in zip(chosen, pool.imap(one, chosen), strict=True):
            if isinstance(outcome, Outcome):
                end = outcome.end
            else:
                end = "broken"
                row.broken.append(str(outcome))
                print(outcome, file=sys.stderr)
            row.ends[fault, "done" if end == "done" else end if end in ("killed", "broken") else "refused"] += 1
    prototype.close()
    print(f"{job.name}: {len(chosen)} cases, {len(row.broken)} broken promises", file=sys.stderr)
    return row


def _cell(row: _Row, fault: str) -> str:
    found = {end: row.ends[fault, end] for end in ("done", "refused", "killed", "broken") if row.ends[fault, end]}
    if set(found) == {"killed"}:
        return str(found["killed"])
    return ", ".join(f"{count} {end}" for end, count in found.items()) or "–"


def _random(name: str, tally: kills.Tally) -> list[str]:
    return [
        f"kills of {name}",
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{tally.kills:,}",
        f"{tally.acknowledged:,}",
        f"{tally.in_flight:,} ({tally.committed_in_flight:,} done)",
        f"{tally.refused:,}",
        f"{tally.checks:,}",
    ]


def _report(rows: Sequence[_Row], random: Sequence[Sequence[str]], before: str) -> str:
    """The tables; rows of what was not run now stay as they were in `before`."""
    heading = ["job", "run of", "cases", "broken promises", "operations on files", "statements", *COLUMNS.values()]
    matrix = [
        [
            row.job.name,
            f"{datetime.now(UTC):%Y-%m-%d}",
            f"{row.ends.total():,}",
            f"{len(row.broken)}",
            f"{row.files}",
            f"{row.statements}",
            *(_cell(row, fault) for fault in COLUMNS),
        ]
        for row in rows
    ]
    kept = [line.strip("| ").split(" | ") for line in before.splitlines() if line.startswith("|")]
    order = [job.name for job in JOBS]
    matrix += [cells for cells in kept if cells[0] in order and cells[0] not in [new[0] for new in matrix]]
    matrix.sort(key=lambda cells: order.index(cells[0]))
    told = [*random, *(cells for cells in kept if cells[0].startswith("kills of "))]
    told = sorted({cells[0]: cells for cells in reversed(told)}.values(), reverse=True)
    lines = [_line(heading), _line(["---"] * len(heading)), *map(_line, matrix), ""]
    heading = [
        "at random moments",
        "run of",
        "kills",
        "acknowledged",
        "under way when killed",
        "refused",
        "whole checks",
    ]
    return "\n".join([*lines, _line(heading), _line(["---"] * len(heading)), *map(_line, told)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
