"""`lakestore compact`: make few large files of many small ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from lakestore.cli import exits
from lakestore.cli.options import as_size, config, format_option, lake_options, open_lake
from lakestore.cli.output import Field, counted, megabytes, print_rows, say

if TYPE_CHECKING:
    from lakestore.model import Partition

_FIELDS = (
    Field("table"),
    Field("strategy"),
    Field("run_date"),
    Field("files", number=True),
    Field("bytes", number=True),
    Field("into", number=True),
    Field("into_bytes", number=True),
    Field("problem"),
)


@click.command()
@click.option("--strategy", help="Only files of this strategy.")
@click.option("--table", help="Only files of this lake table, or of 'results'.")
@click.option(
    "--target-size", metavar="SIZE", default="32MB", show_default=True, callback=as_size, help="Merge up to this size."
)
@click.option(
    "--partition",
    type=click.Choice(["month", "year"]),
    help="Make the lake's partitions coarser: what is compacted moves, and new results go there.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be merged.")
@format_option
@lake_options
def compact(
    strategy: str | None,
    table: str | None,
    target_size: int,
    partition: Partition | None,
    dry_run: bool,
    format: str | None,
) -> int:
    """Merge the small files of each partition into few.

    Every document is rebuilt from the new files and compared before they take the place of the old ones, which
    'vacuum' deletes later. Others may save, replace, delete and read meanwhile: where somebody changes the same
    results, compaction looks again, and after three times leaves them for the next run.

    \b
    Example:
      lakestore compact --dry-run
      lakestore compact --strategy breakout
      lakestore compact --partition month
    """
    from lakestore import maintenance

    settings = config(format)
    files = into = before = after = 0
    problems: set[str] = set()

    def rows() -> Iterator[tuple[Any, ...]]:
        nonlocal files, into, before, after
        found = maintenance.compact(
            lake, strategy=strategy, table=table, target_size=target_size, partition=partition, dry_run=dry_run
        )
        for each in found:
            if each.problem is not None:
                problems.add("conflict" if each.lost else "corrupt_file")
            else:
                files, before = files + each.files, before + each.bytes
                into, after = into + each.into, after + each.into_bytes
            yield tuple(getattr(each, field.name) for field in _FIELDS)

    with open_lake(settings) as lake:
        print_rows(_FIELDS, rows(), settings.format)
    if dry_run:
        say(f"would merge {counted(files, 'file')} ({megabytes(before)})")
    else:
        say(f"merged {counted(files, 'file')} ({megabytes(before)}) into {into:,} ({megabytes(after)})")
    if not problems:
        return 0
    return exits.EXIT_CODES["corrupt_file" if "corrupt_file" in problems else "conflict"][0]
