"""The jobs of the crash matrix: what is in the lake before, the work, and what is in it when the work is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from lakestore import Item, Lake
from lakestore.errors import LakestoreError
from lakestore.identity import uuid7
from lakestore.maintenance.restore import restore
from lakestore.maintenance.vacuum import vacuum
from tests.lake_state import backdate, document


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work that may fail or die at any operation.

    `change` is what it makes of the results (None: it is gone afterwards). `run` must be safe to call again, also
    after it succeeded. `whole`: all of it is done or none. Files beside the lake belong below its parent folder.
    """

    name: str
    run: Callable[[Lake], object]
    change: Mapping[str, bytes | None] = field(default_factory=dict)
    prepare: Callable[[Lake], object] | None = None
    whole: bool = True

    def after(self) -> dict[str, bytes]:
        """The results when the work is done."""
        return {task_id: text for task_id, text in {**BEFORE, **self.change}.items() if text is not None}


BEFORE = {task_id: document(task_id, version) for task_id, version in [("a", 0), ("b", 1), ("c", 0)]}
"""The results of every lake before the work."""


def prepare(lake: Lake, job: Job) -> None:
    """Fill a new lake: results, and files that were let go."""
    for task_id in ("b", "gone"):
        lake.save(document(task_id), task_id=task_id)
    for task_id, text in BEFORE.items():
        lake.save(text, task_id=task_id, replace=True)
    lake.delete("gone")
    if job.prepare is not None:
        job.prepare(lake)


def _delete(lake: Lake) -> None:
    if lake.exists("a"):
        lake.delete("a")


def _save_many(lake: Lake) -> None:
    items = [Item(document=text, task_id=task_id) for task_id, text in _BATCH.items()]
    for outcome in lake.save_many(items, replace=True):
        if isinstance(outcome, LakestoreError):
            raise outcome


def _restore(lake: Lake) -> None:
    if not lake.exists("gone"):
        restore(lake, "gone")


def _leave_files(lake: Lake) -> None:
    """Leave what a killed save leaves: a data file that nobody knows, and one under its temporary name."""
    known = lake.root / lake.files("signals")[0].path
    for name in (f"{uuid7()}.parquet", f".{uuid7()}.parquet.0a1b2c3d.tmp"):
        shutil.copy2(known, known.with_name(name))
    backdate(lake)


_NEW = document("new", strategy="breakout")
_OTHER = document("b", 2)
_BATCH = {"b": document("b", 3), "m": document("m", strategy="breakout"), "n": document("n")}

JOBS = (
    Job("save", lambda lake: lake.save(_NEW, task_id="new"), {"new": _NEW}),
    Job("save many", _save_many, dict(_BATCH)),
    Job("replace", lambda lake: lake.save(_OTHER, task_id="b", replace=True), {"b": _OTHER}),
    Job("delete", _delete, {"a": None}),
    Job("restore", _restore, {"gone": document("gone")}),
    Job("vacuum", lambda lake: vacuum(lake, older_than=timedelta()), prepare=_leave_files),
)
BY_NAME = {job.name: job for job in JOBS}
