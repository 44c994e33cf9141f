"""The storage that an engine writes to, chosen by its configuration."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import partial
from typing import Any, Self

from lakestore import home, layout
from lakestore.closing import Closing
from lakestore.codec.profiles.registry import known
from lakestore.config import Config, Mode
from lakestore.errors import InvalidInputError, LakestoreError
from lakestore.model import ResultInfo
from lakestore.storage import DualResultStorage, Journal, JsonResultStorage, LakeResultStorage, ResultStorage

_log = logging.getLogger("lakestore")


class ResultManager(Closing):
    """The `ResultStorage` of the mode that is configured, with its methods; an engine needs no other.

    Attributes:
        mode: `json`, `dual` or `lake`.
        storage: the storage itself.
    """

    def __init__(self, mode: Mode, storage: ResultStorage) -> None:
        """Made by `from_env` and `from_config`."""
        self.mode = mode
        self.storage = storage
        self._configured: Callable[[], Self] | None = None

    @classmethod
    def from_env(
        cls,
        *,
        mode: str | None = None,
        primary: str | None = None,
        verify_reads: bool | None = None,
        json_root: str | os.PathLike[str] | None = None,
        json_pattern: str | None = None,
        lake: str | os.PathLike[str] | None = None,
        dsn: str | None = None,
        strategy: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """The storage that is configured; what is given here beats the environment, which beats the file.

        Args:
            mode: `RESULT_STORAGE_MODE`: `json`, `dual` or `lake`, the default.
            primary: `RESULT_STORAGE_PRIMARY`: which one counts in mode `dual`, `json`, the default, or `lake`.
            verify_reads: `RESULT_STORAGE_VERIFY_READS`: whether reads in mode `dual` compare both.
            json_root: `RESULT_STORAGE_JSON_ROOT`: the tree of JSON files; needed in modes `json` and `dual`.
            json_pattern: `RESULT_STORAGE_JSON_PATTERN`: where a result lies in it; `{strategy}/{task_id}.json`.
            lake: `LAKESTORE_LAKE`: the lake's directory; made where there is none.
            dsn: `LAKESTORE_DSN`: its catalog; empty or nowhere: the embedded one.
            strategy: taken for documents that name none.

        Raises:
            InvalidInputError: a setting cannot be used, or one is missing; named with the choices.
            CatalogError, StorageError: the lake cannot be opened, and it is what counts.
        """
        config = Config.load(
            mode=mode,
            primary=primary,
            verify_reads=verify_reads,
            json_root=json_root,
            json_pattern=json_pattern,
            lake=lake,
            dsn=dsn,
            environ=environ,
        )
        return cls.from_config(config, strategy=strategy)

    @classmethod
    def from_config(cls, config: Config, *, strategy: str | None = None) -> Self:
        """The storage of a configuration; raises as `from_env` does."""
        made = cls(config.mode, cls._storage(config, strategy))
        made._configured = partial(cls.from_config, config, strategy=strategy)
        return made

    @staticmethod
    def _storage(config: Config, strategy: str | None) -> ResultStorage:
        journal = Journal(config.json_root, config.lake)
        if config.mode == "lake":
            _warn_of_repairs(journal, config.mode)
            # Where there is a tree to go back to, it must learn what is let go.
            noted = journal if config.json_root is not None and config.json_root.exists() else None
            lake = LakeResultStorage.at(config.lake, dsn=config.dsn or "", strategy=strategy, journal=noted)
            _ = lake.lake
            return lake
        if config.json_root is None:
            raise InvalidInputError(
                f"mode {config.mode} needs the tree of JSON files: set RESULT_STORAGE_JSON_ROOT to its root directory"
            )
        tree = JsonResultStorage(
            config.json_root,
            pattern=config.json_pattern,
            strategy=strategy,
            profiles=known(config.lake / layout.PROFILES),
            # As must a lake that results are being moved to.
            journal=journal if config.mode == "json" and _has_lake(config) else None,
        )
        if config.mode == "json":
            _warn_of_repairs(journal, config.mode)
            return tree
        lake = LakeResultStorage.at(config.lake, dsn=config.dsn or "", strategy=strategy)
        if config.primary == "lake":
            # Only a secondary may be away when an engine starts.
            _ = lake.lake
        pair = (tree, lake) if config.primary == "json" else (lake, tree)
        return DualResultStorage(*pair, journal=journal, verify_reads=config.verify_reads)

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
        """Store one result; see `ResultStorage.save_result`."""
        return self.storage.save_result(task_id, result, replace=replace, strategy=strategy, time=time, tables=tables)

    def load_result(self, task_id: str) -> Any:
        """The value of a result; see `ResultStorage.load_result`."""
        return self.storage.load_result(task_id)

    def load_json(self, task_id: str) -> bytes:
        """The JSON text of a result; see `ResultStorage.load_json`."""
        return self.storage.load_json(task_id)

    def info(self, task_id: str) -> ResultInfo:
        """What is known of one result; see `ResultStorage.info`."""
        return self.storage.info(task_id)

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
        """What is known of the results, newest first; see `ResultStorage.list_results`."""
        return self.storage.list_results(
            strategy=strategy, status=status, since=since, until=until, limit=limit, after=after
        )

    def delete_result(self, task_id: str) -> None:
        """Let a result go; see `ResultStorage.delete_result`."""
        self.storage.delete_result(task_id)

    def exists(self, task_id: str) -> bool:
        """Whether there is a result of this id."""
        return self.storage.exists(task_id)

    def close(self) -> None:
        """Let go of the storage."""
        if isinstance(self.storage, JsonResultStorage | LakeResultStorage | DualResultStorage):
            self.storage.close()

    def __reduce__(self) -> tuple[Callable[[], Self], tuple[()]]:
        """Pickled, as workers get their arguments, it becomes one of the same configuration, opened there."""
        if self._configured is None:
            raise TypeError("a ResultManager of a storage of one's own is not pickled: make one in each process")
        return self._configured, ()

    def __repr__(self) -> str:
        return f"ResultManager({self.mode!r}, {self.storage!r})"


def _has_lake(config: Config) -> bool:
    try:
        return home.find(config.lake) is not None
    except LakestoreError:
        # There is something, which cannot be read now; engines that write JSON alone need not know what.
        return True


def _warn_of_repairs(journal: Journal, mode: Mode) -> None:
    """Say aloud where one storage alone is used although the other one has what it missed."""
    count = sum(1 for _ in journal.entries(wrong="lake" if mode == "lake" else "json"))
    if count:
        mender = "lakestore migrate" if mode == "lake" else "lakestore export"
        _log.warning(
            "mode %s is used while %d results wait for repair in it; run '%s' ('lakestore status' tells)",
            mode,
            count,
            mender,
        )
