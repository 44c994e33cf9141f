"""A tree of JSON files that engines write to while it is migrated: what its journal says comes first, and last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

from lakestore.lake import Lake
from lakestore.storage import Journal, JsonResultStorage, LakeResultStorage
from lakestore.storage.mend import Mended, mend


class Tree:
    """The tree, and its journal with a lake."""

    def __init__(self, storage: JsonResultStorage, lake: Lake) -> None:
        self.root = storage.root
        self._storage = storage
        self._lake = lake
        self._journal = Journal(storage.root, lake.root)
        self._root = f"{storage.root.resolve()}/"
        self._outdated = self._newer_in_lake()

    def mend(self) -> Iterator[Mended]:
        """Do to the lake what it missed; see `storage.journal`."""
        yield from mend(self._journal, {"json": self._storage, "lake": LakeResultStorage(self._lake)}, wrong="lake")
        self._outdated = self._newer_in_lake()

    def _newer_in_lake(self) -> frozenset[str]:
        return frozenset(entry.task_id for entry in self._journal.entries(wrong="json"))

    def moving(self) -> AbstractContextManager[None]:
        """Say to those who delete that files which were read are on their way into the lake."""
        return self._journal.moving()

    def is_outdated(self, path: str) -> bool:
        """Whether a file is of the tree, and the lake is right about its result."""
        if not self._outdated or not path.startswith(self._root):
            return False
        return self._storage.pattern.task_id(path.removeprefix(self._root)) in self._outdated
