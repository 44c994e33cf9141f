"""Documents as the command line meets them: files and standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from lakestore.errors import InvalidInputError, LakestoreError


def document(name: str, limit: int) -> Path | bytes:
    """One document for `Lake.save`.

    Args:
        name: a path to JSON, plain or compressed as `.gz` or `.zst`; `-` is standard input.
        limit: bytes of JSON that it may take; of standard input not many more are read.

    Raises:
        InvalidInputError: it is a directory.
    """
    if name == "-":
        return sys.stdin.buffer.read(limit + 1)
    path = Path(name)
    if path.is_dir():
        raise InvalidInputError(f"{name} is a directory; give the files in it, such as {name.rstrip('/')}/*.json")
    return path


def named(name: str, error: LakestoreError) -> str:
    """What an error says, with the document's name where it does not say it."""
    known = name != "-" and str(Path(name)) in str(error)
    return str(error) if known else f"{name}: {error}"
