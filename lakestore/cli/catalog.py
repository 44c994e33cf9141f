"""`lakestore catalog`: the way to the catalog itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import click

from lakestore.cli import exits
from lakestore.cli.options import config, format_option, lake_options, open_lake
from lakestore.cli.output import Field, counted, doing, print_rows, say, write
from lakestore.config import Config
from lakestore.errors import NotFoundError, StorageError, reason


@click.group()
@lake_options
def catalog() -> None:
    """Compare the catalog with its lake, make it anew, or reach it with PostgreSQL's own tools.

    \b
    Example:
      lakestore catalog sync
      lakestore catalog psql -c 'SELECT count(*) FROM backtest_results'
    """


_FOUND = (Field("kind"), Field("path"), Field("task_ids"), Field("detail"))


@catalog.command()
@click.option("--dry-run", is_flag=True, help="Only tell what is wrong.")
@click.option("--deep", is_flag=True, help="Read every live file and compare its checksum.")
@click.option("--adopt", is_flag=True, help="Take in complete results that the catalog does not know.")
@click.option("--rebuild", is_flag=True, help="Throw the catalog away and make it anew from the files.")
@format_option
@lake_options
def sync(dry_run: bool, deep: bool, adopt: bool, rebuild: bool, format: str | None) -> int:
    """Compare the lake with its catalog.

    Names live files that are missing or damaged with the results in them, files that the catalog does not
    know, and writes tombstones that are missing. Exits with 0 unless something that was saved cannot be read.

    --adopt is for an older copy of the catalog, as after restoring a backup: saves and vacuum are refused until
    it has taken in what was saved since. What was deleted or replaced since is so again.

    --rebuild is for a lost or damaged catalog: all of it comes back from the Parquet files but the ledger of
    'migrate'. Nobody else can use the lake meanwhile. Stopped, it goes on where it was. What the files do not
    tell for certain is listed.

    \b
    Example:
      lakestore catalog sync --deep
      lakestore catalog sync --adopt --dry-run
      lakestore catalog sync --rebuild
    """
    from lakestore import maintenance

    if rebuild and (dry_run or deep or adopt):
        raise click.UsageError("--rebuild goes with no other option.")
    settings = config(format)
    if rebuild:
        return _rebuild(settings)
    harm = False

    def found() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
        nonlocal harm
        for each in maintenance.sync(lake, dry_run=dry_run, deep=deep, adopt=adopt):
            harm |= each.is_harm
            yield each.kind, each.path, each.task_ids, each.detail

    with open_lake(settings) as lake:
        print_rows(_FOUND, found(), settings.format)
    return exits.EXIT_CODES["corrupt_file"][0] if harm else 0


def _rebuild(settings: Config) -> int:
    from lakestore import maintenance

    with doing("rebuilding"):
        done = maintenance.rebuild(settings.lake, dsn=settings.dsn or "")
    doubtful = "which version of it is alive is not certain; 'lakestore restore TASK_ID --list' names the others"
    unstated = (
        "without parameters and metrics in the catalog: profile '{}' is not in _lakestore/profiles; "
        "put it there and rebuild again"
    )
    rows = [
        *(("damaged", each.path, (), each.reason) for each in done.damaged),
        *(("incomplete", "", (task_id,), f"is not in the catalog: {why}") for task_id, why in done.incomplete),
        *(("doubtful", "", (task_id,), doubtful) for task_id in done.doubtful),
        *(("unstated", "", task_ids, unstated.format(profile)) for profile, task_ids in done.unstated.items()),
    ]
    print_rows(_FOUND, rows, settings.format)
    known = f"{counted(done.results, 'result')}, {done.versions:,} that were let go, and {counted(done.files, 'file')}"
    say(f"the catalog knows {known}")
    return exits.EXIT_CODES["corrupt_file"][0] if done.damaged or done.incomplete else 0


@catalog.command()
@lake_options
def dsn() -> None:
    """Print the catalog's connection string, with its password if it has one.

    An embedded catalog answers there for as long as some process has the lake open.

    \b
    Example:
      psql "$(lakestore catalog dsn)"
    """
    with open_lake(config()) as lake:
        write(f"{lake.conninfo}\n")


@catalog.command()
def roles() -> None:
    """Print the SQL that makes a reader's and a writer's role for the catalog.

    The owner of the database runs it there, once, and grants the roles to who needs them. A reader can do what
    changes nothing, a writer all but upgrade the catalog.

    \b
    Example:
      lakestore catalog roles | lakestore catalog psql
      lakestore catalog psql -c 'GRANT backtests_reader TO alice'
    """
    from lakestore.catalog import sql

    write(sql.roles())


@catalog.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@lake_options
def psql(args: tuple[str, ...]) -> int:
    """Run psql on the catalog; what follows is handed to psql. The embedded catalog brings its own.

    \b
    Example:
      lakestore catalog psql
      lakestore catalog psql -c 'SELECT task_id, strategy FROM backtest_results LIMIT 5'
    """
    from psycopg import conninfo

    from lakestore.catalog.embedded import psql_path

    settings = config()
    with open_lake(settings) as lake:
        program = str(psql_path()) if settings.dsn is None else shutil.which("psql")
        if program is None:
            raise NotFoundError("there is no psql on this machine; install PostgreSQL's client and call again")
        target = conninfo.conninfo_to_dict(lake.conninfo)
        environment = dict(os.environ)
        # Command lines can be read by every user of the machine, environments cannot.
        if password := target.pop("password", None):
            environment["PGPASSWORD"] = str(password)
        # Ctrl-C is psql's to answer: it stops a query there, not the session. psql itself starts with the default.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            return subprocess.call([program, "--dbname", conninfo.make_conninfo("", **target), *args], env=environment)
        except OSError as exc:
            raise StorageError(f"cannot run {program}: {reason(exc)}") from exc
        finally:
            signal.signal(signal.SIGINT, before)
