"""Which versions of results are alive, told from the lake alone: their rows, what they replace, and tombstones.

A version that another one names as replaced was alive once. The other one took its place for certain if a tombstone
says so, which is left after the commit and before the save returns, or if it was named itself later. Where that is
not certain the older version stays, as its save is known to have returned. Such task ids are doubtful.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from lakestore import record


@dataclass(slots=True)
class Version:
    """A version of a result that has rows in `results`; `copies` are the places of its row: path and number.

    `file_id` names its data files until they are compacted; `saved_at` is in microseconds since 1970.
    """

    write_id: UUID
    task_id: str
    file_id: UUID
    replaces: UUID | None
    saved_at: int
    copies: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Resolution:
    """Which versions may be alive, and which are dead.

    Attributes:
        candidates: those that may be alive by task id, in the order in which they are to be tried.
        gone: those that are dead for certain.
    """

    candidates: Mapping[str, Sequence[Version]]
    gone: Sequence[Version]


class Versions:
    """The versions found so far, by `write_id`, and by task id and the name of their files."""

    def __init__(self) -> None:
        self.by_id: dict[UUID, Version] = {}
        self._by_file: dict[tuple[UUID, str], UUID] = {}

    def add(self, path: str, rows: Iterable[record.Row]) -> list[UUID]:
        """Take in the rows of a file of `results`; return the versions that they are of."""
        found = []
        for number, row in enumerate(rows):
            version = self.by_id.get(row.write_id)
            if version is None:
                replaces = row.record.get("replaces")
                version = Version(
                    row.write_id,
                    row.task_id,
                    row.file_id,
                    UUID(replaces) if replaces else None,
                    row.record["saved_at"],
                )
                self.by_id[version.write_id] = version
                self._by_file[version.file_id, version.task_id] = version.write_id
            version.copies.append((path, number))
            found.append(version.write_id)
        return found

    def in_file(self, file_id: UUID, task_id: str) -> UUID | None:
        """The version whose rows stand in a file of that name under a task id; None: its row of `results` is gone."""
        return self._by_file.get((file_id, task_id))

    def resolve(self, stones: Collection[UUID]) -> Resolution:
        """Tell which of them may be alive, given the versions that tombstones name."""
        everyone = self.by_id.values()
        was_alive = {*stones, *(version.replaces for version in everyone if version.replaces is not None)}
        dead = {*stones, *(version.replaces for version in everyone if version.write_id in was_alive)}
        candidates: dict[str, list[Version]] = {}
        gone = []
        for version in everyone:
            if version.write_id in dead:
                gone.append(version)
            else:
                candidates.setdefault(version.task_id, []).append(version)
        for those in candidates.values():
            if len(those) > 1:
                ids = {version.write_id for version in those}
                those.sort(key=lambda version: (version.replaces in ids, -version.saved_at, -version.write_id.int))
        return Resolution(candidates, gone)
