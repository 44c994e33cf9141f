"""`lakestore delete`: take results out of the lake."""

from __future__ import annotations

import sys

import click

from lakestore.cli import exits
from lakestore.cli.options import config, lake_options, open_lake
from lakestore.cli.output import complain, printable, write
from lakestore.errors import NotFoundError


@click.command()
@click.argument("task_ids", metavar="TASK_ID...", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@lake_options
def delete(task_ids: tuple[str, ...], yes: bool) -> int:
    """Take results out of the lake.

    No query sees them from then on; 'lakestore restore' brings them back until 'lakestore vacuum' has deleted
    their files. Where RESULT_STORAGE_JSON_ROOT names a tree of JSON files, it is noted that they are to go
    there as well ('lakestore export').

    \b
    Example:
      lakestore delete 20240906-123210
      lakestore delete --yes 20240906-123210 20240906-130554
    """
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Deleting asks for a confirmation, and there is no terminal to ask on; give --yes.")
        what = f"result {task_ids[0]!r}" if len(task_ids) == 1 else f"{len(task_ids)} results"
        if not click.confirm(f"Delete {what}?", err=True):
            return exits.EXIT_CODES["error"][0]
    from lakestore.storage import Journal, LakeResultStorage

    settings = config()
    missing: NotFoundError | None = None
    with open_lake(settings) as lake:
        has_tree = settings.json_root is not None and settings.json_root.exists()
        journal = Journal(settings.json_root, lake.root) if has_tree else None
        storage = LakeResultStorage(lake, journal=journal)
        for task_id in task_ids:
            try:
                storage.delete_result(task_id)
            except NotFoundError as exc:
                complain(str(exc))
                missing = exc
            else:
                write(printable(f"deleted {task_id}") + "\n")
    return 0 if missing is None else exits.exit_code(missing)
