"""`lakestore load`: get one document back."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from pathlib import Path

import click

from lakestore.cli.options import complete_files, config, lake_options, open_lake
from lakestore.cli.output import say, write
from lakestore.errors import AlreadyExistsError, InvalidInputError, StorageError, reason
from lakestore.files import name_new


@click.command()
@click.argument("task_id")
@click.option(
    "-o", "--output", metavar="FILE", shell_complete=complete_files, help="Write to this file, whole or not at all."
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@lake_options
def load(task_id: str, output: str | None, force: bool) -> None:
    """Get one document back, byte for byte.

    Without -o it goes to standard output: the bytes that were saved, all of them and no others.

    \b
    Example:
      lakestore load 20240906-123210 -o result.json
      lakestore load 20240906-123210 | sha256sum
    """
    if output is not None and not force and os.path.lexists(output):
        raise AlreadyExistsError(f"{output} is there already; --force overwrites it")
    with open_lake(config()) as lake:
        data = lake.load(task_id).to_json()
    if output is None or output == "-":
        write(data)
        if sys.stdout.isatty():
            say("")
    else:
        _write_file(Path(output), data, force=force)


def _write_file(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        AlreadyExistsError: it is there, and not to be overwritten.
        StorageError: the file system refused; nothing is left.
    """
    if path.is_dir() or not path.name:
        raise InvalidInputError(f"{path} is a directory; name a file in it")
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if force:
            temporary.replace(path)
        else:
            name_new(temporary, path)
    except FileExistsError as exc:
        raise AlreadyExistsError(f"{path} is there already; --force overwrites it") from exc
    except OSError as exc:
        raise StorageError(f"cannot write {path}: {reason(exc)}") from exc
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
