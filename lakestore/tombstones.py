"""Tombstones: what stands in the lake of versions of results that are no longer alive, for a rebuild to know.

A delete leaves one under the version's `write_id`; vacuum leaves one list for all versions that it makes the catalog
forget, before it does, since the version that replaced one may be forgotten with it. A tombstone goes once no row of
its version lies in the lake.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from lakestore.errors import CorruptFileError
from lakestore.files import Files
from lakestore.layout import PRIVATE

FOLDER = f"{PRIVATE}/tombstones"


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One file of tombstones: its name, and the versions that it says are dead, with their task ids."""

    name: str
    dead: Mapping[UUID, str]


def write(files: Files, write_id: UUID, task_id: str, deleted_at: datetime) -> None:
    """Leave a tombstone of one deleted version, durably.

    Raises:
        StorageError: it cannot be written.
    """
    value = {"task_id": task_id, "write_id": str(write_id), "deleted_at": deleted_at.isoformat()}
    files.write([(f"{FOLDER}/{write_id}.json", json.dumps(value).encode())])


def write_list(files: Files, list_id: UUID, dead: Sequence[tuple[UUID, str]], at: datetime) -> None:
    """Leave one tombstone for many versions, durably.

    Raises:
        StorageError: it cannot be written.
    """
    value = {"dead": [[str(write_id), task_id] for write_id, task_id in dead], "deleted_at": at.isoformat()}
    files.write([(f"{FOLDER}/list-{list_id}.json", json.dumps(value).encode())])


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
            pairs = value["dead"] if "dead" in value else [[value["write_id"], value["task_id"]]]
            yield Tombstone(name, {UUID(write_id): str(task_id) for write_id, task_id in pairs})
        except (ValueError, KeyError, TypeError) as exc:
            raise CorruptFileError(
                f"{files.path(name)} is not a tombstone ({exc!r}); restore it from a backup, or remove it: the result "
                "that it names would then come back in a rebuild"
            ) from exc
