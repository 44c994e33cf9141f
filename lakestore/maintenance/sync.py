"""Sync: what lies in a lake compared with what its catalog says, and mended as far as that can be done safely."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal
from uuid import UUID

from lakestore import tombstones
from lakestore.catalog.upkeep import LiveBytes
from lakestore.errors import AlreadyExistsError, CorruptFileError
from lakestore.lake import Lake, Parts
from lakestore.maintenance.adopt import Adoption
from lakestore.maintenance.compact import keep_coarse
from lakestore.maintenance.unknown import LEFTOVER, Unknown, pages, unknown
from lakestore.tombstones import Why

Kind = Literal[
    "missing", "damaged", "leftover", "unsaved", "foreign", "tombstone", "outdated", "adopted", "refused", "behind"
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was not as it should be.

    Attributes:
        kind: `missing`, `damaged`: a live data file; `leftover`: a file that nobody knows, vacuum will take it;
            `unsaved`: a complete result that the catalog does not know; `foreign`: not lakestore's; `tombstone`: one
            was not written; `outdated`: a version is alive in the catalog that was deleted or replaced since;
            `adopted`, `refused`: a result that the catalog did not know is taken in, or cannot be;
            `behind`: the catalog is an old copy.
        path: the file, relative to the lake; empty where it is about a result alone.
        task_ids: the results that it concerns.
        detail: what was seen, and what to do or what was done.
    """

    kind: Kind
    path: str
    task_ids: tuple[str, ...]
    detail: str

    @property
    def is_harm(self) -> bool:
        """Whether something that was saved cannot be read."""
        return self.kind in ("missing", "damaged")


def sync(lake: Lake, *, dry_run: bool = False, deep: bool = False, adopt: bool = False) -> Iterator[Finding]:
    """Compare a lake with its catalog; what is told as done is done when it is told.

    Missing tombstones are written. Files that the catalog does not know are told of once they are an hour old: until
    then a save may be about to commit them.

    Args:
        dry_run: only tell.
        deep: read all live files and compare their checksums, not only their sizes.
        adopt: take in complete results that the catalog does not know, and that no tombstone says are dead, and let
            versions go of which one does; then a catalog that was older than its lake counts as the present one,
            unless only a rebuild could take in the rest.

    Raises:
        CatalogError, StorageError: the catalog or a file cannot be reached.
        CorruptFileError: a tombstone is damaged.
    """
    parts = lake.parts()
    parts.catalog.upkeep.clock()
    if adopt and not dry_run:
        keep_coarse(parts)
    # Before the catalog is asked what is alive: what is deleted meanwhile is not outdated.
    stones = tombstones.reasons(parts.files)
    lost = yield from _live(parts, deep)
    yield from _tombstones(parts, stones, dry_run)
    left = yield from _unknown(parts, stones, dry_run, adopt)
    yield from _behind(parts, settle=adopt and not dry_run, left="--rebuild" if lost else left)


def _live(parts: Parts, deep: bool) -> Generator[Finding, None, bool]:
    """The live files; return whether one is missing: an old copy may know those that were compacted since."""
    lost = False

    def problem(file: LiveBytes) -> tuple[Kind, str] | None:
        try:
            if deep:
                size, same = len(data := parts.files.read(file.path)), sha256(data).digest() == file.sha256
            else:
                size, same = parts.files.size(file.path), True
        except CorruptFileError:
            return "missing", "it is not there"
        if size != file.size:
            return "damaged", f"it has {size} bytes, {file.size} were committed"
        return None if same else ("damaged", "its SHA-256 is not the one that was committed")

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "lakestore-read") as pool:
        for page in parts.catalog.upkeep.live_files():
            wrong = {
                file.path: found for file, found in zip(page, pool.map(problem, page), strict=True) if found is not None
            }
            if not wrong:
                continue
            # Asked after the look at the files: one that was let go and vacuumed since is nobody's loss.
            held = parts.catalog.upkeep.results_in(list(wrong))
            for path, (kind, what) in wrong.items():
                if parts.catalog.upkeep.is_live_path(path):
                    lost |= kind == "missing"
                    detail = f"{what}; restore it from a backup, or delete and save these results anew"
                    yield Finding(kind, path, held.get(path, ()), detail)
    return lost


def _tombstones(parts: Parts, there: Collection[UUID], dry_run: bool) -> Iterator[Finding]:
    for page in parts.catalog.upkeep.let_go():
        for write_id, task_id, reason in page:
            if write_id in there:
                continue
            if not dry_run:
                tombstones.write(parts.files, [(write_id, task_id)], reason, parts.now(), write_id)
            done = "a rebuild would have brought it back" if dry_run else "written"
            yield Finding("tombstone", f"{tombstones.FOLDER}/{write_id}.json", (task_id,), f"was not written: {done}")


