"""The lake's tables and columns beside its data: vacuum may delete the last file that told of one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import astuple
from typing import Final

from lakestore.catalog.gathered import Gathered
from lakestore.errors import CorruptFileError
from lakestore.files import Files
from lakestore.lake import Parts
from lakestore.layout import PRIVATE
from lakestore.model import Column, LakeTable

FOLDER: Final = f"{PRIVATE}/schema"


def read(files: Files) -> Gathered:
    """What the lake keeps of its tables; nothing where vacuum never ran.

    Raises:
        CorruptFileError: it cannot be understood.
    """
    found = Gathered()
    for name in _names(files):
        try:
            value = json.loads(files.read(name))
            for table, key, columns in value["tables"]:
                found.take(LakeTable(table, key, tuple(Column(*column) for column in columns)))
            found.next_field_id = max(found.next_field_id, int(value["next_field_id"]))
        except (ValueError, KeyError, TypeError) as exc:
            raise CorruptFileError(f"{files.path(name)} is not a lake's schema ({exc!r}); remove it") from exc
    return found


def keep(parts: Parts) -> None:
    """See to it that the lake tells of its tables, whatever becomes of its data files.

    Raises:
        StorageError, CatalogError: it cannot be written, or not be asked for.
    """
    next_field_id, tables = parts.catalog.upkeep.schema()
    kept = read(parts.files)
    if kept.tables == tables and kept.next_field_id == next_field_id:
        return
    before = list(_names(parts.files))
    value = {
        "next_field_id": next_field_id,
        "tables": [[t.name, t.key, [astuple(column) for column in t.columns]] for t in tables.values()],
    }
    parts.files.write([(f"{FOLDER}/{parts.new_id()}.json", json.dumps(value).encode())])
    if before:
        parts.files.remove(before)


def _names(files: Files) -> Iterator[str]:
    yield from sorted(name for name in files.list(FOLDER) if name.endswith(".json"))
