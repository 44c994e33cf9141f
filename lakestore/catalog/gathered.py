"""Lake tables as they are gathered from the lake: each source says what it knows, types only move forward."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields

from lakestore.errors import CorruptFileError
from lakestore.model import FIRST_FIELD_ID, Column, LakeTable


@dataclass(slots=True)
class Gathered:
    """Lake tables so far; none of them is ever narrowed.

    `changed` are the columns by table that were not there when it was last cleared, `owners` the tables of all field
    ids, `seen` what was taken in.
    """

    tables: dict[str, LakeTable] = field(default_factory=dict)
    next_field_id: int = FIRST_FIELD_ID
    changed: dict[str, dict[int, Column]] = field(default_factory=dict)
    owners: dict[int, str] = field(default_factory=dict)
    seen: set[LakeTable] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Take note of whose the columns are."""
        self.owners.update((column.field_id, name) for name, table in self.tables.items() for column in table.columns)

    def take(self, table: LakeTable) -> None:
        """Take in what one source says of a table.

        Raises:
            CorruptFileError: it contradicts another one.
        """
        if table in self.seen:
            return
        self.seen.add(table)
        own = self.tables.get(table.name)
        if own is not None and own.key != table.key:
            raise CorruptFileError(f"lake table {table.name!r} stands for the keys {own.key} and {table.key} at once")
        columns = {} if own is None else {column.field_id: column for column in own.columns}
        for column in table.columns:
            if self.owners.setdefault(column.field_id, table.name) != table.name:
                raise CorruptFileError(
                    f"field id {column.field_id} is column {column.name!r} of {table.name!r} in one place and a column "
                    f"of {self.owners[column.field_id]!r} in another: the catalog is older than its lake and gave ids "
                    "out again; 'lakestore catalog sync --rebuild' makes it anew"
                )
        fresh: dict[int, Column] = {}
        for column in table.columns:
            before = columns.get(column.field_id)
            after = column if before is None else merged(before, column)
            if after != before:
                fresh[column.field_id] = columns[column.field_id] = after
        if own is None or fresh:
            self.changed.setdefault(table.name, {}).update(fresh)
            self.tables[table.name] = LakeTable(table.name, table.key, _in_order(columns.values()))
            self.next_field_id = max([self.next_field_id, *(field_id + 1 for field_id in columns)])

    def news(self) -> list[LakeTable]:
        """The tables with the columns that are new or changed since this was asked for last."""
        found = [
            LakeTable(name, self.tables[name].key, _in_order(columns.values()))
            for name, columns in self.changed.items()
        ]
        self.changed = {}
        return found


def merged(one: Column, other: Column) -> Column:
    """The column that both descriptions of it become: types only move forward.

    Raises:
        CorruptFileError: they are not of one column.
    """
    if (one.parent, one.key, one.name) != (other.parent, other.key, other.name):
        raise CorruptFileError(
            f"field id {one.field_id} is column {one.name!r} in one data file and {other.name!r} in another: "
            "the files are of different lakes"
        )
    kinds = {one.type, other.type} - {"NULL"}
    if len(kinds) <= 1:
        return replace_fields(one, type=next(iter(kinds), "NULL"), wide=one.wide or other.wide)
    if kinds == {"BIGINT", "DOUBLE"}:
        return replace_fields(one, type="DOUBLE", wide=False)
    raise CorruptFileError(f"column {one.name!r} is {one.type} in one data file and {other.type} in another")


def _in_order(columns: Iterable[Column]) -> tuple[Column, ...]:
    return tuple(sorted(columns, key=lambda column: column.field_id))
