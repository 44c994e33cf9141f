"""A Parquet file trimmed: chunks of the same bytes kept once, and a footer and pages without what nobody reads.

Columns that repeat another (a time as text and as epoch, a stop loss that never moved, constants) become chunks of the
same bytes. One is kept, and the footer points to it from each column: every reader sees all of them. What the writer
says of each chunk beside that (how its pages are encoded, how long its values are, what its type is called twice) takes
half of a footer.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from lakestore.parquet import thrift, varint
from lakestore.parquet.thrift import Struct

Pages = Callable[[int, int, int, bytes], tuple[bytes, int] | None]
"""A data page in another form of its encoding, compressed, and its bytes before that, given the encoding, how many
values of its row group lie before it, how many it has, and its levels. None: it stays as it is."""
Repacked = Callable[[int, int], Pages]
"""The pages of a row group, given its first row and its rows."""

_MAGIC = b"PAR1"
_ZSTD = b"\x28\xb5\x2f\xfd"
_SIZES = {0x60: (2, 256), 0xA0: (4, 0)}
"""By a frame's descriptor, the bytes of its size, and what the size lies above; a smaller one takes a byte."""
_LEAST_WINDOW, _GREATEST_WINDOW = 10, 26
# Places in Parquet's structs, from parquet.thrift.
_SCHEMA, _ROW_GROUPS, _CREATED_BY, _COLUMN_ORDERS = 2, 4, 6, 7
_REPETITION, _NAME, _CHILDREN, _CONVERTED, _LOGICAL = 3, 4, 5, 6, 10
_CHUNKS, _GROUP_BYTES, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_COMPRESSED = 1, 2, 3, 5, 6
_META = 3
_TYPE, _ENCODINGS, _PATH, _CODEC, _VALUES, _UNCOMPRESSED, _COMPRESSED = 1, 2, 3, 4, 5, 6, 7
_DATA, _INDEX, _DICTIONARY, _STATISTICS, _ENCODING_STATS, _SIZE_STATISTICS = 9, 10, 11, 12, 13, 16
_PAGE_SIZE, _PAGE_PACKED, _PAGE_CRC, _PAGE_DATA, _PAGE_DICTIONARY = 2, 3, 4, 5, 7
_DATA_ENCODING, _DATA_STATISTICS, _DICTIONARY_SORTED = 2, 5, 3
_REQUIRED, _REPEATED, _BOOLEAN, _LEVELS = 0, 2, 0, 3
OF_DELTA = 5
"""The number of DELTA_BINARY_PACKED in a page's header."""
_LOGICAL_STRING, _LOGICAL_DECIMAL, _LOGICAL_TIMESTAMP = 1, 5, 8


def trimmed(
    data: pa.Buffer,
    *,
    statistics: bool = True,
    repacked: Mapping[str, Repacked] | None = None,
) -> pa.Buffer:
    """The same Parquet file in fewer bytes; what a reader gets from it does not change.

    Args:
        data: a file as pyarrow writes it with zstd and pages of version 1, without page indexes and Bloom filters.
        statistics: whether to keep the statistics of chunks.
        repacked: columns, by path, whose pages are to be written in another form.
    """
    source = memoryview(data).cast("B")
    size = int.from_bytes(source[-8:-4], "little")
    footer, _ = thrift.read(bytes(source[-8 - size : -8]))
    root, *below = footer[_SCHEMA][1][1]
    # The root has no repetition, and its name says nothing.
    root.pop(_REPETITION, None)
    root[_NAME] = thrift.BINARY, b"m"
    repetitions = list(_repetitions(iter(below), root[_CHILDREN][1]))
    for element in below:
        # Two names of one type; the older one is known to every reader, but says of times that they are UTC.
        if _CONVERTED in element:
            logical = element.get(_LOGICAL, (0, {}))[1].keys()
            if logical & {_LOGICAL_STRING, _LOGICAL_DECIMAL}:
                del element[_LOGICAL]
            elif _LOGICAL_TIMESTAMP in logical:
                del element[_CONVERTED]
    codec = pa.Codec("zstd")
    pieces: list[Any] = [_MAGIC]
    end = len(_MAGIC)
    first_row = 0
    for group in footer[_ROW_GROUPS][1][1]:
        known: dict[Any, list[tuple[bytes, int]]] = {}
        for own, chunk in zip(repetitions, group[_CHUNKS][1][1], strict=True):
            meta: Struct = chunk[_META][1]
            path = b".".join(meta[_PATH][1][1]).decode("utf-8", "replace")
            again = (repacked or {}).get(path)
            other = None if again is None else again(first_row, group[_GROUP_ROWS][1])
            pages, head = _pages(source, meta, other, codec, (_REPEATED in own) + (set(own) != {_REQUIRED}))
            # Bytes mean the same only with the same type, codec and levels.
            key = (meta[_TYPE][1], meta[_CODEC][1], meta[_VALUES][1], own, len(pages))
            alike = known.setdefault(key, [])
            place = next((place for other, place in alike if other == pages), end)
            if place == end:
                alike.append((pages, place))
                pieces.append(pages)
                end += len(pages)
            if _DICTIONARY in meta:
                meta[_DICTIONARY] = thrift.I64, place
            meta[_DATA] = thrift.I64, place + head
            if set(own) == {_REQUIRED} and meta[_TYPE][1] != _BOOLEAN:
                kind, encodings = meta[_ENCODINGS][1]
                meta[_ENCODINGS] = thrift.LIST, (kind, [each for each in encodings if each != _LEVELS])
            for field in (_INDEX, _ENCODING_STATS, _SIZE_STATISTICS, *(() if statistics else (_STATISTICS,))):
                meta.pop(field, None)
        total = sum(chunk[_META][1][_UNCOMPRESSED][1] for chunk in group[_CHUNKS][1][1])
        group[_GROUP_BYTES] = thrift.I64, total
        for field in (_GROUP_OFFSET, _GROUP_COMPRESSED):
            # Both follow from the chunks.
            group.pop(field, None)
        first_row += group[_GROUP_ROWS][1]
    footer.pop(_CREATED_BY, None)
    if not statistics:
        # It says how statistics are ordered.
        footer.pop(_COLUMN_ORDERS, None)
    written = thrift.write(footer)
    return pa.py_buffer(b"".join([*pieces, written, len(written).to_bytes(4, "little"), _MAGIC]))


