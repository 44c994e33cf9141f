"""How a long command gets on: a bar on a terminal, plain lines elsewhere; all of it on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from lakestore.cli.output import colored, printable, say

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
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def start(self, files: int, size: int) -> None:
        """Begin: so many files of so many bytes."""
        self._files, self._size = files, size
        self._begun = self._printed = time.monotonic()
        if not files or not sys.stderr.isatty():
            return
        console = Console(stderr=True, no_color=not colored(sys.stderr))
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[files]:,} of {task.fields[all_files]:,} files"),
            _Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(self._what, total=max(size, 1), files=0, all_files=files)
        self._bar.start()

    def advance(self, size: int) -> None:
        """Another file has ended."""
        self._done_files += 1
        self._done_size += size
        if self._bar is not None:
            self._bar.update(self._task, advance=size, files=self._done_files)
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
            self._bar.console.print(Text(printable(message, keep="\n")))

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


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        seconds = task.elapsed or 0.0
        files = task.fields["files"]
        return Text(f"{files / seconds:,.1f} files/s" if files and seconds else "")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
