"""A column of texts ⇄ a column of times, and the proof that the one gives the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakestore.codec.times.cells import Bytes, Ints
from lakestore.codec.times.formats import DAY, FIRST, LAST, TEXT, TimeFormat
from lakestore.codec.times.reading import read, read_seasonal
from lakestore.codec.times.writing import written
from lakestore.errors import InvalidInputError


def parse(texts: pa.Array) -> tuple[TimeFormat, pa.Array] | None:
    """Read a column of texts as times, if one format rebuilds every text of it exactly.

    Args:
        texts: Array or chunked array of strings, nulls allowed.

    Returns:
        The format and the values (of type `fmt.type`, null where the text is null), or None: no text at all, or at
        least one that would not come back as it is.
    """
    texts = _plain(texts)
    if texts.null_count == len(texts):
        return None
    valid = texts.is_valid().to_numpy(zero_copy_only=False) if texts.null_count else None
    first = texts[0 if valid is None else int(np.argmax(valid))].as_buffer().to_pybytes()
    guess = TEXT.fullmatch(first)
    if guess is None:
        return None
    raw, starts = _bytes(texts)
    for reader in (read, read_seasonal):
        found = reader(raw, starts, guess)
        if found is None:
            continue
        fmt, values = found
        again = written(values, fmt)
        if again is not None and np.array_equal(again[1], starts) and np.array_equal(again[0], raw):
            column = _column(values, fmt, valid)
            # What `render` writes of the column is what was just written.
            return (fmt, column) if np.array_equal(_numbers(column, fmt), values) else None
    return None


def in_range(micros: pa.TimestampArray) -> bool:
    """Whether all times, in microseconds, lie in the years 1 to 9999: only those have texts."""
    least, most = pc.min_max(micros.cast(pa.int64())).values()
    return not least.is_valid or (least.as_py() >= FIRST * DAY and most.as_py() < (LAST + 1) * DAY)


def render(values: pa.Array, fmt: TimeFormat) -> pa.StringArray:
    """Write the texts of a column: the exact inverse of `parse`.

    Args:
        values: Array or chunked array of type `fmt.type` (any zone, if it has one); nulls stay null.
        fmt: As `parse` gave it.

    Raises:
        InvalidInputError: The values are of another type, or one of them has no text in this format.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    same = values.type == fmt.type or (pa.types.is_timestamp(values.type) and bool(values.type.tz) and bool(fmt.zone))
    if not same or (fmt.separator and values.type.unit != "us"):
        raise InvalidInputError(f"values of type {values.type} have no text as {fmt.to_json()}; it needs {fmt.type}")
    valid = values.is_valid().to_numpy(zero_copy_only=False) if values.null_count else None
    texts = written(_numbers(values, fmt), fmt)
    if texts is None:
        raise InvalidInputError(f"a value cannot be written exactly as {fmt.to_json()}; give the format of its column")
    raw, starts = texts
    bits = None
    if valid is not None:
        lengths = np.zeros(len(values), np.int64)
        lengths[valid] = np.diff(starts)
        starts = np.concatenate(([0], np.cumsum(lengths)))
        bits = pa.py_buffer(np.packbits(valid, bitorder="little"))
    offsets = pa.py_buffer(starts.astype(np.int32))
    return pa.StringArray.from_buffers(len(values), offsets, pa.py_buffer(raw), bits, values.null_count)


def _numbers(values: pa.Array, fmt: TimeFormat) -> Ints:
    """Days, or µs of UTC, of the values that are not null."""
    numbers: Ints = values.cast(pa.int64() if fmt.separator else pa.int32()).drop_null().to_numpy().astype(np.int64)
    return numbers


def _plain(texts: Any) -> pa.StringArray:
    """The texts as one string array."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    return texts if texts.type == pa.string() else texts.cast(pa.string())


def _bytes(texts: pa.StringArray) -> tuple[Bytes, Ints]:
    """Bytes of the texts that are not null, and the n + 1 places where they begin and end."""
    if texts.null_count:
        texts = texts.drop_null()
    _, offsets, data = texts.buffers()
    starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    raw = np.frombuffer(data, np.uint8)[starts[0] : starts[-1]]
    return raw, starts - starts[0]


def _column(values: Ints, fmt: TimeFormat, valid: npt.NDArray[np.bool_] | None) -> pa.Array:
    """Values as an Arrow array, with nulls where `valid` is false."""
    numbers = values if fmt.separator else values.astype(np.int32)
    if valid is None:
        return pa.array(numbers).view(fmt.type)
    spread = np.zeros(valid.size, numbers.dtype)
    spread[valid] = numbers
    return pa.array(spread, mask=~valid).view(fmt.type)
