"""The codec's two tables, "Size" and "Speed": what must be reached beside what was reached.

`python -m bench.codec` measures both, on documents made from a seed, on those under `examples/`, and on those under
`../shared/data` where that folder is there. Everything a result takes is counted: its files with the one of the table
`results`, and its rows in the catalog. Every document is loaded again and compared byte for byte; one that differs
ends the run.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

import lakestore
from bench import generate
from bench.measure import Case, interleaved, peak_memory, ratio
from lakestore import Lake, layout, parquet
from lakestore.catalog.columns import Wishes, free_table_name, plan
from lakestore.codec import encode, text
from lakestore.codec.encode import Encoded
from lakestore.codec.envelope import Envelope
from lakestore.model import FIRST_FIELD_ID, LakeTable, NewColumn, ResultInfo, SqlType

try:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # before Python 3.14
    from backports import zstd

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (ROOT / "examples", ROOT.parent / "shared" / "data")
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
class Line:
    """One case of a table; `ok` is None where nothing is asked."""

    case: str
    must: str
    reached: str
    ok: bool | None


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


class MemorySchema:
    """`encode.Schema` without a database, by the rules that the catalog runs in a transaction."""

    def __init__(self) -> None:
        self.tables: dict[str, LakeTable] = {}

    def table(self, key: str, wanted: str) -> LakeTable:
        """The lake table for a document key."""
        if key not in self.tables:
            taken = {table.name for table in self.tables.values()}
            self.tables[key] = LakeTable(free_table_name(wanted, taken), key)
        return self.tables[key]

    def reserve(
        self,
        table: str,
        wishes: Sequence[NewColumn],
        *,
        widen: Sequence[int],
        mark_wide: Sequence[int],
        settype: Mapping[int, SqlType],
    ) -> LakeTable:
        """The lake table after what is wished for was reserved."""
        old = next(each for each in self.tables.values() if each.name == table)
        used = [column.field_id for each in self.tables.values() for column in each.columns]
        next_field_id = max(used, default=FIRST_FIELD_ID - 1) + 1
        columns = plan(table, old.columns, Wishes(wishes, widen, mark_wide, settype), next_field_id=next_field_id)
        self.tables[old.key] = LakeTable(table, old.key, columns)
        return self.tables[old.key]


def encoded(source: bytes, schema: MemorySchema, where: str = "the document") -> Encoded:
    """A text encoded and proved, as a save does it."""
    draft = encode.read(source, where, None)
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
    draft = encode.read(source, name, None)
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
        "result_files": "write_id = ANY (%(ids)s::uuid[])",
        "data_files": "file_id IN (SELECT file_id FROM result_files WHERE write_id = ANY (%(ids)s::uuid[]))",
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
    """What documents take together once their files were merged, a file for each table (merged here, in memory)."""
    infos = [saved(lake, source, "a typical document")[0] for source in sources]
    files = 0
    for name in {file.table for file in lake.files()}:
        paths = [lake.root / file.path for file in lake.files(name)]
        merged = pa.concat_tables(
            [pq.read_table(path, partitioning=None) for path in paths], promote_options="permissive"
        )
        table = lake.tables().get(name, LakeTable(name, ""))
        files += len(parquet.to_buffer(merged.combine_chunks(), table.columns, key=table.key))
    rows = catalog_bytes(catalog, [info.write_id.hex for info in infos])
    rows["data_files"] //= len(infos)
    return Sizes(
        f"{len(sources)} results",
        sum(sum(info.tables.values()) for info in infos),
        sum(map(len, sources)),
        files,
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
                packed = len(zstd.compress(source, level=19))
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
        half = median(item.ratio for item in items)
        alone = median(item.files / item.zstd for item in items)
        lines.append(_times(f"{what}: median of {len(items)}, × zstd -19", half, middle))
        lines.append(_times(f"{what}: worst ({worst.name})", worst.ratio, most))
        lines.append(_times(f"{what}: median of files alone", alone, None))
    if sizes:
        cheap = [item for item in sizes if item.fidelity != "original"]
        share = 100 * len(cheap) / len(sizes)
        lines.append(Line("real: style or patched", ">= 95 %", f"{share:.1f} % of {len(sizes)}", share >= 95))
        cost = max(100 * item.fidelity_bytes / item.json for item in cheap) if cheap else 0.0
        lines.append(Line("real: largest patch", "< 2 % of the JSON", f"{cost:.2f} %", cost < 2))
    return lines


def _times(case: str, reached: float, must: float | None, note: str = "") -> Line:
    asked = "—" if must is None else f"<= {must:.2f} ×"
    return Line(case, asked, f"{reached:.2f} ×{note}", None if must is None else reached <= must)


# Speed


def speed_lines(n: int, rounds: int) -> list[Line]:
    """A typical document of `n` signals there and back, against the library call named.

    Raises:
        Differs: one of the ways did not give back what went in.
    """
    source, value = generate.typical(n)
    schema = MemorySchema()
    megabytes = len(source) / 1e6

    def from_dict() -> Encoded:
        return encoded(text.serialise(value), schema)

    with fresh_lake() as (lake, _), tempfile.TemporaryDirectory() as folder:
        original = Path(folder) / "original.json"
        original.write_bytes(source)
        task_id = lake.save(source).task_id
        paths = [lake.root / file.path for file in lake.files() if file.table != layout.RESULTS]
        _check(lake, task_id, source, value)
        count = iter(range(1 << 30))

        def load_file(_: object) -> object:
            with original.open("rb") as file:
                return json.load(file)

        def load() -> lakestore.Result:
            return lake.load(task_id)

        there = interleaved(
            {
                "orjson.loads": Case(lambda _: orjson.loads(source)),
                "bytes": Case(lambda _: encoded(source, schema)),
                "dict": Case(lambda _: from_dict()),
                "save": Case(lambda _: lake.save(source, task_id=f"copy {next(count)}")),
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
    lines = [Line("bytes -> encoded and proved", ">= 35 MB/s a core", f"{rate:.1f} MB/s", rate >= 35)]
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
        lines.append(_times(case, found.times, must, note))
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
    again = encoded(text.serialise(value), schema)
    if again.fidelity.kind != "style" or {part.table for part in again.parts} != set(result.tables):
        raise Differs("a dict is encoded otherwise than its text")


def memory_lines(documents: Mapping[str, bytes]) -> list[Line]:
    """The most that a process grows by while it saves and loads large documents."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="lakestore-bench-") as folder:
        for place, (name, source) in enumerate(documents.items()):
            lake, file = f"{folder}/lake{place}", f"{folder}/{place}.json"
            Path(file).write_bytes(source)
            for what, work in (("save(path)", "saving"), ("to_json()", "loading"), ("document", "reading")):
                grown = peak_memory(f"bench.codec:{work}", lake, file)
                case = f"memory of {what}, {name} ({len(source) / 1e6:.0f} MB), × the document"
                lines.append(_times(case, grown / len(source), 12.0, f" ({grown / 1e6:,.0f} MB)"))
    return lines


