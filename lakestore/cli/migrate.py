"""`lakestore migrate`: bring a pile of JSON results into the lake."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click

from lakestore.cli import exits
from lakestore.cli.options import as_size, complete_files, config, lake_options, open_lake, tree_of
from lakestore.cli.output import complain, counted, printable, say, write
from lakestore.cli.progress import Advance
from lakestore.errors import LakestoreError
from lakestore.process import Process

if TYPE_CHECKING:
    from lakestore.migrate import Entry, Report, Summary

_NAMED = 50
"""Files that fail are named on the terminal up to this many."""
_DID = {
    "saved": "saved",
    "replaced": "replaced, changed since they were migrated",
    "would save": "to be saved",
    "would replace": "to be replaced, changed since they were migrated",
    "same": "in the lake already",
    "unchanged": "done before",
    "elsewhere": "done by another run",
    "skipped": "left out",
    "failed": "failed",
}


@click.command()
@click.argument("sources", metavar="SRC...", nargs=-1, required=True, shell_complete=complete_files)
@click.option("--dry-run", is_flag=True, help="Read and prove everything, tell what would happen, write nothing.")
@click.option("--force", is_flag=True, help="Do files again that are done, and bring back what was deleted since.")
@click.option(
    "--task-id",
    metavar="TEMPLATE",
    default="{stem}",
    show_default=True,
    help="The results' ids, made of {stem}, {name}, {parent}, {member}; or {id}: the documents' own.",
)
@click.option("--strategy", metavar="TEMPLATE", help="The strategy of documents that name none, such as '{parent}'.")
@click.option(
    "--profile",
    shell_complete=complete_files,
    help="How to read the documents: a name, or a TOML file; recognised by default.",
)
@click.option("--pattern", metavar="GLOB", help="Take only files of folders whose name fits, such as 'run-*.json'.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that do the work.")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Results of one transaction, at most.",
)
@click.option(
    "--max-size",
    metavar="SIZE",
    default="256MB",
    show_default=True,
    callback=as_size,
    help="Refuse documents that take more, unpacked.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first file that fails.")
@click.option(
    "--report", metavar="FILE", shell_complete=complete_files, help="Write what became of each file, as JSON."
)
@lake_options
def migrate(
    sources: tuple[str, ...],
    dry_run: bool,
    force: bool,
    task_id: str,
    strategy: str | None,
    profile: str | None,
    pattern: str | None,
    workers: int,
    batch_size: int,
    max_size: int,
    fail_fast: bool,
    report: str | None,
) -> int:
    """Bring JSON results into the lake: files, folders and globs. They are only read.

    .json, .jsonl and .fthypt (a result a line) are read, plain or as .gz or .zst, and freqtrade's .zip
    exports. Each result is proved to come back byte for byte before it is committed. Killed at any
    moment and started again, it does what is left; a file that has changed is done again. Several runs,
    also on several machines, share the work. A file that cannot be brought in is reported, and the
    others are; the exit code is 1 then. Of the tree of JSON files that RESULT_STORAGE_JSON_ROOT names,
    what the lake missed while both were written is mended, deletes as well.

    \b
    Example:
      lakestore migrate --dry-run results/
      lakestore migrate --workers 4 --report report.json results/
      lakestore migrate --task-id '{parent}-{stem}' --strategy '{parent}' results/
    """
    settings = config()
    with contextlib.ExitStack() as stack:
        from lakestore import migrate as library

        # While nothing is open yet: what this process has loaded, its copies need not load again.
        ahead = range(min(workers, os.cpu_count() or 1))
        started = [stack.enter_context(Process(library.WORKER, fork=True)) for _ in ahead]
        options = library.Options(
            task_id=task_id,
            strategy=strategy,
            profile=profile,
            force=force,
            batch_size=batch_size,
            max_size=max_size,
            dry_run=dry_run,
        )
        lake = stack.enter_context(open_lake(settings))
        written = None if report is None else stack.enter_context(library.Report(report))
        advance = stack.enter_context(Advance("reading" if dry_run else "migrating"))
        observer = _Terminal(advance, written)
        try:
            summary = library.migrate(
                lake,
                sources,
                options,
                pattern=pattern,
                workers=workers,
                started=started,
                fail_fast=fail_fast,
                tree=tree_of(settings),
                leave_out=[] if report is None else [report],
                observer=observer,
            )
        except LakestoreError:
            observer.broke_off()
            raise
    _tell(summary, dry_run)
    if summary.interrupted:
        return exits.INTERRUPTED
    return exits.EXIT_CODES["error"][0] if summary.failed or summary.unmended else 0


class _Terminal:
    """Shows how the run gets on, and writes the report."""

    def __init__(self, advance: Advance, report: Report | None) -> None:
        self._advance = advance
        self._report = report
        self._waits = False
        self._failed = 0
        self._planned = self._ended = 0

    def planned(self, files: int, size: int) -> None:
        self._planned = files
        self._advance.start(files, size)

    def done(self, entry: Entry, size: int | None) -> None:
        if self._report is not None:
            self._report.add(entry)
        if entry.outcome == "failed":
            self._failed += 1
            if self._failed <= _NAMED:
                self._advance.tell(f"failed {entry.path}: {entry.reason}")
            elif self._failed == _NAMED + 1:
                self._advance.tell("further files that fail are counted; --report FILE names all of them")
        if size is not None:
            self._ended += 1
            self._advance.advance(size)

    def waiting(self, files: int) -> None:
        if not self._waits:
            self._waits = True
            self._advance.tell(f"waiting for {counted(files, 'file')} that other runs are working on")

    def broke_off(self) -> None:
        """Say how far the run got before an error ended it."""
        if self._planned:
            planned = counted(self._planned, "file")
            self._advance.tell(
                f"broken off after {self._ended:,} of {planned}; the same command goes on with the others"
            )

    def stopping(self) -> None:
        self._advance.tell("stopping when the batches under way are committed; Ctrl-C again stops at once")


def _tell(summary: Summary, dry_run: bool) -> None:
    total = sum(summary.outcomes.values())
    lines = [f"{counted(total, 'file')} in {summary.seconds:,.1f} s"]
    lines += [f"{count:>9,} {_DID[outcome]}" for outcome in _DID if (count := summary.outcomes[outcome])]
    if summary.bytes_before and summary.bytes_after:
        shrunk = 100 - 100 * summary.bytes_after / summary.bytes_before
        change = f"{shrunk:.1f} % less" if shrunk >= 0 else f"{-shrunk:.1f} % more"
        verb = "would take" if dry_run else "take"
        lines.append(
            f"{counted(summary.results, 'result')} of {summary.bytes_before:,} bytes of JSON {verb} "
            f"{summary.bytes_after:,} bytes ({change})"
        )
    if summary.copies:
        lines.append(f"{summary.copies:,} of the results saved hold the same document as a result of another task id")
    if summary.mended:
        lines.append(f"{counted(summary.mended, 'result')} mended, of which the lake had missed something")
    write("\n".join(map(printable, lines)) + "\n")
    for reason in summary.unmended:
        complain(reason)
    if summary.interrupted or summary.stopped:
        left = f"with {counted(summary.left, 'file')} left; the same command goes on"
        say(f"stopped {left if summary.left else 'when no file was left'}")
