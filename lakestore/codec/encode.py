"""Document → data files + envelope, proved: what was encoded is decoded and rendered, and is the text again.

First a quick attempt: orjson's values, regions looked for by their key. If its proof fails, an exact one: Python's
values, regions where they truly stand; what still differs is kept as a patch or as the compressed original.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from lakestore import parquet
from lakestore.background import Background
from lakestore.codec import fit, style, text
from lakestore.codec.draft import Draft, exactly
from lakestore.codec.envelope import Envelope, StoredRegion
from lakestore.codec.pack import Rows, begun
from lakestore.codec.plan import Region
from lakestore.codec.profiles.profile import Path
from lakestore.codec.prove import Proof, Written, presume, prove, worse, written
from lakestore.errors import ConflictError, CorruptFileError
from lakestore.model import Fidelity, LakeTable, NewColumn, SqlType

_log = logging.getLogger("lakestore")
_APART = "%s.%s is %s in this lake, and a document has %s there: such values are in %s__json, as JSON text"
_ROUNDS = 12
_OPENING = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*(?=[\[{])")


class Schema(Protocol):
    """Who owns the lake's tables and columns: the catalog."""

    def table(self, key: str, wanted: str) -> LakeTable:
        """The lake table for a document key, reserved under the wanted name where it is new."""

    def reserve(
        self,
        table: str,
        wishes: Sequence[NewColumn],
        *,
        widen: Sequence[int],
        mark_wide: Sequence[int],
        settype: Mapping[int, SqlType],
    ) -> LakeTable:
        """The lake table after what is wished for was reserved as far as it can be."""


@dataclass(frozen=True, slots=True)
class Part:
    """A result's rows in one lake table and one strategy's partition.

    Attributes:
        used: field ids of the lake table's columns that it touched.
        file: the bytes of a data file that holds them alone; None where they are to share one.
    """

    lake: LakeTable
    strategy: str
    held: Rows
    used: frozenset[int]
    file: pa.Buffer | None

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.held.count

    @property
    def table(self) -> str:
        """The lake table's name."""
        return self.lake.name

    @property
    def data(self) -> pa.Buffer:
        """The bytes of the file that it has for itself."""
        assert self.file is not None, "these rows share a file"
        return self.file


@dataclass(frozen=True, slots=True)
class Encoded:
    """A document as data files and envelope, proved to give the text back."""

    parts: tuple[Part, ...]
    fidelity: Fidelity
    sealed: Background[bytes]

    @property
    def envelope(self) -> bytes:
        """The envelope's bytes, which were read back.

        Raises:
            CorruptFileError: they do not give the envelope.
        """
        return self.sealed.result()


Ready = Callable[[Encoded], None]
"""Takes what is about to be proved; once more where the proof finds that it must be another."""


def encode(
    draft: Draft,
    schema: Schema,
    *,
    task_id: str,
    strategy: str,
    decimals: bool,
    files: bool = True,
    ready: Ready | None = None,
) -> Encoded:
    """The rows and the envelope of a document; nothing is written.

    Args:
        files: make and prove data files of the result's own; else the columns are proved, and whoever puts them into
            files shared by several results proves those.
        ready: is given what is made before it is proved.

    Raises:
        ConflictError: the catalog's columns changed all the time meanwhile.
    """
    made = _attempt(draft, schema, task_id, strategy, decimals, files, ready)
    if made is None:
        given = [region for region in draft.regions if region.given is not None]
        draft = exactly(draft)
        draft.regions = [r for r in draft.regions if r.path not in {region.path for region in given}] + given
        made = _attempt(draft, schema, task_id, strategy, decimals, files, ready)
        assert made is not None
    return made


