"""Times among other texts of a column: the commonest kind of them is read, the others are told."""

from __future__ import annotations

import re
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from lakestore.codec.times import TEXT, TimeFormat, parse

_LOOKED = 64
"""Texts of a column in which times are looked for."""


def part(texts: pa.StringArray) -> tuple[TimeFormat, pa.Array, pa.Array] | None:
    """Read the commonest kind of times in a column that holds other texts too.

    Returns:
        The format; the values, null where the text is another or null; where the others are. None: there are no times,
        or nothing else.
    """
    looked = [text.encode() for text in texts.slice(0, _LOOKED).to_pylist() if text is not None]
    found = Counter(_kind(guess) for guess in map(TEXT.fullmatch, looked) if guess is not None)
    for pattern, _ in found.most_common(1):
        alike = pc.match_substring_regex(texts, pattern)
        read = parse(pc.if_else(alike, texts, pa.scalar(None, pa.string())))
        others = pc.fill_null(pc.invert(alike), False)
        if read is not None and pc.any(others).as_py():
            return *read, others
    return None


def _kind(guess: re.Match[bytes]) -> str:
    """The pattern of texts like the one that was matched: of its dash, separator and zone."""
    dash = f"[{guess['dash'].decode()}]"
    date, fraction = f"^[0-9]{{4}}{dash}[0-9]{{2}}{dash}[0-9]{{2}}", r":[0-9]{2}([.,][0-9]{1,9})?"
    if guess["separator"] is None:
        return f"{date}$"
    separator, zone = guess["separator"].decode(), re.sub(r"\+", "[+]", guess["zone"].decode())
    return f"{date}{separator}[0-9]{{2}}:[0-9]{{2}}{fraction if guess['seconds'] is not None else ''}{zone}$"
