"""Files packed as `.gz` or `.zst`. `zstd` is Python's own, which before 3.14 is the package `backports.zstd`."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from typing import IO, Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["DAMAGED", "packing_of", "read_at_most", "unpacked", "zstd"]

DAMAGED: Final = (EOFError, gzip.BadGzipFile, zlib.error, zstd.ZstdError)
"""What unpacking raises for bytes that are not packed so, or cut off."""

_BLOCK: Final = 1 << 20


def packing_of(name: str) -> str:
    """How a file is packed by its name: `gz`, `zst`, or empty for a plain one."""
    ending = os.path.splitext(name)[1].lower()
    return ending[1:] if ending in (".gz", ".zst") else ""


def unpacked(stream: IO[bytes] | io.RawIOBase, packing: str) -> IO[bytes]:
    """What a stream of packed bytes holds; `packing` as `packing_of` says it, not empty."""
    if packing == "gz":
        return gzip.GzipFile(fileobj=stream)  # type: ignore[return-value]
    return zstd.ZstdFile(stream)  # type: ignore[return-value]


def read_at_most(stream: IO[bytes], limit: int) -> bytes:
    """So many bytes of a stream, fewer where it ends: memory is taken for what is there, not for what there may be."""
    pieces: list[bytes] = []
    while limit and (piece := stream.read(min(limit, _BLOCK))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)
