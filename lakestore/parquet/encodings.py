"""The encoding of each Parquet column, chosen by trial.

Estimates from widths and entropies were tried first and missed what repeats: here pages are really made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lakestore.parquet import varint
from lakestore.parquet.delta import packed
from lakestore.parquet.footer import OF_DELTA, Pages

SAMPLE = 2_048
"""Values that an encoding is chosen by, unless more are asked for."""
_TRIAL = 8
"""Values from which encodings are tried at all."""
DICTIONARY = "DICTIONARY"
DELTA_BYTES = "DELTA_BYTES"
"""DELTA_BINARY_PACKED with differences in whole bytes, which pyarrow does not write (`delta`)."""
DELTA_BITS = "DELTA_BITS"
"""DELTA_BINARY_PACKED with blocks of another size than pyarrow's."""
DICTIONARY_BYTES = "DICTIONARY_BYTES"
"""A dictionary with places in whole bytes, of which zstd takes what they really tell."""
_DELTA = "DELTA_BINARY_PACKED"
WRITTEN = {DELTA_BYTES: _DELTA, DELTA_BITS: _DELTA, DICTIONARY_BYTES: DICTIONARY}
"""What pyarrow writes for what it does not know; `footer` puts the pages in."""
_THOROUGH = (DICTIONARY, _DELTA, *WRITTEN, "PLAIN", "BYTE_STREAM_SPLIT")
DELTAS = (DELTA_BYTES, DELTA_BITS)
"""Those of nested columns and of columns with nulls too: such a page itself says how many values it has."""
_OF_DICTIONARY = 8
"""The number of the encoding in a page's header."""
_LENIENT = 64
"""Bytes that the dictionary of a long column of texts may take more: DuckDB groups by it several times as fast."""
_LEAST, _WORTH = 256, 16
"""Values from which other blocks of differences are tried, below a sample's, and the bytes that they must take off:
such a page takes twice the time of pyarrow's."""
_QUICK = 3
"""The level of zstd for trials, and for pages that a search gains nothing on."""
MOST = 19
"""The level for what is to last for years."""
_SMALL, _TINY = 16_384, 640
"""Rows up to which a file is compressed more thoroughly."""
_FEW, _MIDDLE = 4_096, 6
"""Rows beyond which differences in whole bytes are searched at this level of zstd: a thorough search takes 1.7 kB off
10,000 times, 1 % of a typical file, but eight times as long, a tenth of a save."""
_GAIN = 1.015
"""Times the bytes of a thorough search that pages take without, from which the search is worth its time."""
_PAGE = 20
"""Bytes of a page beside its values."""


def numbers_of(array: pa.Array) -> Any:
    """The numbers under an array as int64 of shape (n,): scaled integers, days, ticks; undefined under nulls."""
    n, data = len(array), array.buffers()[1]
    if pa.types.is_decimal(array.type):
        return np.frombuffer(data, np.int64)[2 * array.offset : 2 * (array.offset + n) : 2]
    return np.frombuffer(data, f"i{array.type.bit_width // 8}")[array.offset : array.offset + n].astype(np.int64)


