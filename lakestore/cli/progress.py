"""How a long command gets on: a bar on a terminal, plain lines elsewhere; all of it on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lakestore.cli.output import say

if TYPE_CHECKING:
    from lakestore.cli.bar import Bar

_EVERY_SECONDS = 10.0
"""How often a plain line is printed."""


class Advance:
    """Files and bytes done of those to do."""

    def __init__(self, what: str) -> None:
        """Say what is done, as in `migrating`."""
        self._what = what
        self._files = self._size = 0
        self._done_files = self._done_size = 0
        self._begun = self._printed = time.monotonic()
        self._bar: Bar | None = None

    def start(self, files: int, size: int) -> None:
        """Begin: so many files of so many bytes."""
        self._files, self._size = files, size
        self._begun = self._printed = time.monotonic()
        if not files or not sys.stderr.isatty():
            return
        # Only here: its library is a quarter of what a command loads before it works.
        from lakestore.cli.bar import Bar

        self._bar = Bar(self._what, files, size)

    def advance(self, size: int) -> None:
        """Another file has ended."""
        self._done_files += 1
        self._done_size += size
        if self._bar is not None:
            self._bar.advance(size, self._done_files)
            return
        now = time.monotonic()
        if self._files and now - self._printed >= _EVERY_SECONDS:
            self._printed = now
            say(self._line(now - self._begun))

    def tell(self, message: str) -> None:
        """Print a line on stderr, above the bar."""
        if self._bar is None:
            say(message)
        else:
            self._bar.tell(message)

    def _line(self, seconds: float) -> str:
        share = self._done_size / self._size if self._size else self._done_files / self._files
        left = seconds / share - seconds if share else 0.0
        rate = self._done_files / seconds
        return f"{self._done_files:,} of {self._files:,} files, {rate:,.1f} files/s, {_clock(left)} left"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
