"""One archive: a zstd-compressed tar whose first member is the manifest, so that it is found without reading the rest.

`tar --zstd -xf` unpacks it: the manifest is `MANIFEST.json`, the files lie below `tree/`. The manifest is a zstd frame
of its own before the frame of the files: it is written last, when the hashes are known.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from lakestore.compression import zstd
from lakestore.errors import CorruptFileError, NotFoundError, StorageError, reason
from lakestore.files import name_new, sync_folder

FORMAT: Final = 1
SUFFIX: Final = ".tar.zst"
MANIFEST: Final = "MANIFEST.json"
TREE: Final = "tree/"
_LEVEL: Final = 10
_BLOCK: Final = 1 << 20
_LARGEST_MANIFEST: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Packed:
    """One file of an archive.

    Attributes:
        path: below the tree's root, with `/`.
        sha256: of its bytes, hexadecimal.
        mtime_ns, mode: as it had them.
        results: the results that it holds: task id → SHA-256 of the JSON text.
    """

    path: str
    sha256: str
    bytes: int
    mtime_ns: int
    mode: int
    results: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in an archive: `root` is the folder that the files were in, `made_at` ISO 8601 in UTC."""

    strategy: str
    month: str
    root: str
    made_at: str
    lake_id: str
    files: tuple[Packed, ...]

    def to_bytes(self) -> bytes:
        """The manifest as JSON, a file a line."""
        head = {name: value for name, value in asdict(self).items() if name != "files"}
        files = ",\n".join(json.dumps(asdict(file)) for file in self.files)
        return f'{json.dumps({"format": FORMAT, **head})[:-1]}, "files": [\n{files}\n]}}\n'.encode("ascii")

    @classmethod
    def from_bytes(cls, text: bytes, where: str) -> Manifest:
        """The manifest that a text says.

        Raises:
            CorruptFileError: it is none, or of a newer format.
        """
        try:
            value: dict[str, Any] = json.loads(text)
            if value.pop("format") != FORMAT:
                raise CorruptFileError(f"archive {where} is of a newer format: upgrade lakestore")
            files = tuple(Packed(**file) for file in value.pop("files"))
            return cls(**value, files=files)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise CorruptFileError(
                f"archive {where} has no manifest that can be read ({exc!r}); take another copy of it"
            ) from exc


class ChangedError(Exception):
    """A file was changed, or could no longer be read, while it was packed; what was begun holds a part of it."""


class Writer:
    """The body of an archive, written to a temporary file until `finish` gives it its name."""

    def __init__(self, target: Path) -> None:
        """Begin an archive that is to be called `target`; its folder is there.

        Raises:
            StorageError: the file system refuses.
        """
        self.target = target
        self._body, self._whole = _temporary(target)
        self.files: list[Packed] = []
        self._raw = self._body.open("wb")
        self._packer = zstd.ZstdFile(self._raw, "w", options={zstd.CompressionParameter.compression_level: _LEVEL})
        self._tar = tarfile.open(fileobj=self._packer, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_BLOCK)

    def add(self, path: str, source: IO[bytes], found: os.stat_result, results: Mapping[str, str]) -> Packed:
        """Pack one file; what was packed is told by its hash.

        Raises:
            ChangedError: it is shorter than it was: the archive is of no use any more.
        """
        info = tarfile.TarInfo(TREE + path)
        info.size, info.mtime, info.mode = found.st_size, int(found.st_mtime), found.st_mode & 0o777
        hashed = _Hashed(source)
        self._tar.addfile(info, hashed)
        digest = hashed.digest.hexdigest()
        packed = Packed(path, digest, found.st_size, found.st_mtime_ns, info.mode, dict(results))
        self.files.append(packed)
        return packed

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, and the whole durably; on return it was read back and every hash compared.

        Raises:
            StorageError, CorruptFileError: it does not stand under its name.
        """
        self._tar.close()
        self._packer.close()
        self._raw.close()
        with self._whole.open("wb") as whole, self._body.open("rb") as body:
            whole.write(zstd.compress(_member(MANIFEST, manifest.to_bytes()), _LEVEL))
            shutil.copyfileobj(body, whole, _BLOCK)
            whole.flush()
            os.fsync(whole.fileno())
            # What is compared next comes from the disk, not from memory.
            os.posix_fadvise(whole.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self._body.unlink()
        check(self._whole, manifest)
        name_new(self._whole, self.target)
        sync_folder(self.target.parent)
        self._whole.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Remove what was written; nothing of it has a name that anybody looks for."""
        for stream in (self._tar, self._packer, self._raw):
            # What cannot be written to its end is not needed either.
            with suppress(OSError, ValueError):
                stream.close()
        for path in (self._body, self._whole):
            path.unlink(missing_ok=True)


