"""What documents take in a lake, everything counted: made ones, and real ones beside `zstd -19` of them."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from psycopg import sql

import lakestore
from bench.measure import (
    Line,
    Wrong,
    aligned,
    count,
    times,
    zstd_size,
)
from lakestore import Item, Lake
from lakestore.bench import generate
from lakestore.catalog.memory import MemorySchema
from lakestore.codec import encode
from lakestore.codec.draft import read
from lakestore.codec.encode import Encoded
from lakestore.codec.given import Given
from lakestore.model import ResultInfo

MANY = 1_000
"""Records from which on a real document counts as a large one."""
SHARED = 100
"""Results that share files in the case that says so."""
_ROW = 28
"""Bytes that Postgres adds to the values of a row: its header and the pointer to it."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """One document in the lake; sizes in bytes, `seconds` of one save."""

    name: str
    records: int
    json: int
    files: int
    catalog: int
    fidelity: str
    fidelity_bytes: int
    seconds: float
    zstd: int = 0

    @property
    def total(self) -> int:
        """Everything it takes."""
        return self.files + self.catalog

    @property
    def saved(self) -> float:
        """How much smaller than the JSON it is, in percent."""
        return 100 * (1 - self.total / self.json)

    @property
    def ratio(self) -> float:
        """Times `zstd -19` of the JSON."""
        return self.total / self.zstd


def encoded(source: bytes, schema: MemorySchema, where: str = "the document", *, given: Given | None = None) -> Encoded:
    """A text encoded and proved, as a save does it; `given`: the value that it was made of."""
    draft = read(source, where, None, given=given)
    return encode.encode(draft, schema, task_id="bench", strategy="bench", decimals=True)


def read_document(path: Path) -> bytes:
    """The JSON of a file: plain, gzip, or the largest JSON in a zip export."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".json")]
            return archive.read(max(members, key=lambda info: info.file_size))
    return path.read_bytes()


def real_documents(folders: Sequence[Path], limit: int | None) -> dict[str, dict[str, bytes]]:
    """Real documents by folder and name, each once; none beyond `limit` bytes."""
    seen: set[bytes] = set()
    found: dict[str, dict[str, bytes]] = {}
    for root in folders:
        for path in sorted(path for path in root.rglob("*") if path.name.endswith((".json", ".json.gz", ".zip"))):
            if "suites" in path.parts:
                continue
            source = read_document(path)
            digest = hashlib.sha256(source).digest()
            if digest not in seen and (limit is None or len(source) <= limit):
                seen.add(digest)
                found.setdefault(str(path.parent.relative_to(root.parent)), {})[path.name] = source
    return found


@contextmanager
def fresh_lake() -> Iterator[tuple[Lake, psycopg.Connection[Any]]]:
    """An embedded lake in a temporary folder, and a connection to its catalog."""
    with tempfile.TemporaryDirectory(prefix="lakestore-bench-") as folder:
        with lakestore.open(Path(folder) / "lake", dsn="") as lake, psycopg.connect(lake.conninfo) as catalog:
            catalog.autocommit = True
            yield lake, catalog


def saved(lake: Lake, source: bytes, name: str) -> tuple[ResultInfo, float]:
    """A document saved, and the seconds it took; a strategy is given only where the document names none."""
    draft = read(source, name, None)
    strategy = None if draft.profile.strategies_of(draft.value) else "bench"
    del draft
    start = time.perf_counter()
    info = lake.save(source, strategy=strategy)
    return info, time.perf_counter() - start


def size_of(lake: Lake, catalog: psycopg.Connection[Any], source: bytes, name: str) -> Sizes:
    """What a document takes in the lake; it is deleted again.

    Raises:
        Wrong: it did not come back byte for byte.
    """
    info, seconds = saved(lake, source, name)
    if lake.load(info.task_id).to_json() != source:
        raise Wrong(f"{name} did not come back byte for byte")
    paths = catalog.execute(
        "SELECT path FROM data_files JOIN result_files USING (file_id) WHERE write_id = %s", [info.write_id]
    ).fetchall()
    sizes = Sizes(
        name,
        sum(info.tables.values()),
        len(source),
        sum((lake.root / path).stat().st_size for (path,) in paths),
        sum(catalog_bytes(catalog, [info.write_id.hex]).values()),
        info.fidelity.kind,
        info.fidelity.bytes,
        seconds,
    )
    lake.delete(info.task_id)
    return sizes


def catalog_bytes(catalog: psycopg.Connection[Any], write_ids: Sequence[str]) -> dict[str, int]:
    """Bytes of the catalog's rows that belong to these versions of results, by table, without indexes."""
    wheres = {
        "backtest_results": "write_id = ANY (%(ids)s::uuid[])",
        "shared_rows": "write_id = ANY (%(ids)s::uuid[])",
        "run_stats": "write_id = ANY (%(ids)s::uuid[])",
        "files": "file_id IN (SELECT file_id FROM result_files WHERE write_id = ANY (%(ids)s::uuid[]))",
    }
    found = {}
    for table, where in wheres.items():
        columns = [item.name for item in catalog.execute(f"SELECT * FROM {table} LIMIT 0").description or ()]
        # Column by column: of a whole row it would say what the values take before they are compressed.
        values = sql.SQL(" + ").join(
            sql.SQL("coalesce(pg_column_size({}), 0)").format(sql.Identifier(column)) for column in columns
        )
        statement = sql.SQL("SELECT coalesce(sum({} + {}), 0)::bigint FROM {} WHERE {}").format(
            _ROW, values, sql.Identifier(table), sql.SQL(where)
        )
        row = catalog.execute(statement, {"ids": list(write_ids)}).fetchone()
        found[table] = int(row[0]) if row else 0
    return found


