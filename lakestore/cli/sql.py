"""`lakestore sql`: one SELECT over the lake."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from lakestore.cli.options import as_size, complete_files, config, format_option, lake_options, open_lake
from lakestore.cli.output import Field, Raw, print_rows, to_json
from lakestore.errors import InvalidInputError, NotFoundError, QueryError, StorageError

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

_INTEGERS = ("tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger")
_NUMBERS = {*_INTEGERS, "ubigint", "uhugeint", "decimal", "float", "double"}
_NESTED = {"struct", "list", "array", "map", "union"}


@click.command()
@click.argument("query", required=False)
@click.option(
    "-f",
    "--file",
    metavar="FILE",
    shell_complete=complete_files,
    help="Read the query from a file instead; '-' is standard input.",
)
@click.option(
    "-p",
    "--param",
    "params",
    metavar="NAME=VALUE",
    multiple=True,
    help="The text that $NAME stands for in the query; may be given several times.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="How long it may take.",
)
@click.option(
    "--memory", metavar="SIZE", default="2GB", show_default=True, callback=as_size, help="Memory that it may take."
)
@format_option
@lake_options
def sql(
    query: str | None, file: str | None, params: tuple[str, ...], timeout: float, memory: int, format: str | None
) -> None:
    """Answer one SELECT over the lake.

    It is written in DuckDB's SQL; '-f FILE' reads it from a file, '-' from standard input. Every lake
    table is there by its name ('lakestore tables' lists them), and 'results', also called
    'backtest_results', has a row for each result. The query sees one snapshot; it can neither write nor
    read any file but the lake's live data files.

    A value for $NAME is text that DuckDB compares with any column; where it is to be calculated with, cast it:
    $fee::DOUBLE.

    In JSON, numbers keep all their digits, and values that JSON has no type for are text as DuckDB writes them.

    \b
    Example:
      lakestore sql 'SELECT strategy, count(*) AS n FROM trades GROUP BY ALL ORDER BY n DESC'
      lakestore sql -p pair=BTC/USD -p since=2026-01-01 'FROM trades WHERE pair = $pair AND run_date >= $since'
      lakestore sql -f report.sql --format csv > report.csv
    """
    from lakestore.query import Limits

    given = dict(_param(text) for text in params)
    settings = config(format)
    text = _text(query, file)
    with open_lake(settings) as lake:
        relation = lake.sql(text, given or None, untrusted=True, limits=Limits(seconds=timeout, memory=f"{memory}B"))
        kinds = [kind.id for kind in relation.types]
        fields = [Field(name, number=kind in _NUMBERS) for name, kind in zip(relation.columns, kinds, strict=True)]
        print_rows(fields, _rows(relation), settings.format)


def _text(query: str | None, file: str | None) -> str:
    """The SQL that is asked for, by itself or by the name of its file."""
    if query is not None and file is None and query != "-":
        if query.lower().endswith(".sql") and (len(query.split()) == 1 or Path(query).is_file()):
            raise click.UsageError(f"{query!r} is the name of a file, not SQL: give it as '-f {query}'.")
        return query
    name = query or file
    if name is None or (query is not None and file is not None):
        raise click.UsageError("Give one query: its text, '-f FILE', or '-' for standard input.")
    where = "on standard input" if name == "-" else f"in {name}"
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InvalidInputError(f"the query {where} is not UTF-8: {exc}") from exc
    except FileNotFoundError as exc:
        raise NotFoundError(f"there is no file {name}") from exc
    except OSError as exc:
        raise StorageError(f"cannot read the query {where}: {exc.strerror}") from exc


def _param(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="'-p' / '--param'")
    return name.removeprefix("$"), value


def _rows(relation: DuckDBPyRelation) -> Iterator[list[Any]]:
    """A relation's rows, each value as DuckDB's own text: no value changes by becoming a Python one."""
    import duckdb
    import pyarrow

    columns, readers = [], []
    for place, (name, kind) in enumerate(zip(relation.columns, relation.types, strict=True), 1):
        text = f"to_json(#{place})::VARCHAR" if kind.id in _NESTED else f"#{place}::VARCHAR"
        columns.append(f'{text} AS "{name.replace(chr(34), chr(34) * 2)}"')
        readers.append(_READERS.get("json" if str(kind) == "JSON" else kind.id, str))
    try:
        for batch in relation.project(", ".join(columns)).to_arrow_reader(1000):
            values = [batch.column(place).to_pylist() for place in range(batch.num_columns)]
            for row in zip(*values, strict=True):
                yield [None if v is None else read(v) for v, read in zip(row, readers, strict=True)]
    except (duckdb.Error, pyarrow.ArrowException, RuntimeError) as exc:
        raise QueryError(str(exc)) from exc


def _number(text: str) -> Raw | str:
    """A number as JSON writes it: `nan` and `inf` are none, and become text."""
    special = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text)
    return Raw(text) if special is None else special


def _nested(text: str) -> Raw:
    """JSON text from DuckDB, which may hold a bare NaN."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return Raw(to_json(json.loads(text)))
    return Raw(text)


_READERS: dict[str, Any] = {
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(_NESTED, _nested),
    "json": _nested,
    "boolean": lambda text: text == "true",
}
