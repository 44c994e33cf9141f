"""Time, memory and bytes, so that two runs on a busy machine say the same; and how they are printed.

Cases that are compared take turns, round by round, and a ratio is taken within each round: what disturbs the machine
for a while disturbs both sides. Memory is measured in a child process, whose heap nothing else has touched.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from lakestore.codec.encode import Encoded
from lakestore.codec.envelope import Envelope
from lakestore.compression import zstd

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_SHORT = 0.005
"""Seconds of a case that is repeated without a collection in between, which takes a multiple of it."""
_SETTLED = 0.5
"""Seconds after which a Python that was just started is at its work."""


class Wrong(Exception):
    """Something else came back than was kept: a measurement of that counts for nothing."""


@dataclass(frozen=True, slots=True)
class Line:
    """One case of a table; `ok` is None where nothing is asked."""

    case: str
    must: str
    reached: str
    ok: bool | None


@dataclass(frozen=True, slots=True)
class Case:
    """What is timed: `work`, given what `prepare` (which is not timed) made for this round."""

    work: Callable[[Any], object]
    prepare: Callable[[], Any] = lambda: None

    @classmethod
    def calling(cls, work: Callable[[], object]) -> Case:
        """The case of what needs nothing made before it."""
        return cls(lambda _: work())


@dataclass(frozen=True, slots=True)
class Timing:
    """One case: its rounds in seconds of the clock, and of all cores together."""

    wall: tuple[float, ...]
    cores: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """Median of the clock."""
        return median(self.wall)

    @property
    def core_seconds(self) -> float:
        """Median of what it costs one core: the clock, or more where several cores worked."""
        return median(map(max, self.wall, self.cores))

    @property
    def spread(self) -> float:
        """Distance of the quartiles as a share of the median."""
        return _spread(self.wall)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times longer one case took than another: median over the rounds, and the distance of the quartiles."""

    times: float
    spread: float


def interleaved(cases: Mapping[str, Case], rounds: int, *, least: float = 0.1) -> dict[str, Timing]:
    """Time the cases in turn, after one round that does not count.

    The garbage collector stays as users have it; each case starts on a heap that was just collected. What a case
    returns is dropped after the clock was read.

    Args:
        rounds: how often each case has its turn.
        least: seconds of one turn; a short case is repeated so long, and the mean counts.
    """
    wall: dict[str, list[float]] = {name: [] for name in cases}
    cores: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for count in range(rounds + 1):
        # Nobody always comes after the same one.
        turn = count % len(names)
        for name in names[turn:] + names[:turn]:
            clock, core, repeats = _turn(cases[name], least)
            if count:
                wall[name].append(clock / repeats)
                cores[name].append(core / repeats)
    return {name: Timing(tuple(wall[name]), tuple(cores[name])) for name in cases}


def _turn(case: Case, least: float) -> tuple[float, float, int]:
    """Seconds of the clock and of all cores for so many repeats."""
    clock = core = 0.0
    repeats = 0
    while not repeats or clock < least:
        given = case.prepare()
        if clock >= repeats * _SHORT:
            gc.collect()
        core_start, start = time.process_time(), time.perf_counter()
        result = case.work(given)
        clock += time.perf_counter() - start
        core += time.process_time() - core_start
        repeats += 1
        del result, given
    return clock, core, repeats


@contextmanager
def awake() -> Iterator[None]:
    """Keep the cores from falling asleep: on each, work that gives way to any other at once (Linux's SCHED_IDLE).

    A question to a server and its answer wake two processes. A virtual core that sleeps takes 0.1 ms to be woken,
    which is more than the answer takes; on a busy machine none sleeps.
    """
    command = [
        sys.executable,
        "-c",
        "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass",
    ]
    with ExitStack() as stack:
        for _ in range(len(os.sched_getaffinity(0))):
            child = stack.enter_context(subprocess.Popen(command))
            stack.callback(child.kill)
        time.sleep(_SETTLED)
        yield


def ratio(case: Timing, base: Timing) -> Ratio:
    """How many times longer `case` took than `base`, round by round."""
    found = [a / b for a, b in zip(case.wall, base.wall, strict=True)]
    return Ratio(median(found), _spread(found))


def peak_memory(work: str, *arguments: str) -> int:
    """The bytes by which a child process grew at most while it worked.

    Args:
        work: `module:function`, a context manager that gives what is to be done; what it takes to get there and
            what it did itself beforehand is the baseline.
        arguments: what it is called with.

    Raises:
        RuntimeError: the child failed; with what it said.
    """
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "bench.measure", work, *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{work} failed in a child process:\n{done.stderr}")
    return int(json.loads(done.stdout.splitlines()[-1])["grown"])


def _child(work: str, arguments: Sequence[str]) -> dict[str, int]:
    module, _, name = work.partition(":")
    make: Callable[..., AbstractContextManager[Callable[[], object]]] = getattr(importlib.import_module(module), name)
    with make(*arguments) as run:
        gc.collect()
        baseline = _reset_peak()
        result = run()
        peak = _peak()
        del result
    return {"baseline": baseline, "peak": peak, "grown": peak - baseline}


