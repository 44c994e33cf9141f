"""The repository itself: what stands at the top, and that nothing in it knows the machine it was written on."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TOP = {
    "pyproject.toml", "lakestore", "tests", "catalog", "bench", "README.md",
    "docs", "examples", "Makefile", ".ci", "LICENSE", ".gitignore",
}  # fmt: skip
MADE = re.compile(r"\.git|\.venv.*|\.demo|dist|build|PKG-INFO|\..*_cache|\.hypothesis|\.coverage.*|__pycache__")

SOURCES = {".py", ".md", ".sql", ".toml", ".txt", ".yml", ".yaml", ".cfg", ""}
# Written so that this file does not hold what it looks for.
FOREIGN = re.compile(r"/wor[k]/|/tm[p]/w/|/roo[t]/\w|/hom[e]/\w|\.\./share[d]|pyp[i]\.org|pythonhoste[d]")


def sources() -> Iterator[Path]:
    for top in sorted(TOP):
        path = ROOT / top
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (
            file
            for file in found
            if file.is_file() and file.suffix in SOURCES and not any(map(MADE.fullmatch, file.relative_to(ROOT).parts))
        )


def test_the_top_level_is_what_was_agreed() -> None:
    assert {path.name for path in ROOT.iterdir() if not MADE.fullmatch(path.name)} == TOP


def test_no_file_names_a_path_of_a_machine_or_a_package_host() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FOREIGN.search(line)
    ]
    assert found == []


def test_the_search_for_foreign_paths_finds_them() -> None:
    assert all(FOREIGN.search(text.replace("_", "")) for text in ("/wor_k/x", "/hom_e/me", "pyp_i.org"))
    assert sum(1 for _ in sources()) > 40


@pytest.mark.parametrize("name", ["README.md", "LICENSE", ".ci/run", ".ci/venv", "lakestore/py.typed"])
def test_what_others_look_for_is_there(name: str) -> None:
    assert (ROOT / name).is_file()


def test_the_lowest_versions_that_are_asked_for_are_those_that_are_tested() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    bounds = {re.sub(r"\[.*?\]|;.*", "", each).replace(">=", "==") for each in asked}
    lines = (ROOT / ".ci" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    assert bounds == {line for line in lines if not line.startswith("#")}
    assert all(re.fullmatch(r"[a-z.-]+==[0-9.]+", each) for each in bounds)


def test_no_file_of_python_is_longer_than_500_lines() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources() if path.suffix == ".py"}
    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > 500} == {}


def test_no_test_is_named_so_that_it_never_runs() -> None:
    unseen = [
        f"{path.name}: {node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith(("test_", "_"))
        if any(re.match(r"given\b|pytest\.mark\.", ast.unparse(decorator)) for decorator in node.decorator_list)
    ]
    assert unseen == []


def test_scripts_can_be_run() -> None:
    assert all((ROOT / ".ci" / name).stat().st_mode & 0o111 for name in ("run", "venv"))


def test_the_catalog_s_sql_ships_in_the_wheel() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"catalog": "lakestore/catalog/sql"}
    assert (ROOT / "catalog" / "schema.sql").is_file()


def test_every_example_names_its_source_and_licence() -> None:
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "examples").glob("*/*.json.gz"):
        named = {path.relative_to(ROOT / "examples").as_posix(), re.sub(r"(\d{4})-.*", r"\1-*.json.gz", path.name)}
        assert any(name in readme for name in named), path.name
    for link in re.findall(r"\]\(((?!http)[^)]+)\)", readme):
        assert (ROOT / "examples" / link).is_file(), link
