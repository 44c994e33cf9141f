"""`lakestore doctor`: is everything in order?"""

from __future__ import annotations

import click

from lakestore.cli import exits
from lakestore.cli.options import config, format_option, lake_options, open_lake
from lakestore.cli.output import Field, print_rows
from lakestore.errors import LakestoreError

_FIELDS = (Field("check"), Field("ok"), Field("detail"))


@click.command()
@format_option
@lake_options
def doctor(format: str | None) -> int:
    """Check that everything is in order.

    Looks at versions, the catalog and the lake, and says what to do about what is wrong; exits with 1 if anything is.

    \b
    Example:
      lakestore doctor
      lakestore doctor --format json
    """
    settings = config(format)
    try:
        with open_lake(settings) as lake:
            checks = [(check.name, check.ok, check.detail) for check in lake.doctor()]
    except LakestoreError as exc:
        from lakestore.doctor import versions

        checks = [*((check.name, check.ok, check.detail) for check in versions()), ("lake opens", False, str(exc))]
    shown = settings.format == "table"
    rows = [(name, ("ok" if ok else "WRONG") if shown else ok, detail) for name, ok, detail in checks]
    print_rows(_FIELDS, rows, settings.format)
    return 0 if all(ok for _, ok, _ in checks) else exits.EXIT_CODES["error"][0]
