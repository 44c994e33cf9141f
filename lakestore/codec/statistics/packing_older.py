"""Statistics as earlier lakestores packed them: a row for each lake table, in two forms.

All of a result stand behind each other, after a 0: of each row its length (4 bytes, big endian), the number of its
symbols (a byte; 0: not kept by symbol), the row.

The younger form is a run of variable-length integers (LEB128): the number of rows, then for each column of numbers its
field id, its nulls, a scale, and smallest value, largest value and sum as zigzag integers over ten to the scale. Where
these would not be exact the scale is 255 and the three are doubles, their bytes reversed so that round ones are short.
A zero may stand at the end: no packed row has the length of one in the first form, the number of rows (uint64), then 32
bytes a column: field id, nulls (uint32) and three doubles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from lakestore.codec.numbers import Ints
from lakestore.codec.statistics import bits, sums
from lakestore.codec.statistics.packing import Amounts

_HEAD: Final = np.dtype("<u8")
_ENTRY: Final = np.dtype([("field_id", "<u4"), ("nulls", "<u4"), ("min", "<f8"), ("max", "<f8"), ("sum", "<f8")])
_PARTS: Final = 6


def together(rows: Mapping[str, bytes], by_symbol: Mapping[str, bytes]) -> bytes:
    """The rows of a result's lake tables behind each other."""
    out = bytearray(1)
    for name, row in sorted(rows.items()):
        out += len(row).to_bytes(4, "big") + by_symbol.get(name, b"\0")[:1] + row
    return bytes(out)


def unpacked(blobs: bytes, starts: Sequence[int], lengths: Sequence[int]) -> Amounts:
    """What the rows of results say that begin at these places; their order is kept."""
    rows: list[bytes] = []
    owners: list[int] = []
    symbols: list[int] = []
    for place, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        at, end = start + 1, start + length
        while at < end:
            size = int.from_bytes(blobs[at : at + 4], "big")
            rows.append(blobs[at + 5 : at + 5 + size])
            owners.append(place)
            symbols.append(blobs[at + 4])
            at += 5 + size
    sizes = np.array(list(map(len, rows)), np.int64)
    first = sizes % _ENTRY.itemsize == _HEAD.itemsize
    told = [
        form(
            b"".join(row for row, one in zip(rows, first.tolist(), strict=True) if one == wanted),
            sizes[first == wanted],
        )
        for wanted, form in ((True, _first_form), (False, _second_form))
    ]
    of = np.concatenate(
        [np.flatnonzero(first == wanted)[each[0]] for wanted, each in zip((True, False), told, strict=True)]
    )
    order = np.argsort(of, kind="stable")
    count, field_id, nulls, scale, *three = (
        np.concatenate([a, b])[order] for a, b in zip(told[0][1:], told[1][1:], strict=True)
    )
    row = of[order]
    place = np.array(owners, np.int64)[row]
    return Amounts(place, count, np.array(symbols, np.int64)[row], field_id, nulls, scale, *three)


def _first_form(raw: bytes, sizes: Ints) -> tuple[Ints, ...]:
    data = np.frombuffer(raw, np.uint8)
    is_head = np.zeros(len(data), bool)
    starts = np.cumsum(sizes) - sizes
    is_head[(starts[:, None] + np.arange(_HEAD.itemsize)).ravel()] = True
    of = np.repeat(np.arange(len(sizes)), (sizes - _HEAD.itemsize) // _ENTRY.itemsize)
    entries = data[~is_head].view(_ENTRY)
    ids, nulls = (entries[name].astype(np.int64) for name in ("field_id", "nulls"))
    three = (entries[name].view(np.int64) for name in ("min", "max", "sum"))
    return of, data[is_head].view(_HEAD).astype(np.int64)[of], ids, nulls, np.full(len(of), sums.DOUBLES), *three


def _second_form(raw: bytes, sizes: Ints) -> tuple[Ints, ...]:
    if not len(sizes):
        return (np.empty(0, np.int64),) * 8
    data = np.frombuffer(raw, np.uint8)
    last = data < 128
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    shifts = 7 * (np.arange(len(data)) - np.repeat(starts, ends - starts + 1))
    numbers = np.add.reduceat((data & 127).astype(np.uint64) << shifts.astype(np.uint64), starts)
    # How many numbers each row has: the first is its number of rows, a zero may be left over.
    many = np.add.reduceat(last.astype(np.int64), np.cumsum(sizes) - sizes)
    firsts = np.cumsum(many) - many
    columns = (many - 1) // _PARTS
    of = np.repeat(np.arange(len(sizes)), columns)
    within = np.arange(len(of)) - np.repeat(np.cumsum(columns) - columns, columns)
    parts = numbers[(firsts[of] + 1 + _PARTS * within)[:, None] + np.arange(_PARTS)]
    ids, nulls, scale = (part.astype(np.int64) for part in parts.T[:3])
    three = (
        np.where(scale == sums.DOUBLES, part.byteswap().view(np.int64), bits.signed(part))
        for part in parts.T[3:].copy()
    )
    return of, numbers[firsts][of].astype(np.int64), ids, nulls, scale, *three