def leaves(path: str, array: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """The leaf columns of an array with their paths in Parquet, null where what they lie in is."""
    if pa.types.is_struct(array.type):
        for item, member in zip(array.type, array.flatten(), strict=True):
            yield from leaves(f"{path}.{item.name}", member)
    elif pa.types.is_list(array.type):
        yield from leaves(f"{path}.list.{array.type.value_field.name}", array.flatten())
    else:
        yield path, array


@dataclass(frozen=True, slots=True)
class Choice:
    """The encoding of each leaf, and the bytes that the pages of a sample take in them.

    `levels` are those of zstd; without them each page is searched thoroughly.
    """

    encodings: Mapping[str, str]
    size: int
    levels: Mapping[str, int] | None = None


def choose(columns: Sequence[tuple[pa.Field, pa.Array]], sample: int = SAMPLE) -> Choice:
    """The encoding of each leaf that makes the smallest pages of a sample; a dictionary is one of them.

    All are tried in small files, a column for each leaf and encoding: what Parquet and zstd really make of the values.

    Args:
        sample: values of each leaf that are tried; a dictionary pays off only where values are many.
    """
    chosen: dict[str, str] = {}
    trials: dict[int, list[tuple[str, str, pa.Array]]] = {}
    found = [leaf for item, array in columns for leaf in leaves(item.name, array)]
    shared = Counter(path for path, _ in found)
    flat = {item.name for item, _ in columns}
    for path, leaf in found:
        # A key `a.b` and a key `b` inside `a` have one path for the writer: PLAIN suits every type.
        among = _candidates(leaf.type) if shared[path] == 1 else ("PLAIN",)
        chosen[path] = among[0]
        if len(among) > 1 and len(leaf) >= _TRIAL:
            taken = _sample(leaf, sample)
            trials.setdefault(len(taken), []).extend((path, encoding, taken) for encoding in among)
    best: dict[str, int] = {}
    dictionaries: dict[str, int] = {}
    for trial in trials.values():
        for (path, encoding, taken), (size, dictionary) in zip(trial, _sizes(trial), strict=True):
            lenient = encoding == DICTIONARY and pa.types.is_string(taken.type) and len(taken) >= SAMPLE
            if encoding == DICTIONARY:
                dictionaries[path] = dictionary
            if path not in best or size - _LENIENT * lenient < best[path]:
                best[path], chosen[path] = size, encoding
    for path, taken in {path: taken for trial in trials.values() for path, _, taken in trial}.items():
        for kind in WRITTEN if path in flat else DELTAS:
            page = _page(taken, kind) if kind != DELTA_BITS or _LEAST <= len(taken) < SAMPLE else None
            if page is not None:
                size = (
                    _zstd(_QUICK).compress(page).size + _PAGE + dictionaries.get(path, 0) * (kind == DICTIONARY_BYTES)
                )
                if size + _WORTH * (kind == DELTA_BITS) < best[path]:
                    best[path], chosen[path] = size, kind
    return Choice(chosen, sum(best.values()))


def pages(array: pa.Array, encoding: str, level: int) -> Pages:
    """The pages of a row group's leaf in whole bytes; that of all its values, mostly the only one, is packed now.

    It is searched by zstd where it is asked for first.

    Args:
        level: of zstd.
    """
    if encoding not in WRITTEN or (array.null_count and encoding not in DELTAS):
        return lambda used, first, count, levels: None
    dense = array.drop_null() if array.null_count else array
    values = cache(_values(dense, encoding))
    own = _OF_DICTIONARY if encoding == DICTIONARY_BYTES else OF_DELTA

    @cache
    def page_of(first: int, count: int, levels: bytes) -> tuple[bytes, int] | None:
        page = values(first, count)
        return None if page is None else (_zstd(level).compress(levels + page, asbytes=True), len(levels + page))

    values(0, len(dense))

    def made(used: int, first: int, count: int, levels: bytes) -> tuple[bytes, int] | None:
        page = page_of(first, count, levels)
        return page if used == own else None

    return made


def _page(array: pa.Array, encoding: str) -> bytes | None:
    """All values of a leaf as one page in whole bytes; None where it has no such form."""
    if not array.null_count:
        return _values(array, encoding)(0, len(array))
    page = _values(array.drop_null(), encoding)(0, len(array) - array.null_count) if encoding in DELTAS else None
    # Levels say which there are.
    return None if page is None else np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes() + page


def _values(array: pa.Array, encoding: str) -> Callable[[int, int], bytes | None]:
    """The values of a page in whole bytes, given its first row and its rows."""
    kind = array.type
    if encoding in (DELTA_BYTES, DELTA_BITS) and _is_whole(kind):
        narrow = kind.precision <= 9 if pa.types.is_decimal(kind) else kind.bit_width == 32
        numbers, bits = numbers_of(array), 32 if narrow else 64
        return lambda first, rows: packed(numbers[first : first + rows], bits, whole=encoding == DELTA_BYTES)
    if encoding == DICTIONARY_BYTES and (_is_whole(kind) or pa.types.is_string(kind)):
        codes = array.dictionary_encode().indices.to_numpy()
        if len(codes) and codes.max() < 256:
            places = codes.astype(np.uint8)
            # pyarrow's writer numbers values as they come, too.
            return lambda first, rows: _placed(places[first : first + rows])
    return lambda first, rows: None


def _zstd(level: int) -> pa.Codec:
    return pa.Codec("zstd", compression_level=level)


def _is_whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_temporal(kind))


def _placed(places: npt.NDArray[np.uint8]) -> bytes:
    """Places in a dictionary as one run of 8 bits each."""
    groups = -(-len(places) // 8)
    out = bytearray([8])
    varint.write(groups << 1 | 1, out)
    return bytes(out) + places.tobytes() + bytes(8 * groups - len(places))


def _sizes(trial: Sequence[tuple[str, str, pa.Array]]) -> list[tuple[int, int]]:
    """Bytes that each array takes in its encoding, and how many of them its dictionary takes."""
    names = [str(place) for place in range(len(trial))]
    encodings = {name: encoding for name, (_, encoding, _) in zip(names, trial, strict=True)}
    fields = [pa.field(name, item.type, item.null_count > 0) for name, (_, _, item) in zip(names, trial, strict=True)]
    table = pa.Table.from_arrays([array for _, _, array in trial], schema=pa.schema(fields))
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, **options_of(encodings, dict.fromkeys(encodings, _QUICK))) as writer:
        writer.write_table(table)
    group = pq.read_metadata(pa.BufferReader(sink.getvalue())).row_group(0)
    chunks = [group.column(place) for place in range(len(trial))]
    dictionaries = [
        chunk.data_page_offset - chunk.dictionary_page_offset if chunk.has_dictionary_page else 0 for chunk in chunks
    ]
    return [(chunk.total_compressed_size, held) for chunk, held in zip(chunks, dictionaries, strict=True)]


