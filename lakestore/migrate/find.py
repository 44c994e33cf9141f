"""Which files there are to migrate: files, folders and globs, in one order, each with what tells it from its like."""

from __future__ import annotations

import fnmatch
import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakestore import layout
from lakestore.catalog.ledger import Seen
from lakestore.compression import packing_of
from lakestore.errors import InvalidInputError, NotFoundError

FORMS = ("json", "jsonl", "fthypt", "zip")
_META = ".meta.json"
"""What freqtrade writes beside each of its results."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or what was met in its place.

    Attributes:
        path: absolute; bytes that are no UTF-8 stand in it as surrogates.
        root: the folder that it was found in, which it must not lead out of.
        named: it was named itself: links to it are followed.
        passed: why it is no result, and is left alone.
        refused: why it cannot be read.
    """

    path: str
    root: str
    seen: Seen
    named: bool = False
    passed: str | None = None
    refused: str | None = None

    @property
    def relative(self) -> str:
        """The path below the root."""
        return os.path.relpath(self.path, self.root)


def form_of(path: str) -> tuple[str, str, str] | None:
    """A file's stem, form and packing by its name (`a.json.gz` → `a`, `json`, `gz`); None where it is no source."""
    name = os.path.basename(path)
    stem, _, last = name.rpartition(".")
    if packing := packing_of(name):
        stem, _, last = stem.rpartition(".")
    form = last.lower()
    return (stem, form, packing) if stem and form in FORMS and not (packing and form == "zip") else None


def find(sources: Sequence[str | os.PathLike[str]], *, pattern: str | None = None) -> Iterator[Found]:
    """Every file that sources mean, each once, those of a folder in order of their paths.

    A source is a file, a folder, or a glob (`**` stands for any folders). In folders, hidden files and folders are
    left out, and so are lakes; a link to a folder is not followed.

    Args:
        pattern: takes only files of folders that it fits: of their names, or where it has a `/`, of their paths below
            the folder.

    Raises:
        NotFoundError: there is no such file or folder.
        InvalidInputError: a file that is named is of no form that can hold results.
    """
    met: set[str] = set()
    for source in sources:
        for path in _expanded(os.fspath(source)):
            for found in _files(path, pattern):
                if found.path not in met:
                    met.add(found.path)
                    yield found


def _expanded(source: str) -> list[str]:
    if os.path.lexists(source):
        return [source]
    if glob.has_magic(source):
        found = sorted(glob.glob(source, recursive=True))
        # A glob like runs/* means what can be read of it, as a shell's would not.
        found = [path for path in found if os.path.isdir(path) or form_of(path)]
        if found:
            return found
        raise NotFoundError(
            f"no file that can hold results fits {source}; give a glob of .json, .jsonl, .fthypt or .zip"
        )
    raise NotFoundError(f"there is no file or folder {source}; give a file, a folder or a glob")


def _files(path: str, pattern: str | None) -> Iterator[Found]:
    if os.path.isdir(path):
        root = os.path.realpath(path)
        yield from _walk(root, root, pattern)
        return
    folder, name = os.path.split(os.path.abspath(path))
    folder = os.path.realpath(folder)
    whole = os.path.join(folder, name)
    if form_of(path) is None:
        forms = ", ".join(f".{form}" for form in FORMS)
        raise InvalidInputError(f"{path} is none of {forms} (.gz and .zst may follow); give the documents themselves")
    try:
        seen = os.stat(whole)
    except OSError as exc:
        yield Found(whole, folder, Seen(0, 0, None), named=True, refused=f"it cannot be read: {exc.strerror}")
        return
    yield Found(whole, folder, seen_of(seen), named=True, refused=_irregular(seen))


def _walk(root: str, folder: str, pattern: str | None) -> Iterator[Found]:
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except OSError as exc:
        yield Found(folder, root, Seen(0, 0, None), refused=f"the folder cannot be listed: {exc.strerror}")
        return
    if any(entry.name == layout.PRIVATE for entry in ordered) and folder != root:
        return
    for entry in ordered:
        if entry.name.startswith(".") or entry.name == layout.PRIVATE:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(root, entry.path, pattern)
        elif _fits(entry, root, pattern):
            yield _of_entry(entry, root)


def _fits(entry: os.DirEntry[str], root: str, pattern: str | None) -> bool:
    if form_of(entry.path) is None:
        return False
    if pattern is None:
        return True
    name = os.path.relpath(entry.path, root) if "/" in pattern else entry.name
    return fnmatch.fnmatchcase(name, pattern)


def _of_entry(entry: os.DirEntry[str], root: str) -> Found:
    try:
        own = entry.stat(follow_symlinks=False)
    except OSError as exc:
        return Found(entry.path, root, Seen(0, 0, None), refused=f"it cannot be read: {exc.strerror}")
    seen = seen_of(own)
    if stat.S_ISLNK(own.st_mode):
        target = os.path.realpath(entry.path)
        if not os.path.exists(target):
            return Found(entry.path, root, seen, refused="a broken symbolic link")
        if not Path(target).is_relative_to(root):
            return Found(entry.path, root, seen, refused=f"a symbolic link out of the tree, to {target}")
        return Found(entry.path, root, seen, passed=f"a symbolic link to {target}, which is in the tree itself")
    if entry.name.endswith(_META):
        return Found(entry.path, root, seen, passed="freqtrade's note beside a result, none itself")
    return Found(entry.path, root, seen, refused=_irregular(own))


def _irregular(found: os.stat_result) -> str | None:
    return None if stat.S_ISREG(found.st_mode) else "not a regular file"


def seen_of(found: os.stat_result) -> Seen:
    """What a stat tells of a file's content."""
    return Seen(found.st_size, found.st_mtime_ns, found.st_ctime_ns)
