"""Results in the shapes of the engines become the tables that docs/engines.md tells of, and come back byte for byte."""

from __future__ import annotations

import gzip
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import lakestore
from lakestore import layout
from lakestore.inspection import inspect
from lakestore.lake import Lake

ROOT = Path(__file__).parents[2]


def _shapes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("shapes", ROOT / "examples" / "shapes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MADE: dict[str, Callable[[], str]] = _shapes().SHAPES

TABLES = {
    "lean": {"closed_trades": 10, "equity": 60, "drawdown": 60, "benchmark": 60, "orders": 20, "profit_loss": 10},
    "lean-order-events": {"order_events": 80},
    "backtesting": {"trades": 10, "equity": 80},
    "backtrader": {"transactions": 12, "time_return": 60, "orders": 12, "bars": 60},
    "vectorbt": {"trades": 10, "equity": 90, "returns": 90},
    "backtesting-series": {"trades": 10, "equity_curve": 80},
    "backtrader-analyzers": {"time_return": 60, "transactions": 12, "positions_value": 60, "gross_leverage": 60},
    "qstrader": {"equity_curve": 60, "returns": 60, "cum_returns": 60, "drawdowns": 60, "monthly_agg_returns": 2},
}


@pytest.fixture
def lake(dsn: str, tmp_path: Path) -> Iterator[Lake]:
    with lakestore.open(tmp_path / "lake", dsn=dsn) as opened:
        yield opened


@pytest.mark.parametrize("name", TABLES)
def test_a_result_in_an_engine_s_shape_becomes_its_tables_and_comes_back(name: str, lake: Lake) -> None:
    text = MADE[name]()
    info = lake.save(text, task_id=name, strategy="s")
    assert (info.profile, dict(info.tables)) == (name.partition("-")[0], TABLES[name])
    assert info.fidelity.kind == "style"
    assert lake.load(name).to_json() == text.encode()


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/*.json.gz")), ids=lambda path: path.name)
def test_a_shipped_result_is_inspected_as_it_is_saved(path: Path, lake: Lake) -> None:
    text = gzip.decompress(path.read_bytes())
    found = inspect(text)
    info = lake.save(text, strategy=None if found.problem is None else "s")
    assert info.profile == found.profile.name and info.fidelity == found.fidelity
    assert dict(info.tables) == {table.lake.name: table.rows for table in found.tables}
    assert info.file_size == pytest.approx(found.file_size, rel=0.02, abs=200)


def test_lean_names_its_identity(lake: Lake) -> None:
    info = lake.save(MADE["lean"]())
    assert (info.strategy, info.status, info.created_at.isoformat()) == (
        "SpyRotation", "Completed", "2024-05-01T09:00:41+00:00",
    )  # fmt: skip
    assert info.params == {"fast": "3"} and info.metrics["Sharpe Ratio"] == "0.912"


def test_statistics_that_stand_beside_tables_are_metrics_without_them(lake: Lake) -> None:
    series, curves = lake.save(MADE["backtesting-series"]()), lake.save(MADE["qstrader"]())
    assert (series.strategy, curves.strategy) == ("SmaCross", "sixty forty")
    assert list(series.metrics) == ["Start", "Equity Final [$]", "# Trades", "_strategy"]
    assert curves.metrics == {"sharpe": 0.41, "cagr": 0.0325}


def _capital(value: object) -> object:
    """Keys as LEAN wrote them until 2023, and points of charts as it did."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: _capital(item) for key, item in value.items()}
    if isinstance(value, list) and all(isinstance(item, list) for item in value):
        return [{"x": item[0], "y": item[-1]} for item in value]
    return [_capital(item) for item in value] if isinstance(value, list) else value


def test_lean_is_read_as_it_wrote_before(lake: Lake) -> None:
    new = json.loads(MADE["lean"]())
    old = _capital({key: item for key, item in new.items() if key not in ("state", "algorithmConfiguration")})
    info = lake.save(new, task_id="new"), lake.save(old, task_id="old", strategy="SpyRotation")
    assert info[1].profile == "lean" and dict(info[1].tables) == dict(info[0].tables)
    assert info[1].fidelity.kind == "style" and info[1].metrics == info[0].metrics
    answer = lake.sql(
        "SELECT task_id, count(*), max(coalesce(time, x)), sum(coalesce(close, y)) FROM equity GROUP BY ALL"
    )
    (_, *one), (_, *other) = answer.fetchall()
    assert one == other
    wrapped = {"backtest": {"name": "Calm Red Fox", "created": "2024-05-01 09:00:41", **new}, "success": True}
    found = inspect(json.dumps(wrapped))
    assert {table.lake.name: table.rows for table in found.tables} == {
        "closed_trades": 10,
        "orders": 20,
        "profit_loss": 10,
    }
    assert found.problem is not None and found.identity is not None
    assert found.identity.created_at.isoformat() == "2024-05-01T09:00:41+00:00"


def test_keys_of_lean_orders_are_numbers_and_profits_have_times(lake: Lake) -> None:
    text = MADE["lean"]()
    lake.save(text)
    value = json.loads(text)
    assert lake.sql("SELECT min(key), max(key), count(DISTINCT key) FROM orders").fetchall() == [(1, 20, 20)]
    assert lake.sql("SELECT bool_and(key = id), max(symbol.value) FROM orders").fetchall() == [(True, "SPY")]
    (total,) = lake.sql("SELECT sum(profit) FROM profit_loss WHERE time >= '2024-01-10'").fetchall()[0]
    assert total == pytest.approx(sum(each for when, each in value["profitLoss"].items() if when >= "2024-01-10"))


def test_tables_of_a_result_have_the_names_that_its_profile_gives(lake: Lake) -> None:
    lake.save(MADE["lean"](), task_id="a")
    tables = lake.load("a").tables
    assert tables["equity"].column_names == ["time", "open", "high", "low", "close"]
    assert tables["profit_loss"].column_names == ["time", "profit"]
    assert tables["orders"].column_names[:2] == ["key", "type"]


def test_order_events_and_the_result_are_joined_by_strategy(lake: Lake) -> None:
    lake.save(MADE["lean"]())
    lake.save(MADE["lean-order-events"]())
    answer = lake.sql(
        "SELECT count(*), sum(e.orderFeeAmount) FROM order_events e JOIN orders o"
        " ON e.strategy = o.strategy AND e.orderId = o.id WHERE e.status = 'filled'"
    )
    assert answer.fetchall() == [(20, 20.0)]


def test_fills_of_backtrader_can_be_unnested(lake: Lake) -> None:
    text = MADE["backtrader"]()
    lake.save(text, strategy="s")
    fills = [fill for each in json.loads(text)["analyzers"]["transactions"].values() for fill in each]
    answer = lake.sql("SELECT count(*), sum(fill.c0 * fill.c1) FROM (SELECT unnest(fills) AS fill FROM transactions)")
    count, total = answer.fetchall()[0]
    assert (count, total) == (len(fills), pytest.approx(sum(fill[0] * fill[1] for fill in fills)))


def test_trades_of_engines_that_write_capitals_are_in_one_table(lake: Lake) -> None:
    documents = (
        {"StrategyName": "a", "Trades": [{"Price": 1.5, "side": "buy"}]},
        {"strategy": "b", "trades": [{"price": 2.5, "side": "buy"}, {"side": "sell"}]},
        {"strategy": "c", "Trades": [{"side": "buy"}], "trades": [{"side": "sell"}]},
    )
    infos = [lake.save(document) for document in documents]
    assert [dict(info.tables) for info in infos] == [{"trades": 1}, {"trades": 2}, {"trades": 1, "trades_": 1}]
    answer = lake.sql("SELECT strategy, count(*) FROM trades WHERE side = 'buy' GROUP BY ALL ORDER BY ALL")
    assert answer.fetchall() == [("a", 1), ("b", 1), ("c", 1)]
    assert lake.sql("SELECT side FROM trades_").fetchall() == [("sell",)]
    assert [lake.load(info.task_id).document for info in infos] == list(documents)


def test_a_lake_s_own_profile_is_used_by_save_and_named_with_the_result(lake: Lake) -> None:
    folder = lake.root / layout.PROFILES
    folder.mkdir()
    (folder / "own.toml").write_text(
        'name = "own"\nversion = 7\n[recognise]\nequal = [{ path = ["engine"], value = "own" }]\n'
        '[identity]\nstrategy = [["algo"]]\n[[tables]]\npath = ["fills"]\nform = "keyed"\nkey = "at"\n'
    )
    document = {"engine": "own", "algo": "fast", "fills": {"2024-01-01": {"p": 1.5}}, "other": [{"a": 1}]}
    info = lake.save(document)
    assert (info.profile, info.strategy, dict(info.tables)) == ("own", "fast", {"fills": 1})
    assert lake.load(info.task_id).document == document
    # It came back without the profile, which may be gone by then.
    (folder / "own.toml").unlink()
    assert lake.load(info.task_id).document == document
    assert lake.save(document, task_id="again", strategy="s").profile == "generic"


def test_a_profile_given_as_a_file_is_used(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nversion = 1\n[[tables]]\npath = ["a", "b"]\n')
    document = {"a": {"b": [{"x": 1}], "\ud800": 1}}
    info = lake.save(json.dumps(document), strategy="s", profile=str(path))
    assert (info.profile, dict(info.tables)) == ("mine", {"b": 1})
    assert lake.load(info.task_id).document == document


def test_a_broken_profile_of_the_lake_refuses_saves_by_name(lake: Lake) -> None:
    folder = lake.root / layout.PROFILES
    folder.mkdir()
    (folder / "own.toml").write_text('name = "own"')
    with pytest.raises(lakestore.InvalidInputError, match=r"own\.toml: version is missing"):
        lake.save({"strategy": "s"})


def run(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lakestore", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_the_command_inspect_needs_no_lake(tmp_path: Path) -> None:
    (tmp_path / "lean.json").write_text(MADE["lean"]())
    (tmp_path / "run.json").write_text('{"trades": [{"a": 1}]}')
    done = run("inspect", "lean.json", "run.json", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lean, other = json.loads(done.stdout)
    assert (lean["file"], lean["profile"], lean["problem"]) == ("lean.json", "lean", None)
    orders = next(table for table in lean["tables"] if table["table"] == "orders")
    assert (orders["path"], orders["form"], orders["rows"]) == (["orders"], "keyed", 20)
    assert orders["columns"][0] == {"name": "key", "type": "BIGINT", "unit": None}
    assert other["strategy"] is None and "run.json names no strategy" in other["problem"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lean.json", "run.json"]


def test_the_command_inspect_goes_on_after_a_file_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "good.json").write_text('{"strategy": "s"}')
    done = run("inspect", "bad.json", "good.json", cwd=tmp_path)
    assert done.returncode == 3 and "bad.json" in done.stderr
    assert "good.json" in done.stdout and "strategy" in done.stdout


def test_the_command_profiles_lists_what_is_known_and_prints_one(tmp_path: Path) -> None:
    folder = tmp_path / "lake" / layout.PROFILES
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('name = "mine"\nversion = 4\ntitle = "Mine"\n')
    done = run("profiles", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found[0] == {"name": "mine", "version": 4, "from": "lake/_lakestore/profiles/mine.toml", "title": "Mine"}
    assert [each["name"] for each in found][-1] == "generic"
    shown = run("profiles", "mine", cwd=tmp_path)
    assert shown.stdout == 'name = "mine"\nversion = 4\ntitle = "Mine"\n'
    assert run("profiles", "nope", cwd=tmp_path).returncode != 0
