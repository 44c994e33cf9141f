"""What a save fills in: a result's identity, from what is given, the document's profile, and its content."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from lakestore.codec.profiles.profile import Profile
from lakestore.errors import InvalidInputError
from lakestore.layout import check_strategy, check_task_id

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_DAY = re.compile(r"^(\d{4})[./](\d\d)[./](\d\d)")
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_NAMED = 4
"""Places that a message names."""
_SEARCHABLE = 262_144
"""Characters up to which parameters and metrics are copied into the catalog for searching."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a result is.

    `given` names the fields that the caller gave; `zone_assumed`: the time had no zone and was taken as UTC.
    """

    task_id: str
    strategy: str
    strategies: tuple[str, ...]
    status: str
    created_at: datetime
    given: frozenset[str]
    zone_assumed: bool = False


def identify(
    document: Any,
    profile: Profile,
    sha256: Callable[[], str],
    where: str,
    *,
    task_id: str | None,
    strategy: str | None,
    status: str | None,
    created_at: date | str | None,
    otherwise: datetime,
    strategy_if_none: str | None = None,
) -> Identity:
    """The identity of a document; what is not given is taken from it by its profile.

    Args:
        sha256: gives that of the document's text, hexadecimal: its task id where there is none.
        otherwise: its time where there is none, UTC.
        strategy_if_none: its strategy where there is none.

    Raises:
        InvalidInputError: no strategy is to be found, or something given cannot be kept.
    """
    given = {"task_id": task_id, "strategy": strategy, "status": status, "created_at": created_at}
    found = profile.first(document, "task_id")
    if task_id is None:
        task_id = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else sha256()[:32]
    strategies = profile.strategies_of(document)
    if strategy is None and not strategies:
        strategy = strategy_if_none
    if strategy is None:
        if not strategies:
            paths = profile.identity.get("strategy", ())
            places = ", ".join(".".join(map(str, path)) for path in paths[:_NAMED]) or "none"
            more = f" and {len(paths) - _NAMED} more places" if len(paths) > _NAMED else ""
            if isinstance(found := profile.first(document, "strategy"), int | float):
                raise InvalidInputError(
                    f"{where} gives {found!r} as its strategy, which is not text: name one in it, or give one: "
                    'strategy="…" in Python, --strategy on the command line'
                )
            raise InvalidInputError(
                f"{where} names no strategy (profile {profile.name!r} looks at: {places}{more}); "
                'give one: strategy="…" in Python, --strategy on the command line'
            )
        strategy = strategies[0]
    if strategy not in strategies:
        strategies = [strategy, *(strategies if profile.strategies is not None else ())]
    if status is None:
        value = profile.first(document, "status")
        status = value if isinstance(value, str) and value and "\0" not in value else "completed"
    elif not isinstance(status, str) or not status or "\0" in status:
        raise InvalidInputError(f"status must be text without NUL, not {status!r}")
    when, assumed = _created_at(created_at, profile.first(document, "created_at"), otherwise)
    return Identity(
        check_task_id(task_id),
        check_strategy(strategy),
        tuple(check_strategy(name) for name in strategies),
        _unicode("status", status),
        when,
        frozenset(name for name, value in given.items() if value is not None),
        assumed,
    )


def _created_at(given: date | str | None, found: Any, otherwise: datetime) -> tuple[datetime, bool]:
    if given is not None:
        when = _moment_of(given) if isinstance(given, date) else _parse(given)
        if when is None:
            raise InvalidInputError(f"created_at {given!r} is not a time; give ISO 8601, such as 2026-01-31T09:30:00Z")
    else:
        when = _parse(found)
        if when is None:
            return otherwise if otherwise.tzinfo else otherwise.replace(tzinfo=UTC), False
    if when.tzinfo is None:
        return when.replace(tzinfo=UTC), True
    try:
        return when.astimezone(UTC), False
    except OverflowError as exc:
        raise InvalidInputError(f"created_at {given or found!r} is beyond the years 1 to 9999") from exc


def _moment_of(given: date) -> datetime | None:
    """A day's beginning, or a time without what others add to it: nanoseconds of pandas. None: NaT."""
    if given != given:
        return None
    if not isinstance(given, datetime):
        return datetime(given.year, given.month, given.day)
    if type(given) is datetime:
        return given
    return datetime.combine(given.date(), given.time(), given.tzinfo)


def _parse(value: Any) -> datetime | None:
    """A time from ISO text, also with a date as MetaTrader has it, or from seconds or milliseconds since 1970."""
    try:
        value = _without_numpy(value)
        if isinstance(value, str):
            return datetime.fromisoformat(_DAY.sub(r"\1-\2-\3", value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            # Seconds until the year 5138, milliseconds beyond.
            return datetime.fromtimestamp(value / 1000 if abs(value) >= 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _without_numpy(value: Any) -> Any:
    """A scalar of numpy as the number or the ISO text that it is; anything else as it is."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return str(value) if kind == "M" else value.item() if kind in ("i", "u", "f") else value


def moment(name: str, value: date | timedelta | str | None, now: datetime) -> datetime | None:
    """A border in time: a time, a day (its beginning, UTC), ISO text, or how long ago (`7d`, `12h`, `2w`, a timedelta).

    Raises:
        InvalidInputError: it is none of these.
    """
    if value is None:
        return None
    if isinstance(value, date):
        when = _moment_of(value)
    else:
        ago = age(value) if isinstance(value, str) else None
        if isinstance(value, timedelta):
            # Without the nanoseconds that pandas' has.
            ago = timedelta(value.days, value.seconds, value.microseconds)
        try:
            when = now - ago if ago is not None else _parse(value)
        except OverflowError:
            when = None
    if when is None:
        raise InvalidInputError(f"{name} {value!r} is neither a time (2026-01-31T09:30:00Z) nor how long ago (7d, 12h)")
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def age(value: str) -> timedelta | None:
    """A length of time from text: `7d`, `12h`, `30m`, `2w`, `45s`; None where it is none."""
    match = _AGO.fullmatch(value.strip())
    try:
        return timedelta(**{_UNIT[match[2]]: float(match[1])}) if match else None
    except OverflowError:
        return None


def digest(text: bytes) -> str:
    """SHA-256 of a document's text, hexadecimal."""
    return hashlib.sha256(text).hexdigest()


def searchable(value: Any) -> str | None:
    """Parameters or metrics as JSONB takes them: NaN and Infinity null, U+0000 and lone surrogates replaced.

    None where there is nothing, or its JSON has more than 262,144 characters.
    """
    if not isinstance(value, dict | list) or not value:
        return None
    try:
        text = json.dumps(_adapted(value), ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return None
    return text if len(text) <= _SEARCHABLE else None


def _adapted(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {_clean(key): _adapted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_adapted(item) for item in value]
    # JSONB keeps numbers of 131,072 digits before the point, and nobody searches for them.
    return None if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 4_096 else value


def _clean(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _unicode(what: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidInputError(f"{what} {text!a} holds a lone surrogate, which is not text: choose another") from exc
    return text


def uuid7(clock: Callable[[], int] = time.time_ns, random: Callable[[int], bytes] = os.urandom) -> UUID:
    """A version 7 UUID (RFC 9562): 48 bits of Unix milliseconds, 74 random bits; later ones sort later."""
    milliseconds = clock() // 1_000_000
    tail = int.from_bytes(random(10), "big")
    value = (milliseconds & (2**48 - 1)) << 80 | 7 << 76 | (tail >> 68 & 0xFFF) << 64 | 2 << 62 | tail & (2**62 - 1)
    return UUID(int=value)
