"""`lakestore inspect`: what documents would become."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from lakestore.cli import exits
from lakestore.cli.documents import document, named
from lakestore.cli.options import complete_files, config, format_option, lake_options
from lakestore.cli.output import Field, complain, print_rows, write
from lakestore.cli.profiles import profiles_of
from lakestore.cli.tables import sql_type
from lakestore.errors import InvalidInputError, LakestoreError, NotFoundError, StorageError

if TYPE_CHECKING:
    from lakestore.inspection import InspectedTable, Inspection

_FIELDS = tuple(
    Field(name)
    for name in (
        "file", "profile", "version", "problem", "task_id", "strategy", "strategies", "status", "created_at",
        "fidelity", "fidelity_bytes", "json_size", "file_size", "left", "envelope", "tables",
    )
)  # fmt: skip
_TABLES = (
    Field("table"),
    Field("rows", number=True),
    Field("bytes", number=True),
    Field("form"),
    Field("path"),
)
_COLUMNS = (Field("table"), Field("column"), Field("unit"), Field("type"))


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, shell_complete=complete_files)
@click.option(
    "--profile",
    shell_complete=complete_files,
    help="How to read the documents: a name, or a TOML file; recognised by default.",
)
@format_option
@lake_options
def inspect(files: tuple[str, ...], profile: str | None, format: str | None) -> int:
    """Tell what documents would become, without saving them.

    Prints the profile, the identity that the document states, its tables with their columns, how it
    would be kept exact, and the bytes it would take as the first of its kind. No lake is needed; where
    there is one, its own profiles are known. 'left' are the bytes of JSON that are in no table.

    \b
    Example:
      lakestore inspect backtest-result.json
      lakestore inspect run.json --profile ./mine.toml --format json
    """
    from lakestore import home, inspection

    settings = config(format)
    own = profiles_of(settings)
    lake = home.find(settings.lake)
    rows: list[list[Any]] = []
    first_error: LakestoreError | None = None
    for name in files:
        try:
            source = document(name, settings.max_document)
            found = inspection.inspect(
                source, profile=profile, profiles=own, home=lake, max_document=settings.max_document
            )
        except (InvalidInputError, NotFoundError, StorageError) as exc:
            complain(named(name, exc))
            first_error = first_error or exc
            continue
        if settings.format == "table":
            write("\n" if rows else "")
            _print(name, found)
        rows.append(_row(name, found))
    if settings.format != "table":
        print_rows(_FIELDS, rows, settings.format)
    return 0 if first_error is None else exits.exit_code(first_error)


def _print(name: str, found: Inspection) -> None:
    facts = [("file", name), ("profile", f"{found.profile.name} {found.profile.version}, {found.profile.title}")]
    if found.problem is not None:
        facts.append(("problem", found.problem))
    if found.identity is not None:
        of_content = "" if "task_id" in found.stated else " (from the content)"
        facts.append(("task_id", found.identity.task_id + of_content))
        facts.append(("strategy", ", ".join(found.identity.strategies) or "(none)"))
        facts.append(("status", found.identity.status + ("" if "status" in found.stated else " (not stated)")))
        when = found.identity.created_at.isoformat()
        facts.append(("created_at", when + ("" if "created_at" in found.stated else " (the file's time)")))
    cost = f", {found.fidelity.bytes:,} bytes" if found.fidelity.bytes else ""
    facts.append(("fidelity", found.fidelity.kind + cost))
    share = 100 * found.file_size / found.json_size
    facts.append(("size", f"{found.json_size:,} bytes of JSON in {found.file_size:,} ({share:.1f} %)"))
    facts.append(("left", f"{found.left:,} bytes of JSON in no table, {found.envelope:,} as kept"))
    print_rows((Field("what"), Field("is")), facts, "table")
    if found.tables:
        write("\n")
        print_rows(_TABLES, ((t.lake.name, t.rows, t.bytes, t.form, _path(t)) for t in found.tables), "table")
        write("\n")
        once = {table.lake.name: table for table in found.tables}
        print_rows(_COLUMNS, (row for table in once.values() for row in _columns(table)), "table")


def _row(name: str, found: Inspection) -> list[Any]:
    identity = found.identity
    tables = [
        {
            "table": table.lake.name,
            "strategy": table.strategy,
            "path": list(table.path),
            "form": table.form,
            "rows": table.rows,
            "bytes": table.bytes,
            "columns": [{"name": column, "type": kind, "unit": unit} for _, column, unit, kind in _columns(table)],
        }
        for table in found.tables
    ]
    return [
        name,
        found.profile.name,
        found.profile.version,
        found.problem,
        identity and identity.task_id,
        (identity and identity.strategy) or None,
        identity and list(identity.strategies),
        identity and identity.status,
        identity and identity.created_at,
        found.fidelity.kind,
        found.fidelity.bytes,
        found.json_size,
        found.file_size,
        found.left,
        found.envelope,
        tables,
    ]


def _columns(table: InspectedTable) -> Iterator[tuple[str, str, str | None, str]]:
    for column in table.lake.shown:
        yield table.lake.name, column.name, table.times.get(column.name), sql_type(column, table.lake)


def _path(table: InspectedTable) -> str:
    return ".".join(map(str, table.path)) or "(the document)"
