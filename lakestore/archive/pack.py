"""Put old JSON away: prove each file equal in the lake, pack, check, and only then remove it from the tree."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from lakestore import home, layout
from lakestore.archive.prove import NOT_THERE, UNKNOWN, Proof, Unproved, prove
from lakestore.archive.tarball import (
    SUFFIX,
    ChangedError,
    Manifest,
    Writer,
    archives,
    check,
    manifest_of,
    remove_leftovers,
)
from lakestore.catalog.ledger import Known
from lakestore.errors import ConflictError, InvalidInputError, StorageError, reason
from lakestore.files import make_folder, sync_folder
from lakestore.lake import Lake
from lakestore.migrate import Found, Options, Reader, find, form_of
from lakestore.storage.journal import HIDDEN, Journal

Outcome = Literal["archived", "would archive", "kept"]
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """What became of one file: `archived` into which archive, or `kept` for which reason."""

    path: str
    outcome: Outcome
    reason: str | None = None
    archive: str | None = None
    bytes: int = 0


def archive(
    lake: Lake,
    source: str | os.PathLike[str],
    to: str | os.PathLike[str],
    options: Options | None = None,
    *,
    dry_run: bool = False,
    keep: bool = False,
    now: Callable[[], datetime] | None = None,
) -> Iterator[ArchiveEntry]:
    """Pack the files of a tree that the lake holds, one archive for each strategy and month, and remove them.

    A file is removed only after each of its documents was read from the lake and found equal, the archive with it was
    made durable, read back, and every hash in it compared. Killed at any moment and called again, it goes on.

    Args:
        lake: an open lake.
        source: the tree's root.
        to: where the archives go, as `<strategy>/<YYYY-MM>.tar.zst`.
        options: how the files became results, where the ledger of `migrate` does not know them.
        dry_run: prove, and write nothing.
        keep: pack, and remove nothing.
        now: the clock; an archive says when it was made.

    Returns:
        The entries, as the work gets on; it ends with the iterator.

    Raises:
        InvalidInputError: the source is no folder, or the archives would lie in it.
        ConflictError: another process archives to the same place.
        StorageError, CatalogError: a disk or the catalog refuses. What was removed until then is in an archive.
    """
    root = Path(source).resolve()
    target = Path(to).resolve()
    if not root.is_dir():
        raise InvalidInputError(f"{source} is not a folder: give the tree whose files are to be put away")
    if target == root or target.is_relative_to(root):
        raise InvalidInputError(f"the archives must not lie in the tree itself: give a folder outside of {root}")
    tree = next((folder for folder in (root, *root.parents) if (folder / HIDDEN).is_dir()), None)
    journal = None if tree is None else Journal(tree, None)
    clock = now or (lambda: datetime.now(UTC))
    return _Run(lake, root, target, options or Options(), dry_run, keep, clock, journal).run()


@dataclass(frozen=True, slots=True)
class _Run:
    lake: Lake
    root: Path
    target: Path
    options: Options
    dry_run: bool
    keep: bool
    now: Callable[[], datetime]
    journal: Journal | None

    def run(self) -> Iterator[ArchiveEntry]:
        if self.dry_run:
            yield from self._all()
            return
        with _locked(self.target):
            # The lock says that no other run is at work.
            remove_leftovers(self.target)
            yield from self._all()

    def _all(self) -> Iterator[ArchiveEntry]:
        groups: dict[tuple[str, str], list[tuple[Found, Known | None]]] = {}
        files = list(find([self.root]))
        known = self.lake.parts().catalog.ledger(0).known([found.path for found in files])
        for found in files:
            if found.refused or found.passed:
                yield ArchiveEntry(found.path, "kept", found.refused or found.passed)
                continue
            try:
                # Only where it belongs; the proof comes right before it is packed.
                group = self._group(found, known.get(found.path))
            except Unproved as exc:
                yield ArchiveEntry(found.path, "kept", str(exc))
                continue
            groups.setdefault(group, []).append((found, known.get(found.path)))
        for (strategy, month), those in sorted(groups.items()):
            try:
                yield from self._pack(strategy, month, those)
            except OSError as exc:
                what = f"cannot put away {strategy!r}, {month}, in {self.target}: {reason(exc)}"
                raise StorageError(f"{what}; no file was removed that is in no archive") from exc

    def _group(self, found: Found, known: Known | None) -> tuple[str, str]:
        """Strategy and month of a file, from what the catalog says of its first result."""
        task_id = next(iter(known.results), None) if known is not None else None
        if task_id is None:
            task_id = self.options.id_of(found, _first_member(found, self.options.max_size))
        if task_id is None:
            raise Unproved(UNKNOWN)
        info = self.lake.parts().catalog.get(task_id)
        if info is None:
            raise Unproved(NOT_THERE.format(task_id))
        return info.strategy, f"{info.created_at:%Y-%m}"

    def _pack(self, strategy: str, month: str, files: Sequence[tuple[Found, Known | None]]) -> Iterator[ArchiveEntry]:
        """Put the files of one archive away; one that is changed meanwhile stays, and the others are packed anew."""
        folder = self.target / layout.encode(strategy)
        name = f"{month}{SUFFIX}"
        put = self._put_away(folder, month)
        packed: list[tuple[Found, os.stat_result]] = []
        told: set[str] = set()
        with contextlib.ExitStack() as stack:
            writer: Writer | None = None
            for found, known in files:
                try:
                    proof = prove(self.lake, found, known, self.options)
                    self._check_journal(proof)
                    before = put.get((found.relative, proof.sha256.hex()))
                    if before is not None:
                        # Packed by a run that was stopped before it removed the file, or that kept it.
                        entry = self._remove(found, os.lstat(found.path), before)
                    elif self.dry_run:
                        entry = ArchiveEntry(found.path, "would archive", None, str(folder / name), proof.seen.size)
                    else:
                        if writer is None:
                            _make_folder(folder)
                            writer = Writer(_free(folder, month))
                            stack.callback(writer.abandon)
                        packed.append((found, _add(writer, found, proof)))
                        continue
                except (Unproved, FileNotFoundError) as exc:
                    entry = ArchiveEntry(found.path, "kept", str(exc) if isinstance(exc, Unproved) else "it is gone")
                except ChangedError:
                    yield ArchiveEntry(found.path, "kept", "it was changed while it was packed")
                    rest = [each for each in files if each[0].path not in told | {found.path}]
                    stack.close()
                    yield from self._pack(strategy, month, rest)
                    return
                told.add(found.path)
                yield entry
            if writer is not None:
                writer.finish(self._manifest(strategy, month, writer))
                for found, stat in packed:
                    yield self._remove(found, stat, writer.target)
                for parent in {os.path.dirname(found.path) for found, _ in packed}:
                    sync_folder(Path(parent))

    def _check_journal(self, proof: Proof) -> None:
        """Refuse what the lake is yet to take from the tree: without its file, that would be read as a delete."""
        if self.journal is None:
            return
        for task_id in proof.results:
            entry = self.journal.get(task_id)
            if entry is not None and entry.wrong == "lake":
                raise Unproved(f"result {task_id!r} is to be mended in the lake first: 'lakestore migrate' of the tree")

    def _manifest(self, strategy: str, month: str, writer: Writer) -> Manifest:
        own = home.find(self.lake.root)
        made_at = self.now().astimezone(UTC).isoformat()
        return Manifest(strategy, month, str(self.root), made_at, str(own.lake_id) if own else "", tuple(writer.files))

    def _put_away(self, folder: Path, month: str) -> dict[tuple[str, str], Path]:
        """What is in an archive already, from this tree, in archives that were read to their end just now."""
        found: dict[tuple[str, str], Path] = {}
        for path in archives(folder) if folder.is_dir() else ():
            if path.name.startswith(f"{month}.") and manifest_of(path).root == str(self.root):
                found |= {(packed.path, packed.sha256): path for packed in check(path).files}
        return found

    def _remove(self, found: Found, stat: os.stat_result, archive: Path) -> ArchiveEntry:
        """Remove a file that is in an archive, if it is still the one that was packed."""
        if self.dry_run or self.keep:
            return ArchiveEntry(found.path, "archived", "kept in the tree too", str(archive), stat.st_size)
        try:
            if _same(os.lstat(found.path), stat):
                os.unlink(found.path)
            else:
                return ArchiveEntry(found.path, "kept", "it was changed after it was packed", str(archive))
        except FileNotFoundError:
            pass
        except OSError as exc:
            return ArchiveEntry(found.path, "kept", f"it cannot be removed: {reason(exc)}", str(archive))
        return ArchiveEntry(found.path, "archived", None, str(archive), stat.st_size)


def _first_member(found: Found, limit: int) -> str | None:
    """What names the first document of a file; a file that can hold one only is not read."""
    form = form_of(found.path)
    if form is not None and form[1] == "json":
        return None
    reader = Reader(found, limit=limit)
    with contextlib.closing(reader.documents()) as documents:
        first = next(documents, None)
    if first is None:
        raise Unproved(reader.problem or "there is no document in it")
    return first.member


def _add(writer: Writer, found: Found, proof: Proof) -> os.stat_result:
    try:
        fd = os.open(found.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as exc:
        raise ChangedError from exc
    with open(fd, "rb") as source:
        before = os.fstat(fd)
        packed = writer.add(found.relative, source, before, proof.results)
        if packed.sha256 != proof.sha256.hex() or not _same(os.fstat(fd), before):
            raise ChangedError
    return before


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
    )


def _free(folder: Path, month: str) -> Path:
    """A name that no archive has: `2024-05.tar.zst`, then `2024-05.2.tar.zst`."""
    number = 1
    while (path := folder / f"{month}{f'.{number}' if number > 1 else ''}{SUFFIX}").exists():
        number += 1
    return path


def _make_folder(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as exc:
        raise StorageError(f"cannot make {folder}: {reason(exc)}") from exc


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    _make_folder(target)
    try:
        fd = os.open(target / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as exc:
        raise StorageError(f"cannot write to {target}: {reason(exc)}") from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise ConflictError(f"another process archives to {target}; wait for its end") from exc
    else:
        yield
    finally:
        os.close(fd)
