"""Configuration: one frozen object; flag beats environment beats file beats default, and only None means unset."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from lakestore.errors import InvalidInputError, StorageError

Format = Literal["table", "json", "csv"]
Mode = Literal["json", "dual", "lake"]
Primary = Literal["json", "lake"]

DEFAULT_LAKE = Path("lake")
DEFAULT_PATTERN = "{strategy}/{task_id}.json"
MAX_DOCUMENT = 1 << 30
"""Bytes of JSON of one document that are taken where nobody says; a save takes about eight times as much memory."""

_VARIABLES = {
    "mode": "RESULT_STORAGE_MODE",
    "primary": "RESULT_STORAGE_PRIMARY",
    "verify_reads": "RESULT_STORAGE_VERIFY_READS",
    "json_root": "RESULT_STORAGE_JSON_ROOT",
    "json_pattern": "RESULT_STORAGE_JSON_PATTERN",
}
"""Settings whose variable is not `LAKESTORE_<NAME>`: those of the storage that engines write to."""

_CHOICES: dict[str, tuple[str, ...]] = {
    "format": get_args(Format),
    "mode": get_args(Mode),
    "primary": get_args(Primary),
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)(i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3}
_YES_OR_NO = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Config:
    """Which lake, which catalog, how the command line prints, and what engines write to.

    `dsn` None: the lake's own embedded catalog. An empty DSN says so aloud, and so beats one set further down.
    `json_root` None: there is no tree of JSON files.
    """

    lake: Path = DEFAULT_LAKE
    dsn: str | None = None
    format: Format = "table"
    mode: Mode = "lake"
    primary: Primary = "json"
    verify_reads: bool = False
    json_root: Path | None = None
    json_pattern: str = DEFAULT_PATTERN
    max_document: int = MAX_DOCUMENT

    @classmethod
    def load(
        cls,
        *,
        lake: str | os.PathLike[str] | None = None,
        dsn: str | None = None,
        format: str | None = None,
        mode: str | None = None,
        primary: str | None = None,
        verify_reads: str | bool | None = None,
        json_root: str | os.PathLike[str] | None = None,
        json_pattern: str | None = None,
        max_document: str | int | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Config:
        """Resolve each setting by itself: what is given here, else its variable, else the file, else the default.

        The variables are `LAKESTORE_LAKE`, `…_DSN`, `…_FORMAT`, `…_MAX_DOCUMENT` and, for what engines write to,
        `RESULT_STORAGE_MODE`, `…_PRIMARY`, `…_VERIFY_READS`, `…_JSON_ROOT` and `…_JSON_PATTERN`.

        Args:
            lake: root directory of the lake; `~` is the home directory.
            dsn: PostgreSQL connection string of the catalog; empty: the embedded one.
            format: how commands print, `table`, `json` or `csv`.
            mode: what engines write to, `json`, `dual` or `lake`.
            primary: what counts in mode `dual`, `json` or `lake`.
            verify_reads: whether reads in mode `dual` compare both: yes or no, as 1, true, yes, on and their opposites.
            json_root: root directory of the tree of JSON files.
            json_pattern: where a result lies in it, of `{strategy}`, `{date}` and `{task_id}`.
            max_document: bytes of JSON that one document may take, as a number or as `500MB`, `2GB`.
            environ: the environment, `os.environ` if None.

        Raises:
            InvalidInputError: a setting cannot be used; the message says where it stands.
        """
        environ = os.environ if environ is None else environ
        given = {
            "lake": None if lake is None else os.fspath(lake),
            "dsn": dsn,
            "format": format,
            "mode": mode,
            "primary": primary,
            "verify_reads": str(verify_reads) if isinstance(verify_reads, bool) else verify_reads,
            "json_root": None if json_root is None else os.fspath(json_root),
            "json_pattern": json_pattern,
            "max_document": None if max_document is None else str(max_document),
        }
        file, settings = _read_file(environ)
        found: dict[str, tuple[str, str]] = {}
        for name in given:
            variable = _VARIABLES.get(name, f"LAKESTORE_{name.upper()}")
            for source, value in ((name, given[name]), (variable, environ.get(variable)), (file, settings.get(name))):
                if value is not None:
                    found[name] = (source, value)
                    break
        return cls(**{name: _checked(name, *pair) for name, pair in found.items()})  # type: ignore[arg-type]

    def root(self) -> Path:
        """The lake's directory, absolute.

        Raises:
            StorageError: it is told from a working directory that is not there any more.
        """
        try:
            return self.lake.absolute()
        except OSError as exc:
            raise StorageError(
                f"the working directory is gone, and lake {self.lake} is told from there: "
                "give an absolute path, or go to a directory that is there"
            ) from exc


def _read_file(environ: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Name and settings of the configuration file; no settings where there is no such file."""
    named = environ.get("LAKESTORE_CONFIG")
    if named is not None:
        path = Path(named)
    else:
        home = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config"
        path = Path(home) / "lakestore" / "config.toml"
    try:
        with path.open("rb") as stream:
            settings = tomllib.load(stream)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as exc:
        # A file that was asked for by name must be there; the one looked for by habit need not.
        if named is None:
            return str(path), {}
        raise InvalidInputError(f"LAKESTORE_CONFIG: cannot read {path}: {exc.strerror}") from exc
    except OSError as exc:
        raise InvalidInputError(f"cannot read {path}: {exc.strerror}; correct it or set LAKESTORE_CONFIG") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InvalidInputError(f"{path} is not valid TOML: {exc}") from exc
    known = {field.name for field in fields(Config)}
    for name, value in settings.items():
        if name not in known:
            raise InvalidInputError(f"{path}: no setting is called {name!r}; there are {', '.join(sorted(known))}")
        others = {"verify_reads": bool, "max_document": int}
        if not isinstance(value, str) and type(value) is not others.get(name):
            raise InvalidInputError(f"{path}: {name} must be text, not {type(value).__name__}")
    return str(path), {name: str(value) for name, value in settings.items()}


def _checked(name: str, source: str, value: str) -> Path | str | bool | int | None:
    if name in ("lake", "json_root"):
        what = "a lake" if name == "lake" else "JSON files"
        if not value or "\0" in value:
            raise InvalidInputError(f"{source}: {value!r} is not a directory for {what}; give a path")
        try:
            return Path(value).expanduser()
        except RuntimeError as exc:
            raise InvalidInputError(f"{source}: {value!r}: no such home directory; give a path without '~'") from exc
    if name == "max_document":
        bytes_ = size(value)
        if bytes_ is None:
            raise InvalidInputError(f"{source}: {value!r} is not a size; write a number of bytes, 500MB or 2GB")
        return bytes_
    if name == "verify_reads":
        found = _YES_OR_NO.get(value.lower())
        if found is None:
            raise InvalidInputError(f"{source}: {value!r} is neither yes nor no; there are {', '.join(_YES_OR_NO)}")
        return found
    choices = _CHOICES.get(name)
    if choices is not None and value not in choices:
        raise InvalidInputError(f"{source}: no {name} is called {value!r}; there are {', '.join(choices)}")
    return (value or None) if name == "dsn" else value


def size(value: str) -> int | None:
    """The bytes, one or more, that a text says: `500MB`, `1.5GB`, `2GiB`, a number; None where it says none."""
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        return None
    return int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()]) or None
