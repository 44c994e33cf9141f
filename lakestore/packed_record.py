"""What a `results` file of one row keeps beside its columns: the record and the envelope as one value.

Bytes: 0, the length of the head (variable-length integer), the head, the record's hashes, statistics and long numbers
(little endian) as they are, the envelope. The head is the rest of the record as JSON without what most records say, a
zstd frame without its first four bytes, with a dictionary that both sides know; in it stands, for what was text of
bytes or a long number, how many bytes there are. The older form began with the length of its head, which had another
dictionary, numbers as they are, and all of the record. A file of several rows has the record as JSON text, which
compresses as well there.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Set
from functools import cache
from typing import Any
from uuid import UUID

from lakestore.compression import zstd
from lakestore.errors import CorruptFileError
from lakestore.parquet import varint

_MAGIC = b"\x28\xb5\x2f\xfd"
_PRESENT = b"\0"
_OLDER_WORDS = (
    b'"batch":16,"replaces":16,"by_symbol":{"trades":,"zone_assumed":true,"strategies":["profile":"backtrader",'
    b'"profile":"vectorbt","profile":"lean","profile":"backtesting","profile":"iaf","profile":"freqtrade",'
    b'"fidelity":["original",["patched",5"orders":"equity":"daily_profit":"daily_breakdown":"portfolio_snapshots":'
    b'{"write_id":16,"sha256":32,"json_size":10,"strategies":["s"],"profile":"generic","fidelity":["style",0],"tables":'
    b'{"records":1,"signals":1000,"trades":50,"equity_curve":100},"saved_at":17"stats":{"records":1,"signals":10,'
    b'"trades":80,"equity_curve":'
)
_WORDS = (
    b'"batch":16,"replaces":16,"by_symbol":{"trades":,"signals":,"zone_assumed":true,"profile":"backtrader",'
    b'"profile":"vectorbt","profile":"lean","profile":"backtesting","profile":"iaf","profile":"freqtrade",'
    b'"fidelity":["original",["patched",5"strategies":["","orders":"equity":"daily_profit":"daily_breakdown":'
    b'"portfolio_snapshots":{"write_id":16,"sha256":32,"json_size":2,"tables":{"trades":"saved_at":7}'
    b'{"write_id":16,"sha256":32,"json_size":3,"tables":{"signals":1000,"trades":50,"equity_curve":100},"saved_at":7,'
    b'"stats":1'
)
"""Both are part of the format: never to be changed."""
_HEXADECIMAL, _IDS = ("sha256",), ("write_id", "batch", "replaces")
_PACKED = ("stats", "by_symbol")
_NUMBERS = ("json_size", "saved_at")
_MOSTLY = {"profile": "generic", "fidelity": ["style", 0]}
"""What is not said where it is this."""
_APART_BEFORE = frozenset((*_HEXADECIMAL, *_IDS, *_PACKED))
_APART = _APART_BEFORE | set(_NUMBERS)
_DAMAGED = (zstd.ZstdError, ValueError, IndexError, TypeError, AttributeError)


@cache
def _dictionary(words: bytes) -> Any:
    return zstd.ZstdDict(words, is_raw=True).as_prefix


def packed(record: Mapping[str, Any], envelope: bytes) -> bytes:
    """Record and envelope of a result as one value."""
    head: dict[str, Any] = {}
    raw: list[bytes] = []

    def apart(value: bytes) -> int:
        raw.append(value)
        return len(value)

    for key, value in record.items():
        if key in _HEXADECIMAL:
            head[key] = apart(bytes.fromhex(value))
        elif key in _IDS:
            head[key] = apart(UUID(value).bytes)
        elif key in _PACKED:
            head[key] = _each(value, lambda text: apart(b64decode(text)))
        elif key in _NUMBERS:
            head[key] = apart(value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True))
        elif value != _MOSTLY.get(key):
            head[key] = value
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: 19,
        zstd.CompressionParameter.content_size_flag: 0,
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    frame = bytes(zstd.compress(text, options=options, zstd_dict=_dictionary(_WORDS))).removeprefix(_MAGIC)
    out = bytearray(_PRESENT)
    varint.write(len(frame), out)
    return b"".join([bytes(out), frame, *raw, envelope])


def _each(value: Any, made: Callable[[Any], Any]) -> Any:
    """What is made of a value, or of the values by lake table."""
    return {table: made(own) for table, own in value.items()} if isinstance(value, dict) else made(value)


def unpacked(value: bytes, where: str) -> tuple[dict[str, Any], bytes]:
    """The record and the envelope that `packed` was given.

    Raises:
        CorruptFileError: they cannot be read.
    """
    try:
        head, at, apart = _head(value)

        def taken(size: int) -> bytes:
            nonlocal at
            if not 0 <= size <= len(value) - at:
                raise ValueError("a length is beyond the end")
            at += size
            return value[at - size : at]

        for key, told in head.items():
            if key not in apart:
                continue
            if key in _HEXADECIMAL:
                head[key] = taken(told).hex()
            elif key in _IDS:
                head[key] = str(UUID(bytes=taken(told)))
            elif key in _PACKED:
                head[key] = _each(told, lambda length: b64encode(taken(length)).decode())
            else:
                head[key] = int.from_bytes(taken(told), "little", signed=True)
    except _DAMAGED as exc:
        raise CorruptFileError(f"the record of a result in {where} is damaged: {exc}") from exc
    return {**_MOSTLY, **head}, value[at:]


def envelope_of(value: bytes, where: str) -> bytes:
    """The envelope alone.

    Raises:
        CorruptFileError: what says where it begins cannot be read.
    """
    try:
        head, at, apart = _head(value)
        lengths: list[int] = []
        for key in apart & head.keys():
            _each(head[key], lengths.append)
        at += sum(lengths)
        if min(lengths, default=0) < 0 or at > len(value):
            raise ValueError("a length is beyond the end")
        return value[at:]
    except _DAMAGED as exc:
        raise CorruptFileError(f"the record of a result in {where} is damaged: {exc}") from exc


def _head(value: bytes) -> tuple[dict[str, Any], int, Set[str]]:
    """The head of a value, where it ends, and of which keys the values stand behind it."""
    is_older = not value.startswith(_PRESENT)
    size, at = varint.read(value, 0 if is_older else len(_PRESENT))
    end = at + size
    words = _OLDER_WORDS if is_older else _WORDS
    head: dict[str, Any] = json.loads(zstd.decompress(_MAGIC + value[at:end], zstd_dict=_dictionary(words)))
    return head, end, _APART_BEFORE if is_older else _APART