@dataclass(frozen=True, slots=True)
class Placed:
    """A record table in the lake's columns, and what the envelope keeps beside them.

    Attributes:
        used: field ids of the columns that it touched.
    """

    region: Region
    table: LakeTable
    columns: Sequence[tuple[pa.Field, pa.Array]]
    meta: fit.Meta
    blobs: Sequence[bytes]
    used: frozenset[int]

    @property
    def by_id(self) -> Mapping[int, pa.Array]:
        """The columns by field id."""
        return {parquet.field_id(item): array for item, array in self.columns}


def place(region: Region, schema: Schema, decimals: bool) -> Placed:
    """A record table in the lake's columns, reserving what is missing.

    Raises:
        ConflictError: it was not done after many rounds.
    """
    table = schema.table(region.key, region.wanted)
    for _ in range(_ROUNDS):
        attempt = fit.Fit(table, decimals)
        columns, meta = attempt.place(region.node, region.names)
        if attempt.complete:
            return Placed(region, table, columns, meta, attempt.blobs, frozenset(attempt.used))
        table = schema.reserve(
            table.name,
            attempt.wishes,
            widen=sorted(attempt.widen),
            mark_wide=sorted(attempt.wide),
            settype=attempt.typed,
        )
        for column, kind in attempt.apart:
            _log.warning(_APART, table.name, column.name, column.type, kind, column.name)
    raise ConflictError(f"the columns of lake table {table.name!r} kept changing; nothing was saved, save again")


def _attempt(
    draft: Draft, schema: Schema, task_id: str, strategy: str, decimals: bool, files: bool, ready: Ready | None
) -> Encoded | None:
    """One attempt; None when a quick one did not give the text back."""
    places = text.locate(draft.text, {region.path for region in draft.regions}) if draft.exact else {}
    regions = sorted(draft.regions, key=lambda region: places.get(region.path, (0, 0)))
    placed = [place(region, schema, decimals) for region in regions]
    held = [Rows(task_id, each.region.node.n, each.columns) for each in placed]
    files_ = [begun([rows], each.table, each.used) for rows, each in zip(held, placed, strict=True)] if files else []
    # Rendered here while threads make the pages: of two threads at short calls each waits for Python's lock.
    found = _texts(draft, places, regions)
    if found is None:
        return None
    made = [file.result() for file in files_] or [None] * len(placed)
    parts = [
        Part(each.table, each.region.strategy or strategy, rows, each.used, file)
        for each, rows, file in zip(placed, held, made, strict=True)
    ]

    def encoded(proofs: Sequence[Proof]) -> Encoded:
        one = Encoded(tuple(parts), *_envelope(draft, placed, found, proofs, strategy))
        if ready is not None:
            ready(one)
        return one

    presumed = [presume(one, each.blobs) for one, each in zip(found, placed, strict=True)]
    # Mostly the files give what the text was rendered from: then it is this one, and on its way while that is proved.
    early = encoded([proof for proof in presumed if proof is not None]) if None not in presumed else None
    # The proof begins with the bytes that will be written.
    backs = [
        parquet.rows_of(data, draft.where, first_row=0, rows=rows.count) if data is not None else None
        for rows, data in zip(held, made, strict=True)
    ]
    proofs = _proved(draft, places, placed, backs, found)
    if proofs is None:
        return None
    return early if early is not None and proofs == presumed else encoded(proofs)


def _texts(draft: Draft, places: Mapping[Path, tuple[int, int]], regions: Sequence[Region]) -> list[Written] | None:
    """Where the text of each record table stands, rendered from its values and compared; None: a quick try failed."""
    draft.escapes = style.escapes(draft.text)
    found: list[Written] = []
    cursor = 0
    before: Path = ()
    for region in regions:
        guess = region.start if region.start is not None else _guess(draft.text, region.path, before, cursor)
        before = region.path
        start, stop = places.get(region.path, (guess, None))
        if start is None:
            return None
        one = written(draft, region, start)
        end = one.stop if one.stop is not None else stop
        if end is None:
            return None
        found.append(one)
        cursor = end
    return found


