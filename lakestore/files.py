"""Files of the lake: durable writes, reads and lists, behind one small interface.

The order of a write is fixed: a temporary name that no reader takes for Parquet, fsync, rename, fsync of the
directory (and of the parents of directories just made). On return the file survives a power loss.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from lakestore.background import Background
from lakestore.errors import AlreadyExistsError, CorruptFileError, StorageError, reason
from lakestore.model import Digest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Bytes(Protocol):
    """Anything with the buffer protocol: bytes, memoryview, `pyarrow.Buffer`."""

    def __buffer__(self, flags: int, /) -> memoryview: ...


_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
"""What a file system without hard links says to one: exFAT, some shares."""
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1
"""From linux/fcntl.h and linux/fs.h."""
_ROUNDS = 10
"""How often a folder is made anew that somebody removes, being empty, before a file stands in it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there: its name, its size, and when it was last written (UTC)."""

    name: str
    bytes: int
    modified: datetime


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def name_new(temporary: Path, path: Path) -> None:
    """Give a file that is written its name, unless there is one of that name; durable once its folder is synced.

    The temporary name may stay beside it.

    Raises:
        FileExistsError: somebody made the file meanwhile; a rename would have taken its place.
        OSError: the file system refused.
    """
    try:
        os.link(temporary, path)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        _rename_new(temporary, path, exc)


def _rename_new(old: Path, new: Path, cause: OSError) -> None:
    """A rename that takes nobody's place: renameat2(2), which Python has no function for."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise cause
    if libc.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _RENAME_NOREPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(new)) from cause


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, durably.

    Raises:
        OSError: the file system refused.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def _temporary(name: str) -> str:
    """A name for a file under way, in the folder where it is to stand: no reader takes it for one of the lake's."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}.{base}.{secrets.token_hex(4)}.tmp"


class Files:
    """The files under one root; paths are relative to it and use `/`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: set[str] = set()  # directories that are there and durable

    def path(self, name: str) -> Path:
        """The absolute path of a file of the lake."""
        return self.root / name

    def make_root(self) -> None:
        """Make the root where it is missing; on return that is durable.

        Raises:
            StorageError: it cannot be made.
        """
        try:
            make_folder(self.root)
        except OSError as exc:
            raise StorageError(f"cannot make {self.root}: {reason(exc)}") from exc

    def write(self, items: Sequence[tuple[str, Bytes]]) -> None:
        """Write new files; on return all of them are durable under their names.

        Raises:
            StorageError: nothing is left under any of the names.
        """
        with self.writing() as writing:
            writing.add(items, apart=len(items) > 1)
            writing.finish()

    def writing(self) -> Writing:
        """New files that are to get their names together."""
        return Writing(self)

    def put(self, name: str, data: Bytes, *, replace: bool = False, time: datetime | None = None) -> None:
        """Write one file, whole or not at all; on return it is durable.

        Args:
            replace: whether it may take the place of another one.
            time: when it counts as changed; else now.

        Raises:
            AlreadyExistsError: there is one, and it is not to be replaced.
            StorageError: the file system refused; what was there is still there, or the new one, which a power loss
                may undo.
        """
        try:
            self._put(name, data, replace, time)
        except FileExistsError as exc:
            raise AlreadyExistsError(f"{self.path(name)} is there already; nothing was written") from exc
        except OSError as exc:
            raise StorageError(f"cannot write {self.path(name)}: {reason(exc)}") from exc

    def _put(self, name: str, data: Bytes, replace: bool, time: datetime | None) -> None:
        folder, temp = name.rpartition("/")[0], _temporary(name)
        try:
            self._place(folder, temp, data, time)
            if replace:
                self._rename(temp, name)
            else:
                name_new(self.path(temp), self.path(name))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(temp))
        self._sync_folder(folder)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[int]:
        """A file to hold a lock on, as a descriptor; made where there is none.

        Raises:
            StorageError: it cannot be made.
        """
        try:
            try:
                fd = self._open(name)
            except FileNotFoundError:
                self._known.clear()
                fd = self._open(name)
        except OSError as exc:
            raise StorageError(f"cannot lock {self.path(name)}: {reason(exc)}") from exc
        try:
            yield fd
        finally:
            os.close(fd)

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            CorruptFileError: it is not there.
            StorageError: it cannot be read.
        """
        try:
            # A Path opens a stream first, with as many calls again.
            fd = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                size = os.fstat(fd).st_size
                data = os.read(fd, size + 1)
            finally:
                os.close(fd)
            return data if len(data) == size else self.path(name).read_bytes()
        except FileNotFoundError as exc:
            raise self._missing(name) from exc
        except OSError as exc:
            raise StorageError(f"cannot read {self.path(name)}: {reason(exc)}") from exc

    def compare(self, name: str, data: bytes, digest: Digest) -> None:
        """Refuse the bytes of a data file that are not the ones that were committed.

        Raises:
            CorruptFileError: their SHA-256 is another one.
        """
        if sha256(data).digest() != digest:
            raise CorruptFileError(
                f"data file {self.path(name)} is damaged: its SHA-256 is not the one that was committed; "
                "restore it from a backup"
            )

    def size(self, name: str) -> int:
        """The bytes that a file has.

        Raises:
            CorruptFileError: it is not there.
            StorageError: it cannot be looked at.
        """
        try:
            return os.stat(self.path(name)).st_size
        except FileNotFoundError as exc:
            raise self._missing(name) from exc
        except OSError as exc:
            raise StorageError(f"cannot look at {self.path(name)}: {reason(exc)}") from exc

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, durably; one that is gone already is fine.

        Raises:
            StorageError: one is there and stays.
        """
        name = ""
        folders: dict[str, None] = {}
        try:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path(name))
                    folders[name.rpartition("/")[0]] = None
            for folder in folders:
                with contextlib.suppress(FileNotFoundError):
                    self._sync_folder(folder)
        except OSError as exc:
            raise StorageError(f"cannot remove {self.path(name)}: {reason(exc)}") from exc

    def remove_empty_folders(self, folder: str) -> list[str]:
        """Remove a folder and those below it as far as nothing is in them; return the names of those removed.

        Raises:
            StorageError: an empty one stays.
        """
        gone = []
        for base, _, _ in os.walk(self.path(folder), topdown=False):
            try:
                os.rmdir(base)
            except OSError as exc:
                if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    raise StorageError(f"cannot remove the folder {base}: {reason(exc)}") from exc
            else:
                gone.append(os.path.relpath(base, self.root).replace(os.sep, "/"))
        return gone

    def list(self, folder: str = "") -> Iterator[str]:
        """Names of all files below a folder, in no order; nothing where there is no such folder.

        Raises:
            StorageError: a folder cannot be read.
        """

        def refuse(exc: OSError) -> None:
            if not isinstance(exc, FileNotFoundError):
                raise StorageError(f"cannot list {exc.filename}: {reason(exc)}") from exc

        for base, folders, names in os.walk(self.path(folder), onerror=refuse):
            relative = os.path.relpath(base, self.root).replace(os.sep, "/")
            folders.sort()
            for name in names:
                yield name if relative == "." else f"{relative}/{name}"

    def folders(self) -> Iterator[str]:
        """Names of the folders that stand directly under the root, in order.

        Raises:
            StorageError: the root cannot be read.
        """
        try:
            with os.scandir(self.root) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError as exc:
            raise StorageError(f"cannot list {self.root}: {reason(exc)}") from exc
        yield from names

    def scan(self, folder: str, *, deep: bool = True) -> Iterator[Found]:
        """The files below a folder with size and time, in no order; one that goes away meanwhile is left out.

        Args:
            deep: also those in the folders below it.

        Raises:
            StorageError: a folder cannot be read.
        """
        try:
            for name in self.list(folder) if deep else self._directly(folder):
                with contextlib.suppress(FileNotFoundError):
                    found = os.stat(self.path(name), follow_symlinks=False)
                    yield Found(name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))
        except OSError as exc:
            raise StorageError(f"cannot list {self.path(folder)}: {reason(exc)}") from exc

    def _missing(self, name: str) -> CorruptFileError:
        return CorruptFileError(
            f"data file {self.path(name)} is missing; 'lakestore catalog sync' names all that are, and their results"
        )

    def _directly(self, folder: str) -> Iterator[str]:
        with contextlib.suppress(FileNotFoundError):
            yield from [f"{folder}/{entry.name}" for entry in os.scandir(self.path(folder)) if entry.is_file()]

    def _place(self, folder: str, temp: str, data: Bytes, time: datetime | None = None) -> None:
        """Create a file in a folder that is made where it is missing, or was removed since."""
        for left in reversed(range(_ROUNDS)):
            try:
                self._ensure(folder)
                self._create(temp, data, time)
                return
            except FileNotFoundError:
                self._known.clear()
                if not left:
                    raise

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

    def _open(self, name: str) -> int:
        self._ensure(name.rpartition("/")[0])
        try:
            return os.open(self.path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except PermissionError:
            # Made by another user: a lock can be held on it all the same.
            return os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)

    def _create(self, name: str, data: Bytes, time: datetime | None = None) -> None:
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            view = memoryview(data).cast("B")
            while view:
                view = view[os.write(fd, view) :]
            if time is not None:
                moment = (time - _EPOCH) // _MICROSECOND * 1000
                os.utime(fd, ns=(moment, moment))
            os.fsync(fd)
        finally:
            os.close(fd)

    def _rename(self, old: str, new: str) -> None:
        os.rename(self.path(old), self.path(new))

    def _sync_folder(self, folder: str) -> None:
        sync_folder(self.path(folder))


