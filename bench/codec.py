"""The codec's two tables, "Size" and "Speed": what must be reached beside what was reached.

`python -m bench.codec` measures both, on documents made from a seed, on those under `examples/`, and on those of a
folder of real results where there is one (`--data`). Everything a result takes is counted: its files with the one of
the table `results`, and its rows in the catalog. Every document is loaded again and compared byte for byte; one that
differs ends the run.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import itertools
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

import lakestore
from bench.measure import (
    Case,
    Line,
    aligned,
    count,
    detail,
    interleaved,
    lines_table,
    machine,
    peak_memory,
    ratio,
    times,
    zstd_size,
)
from lakestore import Item, Lake, layout
from lakestore.bench import generate
from lakestore.catalog.memory import MemorySchema
from lakestore.codec import encode, text
from lakestore.codec.draft import read
from lakestore.codec.encode import Encoded
from lakestore.model import ResultInfo

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES, DATA = ROOT / "examples", ROOT.parent / "shared" / "data"
QUICK_BYTES = 1 << 20
"""Real documents beyond this are left out of a quick run."""
MANY = 1_000
"""Records from which on a real document counts as a large one."""
SHARED = 100
"""Results that share files in the case that says so."""
MEMORY_BYTES = 34_000_000
_ROW = 28
"""Bytes that Postgres adds to the values of a row: its header and the pointer to it."""


class Differs(Exception):
    """A document did not come back as it was."""


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


def encoded(source: bytes, schema: MemorySchema, where: str = "the document", *, value: Any = None) -> Encoded:
    """A text encoded and proved, as a save does it; `value` is what it says, where a save knows that."""
    draft = read(source, where, None, value=value)
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


# Size


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
        Differs: it did not come back byte for byte.
    """
    info, seconds = saved(lake, source, name)
    if lake.load(info.task_id).to_json() != source:
        raise Differs(f"{name} did not come back byte for byte")
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
        Differs: one of them was not saved, or did not come back byte for byte.
    """
    infos = []
    for found, source in zip(lake.save_many([Item(document=source) for source in sources]), sources, strict=True):
        if not isinstance(found, ResultInfo) or lake.load(found.task_id).to_json() != source:
            raise Differs(f"a document saved with others did not come back byte for byte: {found}")
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


# Speed


def speed_lines(n: int, rounds: int) -> list[Line]:
    """A typical document of `n` signals there and back, against the library call named.

    Raises:
        Differs: one of the ways did not give back what went in.
    """
    source, value = generate.typical(n)
    schema = MemorySchema()
    megabytes = len(source) / 1e6

    def loads() -> None:
        # Encoding lets go of the value that it reads, which takes a quarter of reading it: so does this.
        orjson.loads(source)

    def from_dict() -> Encoded:
        written, read = text.written(value)
        return encoded(written, schema, value=read)

    with fresh_lake() as (lake, _), tempfile.TemporaryDirectory() as folder:
        original = Path(folder) / "original.json"
        original.write_bytes(source)
        task_id = lake.save(source).task_id
        paths = [lake.root / file.path for file in lake.files() if file.table != layout.RESULTS]
        _check(lake, task_id, source, value)
        copies = itertools.count()

        def load_file(_: object) -> object:
            with original.open("rb") as file:
                return json.load(file)

        def load() -> lakestore.Result:
            return lake.load(task_id)

        there = interleaved(
            {
                "orjson.loads": Case(lambda _: loads()),
                "bytes": Case(lambda _: encoded(source, schema)),
                "dict": Case(lambda _: from_dict()),
                "save": Case(lambda _: lake.save(source, task_id=f"copy {next(copies)}")),
            },
            rounds,
        )
        back = interleaved(
            {
                "orjson.dumps": Case(lambda _: orjson.dumps(value)),
                "to_json": Case(lambda result: result.to_json(), load),
                "json.load": Case(load_file),
                "document": Case(lambda result: result.document, load),
                "pq.read_table": Case(lambda _: [pq.read_table(path, partitioning=None) for path in paths]),
                "tables": Case(lambda result: result.tables, load),
                "load": Case(lambda _: load()),
            },
            rounds,
        )
    rate = megabytes / there["bytes"].core_seconds
    reached = f"{rate:.1f} MB/s (orjson.loads {megabytes / there['orjson.loads'].core_seconds:.0f})"
    lines = [Line("bytes -> encoded and proved", ">= 35 MB/s a core", reached, rate >= 35)]
    for case, timings, name, base, must in (
        ("bytes -> encoded and proved, × orjson.loads", there, "bytes", "orjson.loads", 4.0),
        ("dict -> encoded and proved, × from bytes", there, "dict", "bytes", 1.0),
        ("lake.save(bytes), × encoding alone", there, "save", "bytes", None),
        ("to_json(), × orjson.dumps of the value", back, "to_json", "orjson.dumps", 8.0),
        ("document, × json.load of the file", back, "document", "json.load", 1.0),
        ("tables, × pq.read_table of the files", back, "tables", "pq.read_table", 1.2),
        ("lake.load(), × pq.read_table of the files", back, "load", "pq.read_table", None),
    ):
        found = ratio(timings[name], timings[base])
        note = f" ± {found.spread / 2:.0%} ({1e3 * timings[name].seconds:.1f} : {1e3 * timings[base].seconds:.1f} ms)"
        lines.append(times(case, found.times, must, note))
    return lines


def _check(lake: Lake, task_id: str, source: bytes, value: Any) -> None:
    """That every way back gives what went in."""
    result = lake.load(task_id)
    if result.to_json() != source:
        raise Differs("to_json() differs from the text")
    if repr(result.document) != repr(json.loads(source)):
        raise Differs("document differs from what json reads")
    for name, table in result.tables.items():
        for key in table.column_names:
            if pa.types.is_temporal(table.schema.field(key).type):
                continue
            if table.column(key).to_pylist() != [record[key] for record in value[name]]:
                raise Differs(f"tables[{name!r}].{key} differs from the document")
    schema = MemorySchema()
    written, read = text.written(value)
    again = encoded(written, schema, value=read)
    if again.fidelity.kind != "style" or {part.table for part in again.parts} != set(result.tables):
        raise Differs("a dict is encoded otherwise than its text")


def memory_lines(documents: Mapping[str, bytes]) -> list[Line]:
    """The most that a process grows by while it saves and loads large documents."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="lakestore-bench-") as folder:
        for place, (name, source) in enumerate(documents.items()):
            lake, file = f"{folder}/lake{place}", f"{folder}/{place}.json"
            Path(file).write_bytes(source)
            for what in ("save(path)", "to_json()", "document"):
                grown = peak_memory("bench.codec:in_lake", what, lake, file)
                case = f"memory of {what}, {name} ({len(source) / 1e6:.0f} MB), × the document"
                lines.append(times(case, grown / len(source), 12.0, f" ({grown / 1e6:,.0f} MB)"))
    return lines


