"""What can go wrong, grouped by what the caller does next.

Every error that leaves the package is a :class:`LakestoreError`; `kind` is a stable word for it
(in logs, in the CLI's JSON, in exit codes), and the message names the object, the fact and the next step.
"""

from __future__ import annotations

import errno
from typing import ClassVar, Final


class LakestoreError(Exception):
    """Base of all errors of lakestore; `kind` names the group and never changes."""

    kind: ClassVar[str] = "error"


class InvalidInputError(LakestoreError, ValueError):
    """What was given cannot be kept as it is: correct it and call again. Nothing was written."""

    kind = "invalid_input"


class NotFoundError(LakestoreError, LookupError):
    """No such result, table or lake."""

    kind = "not_found"


class AlreadyExistsError(LakestoreError):
    """A result with this `task_id` and other content is in the lake: choose another id, or replace."""

    kind = "already_exists"


class ConflictError(LakestoreError):
    """Somebody else changed the same thing first: nothing was done, calling again is safe."""

    kind = "conflict"


class CorruptFileError(LakestoreError):
    """A file of the lake is missing, damaged or not what the catalog says."""

    kind = "corrupt_file"


class CatalogError(LakestoreError):
    """The catalog cannot be reached, is not this lake's, or is of another version."""

    kind = "catalog"


class CommitUnknownError(CatalogError):
    """The connection was lost while a commit was under way: look the result up before trying again."""

    kind = "commit_unknown"


class StorageError(LakestoreError):
    """The file system refused: full, read-only, no permission. Nothing of the operation is visible."""

    kind = "storage"


class QueryError(LakestoreError):
    """The SQL is not valid, names what is not there, or is not allowed here."""

    kind = "query"


ALL: tuple[type[LakestoreError], ...] = (
    LakestoreError,
    InvalidInputError,
    NotFoundError,
    AlreadyExistsError,
    ConflictError,
    CorruptFileError,
    CatalogError,
    CommitUnknownError,
    StorageError,
    QueryError,
)


_NEXT: Final = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room, or ask for a larger quota",
    errno.EROFS: "mount it writable, or work on a copy",
    errno.EACCES: "ask its owner for permission",
    errno.EPERM: "ask its owner for permission",
    errno.EIO: "look at the disk and the system's log",
    errno.EMFILE: "close files, or raise 'ulimit -n'",
}
"""What to do about what file systems say."""


def reason(exc: OSError) -> str:
    """What a file system said, and the next step where there is one."""
    fact = exc.strerror or str(exc)
    step = _NEXT.get(exc.errno or 0)
    return fact if step is None else f"{fact} ({step})"
