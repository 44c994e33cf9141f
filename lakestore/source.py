"""The text of what an engine gives: a value, text, bytes, or a file, which may be packed; bounded before it is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakestore.codec.draft import read
from lakestore.codec.given import Given, as_dict, written
from lakestore.compression import DAMAGED, packing_of, read_at_most, unpacked
from lakestore.config import MAX_DOCUMENT
from lakestore.errors import InvalidInputError, NotFoundError, StorageError

_ENDINGS = (".json", ".json.gz", ".json.zst")
"""No JSON text ends so."""

_RAISES = "LAKESTORE_MAX_DOCUMENT raises the limit, and a save takes about eight times as much memory"


@dataclass(frozen=True, slots=True)
class Source:
    """A document's text, what messages call it, its time where it says none, and the value that it was given as."""

    text: bytes
    where: str
    time: datetime
    given: Given | None = None


def source_of(
    document: Any,
    now: datetime,
    *,
    tables: Mapping[str, Any] | None = None,
    limit: int = MAX_DOCUMENT,
    unseen: bool = False,
) -> Source:
    """The text of what an engine gives: a value, JSON text, JSON bytes, or a path to a file of them.

    Args:
        document: a file whose name ends in `.gz` or `.zst` is unpacked.
        tables: arrays of records that are put into it, held as columns.
        limit: bytes of JSON that it may take; of what is packed not many more are unpacked.
        unseen: do not look at the types in a value, which `draft.read` does.

    Raises:
        InvalidInputError: it is none of these, longer than that, a value that JSON cannot hold, a file that is not
            packed as its name says, or a table cannot be part of it.
        NotFoundError, StorageError: the file is not there, or cannot be read.
    """
    found = _source(document, now, limit, unseen)
    if tables is not None:
        found = Source(read(found.text, found.where, None, tables, given=found.given).text, found.where, found.time)
    _check_size(found.where, len(found.text), limit)
    return found


def _source(document: Any, now: datetime, limit: int, unseen: bool) -> Source:
    if isinstance(document, Path):
        return _of_file(document, limit)
    if isinstance(document, str):
        if document.endswith(_ENDINGS):
            raise InvalidInputError(
                f"a text is JSON, not the name of a file: give a file as pathlib.Path({document[-200:]!r})"
            )
        try:
            return Source(document.encode(), "the document", now)
        except UnicodeEncodeError as exc:
            raise InvalidInputError(f"the document is not UTF-8: character {exc.start} is a lone surrogate") from exc
    if isinstance(document, bytes | bytearray | memoryview):
        return Source(bytes(document), "the document", now)
    if isinstance(document, dict | list):
        given = written(document, unseen=unseen)
        return Source(given.text, "the document", now, given)
    what = f"a document is a dict, JSON text or bytes, or a pathlib.Path to JSON, not {type(document).__name__}"
    if hasattr(document, "__arrow_c_stream__") and hasattr(document, "columns"):
        raise InvalidInputError(f"{what}: give it as a table, save({{…}}, tables={{'trades': …}})")
    advice = as_dict(document)
    raise InvalidInputError(what if advice is None else f"{what}: give {advice}")


def _of_file(path: Path, limit: int) -> Source:
    packing = packing_of(path.name)
    try:
        with path.open("rb") as stream:
            found = os.fstat(stream.fileno())
            # What is too long may be longer than memory; neither a pipe nor what is packed says how long it is.
            if packing:
                with unpacked(stream, packing) as inner:
                    data = read_at_most(inner, limit + 1)
            else:
                data = stream.read(limit + 1) if found.st_size <= limit else b""
    except FileNotFoundError as exc:
        raise NotFoundError(f"there is no file {path}") from exc
    except DAMAGED as exc:
        raise InvalidInputError(f"{path} cannot be decompressed: {str(exc) or 'it is cut off'}; is it whole?") from exc
    except (OSError, ValueError) as exc:
        raise StorageError(f"cannot read {path}: {exc}") from exc
    if packing and len(data) > limit:
        raise InvalidInputError(
            f"{path} holds more than {limit:,} bytes of JSON, which are taken at most: it is not saved; {_RAISES}"
        )
    _check_size(str(path), len(data) if packing else max(len(data), found.st_size), limit)
    return Source(data, str(path), datetime.fromtimestamp(found.st_mtime, UTC))


def _check_size(where: str, size: int, limit: int) -> None:
    if size > limit:
        raise InvalidInputError(
            f"{where} takes {size:,} bytes of JSON, at most {limit:,} are taken here: it is not saved; {_RAISES}"
        )
