"""Is everything in order? Checks of versions, the catalog, and the lake's directory."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from lakestore.catalog import Catalog
from lakestore.errors import LakestoreError
from lakestore.files import Files
from lakestore.home import Home
from lakestore.layout import PRIVATE
from lakestore.stamp import OLD, Stamp

_PACKAGES = ("lakestore", "duckdb", "pyarrow", "psycopg", "orjson")
_LOW = 1 << 30
"""Bytes free below which the disk is nearly full."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: whether it is in order, and what was seen or what to do."""

    name: str
    ok: bool
    detail: str


def check(
    root: Path, catalog: Catalog, stamp: Stamp, *, embedded: bool, home: Home, paths: Callable[[], Iterable[str]]
) -> list[Check]:
    """All checks of a lake that is open.

    Args:
        paths: gives those of its live data files, below the root.
    """
    return [*versions(), *_catalog(catalog, embedded=embedded), _stamp(stamp), *_lake(root, home), _files(root, paths)]


def versions() -> Iterator[Check]:
    """What can be said without a lake: the versions of Python and of what lakestore is made of."""
    yield Check("python", True, platform.python_version())
    for package in _PACKAGES:
        try:
            yield Check(package, True, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Check(package, True, "not installed as a package")


def _catalog(catalog: Catalog, *, embedded: bool) -> Iterator[Check]:
    try:
        settings = catalog.settings()
    except LakestoreError as exc:
        yield Check("catalog", False, str(exc))
        return
    kind = "embedded" if embedded else "given by a DSN"
    yield Check("catalog", True, f"PostgreSQL {settings.get('server_version', '?')}, {kind}: {catalog.place}")
    for name, why in (
        ("fsync", "a power loss can damage the catalog: set fsync = on in postgresql.conf"),
        ("full_page_writes", "a power loss can damage the catalog: set full_page_writes = on in postgresql.conf"),
    ):
        ok = settings.get(name) == "on"
        yield Check(f"catalog {name}", ok, "on" if ok else f"{settings.get(name)}: {why}")
    commit = settings.get("synchronous_commit", "?")
    ok = commit != "off"
    detail = commit if ok else "off: a save that returned can be lost; set synchronous_commit = on"
    yield Check("catalog synchronous_commit", ok, detail)


def _stamp(stamp: Stamp) -> Check:
    """An old catalog answers as if nothing were amiss: one of before a backup, or one that was left for a DSN."""
    name = "catalog is the lake's last"
    try:
        behind = stamp.is_behind()
    except LakestoreError as exc:
        return Check(name, False, str(exc))
    return Check(name, not behind, f"older than the lake: {OLD}" if behind else "yes")


def _files(root: Path, paths: Callable[[], Iterable[str]]) -> Check:
    """Whether others, such as root, saved what is closed to us; a file that is missing is for `catalog sync`."""
    name = "data files open to us"
    try:
        closed = [path for path in paths() if _is_closed(root / path)]
    except LakestoreError as exc:
        return Check(name, False, str(exc))
    why = f"{len(closed):,} cannot be read, as {root / closed[0]}: chown or chmod them" if closed else "all"
    return Check(name, not closed, why)


def _is_closed(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return not os.access(path, os.R_OK, effective_ids=True)


def _lake(root: Path, home: Home) -> Iterator[Check]:
    yield Check("lake", True, f"{root}: format {home.format}, partition by {home.partition}, numbers as {home.numbers}")
    files = Files(root)
    probe = f"{PRIVATE}/probe/{uuid4()}"
    try:
        files.write([(probe, b"durable")])
        back = files.read(probe)
        files.remove([probe])
        yield Check("lake writable", back == b"durable", "wrote, synced, read and removed a file")
    except LakestoreError as exc:
        yield Check("lake writable", False, str(exc))
    usage = shutil.disk_usage(root)
    detail = f"{usage.free / 1e9:,.1f} GB of {usage.total / 1e9:,.1f} GB free"
    yield Check("disk", usage.free >= _LOW, detail if usage.free >= _LOW else f"{detail}: make room, saves will fail")
