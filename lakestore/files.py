"""Files of the lake: durable writes, reads and lists, behind one small interface.

The order of a write is fixed: a temporary name that no reader takes for Parquet, fsync, rename, fsync of the
directory (and of the parents of directories just made). On return the file survives a power loss.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from lakestore.errors import CorruptFileError, StorageError


class Bytes(Protocol):
    """Anything with the buffer protocol: bytes, memoryview, `pyarrow.Buffer`."""

    def __buffer__(self, flags: int, /) -> memoryview: ...


class Files:
    """The files under one root; paths are relative to it and use `/`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: set[str] = set()  # directories that are there and durable

    def path(self, name: str) -> Path:
        """The absolute path of a file of the lake."""
        return self.root / name

    def write(self, items: Sequence[tuple[str, Bytes]]) -> None:
        """Write new files; on return all of them are durable under their names.

        Raises:
            StorageError: nothing is left under any of the names.
        """
        done: list[str] = []
        temporary: list[tuple[str, str]] = []
        name = ""
        try:
            for name, data in items:
                folder, _, base = name.rpartition("/")
                self._ensure(folder)
                temp = f"{folder}/.{base}.{secrets.token_hex(4)}.tmp"
                temporary.append((temp, name))
                self._create(temp, data)
            for temp, name in temporary:
                self._rename(temp, name)
                done.append(name)
            for folder in dict.fromkeys(name.rpartition("/")[0] for name, _ in items):
                # A rename is durable only once its directory is synced.
                self._sync_folder(folder)
        except OSError as exc:
            # A folder removed by somebody else is looked for again next time.
            self._known.clear()
            for leftover in [temp for temp, _ in temporary] + done:
                with contextlib.suppress(OSError):
                    os.unlink(self.path(leftover))
            raise StorageError(f"cannot write {self.path(name)}: {exc.strerror or exc}; nothing was saved") from exc

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            CorruptFileError: it is not there.
            StorageError: it cannot be read.
        """
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError as exc:
            raise CorruptFileError(
                f"data file {self.path(name)} is missing; 'lakestore doctor' checks the lake"
            ) from exc
        except OSError as exc:
            raise StorageError(f"cannot read {self.path(name)}: {exc.strerror or exc}") from exc

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that nobody can know of; one that is gone already is fine.

        Raises:
            StorageError: one is there and stays.
        """
        for name in names:
            try:
                os.unlink(self.path(name))
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise StorageError(f"cannot remove {self.path(name)}: {exc.strerror or exc}") from exc

    def list(self, folder: str = "") -> Iterator[str]:
        """Names of all files below a folder, in no order; nothing where there is no such folder."""
        for base, folders, names in os.walk(self.path(folder)):
            relative = os.path.relpath(base, self.root).replace(os.sep, "/")
            folders.sort()
            for name in names:
                yield name if relative == "." else f"{relative}/{name}"

    def _ensure(self, folder: str) -> None:
        """Make a folder and its parents, durably."""
        if not folder or folder in self._known:
            return
        parent = folder.rpartition("/")[0]
        self._ensure(parent)
        try:
            os.mkdir(self.path(folder))
        except FileExistsError:
            pass
        # Also where another process made it just now and has not synced it yet.
        self._sync_folder(parent)
        self._known.add(folder)

    def _create(self, name: str, data: Bytes) -> None:
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            view = memoryview(data).cast("B")
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)

    def _rename(self, old: str, new: str) -> None:
        os.rename(self.path(old), self.path(new))

    def _sync_folder(self, folder: str) -> None:
        fd = os.open(self.path(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