@contextmanager
def saving(folder: str, file: str) -> Iterator[Callable[[], object]]:
    """For `peak_memory`: save a file in a lake where a tiny document was saved before."""
    with lakestore.open(folder, dsn="") as lake:
        lake.save(generate.tiny().text, task_id="tiny")
        yield lambda: lake.save(Path(file), task_id="large", strategy="bench")


@contextmanager
def loading(folder: str, _: str) -> Iterator[Callable[[], object]]:
    """For `peak_memory`: the text of what `saving` saved."""
    with lakestore.open(folder, dsn="") as lake:
        lake.load("tiny").to_json()
        yield lambda: lake.load("large").to_json()


@contextmanager
def reading(folder: str, _: str) -> Iterator[Callable[[], object]]:
    """For `peak_memory`: the value of what `saving` saved."""
    with lakestore.open(folder, dsn="") as lake:
        assert lake.load("tiny").document
        yield lambda: lake.load("large").document


# Where the bytes go


def detail(name: str, source: bytes) -> Iterator[str]:
    """One document taken apart: the bytes of each table, column, footer, and of the envelope."""
    made = encoded(source, MemorySchema(), name)
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
        rows.append((where, f"{part.rows:,} rows", "", _count(len(part.data)), _share(len(part.data), total), "", ""))
        footer = file.serialized_size
        rows.append(("", "footer", "", _count(footer), _share(footer, total), "", f"own metadata {own:,} B of it"))
        for size, raw, path, kind, encodings in sorted(columns, reverse=True):
            each = f"{size / max(part.rows, 1):.2f}"
            rows.append(
                ("", path, kind, _count(size), _share(size, total), each, f"{encodings}; {raw:,} B before zstd")
            )
    size = len(made.envelope)
    rows.append(("envelope", "", "", _count(size), _share(size, total), "", ""))
    for what, data in (
        ("document without its tables", envelope.skeleton),
        ("masks, ids, patches", b"".join(envelope.blobs)),
        ("regions", repr(envelope.regions).encode()),
    ):
        alone = len(zstd.compress(data, level=12))
        rows.append(("", what, "", _count(alone), _share(alone, total), "", f"on its own; {len(data):,} B before zstd"))
    yield from aligned(("table", "column", "type", "bytes", "share", "B/row", ""), rows, right=(3, 4, 5))