@contextmanager
def in_lake(what: str, folder: str, file: str) -> Iterator[Callable[[], object]]:
    """For `peak_memory`: save a file, or load what was saved, after the same was done with a tiny document."""
    with lakestore.open(folder, dsn="") as lake:
        if what == "save(path)":
            lake.save(generate.tiny().text, task_id="tiny")
            yield lambda: lake.save(Path(file), task_id="large", strategy="bench")
        elif what == "to_json()":
            lake.load("tiny").to_json()
            yield lambda: lake.load("large").to_json()
        else:
            assert lake.load("tiny").document
            yield lambda: lake.load("large").document


# Output


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


def _wanted(name: str) -> tuple[str, bytes]:
    """The document of `--detail`: a file, or `typical:10000`."""
    kind, colon, n = name.partition(":")
    if colon and kind in generate.KINDS and n.isdecimal():
        return name, generate.KINDS[kind](int(n), 0, 2).text
    return name, read_document(Path(name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the codec's sizes and speeds, or show where the bytes of one document go."""
    parser = argparse.ArgumentParser(prog="python -m bench.codec", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="small documents, few rounds, no memory: half a minute")
    parser.add_argument("--detail", metavar="FILE|KIND:N", help="take one document apart, such as typical:10000")
    parser.add_argument("--data", type=Path, default=DATA, metavar="FOLDER", help="more real documents")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write what was measured here too")
    options = parser.parse_args(arguments)
    if options.detail:
        name, source = _wanted(options.detail)
        print("\n".join(detail(name, source, encoded(source, MemorySchema(), name))))
        return 0

    def progress(what: str) -> None:
        if sys.stderr.isatty():
            print(f"… {what}", file=sys.stderr, flush=True)

    folders = [folder for folder in ((EXAMPLES,) if options.quick else (EXAMPLES, options.data)) if folder.is_dir()]
    groups = real_documents(folders, QUICK_BYTES if options.quick else None)
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    progress("typical documents")
    size = typical_lines(options.quick)
    sizes = real_sizes(groups, progress)
    size += real_lines(sizes)
    print("\n".join(["", "Size", "", *lines_table(size)]), flush=True)
    print("\n".join(["", "Real documents, everything counted, bytes", "", *sizes_table(sizes)]), flush=True)
    progress("speed")
    speed = speed_lines(10_000, 5 if options.quick else 15)
    if not options.quick:
        progress("memory")
        large = {"typical": generate.typical(MEMORY_BYTES * 10_000 // 4_185_539).text}
        real = {name: source for documents in groups.values() for name, source in documents.items()}
        name = max(real, key=lambda name: len(real[name]))
        speed += memory_lines(large | ({name: real[name]} if len(real[name]) > MEMORY_BYTES * 0.8 else {}))
    print("\n".join(["", "Speed: typical document of 10,000 signals", "", *lines_table(speed)]))
    asked = [line.ok for line in size + speed if line.ok is not None]
    print(f"\n{sum(asked)} of {len(asked)} reached; every document came back byte for byte")
    if options.json:
        result = {
            "machine": machine(),
            "size": [asdict(line) for line in size],
            "speed": [asdict(line) for line in speed],
            "documents": [asdict(item) for item in sizes],
        }
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
