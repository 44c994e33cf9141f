"""Document → data files + envelope, proved: what was encoded is decoded and rendered, and is the text again.

First a quick attempt: orjson's values, regions looked for by their key. If its proof fails, an exact one: Python's
values, regions where they truly stand; what still differs is kept as a patch or as the compressed original.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from lakestore import parquet
from lakestore.codec import arrow, fit, numbers, plan, render, style, text
from lakestore.codec.columnise import dump
from lakestore.codec.envelope import Envelope, StoredRegion, compress, patch
from lakestore.codec.known import Known, choose
from lakestore.codec.nodes import Node, same
from lakestore.codec.pack import Rows, data_file
from lakestore.codec.plan import Region
from lakestore.codec.profile import Path, Profile
from lakestore.codec.refine import refine
from lakestore.codec.style import COMPACT, Style
from lakestore.errors import ConflictError, CorruptFileError, InvalidInputError
from lakestore.model import Fidelity, LakeTable, NewColumn, SqlType

_ROUNDS = 12
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_CLOSING = re.compile(rb"([ \t\r\n]*)([\]}])")
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
    envelope: bytes
    fidelity: Fidelity


@dataclass(slots=True)
class Draft:
    """A document read: its text, its value, its profile and its record tables.

    `python`: Python's `json` read it; `exact`: so that nothing differs from what `json` reads; `escapes`: whether its
    writer escaped what is beyond ASCII, and the slash.
    """

    text: bytes
    where: str
    value: Any
    profile: Profile
    regions: list[Region]
    python: bool
    exact: bool
    escapes: tuple[bool, bool] = (False, False)


def read(
    source: bytes,
    where: str,
    profile: Profile | str | None,
    tables: Mapping[str, Any] | None = None,
    profiles: Known | None = None,
    *,
    value: Any = None,
) -> Draft:
    """A document's text read, and the tables given beside it put into it as arrays of records.

    Args:
        profile: the one to read it with, its name or file; recognised among `profiles` (the shipped ones) if None.
        value: what orjson reads from the text, where that is known already.

    Raises:
        InvalidInputError: not JSON, no such profile, or a table that cannot be part of the document.
    """
    draft = _draft(source, where, profile, profiles, exact=False, value=value)
    return _with_tables(draft, tables) if tables else draft


def _with_tables(draft: Draft, tables: Mapping[str, Any]) -> Draft:
    """The document with an array of records for each table, before its closing brace."""
    if not isinstance(draft.value, dict):
        raise InvalidInputError(f"{draft.where} is not a JSON object: tables can be put into an object only")
    body = draft.text.rstrip(b" \t\r\n")
    tail = draft.text[len(body) :]
    pieces = [body[:-1]]
    size = len(body) - 1
    filled = bool(draft.value)
    for name, given in tables.items():
        if name in draft.value:
            raise InvalidInputError(f"{draft.where} has a key {name!r}, and a table of that name is given: rename one")
        table = arrow.table_of(given, name)
        node = arrow.node_of(table, name)
        head = ("," if filled else "").encode() + dump(name).encode() + b":"
        rows = b"".join(render.table(node, COMPACT, "objects"))
        start = size + len(head)
        size = start + len(rows)
        wanted = plan.table_name(name)
        draft.regions.append(
            Region((name,), json.dumps(name), wanted, "objects", node, start=start, given=table, stop=size)
        )
        pieces += [head, rows]
        filled = True
        # Only Python's json reads NaN, and integers beyond 64 bits as such.
        words = any(text.holds(rows, word) for word in (b"NaN", b"Infinity"))
        draft.python |= words or any(map(pa.types.is_decimal, table.schema.types))
    draft.text = b"".join([*pieces, b"}", tail])
    plan.name_apart(draft.regions)
    return draft


def encode(draft: Draft, schema: Schema, *, task_id: str, strategy: str, decimals: bool, files: bool = True) -> Encoded:
    """The rows and the envelope of a document; nothing is written.

    Args:
        files: make and prove data files of the result's own; else the columns are proved, and whoever puts them into
            files shared by several results proves those.

    Raises:
        ConflictError: the catalog's columns changed all the time meanwhile.
    """
    made = _attempt(draft, schema, task_id, strategy, decimals, files)
    if made is None:
        given = [region for region in draft.regions if region.given is not None]
        draft = _draft(draft.text, draft.where, draft.profile, exact=True)
        draft.regions = [r for r in draft.regions if r.path not in {region.path for region in given}] + given
        made = _attempt(draft, schema, task_id, strategy, decimals, files)
        assert made is not None
    return made


def place(
    region: Region, schema: Schema, decimals: bool
) -> tuple[LakeTable, list[tuple[pa.Field, pa.Array]], fit.Meta, list[bytes], set[int]]:
    """A record table in the lake's columns, reserving what is missing.

    Raises:
        ConflictError: it was not done after many rounds.
    """
    table = schema.table(region.key, region.wanted)
    for _ in range(_ROUNDS):
        attempt = fit.Fit(table, decimals)
        columns, meta = attempt.place(region.node, region.names)
        if attempt.complete:
            return table, columns, meta, attempt.blobs, attempt.used
        table = schema.reserve(
            table.name,
            attempt.wishes,
            widen=sorted(attempt.widen),
            mark_wide=sorted(attempt.wide),
            settype=attempt.typed,
        )
    raise ConflictError(f"the columns of lake table {table.name!r} kept changing; nothing was saved, save again")


def _draft(
    source: bytes,
    where: str,
    profile: Profile | str | None,
    profiles: Known | None = None,
    *,
    exact: bool,
    value: Any = None,
) -> Draft:
    python = False
    if value is None:
        value, python = text.parse(source, where, exact=exact)
    chosen = choose(value, profile, profiles)
    return Draft(source, where, value, chosen, plan.regions(value, chosen), python, exact)


def _attempt(draft: Draft, schema: Schema, task_id: str, strategy: str, decimals: bool, files: bool) -> Encoded | None:
    """One attempt; None when a quick one did not give the text back."""
    places = text.locate(draft.text, {region.path for region in draft.regions}) if draft.exact else {}
    draft.escapes = style.escapes(draft.text)
    parts: list[Part] = []
    blobs: list[bytes] = []
    stored: list[StoredRegion] = []
    pieces: list[bytes] = []
    fidelity = Fidelity("style")
    cursor = size = 0
    before: Path = ()
    for region in sorted(draft.regions, key=lambda region: places.get(region.path, (0, 0))):
        guess = region.start if region.start is not None else _guess(draft.text, region.path, before, cursor)
        before = region.path
        start, stop = places.get(region.path, (guess, None))
        if start is None:
            return None
        # Spans that follow each other and the text between them are the whole text.
        assert start >= cursor
        table, columns, meta, own, used = place(region, schema, decimals)
        held = Rows(task_id, region.node.n, columns)
        file = data_file([held], table, used) if files else None
        # The proof begins with the bytes that will be written.
        given = dict(_by_id(columns)) if file is None else parquet.from_buffer(file, draft.where)
        back = fit.read(meta, given, region.node.n, own)
        proof = _prove(draft, region, back, meta, own, start, stop)
        if proof is None:
            return None
        fidelity = _worse(fidelity, proof.fidelity)
        pieces.append(draft.text[cursor:start])
        size += start - cursor
        cursor = proof.stop
        holder = region.strategy or strategy
        stored.append(
            StoredRegion(
                at=size,
                table=table.name,
                strategy=holder,
                rows=region.node.n,
                form=region.form,
                style=proof.style,
                meta=_shifted(meta, len(blobs)),
                key=json.dumps(list(region.path)),
                arrow_exact=proof.arrow_exact,
                **{name: place + len(blobs) for name, place in proof.kept.items()},
            )
        )
        blobs += own
        parts.append(Part(table, holder, held, frozenset(used), file))
    skeleton = b"".join([*pieces, draft.text[cursor:]])
    python = draft.python or text.has_long_integer(skeleton)
    envelope = Envelope(skeleton, tuple(stored), (draft.profile.name, draft.profile.version), python, tuple(blobs))
    data_of_envelope = envelope.to_bytes()
    # What was proved above was read from these values: they must be the ones that a reader gets.
    if Envelope.from_bytes(data_of_envelope, draft.where) != envelope:
        raise CorruptFileError(f"the envelope of {draft.where} does not read back as written; nothing was saved")
    return Encoded(tuple(parts), data_of_envelope, fidelity)


@dataclass(frozen=True, slots=True)
class _Proof:
    """That a record table gives its text back: where that ends, in which style, and with the help of what.

    `kept` names blobs of the envelope (`patch`, `original`, `arrow`) by their places among the table's own.
    """

    stop: int
    style: Style
    fidelity: Fidelity
    kept: Mapping[str, int]
    arrow_exact: bool


def _prove(
    draft: Draft, region: Region, back: Node, meta: fit.Meta, own: list[bytes], start: int, stop: int | None
) -> _Proof | None:
    """The proof for one record table as read back; `meta` and `own` get what it needs. None: a quick one failed."""
    kept: dict[str, int] = {}
    fidelity = Fidelity("style")
    # A text that was rendered from these values, in this style, needs not be rendered again to be compared.
    known = region.stop is not None and same(region.node, back)
    written, end = (COMPACT, region.stop) if known else _written(draft, start, back, region.form)
    if end is None:
        if stop is None:
            return None
        exceptions = refine(draft.text[start:stop], back, meta, written, region.form, own)
        if exceptions is not None:
            fidelity = Fidelity("patched" if exceptions else "style", exceptions)
            written, end = _written(draft, start, back, region.form)
    if end is None:
        assert stop is not None
        end = stop
        what, blob = _difference(draft.text[start:stop], back, region.form, written)
        fidelity = _worse(fidelity, Fidelity("original" if what == "original" else "patched", len(blob)))
        kept[what] = len(own)
        own.append(blob)
    whole = False
    if region.given is not None:
        whole, blob = _arrow(region.given, back)
        kept["arrow"] = len(own)
        own.append(blob)
    return _Proof(end, written, fidelity, kept, whole)


def _worse(one: Fidelity, other: Fidelity) -> Fidelity:
    """Both together: the kind that keeps more beside the rows, and the bytes of both."""
    kinds = ("style", "patched", "original")
    return Fidelity(max(one.kind, other.kind, key=kinds.index), one.bytes + other.bytes)


def _by_id(columns: Iterable[tuple[pa.Field, pa.Array]]) -> Iterable[tuple[int, pa.Array]]:
    return ((parquet.field_id(item), array) for item, array in columns)


def _guess(source: bytes, path: Path, before: Path, cursor: int) -> int | None:
    """Where the region at a path probably begins: after its key, behind the region before. The proof decides."""
    if not path:
        opening = _OPENING.match(source)
        return opening.end() if opening else None
    shared = next((depth for depth, (a, b) in enumerate(zip(path, before, strict=False)) if a != b), 0)
    for step in path[shared:]:
        key = json.dumps(step, ensure_ascii=False).encode("utf-8", "replace")
        match = re.compile(re.escape(key) + rb"[ \t\r\n]*:[ \t\r\n]*(?=[\[{])").search(source, cursor)
        if match is None:
            return None
        cursor = match.end()
    return cursor


def _written(draft: Draft, start: int, node: Node, form: str) -> tuple[Style, int | None]:
    """The style in which a node gives the text from `start` on, and where that ends; None where no style does."""
    source = draft.text
    ascii, slash = draft.escapes
    found = style.detect(source, start, ascii=ascii, slash=slash, thorough=draft.exact)
    bracket = render.brackets(form)[1]
    for dialect in _dialects(source, start, node):
        tried = replace(found, dialect=dialect)
        at = _same(source, start, render.body(node, tried, form))
        # The white space before the closing bracket is beyond the sample: it is read where the rows end.
        closing = None if at is None else _CLOSING.match(source, at)
        if closing is not None and closing[2] == bracket.encode():
            return tried.closed(closing[1].decode()), closing.end()
    return found, None


def _dialects(source: bytes, start: int, node: Node) -> list[str]:
    """The dialects that may be the writer's: those whose text of the first telling number stands in the document."""
    first = _special(node)
    if first is None:
        return ["python"]
    texts = {name: numbers.layout(first, dialect).encode() for name, dialect in numbers.DIALECTS.items()}
    seen = {text for text in set(texts.values()) if source.find(text, start) >= 0}
    return [name for name, text in texts.items() if text in seen] or ["python"]


