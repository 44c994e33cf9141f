"""Nodes ⇄ the columns of a lake table: which column keeps which values, and what the envelope must remember.

The catalog owns the columns and their SQL types; a result never changes what another one gave. Values that do not
fit their column's type go as JSON text to its sibling (`price__json`). A `Fit` tries to place a result; what is
missing in the catalog stands in its `wishes`, is reserved, and the fit is tried again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakestore import parquet
from lakestore.codec import numbers, render, times, ulps
from lakestore.codec.columnise import TooDeepError, split
from lakestore.codec.nodes import Key, Node
from lakestore.codec.strings import is_unicode
from lakestore.codec.times import TimeFormat, among
from lakestore.model import ULPS, Column, LakeTable, NewColumn, SqlType
from lakestore.parquet import encodings, key_values

SIBLING = "#json"
MAX_NEGATIVE_ZEROS = 0.02
"""Share of −0.0 up to which a column still is kept as decimals, their places in the envelope."""

_SCALARS: Mapping[str, SqlType] = {
    "bool": "BOOLEAN",
    "int": "BIGINT",
    "float": "DOUBLE",
    "str": "VARCHAR",
    "json": "JSON",
}

_FAMILIES: Mapping[str, str] = {
    "BOOLEAN": "bool",
    "BIGINT": "number",
    "DOUBLE": "number",
    "VARCHAR": "str",
    "STRUCT": "struct",
    "LIST": "list",
}

_TIMES = ("DATE", "TIMESTAMP", "TIMESTAMPTZ")

Meta = dict[str, Any]
"""One column as the envelope keeps it: `k` key, `w` the name that a profile gave it, `t` kind, `f` field id, `x` field
id of the sibling, `u` that of the units beside its decimals, and by kind."""

Placed = list[tuple[pa.Field, pa.Array]]
"""Physical columns with their field ids."""


@dataclass(slots=True)
class Fit:
    """One attempt to place the nodes of one record table in the columns of a lake table.

    Attributes:
        wishes, widen, wide, typed: what the catalog must reserve before the next attempt.
        blobs: bit masks and ids that the envelope keeps, referred to by place.
        apart: columns whose type no value of a node fits, with that of the node, once in a lake's life.
        used: field ids of the columns that the nodes touched.
    """

    table: LakeTable
    decimals: bool
    wishes: list[NewColumn] = field(default_factory=list)
    widen: set[int] = field(default_factory=set)
    wide: set[int] = field(default_factory=set)
    typed: dict[int, SqlType] = field(default_factory=dict)
    apart: list[tuple[Column, SqlType]] = field(default_factory=list)
    blobs: list[bytes] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    _known: dict[tuple[int | None, str], Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = {(column.parent, column.key): column for column in self.table.columns}

    @property
    def complete(self) -> bool:
        """Whether everything had its column."""
        return not (self.wishes or self.widen or self.wide or self.typed)

    def place(self, node: Node, names: Mapping[Key, str]) -> tuple[Placed, Meta]:
        """The physical columns of a record table's rows, and what the envelope keeps of them."""
        return self._members(node, None, names)

    def _members(self, node: Node, parent: int | None, names: Mapping[Key, str]) -> tuple[Placed, Meta]:
        columns: Placed = []
        members: list[Meta] = []
        for key, child in zip(node.keys, node.children, strict=True):
            known_as = self._named(parent, key, names[key]) if key in names else key_text(key)
            placed, meta = self._column(child, parent, known_as, names.get(key) or name_of(key))
            members.append({"k": key, **({"w": names[key]} if key in names else {}), **meta})
            columns += placed
        meta = {"t": "struct", "c": members}
        if len(node.shapes) > 1 or node.shapes != (tuple(range(len(node.keys))),):
            meta["s"] = [list(shape) for shape in node.shapes]
        if node.shape_ids is not None:
            meta["i"] = self._blob(node.shape_ids.astype(_small(len(node.shapes))).tobytes())
        return columns, meta

    def _named(self, parent: int | None, key: Key, name: str) -> str:
        """The key of a place in arrays that has a name: of two layouts the same place may be two columns.

        That is the name, or the place where an earlier version made the column by it.
        """
        own, place = key_text(name), key_text(key)
        before = self._known.get((parent, place))
        return place if (parent, own) not in self._known and before is not None and before.name == name else own

    def _column(self, node: Node, parent: int | None, key: str, name: str) -> tuple[Placed, Meta]:
        """The column of one node and, where values do not fit it, its sibling."""
        odd = None
        if node.odd is not None:
            odd, node = node.odd, _without_odd(node)
        natural = _natural(node)
        # Containers without any typed value say nothing of their column's type yet.
        hollow = natural == "JSON" and node.kind in ("struct", "list")
        column = self._find(parent, key, name, "NULL" if hollow else natural)
        columns: Placed = []
        meta: Meta = {"t": "null"}
        if natural != "NULL":
            if column.type == "VARCHAR" and node.kind == "time" and odd is not None:
                node, odd = _with_words(node, odd)
            if column.type == "NULL" and not hollow:
                self.typed[column.field_id] = natural
            result = None if hollow and column.type != "JSON" else self._store(node, column)
            if result is None and (parted := _parted(node, odd, column)) is not None:
                node, odd = parted
                result = self._store(node, column)
            if result is None:
                odd = _merge(render.texts(node), odd)
                if not hollow and (parent, key + SIBLING) not in self._known:
                    self.apart.append((column, natural))
            else:
                columns, meta = result
        if odd is not None:
            sibling = self._find(parent, key + SIBLING, f"{name}__json", "JSON")
            meta["x"] = sibling.field_id
            columns.append((_field(sibling, pa.string()), odd))
        return columns, meta

    def _store(self, node: Node, column: Column) -> tuple[Placed, Meta] | None:
        """The node in its own column, units beside its decimals in another; None where the type cannot hold it."""
        target: SqlType = column.type if column.type != "NULL" else _natural(node)
        meta: Meta = {"t": node.kind, "f": column.field_id}
        if node.overrides:
            meta["o"] = [[at, text] for at, text in sorted(node.overrides.items())]
        match node.kind, target:
            case "list", "LIST":
                return self._list(node, column, meta)
            case "struct", "STRUCT":
                members, inner = self._members(node, column.field_id, {})
                if not members:
                    return None
                mask = None if node.valid is None else pa.array(~node.valid)
                array = pa.StructArray.from_arrays([a for _, a in members], fields=[f for f, _ in members], mask=mask)
                return [(_field(column, array.type), array)], meta | inner
            case "int", "BIGINT" | "DOUBLE":
                if _magnitude(node.array) > numbers.EXACT:
                    if target == "DOUBLE":
                        return None
                    if not column.wide:
                        self.wide.add(column.field_id)
                return [(_field(column, pa.int64()), node.array)], meta
            case "float", "BIGINT" | "DOUBLE":
                if target == "BIGINT":
                    if column.wide:
                        return None
                    self.widen.add(column.field_id)
                return self._floats(node, column, meta), meta
            case "time", "VARCHAR":
                assert node.format is not None
                meta["t"] = "str"
                return [(_field(column, pa.string()), times.render(node.array, node.format))], meta
            case "time", _ if target == _natural(node):
                assert node.format is not None
                meta["m"] = node.format.to_json()
                array = _coarse(node.array)
                return [(_field(column, array.type), array)], meta
            case ("bool", "BOOLEAN") | ("str", "VARCHAR"):
                return [(_field(column, node.array.type), node.array)], meta
            case _, "JSON":
                return [(_field(column, pa.string()), render.texts(node))], {"t": "json", "f": column.field_id}
        return None

    def _list(self, node: Node, column: Column, meta: Meta) -> tuple[Placed, Meta] | None:
        assert node.offsets is not None and node.child is not None
        natural = _natural(node.child)
        if natural == "NULL" or node.child.odd is not None:
            # A list keeps one column of elements: without a type, or with a sibling, its place would be lost.
            return None
        element = self._find(column.field_id, key_values.ELEMENT, "element", natural)
        if element.type == "NULL":
            self.typed[element.field_id] = natural
        stored = self._store(node.child, element)
        if stored is None:
            return None
        [(inner_field, inner)], inner_meta = stored
        mask = None if node.valid is None else pa.array(~node.valid)
        array = pa.ListArray.from_arrays(pa.array(node.offsets), inner, type=pa.list_(inner_field), mask=mask)
        return [(_field(column, array.type), array)], {**meta, "e": inner_meta}

    def _floats(self, node: Node, column: Column, meta: Meta) -> Placed:
        array = node.array
        values = numbers.doubles(array)
        if node.ints is not None:
            meta["n"] = self._blob(np.packbits(node.ints).tobytes())
        plain: Placed = [(_field(column, array.type), array)]
        if not self.decimals:
            return plain
        zeros = numbers.negative_zeros(values)
        if _are_many(zeros, values):
            return plain
        found = numbers.decimals(values)
        if found is not None:
            made = decimals_of(found[1], found[0], array)
            placed: Placed = [(_field(column, made.type), made)]
        else:
            parted = self._beside_decimals(column, array, values)
            if parted is None:
                return plain
            placed = parted
            meta["u"] = parquet.field_id(placed[1][0])
        if len(zeros):
            meta["z"] = self._blob(np.asarray(zeros, np.int32).tobytes())
        return placed

    def _beside_decimals(self, column: Column, array: pa.Array, values: numbers.Floats) -> Placed | None:
        """A column as decimals, and the units beside them; None where that does not pay."""
        # A list keeps one column of elements.
        found = ulps.parted(values) if column.key != key_values.ELEMENT else None
        if found is None:
            return None
        decimals = decimals_of(found.whole, found.scale, array)
        units = pa.array(found.ulps, mask=numbers.nulls(array))
        if not ulps.pays(array, decimals, units, found, (self.table.key, column.parent, column.key)):
            return None
        sibling = self._find(column.parent, column.key + ULPS, f"{column.name}__ulps", "BIGINT")
        return [(_field(column, decimals.type), decimals), (_field(sibling, pa.int64()), units)]

    def _find(self, parent: int | None, key: str, name: str, wanted: SqlType) -> Column:
        """The catalog's column; where it has none, a wish for it under a negative id."""
        found = self._known.get((parent, key))
        if found is None:
            self.wishes.append(NewColumn(parent, key, name, wanted))
            # Its children wish for it by its place.
            found = Column(-len(self.wishes), parent, key, name, wanted, wide=True)
            self._known[parent, key] = found
        self.used.add(found.field_id)
        return found

    def _blob(self, data: bytes) -> int:
        self.blobs.append(data)
        return len(self.blobs) - 1


