"""Imports only point down: the rooms of docs/design.md, kept by a walk over every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lakestore

PACKAGE = Path(lakestore.__file__).parent

LAYERS = (
    ("__main__",),
    ("cli",),
    ("bench",),
    ("archive",),
    ("migrate", "maintenance"),
    ("testing",),
    ("",),  # lakestore/__init__.py: what users import
    ("manager",),
    ("storage",),
    ("lake",),
    ("inspection", "batch", "loading"),
    ("result", "saving", "doctor"),
    ("record", "stamp"),
    ("packed_record",),
    ("identity", "source"),
    ("query",),
    ("catalog",),
    ("codec",),
    ("parquet",),
    ("parquet.data_file",),
    ("parquet.encodings",),
    ("parquet.footer", "parquet.gather", "parquet.integers", "parquet.key_values", "parquet.one_row", "parquet.seal"),
    ("parquet.delta", "parquet.ties"),
    ("parquet.thrift",),
    ("parquet.varint",),
    ("tombstones", "home"),
    ("files", "process"),
    ("layout",),
    ("background",),
    ("config", "compression"),
    ("model",),
    ("closing", "errors", "locks"),
)
"""From top to bottom; units in one line do not know each other."""

LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}
MODULES = sorted(PACKAGE.rglob("*.py"))


def unit_of(dotted: str) -> str:
    """The unit a module belongs to: `lakestore.codec.nodes` → `codec`, `lakestore.parquet.ties` → `parquet.ties`."""
    _, first, second, *_ = [*dotted.split("."), "", ""]
    return f"{first}.{second}" if f"{first}.{second}" in LEVEL else first


def dotted_name(path: Path) -> str:
    parts = ("lakestore", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each import of lakestore's own, also those inside functions."""
    package = ["lakestore", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            names = [submodule(module, alias.name) for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.split(".")[0] == "lakestore")


def submodule(package: str, name: str) -> str:
    """`from package import name`: a module of that name, or what the package's own `__init__.py` gives."""
    path = PACKAGE.joinpath(*package.split(".")[1:], name)
    return f"{package}.{name}" if path.is_dir() or path.with_suffix(".py").is_file() else package


@pytest.mark.parametrize("path", MODULES, ids=dotted_name)
def test_a_module_imports_only_from_below(path: Path) -> None:
    own = unit_of(dotted_name(path))
    assert own in LEVEL, f"{own} has no place in LAYERS"
    for line, name in imports(path):
        other = unit_of(name)
        assert other in LEVEL, f"{path.name}:{line} imports {name}, which has no place in LAYERS"
        assert other == own or LEVEL[other] > LEVEL[own], f"{path.name}:{line} imports {name}, which is not below {own}"


def test_the_walk_sees_imports_of_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "codec").mkdir()
    (tmp_path / "lake.py").touch()
    path = tmp_path / "codec" / "nodes.py"
    path.write_text(
        "import lakestore.cli.app\nfrom .. import lake\nfrom ..model import Column\nfrom . import styles\n"
        "def later():\n    from lakestore import lake, open\n"
    )
    assert [name for _, name in imports(path)] == [
        "lakestore.cli.app",
        "lakestore.lake",
        "lakestore.model",
        "lakestore.codec",
        "lakestore.lake",
        "lakestore",
    ]
