"""`lakestore verify`: rebuild documents and compare them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from lakestore.cli import exits
from lakestore.cli.options import config, format_option, lake_options, open_lake
from lakestore.cli.output import Field, megabytes, print_rows, say

_FIELDS = (Field("task_id"), Field("bytes", number=True), Field("problem"))


@click.command()
@click.argument("task_ids", metavar="[TASK_ID]...", nargs=-1)
@click.option("--sample", metavar="N", type=click.IntRange(min=1), help="Only so many of all, chosen at random.")
@format_option
@lake_options
def verify(task_ids: tuple[str, ...], sample: int | None, format: str | None) -> int:
    """Rebuild documents and compare their SHA-256 with that of what was saved.

    All results, those named, or a sample. The ones that are not exact are listed on standard output with the
    reason, the number of the exact ones on standard error. Exits with 0 only if all are exact.

    \b
    Example:
      lakestore verify --sample 100
      lakestore verify 20240906-123210
    """
    from lakestore import maintenance

    if task_ids and sample is not None:
        raise click.UsageError("--sample chooses among all results; give it or task ids.")
    settings = config(format)
    exact = wrong = size = 0

    def problems() -> Iterator[tuple[str, int, str | None]]:
        nonlocal exact, wrong, size
        for each in maintenance.verify(lake, task_ids or None, sample=sample):
            if each.problem is None:
                exact, size = exact + 1, size + each.bytes
            else:
                wrong += 1
                yield each.task_id, each.bytes, each.problem

    with open_lake(settings) as lake:
        print_rows(_FIELDS, problems(), settings.format)
    say(f"{exact:,} exact ({megabytes(size)} of JSON), {wrong:,} not")
    return exits.EXIT_CODES["corrupt_file"][0] if wrong else 0
