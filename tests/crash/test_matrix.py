"""The crash matrix in small: of each job a few cases, chosen for what they are; `make crash` runs all of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.faults import Op
from tests.crash.jobs import BY_NAME
from tests.crash.kills import kill_server, kill_writers
from tests.crash.matrix import Prototype, cases, run, try_case


@pytest.fixture(params=BY_NAME)
def prototype(request: pytest.FixtureRequest, postgres: str, tmp_path: Path) -> Iterator[Prototype]:
    prototype = Prototype(BY_NAME[request.param], postgres, tmp_path / "first")
    yield prototype
    prototype.close()


def test_a_job_keeps_its_promises_wherever_it_fails_or_dies(prototype: Prototype, tmp_path: Path) -> None:
    with prototype.copy(tmp_path / "quiet") as (root, dsn):
        quiet = run(prototype.job, root, dsn)
    assert quiet.end == "done", quiet.message
    check_order(quiet.ops)
    every = cases(quiet.ops)
    commit = [at for at, op in enumerate(quiet.ops) if op.kind == "commit"]
    ends = {("killed before", len(quiet.ops) - 1), *(("killed before", at) for at in commit[:1])}
    ends |= {("connection lost after", at) for at in commit[:1]}
    others = random.Random(prototype.job.name).sample([case for case in every if case not in ends], 2)
    for fault, at in [*sorted(ends), *others]:
        outcome = try_case(prototype, tmp_path / "case", fault, at)
        assert outcome.end == "killed" or fault != "killed before"


def check_order(ops: tuple[Op, ...]) -> None:
    """Assert write → fsync → rename → fsync of the directory → commit, for each file that got its name by a rename."""
    places: dict[Op, list[int]] = {}
    for at, op in enumerate(ops):
        places.setdefault(op, []).append(at)
    commits = [at for at, op in enumerate(ops) if op.kind == "commit"]
    for renamed, (at, *more) in ((op, found) for op, found in places.items() if op.kind == "rename"):
        assert not more
        folder, _, name = renamed.what.rpartition("/")
        temporary = [op.what for op in ops if op.kind == "create" and op.what.startswith(f"{folder}/.{name}.")]
        assert len(temporary) == 1, f"{renamed.what} was not written under a name that readers leave alone"
        assert not temporary[0].endswith(".parquet")
        writes = places[Op("write", temporary[0])]
        (synced,) = places[Op("fsync", temporary[0])]
        assert max(writes) < synced < at
        durable = min(place for place in places[Op("fsync", folder)] if place > at)
        if name.endswith(".parquet"):
            assert any(durable < commit for commit in commits)
            # No commit comes between the first byte and the last sync.
            assert not any(min(writes) < commit < durable for commit in commits)
    for made, (at, *_) in ((op, found) for op, found in places.items() if op.kind == "mkdir"):
        assert any(place > at for place in places.get(Op("fsync", made.what.rpartition("/")[0]), ()))


def test_writers_killed_at_random_lose_nothing_that_was_acknowledged(dsn: str, tmp_path: Path) -> None:
    tally = kill_writers(tmp_path / "lake", dsn, 24, every=12)
    assert tally.acknowledged > 5 and tally.refused == 0


def test_a_server_killed_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    tally = kill_server(tmp_path / "lake", 2, pause=0.5)
    assert tally.acknowledged > 1
