"""Documents made to hurt: deep, wide, long, bombs, and names at the borders: exact, or refused in bounded memory."""

from __future__ import annotations

import gzip
import json
import math
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import lakestore
from lakestore import Lake
from lakestore.compression import zstd
from lakestore.errors import InvalidInputError, LakestoreError, NotFoundError
from lakestore.maintenance.verify import verify
from tests.lake_state import unknown_files

MEGABYTE = 1 << 20


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    return '{"strategy": "s", "x": ' + opening * levels + "1" + closing * levels + "}"


@pytest.mark.parametrize("levels", [10, 500, 990, 10_000, 1_000_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_comes_back_exactly_or_is_refused(lake: Lake, levels: int, opening: str, closing: str) -> None:
    text = nested(levels, opening, closing).encode()
    try:
        lake.save(text, task_id="deep")
    except InvalidInputError as exc:
        assert levels > 500 and "deep" in str(exc)
        assert not lake.exists("deep") and unknown_files(lake) == set()
    else:
        assert lake.load("deep").to_json() == text


@pytest.mark.parametrize("levels", [100, 900, 10_000])
def test_depth_inside_records_comes_back_exactly_or_is_refused(lake: Lake, levels: int) -> None:
    text = f'{{"strategy": "s", "rows": [{{"v": {"[" * levels}1{"]" * levels}}}, {{"v": 2}}]}}'.encode()
    try:
        lake.save(text, task_id="deep")
    except InvalidInputError as exc:
        assert levels > 500 and "deep" in str(exc)
    else:
        assert lake.load("deep").to_json() == text


@pytest.mark.parametrize(
    "document",
    [
        {"strategy": "s", "params": {f"key {n}": n for n in range(20_000)}},
        {"strategy": "s", "rows": [{f"key {n}": n for n in range(3_000)}]},
        {"strategy": "s", "rows": [{f"key {n}": n} for n in range(600)]},
        {"strategy": "s", "rows": [{"v": {f"key {n}": n for n in range(20_000)}}]},
        {"strategy": "s", **{f"table {n}": [{"v": n}] for n in range(200)}},
        {"strategy": "s", "rows": [{"k" * 100_000: 1}], "t" * 100_000: [{"v": 1}], "x": "y" * 1_000_000},
    ],
    ids=["keys", "columns", "columns of one value", "keys in a value", "tables", "long names"],
)
def test_width_comes_back_exactly(lake: Lake, document: object) -> None:
    text = json.dumps(document).encode()
    lake.save(text, task_id="wide")
    assert lake.load("wide").to_json() == text
    assert [each.problem for each in verify(lake)] == [None]
    assert len(lake.tables()) <= 64


# ---- length


def test_a_document_longer_than_the_limit_is_refused_in_every_form(
    tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKESTORE_MAX_DOCUMENT", "1k")
    value = {"strategy": "s", "note": "x" * 2000}
    text = json.dumps(value)
    (tmp_path / "long.json").write_text(text)
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        assert lake.max_document == 1000
        for document in (value, text, text.encode(), tmp_path / "long.json"):
            with pytest.raises(InvalidInputError, match=r"takes 2,0.. bytes of JSON, at most 1,000 are taken"):
                lake.save(document)
        for name, pack in (("long.json.gz", gzip.compress), ("long.json.zst", zstd.compress)):
            (tmp_path / name).write_bytes(pack(text.encode()))
            with pytest.raises(InvalidInputError, match=rf"{name} holds more than 1,000 bytes of JSON"):
                lake.save(tmp_path / name)
        assert lake.results() == [] and unknown_files(lake) == set()
        lake.save({"strategy": "s", "note": "x" * 100})


@pytest.mark.parametrize("text", ["", "much", "1TB", "-5", "1.5e9"])
def test_a_limit_that_is_no_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("LAKESTORE_MAX_DOCUMENT", text)
    with pytest.raises(InvalidInputError, match=r"LAKESTORE_MAX_DOCUMENT.*is not a size"):
        lakestore.open(tmp_path / "lake", dsn="")


def run(code: str, *arguments: str, megabytes: int) -> subprocess.CompletedProcess[str]:
    """Run a script whose address space is bounded to so much more than what its imports take."""
    script = textwrap.dedent(
        f"""
        import resource, sys
        from lakestore.cli.app import run
        import lakestore.lake, lakestore.saving, duckdb
        now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + ({megabytes} << 20),) * 2)
        """
    ) + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that grow a thousandfold: 2 GB of JSON in 2 MB and less."""
    folder = tmp_path_factory.mktemp("bombs")
    zeros = b" " * MEGABYTE
    with gzip.open(folder / "bomb.json.gz", "wb", compresslevel=1) as stream:
        for _ in range(300):
            stream.write(zeros)
    with zstd.open(folder / "bomb.json.zst", "wb") as stream:
        for _ in range(2000):
            stream.write(zeros)
    with (folder / "long.json").open("wb") as stream:
        stream.truncate(4 << 30)
    return folder


@pytest.mark.parametrize("name", ["bomb.json.gz", "bomb.json.zst", "long.json"])
@pytest.mark.parametrize("command", ["save", "inspect"])
def test_a_bomb_is_refused_in_bounded_memory(
    lake: Lake, bombs: Path, name: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {
        "LAKESTORE_LAKE": str(lake.root),
        "LAKESTORE_DSN": lake.conninfo,
        "LAKESTORE_MAX_DOCUMENT": "20MB",
    }.items():
        monkeypatch.setenv(variable, value)
    done = run("sys.exit(run(sys.argv[1:]))", command, str(bombs / name), megabytes=400)
    assert done.returncode == 3, done.stderr
    assert name in done.stderr and "20,000,000" in done.stderr and "Traceback" not in done.stderr
    assert lake.results() == []


def test_memory_that_runs_out_in_a_save_leaves_nothing(lake: Lake, tmp_path: Path) -> None:
    rows = [{"n": n, "price": n / 7, "text": str(n)} for n in range(200_000)]
    (tmp_path / "large.json").write_text(json.dumps({"strategy": "s", "rows": rows}))
    code = """
        import pathlib
        import lakestore
        with lakestore.open(sys.argv[1], dsn=sys.argv[2], create=False) as lake:
            try:
                lake.save(pathlib.Path(sys.argv[3]), task_id="large")
            except (lakestore.LakestoreError, MemoryError) as exc:
                print(type(exc).__name__)
    """
    run(code, str(lake.root), lake.conninfo, str(tmp_path / "large.json"), megabytes=60)
    assert lake.results() == [] and unknown_files(lake) == set()
    lake.save(tmp_path / "large.json", task_id="large")
    assert lake.sql("SELECT count(*) FROM rows").fetchall() == [(200_000,)]


# ---- names

NAMES = [
    "CON", "con", "NUL", "aux.parquet", "COM1", "LPT9.txt", "PRN ", "..", ".", "...", "../../etc/passwd", "/etc/passwd",
    "..\\..\\x", "C:\\x", "\\\\server\\share", "a/b", "a\\b", "~", "~root", "$HOME", "`id`", "$(id)", "%2e%2e%2f",
    "%00", "a%", "%", "x=y", "strategy=x", "run_date=2024-01-01", "*", "?", "[a]", "{a,b}", "a b", " a", "a ", "a.",
    ".a", "-rf", "--help", "a\nb", "a\tb", "\x7f", "\x01", "\u202e", "\ufeff", "é", "e\u0301", "策略", "😀", "a" * 200,
    "NULL", "null", "None", "True", "0", "-0", "1e5", "NaN", "'; DROP TABLE lake; --", '"', "'", "''", "\u2028",
]  # fmt: skip


def test_any_name_is_a_strategy_a_task_id_and_a_key_and_stays_inside(lake: Lake, tmp_path: Path) -> None:
    for n, name in enumerate(NAMES):
        document = {"strategy": name, "status": name, name: [{name: n}], "orders": [{"n": n}]}
        lake.save(document, task_id=f"{n}/{name}")
    for n, name in enumerate(NAMES):
        result = lake.load(f"{n}/{name}")
        assert result.info.strategy == name == result.document["strategy"]
        assert result.document[name] == [{name: n}] or name == "strategy"
        assert [info.task_id for info in lake.results(strategy=name)] == [f"{n}/{name}"]
        assert lake.sql("SELECT n FROM orders WHERE strategy = ?", [name]).fetchall() == [(n,)]
    assert lake.sql("SELECT count(DISTINCT strategy) FROM orders", untrusted=True).fetchall() == [(len(NAMES),)]
    # No table, folder or file but those that a lake has.
    assert {path.name for path in tmp_path.iterdir()} == {"lake"}
    for path in lake.root.rglob("*"):
        assert path.resolve().is_relative_to(lake.root.resolve())
        assert all(32 < ord(sign) < 127 and sign not in '\\:*?"<>|' for sign in path.relative_to(lake.root).as_posix())
    assert unknown_files(lake) == set()
    for name in NAMES:
        lake.delete(f"{NAMES.index(name)}/{name}")
    assert lake.results() == []


@pytest.mark.parametrize(
    ("task_id", "strategy", "problem"),
    [
        ("a" * 512, "s", None),
        ("é" * 256, "s", None),
        ("a" * 513, "s", "513 bytes of UTF-8, at most 512"),
        ("é" * 257, "s", "514 bytes of UTF-8, at most 512"),
        ("", "s", "task_id"),
        ("a\0", "s", "task_id"),
        ("\ud800", "s", "task_id"),
        ("a", "s" * 240, None),
        ("a", "%" * 80, None),
        ("a", "s" * 241, "241 .*at most 240"),
        ("a", "%" * 81, "243 .*at most 240"),
        ("a", "策" * 27, "243 .*at most 240"),
        ("a", "", "strategy"),
        ("a", "s\0", "strategy"),
        ("a", "\udfff", "strategy"),
        ("a", "__HIVE_DEFAULT_PARTITION__", "strategy"),
    ],
)
def test_identities_are_kept_up_to_their_limits_and_refused_beyond(
    lake: Lake, task_id: str, strategy: str, problem: str | None
) -> None:
    document = {"rows": [{"n": 1}]}
    if problem is None:
        lake.save(document, task_id=task_id, strategy=strategy)
        assert lake.load(task_id).info.strategy == strategy
        assert lake.sql("SELECT task_id, strategy FROM rows").fetchall() == [(task_id, strategy)]
        lake.delete(task_id)
    else:
        with pytest.raises(InvalidInputError, match=problem):
            lake.save(document, task_id=task_id, strategy=strategy)
        with pytest.raises((NotFoundError, InvalidInputError)):
            lake.load(task_id)
        with pytest.raises((NotFoundError, InvalidInputError)):
            lake.delete(task_id)
    assert lake.results() == [] and lake.results(strategy=strategy) == []


@pytest.mark.parametrize(
    "name", ["results", "_lakestore", "lake", "a" * 65, "A", "a-b", "", "x\0y", "\ud800", "select"]
)
def test_tables_of_any_key_have_a_name_that_sql_can_say(lake: Lake, name: str) -> None:
    text = json.dumps({"strategy": "s", name: [{"v": 7}]}).encode()
    try:
        lake.save(text, task_id="a")
    except LakestoreError as exc:
        pytest.fail(str(exc))
    (table,) = lake.tables()
    assert table != "results" and not table.startswith("_") and len(table) <= 64
    assert lake.sql(f'SELECT v FROM "{table}"', untrusted=True).fetchall() == [(7,)]
    assert lake.load("a").to_json() == text


def test_the_limit_of_memory_is_real() -> None:
    done = run("x = bytearray(500 << 20)", megabytes=100)
    assert done.returncode != 0 and "MemoryError" in done.stderr
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def test_values_that_only_python_reads_are_made_without_the_text(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    document = {
        "strategy": "s",
        "params": {"limit": math.inf, "name": "\ud800"},
        "trades": [{"pnl": math.nan, "size": 1}, {"pnl": -0.0, "size": 10**30}, {"pnl": 1e-07, "size": 2}],
    }
    lake.save(document, task_id="a")
    result = lake.load("a")
    monkeypatch.setattr(type(result), "to_json", None)
    assert repr(result.document) == repr(document)
