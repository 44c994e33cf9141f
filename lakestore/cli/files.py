"""`lakestore files`: the live data files, for other tools."""

from __future__ import annotations

import click

from lakestore.cli.options import config, format_option, lake_options, open_lake
from lakestore.cli.output import Field, print_rows, say, write

_FIELDS = (
    Field("table"),
    Field("path"),
    Field("strategy"),
    Field("run_date"),
    Field("rows", number=True),
    Field("bytes", number=True),
    Field("dead"),
)


@click.command()
@click.option("--table", help="Only files of this lake table.")
@click.option("--strategy", help="Only files of this strategy.")
@format_option
@lake_options
def files(table: str | None, strategy: str | None, format: str | None) -> None:
    """List the live data files, for other tools.

    Absolute paths, one a line, of the files that hold live rows; for DuckDB, polars, Spark. A file may
    also hold rows of results that were replaced or deleted since: JSON and CSV name their task ids
    under 'dead', and a note on standard error says so.

    \b
    Example:
      lakestore files --table trades
      lakestore files --table trades --strategy breakout --format json
    """
    settings = config(format)
    with open_lake(settings) as lake:
        found = lake.files(table=table, strategy=strategy)
        root = lake.root.absolute()
    if settings.format == "table":
        write("".join(f"{root / file.path}\n" for file in found))
    else:
        rows = (
            (file.table, str(root / file.path), file.strategy, file.run_date, file.rows, file.bytes, file.dead)
            for file in found
        )
        print_rows(_FIELDS, rows, settings.format)
    dead = sum(bool(file.dead) for file in found)
    if dead:
        say(f"note: {dead} of these files also hold rows of dead results; --format json names their task ids")
