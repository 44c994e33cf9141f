"""The command line on a real lake: what it prints, where, and with which exit code."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lakestore.cli.app import run
from lakestore.compression import zstd

ROOT = Path(__file__).parents[2]

RUN_A = {
    "task_id": "a1",
    "strategy": "breakout",
    "created_at": "2024-05-01T10:00:00Z",
    "params": {"fast": 5, "slow": 20},
    "metrics": {"sharpe": 1.25},
    "trades": [
        {"pair": "BTC/USD", "pnl": 10.25, "qty": 1, "tags": ["x"]},
        {"pair": "ETH/USD", "pnl": -3.5, "qty": 2, "tags": []},
    ],
}
RUN_B = {
    "task_id": "b1",
    "strategy": "revert",
    "created_at": "2024-05-02T10:00:00Z",
    "trades": [{"pair": "BTC/USD", "pnl": 7, "qty": 3, "tags": None}],
}


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


Call = Callable[..., Done]


@pytest.fixture
def call(
    tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Iterator[Call]:
    """`lakestore ARGS…` in this process, in a folder of its own, on a lake that is not made yet."""
    for name in [name for name in os.environ if name.startswith("LAKESTORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LAKESTORE_DSN", dsn)
    monkeypatch.chdir(tmp_path)

    def call(*args: str, stdin: bytes = b"") -> Done:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            code = run(args)
        out, err = capfdbinary.readouterr()
        assert b"Traceback" not in err
        return Done(code, out.decode(), err.decode())

    yield call


@pytest.fixture
def lake(call: Call, tmp_path: Path) -> Path:
    """The folder of a lake that holds run a1 and run b1."""
    assert call("init").code == 0
    for name, document in {"a.json": RUN_A, "b.json": RUN_B}.items():
        (tmp_path / name).write_text(json.dumps(document))
    done = call("save", "a.json", "b.json")
    assert (done.code, done.err) == (0, "")
    return tmp_path / "lake"


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """`lakestore ARGS…` as a process of its own, with the embedded catalog."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAKESTORE_")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def start(*args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "lakestore", *args],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Where the tests run in the background Ctrl-C is ignored, and so would it be here.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start


def ids(done: Done) -> list[str]:
    return [row["task_id"] for row in done.json()]


# save and load


def test_init_refuses_a_lake_that_is_there(call: Call, lake: Path) -> None:
    done = call("init")
    assert (done.code, done.out) == (5, "")
    assert done.err.startswith("error: ")


