"""The envelope: a document without its record tables, and what rebuilds each of them beside its rows.

Bytes: `LSE1`, then one zstd frame of: length of the header (4 bytes, little endian), the header (JSON), and the blobs
one after the other, their lengths in the header. Blob 0 is the document's text with the record tables cut out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from lakestore.codec.fit import Meta
from lakestore.codec.render import RENDERER
from lakestore.codec.style import Style
from lakestore.errors import CorruptFileError

try:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # before Python 3.14
    from backports import zstd

MAGIC = b"LSE1"


@dataclass(frozen=True, slots=True)
class StoredRegion:
    """One record table in the envelope.

    Attributes:
        at: where in the skeleton its text is put back, in bytes.
        table, strategy, rows: its lake table, its partition, its rows.
        patch: blob that makes the exact text from the rebuilt one; original: blob with the compressed text.
        arrow: blob with the Arrow schema of a table that an engine gave (IPC), arrow_exact: with its data too.
    """

    at: int
    table: str
    strategy: str
    rows: int
    form: str
    style: Style
    meta: Meta
    key: str
    patch: int | None = None
    original: int | None = None
    arrow: int | None = None
    arrow_exact: bool = False


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is kept of a document beside its rows. `python`: only Python's `json` reads the document exactly."""

    skeleton: bytes
    regions: tuple[StoredRegion, ...]
    profile: tuple[str, int]
    python: bool
    blobs: Sequence[bytes] = field(default=())

    def to_bytes(self) -> bytes:
        """The envelope as it is stored."""
        blobs = [self.skeleton, *self.blobs]
        header = {
            "renderer": RENDERER,
            "profile": list(self.profile),
            "python": self.python,
            "regions": [_region_json(region) for region in self.regions],
            "blobs": [len(blob) for blob in blobs],
        }
        head = json.dumps(header, separators=(",", ":")).encode()
        body = b"".join([len(head).to_bytes(4, "little"), head, *blobs])
        return MAGIC + bytes(zstd.compress(body, level=12 if len(body) < 1 << 20 else 6))

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Envelope:
        """The envelope that `to_bytes` wrote.

        Raises:
            CorruptFileError: it is damaged, or of a newer lakestore.
        """
        if data[:4] != MAGIC:
            raise CorruptFileError(f"the envelope of {where} begins with {data[:4]!r}, not {MAGIC!r}")
        try:
            body = zstd.decompress(data[4:])
            size = int.from_bytes(body[:4], "little")
            header = json.loads(body[4 : 4 + size])
            if header["renderer"] > RENDERER:
                raise CorruptFileError(
                    f"{where} was written with renderer {header['renderer']}, this lakestore has {RENDERER}: upgrade it"
                )
            blobs, at = [], 4 + size
            for length in header["blobs"]:
                blobs.append(body[at : at + length])
                at += length
            regions = tuple(_region(value) for value in header["regions"])
            return cls(blobs[0], regions, tuple(header["profile"]), header["python"], blobs[1:])
        except (zstd.ZstdError, ValueError, KeyError, TypeError, IndexError) as exc:
            raise CorruptFileError(f"the envelope of {where} is damaged: {exc}") from exc


def compress(data: bytes) -> bytes:
    """A text kept whole."""
    return bytes(zstd.compress(data, level=15 if len(data) < 4 << 20 else 9))


def decompress(data: bytes) -> bytes:
    """The text that `compress` kept."""
    return bytes(zstd.decompress(data))


def patch(text: bytes, base: bytes) -> bytes:
    """What makes `text` from `base`: a zstd frame that refers to it."""
    options = {
        zstd.CompressionParameter.compression_level: 9,
        zstd.CompressionParameter.window_log: _window(base, text),
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    return bytes(zstd.compress(text, options=options, zstd_dict=zstd.ZstdDict(base, is_raw=True).as_prefix))


def patched(data: bytes, base: bytes) -> bytes:
    """The text that `patch` was made for, given the same base."""
    options = {zstd.DecompressionParameter.window_log_max: 31}
    return bytes(zstd.decompress(data, options=options, zstd_dict=zstd.ZstdDict(base, is_raw=True).as_prefix))


def _window(base: bytes, text: bytes) -> int:
    return max(17, min(30, (len(base) + len(text)).bit_length()))


_OPTIONAL = ("patch", "original", "arrow", "arrow_exact")


def _region_json(region: StoredRegion) -> dict[str, Any]:
    value = {item.name: getattr(region, item.name) for item in fields(region)}
    value["style"] = region.style.to_json()
    return {
        name: item for name, item in value.items() if name not in _OPTIONAL or (item is not None and item is not False)
    }


def _region(value: dict[str, Any]) -> StoredRegion:
    return StoredRegion(**{**value, "style": Style.from_json(value["style"])})
