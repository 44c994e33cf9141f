"""A version of a result as the catalog is to know it, from its row of `results` and where its rows lie."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pyarrow as pa

from lakestore import layout, parquet, record
from lakestore.catalog.rebuild import Held
from lakestore.codec import decode, text
from lakestore.codec.envelope import Envelope, StoredRegion
from lakestore.codec.pack import Rows
from lakestore.codec.profiles.profile import ANY, Path, Profile
from lakestore.codec.profiles.registry import Profiles
from lakestore.codec.statistics import stats
from lakestore.errors import CorruptFileError, LakestoreError
from lakestore.files import Files
from lakestore.identity import searchable
from lakestore.lake import Parts
from lakestore.model import Fidelity, LakeTable, NewResult, ResultInfo, RunStats

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Place = tuple[str, str]
"""A lake table and a strategy: a result has rows there once."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Where each of a version's rows is read from, and the other copies of them.

    `empty` are those places that have no rows, so that only the name of their file tells of them.
    """

    spans: Mapping[Place, Held]
    copies: Sequence[Held]
    empty: Sequence[Held]


def choose(row: record.Row, envelope: Envelope, held: Iterable[Held], named: Callable[[Place], Held | None]) -> Chosen:
    """Where a version's rows are to be read: each place once, from a compacted file where there is one.

    Args:
        held: all rows of it that lie in the lake.
        named: the file of a place that bears the version's name, as a span of no rows.

    Raises:
        CorruptFileError: rows of it are nowhere; it tells of which table.
    """
    found: dict[Place, list[Held]] = {}
    for each in held:
        found.setdefault((each.span.table, each.span.strategy), []).append(each)
    spans: dict[Place, Held] = {}
    copies: list[Held] = []
    empty: list[Held] = []
    own = next((place for place in found if place[0] == layout.RESULTS), None)
    if own is None:
        raise CorruptFileError("its row in 'results' is nowhere")
    for place, rows in ((own, 1), *(((r.table, r.strategy), r.rows) for r in envelope.regions)):
        fitting = [each for each in found.get(place, ()) if each.span.rows == rows]
        # A compacted file bears another name than the save's; of several the latest one.
        best = max(fitting, key=lambda each: (_name(each) != row.file_id, _name(each)), default=None)
        if best is None:
            best = None if rows else named(place)
            if best is None:
                raise CorruptFileError(f"{rows} rows of it in table {place[0]!r} are nowhere")
            empty.append(best)
        spans[place] = best
        copies += [each for each in found.get(place, ()) if each is not best]
    return Chosen(spans, copies, empty)


def _name(held: Held) -> UUID:
    parsed = layout.parse_data_path(held.span.path)
    assert parsed is not None
    return parsed[3]


def entry_of(
    parts: Parts,
    profiles: Profiles,
    row: record.Row,
    envelope: Envelope,
    chosen: Chosen,
    *,
    strategy: str,
    day: date,
    tables: Mapping[str, LakeTable],
) -> NewResult:
    """The catalog's entry of a version.

    Args:
        strategy, day: of its row's partition.
        tables: its lake tables by name.
    """
    where = f"result {row.task_id!r}"
    params, metrics = _stated(envelope, profiles, where, lambda: _document_of(parts.files, envelope, chosen, where))
    told = stats_of(parts, row, envelope, tables, lambda region: _rows_of(parts.files, chosen, region))
    said = row.record
    held = chosen.spans.values()
    info = ResultInfo(
        task_id=row.task_id,
        strategy=strategy,
        status=row.status,
        created_at=row.created_at,
        file_size=sum(layout.share(h.span.bytes, h.span.first_row, h.span.rows, h.total) for h in held),
        json_size=said["json_size"],
        run_date=day,
        strategies=tuple(said.get("strategies", [strategy])),
        sha256=said["sha256"],
        profile=said["profile"],
        fidelity=Fidelity(*said["fidelity"]),
        write_id=row.write_id,
        saved_at=_EPOCH + timedelta(microseconds=said["saved_at"]),
        tables=said["tables"],
        params=params,
        metrics=metrics,
        stats=told,
    )
    replaces = said.get("replaces")
    spans = tuple(each.span for each in held)
    return NewResult(info, spans, searchable(params), searchable(metrics), UUID(replaces) if replaces else None)


def _document_of(files: Files, envelope: Envelope, chosen: Chosen, where: str) -> Any:
    """The Python value of a whole document, its rows read from where they were chosen to be.

    Raises:
        CorruptFileError: a file is missing or damaged.
    """

    def fetch(region: StoredRegion) -> Mapping[int, pa.Array]:
        return _rows_of(files, chosen, region)

    return decode.value_of(b"".join(decode.pieces(envelope, fetch, where)), envelope, where)


def _rows_of(files: Files, chosen: Chosen, region: StoredRegion) -> Mapping[int, pa.Array]:
    """The columns of a version's record table by field id, read from where they were chosen to be."""
    span = chosen.spans[region.table, region.strategy].span
    found = parquet.read_part(str(files.path(span.path)), span.first_row, span.rows)
    if found is not None:
        return found
    return parquet.from_buffer(files.read(span.path), span.path, first_row=span.first_row, rows=span.rows)


