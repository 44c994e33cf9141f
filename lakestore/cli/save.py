"""`lakestore save`: store documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakestore.cli import exits
from lakestore.cli.documents import document, named
from lakestore.cli.options import complete_files, config, lake_options, open_lake
from lakestore.cli.output import complain, counted, doing, printable, say, write
from lakestore.errors import (
    AlreadyExistsError,
    ConflictError,
    CorruptFileError,
    InvalidInputError,
    LakestoreError,
    NotFoundError,
)

if TYPE_CHECKING:
    from lakestore.model import ResultInfo

_OF_ONE_FILE = (InvalidInputError, NotFoundError, AlreadyExistsError, ConflictError, CorruptFileError)
"""Errors that say something of one document; after any other the next document would fail as well."""


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, shell_complete=complete_files)
@click.option("--task-id", help="The result's id; by default the document's own, else one derived from its content.")
@click.option("--strategy", help="The strategy, where the document does not name it.")
@click.option("--status", help="The status; by default the document's own, else 'completed'.")
@click.option("--created-at", help="When the run was made, ISO 8601; by default the document's time, else the file's.")
@click.option(
    "--profile",
    shell_complete=complete_files,
    help="How to read it: a name such as 'freqtrade', or a TOML file; recognised by default.",
)
@click.option("--replace", is_flag=True, help="Put it in the place of a result with the same id and other content.")
@click.option("-q", "--quiet", is_flag=True, help="Print the task ids alone, one a line.")
@lake_options
def save(
    files: tuple[str, ...],
    task_id: str | None,
    strategy: str | None,
    status: str | None,
    created_at: str | None,
    profile: str | None,
    replace: bool,
    quiet: bool,
) -> int:
    """Store JSON documents, each as one result.

    '-' is standard input; files compressed as .gz and .zst are read as well. When a line is printed,
    that result is durable and every byte of it is known to come back. Saving the same document again
    changes nothing. A file that cannot be saved is reported, and the others are saved.

    \b
    Example:
      lakestore save user_data/backtest_results/*.json
      engine --json | lakestore save - --strategy breakout
    """
    if task_id is not None and len(files) > 1:
        raise click.UsageError("--task-id names one result, but several files are given.")
    first_error: LakestoreError | None = None
    failed = 0
    with open_lake(config()) as lake:
        for name in files:
            try:
                with doing(f"saving {name}"):
                    info = lake.save(
                        document(name, lake.max_document),
                        task_id=task_id,
                        strategy=strategy,
                        status=status,
                        created_at=created_at,
                        profile=profile,
                        replace=replace,
                    )
            except _OF_ONE_FILE as exc:
                complain(named(name, exc))
                first_error = first_error or exc
                failed += 1
            else:
                write(f"{info.task_id}\n" if quiet else _describe(name, info))
    if first_error is None:
        return 0
    if len(files) > 1:
        say(f"{failed} of {len(files)} files were not saved")
    return exits.exit_code(first_error)


def _describe(name: str, info: ResultInfo) -> str:
    rows = sum(info.tables.values())
    sizes = f"{info.json_size:,} bytes of JSON in {info.file_size:,}"
    return printable(f"saved {name} as {info.task_id}: {info.strategy}, {counted(rows, 'row')}, {sizes}") + "\n"
