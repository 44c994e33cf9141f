"""Doctor and catalog, and what holds for every command."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from lakestore.cli.app import cli
from tests.command_line import RUN_A, Call


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


def test_the_shell_completes_names_of_files() -> None:
    kinds = {"FILE": "file", "FILE...": "file", "SRC...": "file", "SRC": "dir", "DIRECTORY": "dir", "TREE": "dir"}
    todo: list[click.Command] = [cli]
    found = set()
    while todo:
        command = todo.pop()
        todo += command.commands.values() if isinstance(command, click.Group) else ()
        for param in command.params:
            kind = kinds.get(param.metavar or "")
            if kind is not None:
                items = param.shell_complete(click.Context(command), "re")
                assert [(item.value, item.type) for item in items] == [("re", kind)], (command.name, param.name)
                found.add(param.metavar)
    assert found == kinds.keys()


@pytest.mark.parametrize("group", [(), ("archive",), ("catalog",)])
def test_a_group_alone_shows_its_help_and_no_error(call: Call, group: tuple[str, ...]) -> None:
    done = call(*group)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"Usage: {' '.join(('lakestore', *group))} ") and done.err.count("Usage:") == 1
    assert "error" not in done.err.lower().split("commands:")[0]
