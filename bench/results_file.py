"""What a run of the bench found, as it is kept in `bench/results`, and how two of them are compared."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
_PACKAGES = (
    "lakestore", "pyarrow", "duckdb", "psycopg", "orjson", "numpy", "arcticdb", "deltalake", "pyiceberg", "pylance",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """What one store took for one case.

    Attributes:
        median, low, high: of the rounds, with the lower and upper quartile, in `unit`.
        n: rounds.
        ratio: median over the rounds of what it took beside the base of the case, taken in the same round.
        base: the store that is compared with.
        note: what has to be known to read it.
    """

    case: str
    store: str
    unit: str
    median: float
    low: float
    high: float
    n: int
    ratio: float | None = None
    base: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a case must reach, and whether it did."""

    case: str
    must: str
    reached: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A whole run."""

    at: str
    commit: str
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    figures: tuple[Figure, ...]
    reach: tuple[Reach, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    lacks: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Keep it under its date and commit."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.at[:10]}-{self.commit}.json"
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Found:
        """A run that was kept."""
        value = json.loads(path.read_text(encoding="utf-8"))
        figures = value.pop("figures")
        for each in figures:
            # In older files; it was true of all of them.
            each.pop("warm", None)
        reach = tuple(Reach(**each) for each in value.pop("reach"))
        return cls(figures=tuple(Figure(**each) for each in figures), reach=reach, **value)

    def figure(self, case: str, store: str) -> Figure | None:
        """What a store took for a case."""
        return next((each for each in self.figures if (each.case, each.store) == (case, store)), None)


def figure(
    case: str,
    store: str,
    values: Sequence[float],
    *,
    base: str | None = None,
    against: Sequence[float] = (),
    **more: Any,
) -> Figure:
    """A figure from its rounds, in seconds unless `unit` says otherwise; `against` are the base's rounds."""
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    ratio = median(a / b for a, b in zip(values, against, strict=False)) if against else None
    more.setdefault("unit", "s")
    return Figure(case, store, median=middle, low=low, high=high, n=len(values), ratio=ratio, base=base, **more)


def compared(old: Found, new: Found, factor: float) -> Iterator[tuple[Figure, Figure, float, bool]]:
    """Each figure that both runs have: old, new, how many times slower, and whether that is a regression.

    What was taken beside a base is compared by its ratio to it, so that a faster machine is no improvement.
    """
    for now in new.figures:
        before = old.figure(now.case, now.store)
        if before is None or before.unit != now.unit:
            continue
        if before.ratio and now.ratio and before.base == now.base != now.store:
            change = now.ratio / before.ratio
        else:
            change = now.median / before.median if before.median else 1.0
        if now.unit.endswith("/s"):
            change = 1 / change if change else float("inf")
        yield before, now, change, change > factor and now.store == "lakestore"


def about() -> dict[str, Any]:
    """The machine that is measured on."""
    memory = _said("/proc/meminfo", "MemTotal")
    return {
        "cpu": _said("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": os.cpu_count(),
        "memory": int(memory.split()[0]) * 1024 if memory else 0,
        "system": platform.system(),
        "python": platform.python_version(),
        "fsync": "on",
    }


def _said(file: str, name: str) -> str:
    """What a file of the kernel says under a name; empty where there is none."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def versions() -> dict[str, str]:
    """The versions of what takes part."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit that is measured, short; `unknown` outside of a checkout."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def now() -> str:
    """The time in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def newest(folder: Path = RESULTS) -> Path | None:
    """The youngest run that is kept."""
    found = [(Found.read(path).at, path) for path in folder.glob("*.json")]
    return max(found)[1] if found else None
