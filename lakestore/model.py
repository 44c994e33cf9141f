"""The values that the layers hand to each other: frozen, typed, without behaviour of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from uuid import UUID

import orjson

FORMAT_VERSION = 1
"""Version of what is written on disk; a lake of a newer one is refused by name."""

OWN_COLUMNS = ("task_id", "strategy", "run_date", "filename", "_pos")
"""Columns every lake table has for itself; a record's key of such a name is stored under another."""

TASK_ID_FIELD = 1
POS_FIELD = 2
FIRST_FIELD_ID = 16
"""Field ids below are lakestore's own; a lake's columns count from here, unique in the whole lake."""

ULPS = "#ulps"
"""Follows the key of the column whose decimals a column completes."""

SqlType = Literal[
    "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "JSON",
    "STRUCT", "LIST", "NULL",
]  # fmt: skip
"""A column's type in SQL. STRUCT and LIST have children; NULL: no value of it was ever seen."""

_LONG_NUMBER = re.compile(r"\d{19}")

Digest = bytes
"""A SHA-256 as its 32 bytes."""

Partition = Literal["day", "month", "year"]
Numbers = Literal["decimal", "double"]
Reason = Literal["deleted", "replaced"]
"""Why a version of a result was let go."""


Statement = tuple[str, Mapping[str, Any]]
"""A statement of `catalog/queries.sql` by name, and its parameters."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a lake table, or one member of a nested one.

    `parent` is the field id of the STRUCT or LIST it lies in (None: a column of the table itself).
    `key` is the key in the document as JSON text (`"price"` with its quotes, ASCII only, so that NUL and lone
    surrogates can stand in it); for a list's element it is `[]`; for the sibling column that takes values of
    another type it is the key followed by `#json`, for the one of the units that complete decimals the key followed
    by `#ulps`. `name` is what SQL calls it, unique in its parent without regard to case. `wide`: integers beyond
    ±2**53 were stored, so it can no longer become DOUBLE.
    """

    field_id: int
    parent: int | None
    key: str
    name: str
    type: SqlType
    wide: bool = False

    @property
    def is_ulps(self) -> bool:
        """Whether it holds the units beside another column's decimals (`codec.ulps`); SQL shows both as one."""
        return self.key.endswith(ULPS)


@dataclass(frozen=True, slots=True)
class NewColumn:
    """A wish for a column: reserved by the catalog, which gives it its id and its name.

    `parent` is a field id, or the negative place (-1 is the first) of another wish in the same call.
    `name` is the wish; the catalog appends `__2`, `__3`, … while it is taken.
    """

    parent: int | None
    key: str
    name: str
    type: SqlType
    wide: bool = False


@dataclass(frozen=True, slots=True)
class LakeTable:
    """A lake table: its name in SQL and on disk, the key it stands for, and its columns in order of field id."""

    name: str
    key: str
    columns: tuple[Column, ...] = ()

    @property
    def shown(self) -> list[Column]:
        """The columns of the records that SQL shows, in order of field id."""
        own = [
            column
            for column in self.columns
            if column.parent is None and column.field_id >= FIRST_FIELD_ID and not column.is_ulps
        ]
        return sorted(own, key=lambda column: column.field_id)

    @property
    def units(self) -> dict[int, Column]:
        """The columns of units, by the field id of the column or member that each completes."""
        units = {(column.parent, column.key): column for column in self.columns if column.is_ulps}
        if not units:
            return {}
        beside = {own.field_id: units.get((own.parent, own.key + ULPS)) for own in self.columns}
        return {own: column for own, column in beside.items() if column is not None}


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A data file that holds live rows. `path` is relative to the lake, percent-encoded as it is on disk.

    `dead` are the task ids whose rows in this file are no longer live (replaced or deleted).
    """

    table: str
    path: str
    strategy: str
    run_date: date
    rows: int
    bytes: int
    dead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewFile:
    """A data file that was written durably and waits for its commit. `sha256` is of its bytes."""

    table: str
    path: str
    strategy: str
    run_date: date
    rows: int
    bytes: int
    sha256: Digest


@dataclass(frozen=True, slots=True)
class RowSpan:
    """Which rows of which file belong to one result: `rows` rows from `first_row` (0-based) of `path`."""

    path: str
    table: str
    strategy: str
    first_row: int
    rows: int
    sha256: Digest = b""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How a document is kept exact, and the bytes that this costs beside its rows.

    `style`: rebuilt by the writer's style alone; `patched`: with exceptions or a patch; `original`: the text
    itself is kept, compressed. `bytes` is what the patch or the original takes.
    """

    kind: Literal["style", "patched", "original"]
    bytes: int = 0


def parsed(text: str) -> Any:
    """The value of JSON text; what Python cannot take (depth, numbers of thousands of digits) stays text."""
    try:
        # orjson makes doubles of integers beyond 64 bits.
        return orjson.loads(text) if _LONG_NUMBER.search(text) is None else json.loads(text)
    except (ValueError, RecursionError):
        return text


