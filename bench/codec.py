"""The codec's two tables, "Size" and "Speed": what must be reached beside what was reached.

`python -m bench.codec` measures both, on documents made from a seed, on those under `examples/`, and on those of a
folder of real results (`--data`). Everything a result takes is counted: its files with the one of
the table `results`, and its rows in the catalog. Every document is loaded again and compared byte for byte; one that
differs ends the run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

import lakestore
from bench.measure import (
    Case,
    Line,
    Wrong,
    detail,
    interleaved,
    lines_table,
    machine,
    peak_memory,
    ratio,
    times,
)
from bench.sizes import (
    encoded,
    fresh_lake,
    read_document,
    real_documents,
    real_lines,
    real_sizes,
    sizes_table,
    typical_lines,
)
from lakestore import Lake, layout
from lakestore.bench import generate
from lakestore.catalog.memory import MemorySchema
from lakestore.codec.encode import Encoded
from lakestore.codec.given import written

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
BESIDE = ROOT.parent / "shared" / "data"
"""Where more real documents may lie, beside a checkout."""
QUICK_BYTES = 1 << 20
"""Real documents beyond this are left out of a quick run."""
MEMORY_BYTES = 34_000_000
"""JSON of a document whose memory is measured."""


def speed_lines(n: int, rounds: int) -> list[Line]:
    """A typical document of `n` signals there and back, against the library call named.

    Raises:
        Wrong: one of the ways did not give back what went in.
    """
    source, value = generate.typical(n)
    schema = MemorySchema()
    megabytes = len(source) / 1e6

    def loads() -> None:
        # Encoding lets go of the value that it reads, which takes a quarter of reading it: so does this.
        orjson.loads(source)

    def from_dict() -> Encoded:
        given = written(value)
        return encoded(given.text, schema, given=given)

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
        raise Wrong("to_json() differs from the text")
    if repr(result.document) != repr(json.loads(source)):
        raise Wrong("document differs from what json reads")
    for name, table in result.tables.items():
        for key in table.column_names:
            if pa.types.is_temporal(table.schema.field(key).type):
                continue
            if table.column(key).to_pylist() != [record[key] for record in value[name]]:
                raise Wrong(f"tables[{name!r}].{key} differs from the document")
    schema = MemorySchema()
    given = written(value)
    again = encoded(given.text, schema, given=given)
    if again.fidelity.kind != "style" or {part.table for part in again.parts} != set(result.tables):
        raise Wrong("a dict is encoded otherwise than its text")


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
    parser.add_argument(
        "--data",
        type=Path,
        default=BESIDE,
        metavar="FOLDER",
        help="more real documents, such as your own (default: shared/data beside the checkout, where it is there)",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write what was measured here too")
    options = parser.parse_args(arguments)
    if options.detail:
        name, source = _wanted(options.detail)
        print("\n".join(detail(name, source, encoded(source, MemorySchema(), name))))
        return 0

    def progress(what: str) -> None:
        if sys.stderr.isatty():
            print(f"… {what}", file=sys.stderr, flush=True)

    folders = [EXAMPLES] if options.quick else [EXAMPLES, options.data]
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
