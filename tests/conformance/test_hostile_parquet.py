"""Damaged and hostile Parquet in the place of a data file: refused by name, in a process that goes on living."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest

import lakestore
from lakestore import Lake
from lakestore.errors import CorruptFileError, LakestoreError
from tests.conformance.suites import members
from tests.fuzz.damage import damage, footer_start
from tests.fuzz.fuzz_parquet import fill, fuzz

BAD = [(name, data) for name, data in members("parquet_bad_data.zip", "bad_data/") if name.endswith(".parquet")]
# What a library does to the process must not be done to the tests: hence one of its own, fed with names of files.
PROBE = """
import json, pathlib, resource, sys
import lakestore
from lakestore import parquet
from lakestore.errors import LakestoreError
from tests.conformance.test_hostile_parquet import believe
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

def told(call):
    try:
        call()
    except LakestoreError as exc:
        return [exc.kind, str(exc)]
    return ["done", ""]

path = pathlib.Path(sys.argv[3])
with lakestore.open(sys.argv[1], dsn=sys.argv[2]) as lake:
    for line in sys.stdin:
        path.write_bytes(pathlib.Path(line.strip()).read_bytes())
        believe(lake, path)
        print(json.dumps([
            told(lambda: lake.load("victim").to_json()),
            told(lambda: lake.load("victim").document),
            told(lambda: lake.load("victim").tables),
            told(lambda: lake.sql("FROM signals", untrusted=True).fetchall()),
            told(lambda: parquet.from_buffer(path.read_bytes(), str(path))),
        ]), flush=True)
"""


@pytest.fixture
def lake(tmp_path: Path, dsn: str) -> Iterator[Lake]:
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        fill(lake)
        yield lake


def path_of(lake: Lake, table: str) -> Path:
    (path,) = [lake.root / file.path for file in lake.files() if file.table == table]
    return path


def believe(lake: Lake, path: Path) -> None:
    """Make the catalog say that a file was committed with the bytes that it has now."""
    data = path.read_bytes()
    with psycopg.connect(lake.conninfo) as conn:
        conn.execute(
            "UPDATE data_files SET bytes = %s, sha256 = %s WHERE path = %s",
            [len(data), sha256(data).digest(), path.relative_to(lake.root).as_posix()],
        )


@pytest.mark.parametrize("table", ["signals", "results"])
def test_bad_files_that_the_catalog_believes_in_are_refused_by_name(lake: Lake, tmp_path: Path, table: str) -> None:
    path = path_of(lake, table)
    names = [tmp_path / name for name, _ in BAD]
    for name, (_, data) in zip(names, BAD, strict=True):
        name.write_bytes(data)
    command = [sys.executable, "-c", PROBE, str(lake.root), lake.conninfo, str(path)]
    given = "".join(f"{name}\n" for name in names)
    probe = subprocess.run(command, input=given, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    lines = probe.stdout.splitlines()
    assert probe.returncode == 0, f"after {len(lines)} files: {probe.stderr}"
    assert len(lines) == len(BAD) == 8
    for line in lines:
        text, document, tables, answer, read = json.loads(line)
        for kind, message in (text, document) if table == "results" else (text, document, tables):
            assert kind == "corrupt_file" and (path.name in message or "'victim'" in message), message
        # Some are whole for a reader that does not ask for everything; none has a column of the lake.
        assert answer[0] in ("done", "corrupt_file") and read[0] in ("done", "corrupt_file")


def test_two_hundred_damaged_files_are_refused_by_name(lake: Lake) -> None:
    found = fuzz(lake.root, lake.conninfo, 200, seed=1)
    assert found.faults == []
    wrong = {what for what, end in found.ends if end == "wrong"}
    # SQL compares no checksum of pages; whatever else changed is noticed.
    assert wrong <= {"signals: bits flipped in pages", "signals: overwritten"}


@pytest.mark.parametrize("change", ["shorter", "longer", "footer", "other"])
def test_sql_notices_a_file_of_another_size_or_footer(lake: Lake, change: str) -> None:
    path = path_of(lake, "signals")
    data = path.read_bytes()
    # What was found whole once is looked at again when it has changed.
    lake.sql("SELECT sum(n) FROM signals").fetchall()
    middle = (footer_start(data) + len(data)) // 2
    path.write_bytes(
        {
            "shorter": data[:-1],
            "longer": data + b"\0",
            "footer": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            # A whole file, readable and of one column less, which would answer as if all of that were null.
            "other": path_of(lake, "results").read_bytes(),
        }[change]
    )
    ask: list[Callable[[], object]] = [
        lambda: lake.sql("SELECT sum(n) FROM signals", untrusted=True),
        lambda: lake.sql("SELECT sum(n) FROM signals").fetchall(),
        lake.connect,
    ]
    for call in ask:
        with pytest.raises(CorruptFileError, match=f"{path.name} is damaged"):
            call()
    assert lake.sql("SELECT count(*) FROM results").fetchall() == [(1,)]


def test_a_file_whose_pages_are_damaged_is_named_by_sql_where_it_cannot_be_read(lake: Lake) -> None:
    path = path_of(lake, "signals")
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(footer_start(data) - 16) + data[footer_start(data) - 12 :])
    with pytest.raises(CorruptFileError, match=path.name):
        lake.sql("FROM signals", untrusted=True)


def test_a_missing_file_is_named(lake: Lake) -> None:
    path = path_of(lake, "signals")
    path.unlink()
    with pytest.raises(CorruptFileError, match=path.name):
        lake.sql("FROM signals", untrusted=True)
    with pytest.raises(LakestoreError, match=path.name):
        lake.load("victim").to_json()


def test_damage_always_changes_the_file() -> None:
    data = bytes(range(256)) * 4 + b"footer" * 10 + (60).to_bytes(4, "little") + b"PAR1"
    ways = {way for number in range(300) if (made := damage(data, random.Random(number))) for way in made[:1]}
    assert len(ways) == 8
    assert all(damage(data, random.Random(number))[1] != data for number in range(300))
