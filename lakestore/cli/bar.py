"""The bar that shows on a terminal how a long command gets on."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from lakestore.cli.output import colored, printable


class Bar:
    """Files done of those to do, their rate and the time left; as long as the bytes that are done."""

    def __init__(self, what: str, files: int, size: int) -> None:
        """Show it on stderr until it is stopped."""
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[files]:,} of {task.fields[all_files]:,} files"),
            _Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True, no_color=not colored(sys.stderr)),
            transient=True,
        )
        self._task = self._progress.add_task(what, total=max(size, 1), files=0, all_files=files)
        self._progress.start()

    def advance(self, size: int, files: int) -> None:
        """So many more bytes, and so many files altogether, are done."""
        self._progress.update(self._task, advance=size, files=files)

    def tell(self, message: str) -> None:
        """Print a line above it."""
        self._progress.console.print(Text(printable(message, keep="\n")))

    def stop(self) -> None:
        """Take it away."""
        self._progress.stop()


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        seconds = task.elapsed or 0.0
        files = task.fields["files"]
        return Text(f"{files / seconds:,.1f} files/s" if files and seconds else "")
