"""lakestore: backtest results as a lake of Parquet, queried by SQL, given back byte for byte."""

from __future__ import annotations

import os
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

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
from lakestore.model import Column, Fidelity, LakeTable, LiveFile, ResultDigest, ResultInfo

if TYPE_CHECKING:
    from lakestore.lake import Lake
    from lakestore.manager import ResultManager
    from lakestore.query import Limits
    from lakestore.result import Result
    from lakestore.saving import Item
    from lakestore.storage import Difference, DualResultStorage, JsonResultStorage, LakeResultStorage, ResultStorage

    __version__: str

_PLACES = {
    "Difference": "lakestore.storage",
    "DualResultStorage": "lakestore.storage",
    "Item": "lakestore.saving",
    "JsonResultStorage": "lakestore.storage",
    "Lake": "lakestore.lake",
    "LakeResultStorage": "lakestore.storage",
    "Limits": "lakestore.query",
    "Result": "lakestore.result",
    "ResultManager": "lakestore.manager",
    "ResultStorage": "lakestore.storage",
}
"""What is imported when it is first used: DuckDB, Arrow and the driver take half a second, and `--help` needs none."""

__all__ = [
    "AlreadyExistsError",
    "CatalogError",
    "Column",
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
    "Limits",
    "LiveFile",
    "NotFoundError",
    "QueryError",
    "Result",
    "ResultDigest",
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
    from lakestore.lake import Lake

    return Lake.open(path, dsn=dsn, create=create)


if not TYPE_CHECKING:
    # A type checker that saw it would take any name, however mistyped, for one of this module.

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return metadata.version(__name__)
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_PLACES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