def read(meta: Meta, columns: Mapping[int, pa.Array], n: int, blobs: Sequence[bytes]) -> Node:
    """The node that `Fit.place` described, from the columns by field id.

    Raises:
        KeyError, ValueError: columns and envelope do not belong together.
    """
    odd = columns[meta["x"]] if meta.get("x") is not None else None
    node = _read_kind(meta, columns, n, blobs)
    if odd is not None:
        if node.kind == "null":
            return Node("json", n, array=odd)
        node.odd = odd
    return node


def _read_kind(meta: Meta, columns: Mapping[int, pa.Array], n: int, blobs: Sequence[bytes]) -> Node:
    kind = meta["t"]
    if kind == "null":
        return Node("null", n)
    node = Node(kind, n, overrides=dict(meta.get("o", ())))
    if kind == "struct":
        if meta.get("f") is not None:
            array = columns[meta["f"]]
            columns = members_of(array)
            if array.null_count:
                node.valid = array.is_valid().to_numpy(zero_copy_only=False)
        node.keys = tuple(member["k"] for member in meta["c"])
        node.children = tuple(read(member, columns, n, blobs) for member in meta["c"])
        node.shapes = tuple(map(tuple, meta["s"])) if "s" in meta else (tuple(range(len(node.keys))),)
        if "i" in meta:
            node.shape_ids = np.frombuffer(blobs[meta["i"]], _small(len(node.shapes))).astype(np.int32)
        return node
    array = columns[meta["f"]]
    if kind == "list":
        offsets = array.offsets.to_numpy()
        element = array.values.slice(int(offsets[0]), int(offsets[-1]) - int(offsets[0]))
        node.offsets = (offsets - offsets[0]).astype(np.int32)
        if array.null_count:
            node.valid = array.is_valid().to_numpy(zero_copy_only=False)
        inner = meta["e"]
        columns = {inner["f"]: element} if inner.get("f") is not None else {}
        node.child = _read_kind(inner, columns, len(element), blobs)
        return node
    if kind == "int":
        array = integers_of(array)
    elif kind == "float":
        array = doubles_of(array)
        if "u" in meta:
            array = ulps.doubles(array, columns[meta["u"]])
        if "d" in meta:
            node.digits = (meta["d"][0], meta["d"][1])
        if "q" in meta:
            node.zeros = np.frombuffer(blobs[meta["q"]], np.uint8)
        if "z" in meta:
            array = _with_negative_zeros(array, np.frombuffer(blobs[meta["z"]], np.int32))
        if "n" in meta:
            node.ints = np.unpackbits(np.frombuffer(blobs[meta["n"]], np.uint8), count=n).astype(np.bool_)
    elif kind == "time":
        node.format = TimeFormat.from_json(meta["m"])
        if pa.types.is_timestamp(array.type) and array.type.unit != "us":
            array = array.cast(pa.timestamp("us", array.type.tz))
    node.array = array
    return node


