"""Profiles are data: their TOML is read strictly, and the right one is found for a document."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lakestore.codec.profiles.declaration import parse
from lakestore.codec.profiles.profile import Marks, TablePlan
from lakestore.codec.profiles.registry import choose, known, named, shipped
from lakestore.errors import InvalidInputError, NotFoundError
from lakestore.inspection import inspect

MINIMAL = 'name = "own"\nversion = 3\n'


def wrong(text: str) -> str:
    with pytest.raises(InvalidInputError) as caught:
        parse(text, "own.toml")
    assert str(caught.value).startswith("profile own.toml")
    return str(caught.value)


def test_every_field_of_the_form_is_read() -> None:
    profile = parse(
        """
        name = "own"
        version = 3
        title = "Own engine"
        lift = true
        skip = [["summary_rows"]]

        [[recognise]]
        present = [["runs", "*", "fills"]]
        equal = [{ path = ["engine"], value = "own" }]

        [identity]
        strategies = ["runs", "*"]
        task_id = [["id"], ["meta", "id"]]
        params = [["settings"]]

        [[tables]]
        path = ["runs", "*", "fills"]
        times = { at = "ms" }

        [[tables]]
        path = ["curve"]
        table = "equity"
        form = "keyed"
        key = "time"
        columns = [["value"], ["open", "close"]]
        """,
        "own.toml",
    )
    assert (profile.name, profile.version, profile.title, profile.lift) == ("own", 3, "Own engine", True)
    assert profile.skip == (("summary_rows",),)
    assert profile.marks == (Marks((("runs", "*", "fills"),), ((("engine",), "own"),)),)
    assert profile.strategies == ("runs", "*")
    assert profile.identity == {"task_id": (("id",), ("meta", "id")), "params": (("settings",),)}
    assert profile.tables == (
        TablePlan(("runs", "*", "fills"), "fills", times={"at": "ms"}),
        TablePlan(("curve",), "equity", "keyed", "time", (("value",), ("open", "close"))),
    )
    assert profile.origin == "own.toml"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "is not TOML"),
        ("version = 1", "name is missing"),
        ('name = "own"', "version is missing"),
        ('name = "Own Engine"\nversion = 1', "name 'Own Engine' is not"),
        ("name = 5\nversion = 1", "name is an integer, not text"),
        ('name = "own"\nversion = true', "version is True, not an integer from 1"),
        ('name = "own"\nversion = 0', "version is 0"),
        (MINIMAL + 'lift = "yes"', "lift is text, not true or false"),
        (MINIMAL + "titel = 'x'", "titel is not known here"),
        (MINIMAL + "skip = ['x']", "skip[0] is text, not an array"),
        (MINIMAL + "[recognise]", "recognise says nothing"),
        (MINIMAL + "[recognise]\npresent = [[-1]]", "recognise.present[0] -1 is no step"),
        (MINIMAL + "[[recognise]]\npresent = [['a']]\n[[recognise]]\nprsent = 1", "recognise[1].prsent is not known"),
        (MINIMAL + "[recognise]\nequal = [{ path = ['a'] }]", "recognise.equal[0].value is missing"),
        (MINIMAL + "[identity]\nstrategies = ['a']", "identity.strategies exactly one step is '*'"),
        (MINIMAL + "[identity]\nstrategy = ['a']", "identity.strategy[0] is text, not an array"),
        (MINIMAL + "[identity]\nowner = [['a']]", "identity.owner is not known here"),
        (MINIMAL + "tables = 5", "tables is an integer, not an array"),
        (MINIMAL + "[[tables]]\ntable = 'x'", "tables[0].path is missing"),
        (MINIMAL + "[[tables]]\npath = []", "tables[0].table is missing"),
        (MINIMAL + "[[tables]]\npath = ['a']\ntable = 'A b'", "tables[0].table is 'A b'"),
        (MINIMAL + "[[tables]]\npath = ['a']\ntable = 'results'", "tables[0].table is 'results'"),
        (MINIMAL + "[[tables]]\npath = ['a']\nform = 'rows'", "tables[0].form is 'rows', not one of columns, keyed"),
        (MINIMAL + "[[tables]]\npath = ['a']\ncolumns = ['a', 'A']", "tables[0].columns has the same name twice"),
        (MINIMAL + "[[tables]]\npath = ['a']\ncolumns = [['a'], ['b']]", "columns has two lists of the same length"),
        (MINIMAL + "[[tables]]\npath = ['a']\ncolumns = ['a', 1]", "tables[0].columns[1] is an integer, not text"),
        (MINIMAL + "[[tables]]\npath = ['a']\ntimes = { t = 'min' }", "tables[0].times.t is 'min', not one of s, ms"),
    ],
)
def test_what_is_wrong_in_a_profile_is_named(text: str, says: str) -> None:
    assert says in wrong(text)


def test_shipped_profiles_are_tried_by_name_and_generic_last() -> None:
    names = list(shipped())
    assert names == [*sorted(set(names) - {"generic"}), "generic"]
    assert {"freqtrade", "iaf", "lean"} <= set(names)
    assert all(profile.origin == "lakestore" and profile.title for profile in shipped().values())


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"strategy": {"S": {"trades": []}}, "strategy_comparison": []}, "freqtrade"),
        ({"totalPerformance": {"closedTrades": []}}, "lean"),
        ([{"algorithmId": "a", "orderEventId": 1}], "lean"),
        ({"engine": "backtrader"}, "backtrader"),
        ({"engine": "vectorbt"}, "vectorbt"),
        ({"stats": {"# Trades": 1, "Equity Final [$]": 2}}, "backtesting"),
        ({"analyzers": {"tradeanalyzer": {}}}, "backtrader"),
        ({"# Trades": 1, "Equity Final [$]": 2}, "backtesting"),
        ({"strategy": {"equity_curve": [], "cum_returns": [], "monthly_agg_returns": []}}, "qstrader"),
        ({"engine": ["backtrader"]}, "generic"),
        ({"engine": "own"}, "generic"),
        ({"strategy": {"S": {"trades": []}}}, "generic"),
        ([], "generic"),
        (5, "generic"),
        (None, "generic"),
    ],
)
def test_a_document_is_recognised(document: Any, name: str) -> None:
    assert choose(document, None).name == name


def test_equal_means_of_the_same_type() -> None:
    profile = parse(MINIMAL + "[recognise]\nequal = [{ path = ['v'], value = 1 }]", "own.toml")
    assert profile.recognises({"v": 1})
    assert not profile.recognises({"v": True}) and not profile.recognises({"v": 1.0})


def test_a_lake_s_own_profile_comes_first_and_wins_over_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(MINIMAL + "[recognise]\npresent = [['engine']]")
    (tmp_path / "ft.toml").write_text('name = "freqtrade"\nversion = 99')
    (tmp_path / ".hidden.toml").write_text("not TOML")
    (tmp_path / "notes.txt").write_text("not TOML")
    profiles = known(tmp_path)
    assert list(profiles)[:2] == ["freqtrade", "own"] and list(profiles)[-1] == "generic"
    assert profiles["freqtrade"].version == 99
    assert profiles["own"].origin == str(tmp_path / "own.toml")
    assert choose({"engine": "backtrader"}, None, profiles).name == "own"


def test_a_folder_that_is_not_there_means_the_shipped_ones(tmp_path: Path) -> None:
    assert known(tmp_path / "nowhere") is shipped()
    assert known(tmp_path) is shipped()


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(MINIMAL)
    assert known(tmp_path)["own"].version == 3
    path.write_text('name = "own"\nversion = 14\n')
    assert known(tmp_path)["own"].version == 14


def test_two_own_profiles_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(MINIMAL)
    (tmp_path / "b.toml").write_text(MINIMAL)
    with pytest.raises(InvalidInputError, match=r"b\.toml.*a\.toml.*both called 'own'"):
        known(tmp_path)


def test_a_broken_own_profile_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(InvalidInputError, match=r"a\.toml is not UTF-8: byte 8"):
        known(tmp_path)


def test_a_profile_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL)
    assert named(str(path), shipped()).name == "own"
    with pytest.raises(NotFoundError, match="there is no profile"):
        named(str(tmp_path / "other.toml"), shipped())
    with pytest.raises(
        InvalidInputError, match=r"there is no profile 'mine'; choose one of backtesting, .*\./mine\.toml"
    ):
        named("mine", shipped())


def test_inspect_tells_what_a_save_would_store() -> None:
    document = {"strategy": "s", "status": "failed", "trades": [{"a": 1, "at": "2024-01-01T00:00:00Z"}] * 3}
    found = inspect(json.dumps(document, indent=2))
    assert found.problem is None and found.identity is not None
    assert (found.identity.strategy, found.identity.status) == ("s", "failed")
    assert found.stated == {"status"}
    (table,) = found.tables
    assert (table.lake.name, table.path, table.form, table.rows) == ("trades", ("trades",), "objects", 3)
    assert [(column.name, column.type) for column in table.lake.columns] == [("a", "BIGINT"), ("at", "TIMESTAMPTZ")]
    assert found.fidelity.kind == "style"
    assert 0 < found.left < found.json_size
    assert found.file_size > table.bytes + found.envelope


def test_inspect_says_that_no_strategy_is_named_and_goes_on() -> None:
    found = inspect({"trades": [{"a": 1}]})
    assert found.problem is not None and "names no strategy" in found.problem
    assert found.identity is not None and found.identity.strategy == ""
    assert [table.rows for table in found.tables] == [1]


def test_inspect_tells_the_unit_of_times() -> None:
    found = inspect({"engine": "vectorbt", "trades": [{"Entry Timestamp": 1_700_000_000_000}]})
    assert found.tables[0].times["Entry Timestamp"] == "ms"


def test_inspect_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inspect({"strategy": "s", "trades": [{"a": 1}]})
    assert os.listdir(tmp_path) == []
