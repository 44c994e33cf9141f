"""`lakestore tables`: the lake tables and their columns."""

from __future__ import annotations

from collections.abc import Iterator

import click

from lakestore.cli.options import config, format_option, lake_options, open_lake
from lakestore.cli.output import Field, print_rows
from lakestore.errors import NotFoundError
from lakestore.model import Column, LakeTable

_FIELDS = (Field("table"), Field("column"), Field("type"), Field("key"))


@click.command()
@click.argument("names", metavar="[TABLE]...", nargs=-1)
@format_option
@lake_options
def tables(names: tuple[str, ...], format: str | None) -> None:
    """List the lake tables and their columns: of all, or of those named.

    The key is the one that a column has in documents. Beside these, every lake table has the columns
    task_id, strategy and run_date.

    \b
    Example:
      lakestore tables
      lakestore tables trades --format csv
    """
    settings = config(format)
    with open_lake(settings) as lake:
        found = lake.tables()
    unknown = next((name for name in names if name not in found), None)
    if unknown is not None:
        raise NotFoundError(f"there is no lake table {unknown!r}; there are: {', '.join(sorted(found)) or 'none'}")
    rows = (row for name in names or sorted(found) for row in _columns(found[name]))
    print_rows(_FIELDS, rows, settings.format)


def _columns(table: LakeTable) -> Iterator[tuple[str, str, str, str]]:
    for column in table.shown:
        yield table.name, column.name, sql_type(column, table), column.key


def sql_type(column: Column, table: LakeTable) -> str:
    """A column's type in SQL, with its members."""
    children = [child for child in table.columns if child.parent == column.field_id and not child.is_ulps]
    if column.type == "STRUCT":
        return "STRUCT(" + ", ".join(f"{_name(child.name)} {sql_type(child, table)}" for child in children) + ")"
    if column.type == "LIST":
        return f"{sql_type(children[0], table) if children else 'NULL'}[]"
    return column.type


def _name(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else '"' + name.replace('"', '""') + '"'
