"""The bench measures, at its smallest: each case verifies what it was given back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.results_file import Found
from lakestore.bench import run
from lakestore.cli.app import run as lakestore


def test_the_cases_run_without_peers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = ["sizes", "save_arrow", "save_dict", "load_document", "load_arrow", "sql", "compacted", "migrate"]
    arguments = ["--quick", "--no-peers", "--num-signals", "40", "--runs", "25", "--output", str(tmp_path)]
    assert main(["run", *arguments, "--cases", *cases]) == 0
    [path] = tmp_path.glob("*.json")
    found = Found.read(path)
    assert {figure.store for figure in found.figures} >= {"lakestore", "bare pyarrow + INSERT", "json.dump"}
    assert found.machine["fsync"] == "on"
    assert all(figure.median > 0 for figure in found.figures)
    assert "what must be reached" in capsys.readouterr().out


def test_a_peer_that_is_absent_is_skipped_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from bench.stores import PEERS
    from bench.stores.base import Place, opened

    def place(name: str) -> Place:
        folder = tmp_path / name
        folder.mkdir()
        return Place(folder, "")

    monkeypatch.setenv("LAKESTORE_BENCH_DUCKLAKE", str(tmp_path / "nowhere"))
    with opened({"DuckLake": PEERS["DuckLake"]}, place) as (stores, skipped):
        assert stores == {}
        assert "nowhere" in skipped["DuckLake"]


def test_three_scenarios_are_measured_and_verified() -> None:
    names = []
    steps = list(run(60, begun=names.append))
    assert names == ["convert", "store", "migrate"]
    values = {(step.scenario, step.step): step.value for step in steps}
    assert values["convert", "bytes lost on the way back"] == 0
    assert ("migrate", "100 files of 6 signals") in values


def test_the_command_prints_the_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    assert lakestore(["bench", "--num-signals", "10", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["scenario"] for row in rows} == {"convert", "store", "migrate"}