def _proved(
    draft: Draft,
    places: Mapping[Path, tuple[int, int]],
    placed: Sequence[Placed],
    backs: Sequence[Mapping[int, pa.Array] | None],
    texts: Sequence[Written],
) -> list[Proof] | None:
    """That these columns, or those that share files, give the text back; None when a quick attempt did not."""
    found: list[Proof] = []
    for each, back, one in zip(placed, backs, texts, strict=True):
        node = fit.read(each.meta, each.by_id if back is None else back, each.region.node.n, each.blobs)
        stop = places[each.region.path][1] if each.region.path in places else None
        proof = prove(draft, each.region, node, each.meta, each.blobs, one, stop)
        if proof is None:
            return None
        found.append(proof)
    return found


def _envelope(
    draft: Draft, placed: Sequence[Placed], texts: Sequence[Written], proofs: Sequence[Proof], strategy: str
) -> tuple[Fidelity, Background[bytes]]:
    """How exactly a document comes back, and the envelope with which it does."""
    blobs: list[bytes] = []
    stored: list[StoredRegion] = []
    pieces: list[bytes] = []
    fidelity = Fidelity("style")
    cursor = size = 0
    for each, one, proof in zip(placed, texts, proofs, strict=True):
        # Spans that follow each other and the text between them are the whole text.
        assert one.start >= cursor
        fidelity = worse(fidelity, proof.fidelity)
        pieces.append(draft.text[cursor : one.start])
        size += one.start - cursor
        cursor = proof.stop
        stored.append(
            StoredRegion(
                at=size,
                table=each.table.name,
                strategy=each.region.strategy or strategy,
                rows=each.region.node.n,
                form=each.region.form,
                style=proof.style,
                meta=_shifted(proof.meta or each.meta, len(blobs)),
                key=json.dumps(list(each.region.path)),
                arrow_exact=proof.arrow_exact,
                **{name: place + len(blobs) for name, place in proof.kept.items()},
            )
        )
        blobs += proof.blobs
    skeleton = b"".join([*pieces, draft.text[cursor:]])
    python = draft.python or text.has_long_integer(skeleton)
    envelope = Envelope(skeleton, tuple(stored), (draft.profile.name, draft.profile.version), python, tuple(blobs))
    return fidelity, Background(lambda: _sealed(envelope, draft.where), apart=draft.is_large)


def _sealed(envelope: Envelope, where: str) -> bytes:
    """The bytes of an envelope, which give it back."""
    data = envelope.to_bytes()
    # What was proved was read from these values: they must be the ones that a reader gets.
    if Envelope.from_bytes(data, where) != envelope:
        raise CorruptFileError(f"the envelope of {where} does not read back as written; nothing was saved")
    return data


def _guess(source: bytes, path: Path, before: Path, cursor: int) -> int | None:
    """Where the region at a path probably begins: after its key, behind the region before. The proof decides."""
    if not path:
        opening = _OPENING.match(source)
        return opening.end() if opening else None
    shared = next((depth for depth, (a, b) in enumerate(zip(path, before, strict=False)) if a != b), 0)
    for step in path[shared:]:
        key, ascii = json.dumps(step, ensure_ascii=False).encode("utf-8", "replace"), json.dumps(step).encode()
        either = re.escape(key) if key == ascii else b"(?:%b|%b)" % (re.escape(key), re.escape(ascii))
        match = re.compile(either + rb"[ \t\r\n]*:[ \t\r\n]*(?=[\[{])").search(source, cursor)
        if match is None:
            return None
        cursor = match.end()
    return cursor


def _shifted(meta: fit.Meta, by: int) -> fit.Meta:
    """The meta with its blobs counted from the envelope's first."""
    moved = {key: value + by if key in ("i", "n", "q", "z") else value for key, value in meta.items()}
    if "c" in meta:
        moved["c"] = [_shifted(member, by) for member in meta["c"]]
    if "e" in meta:
        moved["e"] = _shifted(meta["e"], by)
    return moved
