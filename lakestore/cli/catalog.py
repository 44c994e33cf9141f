"""`lakestore catalog`: the way to the catalog itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import click

from lakestore.cli.options import config, lake_options, open_lake
from lakestore.cli.output import write
from lakestore.errors import NotFoundError, StorageError


@click.group()
@lake_options
def catalog() -> None:
    """Reach the catalog with PostgreSQL's own tools.

    \b
    Example:
      lakestore catalog psql -c 'SELECT count(*) FROM backtest_results'
    """


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
            raise StorageError(f"cannot run {program}: {exc.strerror or exc}") from exc
        finally:
            signal.signal(signal.SIGINT, before)
