"""Bytes of texts → values: whatever the bytes are, the arithmetic is defined; who asks compares afterwards."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from lakestore.codec.times.cells import Bytes, Ints, Small, ends, windows
from lakestore.codec.times.formats import DAY, FIRST, HEAD, LAST, MAX_CHANGES, MAX_ZONES, SUFFIX, TimeFormat, offset_of


def read(raw: Bytes, starts: Ints, guess: re.Match[bytes]) -> tuple[TimeFormat, Ints] | None:
    """Format and values (days, or µs of UTC) if the lengths of the texts allow it."""
    lengths = np.diff(starts)
    shortest, longest = int(lengths.min()), int(lengths.max())
    n = lengths.size
    dash = guess["dash"].decode()
    if guess["separator"] is None:
        return (TimeFormat(dash=dash), _days(raw.reshape(n, 10))) if shortest == longest == 10 else None
    separator, zone = guess["separator"].decode(), guess["zone"].decode()
    if guess["seconds"] is None:
        fmt = TimeFormat(separator, seconds=False, zone=zone, dash=dash)
        if not shortest == longest == len(guess[0]):
            return None
        return _utc(fmt, _micros(raw.reshape(n, longest), None))
    tail = HEAD + len(zone)
    if shortest < tail or longest > tail + 10:
        return None
    if shortest == longest:
        found = [longest]
    else:
        found = np.flatnonzero(np.bincount(lengths)).tolist()
    if tail + 1 in found:
        return None
    widths = tuple(max(length - tail - 1, 0) for length in found)
    local = np.empty(n, np.int64)
    mark = ""
    for length, width in zip(found, widths, strict=True):
        if shortest == longest:
            rows: Any = slice(None)
            cells = raw.reshape(n, length)
        else:
            rows = np.flatnonzero(lengths == length)
            cells = windows(raw, length)[starts[rows]].view(np.uint8).reshape(rows.size, length)
        local[rows] = _micros(cells, width)
        if width:
            mark = chr(cells[0, HEAD])
    if widths != (0,) and mark not in (".", ","):
        return None
    return _utc(TimeFormat(separator, True, mark, widths, zone, dash=dash), local)


def read_seasonal(raw: Bytes, starts: Ints, guess: re.Match[bytes]) -> tuple[TimeFormat, Ints] | None:
    """Format and values of texts in a zone that has summer and winter: which suffix one has follows from its moment."""
    zone = guess["zone"] or b""
    size = len(zone)
    if not zone[-1:].isdigit() or int(np.diff(starts).min()) <= size:
        return None
    places = ends(starts, size)
    suffixes, which = np.unique(raw[places].view(f"S{size}").ravel(), return_inverse=True)
    zones = [suffix.decode("latin-1") for suffix in suffixes.tolist()]
    if len(zones) > MAX_ZONES or not all(SUFFIX.fullmatch(each) and len(each) == size for each in zones):
        return None
    alike = raw.copy()
    alike[places] = np.frombuffer(zone, np.uint8)
    found = read(alike, starts, guess)
    if found is None:
        return None
    fmt, values = found
    values = values + (fmt.offset - np.array(list(map(offset_of, zones)), np.int64)[which]) * 60_000_000
    order = np.argsort(values, kind="stable")
    turns = np.flatnonzero(np.diff(which[order])) + 1
    inside = int(values.min()) >= FIRST * DAY and int(values.max()) < (LAST + 1) * DAY
    if len(turns) > MAX_CHANGES or not inside:
        return None
    changes = tuple((int(values[order[turn]]), zones[which[order[turn]]]) for turn in turns.tolist())
    return replace(fmt, zone=zones[which[order[0]]], changes=changes), values


def _utc(fmt: TimeFormat, local: Ints) -> tuple[TimeFormat, Ints] | None:
    """Values in UTC, if all lie in the years 1 to 9999 there too."""
    values = local - fmt.offset * 60_000_000
    inside = int(values.min()) >= FIRST * DAY and int(values.max()) < (LAST + 1) * DAY
    return (fmt, values) if inside else None


def _number(cells: Bytes, begin: int, end: int) -> Small:
    """The decimal digits in columns `begin` to `end` as integers."""
    total = cells[:, begin].astype(np.int32)
    for column in range(begin + 1, end):
        total *= 10
        total += cells[:, column]
    total -= 48 * int("1" * (end - begin))
    return total


def _days(cells: Bytes) -> Ints:
    """Days since 1970-01-01 of `YYYY-MM-DD` (proleptic Gregorian; years begin in March, so that leap days end them)."""
    year, month, day = _number(cells, 0, 4), _number(cells, 5, 7), _number(cells, 8, 10)
    early = month <= 2
    year -= early
    month += early.astype(np.int32) * 12 - 3
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719_469
    return days.astype(np.int64)


def _micros(cells: Bytes, width: int | None) -> Ints:
    """Local µs since 1970-01-01; `width` digits of fraction, None: not even seconds."""
    seconds = _number(cells, 11, 13) * 3600 + _number(cells, 14, 16) * 60
    if width is not None:
        seconds += _number(cells, 17, 19)
    micros = _days(cells) * DAY + seconds.astype(np.int64) * 1_000_000
    digits = min(width or 0, 6)
    if digits:
        micros += _number(cells, 20, 20 + digits) * 10 ** (6 - digits)
    return micros
