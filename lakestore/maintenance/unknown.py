"""What lies in a lake and is not known to its catalog."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Final, Literal, TypeVar

from lakestore import layout, tombstones
from lakestore.catalog.upkeep import PAGE
from lakestore.files import Files, Found
from lakestore.lake import Parts

T = TypeVar("T")

LEFTOVER: Final = timedelta(hours=1)
"""A file that the catalog does not know may be of a save under way for so long."""

_TEMPORARY = re.compile(r"(?:.*/)?\.[^/]+\.[0-9a-f]{8}\.tmp")
_PROBE = f"{layout.PRIVATE}/probe"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A file that the catalog does not know.

    Attributes:
        kind: `data`: named as a data file; `temporary`: of a write that did not end; `foreign`: not lakestore's.
        place: table, strategy and date of a data file.
    """

    found: Found
    kind: Literal["data", "temporary", "foreign"]
    place: tuple[str, str, date] | None = None

    @property
    def in_results(self) -> bool:
        """Whether it may hold rows of results."""
        return self.place is not None and self.place[0] == layout.RESULTS


def unknown(parts: Parts) -> Iterator[list[Unknown]]:
    """Pages of the files in the lake's tables that the catalog does not know, and of temporary ones beside them.

    A file is looked for in the catalog after it was seen: what a save commits meanwhile is not among them.
    """
    for seen in pages(_seen(parts.files)):
        known = parts.catalog.upkeep.known_paths([found.name for found in seen])
        if left := [_unknown(found) for found in seen if found.name not in known]:
            yield left


def table_folders(files: Files) -> Iterator[str]:
    """The folders of the lake that are named as tables are."""
    yield from (name for name in files.folders() if layout.TABLE_NAME.fullmatch(name))


def pages(items: Iterable[T], size: int = PAGE) -> Iterator[list[T]]:
    """Items in lists of so many."""
    rest = iter(items)
    while page := list(islice(rest, size)):
        yield page


def _seen(files: Files) -> Iterator[Found]:
    for folder in table_folders(files):
        yield from files.scan(folder)
    for folder, deep in ((layout.PRIVATE, False), (tombstones.FOLDER, True), (_PROBE, True)):
        yield from (found for found in files.scan(folder, deep=deep) if _TEMPORARY.fullmatch(found.name))


def _unknown(found: Found) -> Unknown:
    parsed = layout.parse_data_path(found.name)
    if parsed is not None:
        return Unknown(found, "data", parsed[:3])
    return Unknown(found, "temporary" if _TEMPORARY.fullmatch(found.name) else "foreign")
