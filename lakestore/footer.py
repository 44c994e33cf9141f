"""A Parquet file trimmed: chunks of the same bytes kept once, and a footer without what nobody reads.

Columns that repeat another (a time as text and as epoch, a stop loss that never moved, constants) become chunks of the
same bytes. One is kept, and the footer points to it from each column: every reader sees all of them. What the writer
says of each chunk beside that (how its pages are encoded, how long its values are) takes a third of a footer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from lakestore import thrift
from lakestore.thrift import Struct

_MAGIC = b"PAR1"
# Places in Parquet's structs, from parquet.thrift.
_SCHEMA, _ROW_GROUPS, _CREATED_BY = 2, 4, 6
_REPETITION, _CHILDREN = 3, 5
_CHUNKS, _GROUP_OFFSET, _GROUP_COMPRESSED = 1, 5, 6
_META = 3
_TYPE, _CODEC, _VALUES, _COMPRESSED, _DATA, _INDEX, _DICTIONARY = 1, 4, 5, 7, 9, 10, 11
_ENCODING_STATS, _SIZE_STATISTICS = 13, 16


def trimmed(data: pa.Buffer) -> pa.Buffer:
    """The same Parquet file in fewer bytes; what a reader gets from it does not change.

    Args:
        data: a file as pyarrow writes it, without page indexes and Bloom filters.
    """
    source = memoryview(data)
    size = int.from_bytes(source[-8:-4], "little")
    footer, _ = thrift.read(bytes(source[-8 - size : -8]))
    root, *below = footer[_SCHEMA][1][1]
    levels = list(_levels(iter(below), root[_CHILDREN][1]))
    pieces: list[Any] = [_MAGIC]
    end = len(_MAGIC)
    for group in footer[_ROW_GROUPS][1][1]:
        begin = end
        known: dict[Any, int] = {}
        for level, chunk in zip(levels, group[_CHUNKS][1][1], strict=True):
            meta: Struct = chunk[_META][1]
            start = meta[_DICTIONARY][1] if _DICTIONARY in meta else meta[_DATA][1]
            pages = source[start : start + meta[_COMPRESSED][1]]
            # Bytes mean the same only with the same type, codec and levels.
            key = (meta[_TYPE][1], meta[_CODEC][1], meta[_VALUES][1], level, bytes(pages))
            place = known.setdefault(key, end)
            if place == end:
                pieces.append(pages)
                end += len(pages)
            for offset in (_DATA, _INDEX, _DICTIONARY):
                if offset in meta:
                    kind, old = meta[offset]
                    meta[offset] = kind, old - start + place
            for field in (_ENCODING_STATS, _SIZE_STATISTICS):
                meta.pop(field, None)
        for field, value in ((_GROUP_OFFSET, begin), (_GROUP_COMPRESSED, end - begin)):
            if field in group:
                group[field] = group[field][0], value
    footer.pop(_CREATED_BY, None)
    written = thrift.write(footer)
    return pa.py_buffer(b"".join([*pieces, written, len(written).to_bytes(4, "little"), _MAGIC]))


def _levels(elements: Iterator[Struct], children: int, above: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """The repetition of each leaf and of all that it lies in, leaves in their order."""
    for _ in range(children):
        element = next(elements)
        own = (*above, element[_REPETITION][1])
        if _CHILDREN in element:
            yield from _levels(elements, element[_CHILDREN][1], own)
        else:
            yield own
