"""The ledger of `migrate`: which files are done, and who is at which; each step one short transaction."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import psycopg

from lakestore.catalog.connect import Connection, Connections
from lakestore.catalog.sql import queries
from lakestore.errors import LakestoreError

LEASE_SECONDS: Final = 60.0
"""How long a claim lasts without being renewed; a claimant that is known to be dead loses it at once."""
_CHUNK: Final = 5_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What tells a file's content without reading it: size in bytes, times in nanoseconds since 1970.

    `ctime_ns` is None where the file was changed so shortly before it was read that a later change may not show.
    """

    size: int
    mtime_ns: int
    ctime_ns: int | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger says of a file.

    `results`: task id → SHA-256 of the JSON text, hexadecimal. `finished_at` tells one ending from a later one.
    """

    outcome: Literal["done", "failed"] | None
    reason: str | None
    seen: Seen | None
    sha256: bytes | None
    results: Mapping[str, str]
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of one file: done where there is no reason against it."""

    path: str
    seen: Seen | None = None
    sha256: bytes | None = None
    results: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None


def file_key(path: str) -> UUID:
    """The key of a file: a path may hold any bytes and be longer than an index entry."""
    return UUID(bytes=hashlib.sha256(os.fsencode(path)).digest()[:16])


class Ledger:
    """The ledger as one run sees it; `claimant` is the run's number."""

    def __init__(self, connections: Connections, claimant: int, *, lease: float = LEASE_SECONDS) -> None:
        """Speak for a run; several processes may speak for one."""
        self.claimant = claimant
        self._connections = connections
        self._lease = lease

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """Keep the run's claims while the block lasts, and let go of those that are left at its end.

        The server sees a killed process at once: its session ends, and with it the lock that shows that it lives.
        A process that hangs loses its claims when the lease has run out.
        """
        ended = threading.Event()
        held = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(ended, held), name="lakestore-claims", daemon=True)
        keeper.start()
        held.wait(self._lease)
        try:
            yield
        finally:
            ended.set()
            keeper.join()
            self.release()

    def _keep(self, ended: threading.Event, held: threading.Event) -> None:
        q = queries()
        while not ended.is_set():
            # A connection that was lost is made anew; until then the lease protects the claims.
            with contextlib.suppress(psycopg.Error, LakestoreError), self._connections.take() as conn:
                try:
                    conn.execute(q["hold_claimant"], {"claimant": self.claimant})
                    held.set()
                    while not ended.wait(self._lease / 4):
                        conn.execute(q["renew_claims"], {"claimant": self.claimant, "lease": self._lease})
                finally:
                    # The lock is the session's: given back to others, it would outlive the run.
                    conn.close()
            ended.wait(1.0)

    def known(self, paths: Collection[str]) -> dict[str, Known]:
        """What the ledger says of files, by path; those that it does not know are left out."""
        keys = {file_key(path): path for path in paths}
        query = queries()["migrated_files"]

        def work(conn: Connection) -> list[tuple[Any, ...]]:
            return [
                row for chunk in _chunks(list(keys)) for row in conn.execute(query, {"file_keys": chunk}, binary=True)
            ]

        return {keys[row[0]]: _known(row) for row in self._connections.run("read the ledger", work)}

    def claim(self, wanted: Mapping[str, datetime | None]) -> set[str]:
        """Take files for this run, and return those that were free.

        Args:
            wanted: path → `Known.finished_at` as it was seen, None for a file that the ledger did not know.
                A file that somebody finished since then is not given.
        """
        keys = {file_key(path): path for path in wanted}
        parameters = {
            "file_keys": list(keys),
            "paths": [_shown(path) for path in keys.values()],
            "seen": [wanted[path] for path in keys.values()],
            "claimant": self.claimant,
            "lease": self._lease,
        }
        query = queries()["claim_files"]
        rows = self._connections.run("claim files", lambda conn: conn.execute(query, parameters).fetchall())
        return {keys[row[0]] for row in rows}

    def release(self, paths: Collection[str] | None = None) -> None:
        """Let go of claims on files that were not finished; of all of the run's where none are named."""
        parameters = {
            "claimant": self.claimant,
            "file_keys": None if paths is None else [file_key(path) for path in paths],
        }
        query = queries()["release_claims"]
        self._connections.run("release claims", lambda conn: conn.execute(query, parameters))

    def finish(self, files: Sequence[Finished]) -> set[str]:
        """Write the end of files, and return those that were still this run's to end."""
        if not files:
            return set()
        query, parameters = self.ending(files)
        rows = self._connections.run(
            "write the ledger", lambda conn: conn.execute(queries()[query], parameters).fetchall()
        )
        keys = {file_key(file.path): file.path for file in files}
        return {keys[row[0]] for row in rows}

    def ending(self, files: Sequence[Finished]) -> tuple[str, Mapping[str, Any]]:
        """The statement that writes the end of files, for a transaction of the results that they hold."""
        seen = [file.seen for file in files]
        return "finish_files", {
            "claimant": self.claimant,
            "file_keys": [file_key(file.path) for file in files],
            "outcomes": ["done" if file.reason is None else "failed" for file in files],
            "reasons": [None if file.reason is None else _clean(file.reason) for file in files],
            "sizes": [None if each is None else each.size for each in seen],
            "mtimes": [None if each is None else each.mtime_ns for each in seen],
            "ctimes": [None if each is None else each.ctime_ns for each in seen],
            "sha256s": [file.sha256 for file in files],
            "results": [json.dumps(dict(file.results)) for file in files],
        }

    def copies(self, since: datetime) -> int:
        """How many results were saved since a time that have the document of another result."""
        query = queries()["copies_saved_since"]
        row = self._connections.run("look for copies", lambda conn: conn.execute(query, {"since": since}).fetchone())
        return 0 if row is None else int(row[0])


def _known(row: tuple[Any, ...]) -> Known:
    outcome, reason, size, mtime_ns, ctime_ns, sha256, results, finished_at = row[1:]
    seen = None if size is None else Seen(size, mtime_ns, ctime_ns)
    return Known(outcome, reason, seen, sha256, results, finished_at)


def _chunks(keys: list[UUID]) -> Iterator[list[UUID]]:
    for start in range(0, len(keys), _CHUNK):
        yield keys[start : start + _CHUNK]


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _clean(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "backslashreplace").decode()
