"""Where a move from a tree of JSON files to a lake stands, and whether it can go on, or back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from lakestore.config import Mode
from lakestore.errors import CorruptFileError, NotFoundError
from lakestore.identity import digest
from lakestore.lake import Lake
from lakestore.storage.journal import CALLED, Journal, Side
from lakestore.storage.json_tree import JsonResultStorage

Phase = Literal["json", "dual", "lake", "archive"]
State = Literal["equal", "only_json", "only_lake", "differing", "pending"]

_NAMED = 10
_AGAIN = 1_000
"""Results up to which what is not equal is looked at again, one by one: engines write while two lists are read."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is on both sides.

    Attributes:
        phase: the mode that engines are told, or `archive`: the lake alone, and nothing is left in the tree.
        in_json, in_lake: results; equal: those whose bytes are the same in both.
        only_json, only_lake, differing: results without those that wait for repair; the first of them are `named`.
        pending_lake, pending_json: results that wait for repair in the lake, and in the tree.
        json_bytes: bytes of the tree's files; lake_bytes: bytes that the results take in the lake; lake_json_bytes:
            bytes of the JSON that they stand for.
        next: how to go to the next phase, or what stands against it; back: the same of the phase before.
        ready: nothing stands against the next phase.
    """

    phase: Phase
    in_json: int
    in_lake: int
    equal: int
    only_json: int
    only_lake: int
    differing: int
    pending_lake: int
    pending_json: int
    json_bytes: int
    lake_bytes: int
    lake_json_bytes: int
    named: dict[str, tuple[str, ...]]
    next: str
    back: str
    ready: bool


def standing(tree: JsonResultStorage | None, lake: Lake | None, journal: Journal, *, mode: Mode) -> Standing:
    """Compare a tree and a lake by the SHA-256 of each result; only files that changed since the last time are read.

    Args:
        tree: None where there is none.
        lake: None where it was not made yet.
        mode: what engines are told.

    Raises:
        NotFoundError: the tree that is said to be put away has no directory.
        CatalogError, StorageError: one of them cannot be read.
    """
    files: dict[str, set[str]] = {}
    json_bytes = 0
    for seen, facts in tree.facts(documents=False) if tree is not None else ():
        files.setdefault(seen.task_id, set()).add(facts.sha256)
        json_bytes += seen.size
    stored = {found.task_id: found for found in lake.digests()} if lake is not None else {}
    states: dict[str, State] = {
        task_id: _state(files.get(task_id), stored[task_id].sha256 if task_id in stored else None)
        for task_id in files.keys() | stored.keys()
    }
    doubtful = [task_id for task_id, state in states.items() if state != "equal"]
    if tree is not None and lake is not None and len(doubtful) <= _AGAIN:
        for task_id in doubtful:
            again = _look(tree, lake, task_id)
            if again is None:
                del states[task_id]
            else:
                states[task_id] = again
    pending: Counter[str] = Counter()
    for entry in journal.entries():
        pending[entry.wrong] += 1
        if states.get(entry.task_id, "equal") != "equal":
            states[entry.task_id] = "pending"
    counts = Counter(states.values())
    # Two files of one result that differ cannot both be what the lake has.
    twice = sum(state == "differing" and len(files.get(task_id, ())) > 1 for task_id, state in states.items())
    phase: Phase = "archive" if mode == "lake" and tree is not None and not files and stored else mode
    if phase == "archive" and tree is not None and not tree.root.is_dir():
        # A name that is mistyped must not read as a tree that was put away.
        raise NotFoundError(f"there is no directory {tree.root}; name the tree of JSON files")
    against = _against(phase, counts, pending, tree is not None, lake is not None, twice)
    return Standing(
        phase=phase,
        in_json=len(files),
        in_lake=len(stored),
        equal=counts["equal"],
        only_json=counts["only_json"],
        only_lake=counts["only_lake"],
        differing=counts["differing"],
        pending_lake=pending["lake"],
        pending_json=pending["json"],
        json_bytes=json_bytes,
        lake_bytes=sum(found.file_size for found in stored.values()),
        lake_json_bytes=sum(found.json_size for found in stored.values()),
        named={
            kind: tuple(sorted(task_id for task_id, state in states.items() if state == kind)[:_NAMED])
            for kind in ("only_json", "only_lake", "differing")
        },
        next=_told(_FORWARD[phase], against),
        back=_told(_BACK[phase], _against_back(phase, counts, pending, twice)),
        ready=not against,
    )


_FORWARD: dict[Phase, tuple[str, str]] = {
    "json": ("dual", "set RESULT_STORAGE_MODE=dual, and let 'lakestore migrate' bring in what the tree has"),
    "dual": ("lake", "every result of the tree is in the lake, byte for byte; set RESULT_STORAGE_MODE=lake"),
    "lake": ("archive", "every file of the tree is in the lake, byte for byte; 'lakestore archive' puts them away"),
    "archive": ("", "nothing is left to do: the tree is empty, and the lake has every result"),
}
_BACK: dict[Phase, tuple[str, str]] = {
    "json": ("", "this is the first phase"),
    "dual": ("json", "the tree has every result of the lake; set RESULT_STORAGE_MODE=json"),
    "lake": ("dual", "the tree has every result of the lake; set RESULT_STORAGE_MODE=dual"),
    "archive": ("lake", "'lakestore archive restore' puts the files back into the tree"),
}
_MIGRATE = "'lakestore migrate' of the tree"
_EXPORT = "'lakestore export' to the tree"


def _told(how: tuple[str, str], against: list[str]) -> str:
    phase, ready = how
    if against:
        return (f"not ready for {phase}: " if phase else "") + "; ".join(against)
    return f"ready for {phase}: {ready}" if phase else ready


def _against(
    phase: Phase, counts: Counter[State], pending: Counter[str], has_tree: bool, has_lake: bool, twice: int
) -> list[str]:
    """What stands against the next phase."""
    found: list[str] = []
    if not has_lake:
        found.append("there is no lake yet, 'lakestore init' makes one")
    if not has_tree:
        found.append("no tree of JSON files is named: set RESULT_STORAGE_JSON_ROOT, or give --json-root")
    if phase in ("dual", "lake"):
        if counts["only_json"]:
            found.append(
                f"{_results(counts['only_json'])} only in the tree, {_MIGRATE} brings in what can be kept, "
                "and with --force what the lake deleted"
            )
        found += _repairs(pending)
        found += _differences(counts, twice)
    elif phase == "json":
        found += _repairs(Counter(json=pending["json"]))
    elif phase == "archive":
        found += _repairs(Counter(lake=pending["lake"]))
    return found


def _against_back(phase: Phase, counts: Counter[State], pending: Counter[str], twice: int) -> list[str]:
    """What stands against the phase before: engines would no longer find it."""
    if phase not in ("dual", "lake"):
        return []
    found: list[str] = []
    if counts["only_lake"]:
        found.append(f"{_results(counts['only_lake'])} only in the lake, {_EXPORT} writes them")
    return found + _repairs(pending) + _differences(counts, twice)


def _repairs(pending: Counter[str]) -> list[str]:
    menders: tuple[tuple[Side, str], ...] = (("lake", _MIGRATE), ("json", _EXPORT))
    return [
        f"{_results(pending[side])} to be mended in the {CALLED[side]}, {mender} does it"
        for side, mender in menders
        if pending[side]
    ]


def _differences(counts: Counter[State], twice: int) -> list[str]:
    if not counts["differing"]:
        return []
    said = [f"{_results(counts['differing'])} not the same in both, --format json names the first {_NAMED}"]
    if twice:
        said.append(f"{_results(twice)} in several files of the tree that differ: rename all but one of each")
    return said


def _results(count: int) -> str:
    return "1 result is" if count == 1 else f"{count:,} results are"


def _state(files: set[str] | None, sha256: str | None) -> State:
    if files is None:
        return "only_lake"
    if sha256 is None:
        return "only_json"
    return "equal" if files == {sha256} else "differing"


def _look(tree: JsonResultStorage, lake: Lake, task_id: str) -> State | None:
    """How one result stands at this moment; None where nobody has it any more."""
    files: set[str] | None
    try:
        files = {digest(tree.load_json(task_id))}
    except NotFoundError:
        files = None
    except CorruptFileError:
        return "differing"
    try:
        sha256 = lake.info(task_id).sha256
    except NotFoundError:
        return None if files is None else "only_json"
    return _state(files, sha256)
