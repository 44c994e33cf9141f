"""Envelopes of both forms are read; what belongs to the format never changes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib import resources

import pytest

from lakestore.codec.envelope import Envelope, StoredRegion
from lakestore.codec.style import COMPACT
from lakestore.errors import CorruptFileError
from tests.schemas import MemorySchema, serialised, store

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

_OLDEST = bytes.fromhex(
    "4c53453128b52ffd601301e50300f402040200003239726f77733361366263643139306532327d5d7d6732313330686a736f6e5c"
    "5c31302c315d7d7b207d011fa0902e356370261a21910fa2b3057437dc58a05a998d9b6d486263cc7f51ed7e6909ab1902215740"
    "c7cc5fcd65165d44bc252e71dbcd431ce23576783b07623d6da84fcf9603da937007"
)
_OLDER = bytes.fromhex(
    "4c53453228b52ffd6005017d0500d245151dc0a703ffffff7fdb76e9f2256bdba47b2dff77cbd6ee9d70665ffdbd030a021ee869"
    "2e1df64cb128c5f3354b236b1f9fab29838cdd09ba779e46a044631ce4cec7f246d21c197ed8b392ba6f6e3e22f79f9454141d80"
    "e01697b26f28574e8cf370ac2ccf3f2b5f4d69ef701133e8f5ecc728c2cf9c15ef0a056c291eee24ca059c9cc782344076b4f0ce"
    "c87da724650e80b056d6aa958faaf2009472e541d1b86623c905e0913909879702"
)


def test_field_ids_come_back_whether_or_not_they_follow_each_other() -> None:
    assert Envelope.from_bytes(_ENVELOPE.to_bytes(), "it") == _ENVELOPE


def test_what_tables_have_in_common_comes_back() -> None:
    region = _ENVELOPE.regions[0]
    nothing = {"t": "struct", "c": [{"k": "a", "t": "null"}]}
    regions = (
        replace(region, patch=0, arrow=1, arrow_exact=True),
        replace(region, at=9, meta={"t": "float", "f": 90}, key='["a", "rows"]', form="scalars"),
        replace(region, at=20, strategy="other", meta=nothing, rows=0, original=2),
        replace(region, at=20, strategy="other", style=replace(COMPACT, comma=", ")),
    )
    envelope = Envelope(b"x" * 20, regions, ("own", 3), True, (b"", b"\n[1]\n", b"zz"))
    assert Envelope.from_bytes(envelope.to_bytes(), "it") == envelope
    assert Envelope.from_bytes(Envelope(b"", (), ("p", 1), False).to_bytes(), "it") == Envelope(
        b"", (), ("p", 1), False
    )


@pytest.mark.parametrize(("size", "magic"), [(0, 3), (15_000, 3), (17_000, 4), (64_000, 4), (66_000, 3), (2 << 20, 3)])
def test_envelopes_of_short_and_long_texts_come_back(size: int, magic: int) -> None:
    text = b'{"rows": , "profit_mean_pct": 12.25, "trades": 31}'
    envelope = replace(_ENVELOPE, skeleton=(text * (size // len(text) + 1))[: size or len(text)])
    data = envelope.to_bytes()
    assert data[0] == magic
    assert Envelope.from_bytes(data, "it") == envelope
    with pytest.raises(CorruptFileError, match="damaged"):
        Envelope.from_bytes(data[: len(data) // 2], "it")


@pytest.mark.parametrize("older", [_OLDEST, _OLDER])
def test_an_envelope_of_an_older_form_is_read(older: bytes) -> None:
    assert Envelope.from_bytes(older, "it") == replace(_ENVELOPE, blobs=(b"\x01",))


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("words.txt", "420c4b1dc1ffbb0f3274fa954882694ae71a5ada1222df20bc702f0c3856c3a5"),
        ("words3.dict", "043568310a277e2dcf29dcbf7cf9c157583265a84f17b90f8fc82dde03f9b1d5"),
    ],
)
def test_the_words_that_both_sides_know_are_those_of_the_format(name: str, digest: str) -> None:
    words = (resources.files("lakestore.codec") / name).read_bytes()
    assert hashlib.sha256(words).hexdigest() == digest


def test_an_envelope_of_a_small_document_is_small() -> None:
    value = {"trades": [{"symbol": "BTC/USDT", "side": "buy", "pnl": 1.5}], "metrics": {"sharpe_ratio": 1.25}}
    assert len(store(serialised(value), MemorySchema()).encoded.envelope) < 160


def test_another_form_is_refused() -> None:
    with pytest.raises(CorruptFileError, match="LSE9"):
        Envelope.from_bytes(b"LSE9" + _OLDER[4:], "it")