def _behind(parts: Parts, *, settle: bool, left: str) -> Iterator[Finding]:
    """Whether the catalog is older than its lake; once it has taken in everything, it counts as the present one.

    Args:
        left: what takes in results that this did not: vacuum would delete them as leftovers.
    """
    if not parts.stamp.is_behind():
        return
    if settle and not left:
        parts.stamp.settle()
        done = "saves, deletes and vacuum go on"
    else:
        done = f"saves, deletes and vacuum are refused until {left or '--adopt'}"
    yield Finding("behind", "", (), f"the catalog was older than its lake, an old copy it seems: {done}")


def _unknown(parts: Parts, stones: Mapping[UUID, Why], dry_run: bool, adopt: bool) -> Generator[Finding, None, str]:
    """What the catalog does not know; return what takes in results that are left, empty where none are."""
    written = parts.now() - LEFTOVER
    data: list[Unknown] = []
    young: list[str] = []
    for page in unknown(parts):
        for file in page:
            if file.kind == "foreign":
                yield Finding("foreign", file.found.name, (), "not lakestore's; it is left alone")
            elif file.found.modified >= written:
                young += [file.found.name] if file.place is not None else []
            elif file.kind == "temporary":
                yield Finding("leftover", file.found.name, (), "of a write that did not end; left to vacuum")
            else:
                data.append(file)
    adoption = Adoption(parts, [file.found.name for file in data], stones, young=young)
    yield from _data(adoption, dry_run, adopt)
    # Behind what was taken in: its place is not another one's any more.
    unclear = yield from _outdated(parts, adoption, stones, dry_run, adopt)
    stranded: dict[str, list[str]] = {}
    for path, task_id in adoption.stranded():
        stranded.setdefault(path, []).append(task_id)
    for path, task_ids in stranded.items():
        what = "complete, but some of it only in a compacted file: --rebuild takes it in, vacuum deletes it"
        yield Finding("refused" if adopt else "unsaved", path, tuple(task_ids), what)
    for name in adoption.rest():
        if name not in stranded:
            yield Finding("leftover", name, (), "the catalog does not know it; left to vacuum")
    if unclear or stranded:
        return "--rebuild"
    return (yield from _early(parts, adoption))


def _early(parts: Parts, adoption: Adoption) -> Generator[Finding, None, str]:
    """Results of the last hour that an old copy of the catalog does not know: told now, taken in later."""
    if not parts.stamp.is_behind():
        return ""
    found: dict[str, list[str]] = {}
    for path, task_id in adoption.early():
        found.setdefault(path, []).append(task_id)
    if not found:
        return ""
    then = f"{parts.now() + LEFTOVER:%Y-%m-%d %H:%M} UTC"
    for path, task_ids in found.items():
        what = f"saved in the last hour, and a save may be at it: --adopt takes it in from {then} on, --rebuild at once"
        yield Finding("unsaved", path, tuple(task_ids), what)
    return f"--adopt from {then} on, or --rebuild at once"


def _data(adoption: Adoption, dry_run: bool, adopt: bool) -> Iterator[Finding]:
    """Data files that the catalog does not know, those of complete results by the results."""
    for batch in adoption.batches():
        if adopt:
            for task_id, why in batch.refused:
                yield Finding("refused", "", (task_id,), f"is not taken in: {why}")
        if not batch.results:
            continue
        path, task_ids = batch.files[0].path, tuple(result.info.task_id for result in batch.results)
        if not adopt or dry_run:
            what = "complete, but not in the catalog: --adopt takes it in, vacuum deletes it"
            yield Finding("unsaved", path, task_ids, what)
            continue
        try:
            adoption.take(batch)
        except (AlreadyExistsError, CorruptFileError) as exc:
            yield Finding("refused", path, task_ids, f"is not taken in: {exc}")
        else:
            yield Finding("adopted", path, task_ids, "was complete, and is in the catalog now")


def _outdated(
    parts: Parts, adoption: Adoption, stones: Mapping[UUID, Why], dry_run: bool, adopt: bool
) -> Generator[Finding, None, bool]:
    """Versions that are alive in the catalog though a tombstone says they are dead: it is an old copy.

    What took the place of one was taken in before, if it could be. Return whether that of any could not.
    """
    unclear = False
    for page in pages(stones):
        for task_id, write_id in parts.catalog.upkeep.live_versions(page):
            reason = stones[write_id]
            if reason == "replaced":
                reason = adoption.successor(write_id) or reason
            if reason == "replaced" and not adopt:
                what = "was replaced since: --adopt takes in what took its place"
            elif reason == "replaced":
                unclear |= not dry_run
                what = "was replaced since, and what took its place cannot be taken in: --rebuild knows better"
            elif adopt and not dry_run:
                parts.catalog.delete(task_id, only=write_id)
                what = "was deleted since, and is let go now"
            else:
                what = "was deleted since: --adopt lets it go"
            yield Finding("outdated", "", (task_id,), what)
    return unclear
