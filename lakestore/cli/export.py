"""`lakestore export`: results of the lake as JSON files."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace as replace_fields
from pathlib import Path

import click

from lakestore.cli import exits
from lakestore.cli.options import complete_folders, config, lake_options, open_lake, tree_of
from lakestore.cli.output import printable, write
from lakestore.cli.progress import Advance
from lakestore.errors import LakestoreError

_DID = {
    "mended": "mended in the tree",
    "written": "written",
    "there": "there already",
    "left out": "left out: the tree has the version that counts, 'lakestore migrate' mends the lake",
    "failed": "failed",
}


@click.command()
@click.option(
    "--to",
    "root",
    metavar="ROOT",
    shell_complete=complete_folders,
    required=True,
    help="The tree of JSON files; made where there is none.",
)
@click.option("--missing", is_flag=True, help="Only results for which the tree has no file; the others are not read.")
@click.option("--replace", is_flag=True, help="Put the lake's version in the place of a file that differs.")
@click.option("--strategy", help="Only results of this strategy.")
@click.option("--pattern", metavar="PATTERN", help="Where a result lies: {strategy}/{task_id}.json by default.")
@lake_options
def export(root: str, missing: bool, replace: bool, strategy: str | None, pattern: str | None) -> int:
    """Write results of the lake as JSON files, byte for byte.

    It is the way back from the lake, and mends the tree of JSON files that RESULT_STORAGE_JSON_ROOT names:
    what it missed while both were written is done to it first, deletes as well. A file that differs is
    reported and left as it is, unless --replace is given. Stopped and started again, it does what is left.

    \b
    Example:
      lakestore export --to results --missing
      lakestore export --to breakout-runs --strategy breakout
    """
    from lakestore.storage import Journal, exporting

    settings = config(json_pattern=pattern)
    did: Counter[str] = Counter()
    size = 0
    first_error: LakestoreError | None = None
    with open_lake(settings) as lake:
        tree = tree_of(replace_fields(settings, json_root=Path(root)))
        assert tree is not None
        # Of another tree the journal says nothing.
        configured = settings.json_root is not None and _same(settings.json_root, tree.root)
        journal = Journal(tree.root, lake.root) if configured else None
        with Advance("exporting") as advance:
            for done in exporting.export(
                lake,
                tree,
                journal=journal,
                missing=missing,
                replace=replace,
                strategy=strategy,
                planned=advance.start,
            ):
                did[done.outcome] += 1
                size += done.bytes if done.outcome == "written" else 0
                if done.error is not None:
                    advance.tell(f"error: {done.error}")
                    first_error = first_error or done.error
                if done.outcome != "mended":
                    advance.advance(done.bytes)
    for outcome, words in _DID.items():
        if did[outcome] or outcome == "written":
            written = f", {size:,} bytes of JSON" if outcome == "written" and size else ""
            write(printable(f"{did[outcome]:,} {words}{written}") + "\n")
    return 0 if first_error is None else exits.exit_code(first_error)


def _same(one: Path, other: Path) -> bool:
    return one.absolute().resolve() == other.absolute().resolve()
