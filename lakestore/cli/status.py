"""`lakestore status`: where a move from JSON files to the lake stands."""

from __future__ import annotations

from dataclasses import fields

import click

from lakestore.cli import exits
from lakestore.cli.options import complete_folders, config, format_option, lake_options, open_lake, tree_of
from lakestore.cli.output import Field, doing, print_rows

_SHOWN = {
    "phase": "phase",
    "in_json": "in the tree",
    "in_lake": "in the lake",
    "equal": "equal in both",
    "only_json": "only in the tree",
    "only_lake": "only in the lake",
    "differing": "differing",
    "pending_lake": "to be mended in the lake",
    "pending_json": "to be mended in the tree",
    "json_bytes": "bytes of the tree",
    "lake_bytes": "bytes of the lake",
    "lake_json_bytes": "bytes of its JSON",
    "next": "next",
    "back": "back",
}


@click.command()
@click.option(
    "--json-root",
    metavar="DIRECTORY",
    shell_complete=complete_folders,
    help="The tree of JSON files.  [env: RESULT_STORAGE_JSON_ROOT]",
)
@click.option("--pattern", metavar="PATTERN", help="Where a result lies in it: {strategy}/{task_id}.json by default.")
@format_option
@lake_options
def status(json_root: str | None, pattern: str | None, format: str | None) -> int:
    """Tell where a move from JSON files to the lake stands.

    Compares the tree of JSON files and the lake, result by result, by the SHA-256 of their bytes, and
    says whether the next phase can begin, or what stands against it; exits with 1 in that case. Files
    are read once: after that only those that changed. RESULT_STORAGE_MODE is the phase.

    \b
    Example:
      lakestore status --json-root results
      lakestore status --format json
    """
    from lakestore import home
    from lakestore.storage import Journal, cutover

    settings = config(format, json_root=json_root, json_pattern=pattern)
    tree = tree_of(settings)
    lake = open_lake(settings) if home.find(settings.lake) is not None else None
    try:
        with doing("comparing"):
            found = cutover.standing(tree, lake, Journal(settings.json_root, settings.lake), mode=settings.mode)
    finally:
        if lake is not None:
            lake.close()
    if settings.format == "table":
        facts = [(words, getattr(found, name)) for name, words in _SHOWN.items()]
        print_rows(
            (Field("what"), Field("is")),
            [(words, f"{value:,}" if isinstance(value, int) else value) for words, value in facts],
            "table",
        )
    else:
        names = [field.name for field in fields(found)]
        print_rows([Field(name) for name in names], [[getattr(found, name) for name in names]], settings.format)
    return 0 if found.ready else exits.EXIT_CODES["error"][0]
