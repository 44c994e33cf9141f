"""Many results saved at once: their rows share data files, one transaction makes them visible.

Each document is encoded and proved by itself; then the rows of one lake table and partition are put into one file, each
document is rebuilt from the very bytes that will be written, and its SHA-256 compared. What is wrong with one result
leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from datetime import date
from hashlib import sha256
from uuid import UUID

import pyarrow as pa

from lakestore import layout, parquet, record, tombstones
from lakestore.codec import decode, pack
from lakestore.codec.encode import Encoded, Part
from lakestore.codec.envelope import Envelope, StoredRegion
from lakestore.codec.statistics import by_symbol
from lakestore.errors import (
    AlreadyExistsError,
    CatalogError,
    CommitUnknownError,
    ConflictError,
    CorruptFileError,
    LakestoreError,
)
from lakestore.identity import searchable
from lakestore.model import NewFile, NewResult, ResultInfo, RowSpan, Statement
from lakestore.saving import Columns, Item, Saver, Taken, new_file

Outcome = ResultInfo | LakestoreError
"""What became of one item: what the catalog keeps of the result, or why it was not saved."""

Also = Callable[[Mapping[int, ResultInfo]], Sequence[Statement]]
"""Statements to run in the transaction, from the results that it makes visible, by the places of their items."""

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class _Ready:
    """An item encoded; `found` is the version that it replaces."""

    place: int
    item: Item
    taken: Taken
    encoded: Encoded
    info: ResultInfo
    found: ResultInfo | None


@dataclass(frozen=True, slots=True)
class _Shared:
    """A data file to be, and whose rows lie in it: first row and count by the result's place."""

    file: NewFile
    data: pa.Buffer
    spans: Mapping[int, tuple[int, int]]


def save_many(
    saver: Saver, items: Sequence[Item], *, replace: bool, also: Also | None = None, reread: bool = False
) -> list[Outcome]:
    """Store many results; see `Lake.save_many`.

    Args:
        also: what else is to happen in the transaction.
        reread: read the files back from the file system before they are committed.
    """
    outcomes: dict[int, Outcome] = {}
    later: list[int] = []
    ready = _encoded(saver, items, replace, outcomes, later)
    for _ in range(_ROUNDS):
        if not ready:
            break
        files, ready = _packed(saver, ready)
        wrong = _unproved(ready, files)
        if wrong:
            # Never seen; such a result has files of its own, proved in another way.
            for each in [each for each in ready if each.place in wrong]:
                outcomes[each.place] = _attempted(saver, each.item, replace)
            ready = [each for each in ready if each.place not in wrong]
            continue
        if _committed(saver, ready, files, replace, also, reread, outcomes):
            break
        ready = _still_wanted(saver, ready, replace, outcomes)
    else:
        for each in ready:
            outcomes[each.place] = ConflictError(
                f"result {each.taken.task_id!r} kept being changed by others; it was not saved, save it again"
            )
    if later:
        # As if they were saved one after the other.
        moved = None if also is None else lambda infos: also({later[place]: info for place, info in infos.items()})
        rest = save_many(saver, [items[place] for place in later], replace=replace, also=moved, reread=reread)
        outcomes.update(zip(later, rest, strict=True))
    return [outcomes[place] for place in range(len(items))]


def _encoded(
    saver: Saver, items: Sequence[Item], replace: bool, outcomes: dict[int, Outcome], later: list[int]
) -> list[_Ready]:
    """The items that are to be saved, encoded; `outcomes` of the others, `later` those whose id came before."""
    taken: dict[int, Taken] = {}
    seen: set[str] = set()
    for place, item in enumerate(items):
        try:
            one = saver.take(item)
        except LakestoreError as exc:
            outcomes[place] = _of_one(exc)
            continue
        if one.task_id in seen:
            later.append(place)
        else:
            seen.add(one.task_id)
            taken[place] = one
    stored = saver.catalog.get_many([one.task_id for one in taken.values()])
    if stored:
        # An old copy of the catalog may list what was deleted since.
        saver.stamp.press_if_writable()
    columns = Columns(saver.catalog)
    ready = []
    for place, one in taken.items():
        found = stored.get(one.task_id)
        try:
            if not _is_wanted(place, one, found, replace, outcomes):
                continue
            encoded = saver.encode(one, columns, files=False)
        except LakestoreError as exc:
            outcomes[place] = _of_one(exc)
            continue
        ready.append(_Ready(place, items[place], one, encoded, saver.describe(one, encoded, saver.new_id()), found))
    if ready:
        saver.stamp.press(anew=columns.reserved)
    return ready


