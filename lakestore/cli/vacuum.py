"""`lakestore vacuum`: delete what was let go long ago."""

from __future__ import annotations

from datetime import timedelta

import click

from lakestore.cli.options import as_age, config, format_option, lake_options, open_lake
from lakestore.cli.output import Field, counted, doing, megabytes, print_rows, say

_FIELDS = (Field("path"), Field("bytes", number=True), Field("why"))


@click.command()
@click.option(
    "--older-than",
    metavar="AGE",
    callback=as_age,
    default="7d",
    show_default=True,
    help="Only what was let go longer ago: 7d, 12h, 30m; readers may take so long.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@format_option
@lake_options
def vacuum(older_than: timedelta, dry_run: bool, format: str | None) -> None:
    """Delete the files of results that were deleted, replaced or compacted longer ago.

    Also what killed processes left behind, after an hour at least. Nothing else deletes data files, and what
    is gone cannot be restored. The files are listed on standard output, the sums on standard error.

    \b
    Example:
      lakestore vacuum --dry-run
      lakestore vacuum --older-than 30d
    """
    from lakestore import maintenance

    settings = config(format)
    with open_lake(settings) as lake, doing("vacuuming"):
        done = maintenance.vacuum(lake, older_than=older_than, dry_run=dry_run)
    print_rows(_FIELDS, ((file.path, file.bytes, file.why) for file in done.files), settings.format)
    would = "would remove" if dry_run else "removed"
    files, versions = counted(len(done.files), "file"), counted(done.versions, "version")
    say(f"{would} {files} ({megabytes(done.bytes)}), {versions} of results")
