"""The envelope: a document without its record tables, and what rebuilds each of them beside its rows.

Bytes: 3 or 4, then a zstd frame without its first four bytes (with a dictionary of its own) of: a line of numbers (a
JSON array), a line with the profile's name and what is kept of each record table (a JSON array), the blobs one after
the other, and the document's text with the record tables cut out. The numbers are those of the renderer, of the
profile's version and whether only Python reads the document; of each table how far behind the one before it lies, its
rows and its first field id, and those that do not follow the one before them, for which a 0 stands in the line below;
and the blobs' lengths. So the second line is mostly the dictionary's own words. What a table has in common with the
one before it (strategy, style), or with most (objects, under its name) does not stand there. 4 says that the
dictionary is a prefix of the text: zstd's own statistics of it do not hold for long ones.

`LSE2` and `LSE1` began envelopes of JSON objects whose numbers stood in them: the whole frame of the length of the
header (4 bytes, little endian), the header, and the blobs, of which that text was the first. Both had other
dictionaries, and `LSE1` named each field id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from lakestore.codec.fit import Meta
from lakestore.codec.render import RENDERER
from lakestore.codec.style import Style
from lakestore.compression import zstd
from lakestore.errors import CorruptFileError

_MAGIC, _LONG = b"\3", b"\4"
_FEW, _MANY = 1 << 14, 1 << 16
"""Bytes between which a text is a long one, which takes 2 to 3 % less with the dictionary as a prefix, and a short one
more."""
_OLD, _OLDEST = b"LSE2", b"LSE1"
_ZSTD = b"\x28\xb5\x2f\xfd"
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
    if magic == _OLDEST:
        return zstd.ZstdDict(_OLDER_WORDS, is_raw=True)
    name = "words.txt" if magic == _OLD else "words3.dict"
    words = (resources.files("lakestore.codec") / name).read_bytes()
    return zstd.ZstdDict(words, is_raw=True).as_prefix if magic == _LONG else zstd.ZstdDict(words, is_raw=magic == _OLD)


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
        numbers, tables = _written(self)
        lines = [json.dumps(line, separators=(",", ":")).encode() for line in (numbers, [self.profile[0], tables])]
        body = b"".join([b"\n".join([*lines, b""]), *self.blobs, self.skeleton])
        magic = _LONG if _FEW < len(body) < _MANY else _MAGIC
        words = _dictionary(magic)
        level = 16 if len(body) < _MANY else 12 if len(body) < 1 << 20 else 6
        if len(body) >= _MANY:
            words = words.as_undigested_dict
        elif magic == _MAGIC:
            # Digested once in a process: to look the words through each time takes 0.6 ms, and saves 3 bytes.
            words = words.as_digested_dict
        options: dict[int, int] = {
            zstd.CompressionParameter.compression_level: level,
            zstd.CompressionParameter.content_size_flag: 0,
            zstd.CompressionParameter.dict_id_flag: 0,
        }
        return magic + bytes(zstd.compress(body, options=options, zstd_dict=words)).removeprefix(_ZSTD)

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Envelope:
        """The envelope that `to_bytes` wrote.

        Raises:
            CorruptFileError: it is damaged, or of a newer lakestore.
        """
        magic = next((each for each in (_MAGIC, _LONG, _OLD, _OLDEST) if data.startswith(each)), None)
        if magic is None:
            raise CorruptFileError(
                f"the envelope of {where} begins with {data[:4]!r}, as none that this lakestore knows"
            )
        try:
            is_older = magic in (_OLD, _OLDEST)
            body = zstd.decompress(data[4:] if is_older else _ZSTD + data[1:], zstd_dict=_dictionary(magic))
            return _read_older(body, where) if is_older else _read(body, where)
        except (zstd.ZstdError, ValueError, KeyError, TypeError, IndexError, StopIteration) as exc:
            raise CorruptFileError(f"the envelope of {where} is damaged: {exc}") from exc


def _check_renderer(version: int, where: str) -> None:
    if version > RENDERER:
        raise CorruptFileError(
            f"{where} was written with renderer {version}, this lakestore has {RENDERER}: upgrade it"
        )


def _written(envelope: Envelope) -> tuple[list[int], list[dict[str, Any]]]:
    """The numbers of an envelope, and the record tables without them."""
    numbers = [RENDERER, envelope.profile[1], int(envelope.python)]
    tables = []
    before: StoredRegion | None = None
    for region in envelope.regions:
        first = next(_ids(region.meta), 0)
        numbers += [region.at - (before.at if before else 0), region.rows, first]
        value: dict[str, Any] = {"table": region.table}
        if before is None or region.strategy != before.strategy:
            value["strategy"] = region.strategy
        if region.form != _FORM:
            value["form"] = region.form
        if before is None or region.style != before.style:
            value["style"] = region.style.to_json()
        value["meta"] = _apart(region.meta, [first - 1], numbers)
        if region.key != json.dumps([region.table]):
            value["key"] = region.key
        optional = ((name, getattr(region, name)) for name in _OPTIONAL)
        tables.append(value | {name: item for name, item in optional if item is not None and item is not False})
        before = region
    return numbers + [len(blob) for blob in envelope.blobs], tables


def _read(body: bytes, where: str) -> Envelope:
    first, second, rest = body.split(b"\n", 2)
    numbers = iter(json.loads(first))
    _check_renderer(next(numbers), where)
    version, python = next(numbers), next(numbers) == 1
    profile, tables = json.loads(second)
    regions: list[StoredRegion] = []
    for value in tables:
        before = regions[-1] if regions else None
        if before is not None:
            value = {"strategy": before.strategy, **value}
        at, rows, own = next(numbers) + (before.at if before else 0), next(numbers), next(numbers)
        style = Style.from_json(value["style"]) if before is None or "style" in value else before.style
        meta = _together(value["meta"], [own - 1], numbers)
        defaults = {"form": _FORM, "key": json.dumps([value["table"]])}
        regions.append(StoredRegion(**{**defaults, **value, "at": at, "rows": rows, "style": style, "meta": meta}))
    blobs, at = [], 0
    for length in numbers:
        blobs.append(rest[at : at + length])
        at += length
    return Envelope(rest[at:], tuple(regions), (profile, version), python, tuple(blobs))


def _read_older(body: bytes, where: str) -> Envelope:
    size = int.from_bytes(body[:4], "little")
    header = json.loads(body[4 : 4 + size])
    _check_renderer(header["renderer"], where)
    blobs, at = [], 4 + size
    for length in header["blobs"]:
        blobs.append(body[at : at + length])
        at += length
    regions = []
    for value in header["regions"]:
        meta = _numbered(value["meta"], [0])
        regions.append(StoredRegion(**{**value, "style": Style.from_json(value["style"]), "meta": meta}))
    return Envelope(blobs[0], tuple(regions), tuple(header["profile"]), header["python"], tuple(blobs[1:]))


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
_FORM = "objects"
_TOLD = 0
"""In the place of a field id: it stands among the numbers."""


def _members(meta: Meta) -> Iterator[Meta]:
    yield from meta.get("c", ())
    if "e" in meta:
        yield meta["e"]


def _ids(meta: Meta) -> Iterator[int]:
    """The field ids in a column's meta, without its own."""
    for member in _members(meta):
        if member["t"] != "null":
            yield member["f"]
        yield from _ids(member)


