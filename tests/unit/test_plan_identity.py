"""Where `generic` looks for identity, parameters and metrics, and what is a table under their names."""

from __future__ import annotations

from typing import Any

import pytest

from lakestore.codec import plan
from lakestore.codec.profiles.registry import shipped

GENERIC = shipped()["generic"]
DAYS = [f"2024-01-{day:02}" for day in range(1, 11)]


def shapes(document: Any) -> dict[str, str]:
    """The form of each table by its path."""
    return {".".join(map(str, region.path)): region.form for region in plan.regions(document, GENERIC)}


def test_a_strategy_is_named_beneath_its_key_too() -> None:
    assert GENERIC.strategies_of({"strategy": {"name": "x"}}) == ["x"]
    assert GENERIC.strategies_of({"strategy": "", "strategy_name": None, "metadata": {"strategy": "y"}}) == ["y"]
    assert GENERIC.strategies_of({"strategy": 5}) == []
    assert GENERIC.strategies_of({"strategy": ""}) == [""]


@pytest.mark.parametrize(
    "document",
    [
        {"StrategyName": "x", "CreatedAt": "2024", "Parameters": {"fast": 3}, "Metrics": {"sharpe": 1.5}},
        {"Strategy": {"Name": "x"}, "createdAt": "2024", "settings": {"fast": 3}, "performance": {"sharpe": 1.5}},
        {"config": {"strategyId": "x", "fast": 3}, "generated_at": "2024", "statistics": {"sharpe": 1.5}},
        {
            "success": True,
            "data": {"strategy": "x", "createdAt": "2024", "params": {"fast": 3}, "metrics": {"sharpe": 1.5}},
        },
    ],
)
def test_identity_is_found_under_the_names_of_several_languages(document: dict[str, Any]) -> None:
    assert GENERIC.strategies_of(document) == ["x"]
    assert GENERIC.first(document, "created_at") == "2024"
    assert GENERIC.first(document, "params")["fast"] == 3
    assert GENERIC.first(document, "metrics") == {"sharpe": 1.5}


def test_what_may_be_metrics_holds_tables_all_the_same() -> None:
    document = {"performance": {"sharpe": 1.5, "years": [{"year": 2023}]}, "statistics": [{"a": 1}]}
    assert shapes(document) == {"performance.years": "objects", "statistics": "objects"}
    assert GENERIC.first(document, "metrics") == document["performance"]
    assert shapes({"performance": dict.fromkeys(DAYS, 1.5)}) == {"performance": "pairs"}
    for data in ([{"a": 1}], {"a": [1]}, {str(place): 1 for place in range(300)}, {"a": None}, 5):
        assert GENERIC.first({"performance": data}, "metrics") is None
    assert GENERIC.first({"metrics": {}, "performance": {"a": 1}}, "metrics") == {}


def test_identity_is_no_table() -> None:
    assert shapes({"metrics": {"a": [1], "b": [2]}, "params": [{"a": 1}], "rows": [{"a": 1}]}) == {"rows": "objects"}


def test_what_only_has_a_name_of_identity_is_a_table() -> None:
    rows = [{"day": day, "value": place * 1.5} for place, day in enumerate(DAYS)]
    for name in ("metrics", "stats", "summary"):
        document = {name: rows, "trades": [{"a": 1}]}
        assert shapes(document) == {name: "objects", "trades": "objects"}
        assert GENERIC.first(document, "metrics") is None
    assert shapes({"stats": rows[:7]}) == {}
    assert GENERIC.first({"stats": rows[:7]}, "metrics") == rows[:7]
    assert GENERIC.first({"metrics": rows, "stats": {"sharpe": 1.5}}, "metrics") == {"sharpe": 1.5}
