"""`make soak`: crowds, killed writers, killed servers and the state machine in turn, until the time is over."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from random import randrange

from hypothesis import settings

import lakestore
from lakestore.catalog.embedded import EmbeddedServer
from tests.crash import kills
from tests.crash.matrix import processes
from tests.crowd import crowd
from tests.property import test_machine
from tests.reports import put

MEMBERS = {"own": 3, "shared": 3, "loads": 2, "queries": 2, "upkeep": 1}


class Soak:
    """Lakes below a folder, and what happened to them."""

    def __init__(self, folder: Path, postgres: str, seconds: float) -> None:
        self._folder, self._postgres = folder, postgres
        self._end = time.monotonic() + seconds
        self._rounds = 0
        self.done: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self.tallies: dict[str, kills.Tally] = {"killed writers": kills.Tally(), "killed servers": kills.Tally()}
        self.sequences = 0
        self.faults: list[str] = []
        self.documents: list[str] = []

    def left(self) -> float:
        """Seconds until the end."""
        return self._end - time.monotonic()

    def run(self) -> None:
        """Take turns; what breaks a promise is noted, and the next turn has a lake of its own."""
        turns: list[Callable[[Path, float], None]] = [
            self._crowd,
            self._killed_writers,
            self._killed_servers,
            self._machine,
        ]
        share = max(10.0, min(60.0, self.left() / 4))
        while self.left() > 1:
            turn = turns[self._rounds % len(turns)]
            self._rounds += 1
            name = turn.__name__.strip("_").replace("_", " ")
            begun = time.monotonic()
            try:
                turn(self._folder / f"lake{self._rounds}", min(share, max(5.0, self.left())))
            except Exception as exc:
                self.faults.append("\n".join([f"{name}: {type(exc).__name__}: {exc}", *_notes(exc)]))
                traceback.print_exc()
            print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)

    def _crowd(self, root: Path, seconds: float) -> None:
        for each in crowd(root, "", seconds, MEMBERS):
            self.done.update({(each.role, what): count for what, count in each.done.items()})
            self.refused.update({(each.role, kind): count for kind, count in each.refused.items()})

    def _killed_writers(self, root: Path, seconds: float) -> None:
        self._add("killed writers", kills.kill_writers(root, "", max(5, int(seconds * 2)), seed=self._rounds))

    def _killed_servers(self, root: Path, seconds: float) -> None:
        # More often, and the supervisor would give up.
        number = max(1, min(4, int(seconds / 5)))
        self._add("killed servers", kills.kill_server(root, number, seed=self._rounds, pause=seconds / number))

    def large(self) -> None:
        """Save and load documents of 1 GB and of a million keys, in a process whose memory is looked at."""
        for name, write in (("1 GB of records", _records), ("a million keys", _keys)):
            path = self._folder / "large.json"
            write(path)
            ours, theirs = processes.Pipe(duplex=False)
            child = processes.Process(target=_large, args=(self._folder / "large", path, theirs), daemon=True)
            child.start()
            theirs.close()
            try:
                seconds, loading, peak, size = ours.recv()
                sizes = f"{path.stat().st_size / 1e6:,.0f} | {size / 1e6:,.1f}"
                self.documents.append(f"| {name} | {sizes} | {seconds:,.0f} | {loading:,.0f} | {peak / 1e6:,.0f} |")
            except EOFError:
                child.join()
                self.faults.append(f"{name}: the process ended with {child.exitcode}")
            child.join()
            path.unlink()

    def _add(self, name: str, tally: kills.Tally) -> None:
        known = self.tallies[name]
        for field in ("kills", "acknowledged", "in_flight", "committed_in_flight", "refused", "checks"):
            setattr(known, field, getattr(known, field) + getattr(tally, field))

    def _machine(self, root: Path, seconds: float) -> None:
        root.mkdir()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            settings.register_profile("soak", database=None, print_blob=True)
            settings.load_profile("soak")
            test_machine.run(self._postgres, root, examples=3, steps=60, seed=randrange(1 << 32))
            self.sequences += 3

    def report(self, seconds: float) -> str:
        """What happened, as tables."""
        lines = [
            f"Run of {datetime.now(UTC):%Y-%m-%d}, {seconds / 60:.0f} minutes in {self._rounds} turns: "
            f"{len(self.faults)} broken promises. {self.sequences} sequences of the state machine, of 60 steps.",
            "",
            "| role in a crowd of " + str(sum(MEMBERS.values())) + " processes | succeeded | refused as expected |",
            "| --- | --- | --- |",
        ]
        for role in MEMBERS:
            lines.append(f"| {role} | {_counts(self.done, role)} | {_counts(self.refused, role)} |")
        lines += ["", "| | kills | acknowledged | under way when killed | refused | whole checks |", "| --- " * 6 + "|"]
        for name, tally in self.tallies.items():
            under_way = f"{tally.in_flight:,} ({tally.committed_in_flight:,} done)"
            counts = f"{tally.kills:,} | {tally.acknowledged:,} | {under_way} | {tally.refused:,} | {tally.checks:,}"
            lines.append(f"| {name} | {counts} |")
        if self.documents:
            lines += ["", "| large document | MB of JSON | MB in the lake | save, s | load, s | peak memory, MB |"]
            lines += ["| --- " * 6 + "|", *self.documents]
        for fault in self.faults:
            lines += ["", "```", fault, "```"]
        return "\n".join(lines)


def _notes(error: BaseException) -> Iterator[str]:
    """What hypothesis says of failures: the steps that lead there, and how to take them again."""
    yield from getattr(error, "__notes__", ())
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield f"{type(each).__name__}: {each}"
            yield from _notes(each)


def _records(path: Path) -> None:
    with path.open("wb") as stream:
        stream.write(b'{"strategy": "s", "rows": [{"n": -1}')
        for start in range(0, 15_000_000, 100_000):
            rows = range(start, start + 100_000)
            stream.write(
                b"".join(b', {"n": %d, "price": %d.25, "side": "buy", "at": "2024-01-01"}' % (n, n % 997) for n in rows)
            )
        stream.write(b"]}")


def _keys(path: Path) -> None:
    members = ", ".join(f'"key {n}": {n}' for n in range(1_000_000))
    path.write_text('{"strategy": "s", "params": {' + members + "}}")


def _large(root: Path, path: Path, pipe: Connection) -> None:
    with lakestore.open(root, dsn="") as lake:
        lake.max_document = 4 << 30
        begun = time.monotonic()
        info = lake.save(path, replace=True, task_id="large")
        saved = time.monotonic()
        text = lake.load("large").to_json()
        loaded = time.monotonic()
        assert sha256(text).hexdigest() == info.sha256
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        pipe.send((saved - begun, loaded - saved, peak, info.file_size))


def _counts(counter: Counter[tuple[str, str]], role: str) -> str:
    return ", ".join(f"{count:,} {what}" for (of, what), count in sorted(counter.items()) if of == role) or "–"


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak for so many seconds; return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--large", action="store_true", help="documents of 1 GB too: takes 12 GB of memory")
    parser.add_argument("--work", type=Path, help="folder for the lakes; a temporary one by default")
    parser.add_argument("--report", type=Path, help="file to put the tables into")
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lakestore-soak-", dir=given.work) as name:
        with EmbeddedServer.attach(Path(name, "catalog")) as server:
            soak = Soak(Path(name), server.conninfo, given.seconds)
            if given.large:
                soak.large()
            soak.run()
    text = soak.report(time.monotonic() - begun)
    print(text)
    if given.report is not None:
        put(given.report, "soak", text)
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
