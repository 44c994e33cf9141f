"""Values → bytes of their texts, and where those begin and end."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lakestore.codec.times.cells import Bytes, Ints, Items, Small, ends, windows
from lakestore.codec.times.formats import DAY, FIRST, HEAD, LAST, TimeFormat, offset_of

_TWO = np.frombuffer(b"".join(b"%02d" % i for i in range(100)), np.uint16)
_THREE = [np.frombuffer(b"".join((b"%03d" % i)[:k] for i in range(1000)), f"V{k}") for k in (1, 2, 3)]
_KEPT = np.array([len((b"%03d" % i).rstrip(b"0")) for i in range(1000)], np.int64)
"""Of a number of three digits: its bytes, its first bytes, and how many are left without trailing zeros."""
_USUAL = 1 << 15
"""Days from 1970 to 2059, whose dates are made once a process."""


def _zones(values: Ints, fmt: TimeFormat) -> tuple[list[str], Ints]:
    """The suffixes of a format, and which of them each value (µs of UTC) has."""
    starts = np.array([start for start, _ in fmt.changes], np.int64)
    return [fmt.zone, *(zone for _, zone in fmt.changes)], np.searchsorted(starts, values, "right")


def written(values: Ints, fmt: TimeFormat) -> tuple[Bytes, Ints] | None:
    """Bytes of the texts of values (days, or µs of UTC) and where they begin and end; None where one has no text."""
    if not fmt.changes:
        return _write(values + fmt.offset * 60_000_000 if fmt.offset else values, fmt)
    zones, which = _zones(values, fmt)
    texts = _write(values + np.array(list(map(offset_of, zones)), np.int64)[which] * 60_000_000, fmt)
    if texts is not None:
        suffixes = np.frombuffer("".join(zones).encode(), np.uint8).reshape(len(zones), -1)
        texts[0][ends(texts[1], len(fmt.zone))] = suffixes[which]
    return texts


def _write(local: Ints, fmt: TimeFormat) -> tuple[Bytes, Ints] | None:
    """Bytes of all texts and the n + 1 places where they begin and end; None if a value has no such text."""
    n = local.size
    days = local // DAY if fmt.separator else local
    if not n:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    if int(days.min()) < FIRST or int(days.max()) > LAST:
        return None
    dates = _dates(days, fmt.dash)
    if not fmt.separator:
        return dates.view(np.uint8), np.arange(n + 1) * 10
    time = local - days * DAY
    second = time // 1_000_000
    micro = (time - second * 1_000_000).astype(np.int32)
    second = second.astype(np.int32)
    widths = _fractions(micro, fmt)
    if widths is None or (not fmt.seconds and (second % 60).any()):
        return None
    if isinstance(widths, int):
        records = _records(dates, second, micro, fmt, widths)
        return records.view(np.uint8), np.arange(n + 1) * records.itemsize
    lengths = np.where(widths > 0, widths + 1, 0) + (HEAD + len(fmt.zone))
    starts = np.concatenate(([0], np.cumsum(lengths)))
    raw = np.empty(int(starts[-1]), np.uint8)
    for width in fmt.widths:
        rows = np.flatnonzero(widths == width)
        if rows.size:
            records = _records(dates.take(rows), second.take(rows), micro.take(rows), fmt, width)
            windows(raw, records.itemsize)[starts[rows]] = records
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
    text = f"{_date(fmt.dash)}{fmt.separator}00:00" + (":00" if fmt.seconds else "")
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


def _dates(days: Ints, dash: str) -> Items:
    """`YYYY-MM-DD` (with such a dash) of each day; over a narrow range each date is made once."""
    low, high = int(days.min()), int(days.max())
    if 0 <= low and high < _USUAL:
        return _usual(dash).take(days)
    if high - low < days.size:
        return _civil(np.arange(low, high + 1), dash).take(days - low)
    return _civil(days, dash)


@lru_cache
def _usual(dash: str) -> Items:
    return _civil(np.arange(_USUAL), dash)


def _civil(days: Ints, dash: str) -> Items:
    """`YYYY-MM-DD` of each day (the inverse of `_days`, by 400-year eras of 146,097 days)."""
    shifted = days.astype(np.int32) + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    of_year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    day = of_era - (365 * of_year + of_year // 4 - of_year // 100)
    month = (5 * day + 2) // 153
    records = np.full(days.size, np.frombuffer(_date(dash).encode(), "V10")[0])
    cells = records.view(_DATE)
    cells["day"] = _TWO.take(day - (153 * month + 2) // 5 + 1)
    late = month >= 10
    cells["month"] = _TWO.take(month + 3 - 12 * late)
    year = of_year + era * 400 + late
    century = year // 100
    cells["century"] = _TWO.take(century)
    cells["year"] = _TWO.take(year - century * 100)
    return records


def _date(dash: str) -> str:
    """The text of a date with zeros for digits."""
    return f"0000{dash}00{dash}00"


_DATE = np.dtype(
    {"names": ["century", "year", "month", "day"], "formats": ["u2"] * 4, "offsets": [0, 2, 5, 8], "itemsize": 10}
)