def members_of(array: pa.StructArray) -> dict[int, pa.Array]:
    """The members of a struct array by field id, as long as the array."""
    return {parquet.field_id(array.type.field(i)): array.field(i) for i in range(array.type.num_fields)}


def key_text(key: Key) -> str:
    """A key as the catalog keeps it: JSON text, or `[3]` for a place in an array."""
    return f"[{key}]" if isinstance(key, int) else json.dumps(key)


def name_of(key: Key) -> str:
    """The column name that a key wishes for: itself, `c3` for a place; what SQL or UTF-8 cannot hold is replaced."""
    if isinstance(key, int):
        return f"c{key}"
    text = key.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return text or "empty"


def decimals_of(whole: npt.NDArray[np.int64], scale: int, like: pa.Array) -> pa.Array:
    """Scaled integers as DECIMAL(9, scale) on 32 bits or DECIMAL(18, scale) on 64, null where `like` is null."""
    narrow = scale <= 9 and (not len(whole) or int(np.abs(whole).max()) < 10**9)
    return decimal_array(whole, pa.decimal128(9 if narrow else 18, scale), like)


def decimal_array(whole: npt.NDArray[np.int64], kind: pa.Decimal128Type, like: pa.Array) -> pa.Array:
    """Scaled integers as an array of a DECIMAL type, null where `like` is null."""
    wide = np.empty((len(whole), 2), np.int64)
    wide[:, 0] = whole
    wide[:, 1] = whole >> 63
    validity = like.is_valid().buffers()[1] if like.null_count else None
    return pa.Array.from_buffers(kind, len(whole), [validity, pa.py_buffer(wide)])


