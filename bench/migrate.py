"""What `lakestore migrate` takes, as its user runs it: a new lake, a folder of files, one command; all included.

Every document is loaded again afterwards and compared byte for byte; one that differs ends the run. With one core,
the command, its workers and the catalog's server share that core.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import lakestore
from bench.measure import Line, Wrong, lines_table, machine
from lakestore.bench import generate

SMALL = 46
"""Signals of a document of about 20 kB."""
_TURNS = 5
_UNSET = ("LAKESTORE_", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True, slots=True)
class Run:
    """One migration: files, bytes of JSON, bytes in the lake, data files, seconds of the clock and of processors.

    The processors' are those of the command and its workers; the catalog's server is nobody's child.
    """

    files: int
    before: int
    after: int
    data_files: int
    seconds: float
    cores: float

    @property
    def each(self) -> float:
        """Seconds a file."""
        return self.seconds / self.files


def write(folder: Path, count: int, signals: int) -> None:
    """Make a folder of documents, each of another seed."""
    folder.mkdir()
    for seed in range(count):
        (folder / f"run-{seed:05}.json").write_bytes(generate.typical(signals, seed).text)


def migrated(source: Path, lake: Path, *arguments: str, cores: int | None = None) -> tuple[float, float]:
    """Run the command, and return its seconds of the clock and of processors.

    Raises:
        RuntimeError: it failed.
    """
    # Bytecode is kept, as where lakestore is installed: the first migration, which counts for no other, writes it.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_UNSET)}
    command = [sys.executable, "-m", "lakestore", "--lake", str(lake), "migrate", str(source), *arguments]
    with _on(cores):
        begun, used = time.perf_counter(), _used()
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        seconds, busy = time.perf_counter() - begun, _used() - used
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return seconds, busy


def _used() -> float:
    """Seconds that processors worked for children, and theirs, that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@contextmanager
def _on(cores: int | None) -> Any:
    """Let children have so many cores."""
    before = os.sched_getaffinity(0)
    if cores is not None:
        os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measured(source: Path, lake: Path, *arguments: str, cores: int | None = None) -> Run:
    """Migrate a folder into a new lake, and compare every document with its file.

    Raises:
        Wrong: one is not as it was.
    """
    lakestore.open(lake, dsn="").close()
    seconds, busy = migrated(source, lake, *arguments, cores=cores)
    before = after = count = 0
    with lakestore.open(lake, dsn="", create=False) as opened:
        for path in source.iterdir():
            result = opened.load(path.stem)
            text = path.read_bytes()
            if result.to_json() != text:
                raise Wrong(f"{path} did not come back byte for byte")
            before, after, count = before + len(text), after + result.info.file_size, count + 1
        files = len(opened.files())
    return Run(count, before, after, files, seconds, busy)


def _timed(source: Path, lake: Path, *arguments: str) -> float:
    """Seconds of one migration into a new lake."""
    lakestore.open(lake, dsn="").close()
    return migrated(source, lake, *arguments)[0]


def compared(folder: Path, large: int, small: int) -> tuple[list[Line], dict[str, Run]]:
    """What is asked of `migrate`, beside what was reached; in turns where cores differ by the minute."""
    write(folder / "large", large, 10_000)
    one = measured(folder / "large", folder / "lake-1", cores=1)
    alone, two = (measured(folder / "large", folder / f"lake-{n}0", "--workers", f"{n}") for n in (1, 2))
    scales = [alone.seconds / two.seconds]
    for turn in range(1, _TURNS):
        # These only time: the first ones have shown that the documents come back.
        times = [_timed(folder / "large", folder / f"lake-{n}{turn}", "--workers", f"{n}") for n in (1, 2)]
        scales.append(times[0] / times[1])
    write(folder / "small", small, SMALL)
    core = measured(folder / "small", folder / "lake-4", cores=1)
    both = measured(folder / "small", folder / "lake-5", "--workers", "2")
    again, _ = migrated(folder / "small", folder / "lake-5")
    size = core.before / core.files / 1e3
    scale = median(scales)
    lines = [
        Line(
            f"{large} files of 10,000 signals, one core",
            "<= 0.250 s a file",
            _busy(f"{one.each:.3f} s", one),
            one.each <= 0.25,
        ),
        Line(
            "the same, --workers 2 beside --workers 1",
            ">= 1.70 ×",
            f"{scale:.2f} × ({min(scales):.2f} to {max(scales):.2f}, {_TURNS} turns)",
            scale >= 1.7,
        ),
        Line(f"{small:,} files of {size:.0f} kB, one core", "—", _busy(f"{1 / core.each:.0f} files/s", core), None),
        Line(
            "the same, --workers 2", ">= 150 files/s", _busy(f"{1 / both.each:.0f} files/s", both), both.each <= 1 / 150
        ),
        Line("the same again, all of them done", "—", f"{again:.1f} s", None),
        Line("smaller, large files", "—", f"{1 - one.after / one.before:.1%} in {one.data_files} data files", None),
        Line("smaller, small files", "—", f"{1 - both.after / both.before:.1%} in {both.data_files} data files", None),
    ]
    runs = {"one core": one, "one worker": alone, "two workers": two, "small, one core": core, "small": both}
    return lines, runs


def _busy(reached: str, run: Run) -> str:
    """What was reached, and the processor's time a file, which a busy machine changes little."""
    return f"{reached}, {1000 * run.cores / run.files:.1f} ms of a core"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure migrations of many files."""
    parser = argparse.ArgumentParser(prog="python -m bench.migrate", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the files")
    parser.add_argument("--large", type=int, metavar="N", help="files of 10,000 signals (default: 100)")
    parser.add_argument("--small", type=int, metavar="N", help="files of 20 kB (default: 20000)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write what was measured here too")
    options = parser.parse_args(arguments)
    large = options.large or (10 if options.quick else 100)
    small = options.small or (2_000 if options.quick else 20_000)
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    with tempfile.TemporaryDirectory(prefix="lakestore-bench-") as folder:
        lines, runs = compared(Path(folder), large, small)
    print("\n".join(["", *lines_table(lines)]))
    asked = [line.ok for line in lines if line.ok is not None]
    print(f"\n{sum(asked)} of {len(asked)} reached; every document came back byte for byte")
    if options.json:
        result = {
            "machine": machine(),
            "lines": list(map(asdict, lines)),
            "runs": {k: asdict(v) for k, v in runs.items()},
        }
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