@pytest.mark.parametrize(
    "text",
    [
        b'{"strategy": "s", "x": [1.50, NaN, -0.0, 1e400, 12345678901234567890123]}',
        b'\xef\xbb\xbf{ "strategy" : "s",\r\n\t"trades":[{"p":1},{"p":"\\u00e9\xc3\xa9"}] }\n\n',
        b'{"strategy":"s","strategy":"t","a":{"a":1,"a":2}}',
    ],
)
def test_load_prints_the_bytes_that_were_saved(
    call: Call, text: bytes, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    call("init")
    assert call("save", "-", "--task-id", "x", "--strategy", "s", stdin=text).code == 0
    assert run(["load", "x"]) == 0
    assert capfdbinary.readouterr() == (text, b"")


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstd.compress)])
def test_save_reads_compressed_files(call: Call, tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    text = json.dumps(RUN_A, indent=2)
    (tmp_path / f"a.json{suffix}").write_bytes(pack(text.encode()))
    call("init")
    assert call("save", f"a.json{suffix}").code == 0
    assert call("load", "a1").out == text


def test_a_document_without_a_time_takes_its_file_s_compressed_or_not(call: Call, tmp_path: Path) -> None:
    text = b'{"strategy": "s", "x": %d}'
    (tmp_path / "plain.json").write_bytes(text % 1)
    (tmp_path / "packed.json.gz").write_bytes(gzip.compress(text % 2))
    for path in tmp_path.glob("*.json*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    call("init")
    assert call("save", "plain.json", "packed.json.gz").code == 0
    assert {row["created_at"] for row in call("results", "--format", "json").json()} == {"2020-09-13T12:26:40Z"}


def test_save_says_what_it_saved_on_one_line_a_file(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(RUN_A))
    call("init")
    done = call("save", "a.json")
    assert done.out.startswith("saved a.json as a1: breakout, 2 rows, ")
    assert done.out.count("\n") == 1
    assert call("save", "a.json", "--quiet").out == "a1\n"


def test_saving_the_same_again_succeeds_and_changes_nothing(call: Call, lake: Path) -> None:
    before = call("results", "--format", "json").out
    assert call("save", "a.json").code == 0
    assert call("results", "--format", "json").out == before


def test_other_content_under_the_same_id_is_refused_unless_it_replaces(call: Call, lake: Path) -> None:
    changed = json.dumps(RUN_A | {"params": {}}).encode()
    done = call("save", "-", stdin=changed)
    assert (done.code, done.out) == (5, "")
    assert "a1" in done.err
    assert call("save", "-", "--replace", stdin=changed).code == 0
    assert call("load", "a1").out.encode() == changed


def test_one_bad_file_does_not_keep_the_others_out(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(RUN_A))
    (tmp_path / "bad.json").write_text('{"strategy": "s", ')
    (tmp_path / "b.json").write_text(json.dumps(RUN_B))
    call("init")
    done = call("save", "a.json", "bad.json", "none.json", "b.json")
    assert done.code == 3
    assert [line.split()[1] for line in done.out.splitlines()] == ["a.json", "b.json"]
    errors = done.err.splitlines()
    assert all(line.startswith("error: ") for line in errors[:2])
    assert "bad.json" in errors[0] and "none.json" in errors[1]
    assert errors[2] == "2 of 4 files were not saved"
    assert ids(call("results", "--format", "json")) == ["b1", "a1"]


def test_a_document_without_a_strategy_is_refused_with_what_to_give(call: Call) -> None:
    call("init")
    done = call("save", "-", stdin=b'{"trades": []}')
    assert done.code == 3
    assert "strategy" in done.err


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("none.json", None, 4),
        (".", None, 3),
        ("cut.json.gz", gzip.compress(b"{}" * 99, mtime=0)[:-9], 3),
        ("no.zst", b"{}", 3),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    call: Call, tmp_path: Path, name: str, content: bytes | None, code: int
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    call("init")
    done = call("save", name, "--strategy", "s")
    assert (done.code, done.out) == (code, "")
    assert name in done.err


def test_one_task_id_cannot_name_two_files(call: Call, lake: Path) -> None:
    done = call("save", "--task-id", "x", "a.json", "b.json")
    assert done.code == 2
    assert "--task-id names one result" in done.err


def test_load_writes_a_file_and_does_not_overwrite_one(call: Call, lake: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    assert call("load", "a1", "-o", "out.json") == Done(0, "", "")
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "a.json").read_bytes()
    done = call("load", "b1", "-o", "out.json")
    assert done.code == 5 and "--force" in done.err
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "a.json").read_bytes()
    assert call("load", "b1", "-o", "out.json", "--force").code == 0
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert set(tmp_path.iterdir()) - before == {tmp_path / "out.json"}


@pytest.mark.parametrize(("target", "code"), [("none/out.json", 10), ("folder", 5), ("folder/", 5)])
def test_load_says_when_it_cannot_write(call: Call, lake: Path, tmp_path: Path, target: str, code: int) -> None:
    (tmp_path / "folder").mkdir()
    done = call("load", "a1", "-o", target)
    assert (done.code, done.out) == (code, "")
    assert call("load", "a1", "-o", "folder", "--force").code == 3


def test_a_result_that_is_not_there_is_named(call: Call, lake: Path) -> None:
    done = call("load", "nobody")
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith("error: ") and "nobody" in done.err


# results, tables, files


def test_results_are_listed_newest_first(call: Call, lake: Path) -> None:
    lines = call("results").out.splitlines()
    assert lines[0].split() == ["task_id", "strategy", "status", "created_at", "json_size", "file_size"]
    assert lines[2].split()[:4] == ["b1", "revert", "completed", "2024-05-02T10:00:00Z"]
    assert lines[3].split()[:4] == ["a1", "breakout", "completed", "2024-05-01T10:00:00Z"]


def test_results_in_json_hold_what_the_catalog_knows(call: Call, lake: Path) -> None:
    (row,) = call("results", "--strategy", "breakout", "--format", "json").json()
    assert row["params"] == {"fast": 5, "slow": 20}
    assert row["metrics"] == {"sharpe": 1.25}
    assert row["tables"] == {"trades": 2}
    assert row["json_size"] == len(json.dumps(RUN_A))
    assert row["profile"] == "generic"
    assert set(row) == {
        "task_id", "strategy", "status", "created_at", "json_size", "file_size", "run_date", "strategies",
        "sha256", "profile", "fidelity", "fidelity_bytes", "saved_at", "tables", "params", "metrics",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--strategy revert", ["b1"]),
        ("--status failed", []),
        ("--since 2024-05-02", ["b1"]),
        ("--until 2024-05-02", ["a1"]),
        ("--since 7d", []),
        ("--limit 1", ["b1"]),
        ("--limit 1 --after b1", ["a1"]),
        ("--after a1", []),
    ],
)
def test_results_are_chosen_and_paged(call: Call, lake: Path, options: str, expected: list[str]) -> None:
    assert ids(call("results", "--format", "json", *options.split())) == expected