def _same(source: bytes, start: int, pieces: Iterable[memoryview]) -> int | None:
    """Where the pieces end if they stand in the text from `start` on."""
    for piece in pieces:
        end = start + len(piece)
        if not source.startswith(piece, start):
            return None
        start = end
    return start


def _difference(exact: bytes, node: Node, form: str, written: Style) -> tuple[str, bytes]:
    """A patch of the rebuilt text, or the compressed original where that is smaller."""
    base = b"".join(render.table(node, written, form))
    whole = compress(exact)
    # zstd takes no shorter text to refer to.
    change = patch(exact, base) if len(base) >= 8 else whole
    return ("patch", change) if len(change) < 0.8 * len(whole) else ("original", whole)


def _arrow(given: pa.Table, back: Node) -> tuple[bool, bytes]:
    """What brings a given table back: its schema where the rows do it, else all of it (and whether it is all)."""
    schema = arrow.schema_bytes(given)
    try:
        if arrow.same(arrow.restore(back, schema), given):
            return False, schema
    except (pa.ArrowException, ValueError, TypeError):
        # Values that the columns hold in another form: the data itself is kept.
        pass
    return True, arrow.table_bytes(given)


def _special(node: Node) -> float | None:
    """The first finite double that dialects write differently; from texts of other kinds one of theirs is taken."""
    if node.kind == "float":
        values = node.array.fill_null(0.0).to_numpy(zero_copy_only=False)
        rare = np.flatnonzero(numbers.special(values) & np.isfinite(values))
        if len(rare):
            return float(values[rare[0]])
    if node.odd is not None or node.kind == "json":
        texts = node.odd if node.odd is not None else node.array
        for text in texts.drop_null().to_pylist():
            for token in _NUMBER.findall(text):
                value = float(token)
                if numbers.special(np.array([value]))[0] and math.isfinite(value):
                    return value
    below = [*node.children, *([node.child] if node.child is not None else [])]
    return next((value for value in map(_special, below) if value is not None), None)


def _shifted(meta: fit.Meta, by: int) -> fit.Meta:
    """The meta with its blobs counted from the envelope's first."""
    moved = {key: value + by if key in ("i", "n", "q", "z") else value for key, value in meta.items()}
    if "c" in meta:
        moved["c"] = [_shifted(member, by) for member in meta["c"]]
    if "e" in meta:
        moved["e"] = _shifted(meta["e"], by)
    return moved
