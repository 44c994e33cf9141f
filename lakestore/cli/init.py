"""`lakestore init`: make a lake."""

from __future__ import annotations

from typing import cast, get_args

import click

from lakestore.cli.options import config, lake_options
from lakestore.cli.output import say
from lakestore.model import Numbers, Partition


@click.command()
@click.option(
    "--partition",
    type=click.Choice(get_args(Partition)),
    default="day",
    show_default=True,
    help="How much time one directory of data files spans; with few runs a day, month makes fewer files.",
)
@click.option(
    "--numbers",
    type=click.Choice(get_args(Numbers)),
    default="decimal",
    show_default=True,
    help="How decimal numbers lie in the files: as decimals, smaller, or as doubles, ready for pandas and polars.",
)
@lake_options
def init(partition: str, numbers: str) -> None:
    """Make a lake.

    How numbers lie in the files holds for the lake's life; 'compact --partition' makes partitions coarser later.

    \b
    Example:
      lakestore init --partition month
      lakestore init --lake /data/lake --dsn 'host=db dbname=lake user=quant'
    """
    from lakestore.lake import Lake

    settings = config()
    lake = Lake.create(
        settings.lake,
        dsn=settings.dsn or "",
        partition=cast(Partition, partition),
        numbers=cast(Numbers, numbers),
    )
    with lake:
        say(f"made a lake in {lake.root} with {'its own' if settings.dsn is None else 'the given'} catalog")