def _of_one(error: LakestoreError) -> LakestoreError:
    """An error that concerns one item; one of the catalog concerns all of them, and is raised."""
    if isinstance(error, CatalogError):
        raise error
    return error


def _is_wanted(place: int, taken: Taken, found: ResultInfo | None, replace: bool, outcomes: dict[int, Outcome]) -> bool:
    """Whether a result is to be saved, beside what is stored under its id."""
    if found is None:
        return True
    if taken.is_same(found):
        outcomes[place] = found
    elif replace:
        return True
    else:
        outcomes[place] = taken.exists(found)
    return False


def _still_wanted(saver: Saver, ready: Sequence[_Ready], replace: bool, outcomes: dict[int, Outcome]) -> list[_Ready]:
    """What is to be tried again after others came first."""
    stored = saver.catalog.get_many([each.taken.task_id for each in ready])
    again = [replace_fields(each, found=stored.get(each.taken.task_id)) for each in ready]
    return [each for each in again if _is_wanted(each.place, each.taken, each.found, replace, outcomes)]


def _packed(saver: Saver, ready: Sequence[_Ready]) -> tuple[list[_Shared], list[_Ready]]:
    """The data files of all, one for each lake table and partition; and all of them with all of their statistics."""
    # Row groups and files can be skipped by the range of task ids in them.
    ordered = sorted(ready, key=lambda each: each.taken.task_id)
    alone = len(ordered) == 1
    file_id = ordered[0].info.write_id if alone else saver.new_id()
    groups: dict[tuple[str, str, date], list[tuple[_Ready, Part]]] = {}
    for each in ordered:
        for part in each.encoded.parts:
            groups.setdefault((part.table, part.strategy, each.info.run_date), []).append((each, part))
    tables = saver.catalog.tables()
    files = []
    for (table, strategy, day), parts in groups.items():
        used = frozenset[int]().union(*(part.used for _, part in parts))
        data = pack.data_file([part.held for _, part in parts], tables[table], used)
        rows = [part.rows for _, part in parts]
        file = new_file(table, strategy, day, file_id, sum(rows), data)
        files.append(_Shared(file, data, _spans([each for each, _ in parts], rows)))
    ordered = [_with_stats(each, files) for each in ordered]
    own: dict[tuple[str, date], list[_Ready]] = {}
    for each in ordered:
        own.setdefault((each.info.strategy, each.info.run_date), []).append(each)
    for (strategy, day), those in own.items():
        data = record.to_buffer([_row(each, None if alone else file_id) for each in those])
        file = new_file(layout.RESULTS, strategy, day, file_id, len(those), data)
        files.append(_Shared(file, data, _spans(those, [1] * len(those))))
    return files, ordered


def _with_stats(each: _Ready, files: Sequence[_Shared]) -> _Ready:
    """A result with its statistics, now that it is known what its rows take."""
    parts = [(part.lake, part.held) for part in each.encoded.parts]
    stats = by_symbol.made(parts, _size(each, files))
    return replace_fields(each, info=replace_fields(each.info, stats=stats))


def _size(each: _Ready, files: Iterable[_Shared]) -> int:
    """Bytes that a result takes of these files."""
    spans = ((shared.file, shared.spans.get(each.place)) for shared in files)
    return sum(layout.share(file.bytes, *span, file.rows) for file, span in spans if span is not None)


