"""Values as other tools give them, in one form that can be compared."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def canonical(value: Any) -> Any:
    """A value of any reader as JSON can hold it: DECIMALs as the doubles they stand for, times as microseconds."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and value != value:
        return "NaN"
    if isinstance(value, dt.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return f"at {(aware - _EPOCH) // dt.timedelta(microseconds=1)}"
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, dict):
        # What a file has no column of is null.
        return {key: canonical(item) for key, item in sorted(value.items()) if item is not None}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return value
