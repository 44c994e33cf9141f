"""Texts ⇄ times, a column at a time and exact in both directions.

The format is guessed from the first text, every text is read by it without looking for mistakes, and the guess is
believed only if writing the values gives the same bytes. A text so accepted is the one text of its value: the 30th of
February, hour 24 or a letter among the digits would have been written otherwise. Reading and writing are numpy on
int64 and belong to lakestore: nothing stored depends on how another library formats a time.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakestore.errors import CorruptFileError, InvalidInputError

Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Items = npt.NDArray[np.void]

RENDERER = 1
"""Version of the texts that `render` makes; it stands in every stored format."""

_DAY = 86_400_000_000
_FIRST, _LAST = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31 in days since 1970-01-01: what Python's datetime, DuckDB and pandas (in µs) share."""

_HEAD = 19
"""Length of `YYYY-MM-DDTHH:MM:SS`."""

_ZONE = r"(?:[Zz]| ?UTC| ?[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?"
TEXT = re.compile(rb"\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(:\d\d(?:[.,]\d{1,9})?)?(%b))?" % _ZONE.encode())
_SUFFIX = re.compile(_ZONE, re.ASCII)

MAX_ZONES, MAX_CHANGES = 4, 128
"""Suffixes of one column, and how often one follows another: twice a year."""
_TWO = np.frombuffer(b"".join(b"%02d" % i for i in range(100)), np.uint16)
_THREE = [np.frombuffer(b"".join((b"%03d" % i)[:k] for i in range(1000)), f"V{k}") for k in (1, 2, 3)]
_KEPT = np.array([len((b"%03d" % i).rstrip(b"0")) for i in range(1000)], np.int64)
"""Of a number of three digits: its bytes, its first bytes, and how many are left without trailing zeros."""


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """What rebuilds every text of a column from its values.

    `separator` is `T` or a space, empty for a column of dates (then the rest has no meaning). `widths` are the digits
    that a fraction may have, ascending, after `mark`; each value takes the first that holds it exactly: `(6,)` is
    always six, `(0, 6)` Python's isoformat, `(0, 3, 6)` Java's, `(0, 1, …, 6)` has no trailing zeros. Digits beyond six
    are zeros. `zone` is the suffix as it stands in the text; `changes` are the others that follow it, as summer follows
    winter: from which µs of UTC on, ascending, and the suffix of the same length.
    """

    separator: str = ""
    seconds: bool = True
    mark: str = ""
    widths: tuple[int, ...] = (0,)
    zone: str = ""
    changes: tuple[tuple[int, str], ...] = ()

    @property
    def offset(self) -> int:
        """Minutes that the texts are ahead of UTC, before the first change."""
        return _offset(self.zone)

    @property
    def type(self) -> pa.DataType:
        """Arrow type of the values: date32, or timestamp in µs, with zone UTC if the texts have a zone."""
        if not self.separator:
            return pa.date32()
        return pa.timestamp("us", tz="UTC" if self.zone else None)

    def to_json(self) -> str:
        """The format as a short JSON text."""
        if not self.separator:
            return f"[{RENDERER}]"
        parts = [RENDERER, self.separator, int(self.seconds), self.mark, list(self.widths), self.zone]
        if self.changes:
            parts.append(list(map(list, self.changes)))
        return json.dumps(parts, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> TimeFormat:
        """The format that `to_json` wrote.

        Raises:
            CorruptFileError: It is not one, or of a newer version.
        """
        try:
            version, *parts = json.loads(text)
            if version != RENDERER:
                raise ValueError(f"version {version}")
            fmt = cls()
            if parts:
                separator, seconds, mark, widths, zone, *more = parts
                changes = tuple((start, later) for start, later in more[0]) if more else ()
                fmt = cls(separator, bool(seconds), mark, tuple(widths), zone, changes)
                fmt._check()
        except (ValueError, TypeError, KeyError, RecursionError) as exc:
            fact = f"time format {text!r} is not one that this lakestore reads ({exc})"
            raise CorruptFileError(f"{fact}; upgrade lakestore, or run 'lakestore verify'") from exc
        return fmt

    def _check(self) -> None:
        widths, changes = self.widths, self.changes
        right = (
            self.separator in ("T", " ")
            and all(type(w) is int and 0 <= w <= 9 for w in widths)
            and widths == tuple(sorted(set(widths)))
            and bool(widths)
            and (self.mark in (".", ",") if widths != (0,) else self.mark == "")
            and (self.seconds or widths == (0,))
            and all(
                _SUFFIX.fullmatch(zone) and len(zone) == len(self.zone) for zone in (self.zone, *dict(changes).values())
            )
            and all(type(start) is int and abs(start) < 2**62 for start, _ in changes)
            and list(changes) == sorted(changes)
        )
        if not right:
            raise ValueError("its parts do not fit together")


def parse(texts: pa.Array) -> tuple[TimeFormat, pa.Array] | None:
    """Read a column of texts as times, if one format rebuilds every text of it exactly.

    Args:
        texts: Array or chunked array of strings, nulls allowed.

    Returns:
        The format and the values (of type `fmt.type`, null where the text is null), or None: no text at all, or at
        least one that would not come back as it is.
    """
    texts = _plain(texts)
    if texts.null_count == len(texts):
        return None
    valid = texts.is_valid().to_numpy(zero_copy_only=False) if texts.null_count else None
    first = texts[0 if valid is None else int(np.argmax(valid))].as_buffer().to_pybytes()
    guess = TEXT.fullmatch(first)
    if guess is None:
        return None
    raw, starts = _bytes(texts)
    for read in (_read, _seasonal):
        found = read(raw, starts, guess)
        if found is None:
            continue
        fmt, values = found
        written = _texts(values, fmt)
        if written is not None and np.array_equal(written[1], starts) and np.array_equal(written[0], raw):
            return fmt, _column(values, fmt, valid)
    return None


def in_range(micros: pa.TimestampArray) -> bool:
    """Whether all times, in microseconds, lie in the years 1 to 9999: only those have texts."""
    least, most = pc.min_max(micros.cast(pa.int64())).values()
    return not least.is_valid or (least.as_py() >= _FIRST * _DAY and most.as_py() < (_LAST + 1) * _DAY)


def render(values: pa.Array, fmt: TimeFormat) -> pa.StringArray:
    """Write the texts of a column: the exact inverse of `parse`.

    Args:
        values: Array or chunked array of type `fmt.type` (any zone, if it has one); nulls stay null.
        fmt: As `parse` gave it.

    Raises:
        InvalidInputError: The values are of another type, or one of them has no text in this format.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    same = values.type == fmt.type or (pa.types.is_timestamp(values.type) and bool(values.type.tz) and bool(fmt.zone))
    if not same or (fmt.separator and values.type.unit != "us"):
        raise InvalidInputError(f"values of type {values.type} have no text as {fmt.to_json()}; it needs {fmt.type}")
    valid = values.is_valid().to_numpy(zero_copy_only=False) if values.null_count else None
    numbers = values.cast(pa.int64() if fmt.separator else pa.int32()).drop_null().to_numpy().astype(np.int64)
    written = _texts(numbers, fmt)
    if written is None:
        raise InvalidInputError(f"a value cannot be written exactly as {fmt.to_json()}; give the format of its column")
    raw, starts = written
    bits = None
    if valid is not None:
        lengths = np.zeros(len(values), np.int64)
        lengths[valid] = np.diff(starts)
        starts = np.concatenate(([0], np.cumsum(lengths)))
        bits = pa.py_buffer(np.packbits(valid, bitorder="little"))
    offsets = pa.py_buffer(starts.astype(np.int32))
    return pa.StringArray.from_buffers(len(values), offsets, pa.py_buffer(raw), bits, values.null_count)


def _plain(texts: Any) -> pa.StringArray:
    """The texts as one string array."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    return texts if texts.type == pa.string() else texts.cast(pa.string())


def _bytes(texts: pa.StringArray) -> tuple[Bytes, Ints]:
    """Bytes of the texts that are not null, and the n + 1 places where they begin and end."""
    if texts.null_count:
        texts = texts.drop_null()
    _, offsets, data = texts.buffers()
    starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    raw = np.frombuffer(data, np.uint8)[starts[0] : starts[-1]]
    return raw, starts - starts[0]


def _column(values: Ints, fmt: TimeFormat, valid: npt.NDArray[np.bool_] | None) -> pa.Array:
    """Values as an Arrow array, with nulls where `valid` is false."""
    numbers = values if fmt.separator else values.astype(np.int32)
    if valid is None:
        return pa.array(numbers).view(fmt.type)
    spread = np.zeros(valid.size, numbers.dtype)
    spread[valid] = numbers
    return pa.array(spread, mask=~valid).view(fmt.type)


def _offset(zone: str) -> int:
    """Minutes that a suffix is ahead of UTC."""
    digits = re.sub(r"\D", "", zone)
    minutes = int(digits[:2] or 0) * 60 + int(digits[2:] or 0)
    return -minutes if "-" in zone else minutes


def _zones(values: Ints, fmt: TimeFormat) -> tuple[list[str], Ints]:
    """The suffixes of a format, and which of them each value (µs of UTC) has."""
    starts = np.array([start for start, _ in fmt.changes], np.int64)
    return [fmt.zone, *(zone for _, zone in fmt.changes)], np.searchsorted(starts, values, "right")


def _texts(values: Ints, fmt: TimeFormat) -> tuple[Bytes, Ints] | None:
    """Bytes of the texts of values (days, or µs of UTC) and where they begin and end; None where one has no text."""
    if not fmt.changes:
        return _write(values + fmt.offset * 60_000_000 if fmt.offset else values, fmt)
    zones, which = _zones(values, fmt)
    written = _write(values + np.array(list(map(_offset, zones)), np.int64)[which] * 60_000_000, fmt)
    if written is not None:
        suffixes = np.frombuffer("".join(zones).encode(), np.uint8).reshape(len(zones), -1)
        written[0][_ends(written[1], len(fmt.zone))] = suffixes[which]
    return written


def _ends(starts: Ints, size: int) -> Ints:
    """The places of the last `size` bytes of each text; shape (n, size)."""
    return starts[1:, None] + np.arange(-size, 0)


# Reading: whatever the bytes are, the arithmetic is defined; `parse` compares afterwards.


def _read(raw: Bytes, starts: Ints, guess: re.Match[bytes]) -> tuple[TimeFormat, Ints] | None:
    """Format and values (days, or µs of UTC) if the lengths of the texts allow it."""
    lengths = np.diff(starts)
    shortest, longest = int(lengths.min()), int(lengths.max())
    n = lengths.size
    if guess[1] is None:
        return (TimeFormat(), _days(raw.reshape(n, 10))) if shortest == longest == 10 else None
    separator, zone = guess[1].decode(), guess[3].decode()
    if guess[2] is None:
        fmt = TimeFormat(separator, seconds=False, zone=zone)
        if not shortest == longest == len(guess[0]):
            return None
        return _utc(fmt, _micros(raw.reshape(n, longest), None))
    tail = _HEAD + len(zone)
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
            cells = _windows(raw, length)[starts[rows]].view(np.uint8).reshape(rows.size, length)
        local[rows] = _micros(cells, width)
        if width:
            mark = chr(cells[0, _HEAD])
    if widths != (0,) and mark not in (".", ","):
        return None
    return _utc(TimeFormat(separator, True, mark, widths, zone), local)


def _seasonal(raw: Bytes, starts: Ints, guess: re.Match[bytes]) -> tuple[TimeFormat, Ints] | None:
    """Format and values of texts in a zone that has summer and winter: which suffix one has follows from its moment."""
    zone = guess[3] or b""
    size = len(zone)
    if not zone[-1:].isdigit() or int(np.diff(starts).min()) <= size:
        return None
    places = _ends(starts, size)
    suffixes, which = np.unique(raw[places].view(f"S{size}").ravel(), return_inverse=True)
    zones = [suffix.decode("latin-1") for suffix in suffixes.tolist()]
    if len(zones) > MAX_ZONES or not all(_SUFFIX.fullmatch(each) and len(each) == size for each in zones):
        return None
    alike = raw.copy()
    alike[places] = np.frombuffer(zone, np.uint8)
    read = _read(alike, starts, guess)
    if read is None:
        return None
    fmt, values = read
    values = values + (fmt.offset - np.array(list(map(_offset, zones)), np.int64)[which]) * 60_000_000
    order = np.argsort(values, kind="stable")
    turns = np.flatnonzero(np.diff(which[order])) + 1
    inside = int(values.min()) >= _FIRST * _DAY and int(values.max()) < (_LAST + 1) * _DAY
    if len(turns) > MAX_CHANGES or not inside:
        return None
    changes = tuple((int(values[order[turn]]), zones[which[order[turn]]]) for turn in turns.tolist())
    return replace(fmt, zone=zones[which[order[0]]], changes=changes), values


def _utc(fmt: TimeFormat, local: Ints) -> tuple[TimeFormat, Ints] | None:
    """Values in UTC, if all lie in the years 1 to 9999 there too."""
    values = local - fmt.offset * 60_000_000
    inside = int(values.min()) >= _FIRST * _DAY and int(values.max()) < (_LAST + 1) * _DAY
    return (fmt, values) if inside else None


def _windows(raw: Bytes, length: int) -> Items:
    """Every run of `length` bytes as one item, by the place where it begins, without copying."""
    return np.ndarray((raw.size - length + 1,), f"V{length}", raw, strides=(1,))


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
    micros = _days(cells) * _DAY + seconds.astype(np.int64) * 1_000_000
    digits = min(width or 0, 6)
    if digits:
        micros += _number(cells, 20, 20 + digits) * 10 ** (6 - digits)
    return micros


# Writing.


def _write(local: Ints, fmt: TimeFormat) -> tuple[Bytes, Ints] | None:
    """Bytes of all texts and the n + 1 places where they begin and end; None if a value has no such text."""
    n = local.size
    days = local // _DAY if fmt.separator else local
    if not n:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    if int(days.min()) < _FIRST or int(days.max()) > _LAST:
        return None
    dates = _dates(days)
    if not fmt.separator:
        return dates.view(np.uint8), np.arange(n + 1) * 10
    time = local - days * _DAY
    second = time // 1_000_000
    micro = (time - second * 1_000_000).astype(np.int32)
    second = second.astype(np.int32)
    widths = _fractions(micro, fmt)
    if widths is None or (not fmt.seconds and (second % 60).any()):
        return None
    if isinstance(widths, int):
        records = _records(dates, second, micro, fmt, widths)
        return records.view(np.uint8), np.arange(n + 1) * records.itemsize
    lengths = np.where(widths > 0, widths + 1, 0) + (_HEAD + len(fmt.zone))
    starts = np.concatenate(([0], np.cumsum(lengths)))
    raw = np.empty(int(starts[-1]), np.uint8)
    for width in fmt.widths:
        rows = np.flatnonzero(widths == width)
        if rows.size:
            records = _records(dates.take(rows), second.take(rows), micro.take(rows), fmt, width)
            _windows(raw, records.itemsize)[starts[rows]] = records
    return raw, starts


def _fractions(micro: Small, fmt: TimeFormat) -> int | Ints | None:
    """Digits of each value's fraction (one number: the same for all); None if one cannot be written exactly."""
    longest = fmt.widths[-1]
    if longest < 6 and (micro % 10 ** (6 - longest)).any():
        return None
    if len(fmt.widths) == 1:
        return longest
    high = micro // 1000
    low = micro - high * 1000
    needed = np.where(low > 0, 3 + _KEPT.take(low), _KEPT.take(high))
    fits = [next((w for w in fmt.widths if w >= need), longest) for need in range(7)]
    return np.array(fits, np.int64).take(needed)


def _records(dates: Items, second: Small, micro: Small, fmt: TimeFormat, width: int) -> Items:
    """One item of equal length per value: the bytes of its text."""
    template, fields = _layout(fmt, width)
    records = np.full(dates.size, template)
    cells = records.view(fields)
    minute = second // 60
    hour = minute // 60
    cells["date"] = dates
    cells["hour"] = _TWO.take(hour)
    cells["minute"] = _TWO.take(minute - hour * 60)
    if fmt.seconds:
        cells["second"] = _TWO.take(second - minute * 60)
    if width:
        high = micro // 1000
        cells["high"] = _THREE[min(width, 3) - 1].take(high)
        if width > 3:
            cells["low"] = _THREE[min(width - 3, 3) - 1].take(micro - high * 1000)
    return records


@lru_cache(maxsize=256)
def _layout(fmt: TimeFormat, width: int) -> tuple[Items, np.dtype[np.void]]:
    """The text of a format with zeros for digits, and where in it the numbers stand."""
    text = f"0000-00-00{fmt.separator}00:00" + (":00" if fmt.seconds else "")
    text += (fmt.mark + "0" * width if width else "") + fmt.zone
    fields: list[tuple[str, str, int]] = [("date", "V10", 0), ("hour", "u2", 11), ("minute", "u2", 14)]
    if fmt.seconds:
        fields.append(("second", "u2", 17))
    if width:
        fields.append(("high", f"V{min(width, 3)}", 20))
    if width > 3:
        fields.append(("low", f"V{min(width - 3, 3)}", 23))
    names, formats, offsets = zip(*fields, strict=True)
    layout = {"names": names, "formats": formats, "offsets": offsets, "itemsize": len(text)}
    return np.frombuffer(text.encode(), f"V{len(text)}")[0], np.dtype(layout)  # type: ignore[call-overload]


def _dates(days: Ints) -> Items:
    """`YYYY-MM-DD` of each day; over a narrow range each date is made once."""
    low, high = int(days.min()), int(days.max())
    if high - low < days.size:
        return _civil(np.arange(low, high + 1)).take(days - low)
    return _civil(days)


def _civil(days: Ints) -> Items:
    """`YYYY-MM-DD` of each day (the inverse of `_days`, by 400-year eras of 146,097 days)."""
    shifted = days.astype(np.int32) + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    of_year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    day = of_era - (365 * of_year + of_year // 4 - of_year // 100)
    month = (5 * day + 2) // 153
    records = np.full(days.size, np.frombuffer(b"0000-00-00", "V10")[0])
    cells = records.view(_DATE)
    cells["day"] = _TWO.take(day - (153 * month + 2) // 5 + 1)
    late = month >= 10
    cells["month"] = _TWO.take(month + 3 - 12 * late)
    year = of_year + era * 400 + late
    century = year // 100
    cells["century"] = _TWO.take(century)
    cells["year"] = _TWO.take(year - century * 100)
    return records


_DATE = np.dtype(
    {"names": ["century", "year", "month", "day"], "formats": ["u2"] * 4, "offsets": [0, 2, 5, 8], "itemsize": 10}
)
