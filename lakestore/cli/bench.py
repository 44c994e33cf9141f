"""`lakestore bench`: what lakestore costs on this machine."""

from __future__ import annotations

import click

from lakestore.cli.options import format_option
from lakestore.cli.output import Field, print_rows, say

_FIELDS = (Field("scenario"), Field("step"), Field("value", number=True), Field("unit"))


@click.command()
@click.option(
    "--num-signals",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    metavar="N",
    help="Signals of a document; files to be migrated have a tenth.",
)
@format_option
def bench(num_signals: int, format: str | None) -> None:
    """Measure lakestore on this machine.

    Three scenarios on a lake of their own in the temporary directory: a document converted and brought
    back, results saved and found and loaded, 100 files migrated. Every answer is compared with what was saved.

    \b
    Example:
      lakestore bench
      lakestore bench --num-signals 1000 --format json
    """
    from lakestore.bench import run
    from lakestore.cli.options import config

    steps = run(num_signals, begun=lambda name: say(f"{name} …"))
    rows = [(step.scenario, step.step, step.value, step.unit) for step in steps]
    print_rows(_FIELDS, rows, config(format).format)
