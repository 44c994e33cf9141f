"""Time and memory, so that two runs on a busy machine say the same.

Cases that are compared take turns, round by round, and a ratio is taken within each round: what disturbs the machine
for a while disturbs both sides. Memory is measured in a child process, whose heap nothing else has touched.
"""

from __future__ import annotations

import gc
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Case:
    """What is timed: `work`, given what `prepare` (which is not timed) made for this round."""

    work: Callable[[Any], object]
    prepare: Callable[[], Any] = lambda: None


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


def interleaved(cases: Mapping[str, Case], rounds: int) -> dict[str, Timing]:
    """Time the cases in turn, after one round that does not count.

    The garbage collector stays as users have it; each case starts on a heap that was just collected. What a case
    returns is dropped after the clock was read.
    """
    wall: dict[str, list[float]] = {name: [] for name in cases}
    cores: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for count in range(rounds + 1):
        # Nobody always comes after the same one.
        turn = count % len(names)
        for name in names[turn:] + names[:turn]:
            given = cases[name].prepare()
            gc.collect()
            core, start = time.process_time(), time.perf_counter()
            result = cases[name].work(given)
            stop, core_stop = time.perf_counter(), time.process_time()
            del result, given
            if count:
                wall[name].append(stop - start)
                cores[name].append(core_stop - core)
    return {name: Timing(tuple(wall[name]), tuple(cores[name])) for name in cases}


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


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], sys.argv[2:])))
