"""Documents as the command line meets them: files, compressed files, standard input."""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from lakestore.errors import InvalidInputError, NotFoundError, StorageError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_UNPACK = {".gz": gzip.decompress, ".zst": zstd.decompress}


@contextlib.contextmanager
def document(name: str) -> Iterator[Path | bytes]:
    """One document for `Lake.save`; what was compressed lies unpacked beside nothing else until the block ends.

    Args:
        name: a path to JSON, plain or compressed as `.gz` or `.zst`; `-` is standard input.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it is a directory, or not compressed as its name says.
        StorageError: it cannot be read.
    """
    path = Path(name)
    if name == "-":
        yield sys.stdin.buffer.read()
    elif path.is_dir():
        raise InvalidInputError(f"{name} is a directory; give the files in it, such as {name.rstrip('/')}/*.json")
    elif path.suffix in _UNPACK:
        with tempfile.TemporaryDirectory(prefix="lakestore-") as folder:
            yield _unpack(path, Path(folder))
    else:
        yield path


def _unpack(path: Path, folder: Path) -> Path:
    """The document of a compressed file as a file, which keeps the time that may become the result's."""
    target = folder / path.stem
    try:
        target.write_bytes(_UNPACK[path.suffix](path.read_bytes()))
        seen = path.stat()
        os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    except FileNotFoundError as exc:
        raise NotFoundError(f"there is no file {path}") from exc
    except (gzip.BadGzipFile, EOFError, zlib.error, zstd.ZstdError) as exc:
        raise InvalidInputError(f"{path} cannot be decompressed: {exc}; is it whole?") from exc
    except OSError as exc:
        raise StorageError(f"cannot read {path}: {exc.strerror or exc}") from exc
    return target