def _kind(column: pq.ColumnSchema) -> str:
    """Physical and logical type in few words."""
    logical = json.loads(column.logical_type.to_json())
    said = [str(logical[name]) for name in ("precision", "scale", "timeUnit") if name in logical]
    kind = "" if logical["Type"] == "None" else f" {logical['Type']}"
    return f"{column.physical_type}{kind}{f'({chr(44).join(said)})' if said else ''}"


def _count(size: int) -> str:
    return f"{size:,}"


def _share(size: int, total: int) -> str:
    return f"{size / total:.1%}"


# Output


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


def sizes_table(sizes: Sequence[Sizes]) -> Iterator[str]:
    """The real documents as text, the worst first."""
    rows = [
        (
            item.name,
            _count(item.records),
            _count(item.json),
            _count(item.zstd),
            _count(item.files),
            _count(item.catalog),
            f"{item.ratio:.2f}",
            f"{item.saved:.1f}",
            item.fidelity,
            _count(item.fidelity_bytes),
            f"{item.json / 1e6 / item.seconds:.1f}",
        )
        for item in sorted(sizes, key=lambda item: -item.ratio)
    ]
    header = ("document", "records", "JSON", "zstd -19", "files", "catalog", "×", "% off", "fidelity", "bytes", "MB/s")
    return aligned(header, rows, right=(1, 2, 3, 4, 5, 6, 7, 9, 10))


def machine() -> dict[str, str]:
    """What was measured on."""
    return {
        "python": platform.python_version(),
        "pyarrow": pa.__version__,
        "orjson": orjson.__version__,
        "lakestore": version("lakestore"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


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
    parser.add_argument("--json", type=Path, metavar="OUT", help="write what was measured here too")
    options = parser.parse_args(arguments)
    if options.detail:
        print("\n".join(detail(*_wanted(options.detail))))
        return 0

    def progress(what: str) -> None:
        if sys.stderr.isatty():
            print(f"… {what}", file=sys.stderr, flush=True)

    folders = [folder for folder in FOLDERS[: 1 if options.quick else None] if folder.is_dir()]
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
    asked = [line for line in size + speed if line.ok is not None]
    print(f"\n{sum(line.ok is True for line in asked)} of {len(asked)} reached; every document came back byte for byte")
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
