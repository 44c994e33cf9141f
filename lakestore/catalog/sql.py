"""The catalog's SQL by name, read once from the files that ship with the package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

from lakestore.errors import CatalogError

_HERE = Path(__file__).resolve().parent
# In a wheel the SQL lies beside this module; in a checkout, at the top of it.
_FOLDERS = (_HERE / "sql", _HERE.parents[1] / "catalog")
_HEADING = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)
_INCLUDE = re.compile(r"\{([a-z_]+)\}")
_PARAMETER = re.compile(r"%\(([a-z_]+)\)s")
_MIGRATION = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")


def folder() -> Path:
    """Return the directory that holds `schema.sql`, `queries.sql` and `migrations/`.

    Raises:
        CatalogError: the package was installed without them.
    """
    for path in _FOLDERS:
        if (path / "queries.sql").is_file():
            return path
    raise CatalogError(f"the catalog's SQL is not in {_FOLDERS[0]}: install lakestore again")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise CatalogError(f"cannot read the catalog's SQL {path}: install lakestore again") from exc


def parse(text: str) -> dict[str, bytes]:
    """Split the text of a file of named statements; `{x}` in one is replaced by the statement x."""
    parts = _HEADING.split(text)
    raw = {name: _without_comments(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}

    def whole(body: str) -> str:
        return _INCLUDE.sub(lambda found: whole(raw[found[1]]), body)

    return {name: whole(body).encode() for name, body in raw.items()}


def _without_comments(body: str) -> str:
    return "\n".join(line for line in body.splitlines() if line.strip() and not line.startswith("--"))


@cache
def queries() -> Mapping[str, bytes]:
    """Return the statements of `queries.sql` by name."""
    return parse(_read(folder() / "queries.sql"))


@lru_cache(256)
def page_of(name: str, given: frozenset[str], limit: int) -> bytes:
    """Return a statement of `queries.sql` that lists one page, without the lines whose parameters are not given."""
    lines = queries()[name].decode().replace("%(limit)s", format(limit, "d")).splitlines()
    return "\n".join(line for line in lines if given.issuperset(_PARAMETER.findall(line))).encode()


@cache
def schema() -> bytes:
    """Return the whole present schema as one script."""
    return _read(folder() / "schema.sql").encode()


def roles() -> str:
    """Return the script that makes the roles of a reader and of a writer."""
    return _read(folder() / "roles.sql")


@cache
def migrations() -> Mapping[int, bytes]:
    """Return the scripts that lead from an empty database to the present schema, by version, in order."""
    found = {}
    try:
        paths = sorted((folder() / "migrations").iterdir())
    except OSError as exc:
        raise CatalogError(f"cannot read the catalog's migrations in {folder()}: install lakestore again") from exc
    for path in paths:
        if match := _MIGRATION.match(path.name):
            found[int(match[1])] = _read(path).encode()
    return found
