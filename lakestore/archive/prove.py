"""That the lake holds what a file holds, at this moment: every document read from the data files and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lakestore.catalog.ledger import Known, Seen
from lakestore.errors import CorruptFileError, NotFoundError, StorageError
from lakestore.identity import digest
from lakestore.lake import Lake
from lakestore.migrate import Found, Options, Reader

NOT_THERE = "result {!r} is not in the lake; 'lakestore migrate' brings it in"
UNKNOWN = "it was never migrated: the template of its task id must name it by its path"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a file held when all of it was found in the lake.

    Attributes:
        results: task id → SHA-256 of the JSON text.
    """

    seen: Seen
    sha256: bytes
    results: Mapping[str, str]


class Unproved(Exception):
    """Why a file stays where it is."""


def prove(lake: Lake, found: Found, known: Known | None, options: Options) -> Proof:
    """Compare each document of a file with the lake's.

    Args:
        known: what the ledger says of the file: the ids under which it was migrated.
        options: how ids are made of files that the ledger does not know.

    Raises:
        Unproved: the file cannot be read, or the lake holds something of it not, or otherwise.
        LakestoreError: the catalog cannot be reached.
    """
    reader = Reader(found, limit=options.max_size)
    ids = {sha: task_id for task_id, sha in known.results.items()} if known is not None else {}
    results: dict[str, str] = {}
    for document in reader.documents():
        sha = digest(document.text)
        task_id = ids.get(sha) or options.id_of(found, document.member)
        if task_id is None:
            raise Unproved(UNKNOWN)
        _compare(lake, task_id, sha, document.text)
        results[task_id] = sha
    if reader.problem is not None:
        raise Unproved(reader.problem)
    if not results or reader.seen is None or reader.sha256 is None:
        raise Unproved("there is no document in it")
    return Proof(reader.seen, reader.sha256, results)


def _compare(lake: Lake, task_id: str, sha: str, text: bytes) -> None:
    """Refuse a document that the lake has not, or otherwise."""
    try:
        result = lake.load(task_id)
        if result.info.sha256 != sha:
            raise Unproved(f"result {task_id!r} is in the lake with other content")
        same = result.to_json() == text
    except NotFoundError:
        raise Unproved(NOT_THERE.format(task_id)) from None
    except (CorruptFileError, StorageError) as exc:
        raise Unproved(str(exc)) from exc
    if not same:
        raise Unproved(f"result {task_id!r} does not come back from the lake as it stands here")
