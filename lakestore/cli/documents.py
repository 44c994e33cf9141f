"""Documents as the command line meets them: files, compressed files, standard input."""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lakestore.compression import zstd
from lakestore.errors import InvalidInputError, NotFoundError, StorageError

_OPEN: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".zst": zstd.open}
_BLOCK = 1 << 20


@contextlib.contextmanager
def document(name: str, limit: int) -> Iterator[Path | bytes]:
    """One document for `Lake.save`; what was compressed lies unpacked beside nothing else until the block ends.

    Args:
        name: a path to JSON, plain or compressed as `.gz` or `.zst`; `-` is standard input.
        limit: bytes of JSON that it may take; not many more are unpacked.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it is a directory, not compressed as its name says, or unpacked it is longer.
        StorageError: it cannot be read.
    """
    path = Path(name)
    if name == "-":
        yield sys.stdin.buffer.read(limit + 1)
    elif path.is_dir():
        raise InvalidInputError(f"{name} is a directory; give the files in it, such as {name.rstrip('/')}/*.json")
    elif path.suffix in _OPEN:
        with tempfile.TemporaryDirectory(prefix="lakestore-") as folder:
            yield _unpack(path, Path(folder), limit)
    else:
        yield path


def _unpack(path: Path, folder: Path, limit: int) -> Path:
    """The document of a compressed file as a file, which keeps the time that may become the result's."""
    target = folder / path.stem
    try:
        with _OPEN[path.suffix](path) as stream, target.open("wb") as unpacked:
            while block := stream.read(_BLOCK):
                unpacked.write(block)
                if unpacked.tell() > limit:
                    raise InvalidInputError(
                        f"{path} holds more than {limit:,} bytes of JSON, which are taken at most; "
                        "LAKESTORE_MAX_DOCUMENT raises the limit"
                    )
        seen = path.stat()
        os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    except FileNotFoundError as exc:
        raise NotFoundError(f"there is no file {path}") from exc
    except (gzip.BadGzipFile, EOFError, zlib.error, zstd.ZstdError) as exc:
        raise InvalidInputError(f"{path} cannot be decompressed: {exc}; is it whole?") from exc
    except OSError as exc:
        raise StorageError(f"cannot read {path}: {exc.strerror or exc}") from exc
    return target