def test_a_time_that_is_none_is_refused(call: Call, lake: Path) -> None:
    done = call("results", "--since", "yesterday-ish")
    assert done.code == 3 and "yesterday-ish" in done.err


def test_tables_name_columns_types_and_keys(call: Call, lake: Path) -> None:
    rows = {(row["table"], row["column"]): row for row in call("tables", "--format", "json").json()}
    assert rows["trades", "pair"]["type"] == "VARCHAR"
    assert rows["trades", "pair"]["key"] == '"pair"'
    assert rows["trades", "pnl"]["type"] == "DOUBLE"
    assert rows["trades", "tags"]["type"] == "VARCHAR[]"


def test_files_are_absolute_and_other_tools_read_them(call: Call, lake: Path) -> None:
    paths = call("files", "--table", "trades").out.splitlines()
    assert len(paths) == 2
    assert all(Path(path).is_absolute() and Path(path).is_relative_to(lake) for path in paths)
    with duckdb.connect() as con:
        (total,) = con.execute("SELECT sum(pnl::DOUBLE) FROM read_parquet($1, union_by_name=true)", [paths]).fetchone()
    assert call("sql", "SELECT sum(pnl) AS total FROM trades", "--format", "json").json() == [{"total": total}]
    assert total == 13.75


def test_files_in_json_say_what_they_hold(call: Call, lake: Path) -> None:
    (row,) = call("files", "--table", "trades", "--strategy", "breakout", "--format", "json").json()
    path = Path(row.pop("path"))
    assert row == {
        "table": "trades", "strategy": "breakout", "run_date": "2024-05-01", "rows": 2,
        "bytes": path.stat().st_size, "dead": [],
    }  # fmt: skip


def test_a_table_that_is_not_there_is_not_an_empty_answer(call: Call, lake: Path) -> None:
    done = call("files", "--table", "nothing")
    assert (done.code, done.out) == (4, "") and "nothing" in done.err


# sql


def test_sql_answers_as_a_table(call: Call, lake: Path) -> None:
    done = call("sql", "SELECT strategy, count(*) AS n, avg(pnl) AS mean FROM trades GROUP BY ALL ORDER BY n DESC")
    assert done.out.splitlines() == [
        "strategy  n   mean",
        "--------  -  -----",
        "breakout  2  3.375",
        "revert    1    7.0",
    ]


def test_sql_reads_the_query_from_standard_input(call: Call, lake: Path) -> None:
    done = call("sql", "-", "--format", "csv", stdin=b"SELECT pair, tags\nFROM trades ORDER BY pnl; -- done\n")
    assert list(csv.reader(io.StringIO(done.out))) == [
        ["pair", "tags"],
        ["ETH/USD", "[]"],
        ["BTC/USD", ""],
        ["BTC/USD", '["x"]'],
    ]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727"),
        ("1.50::DECIMAL(9, 2)", "1.50"),
        ("0.1::DOUBLE", "0.1"),
        ("'-0'::DOUBLE", "-0.0"),
        ("'nan'::DOUBLE", '"NaN"'),
        ("'-inf'::DOUBLE", '"-Infinity"'),
        ("true", "true"),
        ("NULL", "null"),
        ("DATE '2024-02-29'", '"2024-02-29"'),
        ("TIMESTAMP '2024-02-29 01:02:03.000004'", '"2024-02-29 01:02:03.000004"'),
        ("TIMESTAMPTZ '2024-02-29 01:02:03+00'", '"2024-02-29 01:02:03+00"'),
        ("'infinity'::TIMESTAMP", '"infinity"'),
        ("INTERVAL 3 DAY", '"3 days"'),
        ("'a\"b'", '"a\\"b"'),
        ("{'a': [1, 2], 'b': 'nan'::DOUBLE}", '{"a":[1,2],"b":"NaN"}'),
        ("MAP {'k': 1}", '{"k":1}'),
        ("'{\"big\": 123456789012345678901234567890}'::JSON", '{"big": 123456789012345678901234567890}'),
    ],
)
def test_values_keep_their_digits_in_json(call: Call, lake: Path, expression: str, text: str) -> None:
    done = call("sql", f"SELECT {expression} AS v", "--format", "json")
    assert done == Done(0, f'[\n{{"v":{text}}}\n]\n', "")


