"""Statistics of one result's numbers by symbol: packed beside those of the whole table, column by column as there.

A packed row begins with the number of symbols, how many bits a count of rows and how many the length of a text take,
and, where there are several symbols, four bytes for each column: how many bits a least value, a greatest value, a sum
and a number of nulls take. Then follow these numbers, lowest bit first: the rows of each symbol, the lengths of their
texts, and the columns, each from a full byte on. A least value is what it lies above the whole table's, a greatest one
what it lies below, a sum what it lies above so many times the least value, all on the whole table's scale; where these
would not be exact all three take 64 bits and are doubles. The texts of the symbols, in UTF-8, are the end. A symbol
that is alone needs no columns: they are the whole table's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakestore.codec import pack
from lakestore.codec.numbers import Ints
from lakestore.codec.statistics import bits, packing, stats, sums
from lakestore.codec.statistics.bits import Words
from lakestore.codec.statistics.packing import Amounts, Column, Whole
from lakestore.codec.statistics.sums import Numbers
from lakestore.model import LakeTable, RunStats

MOST: Final = 64
"""Symbols up to which they are told apart."""
NAMES: Final = ("symbol", "pair")
"""Columns, in small letters, whose texts are symbols; the first that a table has."""
SHARE: Final = 0.01
"""Of the bytes of a result's rows, what its statistics may take where they are kept by symbol."""
_COPIES: Final = 2
"""They stand in the catalog and in the file of `results`."""
_BLOCK: Final = 512
"""Packed rows that are unpacked at once: what a processor keeps near it."""
_HEAD: Final = 3
_WIDTHS: Final = 4
_WIDE: Final = 64

_SYMBOL: Final = pa.field("symbol", pa.string())
SCHEMA: Final = stats.SCHEMA.remove(len(stats.SCHEMA) - 1).insert(5, _SYMBOL)
"""Columns of `run_stats_by_symbol` in SQL: in place of `symbols` each has one."""


def made(parts: Iterable[stats.Part], stored: int) -> RunStats:
    """The statistics of a result, with those by symbol of its lake tables that have symbols, as far as there is room.

    All of them, with their copies, stay within a hundredth of what the rows take; tables with short ones come first.

    Args:
        parts: the rows of a result.
        stored: bytes that they take in files.
    """
    parts = list(parts)
    whole = stats.of(parts)
    packed = packing.packed(whole, {})
    # How many symbols there are takes 7 bits of a table then.
    room = int(SHARE * stored) // _COPIES - len(packed) - len(whole)
    found = [
        (len(data), table.name, data)
        for table, rows in stats.by_table(parts)
        if (data := _packed(table, rows, whole[table.name], room)) is not None
    ]
    kept = {}
    for size, name, data in sorted(found):
        room -= size
        if room >= 0:
            kept[name] = data
    return RunStats(packing.packed(whole, {name: data[0] for name, data in kept.items()}) if kept else packed, kept)


def _packed(table: LakeTable, parts: Sequence[pack.Rows], whole: Whole, room: int) -> bytes | None:
    """The packed row of one lake table; None where it has no symbols, too many, or more to say than there is room."""
    column = _column(table)
    if column is None or room <= 0:
        return None
    _, found = stats.merged(parts, [column])
    if not found or found[0][1].null_count or not pa.types.is_string(found[0][1].type):
        return None
    encoded = found[0][1].dictionary_encode()
    count = len(encoded.dictionary)
    # A symbol and column takes a byte and more.
    if not 0 < count <= MOST or not 0 < len(whole.columns) * count <= room:
        return None
    names = encoded.dictionary.to_pylist()
    order = {name: rank for rank, name in enumerate(sorted(names))}
    ranks = np.array([order[name] for name in names], np.uint8)
    symbols = _Symbols(ranks[encoded.indices.to_numpy()], count)
    texts = [name.encode() for name in order]
    out = bits.Writer()
    head = bytearray([count, out.put(symbols.rows), out.put(np.array([len(text) for text in texts]))])
    if count > 1:
        _, columns = stats.merged(parts, frozenset(each.field_id for each in whole.columns))
        for (_, array), each in zip(columns, whole.columns, strict=True):
            out.pad()
            head += symbols.put(array, each, out)
    return bytes(head) + out.to_bytes() + b"".join(texts)


Blobs = tuple[bytes, Sequence[int]]
"""Packed rows behind each other, and how many bytes each has."""