def with_levels(choice: Choice, table: pa.Table) -> Choice:
    """The choice for tables like this one: a thorough search of zstd only in the leaves where it takes bytes off.

    It takes off 13 % of times and nothing of most numbers, in three times the time of writing them without.
    """
    most = levels_of(choice.encodings, thorough(table.num_rows), table.num_rows)
    table = table.slice(0, _SMALL)
    quick = dict.fromkeys(choice.encodings, _QUICK)
    less, more = (_bytes_of_leaves(table, choice.encodings, levels) for levels in (most, quick))
    found = {
        path: leaf
        for name, column in zip(table.column_names, table.columns, strict=True)
        for path, leaf in leaves(name, column.chunk(0))
    }
    for path, kind in choice.encodings.items():
        if kind in WRITTEN and (page := _page(found[path], kind)) is not None:
            less[path], more[path] = (_zstd(level).compress(page).size for level in (most[path], _QUICK))
    gains = {path for path in more if more[path] > _GAIN * less[path]}
    levels = {path: most[path] if path in gains else _QUICK for path in choice.encodings}
    return replace(choice, levels=levels)


def thorough(rows: int) -> int:
    """The level of zstd for so many rows: it takes off another 2 to 5 %, for a time that grows with them."""
    return 17 if rows <= _TINY else 15 if rows <= _SMALL else 12


def levels_of(encodings: Mapping[str, str], level: int, rows: int) -> Mapping[str, int]:
    """The level of zstd for each leaf; texts packed as differences gain nothing by a higher one."""
    if level == MOST:
        return dict.fromkeys(encodings, level)
    own = dict.fromkeys(_THOROUGH, level)
    if rows > _FEW:
        own[DELTA_BYTES] = min(level, _MIDDLE)
    return {path: own.get(kind, _QUICK) for path, kind in encodings.items()}


def _bytes_of_leaves(table: pa.Table, encodings: Mapping[str, str], levels: Mapping[str, int]) -> dict[str, int]:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, **options_of(encodings, levels)) as writer:
        writer.write_table(table, row_group_size=max(table.num_rows, 1))
    group = pq.read_metadata(pa.BufferReader(sink.getvalue())).row_group(0)
    leaves = [group.column(place) for place in range(group.num_columns)]
    return {leaf.path_in_schema: leaf.total_compressed_size for leaf in leaves}


def options_of(encodings: Mapping[str, str], levels: Mapping[str, int]) -> dict[str, Any]:
    """The writer's settings: small footers and pages, and for each leaf its encoding and its level of zstd."""
    own = {path: WRITTEN.get(encoding, encoding) for path, encoding in encodings.items()}
    return {
        "version": "2.6",
        "data_page_version": "1.0",
        "compression": "zstd",
        # These pages are made anew.
        "compression_level": {
            path: 1 if WRITTEN.get(encodings[path]) == _DELTA else level for path, level in levels.items()
        },
        "use_dictionary": [path for path, encoding in own.items() if encoding == DICTIONARY] or False,
        "column_encoding": {path: encoding for path, encoding in own.items() if encoding != DICTIONARY} or None,
        "dictionary_pagesize_limit": 4 << 20,
        "data_page_size": 8 << 20,
        "write_statistics": ["task_id"] if "task_id" in encodings else False,
        "store_schema": False,
        "store_decimal_as_integer": True,
    }


def _candidates(kind: pa.DataType) -> tuple[str, ...]:
    """Encodings worth trying for a type, the first where there is nothing to try with."""
    if pa.types.is_dictionary(kind):
        return (DICTIONARY,)
    if pa.types.is_boolean(kind):
        return ("RLE",)
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        # The dictionary last: it is chosen though another one is a little smaller.
        return ("PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", DICTIONARY)
    if pa.types.is_floating(kind):
        return ("PLAIN", DICTIONARY, "BYTE_STREAM_SPLIT")
    # Byte streams of integers would be 10 % smaller than deltas, but DuckDB 1.5 cannot read them.
    return ("PLAIN", DICTIONARY, "DELTA_BINARY_PACKED")


def _sample(leaf: pa.Array, size: int) -> pa.Array:
    """A leaf, or four runs of a long one."""
    n = len(leaf)
    if n <= size:
        return leaf
    run = size // 4
    return pa.concat_arrays([leaf.slice(start, run) for start in range(0, n - run + 1, (n - run) // 3)])
