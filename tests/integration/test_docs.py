"""Every code block of README and docs/*.md does what it says, page by page in a folder of its own.

`bash` blocks must succeed; after `$ command` in a `console` block stands what it prints; `python` blocks run in one
namespace a page, and a `text output` block after one is what it printed; `sql` blocks run on the page's
lake, in psql and in `lakestore sql`; `toml` and `json` blocks must be valid, and are written to the file that is named
behind the language. `…` stands for anything in a line, and on a line of its own for any lines.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```([a-z]*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    note: str
    line: int
    text: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(match[1], match[2].strip(), text.count("\n", 0, match.start()) + 1, match[3])
        for match in BLOCK.finditer(text)
    ]


def commands(console: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with what it is to print."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        count = 1
        while lines[count - 1].endswith("\\\n") or (count < len(lines) and lines[count].startswith("> ")):
            count += 1
        yield "".join(line.removeprefix("> ") for line in lines[:count]), "".join(lines[count:])


def matches(expected: str, printed: str) -> bool:
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", "[^\n]*") + r"[ ]*\n"
        for line in expected.strip("\n").splitlines()
    )
    return re.fullmatch(pattern, printed.strip("\n") + "\n" if printed.strip("\n") else "") is not None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the examples in it, where `lakestore` is a command and no setting reaches it."""
    program = tmp_path / "bin" / "lakestore"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lakestore "$@"\n')
    program.chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    (place / "examples").symlink_to(ROOT / "examples")
    for name in [name for name in os.environ if name.startswith("LAKESTORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{program.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(place)
    return place


def shell(command: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=120,
    )
    return done.stdout + (f"[exit {done.returncode}]\n" if done.returncode else "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_code_block_does_what_it_says(page: Path, folder: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for block in blocks(page):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        match block.language:
            case "bash":
                out = shell(block.text)
                assert "[exit " not in out, f"{where}: {out}"
            case "console":
                for command, expected in commands(block.text):
                    out = shell(command)
                    assert matches(expected, out), f"{where}: $ {command}{out}"
            case "python":
                stream = io.StringIO()
                with contextlib.redirect_stdout(stream):
                    exec(compile("\n" * block.line + block.text, str(page), "exec"), namespace)
                printed = stream.getvalue()
            case "text" if block.note == "output":
                assert matches(block.text, printed), f"{where}: {printed}"
            case "sql":
                for command in (["catalog", "psql", "-v", "ON_ERROR_STOP=1", "-c"], ["sql"]):
                    done = subprocess.run(["lakestore", *command, block.text])
                    assert done.returncode == 0, where
            case "toml" | "json":
                _ = tomllib.loads(block.text) if block.language == "toml" else json.loads(block.text)
                if block.note:
                    Path(block.note).write_text(block.text, encoding="utf-8")
            case other:
                assert other in ("", "text"), f"{where}: nothing runs a block of {other!r}"


def test_the_readme_s_blocks_are_run() -> None:
    languages = [block.language for block in blocks(ROOT / "README.md")]
    assert {"console", "python", "sql"} <= set(languages)
    assert set(languages) <= {"bash", "console", "python", "sql", "text", "toml", "json"}


def test_the_page_of_the_command_line_is_what_the_help_texts_make() -> None:
    path = ROOT / "docs" / "make_cli.py"
    spec = importlib.util.spec_from_file_location("make_cli", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TARGET.read_text(encoding="utf-8") == module.page(), "make docs writes docs/cli.md anew"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(((?!https?:|#)[^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\nc\n", False),
        ("a\n", "a\nb\n", False),
        ("a … c\n", "a 123 c\n", True),
        ("a … c\n", "a 1\n2 c\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nd\n", True),
        ("", "", True),
        ("", "a\n", False),
        ("(1.5)\n", "(115)\n", False),
    ],
)
def test_an_ellipsis_stands_for_anything_and_nothing_else_does(expected: str, printed: str, same: bool) -> None:
    assert matches(expected, printed) is same


def test_a_console_block_is_commands_and_what_they_print() -> None:
    text = "$ a \\\n> b\n1\n2\n$ c '\n> d'\n$ e\n3\n"
    assert list(commands(text)) == [("a \\\nb\n", "1\n2\n"), ("c '\nd'\n", ""), ("e\n", "3\n")]