def own_form(array: pa.Array, decimals: bool) -> pa.Array:
    """A column of numbers in the form that a result has alone, whatever other results beside it made of it."""
    if pa.types.is_floating(array.type):
        values = numbers.doubles(array)
        if not decimals or _are_many(numbers.negative_zeros(values), values):
            return array
        found = numbers.decimals(values)
        return array if found is None else decimals_of(found[1], found[0], array)
    if not pa.types.is_decimal(array.type):
        return array
    whole, scale = encodings.numbers_of(array), array.type.scale
    if (missing := numbers.nulls(array)) is not None:
        whole = np.where(missing, 0, whole)
    while scale and not (whole % 10).any():
        whole, scale = whole // 10, scale - 1
    return decimals_of(whole, scale, array)


def _are_many(zeros: Sequence[int], values: numbers.Floats) -> bool:
    """Whether there are too many −0.0 for decimals."""
    return len(zeros) > max(8, MAX_NEGATIVE_ZEROS * len(values))


def integers_of(array: pa.Array) -> pa.Array:
    """A numeric column that holds integers alone as int64, whatever other results beside it made of its form."""
    if pa.types.is_decimal(array.type):
        whole = encodings.numbers_of(array) // 10**array.type.scale
        return pa.array(whole, mask=numbers.nulls(array))
    return array.cast(pa.int64())


def doubles_of(array: pa.Array) -> pa.Array:
    """A numeric column as doubles: DECIMAL as `int / 10**scale`, which gives each double back exactly."""
    if pa.types.is_floating(array.type):
        return array
    if not pa.types.is_decimal(array.type):
        return array.cast(pa.float64())
    wide = np.frombuffer(array.buffers()[1], np.int64)
    whole = wide[2 * array.offset : 2 * (array.offset + len(array)) : 2]
    values = whole / 10.0**array.type.scale
    return pa.array(values, mask=numbers.nulls(array))


