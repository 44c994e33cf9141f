"""`lakestore results`: list what is in the lake."""

from __future__ import annotations

import shlex

import click

from lakestore.cli.options import config, format_option, lake_options, open_lake
from lakestore.cli.output import Field, print_rows, printable, say
from lakestore.model import ResultInfo

_SHORT = (
    Field("task_id"),
    Field("strategy"),
    Field("status"),
    Field("created_at"),
    Field("json_size", number=True),
    Field("file_size", number=True),
)
_FULL = (
    *_SHORT,
    Field("run_date"),
    Field("strategies"),
    Field("sha256"),
    Field("profile"),
    Field("fidelity"),
    Field("fidelity_bytes", number=True),
    Field("saved_at"),
    Field("tables"),
    Field("params"),
    Field("metrics"),
)


@click.command()
@click.option("--strategy", help="Only results of this strategy.")
@click.option("--status", help="Only results of this status.")
@click.option("--since", metavar="TIME", help="Only runs from this time on: ISO 8601, or an age such as 7d or 12h.")
@click.option("--until", metavar="TIME", help="Only runs before this time: ISO 8601, or an age.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@click.option("--after", metavar="TASK_ID", help="The next page: what comes after this result.")
@format_option
@lake_options
def results(
    strategy: str | None,
    status: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    after: str | None,
    format: str | None,
) -> None:
    """List results, newest run first.

    The table is short; JSON and CSV hold everything the catalog knows of each result. Where --limit leaves
    some out, a note on standard error says so.

    \b
    Example:
      lakestore results --since 7d
      lakestore results --strategy breakout --format json
    """
    settings = config(format)
    with open_lake(settings) as lake:
        more = lake.results(strategy=strategy, status=status, since=since, until=until, limit=limit + 1, after=after)
    found = more[:limit]
    fields = _SHORT if settings.format == "table" else _FULL
    print_rows(fields, ([_value(info, field.name) for field in fields] for info in found), settings.format)
    if len(more) > limit:
        after = printable(shlex.quote(found[-1].task_id))
        say(f"note: there are more than these {limit}; --limit gives more, --after {after} the next")


def _value(info: ResultInfo, name: str) -> object:
    if name == "fidelity":
        return info.fidelity.kind
    return info.fidelity.bytes if name == "fidelity_bytes" else getattr(info, name)
