"""The seeded documents: the same bytes everywhere, of the shape that is promised."""

from __future__ import annotations

import hashlib
import json
import lzma
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lakestore.bench import generate
from lakestore.bench.generate import Document

SHA256 = {
    "typical": "07a67d1b4642c73e003cd7a3cba04c9cacc8ed6d3fad98ca0ab1cface188e15c",
    "full_precision": "0785994a53e103e018fe31f3122eb2ede46e14232be19d4300f4281da104d861",
    "adversarial": "0680af50a9e399e74706d960b08af449fa66a7e0c18aea48ae931ff176e331d8",
    "tiny": "5cfd67135ddb967cb6c859062b983d499a6710fd528469977c32fd605ac2c98d",
}
"""Of 200 signals, seed 7, indent 2: they change only when somebody changes the generators on purpose."""


def made(kind: str, n: int = 200, seed: int = 7, indent: int | None = 2) -> Document:
    return generate.KINDS[kind](n, seed, indent)


@pytest.mark.parametrize("kind", sorted(SHA256))
def test_a_seed_gives_the_same_bytes_for_ever(kind: str) -> None:
    assert hashlib.sha256(made(kind).text).hexdigest() == SHA256[kind]


@pytest.mark.parametrize("kind", sorted(SHA256))
def test_another_seed_gives_another_document(kind: str) -> None:
    one, other = made(kind, seed=1), made(kind, seed=2)
    assert one.text != other.text
    assert one.value["task_id"] != other.value["task_id"]


@pytest.mark.parametrize("kind", sorted(SHA256))
@pytest.mark.parametrize("indent", [None, 1, 2, 4])
def test_the_text_is_what_json_dumps_writes(kind: str, indent: int | None) -> None:
    text, value = made(kind, 50, indent=indent)
    separators = None if indent else (",", ":")
    assert text == json.dumps(value, indent=indent, separators=separators).encode()
    assert repr(json.loads(text)) == repr(value)


@pytest.mark.parametrize("kind", sorted(SHA256))
@pytest.mark.parametrize("n", [0, 1, 19, 20])
def test_small_documents_work(kind: str, n: int) -> None:
    value = json.loads(made(kind, n).text)
    assert len(value.get("signals", [])) == (0 if kind == "tiny" else n)


def test_typical_has_the_shape_it_promises() -> None:
    value = generate.typical(2_000).value
    assert [len(value[k]) for k in ("signals", "trades", "equity_curve")] == [2_000, 100, 200]
    assert {"task_id", "strategy", "status", "created_at", "params", "metrics"} <= set(value)
    signals = value["signals"]
    assert {tuple(s) for s in signals} == {tuple(signals[0])}
    assert 12 <= len(signals[0]) <= 14
    assert len({s["symbol"] for s in signals}) == 10
    assert len({s["reason"] for s in signals}) == 20
    times = [s["timestamp"] for s in signals]
    assert times == sorted(times)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d[05]:00", t) for t in times)


def test_typical_numbers_have_the_decimals_they_promise() -> None:
    places = {"price": 2, "volume": 2, "strength": 2, "rsi": 4, "macd": 4, "ema_fast": 4, "ema_slow": 4}
    for signal in generate.typical(2_000).value["signals"]:
        for key, digits in places.items():
            assert type(signal[key]) is float
            assert len(repr(signal[key]).partition(".")[2]) <= digits
        assert 0 <= signal["rsi"] <= 100
        assert signal["price"] > 0


def test_typical_prices_walk_in_small_steps() -> None:
    last: dict[str, float] = {}
    for signal in generate.typical(2_000).value["signals"]:
        before = last.get(signal["symbol"], signal["price"])
        assert abs(signal["price"] - before) <= 0.02 * before
        last[signal["symbol"]] = signal["price"]


def test_typical_is_as_hard_to_compress_as_the_design_says() -> None:
    text = generate.typical(3_000).text
    assert 0.0775 < len(lzma.compress(text)) / len(text) < 0.0865


def test_full_precision_numbers_use_all_their_digits() -> None:
    signals = generate.full_precision(500).value["signals"]
    assert sum(len(repr(s["rsi"])) for s in signals) / len(signals) > 15


def test_adversarial_holds_what_it_promises() -> None:
    text, value = generate.adversarial(500)
    assert b"NaN" in text
    assert b"-0.0" in text
    assert b"e-05" in text
    assert b"\\ud83d\\ude42" in text
    assert b"\\ud800" in text
    signals = value["signals"]
    assert len({tuple(s) for s in signals}) > 100
    assert {type(s["price"]) for s in signals if "price" in s} >= {int, float, str, bool, type(None), list, dict}
    assert any(isinstance(s.get("price"), float) and math.copysign(1, s["price"]) < 0 for s in signals)


def test_command_writes_the_file_it_names(tmp_path: Path) -> None:
    out = tmp_path / "typical.json"
    command = [
        sys.executable,
        "-m",
        "lakestore.bench.generate",
        "--kind",
        "typical",
        "-n",
        "50",
        "--seed",
        "3",
        "-o",
        str(out),
    ]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, check=True)
    assert out.read_bytes() == generate.typical(50, 3).text
    assert done.stdout == b""
    assert hashlib.sha256(out.read_bytes()).hexdigest() in done.stderr.decode()
    done = subprocess.run([*command[:-2], "--indent", "0"], cwd=root, capture_output=True, check=True)
    assert done.stdout == generate.typical(50, 3, indent=None).text