@dataclass(frozen=True, slots=True)
class RunStats:
    """Packed statistics of one result's numbers: of all rows of its lake tables, and of some by symbol."""

    packed: bytes = b""
    by_symbol: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResultInfo:
    """What the catalog knows of one result; times are UTC, sizes are bytes."""

    task_id: str
    strategy: str
    status: str
    created_at: datetime
    file_size: int
    json_size: int
    run_date: date
    strategies: tuple[str, ...]
    sha256: str
    """SHA-256 of the JSON text, hexadecimal."""
    profile: str
    fidelity: Fidelity
    write_id: UUID
    saved_at: datetime
    tables: Mapping[str, int] = field(default_factory=dict)
    """Rows per lake table."""
    params: Any = None
    metrics: Any = None
    stats: RunStats = field(default_factory=RunStats, compare=False, repr=False)
    """Statistics of a result that is to be committed; SQL has them as `run_stats`."""
    row: tuple[Any, ...] = field(default=(), init=False, compare=False, repr=False)
    """What the catalog gave of it (`result_columns` of its SQL): what is seldom looked at is read from there."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Parse JSON at the first look: most readers of a page never look, and it is most of the work."""
            if name not in _JSON:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            text = self.row[_JSON[name]]
            value = None if text is None else parsed(text)
            object.__setattr__(self, name, value)
            return value


_JSON: Final = {"tables": -3, "params": -2, "metrics": -1}
"""Where their texts stand in a row."""
_fidelity_of = lru_cache(1024)(Fidelity)
_SELDOM: Final[Mapping[str, tuple[Callable[[tuple[Any, ...]], Any], str]]] = {
    "json_size": (itemgetter(5), "Bytes of its JSON text."),
    "run_date": (itemgetter(6), "Partition: UTC date of `created_at`, or the first day of its month or year."),
    "strategies": (lambda row: (row[1],) if row[7] is None else tuple(row[7]), "All strategies of the document."),
    "sha256": (lambda row: row[8].hex(), "SHA-256 of the JSON text, hexadecimal."),
    "profile": (itemgetter(9), "Profile that read the document."),
    "fidelity": (lambda row: _fidelity_of(row[10], row[11]), "How the text is kept exact."),
    "write_id": (itemgetter(12), "Id of this version of the result."),
    "saved_at": (lambda row: _zoned(row[13]), "When it was saved, UTC."),
    "stats": (lambda row: RunStats(), "Statistics of a result that is to be committed."),
}


def _read_late(name: str, of_row: Callable[[tuple[Any, ...]], Any], doc: str) -> None:
    slot = getattr(ResultInfo, name)

    def get(info: ResultInfo) -> Any:
        row = info.row
        return of_row(row) if row else slot.__get__(info)

    setattr(ResultInfo, name, property(get, slot.__set__, doc=doc))


for _name, (_of_row, _doc) in _SELDOM.items():
    _read_late(_name, _of_row, _doc)


def _zoned(time: datetime) -> datetime:
    return time if time.tzinfo is UTC else time.astimezone(UTC)


def _setter(name: str) -> Callable[[ResultInfo, Any], None]:
    return cast("Callable[[ResultInfo, Any], None]", getattr(ResultInfo, name).__set__)


_row, _task_id, _strategy, _status = map(_setter, ("row", "task_id", "strategy", "status"))
_created_at, _file_size = map(_setter, ("created_at", "file_size"))


def info_of(row: tuple[Any, ...]) -> ResultInfo:
    """Return the result that a row of the catalog stands for; what is seldom looked at is made then."""
    info = object.__new__(ResultInfo)
    _row(info, row)
    # A page makes a hundred: slot by slot takes half of what the constructor of a frozen dataclass takes.
    _task_id(info, row[0])
    _strategy(info, row[1])
    _status(info, row[2])
    _created_at(info, _zoned(row[3]))
    _file_size(info, row[4])
    return info


@dataclass(frozen=True, slots=True)
class LetGo:
    """A version of a result that was deleted or replaced, and is not vacuumed yet."""

    info: ResultInfo
    let_go_at: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class ResultDigest:
    """What tells whether a result is the same elsewhere: its text's SHA-256 (hexadecimal), and sizes in bytes."""

    task_id: str
    strategy: str
    sha256: str
    json_size: int
    file_size: int


@dataclass(frozen=True, slots=True)
class NewResult:
    """One result ready to be committed, its files written: what `Catalog.commit` makes visible at once.

    `params` and `metrics` are JSON texts fit for JSONB (no NaN, no U+0000), or None.
    """

    info: ResultInfo
    spans: tuple[RowSpan, ...]
    params: str | None = None
    metrics: str | None = None
    replaces: UUID | None = None
