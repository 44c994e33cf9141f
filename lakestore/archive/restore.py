"""Files out of archives and back into a tree, byte for byte."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from lakestore.archive.tarball import Manifest, Packed, archives_at, manifest_of, opened
from lakestore.errors import CorruptFileError, NotFoundError, StorageError, reason
from lakestore.files import make_folder, name_new, sync_folder

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of one file: `restored`; `there` with the same bytes; `refused`, other bytes are there; `failed`."""

    path: str
    outcome: Literal["restored", "there", "refused", "failed"]
    reason: str | None = None
    archive: str = ""
    bytes: int = 0


def restore(
    source: str | os.PathLike[str],
    wanted: Sequence[str] = (),
    *,
    to: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Iterator[Restored]:
    """Put files of archives back, with the bytes and the time of change that they had; the archives stay.

    Of a file that was put away several times the last one comes back.

    Args:
        source: an archive, or a folder of them.
        wanted: task ids, paths below the tree's root, or globs of such paths; all files where none are given.
        to: the tree's root; where they came from if None.
        overwrite: also where a file of other bytes is in the way.

    Returns:
        The entries, as the work gets on; it ends with the iterator.

    Raises:
        NotFoundError: there are no archives, or nothing in them is what was asked for.
        CorruptFileError, StorageError: an archive cannot be read, or the tree not be written.
    """
    chosen = _chosen(archives_at(source), wanted, None if to is None else Path(to))
    for archive, targets in chosen.items():
        yield from _from_archive(archive, targets, overwrite)


def _chosen(found: Sequence[Path], wanted: Sequence[str], to: Path | None) -> dict[Path, dict[str, Path]]:
    """By archive: which of its files are to be put back, and where; a later version goes before an earlier one."""
    latest: dict[Path, tuple[str, Path, str]] = {}
    met: set[str] = set()
    for archive in found:
        manifest = manifest_of(archive)
        for packed in manifest.files:
            names = [name for name in wanted if _is_meant(name, packed)]
            if wanted and not names:
                continue
            met.update(names)
            target = _target(manifest, packed, to, archive)
            version = (manifest.made_at, archive, packed.path)
            if target not in latest or latest[target][0] < version[0]:
                latest[target] = version
    missing = next((name for name in wanted if name not in met), None)
    if missing is not None:
        raise NotFoundError(f"no archive holds {missing!r}: give a task id, a path below the tree, or a glob")
    chosen: dict[Path, dict[str, Path]] = {}
    for target, (_, archive, name) in latest.items():
        chosen.setdefault(archive, {})[name] = target
    return chosen


def _is_meant(name: str, packed: Packed) -> bool:
    return name in packed.results or name == packed.path or fnmatch.fnmatchcase(packed.path, name)


def _target(manifest: Manifest, packed: Packed, to: Path | None, archive: Path) -> Path:
    parts = Path(packed.path).parts
    # An archive may come from anywhere: nothing in it may lead out of the tree.
    if not parts or Path(packed.path).is_absolute() or ".." in parts or "\0" in packed.path:
        raise CorruptFileError(
            f"archive {archive} holds {packed.path!r}, which would lead out of the tree; do not trust it"
        )
    return (to or Path(manifest.root)) / packed.path


def _from_archive(archive: Path, targets: dict[str, Path], overwrite: bool) -> Iterator[Restored]:
    with opened(archive) as (_, files):
        for packed, stream in files:
            target = targets.get(packed.path)
            if target is not None:
                yield _put(packed, stream, target, archive, overwrite)


def _put(packed: Packed, stream: IO[bytes], target: Path, archive: Path, overwrite: bool) -> Restored:
    """Write one file durably; nothing stands under its name before all of it is there."""

    def said(outcome: Literal["restored", "there", "refused", "failed"], reason: str | None = None) -> Restored:
        return Restored(str(target), outcome, reason, str(archive), packed.bytes)

    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        there = _digest(target)
        if there == packed.sha256:
            return said("there")
        if there is not None and not overwrite:
            return said("refused", "a file of other bytes is there; --overwrite puts this one in its place")
        make_folder(target.parent)
        with temporary.open("xb") as file:
            digest = hashlib.sha256()
            while block := stream.read(_BLOCK):
                digest.update(block)
                file.write(block)
            if digest.hexdigest() != packed.sha256:
                raise CorruptFileError(f"archive {archive}: {packed.path!r} is not what was packed; check the disk")
            os.fchmod(file.fileno(), packed.mode & 0o777)
            file.flush()
            os.utime(file.fileno(), ns=(packed.mtime_ns, packed.mtime_ns))
            os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, target)
        else:
            name_new(temporary, target)
            temporary.unlink(missing_ok=True)
        sync_folder(target.parent)
        return said("restored")
    except CorruptFileError as exc:
        return said("failed", str(exc))
    except FileExistsError:
        return said("refused", "a file was put there meanwhile")
    except OSError as exc:
        raise StorageError(f"cannot write {target}: {reason(exc)}") from exc
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
