"""Many processes at once on one lake: writers, readers, upkeep; each answer is checked as it comes.

A document tells which result and version it is, so that every reader knows what it must be. Each writer alone changes
its own results, so that the end is known; others change the same ones together, so that somebody must lose.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import lakestore
from lakestore import Item, Lake
from lakestore.errors import LakestoreError
from lakestore.maintenance.compact import compact
from lakestore.maintenance.restore import restore
from lakestore.maintenance.sync import sync
from lakestore.maintenance.vacuum import vacuum
from lakestore.maintenance.verify import verify
from tests.crash.matrix import processes
from tests.lake_state import check, check_files, document, settled, tidy

IDS = 6
"""Results of each writer, and of all together."""
GRACE = timedelta(seconds=4)
"""Longer than any reader here takes, in the ordinary case."""

# What may be said to whom: nothing else may happen.
EXPECTED = {
    "own": set[str](),
    "shared": {"already_exists", "conflict", "not_found"},
    "loads": {"not_found", "conflict"},
    "queries": {"corrupt_file"},
    "upkeep": {"conflict"},
}


def text_of(task_id: str, version: int) -> bytes:
    """The document of a version."""
    return document(task_id, version, strategy="sma" if version % 2 else "breakout", rows=version % 7)


@dataclass
class Told:
    """What a process did: how often it succeeded and was refused, and what must not have happened."""

    role: str
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    holds: dict[str, bytes] = field(default_factory=dict)

    def attempt(self, what: str, call: Callable[[], object]) -> bool:
        """Do something; an error that this role may meet is counted, any other one noted."""
        try:
            call()
        except LakestoreError as exc:
            self.refused[exc.kind] += 1
            late = exc.kind != "corrupt_file" or "vacuum may have taken it" in str(exc)
            if exc.kind not in EXPECTED[self.role] or not late:
                self.faults.append(f"{self.role}: {what}: {exc.kind}: {exc}")
            return False
        except AssertionError as exc:
            self.faults.append(f"{self.role}: {what}: {exc}")
            return False
        self.done[what] += 1
        return True


def own(lake: Lake, told: Told, chance: random.Random, name: str) -> None:
    """Change a result that nobody else changes."""
    task_id = f"{name}-{chance.randrange(IDS)}"
    text = text_of(task_id, chance.randrange(1 << 20))
    kind = chance.choice(("save", "save", "many", "delete", "restore"))
    if kind == "save" and told.attempt(kind, lambda: lake.save(text, task_id=task_id, replace=True)):
        told.holds[task_id] = text
    elif kind == "many":
        pile = {f"{name}-{n}": text_of(f"{name}-{n}", chance.randrange(1 << 20)) for n in range(3)}
        if told.attempt(kind, lambda: _save_many(lake, pile)):
            told.holds |= pile
    elif kind in ("delete", "restore") and task_id in told.holds:
        if told.attempt("delete", lambda: lake.delete(task_id)):
            gone = told.holds.pop(task_id)
            if kind == "restore" and told.attempt(kind, lambda: restore(lake, task_id)):
                told.holds[task_id] = gone


def _save_many(lake: Lake, pile: dict[str, bytes]) -> None:
    items = [Item(document=text, task_id=task_id) for task_id, text in pile.items()]
    for outcome in lake.save_many(items, replace=True):
        if isinstance(outcome, LakestoreError):
            raise outcome


def shared(lake: Lake, told: Told, chance: random.Random, name: str) -> None:
    """Change a result that others change as well."""
    task_id = f"shared-{chance.randrange(IDS)}"
    text = text_of(task_id, chance.randrange(1 << 20))
    kind = chance.choice(("save", "replace", "delete"))
    if kind == "delete":
        told.attempt(kind, lambda: lake.delete(task_id))
    else:
        told.attempt(kind, lambda: lake.save(text, task_id=task_id, replace=kind == "replace"))


def loads(lake: Lake, told: Told, chance: random.Random, name: str) -> None:
    """Load a result: whatever version it is, it is that version exactly."""

    def load() -> None:
        infos = lake.results(limit=1000)
        if infos:
            task_id = chance.choice(infos).task_id
            result = lake.load(task_id)
            value = result.document
            assert result.to_json() == text_of(task_id, value["version"]), f"{task_id} is not what it says"

    told.attempt("load", load)


_TORN = """
    SELECT task_id, said, count(n)
    FROM (SELECT task_id, coalesce((tables->>'{table}')::BIGINT, 0) AS said FROM results)
    LEFT JOIN {table} USING (task_id)
    GROUP BY ALL HAVING said <> count(n)
    UNION ALL SELECT DISTINCT task_id, 0, 1 FROM {table} ANTI JOIN results USING (task_id)
