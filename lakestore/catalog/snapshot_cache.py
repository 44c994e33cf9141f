"""Snapshots kept for the next reader who wants the same, as long as nothing was committed."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Final

from lakestore.catalog.snapshot import Snapshot, Wanted
from lakestore.locks import Lock

_MOST: Final = 8
_BYTES: Final = 32 << 20
"""What a snapshot may hold that is kept."""
_FILE: Final = 500
"""Bytes of a file's entry, about."""


class SnapshotCache:
    """The last snapshots, each with the catalog's version that it is of; safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: deque[tuple[Wanted, str, Snapshot]] = deque(maxlen=_MOST)

    def find(self, wanted: Wanted) -> tuple[str, Snapshot] | None:
        """The last one of what is wanted, and its version."""
        with self._lock:
            return next((kept[1:] for kept in reversed(self._kept) if kept[0] == wanted), None)

    def keep(self, wanted: Wanted, version: str | None, snapshot: Snapshot) -> Snapshot:
        """Keep a snapshot in the place of the one of the same readers, if it is small and has a version; return it."""
        tables = (snapshot.results, snapshot.stats, snapshot.by_symbol)
        size = sum(table.nbytes for table in tables if table is not None) + _FILE * len(snapshot.files)
        if version is None or size > _BYTES:
            return snapshot
        made = replace(snapshot, kept=True)
        with self._lock:
            others = (kept for kept in self._kept if kept[0] != wanted)
            self._kept = deque([*others, (wanted, version, made)], maxlen=_MOST)
        return made
