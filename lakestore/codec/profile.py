"""Profiles: which parts of an engine's document are its identity and its record tables, declared as data.

A profile is a TOML file: how the document is recognised, where strategy, time, status, parameters and metrics are,
and which paths are record tables. A path is a list of keys; `*` stands for every key of an object.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from lakestore.errors import InvalidInputError

Path = tuple[str | int, ...]
ANY = "*"


@dataclass(frozen=True, slots=True)
class TablePlan:
    """A record table that a profile names: where it is, what it is called, names for places in arrays."""

    path: Path
    table: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """One engine's documents.

    `lift`: also take the arrays at the top of the document. `strategies`: the path whose `*` is the strategy's name.
    The other identity fields are paths to try in order.
    """

    name: str
    version: int
    title: str
    lift: bool
    present: tuple[Path, ...]
    strategies: Path | None
    identity: Mapping[str, tuple[Path, ...]]
    tables: tuple[TablePlan, ...]

    def recognises(self, document: Any) -> bool:
        """Whether the document has every path that the profile expects."""
        return bool(self.present) and all(any(True for _ in find(document, path)) for path in self.present)

    def first(self, document: Any, field: str) -> Any:
        """The first value there is of an identity field; None when the document has none."""
        for path in self.identity.get(field, ()):
            for _, value in find(document, path):
                if value is not None:
                    return value
        return None

    def strategies_of(self, document: Any) -> list[str]:
        """All strategies of the document, in its order; empty where the profile has no word of them."""
        if self.strategies is not None:
            place = self.strategies.index(ANY)
            return [str(path[place]) for path, _ in find(document, self.strategies)]
        value = self.first(document, "strategy")
        return [value] if isinstance(value, str) else []


def find(value: Any, path: Path, done: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every place of a document that a path means, with its value, in the document's order."""
    if not path:
        yield done, value
        return
    head, rest = path[0], path[1:]
    if head == ANY and isinstance(value, dict):
        for key, item in value.items():
            yield from find(item, rest, (*done, key))
    elif (isinstance(head, str) and isinstance(value, dict) and head in value) or (
        isinstance(head, int) and isinstance(value, list) and head < len(value)
    ):
        yield from find(value[head], rest, (*done, head))  # type: ignore[index]


def parse(text: str, where: str) -> Profile:
    """A profile from TOML.

    Raises:
        InvalidInputError: naming the file and what is wrong in it.
    """
    try:
        data = tomllib.loads(text)
        identity = dict(data.get("identity", {}))
        strategies = identity.pop("strategies", None)
        return Profile(
            name=data["name"],
            version=int(data["version"]),
            title=data.get("title", ""),
            lift=bool(data.get("lift", False)),
            present=_paths(data.get("recognise", {}).get("present", ())),
            strategies=None if strategies is None else tuple(strategies),
            identity={field: _paths(paths) for field, paths in identity.items()},
            tables=tuple(
                TablePlan(
                    tuple(item["path"]), item.get("table") or str(item["path"][-1]), tuple(item.get("columns", ()))
                )
                for item in data.get("tables", ())
            ),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as exc:
        raise InvalidInputError(f"profile {where} cannot be read: {exc}; see docs/profiles.md for its form") from exc


def _paths(paths: Sequence[Sequence[str | int]]) -> tuple[Path, ...]:
    return tuple(tuple(path) for path in paths)


@cache
def shipped() -> Mapping[str, Profile]:
    """The profiles that come with lakestore, by name; `generic` is the last."""
    folder = resources.files("lakestore.codec") / "profiles"
    found = [parse(file.read_text("utf-8"), file.name) for file in folder.iterdir() if file.name.endswith(".toml")]
    return {
        profile.name: profile
        for profile in sorted(found, key=lambda profile: (profile.name == "generic", profile.name))
    }


def choose(document: Any, name: str | None) -> Profile:
    """The profile asked for, else the first that recognises the document, else `generic`.

    Raises:
        InvalidInputError: there is no profile of that name.
    """
    profiles = shipped()
    if name is not None:
        if name not in profiles:
            raise InvalidInputError(f"there is no profile {name!r}; choose one of {', '.join(profiles)}")
        return profiles[name]
    return next((profile for profile in profiles.values() if profile.recognises(document)), profiles["generic"])