def _pages(source: memoryview, meta: Struct, again: Pages | None, codec: pa.Codec, levels: int) -> tuple[bytes, int]:
    """The pages of a chunk and the bytes of the one with its dictionary; sizes and codec in `meta` follow.

    Args:
        levels: of how many kinds a page has levels.
    """
    at = meta[_DICTIONARY][1] if _DICTIONARY in meta else meta[_DATA][1]
    stop = at + meta[_COMPRESSED][1]
    pages: list[tuple[Struct, Any]] = []
    first = 0
    while at < stop:
        header, at = thrift.read(source, at)
        body: Any = source[at : at + header[_PAGE_PACKED][1]]
        at += len(body)
        if _PAGE_DATA in header:
            details = header[_PAGE_DATA][1]
            details.pop(_DATA_STATISTICS, None)
            kind, count, other = details[_DATA_ENCODING][1], details[1][1], None
            if again is not None and not levels:
                other = again(kind, first, count, b"")
            elif again is not None and kind == OF_DELTA and header[_PAGE_SIZE][1]:
                told, count = _told(codec.decompress(body, header[_PAGE_SIZE][1], asbytes=True), levels)
                other = again(kind, first, count, told)
            first += count
            # What suited the file before may not suit this one.
            if other is not None and len(other[0]) < len(body):
                body, length = other
                header[_PAGE_SIZE] = thrift.I32, length
        else:
            header[_PAGE_DICTIONARY][1].pop(_DICTIONARY_SORTED, None)
        pages.append((header, body))
    if sum(len(body) - header[_PAGE_SIZE][1] for header, body in pages) >= 0:
        # zstd gained nothing here.
        pages = [(header, codec.decompress(body, header[_PAGE_SIZE][1], asbytes=True)) for header, body in pages]
        meta[_CODEC] = thrift.I32, 0
    else:
        pages = [(header, _without_size(body)) for header, body in pages]
    out: list[Any] = []
    head = uncompressed = 0
    for header, body in pages:
        header[_PAGE_PACKED] = thrift.I32, len(body)
        if _PAGE_CRC in header:
            crc = zlib.crc32(body)
            header[_PAGE_CRC] = thrift.I32, crc - (crc >> 31 << 32)
        opening = thrift.write(header)
        uncompressed += len(opening) + header[_PAGE_SIZE][1]
        out += [opening, body]
        if _PAGE_DATA not in header:
            head = len(opening) + len(body)
    whole = b"".join(out)
    meta[_UNCOMPRESSED] = thrift.I64, uncompressed
    meta[_COMPRESSED] = thrift.I64, len(whole)
    return whole, head


def _told(page: bytes, levels: int) -> tuple[bytes, int]:
    """The levels of a page of DELTA_BINARY_PACKED, and how many values it has: there is none of what is null."""
    at = 0
    for _ in range(levels):
        at += 4 + int.from_bytes(page[at : at + 4], "little")
    end = at
    # Values of a block and its parts come before.
    for _ in range(3):
        count, at = varint.read(page, at)
    return page[:end], count


def _without_size(frame: Any) -> Any:
    """A zstd frame that leaves the size of its content to the page's header."""
    told = _SIZES.get(frame[4]) if frame[:4] == _ZSTD else None
    if told is None:
        return frame
    bytes_, least = told
    size = int.from_bytes(frame[5 : 5 + bytes_], "little") + least
    # The window holds all of the content, as it did.
    log = max(_LEAST_WINDOW, (size - 1).bit_length())
    if log > _GREATEST_WINDOW:
        return frame
    return b"".join([_ZSTD, bytes([0, log - _LEAST_WINDOW << 3]), frame[5 + bytes_ :]])


def _repetitions(elements: Iterator[Struct], children: int, above: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """The repetition of each leaf and of all that it lies in, leaves in their order."""
    for _ in range(children):
        element = next(elements)
        own = (*above, element[_REPETITION][1])
        if _CHILDREN in element:
            yield from _repetitions(elements, element[_CHILDREN][1], own)
        else:
            yield own
