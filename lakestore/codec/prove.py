"""That a record table gives its text back: in a style, with rules for its numbers, with a patch, or as the original."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from lakestore.codec import arrow, dialects, fit, render, style
from lakestore.codec.draft import Draft
from lakestore.codec.envelope import compress, patch
from lakestore.codec.nodes import Node, same
from lakestore.codec.plan import Region
from lakestore.codec.refine import refine
from lakestore.codec.style import COMPACT, Style
from lakestore.model import Fidelity

_FIRST_ROWS = 256
_CLOSING = re.compile(rb"([ \t\r\n]*)([\]}])")


@dataclass(frozen=True, slots=True)
class Proof:
    """That a record table gives its text back: where that ends, in which style, and with the help of what.

    `blobs` are the envelope's; `kept` names some of them (`patch`, `original`, `arrow`) by their places. `meta` is the
    columns' where rules were found for their numbers.
    """

    stop: int
    style: Style
    fidelity: Fidelity
    blobs: Sequence[bytes]
    kept: Mapping[str, int]
    arrow_exact: bool
    meta: fit.Meta | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """Where the text of a record table begins and ends, and its style; `stop` is None where no style gives it.

    Of a table that was given, `arrow` is what brings it back.
    """

    start: int
    style: Style
    stop: int | None
    arrow: tuple[bool, bytes] | None = None


def written(draft: Draft, region: Region, start: int) -> Written:
    """The text of a record table, rendered from its values and compared with the document."""
    if region.given is not None:
        # The text was made of these values.
        return Written(start, COMPACT, region.stop, _arrow(region.given, region.node))
    return Written(start, *_written(draft, start, region.node, region.form))


def presume(text: Written, blobs: Sequence[bytes]) -> Proof | None:
    """What `prove` gives where what was read back is what the text was rendered from; None where no style gave it."""
    return None if text.stop is None else _proof(text.stop, text.style, Fidelity("style"), blobs, {}, text.arrow)


def prove(
    draft: Draft,
    region: Region,
    back: Node,
    meta: fit.Meta,
    blobs: Sequence[bytes],
    text: Written,
    stop: int | None,
) -> Proof | None:
    """The proof for one record table as read back; None: a quick one failed.

    Args:
        meta, blobs: what the envelope keeps of the columns.
        text: what `written` gave. What was read back needs not be rendered where it is, bit by bit, what that was.
    """
    start, style, end, table = text.start, text.style, text.stop, text.arrow
    if not same(region.node, back):
        # It may give the text all the same.
        style, end = _written(draft, start, back, region.form)
        table = None if region.given is None else _arrow(region.given, back)
    if end is not None:
        return _proof(end, style, Fidelity("style"), blobs, {}, table)
    if stop is None:
        return None
    meta, own = copy.deepcopy(meta), list(blobs)
    fidelity = Fidelity("style")
    kept: dict[str, int] = {}
    exceptions = refine(draft.text[start:stop], back, meta, style, region.form, own)
    if exceptions is not None:
        fidelity = Fidelity("patched" if exceptions else "style", exceptions)
        style, end = _written(draft, start, back, region.form)
    if end is None:
        end = stop
        what, blob = _difference(draft.text[start:stop], back, region.form, style)
        fidelity = worse(fidelity, Fidelity("original" if what == "original" else "patched", len(blob)))
        kept[what] = len(own)
        own.append(blob)
    return _proof(end, style, fidelity, own, kept, table, meta)


def _proof(
    stop: int,
    style: Style,
    fidelity: Fidelity,
    blobs: Sequence[bytes],
    kept: Mapping[str, int],
    table: tuple[bool, bytes] | None,
    meta: fit.Meta | None = None,
) -> Proof:
    if table is None:
        return Proof(stop, style, fidelity, blobs, kept, False, meta)
    return Proof(stop, style, fidelity, [*blobs, table[1]], {**kept, "arrow": len(blobs)}, table[0], meta)


def worse(one: Fidelity, other: Fidelity) -> Fidelity:
    """Both together: the kind that keeps more beside the rows, and the bytes of both."""
    kinds = ("style", "patched", "original")
    return Fidelity(max(one.kind, other.kind, key=kinds.index), one.bytes + other.bytes)


def _written(draft: Draft, start: int, node: Node, form: str) -> tuple[Style, int | None]:
    """The style in which a node gives the text from `start` on, and where that ends; None where no style does."""
    source = draft.text
    if draft.is_own:
        # How it was written needs not be found out.
        own = replace(COMPACT, escapes=draft.escapes)
        if (ended := _ended(source, start, node, own, form)) is not None:
            return ended
    found = style.detect(source, start, draft.escapes, thorough=draft.exact)
    first = None
    for dialect in dialects.candidates(source, start, node):
        first = first or dialect
        tried = replace(found, dialect=dialect)
        # What failed once fails mostly in its first rows: a block of them takes a hundred times as long.
        if (draft.exact or dialect != first) and not _begins(source, start, node, tried, form):
            continue
        if (ended := _ended(source, start, node, tried, form)) is not None:
            return ended
    return found, None


def _ended(source: bytes, start: int, node: Node, written: Style, form: str) -> tuple[Style, int] | None:
    """The style and where the text ends, if a node gives the text from `start` on in that style."""
    at = _same(source, start, render.body(node, written, form))
    # The white space before the closing bracket is beyond the sample: it is read where the rows end.
    closing = None if at is None else _CLOSING.match(source, at)
    if closing is None or closing[2] != render.brackets(form)[1].encode():
        return None
    return written.closed(closing[1].decode()), closing.end()


def _begins(source: bytes, start: int, node: Node, written: Style, form: str) -> bool:
    """Whether the first rows stand in the text from `start` on; nothing is said of columns that follow each other."""
    if node.n <= _FIRST_ROWS or form in ("columns", "keyed_columns"):
        return True
    return _same(source, start, render.body(node.slice(0, _FIRST_ROWS), written, form)) is not None


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
