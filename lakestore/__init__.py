"""lakestore: backtest results as a lake of Parquet, queried by SQL, given back byte for byte."""

from __future__ import annotations

import os

from lakestore.errors import (
    AlreadyExistsError,
    CatalogError,
    CommitUnknownError,
    ConflictError,
    CorruptFileError,
    InvalidInputError,
    LakestoreError,
    NotFoundError,
    QueryError,
    StorageError,
)
from lakestore.lake import Lake
from lakestore.manager import ResultManager
from lakestore.model import Fidelity, LakeTable, LiveFile, ResultInfo
from lakestore.result import Result
from lakestore.saving import Item
from lakestore.storage import Difference, DualResultStorage, JsonResultStorage, LakeResultStorage, ResultStorage

__all__ = [
    "AlreadyExistsError",
    "CatalogError",
    "CommitUnknownError",
    "ConflictError",
    "CorruptFileError",
    "Difference",
    "DualResultStorage",
    "Fidelity",
    "InvalidInputError",
    "Item",
    "JsonResultStorage",
    "Lake",
    "LakeResultStorage",
    "LakeTable",
    "LakestoreError",
    "LiveFile",
    "NotFoundError",
    "QueryError",
    "Result",
    "ResultInfo",
    "ResultManager",
    "ResultStorage",
    "StorageError",
    "open",
]


def open(path: str | os.PathLike[str] | None = None, *, dsn: str | None = None, create: bool = True) -> Lake:
    """Open a lake; made where there is none.

    Args:
        path: its root directory; else `LAKESTORE_LAKE`, else `lake` in the working directory.
        dsn: PostgreSQL connection string of its catalog; else `LAKESTORE_DSN`; empty or nowhere: the embedded one,
            a PostgreSQL that lives in the lake and stops with its last user.
        create: whether a lake may be made.

    Raises:
        NotFoundError: there is none, and none may be made.
        CatalogError: the catalog cannot be reached, is another lake's, or is of a newer version.
        StorageError: the directory cannot be written.
    """
    return Lake.open(path, dsn=dsn, create=create)
