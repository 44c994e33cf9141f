"""Compaction: many small files of a partition become few, while others save, replace, delete and read.

Files are read, merged, proved and written without any lock. Then one transaction puts the new ones in their place,
provided that all results in them are still the living ones and all old files alive; else nothing happens, and the files
are looked at again. Old files are let go, for vacuum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, get_args

from lakestore import home, layout
from lakestore.catalog.compaction import OldFile
from lakestore.errors import CommitUnknownError, ConflictError, CorruptFileError, InvalidInputError, LakestoreError
from lakestore.lake import Lake, Parts
from lakestore.maintenance.merging import Group, Merging
from lakestore.model import Partition

TARGET: Final = 32_000_000
"""Bytes of a file that is not made larger; files of the size hold some hundred thousand rows."""
_LOST: Final = "others kept changing these results; compact again"
_ROUNDS: Final = 3
"""How often a group is tried that others keep changing."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of the files of one table in one partition.

    Attributes:
        files, bytes: how many there were, and their size.
        into, into_bytes: how many there are now; 0 in a dry run, and where nothing of them was alive.
        problem: why they were left as they are; `lost`: because others kept changing results of the strategy.
    """

    table: str
    strategy: str
    run_date: date | None
    files: int
    bytes: int
    into: int = 0
    into_bytes: int = 0
    problem: str | None = None
    lost: bool = False


def compact(
    lake: Lake,
    *,
    strategy: str | None = None,
    table: str | None = None,
    target_size: int = TARGET,
    partition: Partition | None = None,
    dry_run: bool = False,
) -> Iterator[Compacted]:
    """Merge the small data files of each partition into few; told group by group, once each is done.

    Every document in a new file is rebuilt from its bytes before they are committed. Rows that are dead are left out.
    Files of a finer partition than the lake's are moved to the coarser one.

    Args:
        strategy, table: only files of these.
        target_size: bytes that a file is not to grow beyond by being merged.
        partition: make the lake's partitions coarser first; results saved from now on go there, too.
        dry_run: only tell which files would be merged.

    Raises:
        InvalidInputError: the partition is finer than the lake's, or the size is not positive.
        StorageError, CatalogError: a file or the catalog cannot be reached; what was told is done.
    """
    parts = lake.parts()
    if target_size <= 0:
        raise InvalidInputError(f"target_size {target_size} is not a size of files: give bytes, such as {TARGET}")
    parts.catalog.upkeep.clock()
    coarse = _coarser(parts, partition, dry_run)
    strategies = parts.catalog.compaction.strategies() if strategy is None else [strategy]
    for name in strategies:
        for _ in range(_ROUNDS):
            lost = False
            for groups in _units(parts.catalog.compaction.files(name, table), coarse, target_size):
                done = [_told(group) for group in groups] if dry_run else _compacted(parts, groups)
                lost |= done is None
                yield from done or ()
            if not lost:
                break
        else:
            yield Compacted("", name, None, 0, 0, problem=_LOST, lost=True)


def _coarser(parts: Parts, partition: Partition | None, dry_run: bool) -> Partition:
    """How coarse partitions are from now on; the catalog first, as the lake's own file only tells a rebuild."""
    sizes = get_args(Partition)
    now = parts.home.partition
    if partition is None or partition == now:
        return now
    if partition not in sizes or sizes.index(partition) < sizes.index(now):
        raise InvalidInputError(f"the lake is partitioned by {now}, partitions cannot become finer ({partition})")
    if not dry_run:
        parts.catalog.compaction.coarsen(partition)
        text = home.text_of(home.Home(parts.home.lake_id, partition, parts.home.numbers, parts.home.format))
        parts.files.put(f"{layout.PRIVATE}/{home.NAME}", text.encode(), replace=True)
    return partition


def keep_coarse(parts: Parts) -> None:
    """Let an old copy of the catalog know of coarser partitions that the lake's own file tells of.

    Where it takes files of a month for those of a day, what a statement says of time would leave them out.

    Raises:
        StorageError, CatalogError: the lake's file cannot be read, or the catalog not be reached.
    """
    told = home.find(parts.files.root)
    if told is not None:
        parts.catalog.compaction.coarsen(told.partition)


def _units(files: Iterable[OldFile], partition: Partition, target: int) -> Iterator[list[Group]]:
    """Groups of files that are to become one each, those of several tables together: a document is proved once."""
    found: dict[date, dict[str, list[OldFile]]] = {}
    for file in files:
        day = layout.run_date(
            datetime(file.run_date.year, file.run_date.month, file.run_date.day, tzinfo=UTC), partition
        )
        if file.size < target // 2 or file.has_dead or file.run_date != day:
            found.setdefault(day, {}).setdefault(file.table, []).append(file)
    for day, tables in sorted(found.items()):
        bins = [list(_bins(those, day, target)) for those in tables.values()]
        for place in range(max(map(len, bins), default=0)):
            yield [each[place] for each in bins if place < len(each)]


def _bins(files: Sequence[OldFile], day: date, target: int) -> Iterator[Group]:
    """Files of one table and partition in groups of about the target size, without those that would gain nothing."""
    bin: list[OldFile] = []
    size = 0
    for file in (*files, None):
        if file is not None and (not bin or size + file.size <= target):
            bin.append(file)
            size += file.size
            continue
        if bin and _pays(bin, day, target):
            yield Group(bin[0].table, bin[0].strategy, day, tuple(bin))
        bin, size = ([file], file.size) if file is not None else ([], 0)


def _pays(files: Sequence[OldFile], day: date, target: int) -> bool:
    """Whether merging is worth its writing: a large file is not written again for a few small ones beside it."""
    if any(file.has_dead or file.run_date != day for file in files):
        return True
    sizes = [file.size for file in files]
    return len(files) > 1 and (max(sizes) < target // 8 or sum(sizes) >= 2 * max(sizes))


def _told(group: Group) -> Compacted:
    return Compacted(group.table, group.strategy, group.day, len(group.files), group.size)


def _compacted(parts: Parts, groups: Sequence[Group]) -> list[Compacted] | None:
    """What became of groups; None: others changed their results first, and nothing was done."""
    compaction_id = parts.new_id()
    try:
        exchange, merged = Merging(parts).merge(groups, compaction_id)
    except ConflictError:
        return None
    except CorruptFileError as exc:
        return [
            Compacted(group.table, group.strategy, group.day, len(group.files), group.size, problem=str(exc))
            for group in groups
        ]
    paths = [one.file.path for one in merged]
    parts.files.write([(one.file.path, one.data) for one in merged])
    try:
        parts.catalog.compaction.exchange(exchange, compaction_id)
    except CommitUnknownError:
        raise
    except ConflictError:
        parts.files.remove(paths)
        return None
    except LakestoreError:
        # Known to have rolled back: the new files are nobody's.
        parts.files.remove(paths)
        raise
    sizes = {one.group: one.file.bytes for one in merged}
    return [
        Compacted(
            group.table,
            group.strategy,
            group.day,
            len(group.files),
            group.size,
            into=int(group in sizes),
            into_bytes=sizes.get(group, 0),
        )
        for group in groups
    ]