def _reset_peak() -> int:
    """Begin a new peak; return the memory that is resident now."""
    if not _STATUS.exists():
        return _peak()
    _CLEAR.write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    """The most that was resident, in bytes."""
    if _STATUS.exists():
        # Not ru_maxrss: on Linux a child inherits there the peak of the process that started it.
        return _status("VmHWM")
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def _spread(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


def times(case: str, reached: float, must: float | None, note: str = "") -> Line:
    """A line of a case that must take at most so many times what another takes."""
    asked = "—" if must is None else f"<= {must:.2f} ×"
    return Line(case, asked, f"{reached:.2f} ×{note}", None if must is None else reached <= must)


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> Iterator[str]:
    """A table as lines of text, a rule below its header; `right` are the columns aligned to the right."""
    everything = [header, *rows]
    widths = [max(len(row[place]) for row in everything) for place in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    yield line(header)
    yield "  ".join("-" * width for width in widths)
    yield from map(line, rows)


def lines_table(lines: Sequence[Line]) -> Iterator[str]:
    """The lines of "Size" or "Speed" as text."""
    marks = {None: "", True: "yes", False: "NO"}
    rows = [(line.case, line.must, line.reached, marks[line.ok]) for line in lines]
    return aligned(("case", "must", "reached", "ok"), rows)


def detail(name: str, source: bytes, made: Encoded) -> Iterator[str]:
    """One document taken apart: the bytes of each table, column, footer, and of the envelope."""
    envelope = Envelope.from_bytes(made.envelope, name)
    total = sum(len(part.data) for part in made.parts) + len(made.envelope)
    yield f"{name}: {len(source):,} B of JSON → {total:,} B of tables and envelope, {1 - total / len(source):.2%} off"
    yield f"fidelity {made.fidelity.kind}, {made.fidelity.bytes:,} B"
    rows: list[Sequence[str]] = []
    for part in made.parts:
        file = pq.read_metadata(pa.BufferReader(part.data))
        own = sum(len(key) + len(value) for key, value in (file.metadata or {}).items())
        groups = [file.row_group(place) for place in range(file.num_row_groups)]
        columns = []
        for place in range(file.num_columns):
            chunks = [group.column(place) for group in groups]
            column = file.schema.column(place)
            columns.append(
                (
                    sum(chunk.total_compressed_size for chunk in chunks),
                    sum(chunk.total_uncompressed_size for chunk in chunks),
                    column.path,
                    _kind(column),
                    ", ".join(sorted({name for chunk in chunks for name in chunk.encodings})),
                )
            )
        where = f"{part.table} ({part.strategy})"
        rows.append((where, f"{part.rows:,} rows", "", count(len(part.data)), _share(len(part.data), total), "", ""))
        footer = file.serialized_size
        rows.append(("", "footer", "", count(footer), _share(footer, total), "", f"own metadata {own:,} B of it"))
        for size, raw, path, kind, encodings in sorted(columns, reverse=True):
            each = f"{size / max(part.rows, 1):.2f}"
            rows.append(("", path, kind, count(size), _share(size, total), each, f"{encodings}; {raw:,} B before zstd"))
    size = len(made.envelope)
    rows.append(("envelope", "", "", count(size), _share(size, total), "", ""))
    for what, data in (
        ("document without its tables", envelope.skeleton),
        ("masks, ids, patches", b"".join(envelope.blobs)),
        ("regions", repr(envelope.regions).encode()),
    ):
        alone = zstd_size(data, 12)
        rows.append(("", what, "", count(alone), _share(alone, total), "", f"on its own; {len(data):,} B before zstd"))
    yield from aligned(("table", "column", "type", "bytes", "share", "B/row", ""), rows, right=(3, 4, 5))


def zstd_size(data: bytes, level: int) -> int:
    """Bytes that zstd alone makes of it."""
    return len(zstd.compress(data, level=level))


def machine() -> dict[str, str]:
    """What was measured on."""
    return {
        "python": platform.python_version(),
        "pyarrow": pa.__version__,
        "orjson": orjson.__version__,
        "lakestore": version("lakestore"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def _kind(column: pq.ColumnSchema) -> str:
    """Physical and logical type in few words."""
    logical = json.loads(column.logical_type.to_json())
    said = [str(logical[name]) for name in ("precision", "scale", "timeUnit") if name in logical]
    kind = "" if logical["Type"] == "None" else f" {logical['Type']}"
    return f"{column.physical_type}{kind}{f'({chr(44).join(said)})' if said else ''}"


def count(size: int) -> str:
    """A number with its thousands apart."""
    return f"{size:,}"


def _share(size: int, total: int) -> str:
    return f"{size / total:.1%}"


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], sys.argv[2:])))
