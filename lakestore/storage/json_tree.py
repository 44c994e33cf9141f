"""A tree of JSON files as a result storage: one file a result, as engines have always kept them."""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from lakestore import layout
from lakestore.catalog.reads import check_limit
from lakestore.closing import Closing
from lakestore.codec import text
from lakestore.codec.profiles.registry import Profiles, choose, shipped
from lakestore.config import DEFAULT_PATTERN
from lakestore.errors import (
    AlreadyExistsError,
    ConflictError,
    CorruptFileError,
    InvalidInputError,
    LakestoreError,
    NotFoundError,
    StorageError,
)
from lakestore.files import Files
from lakestore.identity import digest, identify, moment, searchable
from lakestore.model import Fidelity, ResultInfo
from lakestore.source import Source, source_of
from lakestore.storage.index import Facts, Index, Searchable, strategies_of
from lakestore.storage.journal import HIDDEN, Action, Journal, lock_name
from lakestore.storage.names import Pattern
from lakestore.storage.tree import Tree, TreeFile

_REMEMBERED = 100_000
"""Paths of results kept in memory; a look-up that knows the path need not go through the folders."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class JsonResultStorage(Closing):
    """`ResultStorage` over `<root>/<anything>/<task_id>.json`; safe for threads and processes.

    Files that other programs put there are results as well. A result that names no strategy has that of its folder,
    where the pattern has one, else the one given here; one that states no time has the file's.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        pattern: str = DEFAULT_PATTERN,
        strategy: str | None = None,
        profiles: Profiles | None = None,
        journal: Journal | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """Keep results below a directory, which is made by the first save.

        Args:
            pattern: where a result is written, of `{strategy}`, `{date}` and `{task_id}`; it is found in any folder.
            strategy: taken for documents that name none.
            profiles: how documents are read for their identity; the shipped ones if None.
            journal: where a tree that is used alone, beside a lake, notes what it replaces and deletes.

        Raises:
            InvalidInputError: the pattern cannot be used, or the directory is a lake.
        """
        self.root = Path(root).absolute()
        self.pattern = Pattern(pattern)
        if (self.root / layout.PRIVATE).exists():
            raise InvalidInputError(f"{self.root} is a lake, not a tree of JSON files; name another directory")
        self._strategy = strategy
        self._profiles = shipped() if profiles is None else profiles
        self._journal = journal
        self._now = now or (lambda: datetime.now(UTC))
        self._files = Files(self.root)
        self._tree = Tree(self.root, self.pattern)
        rules = [pattern, strategy or "", *(profile.text for profile in self._profiles.values())]
        self._index = Index(self.root / HIDDEN, json.dumps(rules))
        self._paths: dict[str, str] = {}

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
        """Store one result as a file; on return it is durable.

        A result that is replaced keeps its place, and one whose bytes are there already is left as it is.

        Raises:
            InvalidInputError: a lake would not keep it either; nothing was written.
            AlreadyExistsError: this id has other content, and `replace` is false.
            StorageError: the file system refused; what was there is still there.
        """
        layout.check_task_id(task_id)
        begun = self._now()
        source = source_of(result, moment("time", time, begun) or begun, tables=tables)
        value = source.given and source.given.value
        if value is None:
            value = text.parse(source.text, source.where)[0]
        strategy = strategy or self._strategy
        # Also where the bytes are there already: what a lake refuses is refused.
        facts, found = self._identify(task_id, source, value, strategy)
        with self._locked(task_id):
            there = self._find(task_id)
            for seen in there:
                if self._tree.read(seen.path) == source.text:
                    kept = Source(source.text, source.where, _time(seen.mtime_ns))
                    named = self.pattern.strategy(seen.path) or strategy
                    return self._info(seen, *self._identify(task_id, kept, value, named))
            if there and not replace:
                raise AlreadyExistsError(
                    f"result {task_id!r} is already in {self.root / there[0].path} with other content; nothing was "
                    "saved: choose another task_id, or replace it (replace=True)"
                )
            self._let_go(task_id, "replace", there)
            created_at = _EPOCH + timedelta(microseconds=facts.created_at or 0)
            paths = [seen.path for seen in there] or [self.pattern.path(task_id, facts.strategy, created_at)]
            for path in paths:
                self._refuse_links(path)
                self._files.put(path, source.text, replace=bool(there), time=source.time)
            now = self._tree.at(paths[0], task_id)
        if now is None:
            raise ConflictError(f"{self.root / paths[0]} was removed while it was saved; save it again")
        if len(paths) == 1:
            self._remember(task_id, now.path)
        return self._info(now, facts, found)

    def load_result(self, task_id: str) -> Any:
        """The value of a result, as Python's `json` reads it.

        Raises:
            NotFoundError: there is none.
            CorruptFileError: its file is no JSON, or two files of this name differ.
            StorageError: it cannot be read.
        """
        data = self.load_json(task_id)
        where = f"result {task_id!r} in {self.root}"
        try:
            return text.parse(data, where, exact=text.has_long_integer(data))[0]
        except InvalidInputError as exc:
            raise CorruptFileError(f"{exc}; restore the file from a backup, or delete the result") from exc

    def load_json(self, task_id: str) -> bytes:
        """The bytes of a result's file; raises as `load_result` does."""
        return self._read(task_id)[1]

    def info(self, task_id: str) -> ResultInfo:
        """What is known of one result; raises as `load_result` does."""
        seen, data = self._read(task_id)
        source = Source(data, str(self.root / seen.path), _time(seen.mtime_ns))
        try:
            value = text.parse(data, source.where)[0]
            named = self.pattern.strategy(seen.path) or self._strategy
            return self._info(seen, *self._identify(task_id, source, value, named))
        except InvalidInputError as exc:
            raise CorruptFileError(str(exc)) from exc

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
        """What is known of the results, newest first by `created_at`, then by `task_id`; as `Lake.results`.

        A file that is no result is left out; `lakestore status` names it.

        Raises:
            InvalidInputError: a time or a limit that is none.
            NotFoundError: `after` is the id of no result.
        """
        limit = check_limit(limit)
        now = self._now()
        first, last = _micros(moment("since", since, now)), _micros(moment("until", until, now))
        found: dict[str, tuple[TreeFile, Facts]] = {}
        files = Counter[str]()
        for seen, facts in self.facts(documents=True):
            files[seen.task_id] += 1
            # Of two files of one name the one by path; whether they differ is for whoever loads it.
            if facts.created_at is not None and (seen.task_id not in found or seen.path < found[seen.task_id][0].path):
                found[seen.task_id] = seen, facts
        place = None
        if isinstance(after, str):
            if after not in found:
                raise self._missing(after)
            place = _order(*found[after])
        elif after is not None:
            place = -(_micros(after.created_at) or 0), after.task_id.encode()
        page = heapq.nsmallest(
            limit,
            (
                (seen, facts)
                for seen, facts in found.values()
                if (strategy is None or strategy == facts.strategy or strategy in strategies_of(facts))
                and (status is None or status == facts.status)
                and (first is None or (facts.created_at or 0) >= first)
                and (last is None or (facts.created_at or 0) < last)
                and (place is None or _order(seen, facts) > place)
            ),
            key=lambda item: _order(*item),
        )
        texts = self._index.searchable([seen.path for seen, _ in page])
        for seen, _ in page:
            if files[seen.task_id] == 1:
                self._remember(seen.task_id, seen.path)
        return [self._info(seen, facts, texts.get(seen.path, Searchable())) for seen, facts in page]

    def delete_result(self, task_id: str) -> None:
        """Remove a result's file; on return that is durable.

        Raises:
            NotFoundError: there is none.
            StorageError: it is there and stays.
        """
        if not self.exists(task_id):
            raise self._missing(task_id)
        with self._locked(task_id):
            there = self._find(task_id)
            if not there:
                raise self._missing(task_id)
            self._let_go(task_id, "delete", there)
            self._files.remove([seen.path for seen in there])
        self._paths.pop(task_id, None)

    def exists(self, task_id: str) -> bool:
        """Whether there is a file of this id."""
        return bool(self._find(task_id))

    def task_ids(self) -> set[str]:
        """The ids of all files of the tree, without reading any."""
        return {seen.task_id for seen in self._tree.files()}

    def facts(self, *, documents: bool) -> list[tuple[TreeFile, Facts]]:
        """Every file of the tree with its SHA-256, in no order; what did not change since is not read again.

        Args:
            documents: whether the documents are to be read too, for who they are.
        """

        def read(seen: TreeFile) -> tuple[Facts, Searchable] | None:
            try:
                data = self._tree.read(seen.path)
            except LakestoreError as exc:
                return Facts("", problem=str(exc)), Searchable()
            if data is None:
                return None
            if not documents:
                return Facts(sha256(data).hexdigest()), Searchable()
            source = Source(data, str(self.root / seen.path), _time(seen.mtime_ns))
            try:
                value, _ = text.parse(data, source.where)
                strategy = self.pattern.strategy(seen.path) or self._strategy
                return self._identify(seen.task_id, source, value, strategy)
            except InvalidInputError as exc:
                return Facts(digest(data), problem=str(exc)), Searchable()

        return self._index.facts(self._tree.files(), read, documents=documents)

    def close(self) -> None:
        """Close the index; the storage can be used again."""
        self._index.close()

    def __repr__(self) -> str:
        return f"JsonResultStorage({str(self.root)!r})"

    def _read(self, task_id: str) -> tuple[TreeFile, bytes]:
        """A result's file and its bytes; of several files of one content the first by path."""
        there = self._find(task_id)
        found = [(seen, data) for seen in there if (data := self._tree.read(seen.path)) is not None]
        if not found:
            raise self._missing(task_id)
        if len({data for _, data in found}) > 1:
            paths = " and as ".join(seen.path for seen, _ in found)
            raise CorruptFileError(
                f"result {task_id!r} stands in {self.root} with different content, as {paths}; rename one of the files"
            )
        return found[0]

    def _identify(self, task_id: str, source: Source, value: Any, strategy: str | None) -> tuple[Facts, Searchable]:
        """Who a document is, as a lake would say."""
        profile = choose(value, None, self._profiles)
        sha = digest(source.text)
        identity = identify(
            value,
            profile,
            lambda: sha,
            source.where,
            task_id=task_id,
            strategy=None,
            status=None,
            created_at=None,
            otherwise=source.time,
            strategy_if_none=strategy,
        )
        facts = Facts(
            sha,
            _micros(identity.created_at),
            identity.strategy,
            json.dumps(identity.strategies),
            identity.status,
            profile.name,
        )
        return facts, Searchable(*(searchable(profile.first(value, name)) for name in ("params", "metrics")))

    def _info(self, seen: TreeFile, facts: Facts, found: Searchable) -> ResultInfo:
        created_at = _EPOCH + timedelta(microseconds=facts.created_at or 0)
        return ResultInfo(
            task_id=seen.task_id,
            strategy=facts.strategy,
            status=facts.status,
            created_at=created_at,
            file_size=seen.size,
            json_size=seen.size,
            run_date=layout.run_date(created_at, "day"),
            strategies=strategies_of(facts),
            sha256=facts.sha256,
            profile=facts.profile,
            fidelity=Fidelity("original", seen.size),
            # A file has no version of its own: its content is one.
            write_id=UUID(bytes=sha256(f"{facts.sha256} {seen.task_id}".encode()).digest()[:16], version=5),
            saved_at=_time(seen.mtime_ns),
            params=None if found.params is None else json.loads(found.params),
            metrics=None if found.metrics is None else json.loads(found.metrics),
        )

    def _let_go(self, task_id: str, action: Action, there: list[TreeFile]) -> None:
        for seen in there if self._journal is not None else ():
            data = self._tree.read(seen.path)
            if self._journal is not None and data is not None:
                self._journal.let_go(task_id, right="json", action=action, digest=digest(data), at=self._now())

    def _missing(self, task_id: str) -> NotFoundError:
        return NotFoundError(f"result {task_id!r} is not in {self.root}")

    def _refuse_links(self, path: str) -> None:
        folder = os.path.dirname(path)
        if os.path.realpath(self.root / folder) != os.path.join(os.path.realpath(self.root), folder).rstrip("/"):
            raise StorageError(
                f"{self.root / folder} leads out of the tree by a symbolic link, which no result is written through; "
                "make it a directory"
            )

    def _find(self, task_id: str) -> list[TreeFile]:
        try:
            layout.check_task_id(task_id)
        except InvalidInputError:
            return []
        known = self._paths.get(task_id)
        seen = None if known is None else self._tree.at(known, task_id)
        if seen is not None:
            return [seen]
        there = self._tree.find(task_id)
        if len(there) == 1:
            self._remember(task_id, there[0].path)
        return there

    def _remember(self, task_id: str, path: str) -> None:
        if len(self._paths) >= _REMEMBERED:
            self._paths.clear()
        self._paths[task_id] = path

    @contextlib.contextmanager
    def _locked(self, task_id: str) -> Iterator[None]:
        """Keep other storages on this tree from changing a result meanwhile; waits until it is free."""
        self._files.make_root()
        with contextlib.ExitStack() as stack:
            if self._journal is not None:
                # Before its own, as whoever writes both does.
                stack.enter_context(self._journal.lock(task_id))
            fd = stack.enter_context(self._files.opened(f"{HIDDEN}/locks/{lock_name('one', task_id)}"))
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield


def _order(seen: TreeFile, facts: Facts) -> tuple[int, bytes]:
    """Newest first, then by `task_id`, as the catalog sorts."""
    return -(facts.created_at or 0), seen.task_id.encode()


def _micros(when: datetime | None) -> int | None:
    return None if when is None else (when - _EPOCH) // timedelta(microseconds=1)


def _time(ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // 1000)
