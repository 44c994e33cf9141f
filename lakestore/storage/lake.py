"""The lake as a result storage."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

from lakestore import layout
from lakestore.closing import Closing
from lakestore.errors import CatalogError, NotFoundError
from lakestore.identity import moment
from lakestore.lake import Lake
from lakestore.locks import Lock
from lakestore.model import ResultInfo
from lakestore.saving import Item
from lakestore.storage.journal import Action, Journal


class LakeResultStorage(Closing):
    """`ResultStorage` over a `Lake`, which stays the caller's to close.

    Attributes:
        root: the lake's directory.
    """

    def __init__(self, lake: Lake, *, strategy: str | None = None, journal: Journal | None = None) -> None:
        """Store results in a lake that is open.

        Args:
            strategy: taken for documents that name none.
            journal: where a lake that is used alone, beside a JSON tree, notes what it replaces and deletes.
        """
        self._begin(lake.root, lake, None, strategy, journal)

    def _begin(
        self,
        root: Path,
        lake: Lake | None,
        opened: Callable[[], Lake] | None,
        strategy: str | None,
        journal: Journal | None,
    ) -> None:
        self.root = root
        self._lake = lake
        self._open = opened
        self._lock = Lock()
        self._strategy = strategy
        self._journal = journal

    @classmethod
    def at(
        cls,
        root: str | os.PathLike[str],
        *,
        dsn: str | None = None,
        strategy: str | None = None,
        journal: Journal | None = None,
    ) -> Self:
        """Store results in a lake that is opened, or made, when it is first needed; `close` closes it.

        So a program can begin while the catalog is away: each use says so, until it is back.

        Args:
            root, dsn: as for `lakestore.open`.
        """
        storage = cls.__new__(cls)
        path = Path(root).absolute()
        storage._begin(path, None, partial(Lake.open, path, dsn=dsn), strategy, journal)
        return storage

    @property
    def lake(self) -> Lake:
        """The lake, opened now if it was not yet.

        Raises:
            CatalogError: its catalog cannot be reached, or the storage was closed.
            StorageError: its directory cannot be made.
        """
        with self._lock:
            if self._lake is None:
                if self._open is None:
                    raise CatalogError(f"the storage on lake {self.root} was closed; make another one")
                self._lake = self._open()
            return self._lake

    def save_result(
        self,
        task_id: str,
        result: dict[str, Any] | bytes | str,
        *,
        replace: bool = False,
        strategy: str | None = None,
        time: date | str | None = None,
        tables: Mapping[str, Any] | None = None,
    ) -> ResultInfo:
        """Store one result; see `Lake.save`."""
        # To a lake None is an id to be derived; whoever calls a storage has one.
        layout.check_task_id(task_id)
        strategy = strategy or self._strategy
        when = moment("time", time, datetime.now(UTC))
        item = Item(document=result, task_id=task_id, strategy_if_none=strategy, time=when, tables=tables)
        if self._journal is None or not replace:
            return self.lake.save_item(item, replace=replace)
        with self._journal.lock(task_id):
            self._let_go(self._journal, task_id, "replace")
            return self.lake.save_item(item, replace=replace)

    def load_result(self, task_id: str) -> Any:
        """The value of a result; see `Lake.load`."""
        return self.lake.load(task_id).document

    def load_json(self, task_id: str) -> bytes:
        """The JSON text of a result; see `Lake.load`."""
        return self.lake.load(task_id).to_json()

    def info(self, task_id: str) -> ResultInfo:
        """What is known of one result; see `Lake.info`."""
        return self.lake.info(task_id)

    def list_results(
        self,
        *,
        strategy: str | None = None,
        status: str | None = None,
        since: date | timedelta | str | None = None,
        until: date | timedelta | str | None = None,
        limit: int = 100,
        after: ResultInfo | str | None = None,
    ) -> list[ResultInfo]:
        """What is known of the results, newest first; see `Lake.results`."""
        return self.lake.results(strategy=strategy, status=status, since=since, until=until, limit=limit, after=after)

    def delete_result(self, task_id: str) -> None:
        """Let a result go; see `Lake.delete`."""
        if self._journal is None:
            self.lake.delete(task_id)
            return
        with self._journal.lock(task_id):
            self._let_go(self._journal, task_id, "delete")
            self.lake.delete(task_id)

    def exists(self, task_id: str) -> bool:
        """Whether there is a result of this id."""
        return self.lake.exists(task_id)

    def close(self) -> None:
        """Close the lake, if this storage opened it."""
        with self._lock:
            if self._open is not None:
                self._open = None
                if self._lake is not None:
                    self._lake.close()
                    self._lake = None

    def __repr__(self) -> str:
        return f"LakeResultStorage({str(self.root)!r})"

    def _let_go(self, journal: Journal, task_id: str, action: Action) -> None:
        with contextlib.suppress(NotFoundError):
            digest = self.lake.info(task_id).sha256
            journal.let_go(task_id, right="lake", action=action, digest=digest, at=datetime.now(UTC))