class _Hashed:
    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._source.read(size)
        except OSError as exc:
            raise ChangedError from exc
        if len(data) < size:
            raise ChangedError
        self.digest.update(data)
        return data


def _member(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.PAX_FORMAT) + data + b"\0" * (-len(data) % tarfile.BLOCKSIZE)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Manifest, Iterator[tuple[Packed, IO[bytes]]]]]:
    """The manifest of an archive, and its files in order, each to be read before the next is asked for.

    Raises:
        CorruptFileError: it is no archive, or cut off.
        StorageError: it cannot be read.
    """
    try:
        with path.open("rb") as raw, zstd.ZstdFile(raw) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST or not 0 < first.size <= _LARGEST_MANIFEST:
                raise CorruptFileError(
                    f"{path} is not an archive that lakestore made: it does not begin with {MANIFEST}"
                )
            text = tar.extractfile(first)
            assert text is not None
            manifest = Manifest.from_bytes(text.read(), str(path))
            yield manifest, _files(tar, manifest, path)
    except (tarfile.TarError, zstd.ZstdError, EOFError) as exc:
        raise CorruptFileError(f"archive {path} is damaged: {exc}; take another copy of it") from exc
    except OSError as exc:
        raise StorageError(f"cannot read archive {path}: {reason(exc)}") from exc


def _files(tar: tarfile.TarFile, manifest: Manifest, path: Path) -> Iterator[tuple[Packed, IO[bytes]]]:
    for packed in manifest.files:
        info = tar.next()
        stream = tar.extractfile(info) if info is not None and info.isreg() else None
        if info is None or stream is None or info.name != TREE + packed.path or info.size != packed.bytes:
            raise CorruptFileError(
                f"archive {path} does not hold {packed.path!r} where its manifest says; take another copy of it"
            )
        yield packed, stream


def manifest_of(path: Path) -> Manifest:
    """The manifest of an archive; only its beginning is read.

    Raises:
        CorruptFileError, StorageError: it cannot be read.
    """
    with opened(path) as (manifest, _):
        return manifest


def check(path: Path, expected: Manifest | None = None) -> Manifest:
    """Read an archive to its end and compare every file's hash.

    Raises:
        CorruptFileError: naming what differs.
    """
    with opened(path) as (manifest, files):
        if expected is not None and manifest != expected:
            raise CorruptFileError(f"archive {path} does not read back as it was written: check the disk")
        for packed, stream in files:
            digest = hashlib.sha256()
            while block := stream.read(_BLOCK):
                digest.update(block)
            if digest.hexdigest() != packed.sha256:
                raise CorruptFileError(f"archive {path}: {packed.path!r} is not what was packed; check the disk")
    return manifest


def archives(folder: Path) -> Sequence[Path]:
    """The archives below a folder, in order of their names."""
    return sorted(path for path in folder.rglob(f"*{SUFFIX}") if not path.name.startswith("."))


def archives_at(source: str | os.PathLike[str]) -> Sequence[Path]:
    """The archive of a name, or those below the folder of it.

    Raises:
        NotFoundError: there are none.
    """
    path = Path(source)
    if not path.exists():
        raise NotFoundError(f"there is no archive {source}; give an archive, or a folder of them")
    found = [path] if path.is_file() else archives(path)
    if not found:
        raise NotFoundError(f"there are no archives in {source}; give the folder that 'lakestore archive' wrote to")
    return found


def _temporary(target: Path) -> tuple[Path, Path]:
    """Where the body of an archive, and then all of it, is written before it has its name."""
    return target.with_name(f".{target.name}.body.tmp"), target.with_name(f".{target.name}.tmp")


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed left below a folder; what others call temporary there is theirs."""
    for path in (path for name in _temporary(folder / f"*{SUFFIX}") for path in folder.rglob(name.name)):
        path.unlink(missing_ok=True)
