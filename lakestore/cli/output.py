"""What commands print: rows as table, JSON or CSV on stdout; everything else on stderr.

Values keep their exact text. JSON has no NaN and no infinities: they are written as text, `"NaN"`, `"Infinity"`,
`"-Infinity"`; times as ISO 8601 text. In CSV a missing value is empty and an empty text is `""`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TextIO

import orjson
from rich.cells import cell_len, set_cell_size

from lakestore.config import Format
from lakestore.errors import InvalidInputError, StorageError

_CUT = 80
"""On a terminal a cell is cut at this many columns; in a file or pipe never."""

_SAMPLE = 1000
"""A table's column widths come from this many first rows, so that a long answer is not held in memory."""
_WIDEST = 72
"""Characters up to which a cell widens its column."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column of what is printed; numbers are set to the right."""

    name: str
    number: bool = False


class Raw(str):
    """JSON text that is written into JSON as it stands."""

    __slots__ = ()


def print_rows(fields: Sequence[Field], rows: Iterable[Sequence[Any]], format: Format) -> None:
    """Print rows on stdout, as they come.

    Raises:
        InvalidInputError: two columns have one name, which a JSON object cannot hold.
    """
    if format == "json":
        _print_json(fields, rows)
    elif format == "csv":
        _print_csv(fields, rows)
    else:
        _print_table(fields, rows)


def write(data: str | bytes) -> None:
    """Write data to stdout, text as UTF-8 whatever the locale.

    Raises:
        BrokenPipeError: the reader went away.
        StorageError: nothing more can be written there: the disk is full, or it was closed by who started us.
    """
    # A path may hold bytes that are no UTF-8; they are written as they were.
    raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise unwritten(exc) from exc


def unwritten(error: OSError) -> StorageError:
    """What to say of an error of stdout, which takes nothing more."""
    discard()
    return StorageError(f"cannot write to standard output: {error.strerror}; what was printed is not whole")


def discard() -> None:
    """Let stdout take nothing more: what is still buffered must not fail again when Python closes the stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_streams() -> None:
    """Open what of the three streams was closed by who started us, so that no other file comes to stand there.

    Messages go nowhere then, instead of among the data; data that cannot be written are an error.
    """
    if sys.stdin is None:
        sys.stdin = open(os.open(os.devnull, os.O_RDONLY))
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = open(os.open(os.devnull, os.O_WRONLY), "w")


def say(message: str) -> None:
    """Tell the user something on stderr."""
    print(printable(message, keep="\n\t"), file=sys.stderr, flush=True)


def complain(message: str) -> None:
    """Print `error: message` on stderr."""
    head = "\x1b[31merror:\x1b[0m" if colored(sys.stderr) else "error:"
    print(head, printable(message, keep="\n\t"), file=sys.stderr, flush=True)


@contextlib.contextmanager
def doing(message: str) -> Iterator[None]:
    """Show on stderr what is under way, on a terminal only, and take it away at the end."""
    if not sys.stderr.isatty():
        yield
        return
    sys.stderr.write(f"\r{printable(message)} …")
    sys.stderr.flush()
    try:
        yield
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def colored(stream: TextIO) -> bool:
    """Whether a stream takes colour: a terminal, and neither NO_COLOR nor TERM=dumb."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def printable(text: str, keep: str = "") -> str:
    """Text without control characters: a stored name must not be able to steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else json.dumps(c)[1:-1] for c in text)


def counted(number: int, one: str) -> str:
    """So many things: `1 file`, `2 files`."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


def megabytes(size: int) -> str:
    """Bytes as MB, fewer than a tenth of one as bytes."""
    return counted(size, "byte") if 0 < size < 50_000 else f"{size / 1e6:,.1f} MB"


def plain(value: Any) -> str:
    """A value as a table or CSV shows it; None is the empty text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping | list | tuple):
        return to_json(value)
    return str(value)


def to_json(value: Any) -> str:
    """A value as JSON text."""
    if isinstance(value, Raw):
        return str(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return repr(value)
        return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_text(str(key))}:{to_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(to_json, value)) + "]"
    return _text(plain(value))


def _text(text: str) -> str:
    try:
        return orjson.dumps(text).decode()
    except orjson.JSONEncodeError:  # a lone surrogate; ASCII escapes can hold it
        return json.dumps(text)


def _iso(value: datetime) -> str:
    if value.utcoffset() == timedelta():
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    return value.isoformat()


def _print_json(fields: Sequence[Field], rows: Iterable[Sequence[Any]]) -> None:
    names = [field.name for field in fields]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InvalidInputError(f"two columns are called {min(twice)!r}, JSON keeps one; name one of them anew with AS")
    keys = [_text(name) for name in names]
    before = "[\n"
    for batch in _batches(rows):
        lines = ("{" + ",".join(f"{k}:{to_json(v)}" for k, v in zip(keys, row, strict=True)) + "}" for row in batch)
        write(before + ",\n".join(lines))
        before = ",\n"
    write("[]\n" if before == "[\n" else "\n]\n")


def _print_csv(fields: Sequence[Field], rows: Iterable[Sequence[Any]]) -> None:
    write(",".join(_quoted(field.name) for field in fields) + "\n")
    for batch in _batches(rows):
        write("".join(",".join(map(_quoted, row)) + "\n" for row in batch))


def _quoted(value: Any) -> str:
    text = plain(value)
    if any(c in text for c in ',"\r\n') or (value is not None and not text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _print_table(fields: Sequence[Field], rows: Iterable[Sequence[Any]]) -> None:
    terminal = sys.stdout.isatty()
    widths: list[int] = []
    for batch in itertools.chain(_batches(rows), [None]):
        cells = [[_cell(value, terminal) for value in row] for row in batch or ()]
        if not widths:
            names = [_cell(field.name, terminal) for field in fields]
            columns = zip(*cells, strict=True) if cells else [()] * len(fields)
            widths = [
                _width(cell_len(name), list(map(cell_len, column))) for name, column in zip(names, columns, strict=True)
            ]
            head = _line(names, widths, fields)
            write((f"\x1b[1m{head}\x1b[0m" if colored(sys.stdout) else head) + "\n")
            write("  ".join("-" * width for width in widths) + "\n")
        write("".join(_line(row, widths, fields) + "\n" for row in cells))


def _width(name: int, cells: Sequence[int]) -> int:
    """A column's width. A cell far longer than the others sticks out of its line instead of padding all of them."""
    most = max(_WIDEST, sorted(cells)[len(cells) // 2] * 5 // 4) if cells else _WIDEST
    return max([name, *(size for size in cells if size <= most)])


def _cell(value: Any, cut: bool) -> str:
    text = printable(plain(value))
    return set_cell_size(text, _CUT - 1).rstrip() + "…" if cut and cell_len(text) > _CUT else text


def _line(cells: Sequence[str], widths: Sequence[int], fields: Sequence[Field]) -> str:
    padded = (
        " " * (width - cell_len(cell)) + cell if field.number else cell + " " * (width - cell_len(cell))
        for cell, width, field in zip(cells, widths, fields, strict=True)
    )
    return "  ".join(padded).rstrip()


def _batches(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    source = iter(rows)
    while batch := list(itertools.islice(source, _SAMPLE)):
        yield batch
