"""Which profiles there are, shipped ones and the lake's own, and which one is for a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from lakestore.codec.profiles.declaration import parse
from lakestore.codec.profiles.profile import GENERIC, SHIPPED, Profile
from lakestore.errors import InvalidInputError, NotFoundError, StorageError, reason

Profiles = Mapping[str, Profile]
"""Profiles by name in the order in which they are tried: a user's own, the shipped ones, `generic`."""


@cache
def shipped() -> Profiles:
    """The profiles that come with lakestore."""
    folder = resources.files("lakestore.codec.profiles")
    files = [file for file in folder.iterdir() if file.name.endswith(".toml")]
    return _in_order(parse(file.read_text("utf-8"), file.name, origin=SHIPPED) for file in files)


def known(folder: Path | None) -> Profiles:
    """The shipped profiles and those of a folder's `*.toml`, which come first and win where names are the same.

    Raises:
        InvalidInputError: a file is no profile, or two have one name; named with what is wrong.
        StorageError: the folder cannot be read.
    """
    if folder is None:
        return shipped()
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return shipped()
    except OSError as exc:
        raise StorageError(f"cannot read the profiles in {folder}: {reason(exc)}") from exc
    own: dict[str, Profile] = {}
    for path in files:
        profile = read(path)
        if profile.name in own:
            raise InvalidInputError(
                f"profile {path} and {own[profile.name].origin} are both called {profile.name!r}: rename one"
            )
        own[profile.name] = profile
    return _in_order([*own.values(), *shipped().values()]) if own else shipped()


def read(path: Path) -> Profile:
    """The profile in a TOML file.

    Raises:
        InvalidInputError: naming the file and what is wrong in it.
        NotFoundError, StorageError: the file is not there, or cannot be read.
    """
    try:
        seen = path.stat()
        return _read(path, seen.st_mtime_ns, seen.st_size, seen.st_ino)
    except FileNotFoundError as exc:
        raise NotFoundError(f"there is no profile {path}") from exc
    except OSError as exc:
        raise StorageError(f"cannot read profile {path}: {reason(exc)}") from exc


@lru_cache(maxsize=256)
def _read(path: Path, _changed: int, _size: int, _file: int) -> Profile:
    """A file parsed once, until it changes: a save must not pay for it."""
    try:
        return parse(path.read_text("utf-8"), str(path))
    except UnicodeDecodeError as exc:
        raise InvalidInputError(f"profile {path} is not UTF-8: byte {exc.start} ({exc.reason})") from exc


def named(wanted: str, profiles: Profiles) -> Profile:
    """The profile of a name, or of a path to a TOML file (what ends in `.toml`).

    Raises:
        InvalidInputError: there is none of that name, or the file is no profile.
        NotFoundError, StorageError: the file is not there, or cannot be read.
    """
    if wanted.endswith(".toml"):
        return read(Path(wanted))
    if wanted not in profiles:
        raise InvalidInputError(
            f"there is no profile {wanted!r}; choose one of {', '.join(profiles)}, or give a file: ./{wanted}.toml"
        )
    return profiles[wanted]


def choose(document: Any, wanted: str | Profile | None, profiles: Profiles | None = None) -> Profile:
    """The profile asked for, else the first that recognises the document, else `generic`.

    Args:
        wanted: a profile, its name, or a path to a TOML file.
        profiles: those that there are; the shipped ones if None.

    Raises:
        InvalidInputError: there is none of that name, or the file is no profile.
        NotFoundError, StorageError: the file is not there, or cannot be read.
    """
    if isinstance(wanted, Profile):
        return wanted
    if profiles is None:
        profiles = shipped()
    if wanted is not None:
        return named(wanted, profiles)
    return next((profile for profile in profiles.values() if profile.recognises(document)), profiles[GENERIC])


def _in_order(profiles: Iterable[Profile]) -> Profiles:
    found: dict[str, Profile] = {}
    for profile in sorted(profiles, key=lambda each: (each.name == GENERIC, each.origin == SHIPPED, each.name)):
        found.setdefault(profile.name, profile)
    return found