def unpacked(
    rows: Mapping[str, Sequence[Any]],
    whole: Blobs,
    packed: Blobs,
    names: stats.Names,
    tables: Mapping[int, str],
    symbols: Collection[str] | None = None,
) -> pa.Table:
    """The rows of `run_stats_by_symbol`.

    Args:
        rows: `task_id`, `strategy`, `run_date` and `table_name` of each packed row.
        whole: the packed rows of the same results as wholes.
        packed: those by symbol of these tables.
        names: columns by field id; others are left out.
        tables: the lake table of each column by field id.
        symbols: the only ones that are wanted.
    """
    made = [SCHEMA.empty_table()]
    wanted = None if symbols is None else pa.array(sorted(symbols), pa.string())
    places = [0, 0]
    for first in range(0, len(packed[1]), _BLOCK):
        block = slice(first, first + _BLOCK)
        keys = {name: pa.array(values[block], SCHEMA.field(name).type) for name, values in rows.items()}
        cut = []
        for which, (data, lengths) in enumerate((whole, packed)):
            sizes = np.asarray(lengths[block], np.int64)
            start, places[which] = places[which], places[which] + int(sizes.sum())
            cut.append((data[start : places[which]], sizes))
        made.append(_unpacked(keys, cut[0], cut[1], names, tables, wanted))
    return pa.concat_tables(made)


def _unpacked(
    keys: Mapping[str, pa.Array],
    whole: tuple[bytes, Ints],
    packed: tuple[bytes, Ints],
    names: stats.Names,
    tables: Mapping[int, str],
    wanted: pa.Array | None,
) -> pa.Table:
    given = _of_tables(stats.read(whole[0], whole[1].tolist()), keys["table_name"], tables)
    of = given.place
    held = _Held(*packed, of)
    symbol_rows, texts = held.symbols()
    widths, begins = held.columns()
    # Each column of each symbol, and the packed row and the symbol that it is of.
    column = np.flatnonzero(np.isin(given.field_id, list(names)))
    place, nth = _runs(held.counts[of[column]])
    column = column[place]
    symbol = (np.cumsum(held.counts) - held.counts)[of[column]] + nth
    if wanted is not None:
        kept = pc.is_in(texts, value_set=wanted).to_numpy(zero_copy_only=False)[symbol]
        column, symbol, nth = column[kept], symbol[kept], nth[kept]
    row = of[column]
    count = held.counts[row]
    numbers = []
    at = begins[column]
    for width in widths[column].T:
        numbers.append(bits.read(held.raw, at + nth * width, width))
        at = at + count * width
    given = given.only(column)
    nulls = np.where(count == 1, given.nulls, numbers[3]).astype(np.int64)
    valid = symbol_rows[symbol] - nulls
    low, high, above = (part.astype(np.int64) for part in numbers[:3])
    total = np.where(count == 1, given.total, valid * (given.least + low) + above)
    integers = (given.least + low, given.greatest - high, total)
    are_doubles = given.scale == sums.DOUBLES
    ten = 10.0 ** np.where(are_doubles, 0, given.scale)
    as_the_whole = (count == 1) & are_doubles
    apart = widths[column, 0] == _WIDE
    found = {
        name: np.select([as_the_whole, apart], [wholes, number.view(np.float64)], integer / ten)
        for name, wholes, number, integer in zip(
            ("min", "max", "sum"), given.doubles(), numbers[:3], integers, strict=True
        )
    }
    made = {
        **{name: values.take(pa.array(row)) for name, values in keys.items()},
        "column_name": stats.named(given.field_id, names)[1],
        "symbol": texts.take(pa.array(symbol)),
        "rows": pa.array(symbol_rows[symbol]),
        "nulls": pa.array(nulls),
        **{name: pa.array(values, pa.float64(), mask=valid == 0) for name, values in found.items()},
    }
    return pa.table([made[name] for name in SCHEMA.names], schema=SCHEMA)


def _of_tables(given: Amounts, wanted: pa.Array, tables: Mapping[int, str]) -> Amounts:
    """The columns that are of the table that is wanted of their packed row."""
    ids, where = np.unique(given.field_id, return_inverse=True)
    own = pa.array([tables.get(each) for each in ids.tolist()], pa.string()).take(pa.array(where))
    return given.only(pc.equal(own, wanted.take(pa.array(given.place))).fill_null(False).to_numpy(zero_copy_only=False))


