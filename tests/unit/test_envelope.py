"""Envelopes of both forms are read; what belongs to the format never changes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib import resources

import pytest

from lakestore.codec import text
from lakestore.codec.envelope import Envelope, StoredRegion
from lakestore.codec.style import COMPACT
from lakestore.errors import CorruptFileError
from tests.schemas import MemorySchema, store

_META = {
    "t": "struct",
    "c": [
        {"k": "a", "t": "int", "f": 16},
        {"k": "b", "t": "null"},
        {"k": "c", "t": "null", "x": 17},
        {"k": "d", "t": "list", "f": 19, "e": {"t": "struct", "f": 20, "c": [{"k": "e", "t": "str", "f": 22}]}},
        {"k": "g", "t": "float", "f": 21, "x": 30, "n": 0},
        {"k": "h", "t": "json", "f": 22},
    ],
}
_ENVELOPE = Envelope(
    b'{"rows": }', (StoredRegion(9, "rows", "s", 3, "objects", COMPACT, _META, '["rows"]'),), ("generic", 2), False
)

_OLDER = bytes.fromhex(
    "4c53453128b52ffd601301e50300f402040200003239726f77733361366263643139306532327d5d7d6732313330686a736f6e5c"
    "5c31302c315d7d7b207d011fa0902e356370261a21910fa2b3057437dc58a05a998d9b6d486263cc7f51ed7e6909ab1902215740"
    "c7cc5fcd65165d44bc252e71dbcd431ce23576783b07623d6da84fcf9603da937007"
)


def test_field_ids_come_back_whether_or_not_they_follow_each_other() -> None:
    assert Envelope.from_bytes(_ENVELOPE.to_bytes(), "it") == _ENVELOPE


def test_an_envelope_of_the_older_form_is_read() -> None:
    assert Envelope.from_bytes(_OLDER, "it") == replace(_ENVELOPE, blobs=(b"\x01",))


def test_the_words_that_both_sides_know_are_those_of_the_format() -> None:
    words = (resources.files("lakestore.codec") / "words.txt").read_bytes()
    assert hashlib.sha256(words).hexdigest() == "420c4b1dc1ffbb0f3274fa954882694ae71a5ada1222df20bc702f0c3856c3a5"


def test_an_envelope_of_a_small_document_is_small() -> None:
    value = {"trades": [{"symbol": "BTC/USDT", "side": "buy", "pnl": 1.5}], "metrics": {"sharpe_ratio": 1.25}}
    assert len(store(text.serialise(value), MemorySchema()).encoded.envelope) < 160


def test_another_form_is_refused() -> None:
    with pytest.raises(CorruptFileError, match="LSE2"):
        Envelope.from_bytes(b"LSE3" + _OLDER[4:], "it")
