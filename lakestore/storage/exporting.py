"""Results of the lake as JSON files again: the way back from the lake, and what mends a tree that missed something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from lakestore.errors import AlreadyExistsError, LakestoreError, NotFoundError
from lakestore.lake import Lake
from lakestore.model import ResultDigest
from lakestore.storage.journal import Journal
from lakestore.storage.json_tree import JsonResultStorage
from lakestore.storage.lake import LakeResultStorage
from lakestore.storage.mend import mend


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of one result.

    `written`; `there`: the tree had it, byte for byte, or with `missing` under its id; `mended`: what the tree missed
    was done to it; `left out`: the tree has a newer version, or deleted it, and the lake is to be mended; `failed`.
    """

    task_id: str
    outcome: Literal["written", "there", "mended", "left out", "failed"]
    bytes: int = 0
    error: LakestoreError | None = None


def export(
    lake: Lake,
    tree: JsonResultStorage,
    *,
    journal: Journal | None = None,
    missing: bool = False,
    replace: bool = False,
    strategy: str | None = None,
    planned: Callable[[int, int], object] = lambda results, size: None,
) -> Iterator[Exported]:
    """Write results of a lake as JSON files, byte for byte, as they are asked for.

    Killed at any moment and called again, it does what is left.

    Args:
        tree: where to; files get the time of their runs.
        journal: where is noted what the tree missed, or has and the lake missed; None for a tree of its own.
        missing: only results for which the tree has no file; what is there is not compared.
        replace: put the lake's version in the place of one that differs.
        strategy: only results with this strategy.
        planned: is told how many results are looked at, and the bytes of their JSON, before the first is written.

    Raises:
        CatalogError, StorageError: the lake or the tree cannot be read.
    """
    if journal is None:
        yield from _copy(lake, tree, None, missing, replace, strategy, planned)
        return
    with ExitStack() as stack:
        yield from _mend(journal, lake, tree)
        stack.enter_context(journal.moving())
        yield from _copy(lake, tree, journal, missing, replace, strategy, planned)
        stack.close()
        yield from _mend(journal, lake, tree)


def _mend(journal: Journal, lake: Lake, tree: JsonResultStorage) -> Iterator[Exported]:
    for done in mend(journal, {"json": tree, "lake": LakeResultStorage(lake)}, wrong="json"):
        outcome: Literal["mended", "failed"] = "mended" if done.error is None else "failed"
        yield Exported(done.entry.task_id, outcome, error=done.error)


def _copy(
    lake: Lake,
    tree: JsonResultStorage,
    journal: Journal | None,
    missing: bool,
    replace: bool,
    strategy: str | None,
    planned: Callable[[int, int], object],
) -> Iterator[Exported]:
    there: dict[str, set[str]] = {}
    if missing:
        for task_id in tree.task_ids():
            there[task_id] = set()
    else:
        for seen, facts in tree.facts(documents=False):
            there.setdefault(seen.task_id, set()).add(facts.sha256)
    noted = {entry.task_id for entry in journal.entries(wrong="lake")} if journal is not None else set()
    live = sorted(lake.digests(strategy=strategy), key=lambda digest: digest.task_id)
    planned(len(live), sum(digest.json_size for digest in live))
    for found in live:
        if found.task_id in noted:
            yield Exported(found.task_id, "left out")
        elif there.get(found.task_id) in (set(), {found.sha256}):
            yield Exported(found.task_id, "there", found.json_size)
        else:
            yield _write(lake, tree, found, replace)


def _write(lake: Lake, tree: JsonResultStorage, found: ResultDigest, replace: bool) -> Exported:
    try:
        result = lake.load(found.task_id)
        text, info = result.to_json(), result.info
        tree.save_result(found.task_id, text, replace=replace, strategy=info.strategy, time=info.created_at)
    except NotFoundError:
        # Deleted since the list was read.
        return Exported(found.task_id, "there")
    except AlreadyExistsError:
        error = AlreadyExistsError(
            f"result {found.task_id!r} differs from the file of its name in {tree.root}; the file is left as it is: "
            "compare them, and overwrite it with --replace"
        )
        return Exported(found.task_id, "failed", error=error)
    except LakestoreError as exc:
        return Exported(found.task_id, "failed", error=exc)
    return Exported(found.task_id, "written", len(text))
