"""`lakestore profiles`: which engines' documents are known."""

from __future__ import annotations

import click

from lakestore import layout
from lakestore.cli.options import config, format_option, lake_options
from lakestore.cli.output import Field, print_rows, write
from lakestore.codec.profiles.registry import Profiles, known
from lakestore.config import Config
from lakestore.errors import NotFoundError

_FIELDS = (Field("name"), Field("version", number=True), Field("from"), Field("title"))


@click.command()
@click.argument("name", required=False)
@format_option
@lake_options
def profiles(name: str | None, format: str | None) -> None:
    """List the profiles, which say how an engine's documents are read.

    They are tried in this order: the lake's own, TOML files in its folder _lakestore/profiles, then
    the ones that come with lakestore. With NAME, print that profile's TOML, to begin one's own with.

    \b
    Example:
      lakestore profiles
      lakestore profiles lean > lake/_lakestore/profiles/mine.toml
    """
    settings = config(format)
    found = profiles_of(settings)
    if name is None:
        rows = ((each.name, each.version, each.origin, each.title) for each in found.values())
        print_rows(_FIELDS, rows, settings.format)
        return
    if name not in found:
        raise NotFoundError(f"there is no profile {name!r}; there are: {', '.join(found)}")
    write(found[name].text)


def profiles_of(settings: Config) -> Profiles:
    """The profiles of the lake that is configured; the shipped ones where there is no lake."""
    return known(settings.lake / layout.PROFILES)
