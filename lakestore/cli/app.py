"""The command group, and the boundary where errors become messages and exit codes."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from lakestore.cli import exits
from lakestore.cli.archive import archive
from lakestore.cli.bench import bench
from lakestore.cli.catalog import catalog
from lakestore.cli.compact import compact
from lakestore.cli.delete import delete
from lakestore.cli.doctor import doctor
from lakestore.cli.export import export
from lakestore.cli.files import files
from lakestore.cli.init import init
from lakestore.cli.inspect import inspect
from lakestore.cli.load import load
from lakestore.cli.migrate import migrate
from lakestore.cli.options import lake_options
from lakestore.cli.output import complain, discard, open_streams, say, unwritten
from lakestore.cli.profiles import profiles
from lakestore.cli.restore import restore
from lakestore.cli.results import results
from lakestore.cli.save import save
from lakestore.cli.sql import sql
from lakestore.cli.status import status
from lakestore.cli.tables import tables
from lakestore.cli.vacuum import vacuum
from lakestore.cli.verify import verify
from lakestore.errors import LakestoreError
from lakestore.process import without_pandas


def _version() -> str:
    try:
        return importlib.metadata.version("lakestore")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@lake_options
@click.version_option(_version(), message="lakestore %(version)s")
def cli() -> None:
    """Keep backtest results exactly as they were written, and ask SQL across all of them.

    A lake is a directory of Parquet files and a catalog in PostgreSQL, which is embedded in the lake
    unless --dsn names a server. --lake and --dsn may stand before or after the command.

    \b
    Example:
      lakestore init
      lakestore save results/*.json
      lakestore sql 'SELECT strategy, count(*) FROM trades GROUP BY ALL'
    """


for _command in (
    init, save, migrate, inspect, load, results, sql, tables, profiles, files, delete, restore, export, status, verify,
    compact, vacuum, archive, doctor, catalog, bench,
):  # fmt: skip
    cli.add_command(_command)


def run(args: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; nothing is raised but what is a fault in lakestore itself."""
    try:
        with cli.make_context("lakestore", list(sys.argv[1:] if args is None else args)) as ctx:
            code = cli.invoke(ctx)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.exceptions.NoArgsIsHelpError as exc:
        say(exc.format_message())
        return exc.exit_code
    except click.ClickException as exc:
        if isinstance(exc, click.UsageError) and exc.ctx is not None:
            say(f"{exc.ctx.get_usage()}\nTry '{exc.ctx.command_path} --help'.\n")
        complain(exc.format_message())
        return exc.exit_code
    except (KeyboardInterrupt, EOFError, click.Abort):
        print(file=sys.stderr)
        return exits.INTERRUPTED
    except LakestoreError as exc:
        if _is_interrupt(exc):
            return exits.INTERRUPTED
        complain(str(exc))
        return exits.exit_code(exc)
    except OSError as exc:
        if isinstance(exc, BrokenPipeError) or not _is_of_help(exc):
            raise
        error = unwritten(exc)
        complain(str(error))
        return exits.exit_code(error)


def _is_of_help(error: OSError) -> bool:
    """Whether an error comes from printing help or version, which click does itself."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_code.co_filename == click.utils.__file__


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether an error comes from Ctrl-C, which DuckDB reports as a RuntimeError of this text."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or str(error) == "Query interrupted":
            return True
        error = error.__cause__ or error.__context__
    return False


def main() -> NoReturn:
    """The `lakestore` command."""
    open_streams()
    if "_LAKESTORE_COMPLETE" in os.environ:
        cli.main(prog_name="lakestore")
    without_pandas()
    try:
        code = run()
    except BrokenPipeError:
        discard()
        code = exits.BROKEN_PIPE
    sys.exit(code)
