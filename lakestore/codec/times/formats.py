"""What a column's texts of times have in common: the one format that rebuilds each text from its value."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lakestore.errors import CorruptFileError

RENDERER = 2
"""Version of the texts that `render` makes: 2 has `.` and `/` in dates. A stored format names the least it needs."""

DAY = 86_400_000_000
FIRST, LAST = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31 in days since 1970-01-01: what Python's datetime, DuckDB and pandas (in µs) share."""

DASHES = ("-", ".", "/")
"""What may stand between year, month and day."""

HEAD = 19
"""Length of `YYYY-MM-DDTHH:MM:SS`."""

_ZONE = r"(?:[Zz]| ?UTC| ?[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?"
TEXT = re.compile(
    rb"\d{4}(?P<dash>[-./])\d\d(?P=dash)\d\d"
    rb"(?:(?P<separator>[T ])\d\d:\d\d(?P<seconds>:\d\d(?:[.,]\d{1,9})?)?(?P<zone>%b))?" % _ZONE.encode()
)
SUFFIX = re.compile(_ZONE, re.ASCII)

MAX_ZONES, MAX_CHANGES = 4, 128
"""Suffixes of one column, and how often one follows another: twice a year."""


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """What rebuilds every text of a column from its values.

    `separator` is `T` or a space, empty for a column of dates (then the rest has no meaning). `widths` are the digits
    that a fraction may have, ascending, after `mark`; each value takes the first that holds it exactly: `(6,)` is
    always six, `(0, 6)` Python's isoformat, `(0, 3, 6)` Java's, `(0, 1, …, 6)` has no trailing zeros. Digits beyond six
    are zeros. `zone` is the suffix as it stands in the text; `changes` are the others that follow it, as summer follows
    winter: from which µs of UTC on, ascending, and the suffix of the same length. `dash` stands between year, month and
    day: `-`, MetaTrader's `.` or `/`.
    """

    separator: str = ""
    seconds: bool = True
    mark: str = ""
    widths: tuple[int, ...] = (0,)
    zone: str = ""
    changes: tuple[tuple[int, str], ...] = ()
    dash: str = "-"

    @property
    def offset(self) -> int:
        """Minutes that the texts are ahead of UTC, before the first change."""
        return offset_of(self.zone)

    @property
    def type(self) -> pa.DataType:
        """Arrow type of the values: date32, or timestamp in µs, with zone UTC if the texts have a zone."""
        if not self.separator:
            return pa.date32()
        return pa.timestamp("us", tz="UTC" if self.zone else None)

    def to_json(self) -> str:
        """The format as a short JSON text."""
        parts: list[Any] = [1] if self.dash == "-" else [2, self.dash]
        if self.separator:
            parts += [self.separator, int(self.seconds), self.mark, list(self.widths), self.zone]
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
            if version not in range(1, RENDERER + 1):
                raise ValueError(f"version {version}")
            dash = "-" if version == 1 else parts.pop(0)
            if dash not in DASHES:
                raise ValueError(f"dates with {dash!r}")
            fmt = cls(dash=dash)
            if parts:
                separator, seconds, mark, widths, zone, *more = parts
                changes = tuple((start, later) for start, later in more[0]) if more else ()
                fmt = cls(separator, bool(seconds), mark, tuple(widths), zone, changes, dash)
                fmt._check()
        except (ValueError, TypeError, LookupError, RecursionError) as exc:
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
                SUFFIX.fullmatch(zone) and len(zone) == len(self.zone) for zone in (self.zone, *dict(changes).values())
            )
            and all(type(start) is int and abs(start) < 2**62 for start, _ in changes)
            and list(changes) == sorted(changes)
        )
        if not right:
            raise ValueError("its parts do not fit together")


def offset_of(zone: str) -> int:
    """Minutes that a suffix is ahead of UTC."""
    digits = re.sub(r"\D", "", zone)
    minutes = int(digits[:2] or 0) * 60 + int(digits[2:] or 0)
    return -minutes if "-" in zone else minutes
