"""The protocol that every result storage keeps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Protocol, runtime_checkable

from lakestore.model import ResultInfo


@runtime_checkable
class ResultStorage(Protocol):
    """Results by `task_id`; an engine gives and gets a `dict`, or JSON as bytes or text."""

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
        """Store one result; on return it is durable. The same document again is a success and changes nothing.

        Args:
            replace: put it in the place of a result with this id and other content.
            strategy: taken where the document names none; else what the storage was told.
            time: when the run was made, where the document does not state it: a time, a day or ISO text, UTC without a
                zone; else now.
            tables: arrays of records by name, held as columns (pyarrow, pandas, polars); the document has them then.

        Raises:
            InvalidInputError: it cannot be kept; nothing was written.
            AlreadyExistsError: this id has other content, and `replace` is false.
        """
        ...

    def load_result(self, task_id: str) -> Any:
        """The value of a result, as it was saved; a `dict` for nearly every engine.

        Raises:
            NotFoundError: there is none.
        """
        ...

    def load_json(self, task_id: str) -> bytes:
        """The JSON text of a result, byte for byte as it was saved; raises as `load_result` does."""
        ...

    def info(self, task_id: str) -> ResultInfo:
        """What is known of one result.

        Raises:
            NotFoundError: there is none.
        """
        ...

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
        """What is known of the results, newest first by `created_at`, then by `task_id`.

        Args:
            strategy: only those with this strategy; one of several counts.
            since, until: only `since <= created_at < until`: a time, a day, ISO text, or an age (`7d`, a timedelta).
            after: the last result of the page before, or its id.

        Raises:
            NotFoundError: `after` is the id of no result.
        """
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
