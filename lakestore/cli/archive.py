"""`lakestore archive`: put old JSON away, and take it out again."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

import click

from lakestore.cli import exits
from lakestore.cli.options import complete_files, complete_folders, config, format_option, lake_options, open_lake
from lakestore.cli.output import Field, counted, doing, print_rows, printable, say, write


class _Group(click.Group):
    """`archive SRC --to DIR` is short for `archive pack SRC --to DIR`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["pack", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Group)
def archive() -> None:
    """Put JSON files away that the lake holds, and take them out again.

    'archive SRC --to DIR' is short for 'archive pack SRC --to DIR'; a folder called 'restore' or 'list'
    is './restore'.
    """


@archive.command()
@click.argument("source", metavar="SRC", shell_complete=complete_folders)
@click.option("--to", metavar="DIR", shell_complete=complete_folders, required=True, help="Where the archives go.")
@click.option("--dry-run", is_flag=True, help="Prove, tell what would be put away, write and remove nothing.")
@click.option("--keep", is_flag=True, help="Leave the files in the tree.")
@click.option(
    "--task-id",
    metavar="TEMPLATE",
    default="{stem}",
    show_default=True,
    help="Ids of results whose files were not migrated but saved beside the lake; as for migrate.",
)
@click.option("-q", "--quiet", is_flag=True, help="Do not name the files that are put away.")
@lake_options
def pack(source: str, to: str, dry_run: bool, keep: bool, task_id: str, quiet: bool) -> int:
    """Pack the files of a tree that the lake holds, and remove them from it.

    Each document is read from the lake and compared, byte for byte. What is equal is packed, by strategy
    and month, into a tar with a manifest of hashes; the archive is made durable, read back and checked;
    only then the file is removed. What the lake does not hold as it is stays, and is named; the exit code
    is 1 then. Killed at any moment, it can be started again.

    \b
    Example:
      lakestore archive --dry-run results/ --to /backup/results
      lakestore archive results/ --to /backup/results
    """
    from lakestore import archive as library
    from lakestore import migrate

    counts: Counter[str] = Counter()
    size = 0
    with open_lake(config()) as lake:
        entries = library.archive(lake, source, to, migrate.Options(task_id=task_id), dry_run=dry_run, keep=keep)
        with doing("comparing with the lake and packing") if quiet else contextlib.nullcontext():
            for entry in entries:
                counts[entry.outcome] += 1
                if entry.outcome == "kept":
                    say(f"kept {entry.path}: {entry.reason}")
                else:
                    size += entry.bytes
                    if not quiet:
                        write(printable(f"{entry.outcome.replace(' archive', ' be archived')} {entry.path}") + "\n")
    verb = "would be archived" if dry_run else "archived"
    done = counts["archived"] + counts["would archive"]
    say(f"{counted(done, 'file')} of {size:,} bytes {verb}, {counts['kept']:,} kept")
    return exits.EXIT_CODES["error"][0] if counts["kept"] else 0


@archive.command()
@click.argument("source", metavar="DIR", shell_complete=complete_files)
@click.argument("wanted", metavar="[WANTED]...", nargs=-1)
@click.option(
    "--to", metavar="TREE", shell_complete=complete_folders, help="Where the files go; by default where they came from."
)
@click.option("--overwrite", is_flag=True, help="Put them in the place of files with other bytes.")
@click.option("-q", "--quiet", is_flag=True, help="Name only what could not be put back.")
def restore(source: str, wanted: tuple[str, ...], to: str | None, overwrite: bool, quiet: bool) -> int:
    """Put archived files back into their tree, byte for byte: all, or those WANTED.

    WANTED are task ids, paths below the tree, or globs of such paths. The archives stay. A file of other
    bytes that is in the way stays too; the exit code is 1 then. No lake is needed.

    \b
    Example:
      lakestore archive restore /backup/results
      lakestore archive restore /backup/results 20240906-123210 --to /tmp/look
    """
    from lakestore import archive as library

    counts: Counter[str] = Counter()
    for entry in library.restore(source, wanted, to=to, overwrite=overwrite):
        counts[entry.outcome] += 1
        if entry.outcome in ("refused", "failed"):
            say(f"{entry.outcome} {entry.path}: {entry.reason}")
        elif not quiet:
            write(printable(f"{entry.outcome} {entry.path}") + "\n")
    bad = counts["refused"] + counts["failed"]
    say(
        f"{counted(counts['restored'], 'file')} restored, {counts['there']:,} were there, {bad:,} could not be put back"
    )
    return exits.EXIT_CODES["error"][0] if bad else 0


_FIELDS = (
    Field("archive"),
    Field("strategy"),
    Field("month"),
    Field("path"),
    Field("bytes", number=True),
    Field("task_ids"),
    Field("sha256"),
)


@archive.command(name="list")
@click.argument("source", metavar="DIR", shell_complete=complete_files)
@format_option
def list_(source: str, format: str | None) -> None:
    """List the files in archives. No lake is needed.

    \b
    Example:
      lakestore archive list /backup/results
    """
    from lakestore import archive as library

    settings = config(format)
    rows: list[list[Any]] = []
    for each in library.archives_at(source):
        manifest = library.manifest_of(each)
        for file in manifest.files:
            task_ids = list(file.results)
            rows.append([str(each), manifest.strategy, manifest.month, file.path, file.bytes, task_ids, file.sha256])
    print_rows(_FIELDS, rows, settings.format)
