"""A checksum of a Parquet file's footer, in the file: DuckDB verifies none, and a footer says where everything is."""

from __future__ import annotations

import os
import zlib

import pyarrow as pa

SEAL = b"LKS1"
"""Stands with a CRC-32 of the footer (4 bytes, little endian) before the footer of each data file."""
_SEALED = len(SEAL) + 4
_ENDING = 8
"""Bytes of a Parquet file after its footer: the footer's length, and `PAR1`."""
_TAIL = 16 << 10
"""Bytes read from a file's end at once: most footers."""


def sealed(data: pa.Buffer) -> pa.Buffer:
    """A file with a checksum of its footer before the footer, where readers, which come from the end, do not look."""
    start = _footer_start(memoryview(data), len(data))
    footer = data.slice(start)
    sink = pa.BufferOutputStream()
    sink.write(data.slice(0, start))
    sink.write(SEAL + zlib.crc32(footer).to_bytes(4, "little"))
    sink.write(footer)
    return sink.getvalue()


def _footer_start(tail: memoryview, size: int) -> int:
    """Where the footer begins in a file of `size` bytes that ends with `tail`."""
    return size - _ENDING - int.from_bytes(tail[-_ENDING:-4], "little")


def is_intact(path: str, size: int) -> bool:
    """Whether a data file has the size and the footer with which it was written; its pages are not looked at.

    Raises:
        OSError: it is missing, or cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size != size:
            return False
        tail = memoryview(os.pread(fd, _TAIL, max(0, size - _TAIL)))
        start = _footer_start(tail, size)
        if size - start + _SEALED > len(tail) and start >= _SEALED:
            tail = memoryview(os.pread(fd, size - start + _SEALED, start - _SEALED))
    finally:
        os.close(fd)
    place = len(tail) - (size - start)
    if place < _SEALED or tail[place - _SEALED : place - 4] != SEAL:
        # Not a file of lakestore's, or no footer where it should be: the reader will tell.
        return True
    return zlib.crc32(tail[place:]) == int.from_bytes(tail[place - 4 : place], "little")