def test_an_empty_answer_is_an_empty_array(call: Call, lake: Path) -> None:
    assert call("sql", "SELECT * FROM trades WHERE false", "--format", "json").json() == []


def test_of_two_columns_of_one_name_neither_is_lost(call: Call, lake: Path) -> None:
    assert call("sql", "SELECT 1 AS a, 2 AS a", "--format", "json").json() == [{"a": 1, "a_1": 2}]


def test_a_statement_has_the_time_and_the_memory_that_it_is_given(call: Call, lake: Path) -> None:
    done = call("sql", "--timeout", "0.2", "SELECT count(*) FROM range(300000) a, range(300000) b")
    assert done.code == 11 and "ran longer than 0.2 s" in done.err
    done = call("sql", "--memory", "20MB", "SELECT list(range) FROM range(100_000_000)")
    assert done.code == 11 and "needs more memory than it may have" in done.err
    done = call("sql", "--memory", "much", "SELECT 1")
    assert done.code == 11 and "DuckDB does not start with these settings" in done.err


def test_a_wrong_column_is_named(call: Call, lake: Path) -> None:
    done = call("sql", "SELECT prize FROM trades")
    assert (done.code, done.out) == (11, "")
    assert done.err.startswith("error: ") and "prize" in done.err


def test_a_failure_while_rows_are_read_is_an_error_too(call: Call, lake: Path) -> None:
    done = call("sql", "SELECT error('ouch') FROM trades")
    assert done.code == 11 and "ouch" in done.err


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE t AS SELECT 1",
        "DROP VIEW trades",
        "SELECT 1; SELECT 2",
        "COPY (SELECT 1) TO 'out.csv'",
        "SELECT * FROM read_text('a.json')",
        "SELECT * FROM 'a.json'",
        "ATTACH 'x.db'",
        "SET enable_external_access = true",
        "",
        "/* nothing */",
    ],
)
def test_sql_can_neither_write_nor_read_other_files(call: Call, lake: Path, tmp_path: Path, query: str) -> None:
    before = sorted(tmp_path.iterdir())
    done = call("sql", query)
    assert (done.code, done.out) == (11, "")
    assert sorted(tmp_path.iterdir()) == before
    assert "breakout" not in done.err


# delete


def test_delete_takes_a_result_out_of_every_answer(call: Call, lake: Path) -> None:
    assert call("delete", "a1", "--yes") == Done(0, "deleted a1\n", "")
    assert ids(call("results", "--format", "json")) == ["b1"]
    assert call("sql", "SELECT count(*) AS n FROM trades", "--format", "json").json() == [{"n": 1}]
    assert len(call("files", "--table", "trades").out.splitlines()) == 1
    assert call("load", "a1").code == 4


def test_delete_asks_and_without_a_terminal_refuses(call: Call, lake: Path) -> None:
    done = call("delete", "a1", stdin=b"y\n")
    assert (done.code, done.out) == (2, "") and "--yes" in done.err
    assert call("load", "a1").code == 0


def test_delete_goes_on_after_one_that_is_not_there(call: Call, lake: Path) -> None:
    done = call("delete", "--yes", "nobody", "a1")
    assert (done.code, done.out) == (4, "deleted a1\n")
    assert "nobody" in done.err


# doctor, catalog


def test_doctor_finds_a_sound_lake_sound(call: Call, lake: Path) -> None:
    checks = call("doctor", "--format", "json").json()
    assert all(check["ok"] is True and check["detail"] for check in checks)
    named = " ".join(f"{check['check']} {check['detail']}" for check in checks).lower()
    assert all(word in named for word in ("python", "duckdb", "pyarrow", "postgres"))


def test_doctor_says_what_is_wrong_and_exits_with_1(call: Call) -> None:
    done = call("doctor", "--format", "json")
    assert done.code == 1
    wrong = [check for check in json.loads(done.out) if not check["ok"]]
    assert len(wrong) == 1 and "init" in wrong[0]["detail"]
    assert "WRONG" in call("doctor").out


def test_psql_answers_the_query_that_every_user_starts_with(call: Call, lake: Path) -> None:
    query = """SELECT task_id, strategy, status, created_at, file_size FROM backtest_results
        WHERE created_at > NOW() - INTERVAL '7 days' ORDER BY created_at DESC LIMIT 100"""
    done = call("catalog", "psql", "-A", "-t", "-c", query.replace("7 days", "100 years"))
    assert done.code == 0, done.err
    assert [line.split("|")[:2] for line in done.out.splitlines()] == [["b1", "revert"], ["a1", "breakout"]]
    assert call("catalog", "psql", "-A", "-t", "-c", query).out == ""


