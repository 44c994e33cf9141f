"""What a document would become in a lake, found by doing it, without a lake and without writing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from lakestore import layout, record
from lakestore.catalog.memory import MemorySchema
from lakestore.codec import encode
from lakestore.codec.draft import Draft, read
from lakestore.codec.encode import Encoded
from lakestore.codec.envelope import Envelope
from lakestore.codec.profiles.profile import Path, Profile, Unit
from lakestore.codec.profiles.registry import Profiles
from lakestore.config import MAX_DOCUMENT
from lakestore.errors import InvalidInputError
from lakestore.home import Home
from lakestore.identity import Identity, identify, uuid7
from lakestore.model import Fidelity, LakeTable
from lakestore.saving import described
from lakestore.source import Source, source_of

_STATED = ("task_id", "status", "created_at", "params", "metrics")


@dataclass(frozen=True, slots=True)
class InspectedTable:
    """A record table: where in the document it stands, its shape, its rows, and the bytes of its data file."""

    lake: LakeTable
    path: Path
    form: str
    strategy: str
    rows: int
    bytes: int
    times: Mapping[str, Unit]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a save would store.

    Attributes:
        identity: who the result would be; its strategy is empty where the document names none. None where the document
            says what no result can be; problem: why a save would refuse it as it is.
        stated: the identity fields that the document itself states.
        left: bytes of the document's text that are in no table; envelope: what keeping them costs.
        file_size: bytes of all files of the result.
        sha256: of the document's text, hexadecimal.
    """

    profile: Profile
    identity: Identity | None
    problem: str | None
    stated: frozenset[str]
    tables: tuple[InspectedTable, ...]
    left: int
    envelope: int
    fidelity: Fidelity
    json_size: int
    file_size: int
    sha256: str


def inspect(
    document: Any,
    *,
    profile: str | None = None,
    profiles: Profiles | None = None,
    home: Home | None = None,
    now: datetime | None = None,
    max_document: int = MAX_DOCUMENT,
) -> Inspection:
    """Tell what `Lake.save` would make of a document; nothing is written.

    Args:
        document: as for `Lake.save`.
        profile: how to read it, a name or a TOML file; recognised where it is not given.
        profiles: the profiles there are; the shipped ones if None.
        home: the lake it is for; a lake of the defaults if None.
        max_document: bytes of JSON that it may take.

    Raises:
        InvalidInputError: it is not JSON, or there is no such profile.
        NotFoundError, StorageError: its file is not there, or cannot be read.
    """
    source = source_of(document, now or datetime.now(UTC), limit=max_document)
    draft = read(source.text, source.where, profile, None, profiles)
    home = home or Home(uuid7())
    schema = MemorySchema()
    identity, problem = _identity(draft, source)
    stand_in = identity or Identity(draft.sha256[:32], "", (), "completed", source.time, frozenset())
    encoded = encode.encode(
        draft, schema, task_id=stand_in.task_id, strategy=stand_in.strategy or "?", decimals=home.numbers == "decimal"
    )
    stored = Envelope.from_bytes(encoded.envelope, draft.where)
    lake = {table.name: table for table in schema.tables.values()}
    times = {region.path: region.times for region in draft.regions}
    sizes = {(part.table, part.strategy): len(part.data) for part in encoded.parts}
    tables = []
    for region in stored.regions:
        path = tuple(json.loads(region.key))
        size = sizes[region.table, region.strategy]
        tables.append(
            InspectedTable(
                lake[region.table], path, region.form, region.strategy, region.rows, size, times.get(path, {})
            )
        )
    return Inspection(
        draft.profile,
        identity,
        problem,
        frozenset(name for name in _STATED if draft.profile.first(draft.value, name) is not None),
        tuple(tables),
        len(stored.skeleton),
        len(encoded.envelope),
        encoded.fidelity,
        len(draft.text),
        sum(len(part.data) for part in encoded.parts) + _own_row(draft, encoded, stand_in, home),
        draft.sha256,
    )


def _identity(draft: Draft, source: Source) -> tuple[Identity | None, str | None]:
    """Who the result would be, and why it would be refused; its strategy is empty where only that is missing."""
    problem = None
    for strategy in (None, "?"):
        try:
            found = identify(
                draft.value,
                draft.profile,
                lambda: draft.sha256,
                draft.where,
                task_id=None,
                strategy=strategy,
                status=None,
                created_at=None,
                otherwise=source.time,
            )
        except InvalidInputError as exc:
            problem = problem or str(exc)
            if draft.profile.strategies_of(draft.value):
                break
        else:
            return (found if strategy is None else replace(found, strategy="", strategies=())), problem
    return None, problem


def _own_row(draft: Draft, encoded: Encoded, identity: Identity, home: Home) -> int:
    """Bytes of the result's row in the lake's table `results`."""
    day = layout.run_date(identity.created_at, home.partition)
    info = described(draft, encoded, identity, draft.sha256, day, write_id=uuid7(), saved_at=identity.created_at)
    row = record.row_of(info, encoded.envelope, replaces=None, zone_assumed=identity.zone_assumed)
    return len(record.to_buffer([row]))
