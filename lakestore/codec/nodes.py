"""A column of JSON values as Arrow arrays: the form between Python values and Parquet.

A node holds `n` values, one a slot. Scalars stand in one Arrow array, where null is JSON's null; a struct has
a node a key and says for each slot which keys it has, in which order; a list has offsets into one child node.
Values that are not of the node's kind (a text among numbers) stand aside in `odd`, as JSON text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakestore.codec import numbers
from lakestore.codec.times import TimeFormat

Kind = Literal["null", "bool", "int", "float", "str", "time", "json", "struct", "list"]
Ids = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
Key = str | int
"""A struct's key; a number for the place in an array of fixed length."""


@dataclass(slots=True)
class Node:
    """`n` JSON values as a column; which fields are set depends on `kind`.

    Attributes:
        array: bool, int64, float64, string, date or timestamp values (`kind` says which); for `json` the JSON texts
            as they stand in a compact document. Null where the value is JSON null, absent, or in `odd`.
        odd: string array of `n`: the JSON text where the value is of another kind, else null.
        ints: for `float`: which values the document writes as integers.
        format: for `time`: what rebuilds the texts.
        texts: for `time`: what `format` gives of `array`, where that was compared already.
        valid: for `struct` and `list`: which slots hold one (None: all).
        keys, children: for `struct`: one node of `n` slots per key.
        shapes, shape_ids: for `struct`: the orders of keys that occur (indices into `keys`), and each slot's.
        offsets, child: for `list`: `n + 1` offsets into the node of all elements.
        overrides: places and texts of single values whose text differs from the rule of the column.
        digits: for `float`: `fixed` decimals, or so many with zeros taken off (`strip`), instead of the shortest.
        zeros: for `float`: zeros behind the shortest text of each value.
    """

    kind: Kind
    n: int
    array: pa.Array = None
    odd: pa.Array | None = None
    ints: Mask | None = None
    format: TimeFormat | None = None
    texts: pa.Array | None = None
    valid: Mask | None = None
    keys: tuple[Key, ...] = ()
    children: tuple[Node, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    shape_ids: Ids | None = None
    offsets: Ids | None = None
    child: Node | None = None
    overrides: dict[int, str] = field(default_factory=dict)
    digits: tuple[str, int] | None = None
    zeros: npt.NDArray[np.uint8] | None = None

    @property
    def inside(self) -> tuple[Node, ...]:
        """The nodes that it is made of."""
        return self.children if self.child is None else (*self.children, self.child)

    @property
    def is_hollow(self) -> bool:
        """Whether it holds no typed value, such as empty arrays alone: it says nothing of a column's type."""
        if self.kind == "list":
            assert self.child is not None
            return self.child.is_hollow
        return self.kind == "null" or (self.kind == "struct" and all(child.is_hollow for child in self.children))

    @property
    def has_words(self) -> bool:
        """Whether a number in it is written as a word: NaN, Infinity."""
        if self.kind == "float":
            return not bool(np.isfinite(numbers.doubles(self.array)).all())
        return any(node.has_words for node in self.inside)

    @property
    def is_plain(self) -> bool:
        """Whether all writers write its numbers the same way; no, where values stand aside as text."""
        if self.odd is not None or self.kind == "json":
            return False
        if self.kind == "float":
            return not numbers.has_special(numbers.doubles(self.array))
        return all(node.is_plain for node in self.inside)

    def slice(self, start: int, stop: int) -> Node:
        """The slots from `start` up to `stop`, without copying values."""
        part = Node(self.kind, stop - start, keys=self.keys, shapes=self.shapes, format=self.format)
        part.array = None if self.array is None else self.array.slice(start, stop - start)
        part.odd = None if self.odd is None else self.odd.slice(start, stop - start)
        part.texts = None if self.texts is None else self.texts.slice(start, stop - start)
        part.ints = None if self.ints is None else self.ints[start:stop]
        part.valid = None if self.valid is None else self.valid[start:stop]
        part.children = tuple(child.slice(start, stop) for child in self.children)
        part.shape_ids = None if self.shape_ids is None else self.shape_ids[start:stop]
        if self.offsets is not None and self.child is not None:
            first, last = int(self.offsets[start]), int(self.offsets[stop])
            part.offsets = self.offsets[start : stop + 1] - first
            part.child = self.child.slice(first, last)
        part.digits = self.digits
        part.zeros = None if self.zeros is None else self.zeros[start:stop]
        part.overrides = {at - start: text for at, text in self.overrides.items() if start <= at < stop}
        return part

    def take(self, ids: npt.NDArray[np.int64]) -> Node:
        """The slots at `ids`, in that order; used for the scalar children of structs of several shapes."""
        places = pa.array(ids)
        part = Node(self.kind, len(ids), keys=self.keys, shapes=self.shapes, format=self.format)
        part.array = None if self.array is None else self.array.take(places)
        part.odd = None if self.odd is None else self.odd.take(places)
        part.ints = None if self.ints is None else self.ints[ids]
        part.valid = None if self.valid is None else self.valid[ids]
        part.children = tuple(child.take(ids) for child in self.children)
        part.shape_ids = None if self.shape_ids is None else self.shape_ids[ids]
        if self.offsets is not None and self.child is not None:
            lengths = np.diff(self.offsets)[ids]
            part.offsets = offsets_of(lengths)
            starts = np.repeat(self.offsets[:-1][ids] - part.offsets[:-1], lengths)
            part.child = self.child.take((starts + np.arange(int(part.offsets[-1]))).astype(np.int64))
        part.digits = self.digits
        part.zeros = None if self.zeros is None else self.zeros[ids]
        if self.overrides:
            where = {int(old): new for new, old in enumerate(ids)}
            part.overrides = {where[at]: text for at, text in self.overrides.items() if at in where}
        return part


def offsets_of(lengths: Sequence[int] | npt.NDArray[np.int64] | Ids) -> Ids:
    """Offsets of lists of these lengths, from 0.

    Raises:
        OverflowError: there are more than 2**31 - 1 elements.
    """
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(np.asarray(lengths, np.int64), out=offsets[1:])
    if offsets[-1] > 2**31 - 1:
        raise OverflowError("more than 2**31 - 1 elements in one column")
    return offsets.astype(np.int32)


def same(left: Node, right: Node) -> bool:
    """Whether two nodes are equal in all that their text is made of, −0.0 and 0.0 told apart."""
    plain = ("kind", "n", "format", "keys", "shapes", "overrides", "digits")
    if any(getattr(left, name) != getattr(right, name) for name in plain):
        return False
    if not all(_alike(getattr(left, name), getattr(right, name)) for name in ("ints", "valid", "shape_ids", "zeros")):
        return False
    if not (_alike(left.offsets, right.offsets) and _equal(left.array, right.array) and _equal(left.odd, right.odd)):
        return False
    if (left.child is None) != (right.child is None) or len(left.children) != len(right.children):
        return False
    return all(same(a, b) for a, b in zip(left.inside, right.inside, strict=True))


def _alike(left: npt.NDArray[np.generic] | None, right: npt.NDArray[np.generic] | None) -> bool:
    return left is right or (left is not None and right is not None and np.array_equal(left, right))


def _equal(left: pa.Array | None, right: pa.Array | None) -> bool:
    if left is None or right is None:
        return left is right
    if not pa.types.is_floating(left.type) or left.type != right.type:
        return bool(left.equals(right))
    # Bit by bit: a NaN equals no other one, and −0.0 equals 0.0.
    if (left.null_count or right.null_count) and not left.is_valid().equals(right.is_valid()):
        return False
    one, other = (numbers.doubles(array).view(np.int64) for array in (left, right))
    return np.array_equal(one, other)