def test_psql_s_exit_code_is_handed_on(call: Call, lake: Path) -> None:
    assert call("catalog", "psql", "-c", "SELECT nonsense").code == 1


def test_the_catalog_s_dsn_is_printed(call: Call, lake: Path, dsn: str) -> None:
    done = call("catalog", "dsn")
    assert done.code == 0
    assert (
        dict(part.split("=", 1) for part in dsn.split()).items()
        <= dict(part.split("=", 1) for part in done.out.split()).items()
    )


# what holds for every command


@pytest.mark.parametrize(
    "command",
    ["results", "tables", "files", "sql 'SELECT 1'", "load x", "save a.json", "delete -y x", "catalog dsn"],
)
def test_without_a_lake_every_command_says_how_to_make_one(call: Call, tmp_path: Path, command: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(RUN_A))
    done = call(*command.replace("'", "").split(maxsplit=1))
    if command.startswith(("delete", "catalog")):
        done = call(*command.split())
    assert (done.code, done.out) == (4, "")
    assert "init" in done.err
    assert not (tmp_path / "lake").exists()


def test_options_stand_before_or_after_the_command_and_the_nearer_wins(call: Call, lake: Path) -> None:
    assert len(call("--lake", str(lake), "results").out.splitlines()) == 4
    assert len(call("results", "--lake", str(lake)).out.splitlines()) == 4
    assert len(call("--lake", "nowhere", "results", "--lake", str(lake)).out.splitlines()) == 4
    assert call("--lake", "nowhere", "results").code == 4


def test_the_environment_chooses_the_format(call: Call, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKESTORE_FORMAT", "csv")
    assert call("sql", "SELECT 1 AS a").out == "a\n1\n"
    assert call("sql", "SELECT 1 AS a", "--format", "json").json() == [{"a": 1}]
    monkeypatch.setenv("LAKESTORE_FORMAT", "xml")
    assert call("sql", "SELECT 1 AS a").code == 3


def test_a_catalog_out_of_reach_is_named_without_its_password(call: Call, lake: Path) -> None:
    done = call("results", "--dsn", "postgresql://quant:hush-hush@127.0.0.1:1/lake?connect_timeout=2")
    assert (done.code, done.out) == (8, "")
    assert "127.0.0.1:1" in done.err and "hush-hush" not in done.err


def test_a_command_line_that_cannot_be_read_is_exit_2(call: Call) -> None:
    for args in (["nonsense"], ["results", "--format", "xml"], ["load"], ["results", "--limit", "0"]):
        done = call(*args)
        assert (done.code, done.out) == (2, "")
        assert "error: " in done.err


def test_help_and_version_go_to_standard_output(call: Call) -> None:
    for args in (["--help"], ["sql", "--help"], ["-h"], ["--version"]):
        done = call(*args)
        assert done.code == 0 and done.out and not done.err


def test_every_command_s_help_has_an_example(call: Call) -> None:
    for command in ("init", "save", "load", "results", "sql", "tables", "files", "delete", "doctor", "catalog"):
        assert "Example:\n" in call(command, "--help").out


# as processes of their own, with the embedded catalog


def test_a_session_with_the_embedded_catalog(program: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    def finish(*args: str) -> bytes:
        process = program(*args)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out

    (tmp_path / "a.json").write_text(json.dumps(RUN_A))
    finish("init", "--partition", "month")
    finish("save", "a.json")
    assert finish("load", "a1") == (tmp_path / "a.json").read_bytes()
    assert b"run_date=2024-05-01" in finish("files", "--table", "trades")
    assert finish("catalog", "psql", "-A", "-t", "-c", "SELECT count(*) FROM backtest_results") == b"1\n"
    assert b"embedded" in finish("doctor")


def test_a_reader_that_goes_away_ends_the_command_quietly(
    program: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    assert program("init").communicate(timeout=60)[0] == b""
    process = program("sql", "SELECT i FROM range(2000000) t(i)", "--format", "csv")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"i\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_ctrl_c_ends_a_long_query_with_130(program: Callable[..., subprocess.Popen[bytes]]) -> None:
    assert program("init").communicate(timeout=60)[0] == b""
    process = program("sql", "SELECT count(*) FROM range(100000000000) a(i) WHERE hash(i) % 7 = 3")
    # Only the query itself takes so much time of the processor.
    while processor_seconds(process.pid) < 5:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
