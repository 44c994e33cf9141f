"""A document read: its text, its value, its profile, and its record tables as columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from lakestore.background import Background
from lakestore.codec import arrow, plan, render, text
from lakestore.codec.given import Given, written
from lakestore.codec.plan import Region
from lakestore.codec.profiles.profile import Path, Profile
from lakestore.codec.profiles.registry import Profiles, choose
from lakestore.codec.strings import PLAIN, Escapes
from lakestore.codec.style import COMPACT
from lakestore.codec.text import LARGE, Hashed, dump
from lakestore.errors import InvalidInputError

# What a cell of a given table takes as JSON text with its key, about, in bytes.
_CELL = 24


@dataclass(slots=True)
class Draft:
    """A document read: its text, its value, its profile and its record tables.

    `python`: Python's `json` read it; `exact`: so that nothing differs from what `json` reads; `is_large`: threads may
    share its work; `is_own`: it was written here, of a value; `escapes`: what its writer escaped.
    """

    source: Background[Hashed]
    where: str
    value: Any
    profile: Profile
    regions: list[Region]
    python: bool
    exact: bool
    is_large: bool = False
    is_own: bool = False
    escapes: Escapes = PLAIN

    @property
    def text(self) -> bytes:
        """The document's text; that of tables given beside it is made when it is asked for first."""
        return self.source.result().data

    @property
    def sha256(self) -> str:
        """That of the text, hexadecimal."""
        return self.source.result().sha256


def read(
    source: bytes,
    where: str,
    profile: Profile | str | None,
    tables: Mapping[str, Any] | None = None,
    profiles: Profiles | None = None,
    *,
    given: Given | None = None,
) -> Draft:
    """A document's text read, and the tables given beside it put into it as arrays of records.

    Args:
        profile: the one to read it with, its name or file; recognised among `profiles` (the shipped ones) if None.
        given: the value that it was made of.

    Raises:
        InvalidInputError: not JSON, no such profile, or a table that cannot be part of the document.
    """
    if not isinstance(tables, Mapping | None):
        raise InvalidInputError(
            f"tables are given by their names, as tables={{'signals': …}}, not as {type(tables).__name__}"
        )
    found = given or Given(source, None)
    try:
        draft = _parsed(found, where, profile, profiles)
        if found.unseen and not _is_plain(draft):
            raise text.ForeignError
    except text.ForeignError:
        draft = _parsed(written(found.value), where, profile, profiles)
    return _with_tables(draft, tables) if tables else draft


def _with_tables(draft: Draft, tables: Mapping[str, Any]) -> Draft:
    """The document with an array of records for each table, before its closing brace."""
    if not isinstance(draft.value, dict):
        raise InvalidInputError(f"{draft.where} is not a JSON object: tables can be put into an object only")
    added = []
    for name, given in tables.items():
        if not isinstance(name, str):
            raise InvalidInputError(f"tables: the name {name!r} is {type(name).__name__}, not text")
        if name in draft.value:
            raise InvalidInputError(f"{draft.where} has a key {name!r}, and a table of that name is given: rename one")
        table = arrow.table_of(given, name)
        node = arrow.node_of(table, name)
        added.append(Region((name,), json.dumps(name), name, "objects", node, given=table))
        # Only Python's json reads NaN, and integers beyond 64 bits as such.
        draft.python |= node.has_words or any(map(pa.types.is_decimal, table.schema.types))
        # Counted in cells: pyarrow 23 cannot tell the bytes of texts that are views.
        draft.is_large |= table.num_rows * table.num_columns * _CELL >= LARGE
    draft.regions += added
    draft.source = Background(partial(_with_rows, draft.text, bool(draft.value), added), apart=False)
    plan.name_apart(draft.regions)
    return draft


def _with_rows(text: bytes, filled: bool, added: Sequence[Region]) -> Hashed:
    """The text of an object with the rows of record tables before its closing brace; where each stands is noted."""
    body = text.rstrip(b" \t\r\n")
    pieces: list[bytes | memoryview] = [body[:-1]]
    size = len(body) - 1
    for region in added:
        head = ("," if filled else "").encode() + dump(region.path[0]).encode() + b":"
        rows = list(render.table(region.node, COMPACT, region.form))
        region.start = size + len(head)
        region.stop = size = region.start + sum(map(len, rows))
        pieces += [head, *rows]
        filled = True
    return Hashed(b"".join([*pieces, b"}", text[len(body) :]]))


def _parsed(given: Given, where: str, profile: Profile | str | None, profiles: Profiles | None) -> Draft:
    value, python = given.value, given.python
    if value is None:
        value, python = text.parse(given.text, where)
    draft = _draft(Hashed(given.text), where, value, choose(value, profile, profiles), python, exact=False)
    draft.is_own = given.value is not None
    return draft


def exactly(draft: Draft) -> Draft:
    """The document read anew as Python's `json` reads it."""
    source = draft.source.result()
    value, python = text.parse(source.data, draft.where, exact=True)
    return _draft(source, draft.where, value, draft.profile, python, exact=True)


def _draft(source: Hashed, where: str, value: Any, profile: Profile, python: bool, *, exact: bool) -> Draft:
    made = Background(lambda: source, apart=False)
    large = len(source.data) >= LARGE
    return Draft(made, where, value, profile, plan.regions(value, profile), python, exact, large)


def _is_plain(draft: Draft) -> bool:
    """Whether a value is in JSON's own types, its floats such that all writers write them the same way."""
    # The types of what has columns were looked at when they were made.
    inside = {id(_at(draft.value, region.path)) for region in draft.regions}
    return all(region.node.is_plain for region in draft.regions) and text.in_json_types(draft.value, inside, plain=True)


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value
