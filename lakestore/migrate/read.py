"""What a file holds: its documents one by one, with a bound on memory, and a hash of the whole."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import time
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import IO, Any, Final

from lakestore.catalog.ledger import Seen
from lakestore.codec import text
from lakestore.compression import DAMAGED, read_at_most, unpacked
from lakestore.errors import InvalidInputError, StorageError, reason
from lakestore.migrate.find import Found, form_of, seen_of
from lakestore.storage.tree import SETTLED_NS

MAX_SIZE: Final = 256_000_000
"""Bytes of JSON that one document may take unless told otherwise."""
_BLOCK: Final = 1 << 20
_DAMAGED = (
    *DAMAGED,
    zipfile.BadZipFile,
    struct.error,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
)
"""What the unpackers raise for bytes that are no archive, cut off, encrypted, or packed in an unknown way."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file; `member` names it where a file may hold several: a line, a name in a zip."""

    text: bytes
    member: str | None = None


class Reader:
    """One file, read once from its beginning; when `documents` has ended, `sha256` and `seen` describe what was read.

    Attributes:
        problem: why the file cannot be read to its end; what came before may still be good.
    """

    def __init__(self, found: Found, *, limit: int = MAX_SIZE) -> None:
        """Read a file, taking at most `limit` bytes of JSON for one document."""
        self.problem: str | None = None
        self.seen: Seen | None = None
        self.sha256: bytes | None = None
        self.modified = 0.0
        self._found = found
        self._limit = limit

    def documents(self) -> Generator[Document, None, None]:
        """The documents in order; a file that is bad ends early, and `problem` says why.

        Raises:
            StorageError: never; whatever happens to a file is its own problem.
        """
        try:
            with self._open() as raw:
                hashed = _Hashed(raw)
                yield from self._unpacked(hashed)
                hashed.drain()
                self._settle(raw, hashed)
        except (InvalidInputError, StorageError) as exc:
            self.problem = str(exc)
        except _DAMAGED as exc:
            self.problem = f"it cannot be unpacked: {str(exc) or type(exc).__name__}; is it whole?"
        except MemoryError:
            self.problem = "it does not fit into memory; lower --max-size to refuse such files early"
        except OSError as exc:
            self.problem = f"it cannot be read: {reason(exc)}"

    def digest(self) -> bytes | None:
        """The hash of the file's bytes alone; None where it cannot be read, and `problem` says why."""
        try:
            with self._open() as raw:
                hashed = _Hashed(raw)
                hashed.drain()
                self._settle(raw, hashed)
        except (InvalidInputError, StorageError) as exc:
            self.problem = str(exc)
        except OSError as exc:
            self.problem = f"it cannot be read: {reason(exc)}"
        return self.sha256

    def _open(self) -> IO[bytes]:
        # What became a link since it was found may lead anywhere, and opening a pipe would wait for its writer.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if self._found.named else os.O_NOFOLLOW)
        fd = os.open(self._found.path, flags)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise InvalidInputError("not a regular file")
            self.seen = seen_of(found)
            self.modified = found.st_mtime
            return open(fd, "rb", buffering=0)
        except BaseException:
            os.close(fd)
            raise

    def _settle(self, raw: IO[bytes], hashed: _Hashed) -> None:
        now = os.fstat(raw.fileno())
        if seen_of(now) != self.seen or now.st_size != hashed.size:
            raise StorageError("it was changed while it was read; migrate again when its writer is done")
        recent = time.time_ns() - now.st_ctime_ns <= SETTLED_NS
        self.seen = Seen(now.st_size, now.st_mtime_ns, None if recent else now.st_ctime_ns)
        self.sha256 = hashed.digest()

    def _unpacked(self, hashed: _Hashed) -> Iterator[Document]:
        parts = form_of(self._found.path)
        assert parts is not None
        _, form, packing = parts
        if form == "zip":
            yield from self._zipped(hashed)
            return
        with closing(_opened(hashed, packing)) as stream:
            if form == "json":
                yield Document(self._whole(stream))
            else:
                yield from self._lines(stream)

    def _whole(self, stream: IO[bytes], what: str = "the document") -> bytes:
        """All of a stream."""
        data = read_at_most(stream, self._limit + 1)
        if len(data) > self._limit:
            raise InvalidInputError(f"{what} takes more than {self._limit:,} bytes; --max-size raises the limit")
        return data

    def _lines(self, stream: IO[bytes]) -> Iterator[Document]:
        number = 0
        while line := stream.readline(self._limit + 1):
            number += 1
            if len(line) > self._limit:
                raise InvalidInputError(
                    f"line {number} takes more than {self._limit:,} bytes; --max-size raises the limit"
                )
            found = line.rstrip(b"\r\n")
            if found.strip():
                yield Document(found, str(number))

    def _zipped(self, hashed: _Hashed) -> Iterator[Document]:
        # Its directory is at the end: a zip is held whole, and is small beside what it holds.
        packed = self._whole(io.BufferedReader(hashed, _BLOCK), "the archive")
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            found = {info.filename: info for info in archive.infolist()}
            if len(found) < len(archive.infolist()):
                raise InvalidInputError("two members of it have the same name")

            def text_of(name: str) -> bytes:
                with archive.open(found[name]) as stream:
                    return self._whole(stream, name)

            names = results_in(list(found), text_of)
            if not names:
                raise InvalidInputError("there is no JSON document in it")
            for name in names:
                yield Document(text_of(name), None if len(names) == 1 else _stem(name))


def results_in(names: list[str], text_of: Callable[[str], bytes]) -> list[str]:
    """The members of a zip that are results: its JSON files, but for those that belong to another.

    `x_config.json` belongs to `x.json`, and so does `x_<strategy>.json` where that is one of the strategies in
    `x.json`, as freqtrade writes them.

    Args:
        text_of: reads a member; asked for those alone that others may belong to.
    """
    found = [name for name in names if name.lower().endswith(".json") and not name.lower().endswith(".meta.json")]
    stems = {name[: -len(".json")]: name for name in found}
    known: dict[str, frozenset[str]] = {}
    results = []
    for stem, name in stems.items():
        owners = [other for other in stems if stem.startswith(f"{other}_")]
        for other in owners:
            if other not in known:
                known[other] = _strategies(text_of(stems[other]), stems[other])
        if not any(stem[len(other) + 1 :] in {"config", *known[other]} for other in owners):
            results.append(name)
    return results


def _strategies(source: bytes, where: str) -> frozenset[str]:
    """The strategies of a document of freqtrade's; of others none."""
    try:
        value, _ = text.parse(source, where)
    except InvalidInputError:
        return frozenset()
    strategies = value.get("strategy") if isinstance(value, dict) else None
    return frozenset(strategies) if isinstance(strategies, dict) else frozenset()


def _stem(name: str) -> str:
    return name.rpartition("/")[2][: -len(".json")]


def _opened(raw: _Hashed, packing: str) -> IO[bytes]:
    return unpacked(raw, packing) if packing else io.BufferedReader(raw, _BLOCK)


class _Hashed(io.RawIOBase):
    """A stream that hashes what is read from it."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._hash = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._raw.read(len(view))
        view[: len(data)] = data
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def drain(self) -> None:
        """Read what is left."""
        while self.read(_BLOCK):
            pass

    def digest(self) -> bytes:
        return self._hash.digest()