"""
"""Results of which SQL sees other rows than they have."""


def queries(lake: Lake, told: Told, chance: random.Random, name: str) -> None:
    """Ask SQL whether it sees all of each result and nothing else, in one statement and on a snapshot."""

    def one_statement() -> None:
        table = chance.choice(("signals", "trades"))
        if table in lake.tables():
            torn = lake.sql(_TORN.format(table=table), untrusted=True).fetchall()
            assert torn == [], f"{table}: {torn}"

    def a_snapshot() -> None:
        con = lake.connect()
        try:
            counts = {
                con.execute("SELECT count(*), list(task_id ORDER BY task_id) FROM results").fetchall()[0][0]
                for _ in "ab"
            }
            assert len(counts) == 1, "a snapshot changed"
        finally:
            con.close()

    told.attempt("statement", one_statement)
    told.attempt("snapshot", a_snapshot)


def upkeep(lake: Lake, told: Told, chance: random.Random, name: str) -> None:
    """Keep the lake up while it is used."""
    told.attempt("vacuum", lambda: vacuum(lake, older_than=GRACE))
    told.attempt("compact", lambda: list(compact(lake)))

    def in_order() -> None:
        harm = [found for found in sync(lake) if found.is_harm]
        assert not harm, harm

    told.attempt("sync", in_order)

    def verify_some() -> None:
        for each in verify(lake, sample=5):
            assert each.problem is None, f"{each.task_id}: {each.problem}"

    told.attempt("verify", verify_some)
    time.sleep(0.3)


ROLES: dict[str, Callable[[Lake, Told, random.Random, str], None]] = {
    "own": own,
    "shared": shared,
    "loads": loads,
    "queries": queries,
    "upkeep": upkeep,
}


def member(role: str, name: str, root: Path, dsn: str, seconds: float, pipe: Connection) -> None:
    """What one process does, until the time is over."""
    told = Told(role)
    chance = random.Random(name)
    end = time.monotonic() + seconds
    with lakestore.open(root, dsn=dsn) as lake:
        while time.monotonic() < end and not told.faults:
            ROLES[role](lake, told, chance, name)
    pipe.send(told)


def crowd(root: Path, dsn: str, seconds: float, members: dict[str, int]) -> list[Told]:
    """Let so many processes of each role work at once; then the lake holds exactly what they say, and is clean.

    Raises:
        AssertionError: a process met or saw what must not be.
    """
    team: list[tuple[Any, Connection]] = []
    for role, count in members.items():
        for number in range(count):
            ours, theirs = processes.Pipe(duplex=False)
            arguments = (role, f"{role}{number}", root, dsn, seconds, theirs)
            process = processes.Process(target=member, args=arguments, daemon=True)
            process.start()
            theirs.close()
            team.append((process, ours))
    told: list[Told] = []
    patience = time.monotonic() + seconds + 120
    for process, pipe in team:
        assert pipe.poll(max(0.0, patience - time.monotonic())), f"{process} hangs"
        told.append(pipe.recv())
        process.join()
    faults = [fault for each in told for fault in each.faults]
    assert not faults, "\n".join(faults)
    holds = {task_id: text for each in told for task_id, text in each.holds.items()}
    with lakestore.open(root, dsn=dsn) as lake:
        together = {info.task_id for info in lake.results(limit=1_000_000)} - holds.keys()
        assert all(task_id.startswith("shared-") for task_id in together), f"nobody saved {together}"
        final = holds | {task_id: text_of(task_id, lake.load(task_id).document["version"]) for task_id in together}
        check(lake, final)
        check_files(root)
        tidy(lake)
        check(lake, settled(lake, final, final, whole=True))
    return told
