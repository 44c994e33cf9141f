"""Tombstones: what stands in the lake of versions of results that are no longer alive, for a rebuild to know.

A delete and a replacement leave one after their commit. Vacuum leaves another one before it makes the catalog forget
versions: rows of them that stand in files of others stay until these are compacted, and a version that names another
as replaced may be forgotten with it. A tombstone goes once no row of its version lies in the lake.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from lakestore.errors import CorruptFileError, StorageError
from lakestore.files import Files
from lakestore.layout import PRIVATE
from lakestore.model import Reason

_log = logging.getLogger("lakestore")

FOLDER = f"{PRIVATE}/tombstones"
Why = Reason | Literal["vacuumed"]
"""Why a version is dead; `vacuumed`: it cannot be brought back any more."""
_WHY: Final[dict[object, Why]] = {"deleted": "deleted", "vacuumed": "vacuumed"}


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One file of tombstones: its name, and the versions that it says are dead, with their task ids."""

    name: str
    dead: Mapping[UUID, str]
    reason: Why


def write(files: Files, dead: Sequence[tuple[UUID, str]], reason: Why, at: datetime, list_id: UUID) -> None:
    """Say durably that versions are dead; one alone is named by its id, others are a list under the id given.

    Raises:
        StorageError: it cannot be written.
    """
    # A vacuumed version has one of its own already: a write that fails leaves nothing under its name.
    name = str(dead[0][0]) if len(dead) == 1 and reason != "vacuumed" else f"list-{list_id}"
    pairs = [[str(write_id), task_id] for write_id, task_id in dead]
    text = json.dumps({"dead": pairs, "reason": reason, "at": at.isoformat()})
    files.write([(f"{FOLDER}/{name}.json", text.encode())])


def leave(files: Files, dead: Sequence[tuple[UUID, str]], reason: Reason, at: datetime, list_id: UUID) -> None:
    """As `write`, after the commit that let the versions go: it stands even where nothing can be written."""
    if not dead:
        return
    try:
        write(files, dead, reason, at, list_id)
    except StorageError as exc:
        _log.warning(
            "result %r is %s, but the tombstone that a rebuild of the catalog would need could not be written (%s); "
            "'lakestore catalog sync' writes it",
            dead[0][1],
            reason,
            exc,
        )


def reasons(files: Files) -> dict[UUID, Why]:
    """Every version that a tombstone names, and why it is dead: vacuumed, if one of its tombstones says so.

    Raises:
        CorruptFileError, StorageError: as for `read`.
    """
    found: dict[UUID, Why] = {}
    for stone in read(files):
        for dead in stone.dead:
            if found.get(dead) != "vacuumed":
                found[dead] = stone.reason
    return found


def read(files: Files) -> Iterator[Tombstone]:
    """All tombstones of a lake.

    Raises:
        CorruptFileError: one cannot be understood.
        StorageError: one cannot be read.
    """
    for name in sorted(files.list(FOLDER)):
        if not name.endswith(".json") or name.rpartition("/")[2].startswith("."):
            continue
        try:
            value = json.loads(files.read(name))
            dead = {UUID(write_id): str(task_id) for write_id, task_id in value["dead"]}
            yield Tombstone(name, dead, _WHY.get(value["reason"], "replaced"))
        except (ValueError, KeyError, TypeError) as exc:
            raise CorruptFileError(
                f"{files.path(name)} is not a tombstone ({exc!r}); restore it from a backup, or remove it: the result "
                "that it names would then come back in a rebuild"
            ) from exc
