"""How a record table was written: its white space by depth, its escapes, its float dialect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from lakestore.codec.strings import PLAIN, Escapes, escape

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[ \t\r\n]+|[^ \t\r\n\[\]{},:"]+')
_LETTER = re.compile(rb"\\u(?!00[0-7])[0-9]{0,3}([a-fA-F])")
_OTHER = re.compile(rb"\\u(?:00[0-7][0-9a-fA-F]|202[89])")
_SLASHED = re.compile(rb"[0-9]\\/[0-9]")
_BEYOND = re.compile(rb"\\u(?!00[0-7])[0-9a-fA-F]{4}")
_SAMPLE = 65_536


class Gaps(NamedTuple):
    """White space of one kind of container at one depth: after its opening, after a comma, before its closing."""

    open: str
    item: str
    close: str


@dataclass(frozen=True, slots=True)
class Style:
    """What the renderer needs beside the values. Depth 0 is the record table's own container.

    Attributes:
        gaps: by (depth, "[" or "{").
        colon: from a key to its value, with the colon.
        comma: the comma with what stands before it.
        escapes: how texts are written.
        dialect: name that `numbers.dialect` reads.
    """

    gaps: Mapping[tuple[int, str], Gaps] = field(default_factory=dict)
    colon: str = ":"
    comma: str = ","
    escapes: Escapes = PLAIN
    dialect: str = "python"

    def at(self, depth: int, bracket: str) -> Gaps:
        """The gaps there; where the sample showed none, those that the depths above suggest."""
        known = self.gaps.get((depth, bracket)) or self.gaps.get((depth, "{" if bracket == "[" else "["))
        if known is not None:
            return known
        if depth == 0 or not self.gaps:
            return Gaps("", "", "")
        above = self.at(depth - 1, bracket)
        if "\n" not in above.open:
            return above
        unit = above.open[len(above.close) :] if above.open.startswith(above.close) else ""
        return Gaps(above.open + unit, above.item + unit, above.open)

    def closed(self, gap: str) -> Style:
        """The style with this white space before the closing bracket of the record table."""
        bracket = "[" if (0, "[") in self.gaps else "{"
        here = self.at(0, bracket)
        if here.close == gap:
            return self
        return replace(self, gaps={**self.gaps, (0, bracket): here._replace(close=gap)})

    def to_json(self) -> dict[str, Any]:
        """The style as JSON values."""
        return {
            "gaps": [[depth, bracket, *gaps] for (depth, bracket), gaps in self.gaps.items()],
            "colon": self.colon,
            "comma": self.comma,
            **self.escapes.to_json(),
            "dialect": self.dialect,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Style:
        """The style that `to_json` gave."""
        gaps = {(depth, bracket): Gaps(*rest) for depth, bracket, *rest in value["gaps"]}
        return cls(gaps, value["colon"], value["comma"], Escapes.from_json(value), value["dialect"])


COMPACT = Style()
"""No white space, UTF-8: how lakestore writes a `dict`."""


def escapes(text: bytes) -> Escapes:
    """What a document's writer escaped."""
    if b"\\" not in text:  # one byte is looked for much faster than two
        return PLAIN
    ascii, slash = text.isascii() and _has(text, b"\\u"), _has(text, b"\\/")
    # Who escapes what is beyond ASCII escapes U+007F too: where that stands as it is, only control characters are.
    ascii = ascii and (b"\x7f" not in text or _BEYOND.search(text) is not None)
    first = _LETTER.search(text) if ascii else None
    found = Escapes(ascii, slash, first is not None and first[1].isupper())
    tokens = set(_OTHER.findall(text)) if b"\\u00" in text or b"\\u202" in text else ()
    other = [(chr(int(token[2:], 16)), token.decode()) for token in sorted(tokens) if _has(text, token)]
    if slash and _SLASHED.search(text):
        # Times such as `2024\/01\/02` are columns of times, where only what has an escape of its own is escaped.
        found, other = replace(found, slash=False), [("/", "\\/"), *other]
    return replace(found, other=tuple((char, token) for char, token in other if escape(char, found) != f'"{token}"'))


def _has(text: bytes, escape: bytes) -> bool:
    """Whether an escape stands in a text: a backslash that is itself escaped makes none of what follows it."""
    return escape in text and re.search(rb"(?<!\\)(?:\\\\)*" + re.escape(escape), text) is not None


def detect(text: bytes, start: int, escapes: Escapes, *, thorough: bool = True) -> Style:
    """The style of the container that begins at `text[start]`, from its first 64 KiB at most.

    Unless `thorough`, a few records are enough; containers that are empty in them are guessed.
    """
    gaps: dict[tuple[int, str], list[str | None]] = {}
    stack: list[tuple[int, str]] = []
    colon, comma = ":", ","
    space = ""
    before = ""
    last = b""
    records = 0
    at = start
    for match in _TOKEN.finditer(text, start, min(len(text), start + _SAMPLE)):
        if match.start() != at:
            # A text that the sample's end cuts: what it holds, such as a time of day, is no punctuation.
            break
        token, at = match.group(), match.end()
        if token[0] in b" \t\r\n":
            space = token.decode()
            continue
        if last in (b"[", b"{") and token not in (b"]", b"}"):
            gaps[stack[-1]][0] = space
        elif last == b"," and gaps[stack[-1]][1] is None:
            gaps[stack[-1]][1] = space
        elif last == b":":
            colon = f"{before}:{space}"
        if token in (b"[", b"{"):
            stack.append((len(stack), token.decode()))
            gaps.setdefault(stack[-1], [None, None, None])
        elif token in (b"]", b"}"):
            here = stack.pop()
            if last not in (b"[", b"{"):
                gaps[here][2] = space
            if not stack:
                break
            records += len(stack) == 1
        elif token == b":":
            before = space
        elif token == b",":
            comma = space + ","
            if records >= 3 and match.end() - start > (8_192 if thorough else 1_024):
                break
        last, space = token, ""
    # On one line, what follows a comma is the same everywhere: where the sample has only the first of long records too.
    line = next((item for _, item, _ in gaps.values() if item is not None and "\n" not in item), None)
    found = {}
    for (depth, bracket), (opened, item, closed) in gaps.items():
        if opened is None:
            continue
        guess = opened if line is None or "\n" in opened else line
        found[depth, bracket] = Gaps(opened, _first(item, guess), _first(closed, ""))
    # A container's close may be beyond the sample: it mirrors one level less than its opening.
    for (depth, bracket), (opened, _, closed) in gaps.items():
        if opened is not None and closed is None and "\n" in opened:
            width = _step(found, depth, opened)
            found[depth, bracket] = found[depth, bracket]._replace(close=opened[: len(opened) - width])
    return Style(found, colon, comma, escapes)


def _step(found: Mapping[tuple[int, str], Gaps], depth: int, opened: str) -> int:
    """Characters by which a level is indented more than the one above, from the levels beside one."""
    for below, sign in ((depth + 1, 1), (depth - 1, -1)):
        for bracket in "{[":
            beside = found.get((below, bracket))
            if beside is not None and "\n" in beside.open:
                return sign * (len(beside.open) - len(opened))
    return len(opened) - len(opened.lstrip("\r\n"))


def _first(value: str | None, default: str) -> str:
    return default if value is None else value
