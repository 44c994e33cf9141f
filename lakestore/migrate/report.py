"""The report of a run: a JSON array, one entry a file, whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from lakestore.errors import StorageError, reason
from lakestore.migrate.options import Entry


class Report:
    """Entries written as they come, under the file's name when the block ends, however it ends."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Begin a report.

        Raises:
            StorageError: it cannot be written.
        """
        self._path = Path(path)
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        self._before = "[\n"
        try:
            self._stream: IO[str] = self._temporary.open("w", encoding="ascii")
        except OSError as exc:
            raise StorageError(f"cannot write the report {path}: {reason(exc)}") from exc

    def add(self, entry: Entry) -> None:
        """Write one entry."""
        # ASCII: a path may hold bytes that are no UTF-8.
        self._stream.write(self._before + json.dumps(entry.as_json()))
        self._before = ",\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._stream as stream:
                stream.write("[]\n" if self._before == "[\n" else "\n]\n")
            os.replace(self._temporary, self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._temporary.unlink()
            raise StorageError(f"cannot write the report {self._path}: {error.strerror or error}") from error
