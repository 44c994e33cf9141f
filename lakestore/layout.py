"""Identity ⇄ path: where a data file lies, and which identities a lake can hold."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from urllib.parse import quote, unquote
from uuid import UUID

from lakestore.errors import InvalidInputError
from lakestore.model import Partition

PRIVATE = "_lakestore"
"""The folder beside the tables that holds what is not data: format, tombstones, the embedded catalog."""

PROFILES = f"{PRIVATE}/profiles"
"""The lake's own profiles, TOML files."""

RESULTS = "results"
"""The lake's own table: a row per result."""

CATALOG_NAME = "backtest_results"
"""What the catalog calls the results: in SQL another name of `results`, but in an older lake that has such a table."""

RUN_STATS = "run_stats"
"""What SQL calls the statistics of the results."""

BY_SYMBOL = "run_stats_by_symbol"
"""What SQL calls their statistics by symbol."""

FROM_CATALOG = (RESULTS, RUN_STATS, BY_SYMBOL)
"""The tables of SQL that the catalog holds, in the order in which they are listed."""

MAX_TASK_ID = 512
MAX_STRATEGY = 240
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
TABLE_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")
"""What a lake table's folder may be called."""
_DATA_FILE = re.compile(
    rf"({TABLE_NAME.pattern})/strategy=([^/]+)/run_date=(\d{{4}}-\d\d-\d\d)/([0-9a-f-]{{36}})\.parquet"
)


def check_task_id(task_id: object) -> str:
    """A task id that can be kept: 1 to 512 bytes of UTF-8.

    Raises:
        InvalidInputError: naming what is wrong with it.
    """
    return _check_name("task_id", task_id, MAX_TASK_ID, lambda text: len(text.encode()))


def check_strategy(strategy: object) -> str:
    """A strategy that can be kept: its percent-encoded form takes 1 to 240 bytes.

    Raises:
        InvalidInputError: naming what is wrong with it.
    """
    return _check_name("strategy", strategy, MAX_STRATEGY, lambda text: len(encode(text)))


def _check_name(what: str, value: object, limit: int, size: object) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(f'{what} must be text, not {type(value).__name__}: give {what}="…"')
    shown = ascii(value if len(value) <= 60 else value[:57] + "…")
    if not value:
        raise InvalidInputError(f'{what} is empty: give {what}="…"')
    if value == _HIVE_NULL:
        raise InvalidInputError(f"{what} {shown} is what Hive writes for no value: choose another")
    if "\0" in value:
        raise InvalidInputError(f"{what} {shown} holds a NUL character, which no catalog keeps: choose another")
    try:
        length = size(value)  # type: ignore[operator]
    except UnicodeEncodeError:
        raise InvalidInputError(f"{what} {shown} holds a lone surrogate, which is not text: choose another") from None
    if length > limit:
        form = "percent-encoded bytes" if what == "strategy" else "bytes of UTF-8"
        raise InvalidInputError(f"{what} {shown} takes {length} {form}, at most {limit} are kept: shorten it")
    return value


def encode(value: str) -> str:
    """A partition value as a directory name holds it: percent-encoded as Hive does, everything but `A-Za-z0-9_.-~`."""
    return quote(value, safe="")


def run_date(created_at: datetime, partition: Partition) -> date:
    """The partition day of a result: the UTC date of `created_at`, or the first day of its month or year."""
    offset = created_at.utcoffset() or timedelta()
    day = (created_at.replace(tzinfo=None) - offset).date()
    if partition == "month":
        return day.replace(day=1)
    if partition == "year":
        return day.replace(month=1, day=1)
    return day


def data_path(table: str, strategy: str, day: date, file_id: UUID) -> str:
    """Path of a data file, relative to the lake, with `/`."""
    return f"{table}/strategy={encode(strategy)}/run_date={day.isoformat()}/{file_id}.parquet"


def name_of(path: str, table: str, strategy: str, day: date) -> UUID | None:
    """The UUID that a data file is named by, where its path follows from that and these as they are; else None."""
    parsed = parse_data_path(path)
    if parsed is None or path != f"{table}/strategy={strategy}/run_date={day.isoformat()}/{parsed[3]}.parquet":
        return None
    return parsed[3]


def share(size: int, first_row: int, rows: int, total: int) -> int:
    """Bytes of a data file that fall to one of the results in it, by rows; the shares of all are the whole."""
    return size * (first_row + rows) // total - size * first_row // total if total else size


def parse_data_path(path: str) -> tuple[str, str, date, UUID] | None:
    """Table, strategy, partition day and file id of a data file's path; None for any other path."""
    match = _DATA_FILE.fullmatch(path)
    if match is None:
        return None
    table, strategy, day, file_id = match.groups()
    try:
        return table, unquote(strategy, errors="strict"), date.fromisoformat(day), UUID(file_id)
    except ValueError:
        return None
