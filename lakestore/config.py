"""Configuration: one frozen object; flag beats environment beats file beats default, and only None means unset."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, cast, get_args

from lakestore.errors import InvalidInputError

Format = Literal["table", "json", "csv"]

DEFAULT_LAKE = Path("lake")


@dataclass(frozen=True, slots=True)
class Config:
    """Which lake, which catalog, and how the command line prints.

    `dsn` None: the lake's own embedded catalog. An empty DSN says so aloud, and so beats one set further down.
    """

    lake: Path = DEFAULT_LAKE
    dsn: str | None = None
    format: Format = "table"

    @classmethod
    def load(
        cls,
        *,
        lake: str | os.PathLike[str] | None = None,
        dsn: str | None = None,
        format: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Config:
        """Resolve each setting by itself: what is given here, else `LAKESTORE_<NAME>`, else the file, else the default.

        Args:
            lake: root directory of the lake; `~` is the home directory.
            dsn: PostgreSQL connection string of the catalog; empty: the embedded one.
            format: how commands print, `table`, `json` or `csv`.
            environ: the environment, `os.environ` if None.

        Raises:
            InvalidInputError: a setting cannot be used; the message says where it stands.
        """
        environ = os.environ if environ is None else environ
        given = {"lake": None if lake is None else os.fspath(lake), "dsn": dsn, "format": format}
        file, settings = _read_file(environ)
        found: dict[str, tuple[str, str]] = {}
        for name in given:
            variable = f"LAKESTORE_{name.upper()}"
            for source, value in ((name, given[name]), (variable, environ.get(variable)), (file, settings.get(name))):
                if value is not None:
                    found[name] = (source, value)
                    break
        return cls(**{name: _checked(name, *pair) for name, pair in found.items()})  # type: ignore[arg-type]


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
        if not isinstance(value, str):
            raise InvalidInputError(f"{path}: {name} must be text, not {type(value).__name__}")
    return str(path), settings


def _checked(name: str, source: str, value: str) -> Path | str | None:
    if name == "lake":
        if not value or "\0" in value:
            raise InvalidInputError(f"{source}: {value!r} is no directory for a lake; give a path")
        try:
            return Path(value).expanduser()
        except RuntimeError as exc:
            raise InvalidInputError(f"{source}: {value!r}: no such home directory; give a path without '~'") from exc
    if name == "dsn":
        return value or None
    if value not in get_args(Format):
        raise InvalidInputError(f"{source}: no format is called {value!r}; there are {', '.join(get_args(Format))}")
    return cast(Format, value)
