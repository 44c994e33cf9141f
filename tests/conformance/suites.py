"""The suites under `data/` as (name, bytes), and what Python's `json` says of a text."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("data")

DEEP = 2_000
"""Levels that no Python reads: what is nested deeper is refused whatever stack it runs on."""


def members(archive: str, folder: str) -> list[tuple[str, bytes]]:
    """The files of one folder of an archive, by name."""
    with zipfile.ZipFile(DATA / archive) as suite:
        names = [name for name in sorted(suite.namelist()) if name.startswith(folder)]
        return [(name.removeprefix(folder), suite.read(name)) for name in names]


def accepted(text: bytes) -> bool:
    """Whether Python's `json` reads it as UTF-8, a BOM allowed."""
    try:
        json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    return True


def value(text: bytes) -> Any:
    """What Python's `json` reads."""
    return json.loads(text.decode("utf-8-sig"))


def within(text: bytes) -> bytes:
    """A result in which the text stands as a value and in a record; a BOM inside of it is no JSON any more."""
    return b'{"strategy": "s", "x": %b, "rows": [{"v": %b}, {"v": 1}]}' % (text, text)
