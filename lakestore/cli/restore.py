"""`lakestore restore`: bring back what was deleted or replaced."""

from __future__ import annotations

from uuid import UUID

import click

from lakestore.cli.options import config, format_option, lake_options, open_lake
from lakestore.cli.output import Field, print_rows, printable, say

_FIELDS = (
    Field("version"),
    Field("let_go_at"),
    Field("reason"),
    Field("strategy"),
    Field("status"),
    Field("created_at"),
    Field("json_size", number=True),
    Field("sha256"),
)


@click.command()
@click.argument("task_id")
@click.option("--version", type=click.UUID, help="This version, as --list names it; the last one let go by default.")
@click.option("--replace", is_flag=True, help="Let go the live result that has the task id now.")
@click.option("--list", "listed", is_flag=True, help="Only list the versions that can be brought back.")
@format_option
@lake_options
def restore(task_id: str, version: UUID | None, replace: bool, listed: bool, format: str | None) -> None:
    """Bring back a result that was deleted or replaced, until vacuum has taken it.

    \b
    Example:
      lakestore restore 20240906-123210
      lakestore restore 20240906-123210 --list
    """
    from lakestore import maintenance

    settings = config(format)
    with open_lake(settings) as lake:
        if listed:
            found = maintenance.versions(lake, task_id)
            rows = (
                (
                    each.info.write_id,
                    each.let_go_at,
                    each.reason,
                    each.info.strategy,
                    each.info.status,
                    each.info.created_at,
                    each.info.json_size,
                    each.info.sha256,
                )
                for each in found
            )
            print_rows(_FIELDS, rows, settings.format)
            return
        info = maintenance.restore(lake, task_id, version=version, replace=replace)
    say(printable(f"restored {info.task_id}: {info.json_size:,} bytes of JSON, run of {info.created_at:%Y-%m-%d}"))
