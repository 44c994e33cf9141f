"""A lake's own file: its id, the format it is written in, and what was chosen when it was made."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from uuid import UUID, uuid4

from lakestore.errors import AlreadyExistsError, CatalogError, CorruptFileError, NotFoundError, StorageError, reason
from lakestore.files import make_folder, name_new, sync_folder
from lakestore.layout import PRIVATE, RESULTS
from lakestore.model import FORMAT_VERSION, Numbers, Partition

NAME = "lake.json"


@dataclass(frozen=True, slots=True)
class Home:
    """What stands in `<lake>/_lakestore/lake.json`."""

    lake_id: UUID
    partition: Partition = "day"
    numbers: Numbers = "decimal"
    format: int = FORMAT_VERSION


def find(root: Path) -> Home | None:
    """The lake in a directory; None where there is none.

    Raises:
        CatalogError: it is of a newer format.
        CorruptFileError: its file cannot be understood.
        StorageError: it cannot be read.
    """
    path = root / PRIVATE / NAME
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise StorageError(f"cannot read {path}: {exc}") from exc
    try:
        value = json.loads(text)
        if value["format"] > FORMAT_VERSION:
            raise CatalogError(
                f"lake {root} has format {value['format']}, this lakestore knows formats up to {FORMAT_VERSION}: "
                "upgrade lakestore"
            )
        home = Home(UUID(value["lake_id"]), value["partition"], value["numbers"], value["format"])
    except (ValueError, KeyError, TypeError) as exc:
        raise CorruptFileError(f"{path} is not a lake's file ({exc!r}); restore it from a backup") from exc
    if home.partition not in get_args(Partition) or home.numbers not in get_args(Numbers):
        raise CorruptFileError(f"{path} names settings that no lake has: {text.strip()}; restore it from a backup")
    return home


def make(root: Path, *, partition: Partition, numbers: Numbers, exist_ok: bool) -> tuple[Home, bool]:
    """Make a directory a lake; several processes may try, one of them makes it.

    Returns:
        The lake, and whether it was made by this call.

    Raises:
        AlreadyExistsError: it is one already, and `exist_ok` is false.
        StorageError: it cannot be made.
    """
    home = Home(uuid4(), partition, numbers)
    folder = root / PRIVATE
    temporary = folder / f".{NAME}.{secrets.token_hex(4)}.tmp"
    try:
        make_folder(folder)
        with temporary.open("x", encoding="utf-8") as stream:
            stream.write(text_of(home))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            name_new(temporary, folder / NAME)
        except FileExistsError:
            if not exist_ok:
                raise AlreadyExistsError(f"{root} is a lake already; 'lakestore doctor' tells its state") from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        sync_folder(folder)
    except OSError as exc:
        raise StorageError(f"cannot make a lake in {root}: {reason(exc)}") from exc
    found = find(root)
    if found is None:
        raise NotFoundError(f"the lake in {root} was removed while it was made; try again")
    return found, found.lake_id == home.lake_id


def text_of(home: Home) -> str:
    """What stands in a lake's file."""
    value = {
        "format": home.format,
        "lake_id": str(home.lake_id),
        "partition": home.partition,
        "numbers": home.numbers,
    }
    return json.dumps(value) + "\n"


def holds_data(root: Path) -> bool:
    """Whether a lake's directory holds any results, alive or not; or what cannot be looked into, which may."""
    return _holds_data(root / RESULTS, 2)


def _holds_data(folder: Path, depth: int) -> bool:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                found = _holds_data(Path(entry.path), depth - 1) if depth else entry.name.endswith(".parquet")
                if found:
                    return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return False


def unmake(root: Path) -> None:
    """Take back what `make` made, where nothing was put into it since; directories that others made stay."""
    with contextlib.suppress(OSError):
        (root / PRIVATE / NAME).unlink()
        (root / PRIVATE).rmdir()
        root.rmdir()