class _Held:
    """Packed rows behind each other.

    Attributes:
        raw: their bytes.
        counts: the symbols of each.
    """

    def __init__(self, blobs: bytes, sizes: Ints, of: Ints) -> None:
        """Args: of: the packed row of each column."""
        self.raw = np.frombuffer(blobs + bytes(bits.PADDING), np.uint8)
        self._of = of
        self._columns = np.bincount(of, minlength=len(sizes))
        self._ends = np.cumsum(sizes)
        starts = self._ends - sizes
        self.counts, self._row_bits, self._text_bits = (
            self.raw[starts + place].astype(np.int64) for place in range(_HEAD)
        )
        self._widths = starts + _HEAD
        self._numbers = self._widths + _WIDTHS * self._columns * (self.counts > 1)

    def symbols(self) -> tuple[Ints, pa.Array]:
        """The rows and the texts of all symbols."""
        row, nth = _runs(self.counts)
        at = 8 * self._numbers[row]
        rows = bits.read(self.raw, at + nth * self._row_bits[row], self._row_bits[row])
        at += (self.counts * self._row_bits)[row]
        lengths = bits.read(self.raw, at + nth * self._text_bits[row], self._text_bits[row]).astype(np.int64)
        together = np.add.reduceat(lengths, np.cumsum(self.counts) - self.counts)
        row, nth = _runs(together)
        data = self.raw[(self._ends - together)[row] + nth]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        texts = pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(data))
        return rows.astype(np.int64), texts

    def columns(self) -> tuple[Ints, Ints]:
        """The four widths of each column, and the bit where its numbers begin."""
        row, nth = self._of, _runs(self._columns)[1]
        several = self.counts[row] > 1
        at = np.where(several, self._widths[row] + _WIDTHS * nth, 0)
        widths = np.where(several[:, None], self.raw[at[:, None] + np.arange(_WIDTHS)], 0).astype(np.int64)
        sizes = self.counts[row] * widths.sum(axis=1) + 7 >> 3
        ends = np.cumsum(sizes)
        earlier = np.concatenate([[0], ends])[np.cumsum(self._columns) - self._columns]
        shared = self.counts * (self._row_bits + self._text_bits) + 7 >> 3
        return widths, 8 * ((self._numbers + shared)[row] + ends - sizes - earlier[row])


def _runs(counts: Ints) -> tuple[Ints, Ints]:
    """For runs of these lengths each member's run, and its place in it."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def _column(table: LakeTable) -> int | None:
    """The field id of the column of symbols."""
    named = {c.name.lower(): c.field_id for c in table.columns if c.parent is None and c.type == "VARCHAR"}
    return next((named[name] for name in NAMES if name in named), None)


class _Symbols:
    """Which rows are whose.

    Attributes:
        rows: how many each symbol has.
    """

    def __init__(self, codes: npt.NDArray[np.uint8], count: int) -> None:
        self._codes = codes
        self._order = np.argsort(codes, kind="stable")
        self.rows = np.bincount(codes, minlength=count)

    def put(self, array: pa.Array, whole: Column, out: bits.Writer) -> bytes:
        """Append what a column's values of each symbol amount to, and return the widths.

        Args:
            whole: what the whole column amounts to.
        """
        order, counts = self._order, self.rows
        if array.null_count:
            order = order[array.is_valid().to_numpy(zero_copy_only=False)[order]]
            counts = np.bincount(self._codes[order], minlength=len(counts))
        there = counts > 0
        widths = [0, 0, 0]
        if there.any():
            found = sums.of(array, (np.cumsum(counts) - counts)[there], order)
            three = _offsets(found, whole, counts[there].tolist())
            least = 0 if three else _WIDE
            for place, part in enumerate(three or _doubles(found)):
                spread = np.zeros(len(counts), np.uint64)
                spread[there] = part
                widths[place] = out.put(spread, least)
        return bytes([*widths, out.put(self.rows - counts)])


def _doubles(found: Numbers) -> list[Words]:
    return [np.array(part, np.float64).view(np.uint64) for part in found.doubles().parts()]


def _offsets(found: Numbers, whole: Column, counts: Sequence[int]) -> list[Ints] | None:
    """Least and greatest values and sums as they are packed; None where they must be doubles."""
    if sums.DOUBLES in (found.scale, whole.scale):
        return None
    above = [total - count * low for total, count, low in zip(found.total, counts, found.least, strict=True)]
    if max(above) >= 1 << bits.REACH:
        return None
    return [np.array(found.least) - whole.least, whole.greatest - np.array(found.greatest), np.array(above)]
