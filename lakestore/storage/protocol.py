"""The protocol that every result storage keeps."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from lakestore.model import ResultInfo


@runtime_checkable
class ResultStorage(Protocol):
    """Results by `task_id`; an engine gives and gets a `dict`, or JSON as bytes or text."""

    def save_result(self, task_id: str, result: dict[str, Any] | bytes | str, *, replace: bool = False) -> ResultInfo:
        """Store one result; on return it is durable.

        Raises:
            InvalidInputError: it cannot be kept; nothing was written.
            AlreadyExistsError: this id has other content, and `replace` is false.
        """
        ...

    def load_result(self, task_id: str) -> dict[str, Any]:
        """The value of a result, as it was saved.

        Raises:
            NotFoundError: there is none.
        """
        ...

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
        """What is known of the results, newest first; `after` is the last id of the page before."""
        ...

    def delete_result(self, task_id: str) -> None:
        """Let a result go.

        Raises:
            NotFoundError: there is none.
        """
        ...

    def exists(self, task_id: str) -> bool:
        """Whether there is a result of this id."""
        ...