def _row(each: _Ready, batch: UUID | None) -> record.Row:
    replaces = None if each.found is None else each.found.write_id
    return record.row_of(
        each.info,
        each.encoded.envelope,
        replaces=replaces,
        batch=batch,
        zone_assumed=each.taken.identity.zone_assumed,
    )


def _spans(those: Sequence[_Ready], rows: Sequence[int]) -> dict[int, tuple[int, int]]:
    spans, first = {}, 0
    for each, count in zip(those, rows, strict=True):
        spans[each.place] = (first, count)
        first += count
    return spans


def _unproved(ready: Sequence[_Ready], files: Sequence[_Shared]) -> set[int]:
    """Places of the results that the files do not give back byte for byte."""
    tables = {shared.file.path: parquet.table_of(shared.data, shared.file.path) for shared in files}
    found: dict[tuple[int, str, str], pa.Table] = {}
    for shared in files:
        for place, (first, count) in shared.spans.items():
            rows = tables[shared.file.path].slice(first, count)
            found[place, shared.file.table, shared.file.strategy] = rows
    return {each.place for each in ready if not _proved(each, found)}


def _proved(each: _Ready, found: Mapping[tuple[int, str, str], pa.Table]) -> bool:
    where = f"result {each.taken.task_id!r}"

    def fetch(region: StoredRegion) -> Mapping[int, pa.Array]:
        return parquet.columns_of(found[each.place, region.table, region.strategy])

    own = parquet.columns_of(found[each.place, layout.RESULTS, each.info.strategy])
    try:
        envelope = Envelope.from_bytes(record.envelope_of(own, where), where)
        text = sha256()
        for piece in decode.pieces(envelope, fetch, where):
            text.update(piece)
    except CorruptFileError:
        return False
    return text.hexdigest() == each.taken.sha


def _committed(
    saver: Saver,
    ready: Sequence[_Ready],
    files: Sequence[_Shared],
    replace: bool,
    also: Also | None,
    reread: bool,
    outcomes: dict[int, Outcome],
) -> bool:
    """Write the files and make the results visible; False: others came first, and nothing was done.

    Raises:
        StorageError, CatalogError: none was saved, unless it says that the end is unknown.
    """
    paths = [shared.file.path for shared in files]
    new = {each.place: _new(each, files) for each in ready}
    saver.files.write([(shared.file.path, shared.data) for shared in files])
    try:
        if reread:
            _read_again(saver, files)
        infos = {place: result.info for place, result in new.items()}
        statements = also(infos) if also is not None else ()
        replaced = saver.catalog.commit(list(new.values()), [s.file for s in files], replace=replace, also=statements)
    except CommitUnknownError:
        raise
    except (AlreadyExistsError, ConflictError):
        saver.files.remove(paths)
        return False
    except LakestoreError:
        saver.files.remove(paths)
        raise
    except BaseException as exc:
        saver.broken_off(min(ready, key=lambda each: each.taken.task_id).info.write_id, paths, exc)
        raise
    tombstones.leave(saver.files, replaced, "replaced", saver.now(), saver.new_id())
    outcomes.update(infos)
    return True


def _new(each: _Ready, files: Sequence[_Shared]) -> NewResult:
    spans = []
    for shared in files:
        if each.place in shared.spans:
            first, count = shared.spans[each.place]
            file = shared.file
            spans.append(RowSpan(file.path, file.table, file.strategy, first, count, file.sha256, file.bytes))
    info = replace_fields(each.info, file_size=_size(each, files))
    replaces = None if each.found is None else each.found.write_id
    return NewResult(info, tuple(spans), searchable(info.params), searchable(info.metrics), replaces)


def _read_again(saver: Saver, files: Sequence[_Shared]) -> None:
    for shared in files:
        if sha256(saver.files.read(shared.file.path)).digest() != shared.file.sha256:
            raise CorruptFileError(
                f"data file {saver.files.path(shared.file.path)} does not read back as it was written; "
                "nothing was saved: check the disk"
            )


def _attempted(saver: Saver, item: Item, replace: bool) -> Outcome:
    try:
        return saver.save(item, replace=replace)
    except LakestoreError as exc:
        return _of_one(exc)
