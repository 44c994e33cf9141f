"""The lake as a result storage."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lakestore.lake import Lake
from lakestore.model import ResultInfo


class LakeResultStorage:
    """`ResultStorage` over a `Lake`, which stays the caller's to close.

    `strategy` is taken for documents that name none.
    """

    def __init__(self, lake: Lake, *, strategy: str | None = None) -> None:
        """Store results in a lake that is open."""
        self.lake = lake
        self._strategy = strategy

    def save_result(self, task_id: str, result: dict[str, Any] | bytes | str, *, replace: bool = False) -> ResultInfo:
        """Store one result; see `Lake.save`."""
        return self.lake.save(result, task_id=task_id, strategy=self._strategy, replace=replace)

    def load_result(self, task_id: str) -> dict[str, Any]:
        """The value of a result; see `Lake.load`."""
        value: dict[str, Any] = self.lake.load(task_id).document
        return value

    def list_results(
        self,
        *,
        strategy: str | None = None,
        status: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[ResultInfo]:
        """What is known of the results, newest first; see `Lake.results`."""
        return self.lake.results(strategy=strategy, status=status, since=since, until=until, limit=limit, after=after)

    def delete_result(self, task_id: str) -> None:
        """Let a result go; see `Lake.delete`."""
        self.lake.delete(task_id)

    def exists(self, task_id: str) -> bool:
        """Whether there is a result of this id."""
        return self.lake.exists(task_id)
