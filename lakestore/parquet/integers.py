"""A data file whose short decimals are read as the integers that they are stored as.

pyarrow makes 16 bytes of each DECIMAL, and what a load wants are doubles: from integers of 32 bits these are made in a
third of the time. In a footer that this package wrote, one byte a column says which of both it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakestore.model import POS_FIELD, TASK_ID_FIELD
from lakestore.parquet import thrift

_VERSION, _SCHEMA = 1, 2
# Places in an element of the schema, from parquet.thrift.
_TYPE, _NAME, _CHILDREN, _CONVERTED, _SCALE, _PRECISION, _FIELD_ID, _LOGICAL = 1, 4, 5, 6, 7, 8, 9, 10
_INT32, _DECIMAL, _INTEGER = 1, 5, 17
_DIGITS = 9
"""The most that a decimal of 32 bits has."""
_MAGIC = b"PAR1"
_ENDING = 8
"""Bytes of a file after its footer: the footer's length, and `PAR1`."""
_MOST = 64
"""Schemas that are remembered: a lake has one for each table, and more where columns were added."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a file without nested columns.

    Attributes:
        begins: what the footer begins with where decimals of 32 bits are integers.
        scales: by field id, those of these decimals.
        names: the columns beside `task_id`; None: all are read.
    """

    begins: bytes
    scales: Mapping[int, int]
    names: Sequence[str] | None


_UNKNOWN = Schema(b"", {}, None)
_known: dict[bytes, Schema | None] = {}


def as_integers(data: Any) -> tuple[bytes, Schema] | None:
    """A footer, as a file without pages, in which decimals of 32 bits are integers; and its schema.

    None: a reader has to take the file as it is.
    """
    whole = memoryview(data)
    start = len(whole) - _ENDING - int.from_bytes(whole[-_ENDING:-4], "little")
    if start <= 0:
        return None
    ending = whole[start:].tobytes()
    # A schema says how many columns it has: none is the beginning of another.
    for head in (ending[:size] for size in {len(each) for each in list(_known)}):
        # Looked up once: another thread may empty what is remembered.
        schema = _known.get(head, _UNKNOWN)
        if schema is not _UNKNOWN:
            break
    else:
        head, schema = _read(ending[:-_ENDING])
        if len(_known) >= _MOST:
            _known.clear()
        _known[head] = schema
    if schema is None:
        return None
    return b"".join([_MAGIC, schema.begins, ending[len(head) :]]), schema


def _read(footer: bytes) -> tuple[bytes, Schema | None]:
    """The bytes of a footer up to the end of the schema, or all; and what they say. None: it is left to a reader."""
    try:
        found, _ = thrift.read(footer)
        top = {field: found[field] for field in (_VERSION, _SCHEMA)}
        head = thrift.write(top)[:-1]
        root, *columns = found[_SCHEMA][1][1]
        if not footer.startswith(head):
            return footer, None
        if root[_CHILDREN][1] != len(columns):
            return head, None
        if len({column[_FIELD_ID][1] for column in columns}) != len(columns):
            return head, None
        scales: dict[int, int] = {}
        for column in columns:
            if _LOGICAL not in column and column.get(_CONVERTED, (0, 0))[1] == _DECIMAL and column[_TYPE][1] == _INT32:
                # pyarrow refuses what is no decimal of 32 bits, but takes any integer.
                if not 0 <= column[_SCALE][1] <= column[_PRECISION][1] <= _DIGITS:
                    return head, None
                column[_CONVERTED] = column[_CONVERTED][0], _INTEGER
                scales[column[_FIELD_ID][1]] = column[_SCALE][1]
        if scales.keys() & {TASK_ID_FIELD, POS_FIELD}:
            return head, None
        names = [column[_NAME][1].decode() for column in columns if column[_FIELD_ID][1] != TASK_ID_FIELD]
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, RecursionError):
        return footer, None
    # Of a name with a dot pyarrow would make a path.
    wanted = None if any("." in name for name in names) else names
    return head, Schema(thrift.write(top)[:-1], scales, wanted)
