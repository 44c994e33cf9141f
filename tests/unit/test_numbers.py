"""Number texts of many writers come back without a patch, by a rule of one word or by exceptions."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from random import Random

import numpy as np
import pandas as pd
import pytest

from lakestore.codec import numbers
from tests.schemas import MemorySchema, store

BORDERS = [0.0, -0.0, 1e15, 1e16, 9999999999999998.0, 1e-4, 9.999e-5, 1e-5, 1e-6, 1e-7, 5e-324, 1.7976931348623157e308]
BORDERS += [
    123456789012345680.0,
    1e21,
    1e22,
    2.5,
    -1.25e-9,
    0.1 + 0.2,
    2**53 + 0.0,
    float("nan"),
    float("inf"),
    -float("inf"),
]


def document(write: Callable[[float], str], rows: int = 300) -> bytes:
    random = Random(7)
    records = ",\n".join(
        f'  {{"place": {place}, "price": {write(random.gauss(100, 5))}, "share": {write(random.random())}}}'
        for place in range(rows)
    )
    return f'{{"rows": [\n{records}\n]}}\n'.encode()


WRITERS: dict[str, Callable[[float], str]] = {
    "two decimals": "{:.2f}".format,
    "fifteen decimals": "{:.15f}".format,
    "ten decimals without zeros": lambda x: f"{x:.10f}".rstrip("0"),
    "ten significant digits": "{:.10g}".format,
    "seventeen significant digits": "{:.17g}".format,
    "shortest": repr,
    "integers among decimals": lambda x: str(round(x)) if round(x) % 3 else f"{x:.2f}",
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_writers_numbers_cost_no_more_than_a_word(writer: str) -> None:
    source = document(WRITERS[writer])
    stored = store(source, MemorySchema())
    assert stored.text() == source
    assert (stored.encoded.fidelity.kind, stored.encoded.fidelity.bytes) == ("style", 0)


def test_kept_zeros_cost_a_byte_a_value_before_compression() -> None:
    source = document(lambda x: f"{x:.4f}" if int(x * 7) % 2 else f"{x:.4f}".rstrip("0"))
    stored = store(source, MemorySchema())
    assert stored.text() == source
    assert stored.encoded.fidelity.kind == "patched"
    assert stored.encoded.fidelity.bytes <= 600


def test_a_few_odd_numbers_are_exceptions() -> None:
    source = document(repr).replace(b'{"place": 7,', b'{"place": -0,')
    stored = store(source, MemorySchema())
    assert stored.text() == source
    assert stored.encoded.fidelity.kind == "patched"
    assert stored.encoded.fidelity.bytes < 20


def test_pythons_layout_is_pythons_repr() -> None:
    random = Random(3)
    values = BORDERS + [struct.unpack("d", random.randbytes(8))[0] for _ in range(20_000)]
    dialect = numbers.DIALECTS["python"]
    assert [numbers.layout(value, dialect) for value in values] == [json.dumps(value) for value in values]
    assert numbers.texts(np.array(values), dialect).to_pylist() == [json.dumps(value) for value in values]


@pytest.mark.parametrize("name", numbers.DIALECTS)
def test_every_dialects_text_reads_back_as_the_same_double(name: str) -> None:
    random = Random(5)
    values = BORDERS + [struct.unpack("d", random.randbytes(8))[0] for _ in range(2_000)]
    texts = numbers.texts(np.array(values), numbers.DIALECTS[name]).to_pylist()
    assert [struct.pack("d", float(text)) for text in texts if text != "NaN"] == [
        struct.pack("d", value) for value in values if value == value
    ]


def test_scaled_integers_give_every_double_back_or_are_refused() -> None:
    random = Random(11)
    for scale in range(numbers.MAX_SCALE + 1):
        values = np.array([round(random.gauss(0, 1000), scale) for _ in range(500)])
        found = numbers.decimals(values)
        assert found is not None and found[0] <= scale
        assert (found[1] / 10.0 ** found[0] == values).all()
    assert numbers.decimals(np.array([1 / 3])) is None
    assert numbers.decimals(np.array([float("nan")])) is None
    assert numbers.decimals(np.array([2.0**53])) is None


def test_the_least_scale_of_all_is_found() -> None:
    random = Random(3)
    for _ in range(2_000):
        reach, scale = 10 ** random.randrange(1, 17), random.randrange(14)
        values = [random.randrange(-reach, reach) / 10**scale for _ in range(random.randrange(12))]
        if random.random() < 0.3:
            values += [random.choice(BORDERS), float(np.nextafter(random.randrange(1, 10**6) / 10**scale, 0))]
        array = np.array(values, np.float64)
        tried = (scale for scale in range(numbers.MAX_SCALE + 1) if numbers.scaled(array, scale) is not None)
        found = numbers.decimals(array)
        assert (found and found[0]) == next(tried, None)


@pytest.mark.parametrize("count", [0, 1, 2, 8, 15, 17])
def test_rounded_texts_are_those_of_printf(count: int) -> None:
    rng = Random(count)
    values = [0.0, -0.0, 1e300, -1e-300, 100.0, 10.5, 5e-324, float("nan"), float("inf"), float("-inf")]
    values += [rng.uniform(-1, 1) * 10.0 ** rng.randint(-300, 300) for _ in range(500)]
    fixed = [format(value, f".{count}f") for value in values]
    cut = [text.rstrip("0") for text in fixed]
    found = np.array(values)
    assert numbers.rounded(found, "fixed", count).to_pylist() == fixed
    assert numbers.rounded(found, "general", count).to_pylist() == [format(value, f".{count}g") for value in values]
    assert numbers.rounded(found, "strip", count).to_pylist() == [
        text + "0" if text.endswith(".") else text for text in cut
    ]
    assert numbers.rounded(found[:0], "fixed", count).to_pylist() == []


@pytest.mark.parametrize("count", [1, 4, 10, 15])
def test_texts_of_pandas_are_those_of_its_to_json(count: int) -> None:
    rng = np.random.default_rng(count)
    found = np.concatenate(
        [rng.normal(0, scale, 3000) for scale in (1e-3, 1, 100, 1e12)] + [[0.0, -0.0, 0.5, 99.999999]]
    )
    texts = pd.DataFrame({"x": found}).to_json(orient="values", double_precision=count)[2:-2].split("],[")
    assert numbers.rounded(np.array(list(map(float, texts))), "pandas", count).to_pylist() == texts
    # What pandas writes otherwise has some text, and no warning.
    numbers.rounded(np.array([1e300, float("nan"), float("inf"), 5e-324]), "pandas", count)


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "values"])
def test_a_frame_of_pandas_with_all_its_digits_needs_no_patch(orient: str) -> None:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"size": rng.integers(-5, 5, 600), "price": rng.normal(95, 9, 600), "pnl": rng.normal(0, 99, 600)}
    )
    source = frame.to_json(orient=orient, double_precision=15).encode()
    stored = store(source, MemorySchema())
    assert stored.text() == source
    assert stored.encoded.fidelity.kind == "style", stored.encoded.fidelity


def test_whether_writers_differ_is_seen_of_a_column_as_of_each_value() -> None:
    edges = [0.0, -0.0, 1e-4, 9.999e-5, -1e-4, 1e15, 999999999999999.9, -1e15, math.nan, math.inf, -math.inf, 5e-324]
    for low, high in ((-4, 15), (-5, 16)):
        for value in edges:
            for values in ([value], [value, 2.5], [2.5, value], [0.0, value, -2.5]):
                column = np.array(values)
                assert numbers.has_special(column, low, high) == bool(numbers.special(column, low, high).any()), values
    assert not numbers.has_special(np.array([]))


def test_the_smallest_numbers_of_a_frame_are_exceptions_to_its_decimals() -> None:
    rng = np.random.default_rng(6)
    pnl = np.where(np.arange(600) % 50, rng.normal(95, 9, 600), rng.normal(0, 1e-17, 600))
    source = pd.DataFrame({"pnl": pnl}).to_json(orient="records", double_precision=15).encode()
    assert b"e-" in source
    stored = store(source, MemorySchema())
    assert stored.text() == source
    assert stored.envelope.regions[0].patch is None
    assert 0 < stored.encoded.fidelity.bytes < 1000
