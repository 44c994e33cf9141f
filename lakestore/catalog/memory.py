"""Tables and columns by the catalog's own rules, kept in memory: for what is encoded and never stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakestore.catalog.columns import Wishes, free_table_name, name_for, plan
from lakestore.model import FIRST_FIELD_ID, LakeTable, NewColumn, SqlType


class MemorySchema:
    """What `codec.encode.Schema` asks for, without a database.

    Attributes:
        tables: the tables so far by key.
    """

    def __init__(self) -> None:
        self.tables: dict[str, LakeTable] = {}

    def table(self, key: str, wanted: str) -> LakeTable:
        """The table for a document key, reserved under the wanted name where it is new."""
        if key in self.tables:
            return self.tables[key]
        keys = {table.name: table.key for table in self.tables.values()}
        if (name := name_for(key, keys)) is not None:
            return self.tables[keys[name]]
        self.tables[key] = LakeTable(free_table_name(wanted, keys), key)
        return self.tables[key]

    def reserve(
        self,
        table: str,
        wishes: Sequence[NewColumn],
        *,
        widen: Sequence[int],
        mark_wide: Sequence[int],
        settype: Mapping[int, SqlType],
    ) -> LakeTable:
        """The table after what is wished for was reserved."""
        old = next(each for each in self.tables.values() if each.name == table)
        used = [column.field_id for each in self.tables.values() for column in each.columns]
        next_field_id = max(used, default=FIRST_FIELD_ID - 1) + 1
        columns = plan(table, old.columns, Wishes(wishes, widen, mark_wide, settype), next_field_id=next_field_id)
        self.tables[old.key] = LakeTable(table, old.key, columns)
        return self.tables[old.key]
