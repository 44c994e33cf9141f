"""Verify: documents rebuilt, and their SHA-256 compared with the one at save."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lakestore.errors import ConflictError, CorruptFileError, InvalidInputError, NotFoundError
from lakestore.lake import Lake


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of one result: `problem` is None where its document is exact; `bytes` are those of its JSON."""

    task_id: str
    bytes: int
    problem: str | None = None


def verify(lake: Lake, task_ids: Iterable[str] | None = None, *, sample: int | None = None) -> Iterator[Verified]:
    """Rebuild documents and compare them with what was saved, one after the other.

    Args:
        task_ids: these results; one that is not in the lake is a problem. None: all that are alive.
        sample: only so many of all, chosen at random.

    Raises:
        InvalidInputError: `sample` is negative, or given beside `task_ids`.
        CatalogError, StorageError: the catalog or a file cannot be reached, which says nothing about a result.
    """
    if sample is not None and (sample < 0 or task_ids is not None):
        raise InvalidInputError(f"sample {sample}: give how many of all results to verify, and no task ids with it")
    upkeep = lake.parts().catalog.upkeep
    named = task_ids is not None
    chosen = task_ids if task_ids is not None else upkeep.task_ids() if sample is None else upkeep.some_task_ids(sample)
    for task_id in chosen:
        found = _verified(lake, task_id, named)
        if found is not None:
            yield found


def _verified(lake: Lake, task_id: str, named: bool) -> Verified | None:
    """What came of one result; None: it is gone since it was listed."""
    while True:
        try:
            return Verified(task_id, len(lake.load(task_id).to_json()))
        except NotFoundError as exc:
            return Verified(task_id, 0, str(exc)) if named else None
        except ConflictError:
            # Replaced and vacuumed while it was read: the version that is alive now counts.
            continue
        except CorruptFileError as exc:
            return Verified(task_id, 0, str(exc))
