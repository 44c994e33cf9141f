"""`lakestore sql`: every value as it is, and nothing but reading."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path

import pytest

from tests.command_line import Call, Done


def test_sql_answers_as_a_table(call: Call, lake: Path) -> None:
    done = call("sql", "SELECT strategy, count(*) AS n, avg(pnl) AS mean FROM trades GROUP BY ALL ORDER BY n DESC")
    assert done.out.splitlines() == [
        "strategy  n   mean",
        "--------  -  -----",
        "breakout  2  3.375",
        "revert    1    7.0",
    ]


def test_sql_reads_the_query_from_a_file(call: Call, lake: Path, tmp_path: Path) -> None:
    report = tmp_path / "my report.sql"
    report.write_bytes(b"\xef\xbb\xbfSELECT count(*) AS n\nFROM trades WHERE pair = $pair; -- done\n")
    assert call("sql", "-f", str(report), "-p", "pair=ETH/USD", "--format", "csv").out == "n\n1\n"
    assert call("sql", "--file", "-", "--format", "csv", stdin=b"SELECT 1 AS n").out == "n\n1\n"
    for name in (str(report), "missing.sql", "Report.SQL"):
        done = call("sql", name)
        assert done.code == 2 and f"is the name of a file, not SQL: give it as '-f {name}'." in done.err
    for args in ((), ("SELECT 1", "-f", str(report)), ("-", "-f", "-")):
        assert (done := call("sql", *args)).code == 2 and "Give one query" in done.err
    assert call("sql", "-f", "missing.sql").code == 4
    assert call("sql", "-f", str(tmp_path)).code == 10
    report.write_bytes(b"SELECT '\xff'")
    assert (done := call("sql", "-f", str(report))).code == 3 and "is not UTF-8" in done.err


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


@pytest.mark.parametrize("limit", [("--memory", "much"), ("--memory", "0"), ("--timeout", "0"), ("--timeout", "-1")])
def test_a_limit_that_is_none_is_refused(call: Call, lake: Path, limit: tuple[str, str]) -> None:
    done = call("sql", *limit, "SELECT 1")
    assert done.code == 2 and limit[1] in done.err


def test_a_wrong_column_is_named(call: Call, lake: Path) -> None:
    done = call("sql", "SELECT prize FROM trades")
    assert (done.code, done.out) == (11, "")
    assert done.err.startswith("error: ") and "prize" in done.err


def test_an_error_names_the_line_of_the_query_as_it_was_given(call: Call, lake: Path) -> None:
    for above in (0, 1, 8, 9):
        done = call("sql", "\n" * above + "SELECT pair, prize FROM trades")
        here, caret = next(pair for pair in itertools.pairwise(done.err.splitlines()) if pair[0].startswith("LINE"))
        assert here.startswith(f"LINE {above + 1}: ")
        assert here[caret.index("^") :].startswith("prize")


def test_a_value_stands_for_its_name_and_is_never_sql(call: Call, lake: Path) -> None:
    query = "SELECT count(*) AS n FROM trades WHERE strategy = $strategy AND pnl > $least AND run_date > $since"
    values = ("-p", "strategy=breakout", "-p", "$least=2.5", "--param", "since=2020-01-01")
    assert call("sql", *values, query, "--format", "csv").out == "n\n1\n"
    odd = "x' OR 1=1 --\n="
    done = call("sql", "-p", f"v={odd}", "SELECT $v AS v", "--format", "json")
    assert json.loads(done.out) == [{"v": odd}]
    assert call("sql", "-p", "v=", "SELECT $v AS v", "--format", "json").out == '[\n{"v":""}\n]\n'
    assert call("sql", "-p", "v", "SELECT $v").code == call("sql", "-p", "=v", "SELECT $v").code == 2
    for missing in ((), ("-p", "w=1")):
        assert call("sql", *missing, "SELECT $v").code == 11


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


@pytest.mark.parametrize("text", ["", " ", "/* nothing */", ";"])
def test_a_text_without_a_statement_says_so(call: Call, text: str) -> None:
    call("init")
    done = call("sql", text)
    assert (done.code, done.out) == (11, "")
    assert done.err == "error: there is no SQL statement in the text: give a SELECT\n"
