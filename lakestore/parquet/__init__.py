"""Parquet as bytes: what is written is small and plain, what is read is found by field id, in the document's order."""

from lakestore.parquet.data_file import (
    ROW_GROUP,
    begun,
    columns_of,
    cut,
    field,
    footer_of,
    from_buffer,
    read_part,
    reordered,
    row_groups,
    rows_of,
    table_of,
    task_ids,
    task_runs,
    to_buffer,
)
from lakestore.parquet.key_values import field_id

__all__ = [
    "ROW_GROUP",
    "begun",
    "columns_of",
    "cut",
    "field",
    "field_id",
    "footer_of",
    "from_buffer",
    "read_part",
    "reordered",
    "row_groups",
    "rows_of",
    "table_of",
    "task_ids",
    "task_runs",
    "to_buffer",
]
