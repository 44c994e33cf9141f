"""Vacuum: the one that deletes lake files, once they were let go, or were nobody's, for longer than a grace period.

Each step is catalog first, then files, so that a crash leaves files that nobody knows: the next vacuum takes them.
A rebuild stays right at any moment: before the catalog forgets a version a tombstone says that it is dead, and the
tombstone goes last, once no row of the version lies in the lake.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from lakestore import parquet, record, tombstones
from lakestore.errors import CorruptFileError, InvalidInputError, StorageError
from lakestore.lake import Lake, Parts
from lakestore.maintenance import schema_file
from lakestore.maintenance.unknown import LEFTOVER, Unknown, pages, table_folders, unknown

GRACE: Final = timedelta(days=7)
"""How long readers may go on with what was let go, where nobody says."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A file that is gone: it was let go, or it was a leftover that the catalog does not know."""

    path: str
    bytes: int
    why: Literal["let go", "leftover"]


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What a vacuum did: files and versions of results that are gone for good, empty folders, tombstones."""

    files: tuple[Removed, ...]
    versions: int
    folders: int
    tombstones: int

    @property
    def bytes(self) -> int:
        """Bytes of the files."""
        return sum(file.bytes for file in self.files)


def vacuum(lake: Lake, *, older_than: timedelta = GRACE, dry_run: bool = False) -> Vacuumed:
    """Delete what was let go, and what was nobody's, for longer than a grace period.

    Files that the catalog does not know stay for an hour at least, whatever the grace period. One is let go in
    the catalog before it is deleted, so that a save that takes even longer fails instead of committing it.

    Args:
        older_than: the grace period.
        dry_run: only tell what would go; tombstones and folders are not foreseen.

    Raises:
        InvalidInputError: the grace period is negative.
        StorageError: a file cannot be deleted; what is left goes with the next vacuum.
        CatalogError: the catalog cannot be reached; likewise. Or it is older than its lake: nothing was done.
    """
    if older_than < timedelta():
        raise InvalidInputError(f"older_than {older_than} is negative: give how long readers may take")
    parts = lake.parts()
    before = parts.catalog.upkeep.clock() - older_than
    written = parts.now() - max(older_than, LEFTOVER)
    with _on_a_full_disk():
        if not dry_run:
            # An old copy of the catalog would let go what was saved since.
            parts.stamp.press(anew=True)
            schema_file.keep(parts)
        versions = _forget_versions(parts, before, dry_run)
    files = [*_remove_let_go(parts, before, dry_run), *_remove_leftovers(parts, written, dry_run)]
    if dry_run:
        return Vacuumed(tuple(files), versions, 0, 0)
    folders = sum(len(parts.files.remove_empty_folders(name)) for name in table_folders(parts.files))
    return Vacuumed(tuple(files), versions, folders, _remove_tombstones(parts))


@contextlib.contextmanager
def _on_a_full_disk() -> Iterator[None]:
    """Say of what is written before anything is deleted that little room is enough for it."""
    try:
        yield
    except StorageError as exc:
        if not isinstance(cause := exc.__cause__, OSError) or cause.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageError(
            f"{exc}. Vacuum writes some kB of its own before it deletes: make room for these, and it makes the rest"
        ) from exc


def _forget_versions(parts: Parts, before: datetime, dry_run: bool) -> int:
    """Make the catalog forget versions, after tombstones that say so; return how many."""
    count = 0
    for page in parts.catalog.upkeep.expired_results(before):
        count += len(page)
        if dry_run:
            continue
        tombstones.write(parts.files, page, "vacuumed", parts.now(), parts.new_id())
        parts.catalog.upkeep.forget_results([write_id for write_id, _ in page], before)
    return count


def _remove_let_go(parts: Parts, before: datetime, dry_run: bool) -> Iterator[Removed]:
    for page in parts.catalog.upkeep.expired_files(before):
        gone = page
        if not dry_run:
            forgotten = parts.catalog.upkeep.forget_files([file.file_id for file in page], before)
            gone = [file for file in page if file.file_id in forgotten]
            parts.files.remove(file.path for file in gone)
        yield from (Removed(file.path, file.bytes, "let go") for file in gone)


def _remove_leftovers(parts: Parts, written: datetime, dry_run: bool) -> Iterator[Removed]:
    for page in unknown(parts):
        old = [file for file in page if file.kind != "foreign" and file.found.modified < written]
        if not dry_run:
            data = [(file.found.name, *file.place) for file in old if file.place is not None]
            claimed = parts.catalog.upkeep.claim_paths(data) if data else set()
            old = [file for file in old if file.place is None or file.found.name in claimed]
            parts.files.remove(file.found.name for file in old)
        yield from (Removed(file.found.name, file.found.bytes, "leftover") for file in old)


def _remove_tombstones(parts: Parts) -> int:
    """Remove the tombstones of versions that lie nowhere in the lake; return how many."""
    young = _write_ids([file for page in unknown(parts) for file in page if file.in_results], parts)
    if young is None:
        return 0
    removed = 0
    for page in pages(tombstones.read(parts.files)):
        dead = [write_id for stone in page for write_id in stone.dead]
        needed = parts.catalog.upkeep.needed_tombstones(dead) | young
        names = [stone.name for stone in page if needed.isdisjoint(stone.dead)]
        parts.files.remove(names)
        removed += len(names)
    return removed


def _write_ids(files: list[Unknown], parts: Parts) -> set[UUID] | None:
    """The versions that have rows in files of results; None where one cannot be read."""
    found: set[UUID] = set()
    for file in files:
        try:
            columns = parquet.from_buffer(parts.files.read(file.found.name), file.found.name)
            found.update(row.write_id for row in record.rows(columns, file.found.name))
        except CorruptFileError:
            return None
    return found