def _with_negative_zeros(array: pa.Array, places: npt.NDArray[np.int32]) -> pa.Array:
    values = array.to_numpy(zero_copy_only=False).copy()
    values[places] = -0.0
    return pa.array(values, mask=numbers.nulls(array))


def _coarse(array: pa.Array) -> pa.Array:
    """Times in milliseconds where nothing is finer: the packed differences are ten bits narrower."""
    if not pa.types.is_timestamp(array.type):
        return array
    try:
        return array.cast(pa.timestamp("ms", array.type.tz))
    except pa.ArrowInvalid:
        return array


def _natural(node: Node) -> SqlType:
    if node.kind == "time":
        kind = node.array.type
        return "DATE" if pa.types.is_date(kind) else "TIMESTAMP" if kind.tz is None else "TIMESTAMPTZ"
    if node.kind == "struct":
        return "STRUCT" if any(_natural(child) != "NULL" for child in node.children) else "JSON"
    if node.kind == "list":
        assert node.child is not None
        return "LIST" if _natural(node.child) != "NULL" and node.child.odd is None else "JSON"
    return _SCALARS.get(node.kind, "NULL")


def _without_odd(node: Node) -> Node:
    return replace(node.slice(0, node.n), odd=None)


def _parted(node: Node, odd: pa.Array | None, column: Column) -> tuple[Node, pa.Array | None] | None:
    """The column parted anew, so that what fits the type stands in the node; None where that changes nothing.

    Value by value: only for columns whose commonest kind is not the one that the lake's column has.
    """
    if node.kind == "str" and column.type in _TIMES:
        return _timed(node, odd, column)
    family = "integer" if column.type == "BIGINT" and column.wide else _FAMILIES.get(column.type)
    # Of several kinds are numbers, too, where only some are integers and the column has no room for the others.
    mixed = odd is not None or node.kind == "int" or (family == "integer" and node.ints is not None)
    if family is None or not mixed:
        return None
    texts = _merge(render.texts(node), odd)
    try:
        parted = split([None if text is None else json.loads(text) for text in texts.to_pylist()], family)
    except TooDeepError:
        return None
    return None if parted is None else (_without_odd(parted), parted.odd)


def _timed(node: Node, odd: pa.Array | None, column: Column) -> tuple[Node, pa.Array] | None:
    """Texts for a column of times: those that are such times, and the others as JSON text; None: none is."""
    parted = among.part(node.array)
    if parted is None:
        return None
    fmt, values, others = parted
    timed = Node("time", node.n, array=values, format=fmt)
    if _natural(timed) != column.type:
        return None
    return timed, _merge(pc.if_else(others, render.texts(node), pa.scalar(None, pa.string())), odd)


def _with_words(node: Node, odd: pa.Array) -> tuple[Node, pa.Array | None]:
    """Times as the texts they are, with the words that stood aside; what else stood aside still does."""
    assert node.format is not None
    words = pa.array(list(map(_word, odd.to_pylist())), pa.string())
    rest = pc.if_else(words.is_valid(), pa.scalar(None, pa.string()), odd)
    whole = Node("str", node.n, array=pc.coalesce(words, times.render(node.array, node.format)))
    return whole, rest if rest.null_count < len(rest) else None


def _word(text: str | None) -> str | None:
    """The text that JSON text says; None where it says another value, or text that is not Unicode."""
    word = json.loads(text) if text is not None and text.startswith('"') else None
    return word if word is not None and is_unicode(word) else None


def _merge(texts: pa.Array, odd: pa.Array | None) -> pa.Array:
    return texts if odd is None else pc.coalesce(odd, texts)


def _magnitude(array: pa.Array) -> int:
    extremes: dict[str, int | None] = pc.min_max(array).as_py()
    return max(abs(extremes["min"] or 0), abs(extremes["max"] or 0))


def _field(column: Column, kind: pa.DataType) -> pa.Field:
    return parquet.field(column.name, kind, column.field_id)


def _small(count: int) -> type[np.unsignedinteger[Any]]:
    return np.uint8 if count <= 256 else np.uint16 if count <= 65_536 else np.uint32
