"""A dual storage whose process dies at its n-th operation on files or catalog, for n = 0, 1, 2 … until it is through.

`python -m tests.crash.dual ROOT DSN PRIMARY EVERY` prints how many deaths were looked at. Each process is forked from
one that holds nothing open, saves, replaces and deletes, and is looked at by another one: whatever was acknowledged is
there, what was under way is there as before or as after, by whichever primary it is read, before and after mending.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psycopg

import lakestore
from lakestore import DualResultStorage, JsonResultStorage, Lake, LakeResultStorage, NotFoundError
from lakestore.storage.mend import mend
from lakestore.testing import run

DIED = 9
OPERATIONS: tuple[tuple[Any, str], ...] = (
    (os, "fsync"), (os, "rename"), (os, "link"), (os, "unlink"), (os, "write"), (psycopg.Connection, "execute"),
)  # fmt: skip


def main(root: Path, dsn: str, primary: str, every: int) -> int:
    """Let processes die; return how many did."""
    deaths = 0
    for at in range(0, 10_000, every):
        names = {word: f"{primary}-{at}-{word}" for word in ("saved", "replaced", "deleted")}
        _forked(lambda names=names: _prepare(root, dsn, primary, names))
        done, code = _died(root, dsn, primary, names, at)
        if code not in (0, DIED):
            raise AssertionError(f"operation {at}: it ended with {code}")
        problem = _forked(lambda names=names, done=done: _look(root, dsn, names, done))
        if problem:
            raise AssertionError(f"{primary} first, died at operation {at} when {done} were done: see above")
        if code == 0:
            return deaths
        deaths += 1
    raise AssertionError("it never came through")


def _dual(root: Path, lake: Lake, primary: str) -> DualResultStorage:
    pair = (JsonResultStorage(root / "tree"), LakeResultStorage(lake))
    return DualResultStorage(*(pair if primary == "json" else pair[::-1]))


def _prepare(root: Path, dsn: str, primary: str, names: dict[str, str]) -> None:
    with lakestore.open(root / "lake", dsn=dsn) as lake:
        for word in ("replaced", "deleted"):
            _dual(root, lake, primary).save_result(names[word], run(n=1))


def _died(root: Path, dsn: str, primary: str, names: dict[str, str], at: int) -> tuple[int, int]:
    """How many of its three changes were acknowledged, and how the process ended."""
    receive, send = os.pipe()
    write = os.write

    def work() -> None:
        with lakestore.open(root / "lake", dsn=dsn) as lake:
            dual = _dual(root, lake, primary)
            _die_at(at)
            dual.save_result(names["saved"], run(n=2))
            write(send, b".")
            dual.save_result(names["replaced"], run(n=2), replace=True)
            write(send, b".")
            dual.delete_result(names["deleted"])
            write(send, b".")

    code = _forked(work)
    os.close(send)
    with open(receive, "rb") as stream:
        return len(stream.read()), code


def _die_at(at: int) -> None:
    left = at

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if not left:
                os._exit(DIED)
            left -= 1
            return operation(*args, **kwargs)

        return instead

    for place, name in OPERATIONS:
        setattr(place, name, counted(getattr(place, name)))


def _look(root: Path, dsn: str, names: dict[str, str], done: int) -> None:
    allowed: dict[str, list[int | None]] = {"saved": [None, 2], "replaced": [1, 2], "deleted": [1, None]}
    for place, versions in enumerate(allowed.values()):
        if place != done:
            # Before the change that was under way all are done, behind it none is.
            versions[:] = versions[1:] if place < done else versions[:1]
    seen: dict[str, set[int | None]] = {word: set() for word in names}
    with lakestore.open(root / "lake", dsn=dsn) as lake:
        for _ in range(2):
            for primary in ("json", "lake"):
                dual = _dual(root, lake, primary)
                listed = [info.task_id for info in dual.list_results(limit=100_000)]
                for word, task_id in names.items():
                    version = _version(dual, task_id)
                    assert version in allowed[word], (word, version, allowed[word])
                    assert (task_id in listed) == dual.exists(task_id) == (version is not None), word
                    seen[word].add(version)
            outcomes = [found.outcome for found in mend(dual.journal, dual.storages)]
            assert set(outcomes) <= {"mended"}, outcomes
        assert all(len(versions) == 1 for versions in seen.values()), seen
        assert not list(dual.journal.entries())
        for word in ("replaced", "deleted"):
            both = {_version(storage, names[word]) for storage in dual.storages.values()}
            assert len(both) == 1, (word, both)


def _version(storage: Any, task_id: str) -> int | None:
    try:
        found: int = storage.load_result(task_id)["n"]
        return found
    except NotFoundError:
        return None


def _forked(work: Callable[[], None]) -> int:
    """The exit code of a process that does the work."""
    child = os.fork()
    if not child:
        _end(work)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _end(work: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
