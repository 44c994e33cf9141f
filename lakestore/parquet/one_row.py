"""One value of a Parquet file that has one row, without a Parquet reader: to set one up takes longer than to read.

A file of another form is left to pyarrow; so is what is wrong with one.
"""

from __future__ import annotations

from lakestore.compression import zstd
from lakestore.parquet import thrift
from lakestore.parquet.thrift import Struct

_MAGIC = b"PAR1"
# Places in Parquet's structs, from parquet.thrift.
_ROWS, _GROUPS, _CHUNKS, _META = 3, 4, 1, 3
_TYPE, _PATH, _CODEC, _VALUES, _DATA, _DICTIONARY = 1, 3, 4, 5, 9, 11
_PAGE_TYPE, _PAGE_SIZE, _PAGE_PACKED, _PAGE_DATA, _PAGE_ENCODING = 1, 2, 3, 5, 2
_BYTES, _NONE, _ZSTD, _DATA_PAGE, _PLAIN = 6, 0, 6, 0, 0
_FOOTER = 1 << 10
"""Bytes of a footer up to which it is looked at: the four columns of one row take 240."""
_LENGTH = 4
"""Bytes of a value's length before it."""
_MOST = 1 << 24
"""Bytes of a page that are taken on its word."""


def value_of(data: bytes, name: str) -> bytes | None:
    """The value of a column of bytes or texts; None where there is another number of rows, or a reader has to tell."""
    try:
        end = len(data) - len(_MAGIC) - 4
        size = int.from_bytes(data[end : end + 4], "little")
        if data[end + 4 :] != _MAGIC or size > min(end, _FOOTER):
            return None
        footer, _ = thrift.read(data[end - size : end])
        if footer[_ROWS][1] != 1:
            return None
        (group,) = footer[_GROUPS][1][1]
        chunks: list[Struct] = [chunk[_META][1] for chunk in group[_CHUNKS][1][1]]
        (chunk,) = [chunk for chunk in chunks if chunk[_PATH][1][1] == [name.encode()]]
        page = None if _DICTIONARY in chunk or chunk[_TYPE][1] != _BYTES else _page(data, chunk)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError, zstd.ZstdError):
        return None
    # With levels, for a column that may be null, it would begin otherwise.
    if page is None or int.from_bytes(page[:_LENGTH], "little") != len(page) - _LENGTH:
        return None
    return page[_LENGTH:]


def _page(data: bytes, chunk: Struct) -> bytes | None:
    """The only page of a chunk, decompressed; None where it is of another kind."""
    header, begin = thrift.read(data, chunk[_DATA][1])
    held = header[_PAGE_DATA][1]
    if header[_PAGE_TYPE][1] != _DATA_PAGE or held[1][1] != 1 or held[_PAGE_ENCODING][1] != _PLAIN:
        return None
    body, size = data[begin : begin + header[_PAGE_PACKED][1]], header[_PAGE_SIZE][1]
    if chunk[_CODEC][1] == _ZSTD and 0 <= size <= _MOST:
        body = bytes(zstd.ZstdDecompressor().decompress(body, max_length=size))
    elif chunk[_CODEC][1] != _NONE:
        return None
    return body if len(body) == size else None
