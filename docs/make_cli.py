"""Write docs/cli.md from the help texts and the table of exit codes: `make docs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from lakestore.cli import exits
from lakestore.cli.app import cli

TARGET = Path(__file__).with_name("cli.md")

HEAD = """\
# Command line

Made from the help texts by `make docs`; a test keeps it so.

- Data goes to standard output, everything else to standard error. Colour only on a terminal, and not with `NO_COLOR`.
- `--lake` and `--dsn` may stand before or after the command. A flag beats the environment (`LAKESTORE_LAKE`,
  `LAKESTORE_DSN`, `LAKESTORE_FORMAT`, `LAKESTORE_MAX_DOCUMENT`), which beats the file
  (`~/.config/lakestore/config.toml`, or what `LAKESTORE_CONFIG` names, with the keys `lake`, `dsn`, `format`,
  `max_document`), which beats the default.
- A document may take 1 GiB of JSON, unpacked; `LAKESTORE_MAX_DOCUMENT=4GB` takes more. A save needs about eight
  times as much memory.
- What engines write to is set in the same way: `RESULT_STORAGE_MODE`, `RESULT_STORAGE_PRIMARY`,
  `RESULT_STORAGE_VERIFY_READS`, `RESULT_STORAGE_JSON_ROOT`, `RESULT_STORAGE_JSON_PATTERN` (keys `mode`, `primary`,
  `verify_reads`, `json_root`, `json_pattern`; [cutover.md](cutover.md) tells what they do).
- `--format json` prints one array of objects, one a line, keys as in the table's heading or named below. Times are
  ISO 8601 text in UTC, numbers keep their digits, and NaN and the infinities, which JSON lacks, are the texts
  `"NaN"`, `"Infinity"`, `"-Infinity"`. `--format csv` has a header; a missing value is empty, an empty text is `""`.
- A table is cut to fit only on a terminal.
- Commands, options and names of files complete with the Tab key after
  `eval "$(_LAKESTORE_COMPLETE=bash_source lakestore)"` in `~/.bashrc` (or `zsh_source`, `fish_source`).
"""

SCHEMAS = {
    "results": (
        "`task_id`, `strategy`, `status`, `created_at`, `json_size` and `file_size` (bytes), `run_date`, `strategies` "
        "(array), `sha256` (of the JSON text), `profile`, `fidelity` (`style`, `patched` or `original`), `saved_at`, "
        "`tables` (object: rows per lake table), `params`, `metrics` (any JSON)"
    ),
    "files": "`table`, `path` (absolute), `strategy`, `run_date`, `rows`, `bytes`, `dead` (array of task ids)",
    "tables": "`table`, `column`, `type` (DuckDB's), `key` (JSON text of the key in documents)",
    "inspect": (
        "`file`, `profile`, `version`, `problem` (why a save would refuse the document), `task_id`, `strategy`, "
        "`strategies` (array), `status`, `created_at`, `fidelity`, `fidelity_bytes`, `json_size`, `file_size` (bytes, "
        "as the first result of its kind), `left` (bytes of JSON in no table), `envelope` (bytes they take), `tables` "
        "(array of objects: `table`, `strategy`, `path`, `form`, `rows`, `bytes`, `columns`)"
    ),
    "profiles": "`name`, `version`, `from` (`lakestore` or a file), `title`",
    "status": (
        "`phase`, `in_json`, `in_lake`, `equal`, `only_json`, `only_lake`, `differing`, `pending_lake`, `pending_json` "
        "(results), `json_bytes`, `lake_bytes`, `lake_json_bytes`, `named` (object: the first task ids of `only_json`, "
        "`only_lake`, `differing`), `next`, `back` (sentences), `ready` (boolean)"
    ),
    "compact": (
        "`table`, `strategy`, `run_date`, `files` and `bytes` (before), `into` and `into_bytes` (after; 0 in a dry "
        "run), `problem` (why they were left)"
    ),
    "vacuum": "`path`, `bytes`, `why` (`let go` or `leftover`)",
    "verify": "`task_id`, `bytes` (of its JSON), `problem`; only results that are not exact",
    "restore": (
        "with `--list`: `version`, `let_go_at`, `reason` (`deleted` or `replaced`), `strategy`, `status`, "
        "`created_at`, `json_size` (bytes), `sha256`"
    ),
    "catalog sync": "`kind`, `path` (below the lake), `task_ids` (array), `detail`; `docs/upkeep.md` tells the kinds",
    "doctor": "`check`, `ok` (boolean), `detail`",
    "archive list": (
        "`archive`, `strategy`, `month`, `path` (below the tree), `bytes`, `task_ids` (array), `sha256` (of it)"
    ),
    "sql": "the columns of the query",
    "bench": "`scenario`, `step`, `value`, `unit`",
}
"""What a command with `--format` prints, by the command's name."""


def page() -> str:
    """The text of docs/cli.md."""
    parts = [HEAD, _help(click.Context(cli, info_name="lakestore", **cli.context_settings))]
    for ctx in _commands(click.Context(cli, info_name="lakestore", **cli.context_settings)):
        parts.append(f"## {ctx.command_path}\n")
        parts.append(_help(ctx))
        if any(param.name == "format" for param in ctx.command.params):
            parts.append(f"Keys in JSON and CSV: {SCHEMAS[ctx.command_path.removeprefix('lakestore ')]}.\n")
    codes = [(0, "done"), (exits.USAGE, "a command line that cannot be read"), *exits.EXIT_CODES.values()]
    codes += [(exits.INTERRUPTED, "stopped with Ctrl-C"), (exits.BROKEN_PIPE, "the reader of the output went away")]
    kinds = {code: f"`{kind}`" for kind, (code, _) in exits.EXIT_CODES.items()}
    parts.append("## Exit codes\n\n`kind` is the error's in Python: `LakestoreError.kind`.\n")
    rows = (f"| {code} | {kinds.get(code, '')} | {meaning} |\n" for code, meaning in sorted(codes))
    parts.append("| code | kind | meaning |\n|---|---|---|\n" + "".join(rows))
    return "\n".join(parts)


def _help(ctx: click.Context) -> str:
    ctx.terminal_width = 100
    return f"```text\n{ctx.get_help()}\n```\n"


def _commands(parent: click.Context) -> Iterator[click.Context]:
    """Every command, groups before what is in them, in order of the group's own list."""
    group = parent.command
    if not isinstance(group, click.Group):
        return
    for name, command in group.commands.items():
        ctx = click.Context(command, info_name=name, parent=parent, **command.context_settings)
        yield ctx
        yield from _commands(ctx)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
