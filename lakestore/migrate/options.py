"""What a run of `migrate` is told, and what it tells of each file."""

from __future__ import annotations

import os
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from lakestore.errors import InvalidInputError
from lakestore.migrate.find import Found, form_of
from lakestore.migrate.read import MAX_SIZE
from lakestore.storage.names import ids_of

BATCH: Final = 256
"""Results of one transaction unless told otherwise."""
BATCH_BYTES: Final = 32 * 1024 * 1024
"""Bytes of JSON after which a batch ends before it is full: they are held in memory."""
STEM: Final = "{stem}"
OWN: Final = "{id}"
_PLACES: Final = ("stem", "name", "parent", "member")

Outcome = Literal[
    "saved", "replaced", "same", "unchanged", "elsewhere", "skipped", "failed", "would save", "would replace",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """How files become results.

    Attributes:
        task_id: template of the results' ids: text with `{stem}` (the file's name without its endings), `{name}`,
            `{parent}` (its folder's name) and `{member}`; or `{id}`: the document's own id, else one derived from it.
        strategy: template of the strategy of documents that name none; None: they are refused.
        profile: as for `Lake.save`.
        force: files that the ledger calls done are done again.
        batch_size: results of one transaction, at most.
        max_size: bytes of JSON that one document may take.
        dry_run: nothing is written.
    """

    task_id: str = STEM
    strategy: str | None = None
    profile: str | None = None
    force: bool = False
    batch_size: int = BATCH
    max_size: int = MAX_SIZE
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be used.

        Raises:
            InvalidInputError: naming the option.
        """
        if self.task_id != OWN:
            _check("--task-id", self.task_id)
        if self.strategy is not None:
            _check("--strategy", self.strategy)
        for name, value in (("--batch-size", self.batch_size), ("--max-size", self.max_size)):
            if value < 1:
                raise InvalidInputError(f"{name} {value} is less than 1; give 1 or more")

    def id_of(self, found: Found, member: str | None) -> str | None:
        """The id of one document of a file; None where the document says it itself.

        Members of a file that holds several are told apart by `-<member>`, unless the template does that.
        """
        if self.task_id == OWN:
            return None
        text = _filled(self.task_id, found, member)
        return text if member is None or "member" in _places(self.task_id) else f"{text}-{member}"

    def strategy_of(self, found: Found, member: str | None) -> str | None:
        """The strategy of a document of a file that names none."""
        return None if self.strategy is None else _filled(self.strategy, found, member)


def _places(template: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]


def _check(option: str, template: str) -> None:
    try:
        places = _places(template)
    except ValueError as exc:
        raise InvalidInputError(f"{option} {template!r} is not a template: {exc}") from exc
    wrong = next((name for name in places if name not in _PLACES), None)
    if wrong is not None:
        known = ", ".join(f"{{{name}}}" for name in _PLACES)
        raise InvalidInputError(f"{option} {template!r}: {{{wrong}}} stands for nothing; there are {known}")


def _filled(template: str, found: Found, member: str | None) -> str:
    folder, name = os.path.split(found.path)
    parts = form_of(name)
    # Names as a tree of JSON files has them: what cannot stand in one is percent-encoded.
    stem, parent = ids_of(folder, parts[0] if parts else name)
    return template.format(stem=stem, name=name, parent=parent, member=member or "")


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one file.

    Attributes:
        outcome: `saved`; `replaced` (the file had changed); `same` (the lake had it); `unchanged` (the ledger calls it
            done); `elsewhere` (another run did it); `skipped` (no result); `failed`; in a dry run `would save` and
            `would replace`.
        reason: why it failed or was skipped.
        results: what it holds and the lake has, or would have: task id → SHA-256 of the JSON text, hexadecimal.
        bytes_before: of these results' JSON; bytes_after: of them in the lake.
        seconds: its share of its batch's time.
        fidelity: how many of its results are kept exact in which way.
    """

    path: str
    outcome: Outcome
    reason: str | None = None
    results: Mapping[str, str] = field(default_factory=dict)
    bytes_before: int = 0
    bytes_after: int = 0
    seconds: float = 0.0
    fidelity: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The entry as a report holds it."""
        return {
            "path": self.path,
            "outcome": self.outcome,
            "reason": self.reason,
            "results": dict(self.results),
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "seconds": round(self.seconds, 4),
            "fidelity": dict(self.fidelity),
        }