def size_of_shared(lake: Lake, catalog: psycopg.Connection[Any], sources: Sequence[bytes]) -> Sizes:
    """What documents take that were saved at once and share files.

    Raises:
        Wrong: one of them was not saved, or did not come back byte for byte.
    """
    infos = []
    for found, source in zip(lake.save_many([Item(document=source) for source in sources]), sources, strict=True):
        if not isinstance(found, ResultInfo) or lake.load(found.task_id).to_json() != source:
            raise Wrong(f"a document saved with others did not come back byte for byte: {found}")
        infos.append(found)
    rows = catalog_bytes(catalog, [info.write_id.hex for info in infos])
    return Sizes(
        f"{len(sources)} results",
        sum(sum(info.tables.values()) for info in infos),
        sum(map(len, sources)),
        sum((lake.root / file.path).stat().st_size for file in lake.files()),
        sum(rows.values()),
        "style",
        0,
        0.0,
    )


def typical_lines(quick: bool) -> list[Line]:
    """The documents made from a seed."""
    cases: list[tuple[str, bytes, float | None]] = []
    asked: Sequence[tuple[int, float, float | None]] = (
        (1_000, 94.0, None),
        (10_000, 95.0, 92.0),
        (100_000, 95.0, 92.0),
    )
    for n, indented, compact in asked[: 2 if quick else None]:
        cases.append((f"typical, {n:,} signals", generate.typical(n).text, indented))
        cases.append((f"typical, {n:,} signals, compact", generate.typical(n, indent=None).text, compact))
    cases.append(("17-digit random floats, 10,000 signals", generate.full_precision(10_000).text, None))
    lines = []
    with fresh_lake() as (lake, catalog):
        for name, source, must in cases:
            lines.append(_smaller(name, size_of(lake, catalog, source, name), must))
    if not quick:
        with fresh_lake() as (lake, catalog):
            sources = [generate.typical(1_000, seed).text for seed in range(SHARED)]
            sizes = size_of_shared(lake, catalog, sources)
            lines.append(_smaller(f"typical, 1,000 signals, {SHARED} results in shared files", sizes, 95.0))
    return lines


def _smaller(name: str, sizes: Sizes, must: float | None) -> Line:
    reached = f"{sizes.saved:.2f} % smaller ({sizes.files:,} B files, {sizes.catalog:,} B catalog)"
    return Line(
        name, "—" if must is None else f">= {must:.1f} %", reached, None if must is None else sizes.saved >= must
    )


def real_sizes(groups: Mapping[str, Mapping[str, bytes]], progress: Callable[[str], None]) -> list[Sizes]:
    """Real documents: a lake for each folder, as each engine's user has one."""
    found = []
    for group, documents in groups.items():
        with fresh_lake() as (lake, catalog):
            for name, source in documents.items():
                progress(f"{group}/{name}")
                sizes = size_of(lake, catalog, source, f"{group}/{name}")
                packed = zstd_size(source, 19)
                found.append(replace(sizes, zstd=packed))
    return found


def real_lines(sizes: Sequence[Sizes]) -> list[Line]:
    """What real documents must reach together."""
    large = [item for item in sizes if item.records >= MANY]
    small = [item for item in sizes if item.records < MANY]
    lines = []
    groups: Sequence[tuple[str, Sequence[Sizes], float | None, float]] = (
        (f"real, >= {MANY:,} records", large, 0.85, 1.05),
        (f"real, < {MANY:,} records", small, None, 1.2),
    )
    for what, items, middle, most in groups:
        if not items:
            continue
        worst = max(items, key=lambda item: item.ratio)
        alone = median(item.files / item.zstd for item in items)
        lines.append(times(f"{what}: median of {len(items)}, × zstd -19", median(i.ratio for i in items), middle))
        lines.append(times(f"{what}: worst ({worst.name})", worst.ratio, most))
        lines.append(times(f"{what}: median of files alone", alone, None))
    if sizes:
        cheap = [item for item in sizes if item.fidelity != "original"]
        share = 100 * len(cheap) / len(sizes)
        lines.append(Line("real: style or patched", ">= 95 %", f"{share:.1f} % of {len(sizes)}", share >= 95))
        cost = max(100 * item.fidelity_bytes / item.json for item in cheap) if cheap else 0.0
        lines.append(Line("real: largest patch", "< 2 % of the JSON", f"{cost:.2f} %", cost < 2))
    return lines


def sizes_table(sizes: Sequence[Sizes]) -> Iterator[str]:
    """The real documents as text, the worst first."""
    rows = [
        (
            item.name,
            count(item.records),
            count(item.json),
            count(item.zstd),
            count(item.files),
            count(item.catalog),
            f"{item.ratio:.2f}",
            f"{item.saved:.1f}",
            item.fidelity,
            count(item.fidelity_bytes),
            f"{item.json / 1e6 / item.seconds:.1f}",
        )
        for item in sorted(sizes, key=lambda item: -item.ratio)
    ]
    header = ("document", "records", "JSON", "zstd -19", "files", "catalog", "×", "% off", "fidelity", "bytes", "MB/s")
    return aligned(header, rows, right=(1, 2, 3, 4, 5, 6, 7, 9, 10))
