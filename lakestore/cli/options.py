"""Options that many commands share, and the lake they lead to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lakestore.config import Config, size
from lakestore.identity import age

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lakestore.lake import Lake
    from lakestore.storage import JsonResultStorage

F = TypeVar("F", bound=Callable[..., Any])


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    # Given before or after the command's name; the later one, which is the nearer, wins.
    given: dict[str, str] = ctx.find_root().ensure_object(dict)
    if value is not None and param.name is not None:
        given[param.name] = value


def complete_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete names of files; for `shell_complete=`."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def complete_folders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete names of folders; for `shell_complete=`."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


def lake_options(command: F) -> F:
    """Give a command `--lake` and `--dsn`."""
    dsn = click.option(
        "--dsn",
        metavar="DSN",
        expose_value=False,
        callback=_remember,
        help="PostgreSQL connection string of the catalog; '' is the embedded one, the default.  [env: LAKESTORE_DSN]",
    )
    lake = click.option(
        "--lake",
        metavar="DIRECTORY",
        shell_complete=complete_folders,
        expose_value=False,
        callback=_remember,
        help="Root directory of the lake; 'lake' by default.  [env: LAKESTORE_LAKE]",
    )
    return lake(dsn(command))


def format_option(command: F) -> F:
    """Give a reading command `--format`."""
    return click.option(
        "--format",
        type=click.Choice(["table", "json", "csv"]),
        help="How to print; 'table' by default.  [env: LAKESTORE_FORMAT]",
    )(command)


def config(format: str | None = None, *, json_root: str | None = None, json_pattern: str | None = None) -> Config:
    """The configuration of this call: its flags over environment, file and defaults."""
    given = click.get_current_context().find_root().ensure_object(dict)
    return Config.load(
        lake=given.get("lake"), dsn=given.get("dsn"), format=format, json_root=json_root, json_pattern=json_pattern
    )


def tree_of(config: Config) -> JsonResultStorage | None:
    """The tree of JSON files that is configured, if one is."""
    if config.json_root is None:
        return None
    from lakestore import layout
    from lakestore.codec.profiles.registry import known
    from lakestore.storage import JsonResultStorage

    profiles = known(config.lake / layout.PROFILES)
    return JsonResultStorage(config.json_root, pattern=config.json_pattern, profiles=profiles)


def open_lake(config: Config) -> Lake:
    """Open the lake that is there; only `init` makes one."""
    import lakestore

    return lakestore.open(config.lake, dsn=config.dsn or "", create=False)


def as_size(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """The bytes that an option's text means: `500MB`, `2GB`, a number; for `callback=`."""
    found = size(value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not a size; give a number of bytes, 500MB or 2GB.", ctx, param)
    return found


def as_age(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    """The length of time that an option's text means: `7d`, `12h`, `30m`; for `callback=`."""
    found = age(value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not an age; give 7d, 12h or 30m.", ctx, param)
    return found
