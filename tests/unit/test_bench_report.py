"""What a run of the bench keeps, what two runs say of each other, and that the page tells of the file it names."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench import report, summary
from bench.__main__ import main
from bench.results_file import RESULTS, Figure, Found, Reach, figure

ROOT = Path(__file__).parents[2]


def found(**medians: float) -> Found:
    """A run of one case; `a` is the base of `lakestore`."""
    against = [medians["a"]] * 3 if "a" in medians else []
    figures = [
        figure("save", name, [value] * 3, **({"base": "a", "against": against} if against and name != "a" else {}))
        for name, value in medians.items()
    ]
    machine = {"cpu": "c", "cores": 2, "memory": 2**33, "python": "3.11", "fsync": "on"}
    reach = (Reach("save: beside a", "≤ 1.3 ×", "2.00 ×", False),)
    settings = {"signals": 10, "runs": 3, "quick": True}
    return Found("2026-01-02T03:04:05+00:00", "abc1234", settings, machine, {"pyarrow": "1"}, tuple(figures), reach)


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = found(a=1.0, lakestore=2.0)
    path = run.write(tmp_path)
    assert path.name == "2026-01-02-abc1234.json"
    assert Found.read(path) == run


def test_a_figure_has_median_quartiles_and_the_ratio_of_its_rounds() -> None:
    made = figure("c", "s", [2.0, 4.0, 6.0], base="b", against=[1.0, 2.0, 3.0])
    assert made == Figure("c", "s", "s", 4.0, 3.0, 5.0, 3, 2.0, "b")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (found(a=1.0, lakestore=2.0), found(a=1.0, lakestore=2.2), 0),
        (found(a=1.0, lakestore=2.0), found(a=1.0, lakestore=2.4), 1),
        # A machine that is twice as slow is no regression: the base is as slow.
        (found(a=1.0, lakestore=2.0), found(a=2.0, lakestore=4.0), 0),
        (found(a=1.0, lakestore=2.0), found(a=0.5, lakestore=2.0), 1),
        (found(lakestore=2.0), found(lakestore=2.4), 1),
        # Others may get slower.
        (found(a=1.0, other=1.0, lakestore=2.0), found(a=1.0, other=9.0, lakestore=2.0), 0),
    ],
)
def test_compare_tells_a_regression_by_its_exit_code(
    tmp_path: Path, old: Found, new: Found, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(run.write(tmp_path / name)) for name, run in (("old", old), ("new", new))]
    assert main(["compare", *paths, "--factor", "1.15"]) == code
    assert ("SLOWER" in capsys.readouterr().out) == bool(code)


def test_rates_count_the_other_way_round(tmp_path: Path) -> None:
    old = replace(found(lakestore=100.0), figures=(figure("c", "lakestore", [100.0], unit="runs/s"),))
    new = replace(old, figures=(figure("c", "lakestore", [50.0], unit="runs/s"),))
    assert main(["compare", str(old.write(tmp_path / "o")), str(new.write(tmp_path / "n"))]) == 1
    assert main(["compare", str(new.write(tmp_path / "n")), str(old.write(tmp_path / "o"))]) == 0


def test_the_page_says_what_was_not_reached() -> None:
    text = report.page(found(a=1.0, lakestore=2.0), "x.json")
    assert "| save: beside a | ≤ 1.3 × | 2.00 × | **no** |" in text
    assert "| **lakestore** | 2,000.00 ms |" in text


def test_the_committed_page_and_the_readme_are_the_report_of_the_file_they_name() -> None:
    text = report.PAGE.read_text(encoding="utf-8")
    named = re.search(r"`bench/results/([^`]+)`", text)
    assert named is not None
    path = RESULTS / named[1]
    run = Found.read(path)
    assert report.page(run, path.name) == text, "stale: run 'python -m bench report'"
    readme = summary.README.read_text(encoding="utf-8")
    assert summary.inserted(readme, run, path.name) == readme, "stale: run 'python -m bench report'"
    for plot in re.findall(r"\]\((benchmarks/[^)]+)\)", text):
        assert (ROOT / "docs" / plot).is_file()
