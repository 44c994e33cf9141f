"""What a result's columns of numbers amount to, in few bits: one packed row for all its lake tables.

Bits, lowest first. The head: how wide the number of columns is (5 bits, never 0) and that number; how wide (6 bits) the
greatest number of rows, (5) the greatest first field id less 16, (5) the greatest step between field ids are; whether
symbols are counted (1); the least scale (5) and how wide (3) what the scales lie above it, the same of the widths of
least values (6, 3) and of ranges (6, 3).

Then each column, by table and field id: whether it is the first of its table, whether field ids between it and the one
before it are not there, whether it has nulls (a bit each); its scale, the width of its least value and of its range.
Then of each column what these bits announce: of a first one the table's rows, the number of its symbols (7 bits, 0:
not kept by symbol) and its field id less 16; of another one the field ids left out before it; its nulls.

Then of each column the least value as a zigzag integer over ten to the scale, how far the greatest lies above it, and
how far the sum lies above so many times the least, in as many bits as rows and range have together. Where that is more
than 56 the sum is a zigzag integer of 56 bits. Scale 31 stands for doubles: all three with their bytes reversed, so
that round ones are short; the widths of the first two are in bytes, the sum takes 64 bits.

A packed row that begins with 0 is an `older` one.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from lakestore.codec.numbers import Floats, Ints
from lakestore.codec.statistics import bits, sums
from lakestore.model import FIRST_FIELD_ID
from lakestore.parquet import varint

_DOUBLES: Final = 31
"""In the place of a scale."""
_SUM: Final = 56
_SYMBOLS: Final = 7


class Column(NamedTuple):
    """A column of numbers; least and greatest value and sum are integers over ten to the scale, or doubles."""

    field_id: int
    nulls: int
    scale: int
    least: float
    greatest: float
    total: float


class Whole(NamedTuple):
    """The columns of numbers of one lake table, by field id, and its rows."""

    rows: int
    columns: Sequence[Column]


class Amounts(NamedTuple):
    """What packed rows say, column by column.

    `place` is that of the packed row; least and greatest value and sum are the bits of doubles where the scale says so.
    """

    place: Ints
    rows: Ints
    symbols: Ints
    field_id: Ints
    nulls: Ints
    scale: Ints
    least: Ints
    greatest: Ints
    total: Ints

    def doubles(self) -> tuple[Floats, Floats, Floats]:
        """Least and greatest values and sums."""
        are_doubles = self.scale == sums.DOUBLES
        ten = 10.0 ** np.where(are_doubles, 0, self.scale)
        least, greatest, total = (
            np.where(are_doubles, part.view(np.float64), part / ten) for part in (self.least, self.greatest, self.total)
        )
        return least, greatest, total

    def only(self, kept: npt.NDArray[np.bool_] | Ints) -> Amounts:
        """Some of the columns."""
        return Amounts(*(part[kept] for part in self))


def packed(tables: Mapping[str, Whole], symbols: Mapping[str, int]) -> bytes:
    """The packed row of a result; nothing where it has no column of numbers.

    Args:
        symbols: of tables that are kept by symbol, how many.
    """
    held = sorted((whole.columns[0].field_id, name, whole) for name, whole in tables.items() if whole.columns)
    if not held:
        return b""
    told = [[_three(column, whole.rows) for column in whole.columns] for _, _, whole in held]
    scales, lows, ranges = zip(*(three[:3] for each in told for three in each), strict=True)
    count = len(scales)
    steps = [list(_steps(whole.columns)) for _, _, whole in held]
    rows = _width([whole.rows for _, _, whole in held])
    first, step = _width([own - FIRST_FIELD_ID for own, _, _ in held]), _width([n for each in steps for n in each])
    scale, low, spread = ((min(each), _width([max(each) - min(each)])) for each in (scales, lows, ranges))
    size = count.bit_length()
    out = _Bits()
    for value, width in ((size, 5), (count, size), (rows, 6), (first, 5), (step, 5), (bool(symbols), 1)):
        out.put(value, width)
    for value, width in ((scale[0], 5), (scale[1], 3), (low[0], 6), (low[1], 3), (spread[0], 6), (spread[1], 3)):
        out.put(value, width)
    announced, numbers = _Bits(), _Bits()
    for (own, name, whole), each, left_out in zip(held, told, steps, strict=True):
        announced.put(whole.rows, rows)
        announced.put(symbols.get(name, 0), _SYMBOLS if symbols else 0)
        announced.put(own - FIRST_FIELD_ID, first)
        is_first = 1
        for column, gap, (of_scale, of_low, of_spread, value, width) in zip(whole.columns, left_out, each, strict=True):
            flags = is_first | bool(gap) << 1 | bool(column.nulls) << 2
            widths = of_low - low[0] | of_spread - spread[0] << low[1]
            out.put(flags | of_scale - scale[0] << 3 | widths << 3 + scale[1], 3 + scale[1] + low[1] + spread[1])
            if flags > 1:
                announced.put(gap, step if gap else 0)
                announced.put(column.nulls, rows if column.nulls else 0)
            numbers.put(value, width)
            is_first = 0
    return _Bits.together(out, announced, numbers)


def _steps(columns: Sequence[Column]) -> Iterator[int]:
    """How many field ids are left out before each column; none before the first."""
    before = columns[0].field_id - 1
    for column in columns:
        yield column.field_id - before - 1
        before = column.field_id


def _three(column: Column, rows: int) -> tuple[int, int, int, int, int]:
    """Scale and two widths as they are packed; the three numbers behind each other, and their bits."""
    if column.scale == sums.DOUBLES:
        low, spread, last = (int.from_bytes(struct.pack("<d", value), "big") for value in column[3:])
        widths = -(-low.bit_length() // 8), -(-spread.bit_length() // 8)
        first, second, third = 8 * widths[0], 8 * widths[1], 64
    else:
        least, greatest, total = (int(value) for value in column[3:])
        low, spread = varint.zigzag(least), greatest - least
        widths = first, second = low.bit_length(), spread.bit_length()
        third = rows.bit_length() + second
        if third > _SUM:
            third, last = _SUM, varint.zigzag(total)
        else:
            last = total - (rows - column.nulls) * least
    scale = _DOUBLES if column.scale == sums.DOUBLES else column.scale
    return scale, *widths, low | spread << first | last << first + second, first + second + third


def _width(values: Sequence[int]) -> int:
    return max(values, default=0).bit_length()


class _Bits:
    """Numbers of any width behind each other, lowest bit first."""

    def __init__(self) -> None:
        self._value = self._size = 0

    def put(self, value: int, width: int) -> None:
        self._value |= value << self._size
        self._size += width

    @staticmethod
    def together(*parts: _Bits) -> bytes:
        whole = _Bits()
        for part in parts:
            whole.put(part._value, part._size)
        return whole._value.to_bytes(-(-whole._size // 8), "little")


def unpacked(blobs: bytes, starts: Ints, wanted: Collection[int] | None = None) -> Amounts:
    """What packed rows of the present form say; their order is kept.

    Args:
        blobs: packed rows, with `bits.PADDING` behind them, and where each begins.
        wanted: the field ids that are asked for.
    """
    data = np.frombuffer(blobs, np.uint8)
    at = 8 * starts

    def head(width: int | Ints) -> Ints:
        nonlocal at
        widths = np.broadcast_to(np.asarray(width, np.int64), at.shape)
        found = bits.read(data, at, widths).astype(np.int64)
        at = at + widths
        return found

    count = head(head(5))
    rows_width, first_width, step_width, has_symbols = (head(width) for width in (6, 5, 5, 1))
    (scale, scale_width), (low, low_width), (spread, spread_width) = ((head(w), head(3)) for w in (5, 6, 6))
    place = np.repeat(np.arange(len(starts)), count)
    size = 3 + scale_width + low_width + spread_width
    begins = np.cumsum(count) - count
    told = at[place] + (np.arange(len(place)) - begins[place]) * size[place]

    def each(position: Ints, widths: Ints) -> tuple[Ints, Ints]:
        return bits.read(data, position, widths).astype(np.int64), position + widths

    flags, told = each(told, np.full(len(place), 3))
    scales, told = each(told, scale_width[place])
    lows, told = each(told, low_width[place])
    spreads, _ = each(told, spread_width[place])
    scales, lows, spreads = scales + scale[place], lows + low[place], spreads + spread[place]
    first, gap, null = (flags & 1) == 1, flags & 2 == 2, flags & 4 == 4
    rows_width = rows_width[place]
    announced = np.where(first, rows_width + _SYMBOLS * has_symbols[place] + first_width[place], 0)
    announced += np.where(gap, step_width[place], 0) + np.where(null, rows_width, 0)
    told = _behind(at + count * size, place, begins, announced)
    rows, told = each(told, np.where(first, rows_width, 0))
    symbols, told = each(told, np.where(first, _SYMBOLS * has_symbols[place], 0))
    ids, told = each(told, np.where(first, first_width[place], 0))
    steps, told = each(told, np.where(gap, step_width[place], 0))
    nulls, _ = each(told, np.where(null, rows_width, 0))
    # What is told of a table holds for the columns that follow.
    of_table = np.cumsum(first) - 1
    rows, symbols = rows[first][of_table], symbols[first][of_table]
    field_ids = _since(np.where(first, ids + FIRST_FIELD_ID, steps + 1), first)
    are_doubles = scales == _DOUBLES
    lows, spreads = np.where(are_doubles, 8 * lows, lows), np.where(are_doubles, 8 * spreads, spreads)
    together = _bit_length(rows) + spreads
    is_apart = (together > _SUM).astype(np.int64)
    sums_width = np.where(are_doubles, 64, np.minimum(together, _SUM))
    begins_numbers = at + count * size + np.bincount(place, announced, len(starts)).astype(np.int64)
    told = _behind(begins_numbers, place, begins, lows + spreads + sums_width)
    columns = _Columns(place, rows, symbols, field_ids, nulls, scales, told, lows, spreads, sums_width, is_apart)
    if wanted is not None:
        kept = np.flatnonzero(np.isin(field_ids, list(wanted)))
        columns = _Columns(*(part[kept] for part in columns))
    return _numbers(data, columns)


class _Columns(NamedTuple):
    """Columns of packed rows, and where their numbers stand: the first bit, and the bits of each of the three."""

    place: Ints
    rows: Ints
    symbols: Ints
    field_id: Ints
    nulls: Ints
    scale: Ints
    at: Ints
    low: Ints
    spread: Ints
    total: Ints
    is_apart: Ints
    """1 where the sum stands by itself."""


def _numbers(data: npt.NDArray[np.uint8], columns: _Columns) -> Amounts:
    low = _wide(data, columns.at, columns.low)
    spread = _wide(data, columns.at + columns.low, columns.spread)
    total = _wide(data, columns.at + columns.low + columns.spread, columns.total)
    least = bits.signed(low)
    above = (columns.rows - columns.nulls) * least + total.astype(np.int64)
    integers = least, least + spread.astype(np.int64), np.where(columns.is_apart, bits.signed(total), above)
    are_doubles = columns.scale == _DOUBLES
    three = (
        np.where(are_doubles, number.byteswap().view(np.int64), integer)
        for number, integer in zip((low, spread, total), integers, strict=True)
    )
    return Amounts(*columns[:5], np.where(are_doubles, sums.DOUBLES, columns.scale), *three)


def _behind(starts: Ints, place: Ints, begins: Ints, widths: Ints) -> Ints:
    """Where each column's part begins, of parts of these widths behind each other in each packed row."""
    before = np.cumsum(widths) - widths
    found: Ints = starts[place] + before - before[begins[place]]
    return found


def _since(steps: Ints, first: npt.NDArray[np.bool_]) -> Ints:
    """The sums of the steps since the last first one."""
    together = np.cumsum(steps)
    found: Ints = together - (together - steps)[first][np.cumsum(first) - 1]
    return found


def _bit_length(values: Ints) -> Ints:
    found: Ints = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    return found


def _wide(data: npt.NDArray[np.uint8], places: Ints, widths: Ints) -> bits.Words:
    """Integers of up to 64 bits that begin anywhere."""
    low = np.minimum(widths, 32)
    found = bits.read(data, places, low)
    wide = np.flatnonzero(widths > 32)
    found[wide] |= bits.read(data, places[wide] + 32, widths[wide] - 32) << np.uint64(32)
    return found
