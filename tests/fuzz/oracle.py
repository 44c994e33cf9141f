"""What every input must do: be refused exactly where Python's `json` refuses, else come back as it was.

An input is one or more documents, put through one schema one after the other; `SEPARATOR` stands between them, a
byte that no JSON text can hold.
"""

from __future__ import annotations

import json
import traceback
import zlib
from typing import Any

from lakestore.codec import decode
from lakestore.codec.profiles.registry import shipped
from lakestore.errors import ConflictError, InvalidInputError
from tests.schemas import MemorySchema, Stored, store

SEPARATOR = b"\x1e"
DEEP = 800
"""Levels beyond which `json` gives up early or late by the stack it runs on: refused or exact are both right."""

Finding = tuple[str, str]
"""A short name of what went wrong, by which findings are told apart, and all that is known of it."""


def check(source: bytes) -> Finding | None:
    """Put an input through the codec; None where everything held."""
    schema = MemorySchema()
    for document in source.split(SEPARATOR):
        found = _document(document, schema)
        if found is not None:
            return found
    return None


def _document(source: bytes, schema: MemorySchema) -> Finding | None:
    seed = zlib.crc32(source)
    profile = sorted(shipped())[seed % 7] if seed % 7 < len(shipped()) else None
    accepted, value = _expected(source)
    try:
        stored = store(source, schema, profile=profile, decimals=bool(seed >> 8 & 1))
    except InvalidInputError as exc:
        if accepted and depth(source) <= DEEP:
            return "refused", f"json accepts it, the codec says: {exc}"
        return None
    except ConflictError as exc:
        return "conflict", f"nobody else changes this schema, yet: {exc}"
    except Exception as exc:
        return _crash("encode", exc)
    if not accepted and depth(source) <= DEEP:
        return "accepted", f"json refuses it ({value}), the codec took it"
    return _stored(source, stored, value if accepted else None, accepted)


def _stored(source: bytes, stored: Stored, value: Any, accepted: bool) -> Finding | None:
    try:
        text = stored.text()
        if text != source:
            return "bytes", f"other bytes came back: {text[:2000]!r}"
        for region in stored.envelope.regions:
            node = decode.node_of(stored.envelope, region, stored.fetch, "it")
            if decode.table_of(node).num_rows != region.rows:
                return "rows", f"table {region.table!r} has other rows than its region"
        try:
            back = decode.value_of(text, stored.envelope, "it")
        except InvalidInputError:
            if depth(source) > DEEP:
                return None
            raise
    except Exception as exc:
        return _crash("decode", exc)
    if accepted and depth(source) <= DEEP and repr(back) != repr(value):
        return "value", f"other value came back: {repr(back)[:2000]}"
    return None


def _expected(source: bytes) -> tuple[bool, Any]:
    """Whether Python's `json` reads it, and what it reads or says."""
    try:
        return True, json.loads(source.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:
        return False, repr(exc)[:500]


def depth(source: bytes) -> int:
    """Levels of nesting at the deepest place, brackets inside of texts not counted."""
    deepest = level = 0
    inside = escaped = False
    for byte in source:
        if inside:
            inside = escaped or byte != 0x22
            escaped = not escaped and byte == 0x5C
        elif byte == 0x22:
            inside = True
        elif byte in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"]}":
            level -= 1
    return deepest


def _crash(step: str, exc: Exception) -> Finding:
    place = traceback.extract_tb(exc.__traceback__)[-1]
    own = [frame for frame in traceback.extract_tb(exc.__traceback__) if "lakestore" in frame.filename]
    last = own[-1] if own else place
    name = f"{step}-{type(exc).__name__}-{last.filename.rsplit('/', 1)[-1].removesuffix('.py')}-{last.name}"
    return name, "".join(traceback.format_exception(exc))