def stats_of(
    parts: Parts,
    row: record.Row,
    envelope: Envelope,
    tables: Mapping[str, LakeTable],
    fetch: Callable[[StoredRegion], Mapping[int, pa.Array]],
) -> RunStats:
    """The statistics of a version: as its row holds them, else what its rows amount to; none where these are damaged.

    Args:
        tables: its lake tables by name.
        fetch: gives the columns of a record table by field id.
    """
    if row.has_stats:
        return row.stats
    found = []
    try:
        for region in envelope.regions:
            table = tables.get(region.table)
            if table is not None and region.rows:
                # A file of several results has columns of the others too.
                own = {member.get(name) for member in region.meta.get("c", ()) for name in ("f", "u")}
                wanted = own & {*stats.numbers(table), *(column.field_id for column in table.units.values())}
                columns = [
                    (parquet.field("", array.type, field_id), array)
                    for field_id, array in fetch(region).items()
                    if field_id in wanted
                ]
                found.append((table, Rows(row.task_id, region.rows, columns)))
        return RunStats(stats.again(found, decimals=parts.home.numbers == "decimal"))
    except CorruptFileError:
        return RunStats()


def _stated(envelope: Envelope, profiles: Profiles, where: str, document: Callable[[], Any]) -> tuple[Any, Any]:
    """The parameters and metrics of a document, read as its profile says; None where the profile is gone.

    They mostly stand outside of the record tables, so that no row has to be read.

    Args:
        document: gives the whole document, for a profile that looks into record tables.
    """
    profile = profiles.get(envelope.profile[0])
    if profile is None:
        return None, None
    regions = [tuple(json.loads(region.key)) for region in envelope.regions]
    wanted = [path for name in ("params", "metrics") for path in profile.identity.get(name, ())]
    try:
        if any(_meet(path, region) for path in wanted for region in regions):
            value = document()
        else:
            value = text.parse(_without_tables(envelope), where, exact=envelope.python)[0]
    except LakestoreError:
        return None, None
    params, metrics = (_searched(profile, value, name) for name in ("params", "metrics"))
    return params, metrics


def _searched(profile: Profile, value: Any, name: str) -> Any:
    found = profile.first(value, name)
    return found if isinstance(found, dict | list) else None


def _meet(one: Path, other: Path) -> bool:
    """Whether one path may lead into what the other one names, or past it."""
    return all(a == b or ANY in (a, b) for a, b in zip(one, other, strict=False))


def _without_tables(envelope: Envelope) -> bytes:
    """The document's text with null in place of its record tables."""
    pieces = []
    cursor = 0
    for region in envelope.regions:
        pieces += [envelope.skeleton[cursor : region.at], b"null"]
        cursor = region.at
    return b"".join([*pieces, envelope.skeleton[cursor:]])