def _each(meta: Meta, made: Callable[[Meta], Meta]) -> Meta:
    """A meta with its members made anew, in the order of `_members`."""
    whole = dict(meta)
    if "c" in meta:
        whole["c"] = [made(member) for member in meta["c"]]
    if "e" in meta:
        whole["e"] = made(meta["e"])
    return whole


def _apart(meta: Meta, last: list[int], numbers: list[int]) -> Meta:
    """A meta without its members' field ids; those that do not follow the `last` one are put to the numbers."""

    def made(member: Meta) -> Meta:
        if member["t"] != "null":
            own, last[0] = member["f"], last[0] + 1
            member = {name: item for name, item in member.items() if name != "f"}
            if own != last[0]:
                numbers.append(own)
                member["f"], last[0] = _TOLD, own
        return _apart(member, last, numbers)

    return _each(meta, made)


def _together(meta: Meta, last: list[int], numbers: Iterator[int]) -> Meta:
    """The meta that `_apart` was given."""

    def made(member: Meta) -> Meta:
        if member["t"] != "null":
            last[0] = next(numbers) if "f" in member else last[0] + 1
            member = member | {"f": last[0]}
        return _together(member, last, numbers)

    return _each(meta, made)


def _numbered(meta: Meta, last: list[int]) -> Meta:
    """An older meta with the field ids that follow the `last` one."""

    def made(member: Meta) -> Meta:
        if member["t"] != "null":
            last[0] = member.get("f", last[0] + 1)
            member = member | {"f": last[0]}
        return _numbered(member, last)

    return _each(meta, made)
