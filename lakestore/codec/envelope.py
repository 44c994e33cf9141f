"""The envelope: a document without its record tables, and what rebuilds each of them beside its rows.

Bytes: `LSE2`, then one zstd frame (with a dictionary of its own) of: length of the header (4 bytes, little endian), the
header (JSON), and the blobs one after the other, their lengths in the header. Blob 0 is the document's text with the
record tables cut out. In the header a column whose field id follows the one before it does not name it. `LSE1` had
another dictionary, and named each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

from lakestore.codec.fit import Meta
from lakestore.codec.render import RENDERER
from lakestore.codec.style import Style
from lakestore.compression import zstd
from lakestore.errors import CorruptFileError

MAGIC = b"LSE2"
_OLDER = b"LSE1"
_OLDER_WORDS = (
    rb'{"renderer":1,"profile":["generic",1],"python":false,"regions":[{"at":0,"table":"signals","strategy":"",'
    rb'"rows":0,"form":"objects","style":{"gaps":[[0,"[","\n    ","\n    ","\n  "],[1,"{","\n      ","\n      ",'
    rb'"\n    "],[0,"[",""," ",""],[1,"{",""," ",""],[1,"[","","",""]],"colon":": ","comma":",","ascii":false,'
    rb'"slash":true,"dialect":"python"},"meta":{"t":"struct","c":[{"k":"timestamp","t":"time","f":16,'
    rb'"m":"[1,"T",1,"",[0],"+00:00"]"},{"k":"symbol","t":"str","f":17},{"k":"price","t":"float","f":18,"n":0,"z":1},'
    rb'{"k":"size","t":"int","f":19},{"k":"is_open","t":"bool","f":20},{"k":"tag","t":"null","x":21},'
    rb'{"k":"orders","t":"list","f":22,"e":{"t":"struct","f":23,"c":['
    rb'"strategy": "","task_id": "","status": "completed","created_at": "2026-01-01T00:00:00Z","params": {"metrics": {'
    rb'"total_return": "sharpe_ratio": "sortino_ratio": "max_drawdown": "win_rate": "profit_factor": "total_trades": '
    rb'"initial_capital": 10000.0"key":"["signals"]"}],"key":"["trades"]"}],"key":"["equity_curve"]"}],"blobs":['
)


@cache
def _dictionary(magic: bytes) -> Any:
    """What most envelopes hold, known to both sides: the shapes of engines' documents, without values.

    It takes 0.5 kB off an envelope, 2 off one of freqtrade. Part of the format, as its first bytes name it: never to
    be changed.
    """
    if magic == _OLDER:
        words = _OLDER_WORDS
    else:
        words = (resources.files("lakestore.codec") / "words.txt").read_bytes()
    return zstd.ZstdDict(words, is_raw=True)


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
    blobs: tuple[bytes, ...] = ()

    def to_bytes(self) -> bytes:
        """The envelope as it is stored."""
        blobs = [self.skeleton, *self.blobs]
        header = {
            "renderer": max((region.style.renderer for region in self.regions), default=1),
            "profile": list(self.profile),
            "python": self.python,
            "regions": [_region_json(region) for region in self.regions],
            "blobs": [len(blob) for blob in blobs],
        }
        head = json.dumps(header, separators=(",", ":")).encode()
        body = b"".join([len(head).to_bytes(4, "little"), head, *blobs])
        words = _dictionary(MAGIC)
        if len(body) < 1 << 16:
            # Digested once in a process: to look the words through each time takes 0.6 ms, and saves 3 bytes.
            level, words = 16, words.as_digested_dict
        else:
            level, words = 12 if len(body) < 1 << 20 else 6, words.as_prefix
        options: dict[int, int] = {zstd.CompressionParameter.compression_level: level}
        return MAGIC + bytes(zstd.compress(body, options=options, zstd_dict=words))

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Envelope:
        """The envelope that `to_bytes` wrote.

        Raises:
            CorruptFileError: it is damaged, or of a newer lakestore.
        """
        magic = bytes(data[:4])
        if magic not in (MAGIC, _OLDER):
            raise CorruptFileError(f"the envelope of {where} begins with {data[:4]!r}, not {MAGIC!r}")
        try:
            body = zstd.decompress(data[4:], zstd_dict=_dictionary(magic).as_prefix)
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
            return cls(blobs[0], regions, tuple(header["profile"]), header["python"], tuple(blobs[1:]))
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
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: 9,
        zstd.CompressionParameter.window_log: _window(base, text),
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    return bytes(zstd.compress(text, options=options, zstd_dict=zstd.ZstdDict(base, is_raw=True).as_prefix))


def patched(data: bytes, base: bytes) -> bytes:
    """The text that `patch` was made for, given the same base."""
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 31}
    return bytes(zstd.decompress(data, options=options, zstd_dict=zstd.ZstdDict(base, is_raw=True).as_prefix))


def _window(base: bytes, text: bytes) -> int:
    return max(17, min(30, (len(base) + len(text)).bit_length()))


_OPTIONAL = ("patch", "original", "arrow", "arrow_exact")


def _region_json(region: StoredRegion) -> dict[str, Any]:
    value = {item.name: getattr(region, item.name) for item in fields(region)}
    value["style"] = region.style.to_json()
    value["meta"] = _numbered(region.meta, [0], written=True)
    return {
        name: item for name, item in value.items() if name not in _OPTIONAL or (item is not None and item is not False)
    }


def _region(value: dict[str, Any]) -> StoredRegion:
    meta = _numbered(value["meta"], [0], written=False)
    return StoredRegion(**{**value, "style": Style.from_json(value["style"]), "meta": meta})


def _numbered(meta: Meta, last: list[int], *, written: bool, top: bool = True) -> Meta:
    """A column's meta without the field ids that follow the `last` one, as it is written; or with them again."""
    made = dict(meta)
    if not top and meta["t"] != "null":
        own = meta.get("f", last[0] + 1)
        if written and own == last[0] + 1:
            del made["f"]
        elif not written:
            made["f"] = own
        last[0] = own
    if "c" in meta:
        made["c"] = [_numbered(member, last, written=written, top=False) for member in meta["c"]]
    if "e" in meta:
        made["e"] = _numbered(meta["e"], last, written=written, top=False)
    return made