class Writing:
    """New files on their way: written durably under temporary names while other work goes on, then named together.

    Leaving the block without `finish` removes them.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._works: list[Background[None]] = []
        self._names: dict[str, str] = {}
        self._finished = False

    def add(self, items: Iterable[tuple[str, Bytes]], *, apart: bool) -> None:
        """Begin to write files.

        Args:
            apart: in a thread for each folder; else in `finish`.
        """
        folders: dict[str, list[tuple[str, str, Bytes]]] = {}
        for name, data in items:
            temp = _temporary(name)
            self._names[temp] = name
            folders.setdefault(name.rpartition("/")[0], []).append((temp, name, data))
        for folder, those in folders.items():
            self._works.append(Background(partial(self._place, folder, those), apart=apart))

    def drop(self) -> None:
        """Remove what was begun: other files come in its place."""
        for work in self._works:
            work.drop()
        for name in [*self._names, *self._names.values()]:
            with contextlib.suppress(OSError):
                os.unlink(self._files.path(name))
        self._works = []
        self._names = {}

    def finish(self) -> None:
        """Give all files their names; on return they are durable.

        Raises:
            StorageError: nothing is left under any of the names.
        """
        # What nobody has begun is done here, while threads are at the others.
        for work in reversed(self._works):
            work.result()
        for temp, name in self._names.items():
            with self._refused(name):
                self._files._rename(temp, name)
        # A rename is durable only once its directory is synced.
        folders = {name.rpartition("/")[0]: name for name in self._names.values()}
        self._works = [
            Background(partial(self._sync, folder, name), apart=len(folders) > 1) for folder, name in folders.items()
        ]
        for work in reversed(self._works):
            work.result()
        self._finished = True

    def _place(self, folder: str, those: Sequence[tuple[str, str, Bytes]]) -> None:
        for temp, name, data in those:
            with self._refused(name):
                self._files._place(folder, temp, data)

    def _sync(self, folder: str, name: str) -> None:
        with self._refused(name):
            self._files._sync_folder(folder)

    @contextlib.contextmanager
    def _refused(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            path = self._files.path(name)
            raise StorageError(f"cannot write {path}: {reason(exc)}; nothing was saved") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            self.drop()
