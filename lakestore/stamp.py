"""How far a lake's catalog has come, told beside the lake: so a catalog that is older than its lake is known.

The catalog's counter grows first, the lake's file follows: with each change of tables and columns, and once in a
minute of saving. A catalog whose counter is behind the file is an old copy. It does not know what was saved since,
vacuum would take that for leftovers, and field ids that stand in files would be given out again.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from lakestore.catalog import Catalog
from lakestore.errors import CatalogError, CorruptFileError, LakestoreError, StorageError
from lakestore.files import Files
from lakestore.layout import PRIVATE
from lakestore.model import FIRST_FIELD_ID

_log = logging.getLogger("lakestore")

OLD: Final = "give the DSN that others save with, or let 'lakestore catalog sync --adopt' take in what was done since"
"""What to do about a catalog that is older than its lake."""
NAME: Final = f"{PRIVATE}/stamp.json"
FRESH: Final = timedelta(minutes=1)
"""How long saves go without a new one: of what was saved in that time a lost catalog may leave no sign."""

_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Mark:
    """What stands in the lake's file: the catalog's counter, its next field id, and when it had come so far."""

    number: int = 0
    next_field_id: int = FIRST_FIELD_ID
    at: datetime = _NEVER


def read(files: Files) -> Mark:
    """The lake's stamp; a first one where nobody saved yet.

    Raises:
        CorruptFileError: it cannot be understood.
        StorageError: it cannot be read.
    """
    path = files.path(NAME)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Mark()
    except (OSError, UnicodeDecodeError) as exc:
        raise StorageError(f"cannot read {path}: {exc}") from exc
    try:
        value = json.loads(text)
        return Mark(int(value["counter"]), int(value["next_field_id"]), datetime.fromisoformat(value["at"]))
    except (ValueError, KeyError, TypeError) as exc:
        raise CorruptFileError(
            f"{path} is not a lake's stamp ({exc!r}); restore it from a backup, or remove it: "
            "an old copy of the catalog would then be taken for the present one"
        ) from exc


class Stamp:
    """The stamp of an open lake."""

    def __init__(self, files: Files, catalog: Catalog, now: Callable[[], datetime]) -> None:
        self._files, self._catalog, self._now = files, catalog, now
        self._seen = Mark()

    def press(self, *, anew: bool = False) -> None:
        """See to it that the lake tells how far its catalog has come.

        Costs nothing in the minute after the last one, whoever pressed it, but a look at the counter that a save
        has read anyway.

        Args:
            anew: now, whatever the last one says; after ids were given out, and before files are deleted.

        Raises:
            CatalogError: the catalog is older than its lake, or cannot be reached.
            StorageError, CorruptFileError: the stamp cannot be written or read.
        """
        if not anew:
            if not self._is_fresh():
                self._seen = read(self._files)
            if self._is_fresh() and self._catalog.counter >= self._seen.number:
                return
        # The file first: it is behind the catalog at any moment.
        found = self._catalog.advance(read(self._files).number)
        if found is None:
            raise self._old()
        self._write(*found)

    def press_if_writable(self) -> None:
        """As `press`, for what also has to work on a full disk.

        Raises:
            CatalogError: the catalog is older than its lake, or cannot be reached.
            StorageError, CorruptFileError: the stamp cannot be read.
        """
        self._seen = read(self._files)
        if self._catalog.read_counter() < self._seen.number:
            raise self._old()
        if not self._is_fresh():
            with contextlib.suppress(StorageError):
                self.press(anew=True)

    def warn(self) -> None:
        """Log it where the catalog is older than its lake: reads go on, and see nothing of what was done since."""
        try:
            behind = self.is_behind()
        except LakestoreError:
            return  # A save tells of it, and doctor.
        if behind:
            _log.warning(
                "the catalog at %s is older than its lake: what was saved or deleted since is not seen; %s",
                self._catalog.place,
                OLD,
            )

    def is_behind(self) -> bool:
        """Whether the catalog is older than its lake."""
        seen = read(self._files)
        return self._catalog.read_counter() < seen.number

    def settle(self) -> None:
        """Take the catalog for the present one, and let it give out no field id again."""
        seen = read(self._files)
        self._write(*self._catalog.catch_up(seen.number, seen.next_field_id))

    def _old(self) -> CatalogError:
        return CatalogError(
            f"the catalog at {self._catalog.place} is older than its lake, an old copy it seems: "
            f"nothing was done; {OLD}"
        )

    def _is_fresh(self) -> bool:
        return abs(self._now() - self._seen.at) < FRESH

    def _write(self, number: int, next_field_id: int) -> None:
        seen = Mark(number, next_field_id, self._now())
        value = {"counter": number, "next_field_id": next_field_id, "at": seen.at.isoformat()}
        self._files.put(NAME, json.dumps(value).encode(), replace=True)
        self._seen = seen
