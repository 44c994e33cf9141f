"""What commands print: rows as table, JSON and CSV, with nothing lost and nothing that steers a terminal."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from lakestore import errors
from lakestore.cli import exits
from lakestore.cli.output import (
    Field,
    Raw,
    colored,
    complain,
    counted,
    megabytes,
    plain,
    print_rows,
    printable,
    to_json,
)
from lakestore.config import Format


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal, as sys.stdout would."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def printed(capfd: pytest.CaptureFixture[str], names: str, rows: Sequence[Sequence[Any]], format: Format) -> str:
    print_rows([Field(name, number=name == "n") for name in names.split()], rows, format)
    out, err = capfd.readouterr()
    assert err == ""
    return out


def test_a_table_is_as_wide_as_its_widest_cell_and_sets_numbers_to_the_right(capfd: pytest.CaptureFixture[str]) -> None:
    assert printed(capfd, "name n", [("a", 5), ("longer", 12345)], "table") == (
        "name        n\n------  -----\na           5\nlonger  12345\n"
    )


def test_a_table_counts_wide_characters_as_two_columns(capfd: pytest.CaptureFixture[str]) -> None:
    assert printed(capfd, "name n", [("策略", 1), ("abcd", 2)], "table").splitlines()[2:] == ["策略  1", "abcd  2"]


def test_no_rows_are_a_heading_an_empty_array_and_a_header(capfd: pytest.CaptureFixture[str]) -> None:
    assert printed(capfd, "a n", [], "table") == "a  n\n-  -\n"
    assert printed(capfd, "a n", [], "json") == "[]\n"
    assert printed(capfd, "a n", [], "csv") == "a,n\n"


def test_json_is_one_array_however_many_rows(capfd: pytest.CaptureFixture[str]) -> None:
    rows = [(str(i), i) for i in range(2500)]
    assert json.loads(printed(capfd, "a n", rows, "json")) == [{"a": a, "n": n} for a, n in rows]


def test_rows_are_printed_as_they_come(capfd: pytest.CaptureFixture[str]) -> None:
    def rows() -> Any:
        yield from ((i,) for i in range(1000))
        assert capfd.readouterr().out.endswith('{"n":999}')
        yield (1000,)

    print_rows([Field("n")], rows(), "json")
    assert capfd.readouterr().out == ',\n{"n":1000}\n]\n'


def test_json_refuses_two_columns_of_one_name() -> None:
    with pytest.raises(errors.InvalidInputError, match="two columns are called 'a'"):
        print_rows([Field("a"), Field("a")], [(1, 2)], "json")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (10**40, "1" + "0" * 40),
        (-0.0, "-0.0"),
        (0.1, "0.1"),
        (math.nan, '"NaN"'),
        (-math.inf, '"-Infinity"'),
        (Raw("1.50"), "1.50"),
        ('a"\n\x00策', '"a\\"\\n\\u0000策"'),
        ("\ud800", '"\\ud800"'),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), '"2024-01-02T03:04:05Z"'),
        (datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=1))), '"2024-01-02T00:00:00+01:00"'),
        (datetime(2024, 1, 2), '"2024-01-02T00:00:00"'),
        (date(2024, 1, 2), '"2024-01-02"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        ({"a": [1, math.nan, {"b": 2**70}]}, '{"a":[1,"NaN",{"b":1180591620717411303424}]}'),
        (("x", None), '["x",null]'),
    ],
)
def test_a_value_keeps_its_digits_in_json(value: object, text: str) -> None:
    assert to_json(value) == text
    json.loads(text)


def test_csv_tells_a_missing_value_from_an_empty_text(capfd: pytest.CaptureFixture[str]) -> None:
    assert printed(capfd, "a b c", [(None, "", "x")], "csv") == 'a,b,c\n,"",x\n'


def test_csv_comes_back_through_a_csv_reader(capfd: pytest.CaptureFixture[str]) -> None:
    parts = ["", "a", ",", '"', "\n", "\r", " ", "策"]
    rows = [(a + b, b + a) for a, b in itertools.product(parts, parts)]
    out = printed(capfd, "a b", rows, "csv")
    assert [tuple(row) for row in csv.reader(io.StringIO(out, newline=""))] == [("a", "b"), *rows]


def test_a_stored_name_cannot_steer_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    out = printed(capfd, "a", [("\x1b[2Jevil\r\n\u202e",)], "table")
    assert out.splitlines()[2] == r"\u001b[2Jevil\r\n\u202e"
    complain("no result '\x1b]0;x\x07'")
    assert capfd.readouterr().err == "error: no result '\\u001b]0;x\\u0007'\n"


def test_text_that_is_printable_stays_as_it_is() -> None:
    assert printable("Größe 策略 🙂 a\\b") == "Größe 策略 🙂 a\\b"


def test_a_terminal_gets_a_bold_heading_and_long_cells_are_cut(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", terminal)
    print_rows([Field("a")], [("x" * 200,)], "table")
    head, _, row = terminal.text().splitlines()
    assert head == "\x1b[1ma\x1b[0m"
    assert row == "x" * 79 + "…"


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_color_is_honoured(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setattr("sys.stdout", terminal)
    assert colored(terminal)
    monkeypatch.setenv(variable, value)
    assert not colored(terminal)
    print_rows([Field("a")], [("x",)], "table")
    assert "\x1b" not in terminal.text()


def test_a_pipe_gets_whole_cells_without_colour(capfd: pytest.CaptureFixture[str]) -> None:
    assert printed(capfd, "a", [("x" * 200,)], "table").splitlines()[2] == "x" * 200


def test_plain_shows_nothing_for_none() -> None:
    assert [plain(value) for value in (None, False, 1.5, [1])] == ["", "false", "1.5", "[1]"]


def test_every_kind_of_error_has_an_exit_code_of_its_own() -> None:
    assert {cls.kind for cls in errors.ALL} == set(exits.EXIT_CODES)
    codes = [code for code, _ in exits.EXIT_CODES.values()]
    assert len(set(codes)) == len(codes)
    assert not {0, exits.USAGE, exits.INTERRUPTED, exits.BROKEN_PIPE} & set(codes)


def test_an_error_s_exit_code_is_its_kind_s() -> None:
    assert exits.exit_code(errors.NotFoundError("x")) == 4
    assert exits.exit_code(errors.CommitUnknownError("x")) == 9


def test_help_loads_no_library_that_takes_long() -> None:
    heavy = ("pyarrow", "duckdb", "psycopg", "numpy", "pandas", "rich.progress")
    code = f"import sys, lakestore.cli.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_column_of_long_cells_is_as_wide_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    paths = ["x" * 90, "y" * 85, "z"]
    lines = printed(capfd, "path n", [(path, 1) for path in paths], "table").splitlines()
    assert {len(line) for line in lines} == {93}
    lines = printed(capfd, "path n", [(path, 1) for path in ("x" * 90, "y", "z")], "table").splitlines()
    assert [len(line) for line in lines] == [7, 7, 93, 7, 7]


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0.0 MB"), (1, "1 byte"), (49_999, "49,999 bytes"), (50_000, "0.1 MB"), (10**10, "10,000.0 MB")],
)
def test_few_bytes_are_not_rounded_away(size: int, shown: str) -> None:
    assert megabytes(size) == shown


def test_one_thing_is_not_called_many() -> None:
    assert [counted(n, "file") for n in (0, 1, 2_000)] == ["0 files", "1 file", "2,000 files"]
