"""Real writers killed at random moments, and the server killed under them: what was acknowledged stays, exactly."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg

import lakestore
from lakestore import Lake
from lakestore.errors import LakestoreError
from tests.crash.matrix import processes
from tests.lake_state import check, check_files, document, tidy

IDS = 5
"""Results of each writer: few, so that saving, replacing and deleting take turns."""
_SECONDS = 60.0


def writer(root: Path, dsn: str, name: str, seed: int, there: dict[str, bytes], pipe: Connection) -> None:
    """Save, replace and delete at random until killed; each is announced before and acknowledged after.

    Args:
        there: what the lake holds of this writer's results.
    """
    chance = random.Random(seed)
    with lakestore.open(root, dsn=dsn, create=False) as lake:
        while True:
            task_id = f"{name}-{chance.randrange(IDS)}"
            remove = task_id in there and chance.random() < 0.3
            text = None if remove else document(task_id, chance.randrange(1 << 30), rows=chance.randrange(1, 9))
            pipe.send((task_id, text))
            try:
                if text is None:
                    lake.delete(task_id)
                else:
                    lake.save(text, task_id=task_id, replace=True)
            except LakestoreError as exc:
                pipe.send((exc.kind, str(exc)))
                if exc.kind == "commit_unknown":
                    # The parent looks it up.
                    return
                continue
            pipe.send(("done", ""))
            there.pop(task_id, None)
            if text is not None:
                there[task_id] = text


@dataclass
class Tally:
    """What happened in a run."""

    kills: int = 0
    acknowledged: int = 0
    in_flight: int = 0
    committed_in_flight: int = 0
    refused: int = 0
    checks: int = 0
    messages: set[str] = field(default_factory=set)


class Writer:
    """One writer after the other under one name; `there` is what is known to be in the lake of its results."""

    def __init__(self, root: Path, dsn: str, name: str, tally: Tally) -> None:
        self.name = name
        self.there: dict[str, bytes] = {}
        self._root, self._dsn, self._tally = root, dsn, tally
        self._generation = 0
        self._doubt: tuple[str, bytes | None] | None = None

    def start(self) -> None:
        """Begin a new process."""
        self._generation += 1
        self._pipe, theirs = processes.Pipe(duplex=False)
        seed = self._generation * 1009 + sum(self.name.encode())
        self._process = processes.Process(
            target=writer, args=(self._root, self._dsn, self.name, seed, dict(self.there), theirs), daemon=True
        )
        self._process.start()
        theirs.close()

    def kill(self) -> None:
        """Kill the process, and learn from its last words what it did."""
        self._process.kill()
        self._process.join(_SECONDS)
        self._tally.kills += 1
        self.listen()

    def listen(self) -> None:
        """Take in what the process said so far."""
        try:
            while self._pipe.poll():
                first, second = self._pipe.recv()
                if self._doubt is None:
                    self._doubt = first, second
                    continue
                task_id, text = self._doubt
                self._doubt = None
                if first == "done":
                    self._tally.acknowledged += 1
                    self.there.pop(task_id, None)
                    if text is not None:
                        self.there[task_id] = text
                elif first == "commit_unknown":
                    self._doubt = task_id, text
                else:
                    self._tally.refused += 1
                    self._tally.messages.add(f"{first}: {second}")
        except EOFError:
            return

    def settle(self, lake: Lake) -> None:
        """Find out how what was under way has ended: as before or done, nothing else."""
        _wait_for_writers(lake)
        if self._doubt is None:
            return
        task_id, text = self._doubt
        self._doubt = None
        self._tally.in_flight += 1
        found = lake.load(task_id).to_json() if lake.exists(task_id) else None
        old = self.there.pop(task_id, None)
        assert found in (old, text), f"{task_id} is neither old nor new"
        self._tally.committed_in_flight += found == text != old
        if found is not None:
            self.there[task_id] = found

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()


def _wait_for_writers(lake: Lake) -> None:
    """Return when every transaction has ended whose COMMIT may be under way: each holds a lock on this table."""
    with psycopg.connect(lake.conninfo) as conn:
        conn.execute("LOCK TABLE backtest_results IN SHARE MODE")


def kill_writers(root: Path, dsn: str, kills: int, *, writers: int = 3, seed: int = 0, every: int = 50) -> Tally:
    """Kill writers at random moments; after each kill its results are compared, every so many the whole lake."""
    chance = random.Random(seed)
    tally = Tally()
    seen: set[str] = set()
    with lakestore.open(root, dsn=dsn) as lake:
        team = [Writer(root, dsn, f"w{number}", tally) for number in range(writers)]
        for each in team:
            each.start()
        while tally.kills < kills:
            time.sleep(chance.random() * 0.12)
            victim = chance.choice(team)
            victim.kill()
            victim.settle(lake)
            check_files(root, seen)
            if tally.kills % every == 0 or tally.kills == kills:
                others = [each for each in team if each is not victim]
                for each in others:
                    each.kill()
                    each.settle(lake)
                check_still(lake, team)
                tidy(lake)
                check_still(lake, team)
                tally.checks += 1
                for each in others:
                    each.start()
            victim.start()
        for each in team:
            each.kill()
            each.settle(lake)
        check_still(lake, team)
        tally.checks += 1
        tidy(lake)
        check_still(lake, team)
    return tally


def check_still(lake: Lake, team: list[Writer]) -> None:
    """Compare everything with a lake in which nobody works."""
    check(lake, {task_id: text for each in team for task_id, text in each.there.items()})


def postmaster(root: Path) -> int:
    """Process id of a lake's embedded server; 0 while there is none."""
    try:
        return int((root / "_lakestore/catalog/data/postmaster.pid").read_text().split("\n")[0])
    except (FileNotFoundError, ValueError):
        return 0


def kill_server(root: Path, kills: int, *, writers: int = 2, seed: int = 0, pause: float = 1.0) -> Tally:
    """Kill an embedded server under load: its writers go on, or say that nothing was done."""
    chance = random.Random(seed)
    tally = Tally()
    with lakestore.open(root, dsn="") as lake:
        team = [Writer(root, "", f"w{number}", tally) for number in range(writers)]
        for each in team:
            each.start()
        deadline = time.monotonic() + _SECONDS
        while tally.acknowledged < writers and time.monotonic() < deadline:
            time.sleep(0.05)
            for each in team:
                each.listen()
        killed = 0
        while killed < kills:
            time.sleep(pause * (0.5 + chance.random()))
            victim = postmaster(root)
            if victim and _signal(victim):
                killed += 1
            for each in team:
                each.listen()
                if not each.alive():
                    # It could not know how a commit ended.
                    each.kill()
                    _patiently(lambda each=each: each.settle(lake))  # type: ignore[misc]
                    each.start()
        time.sleep(pause)
        for each in team:
            each.kill()
            _patiently(lambda each=each: each.settle(lake))  # type: ignore[misc]
        _patiently(lambda: check_still(lake, team))
        check_files(root)
        tally.checks += 1
        tally.kills = killed
    return tally


def _signal(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _patiently(call: Callable[[], None]) -> None:
    """Call again while the server comes back."""
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            return call()
        except (LakestoreError, psycopg.OperationalError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
