"""Backtest results made from a seed: the same bytes on every machine, whatever numpy's release.

All chance comes from the raw 64-bit stream of PCG64 and integer arithmetic of our own; every number is an integer
divided by a power of ten, so that its shortest decimal text is the one meant. The sizes named in `docs` and asked of
the codec are measured on these documents.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

Ints = npt.NDArray[np.int64]

SYMBOLS = (
    "BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT", "XRP/USDT", "ADA/USDT", "DOGE/USDT", "AVAX/USDT", "DOT/USDT",
    "LINK/USDT",
)  # fmt: skip
OPENING = (4_251_237, 228_045, 10_162, 31_274, 6_231, 5_874, 9_067, 3_861, 8_245, 14_932)
"""First price of each symbol, in hundredths."""

REASONS = (
    "RSI crossed above the oversold level", "RSI crossed below the overbought level",
    "MACD crossed above its signal line", "MACD crossed below its signal line",
    "Fast EMA crossed above slow EMA, trend up", "Fast EMA crossed below slow EMA, trend down",
    "Close above the upper Bollinger band", "Close below the lower Bollinger band",
    "Volume spike confirmed the breakout", "Volume dried up at resistance",
    "Trailing stop reached", "Take profit reached", "Stop loss reached", "Support held on retest",
    "Resistance rejected the price twice", "Bullish divergence between price and RSI",
    "Bearish divergence between price and RSI", "Trend filter turned positive", "Trend filter turned negative",
    "End of session, position closed",
)  # fmt: skip
START = datetime(2024, 1, 1)


class Document(NamedTuple):
    """A document as its JSON text (UTF-8) and as the Python value that the text says."""

    text: bytes
    value: dict[str, Any]


class Chance:
    """A stream of integers that depends on its seed alone."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def raw(self, n: int) -> npt.NDArray[np.uint64]:
        """n words of 64 random bits."""
        return np.asarray(self._bits.random_raw(n), np.uint64)

    def below(self, n: int, limit: int) -> Ints:
        """n integers from 0 to `limit` - 1; the bias is below 2**-32 for limits below 2**32."""
        return ((self.raw(n) >> np.uint64(32)) * np.uint64(limit) >> np.uint64(32)).astype(np.int64)

    def around(self, n: int, reach: int) -> Ints:
        """n integers from -`reach` to `reach`, thickest in the middle (the sum of two dice)."""
        return self.below(n, reach + 1) - self.below(n, reach + 1)

    def unit(self, n: int) -> npt.NDArray[np.float64]:
        """n doubles in [0, 1) with 53 random bits."""
        return (self.raw(n) >> np.uint64(11)).astype(np.float64) / 2.0**53


def typical(n: int, seed: int = 0, *, indent: int | None = 2) -> Document:
    """One result as a backtest engine writes it: `n` signals, n/20 trades, n/10 equity points.

    Args:
        n: Number of signals.
        seed: Other seeds give other documents of the same kind, with another `task_id`.
        indent: As for `json.dumps`; None is compact, without spaces.

    Returns:
        Prices with 2 decimals, indicators with 4, 20 reason texts, 10 symbols, ISO times on a grid of five minutes.
        The noise was chosen so that 10,000 signals shrink as the design's document does: 92.0 % by xz (91.9 there),
        89.0 % as Parquet with zstd and no other setting (88.9).
    """
    chance = Chance(seed)
    value = _head(seed, "ema_rsi_cross") | {
        "params": {
            "ema_fast": 12, "ema_slow": 26, "rsi_period": 14, "rsi_oversold": 30.0, "rsi_overbought": 70.0,
            "stop_loss_pct": 0.025, "take_profit_pct": 0.06, "trailing": True, "timeframe": "5m",
            "symbols": list(SYMBOLS), "initial_capital": 100000.0,
        },
        "metrics": _metrics(chance, n),
    }  # fmt: skip
    symbol = chance.below(n, len(SYMBOLS))
    price = _walk(chance, symbol)
    level = price * 100
    value["signals"] = _records({
        "timestamp": _times(np.cumsum(chance.below(n, 3)) * 5),
        "symbol": _pick(SYMBOLS, symbol),
        "signal_type": _pick(("BUY", "SELL"), chance.below(n, 2)),
        "timeframe": ["5m"] * n,
        "strength": _decimal(chance.below(n, 101), 2),
        "price": _decimal(price, 2),
        "volume": _decimal(1 + chance.below(n, 5_000), 2),
        "rsi": _decimal(500_000 + chance.around(n, 400_000), 4),
        "macd": _decimal(chance.around(n, 25_000), 4),
        "macd_signal": _decimal(chance.around(n, 20_000), 4),
        "ema_fast": _decimal(level + chance.around(n, 40_000), 4),
        "ema_slow": _decimal(level + chance.around(n, 90_000), 4),
        "reason": _pick(REASONS, chance.below(n, len(REASONS))),
    })  # fmt: skip
    value["trades"] = _trades(chance, n // 20)
    value["equity_curve"] = _equity(chance, n // 10)
    return Document(_text(value, indent), value)


def full_precision(n: int, seed: int = 0, *, indent: int | None = 2) -> Document:
    """As `typical`, but every number of a signal has all 53 bits: what no encoding can make small."""
    chance = Chance(seed)
    value = _head(seed, "full_precision") | {"params": {"lookback": 50}, "metrics": _metrics(chance, n)}
    symbol = chance.below(n, len(SYMBOLS))
    price = _walk(chance, symbol) / 100 + chance.unit(n)
    value["signals"] = _records({
        "timestamp": _times(np.cumsum(chance.below(n, 3)) * 5),
        "symbol": _pick(SYMBOLS, symbol),
        "signal_type": _pick(("BUY", "SELL"), chance.below(n, 2)),
        "strength": chance.unit(n).tolist(),
        "price": price.tolist(),
        "volume": (chance.unit(n) * 1000).tolist(),
        "rsi": (chance.unit(n) * 100).tolist(),
        "macd": (chance.unit(n) - 0.5).tolist(),
        "macd_signal": (chance.unit(n) - 0.5).tolist(),
        "ema_fast": (price + chance.unit(n)).tolist(),
        "ema_slow": (price - chance.unit(n)).tolist(),
        "reason": _pick(REASONS, chance.below(n, len(REASONS))),
    })  # fmt: skip
    value["equity_curve"] = _equity(chance, n // 10)
    return Document(_dumps(value, indent), value)


def adversarial(n: int, seed: int = 0, *, indent: int | None = 2) -> Document:
    """A document that no column fits: mixed types, NaN, -0.0, missing keys, several key orders, exponents, unicode."""
    chance = Chance(seed)
    odd: tuple[Any, ...] = (
        float("nan"), float("inf"), float("-inf"), -0.0, 0, 0.0, 248.0, 10_000, 10_012.5, 1e-05, 1e16, 1e22, 5e-324,
        1.7976931348623157e308, 2**53 + 1, 2**63, -(2**63), 10**40, True, False, None, "", "0", "1.50", "NaN", "null",
        [], {}, [1, [2.0, None]], {"": {"a.b": -0.0}},
    )  # fmt: skip
    texts = (
        "", "plain", "Grüße", "策略", "🙂", "\ud800", "\x00", "\u2028", 'quote " back \\ slash / tab \t', "2024-01-01",
        "2024-02-30", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5+02:00", "a" * 300,
    )  # fmt: skip
    keys = (
        "price",
        "Price",
        "task_id",
        "strategy",
        "run_date",
        "filename",
        "_pos",
        "date",
        "",
        "a.b",
        "ключ",
        "nested",
    )
    value = _head(seed, "策略 ../x=1") | {"params": {"limits": [-0.0, float("inf")], "Limits": None, "": {}}}
    value["metrics"] = {"sharpe": float("nan"), "max_dd": -0.0, "trades": n, "huge": 10**400}
    shapes = chance.below(n, 4).tolist()
    present = chance.below(n * len(keys), 8).reshape(n, len(keys)).tolist()
    values = chance.below(n * len(keys), 1 << 20).reshape(n, len(keys)).tolist()
    rows: list[dict[str, Any]] = []
    for i in range(n):
        order = keys if shapes[i] else keys[::-1]
        row: dict[str, Any] = {
            "timestamp": (START + timedelta(minutes=i)).isoformat() + ("Z" if shapes[i] == 3 else "")
        }
        for k, key in enumerate(order):
            draw, number = present[i][k], values[i][k]
            if draw == 0:
                continue
            if draw == 1:
                row[key] = odd[number % len(odd)]
            elif draw == 2:
                row[key] = texts[number % len(texts)]
            elif key == "nested":
                row[key] = [{"id": number, "tags": list(texts[: number % 3])}] * (number % 3)
            else:
                row[key] = number if draw == 3 else number / 100
        rows.append(row if shapes[i] != 1 else dict(reversed(row.items())))
    value["signals"] = rows
    value["ragged"] = [[i] * (i % 3) for i in range(min(n, 30))]
    value["columns"] = {"x": values[0][:3] if n else [], "y": [None, -0.0, "z"][: 3 if n else 0]}
    return Document(_dumps(value, indent), value)


def tiny(seed: int = 0, *, indent: int | None = 2) -> Document:
    """The smallest result worth saving: an identity, one parameter, one metric, one trade."""
    value = _head(seed, "tiny") | {"params": {"fast": 5}, "metrics": {"sharpe": 1.25}}
    value["trades"] = [{"entry_time": "2024-01-01T00:00:00", "symbol": "BTC/USDT", "pnl": 12.5}]
    return Document(_text(value, indent), value)


KINDS: dict[str, Callable[[int, int, int | None], Document]] = {
    "typical": lambda n, seed, indent: typical(n, seed, indent=indent),
    "full_precision": lambda n, seed, indent: full_precision(n, seed, indent=indent),
    "adversarial": lambda n, seed, indent: adversarial(n, seed, indent=indent),
    "tiny": lambda n, seed, indent: tiny(seed, indent=indent),
}


def _head(seed: int, strategy: str) -> dict[str, Any]:
    """Identity of a result; `created_at` moves by a minute a seed."""
    digest = hashlib.sha256(f"{strategy}/{seed}".encode()).hexdigest()
    created = datetime(2024, 7, 1, 12) + timedelta(minutes=seed)
    return {
        "task_id": f"bt-{digest[:12]}", "strategy": strategy, "status": "completed",
        "created_at": created.isoformat() + "Z",
    }  # fmt: skip


def _metrics(chance: Chance, n: int) -> dict[str, Any]:
    numbers = chance.below(8, 100_000).tolist()
    return {
        "total_return": numbers[0] / 10_000, "sharpe_ratio": numbers[1] / 10_000, "sortino_ratio": numbers[2] / 10_000,
        "max_drawdown": -numbers[3] / 100_000, "win_rate": numbers[4] / 100_000, "profit_factor": numbers[5] / 10_000,
        "final_equity": 10_000_000 / 100 + numbers[6] / 100, "avg_trade_pnl": numbers[7] / 100,
        "total_signals": n, "total_trades": n // 20,
    }  # fmt: skip


def _trades(chance: Chance, n: int) -> list[dict[str, Any]]:
    symbol = chance.below(n, len(SYMBOLS))
    entry = _walk(chance, symbol)
    leave = entry + chance.around(n, 400)
    begin = np.cumsum(chance.below(n, 40)) * 5
    quantity = 1 + chance.below(n, 5_000)
    side = chance.below(n, 2)
    pnl = (leave - entry) * quantity * (1 - 2 * side) // 100
    return _records({
        "trade_id": (np.arange(n) + 1).tolist(),
        "symbol": _pick(SYMBOLS, symbol),
        "side": _pick(("long", "short"), side),
        "entry_time": _times(begin),
        "exit_time": _times(begin + (1 + chance.below(n, 288)) * 5),
        "entry_price": _decimal(entry, 2),
        "exit_price": _decimal(leave, 2),
        "quantity": _decimal(quantity, 2),
        "pnl": _decimal(pnl, 2),
        "pnl_pct": _decimal((leave - entry) * (1 - 2 * side) * 10_000 // entry, 4),
        "fees": _decimal(entry * quantity // 100_000, 2),
        "exit_reason": _pick(REASONS, chance.below(n, len(REASONS))),
    })  # fmt: skip


def _equity(chance: Chance, n: int) -> list[dict[str, Any]]:
    equity = 10_000_000 + np.cumsum(chance.around(n, 9_000) + 20)
    peak = np.maximum.accumulate(equity)
    return _records({
        "timestamp": _times(np.arange(n) * 60),
        "equity": _decimal(equity, 2),
        "drawdown": _decimal((equity - peak) * 10_000 // peak, 4),
        "open_positions": chance.below(n, 11).tolist(),
    })  # fmt: skip


def _walk(chance: Chance, symbol: Ints) -> Ints:
    """Prices in hundredths: each symbol walks on its own, by at most 0.1 % of its opening price at a time."""
    n = symbol.size
    steps = chance.around(n, 1_000_000)
    price = np.zeros(n, np.int64)
    for index, opening in enumerate(OPENING):
        rows = np.flatnonzero(symbol == index)
        walk = opening * 1_000_000 + np.cumsum(steps[rows]) * (opening // 1000 + 1)
        price[rows] = np.maximum(walk // 1_000_000, 1)
    return price


def _decimal(scaled: Ints, places: int) -> list[float]:
    """Integers as decimals: the quotient is the double nearest to the decimal, so its text is the decimal."""
    return (scaled / float(10**places)).tolist()  # type: ignore[no-any-return]


def _times(minutes: Ints) -> list[str]:
    """ISO texts of the minutes since the start."""
    moments = np.datetime64(START, "s") + minutes.astype("timedelta64[m]")
    return [str(text) for text in moments.astype("U19")]


def _pick(words: Sequence[str], index: Ints) -> list[str]:
    return [words[i] for i in index.tolist()]


def _records(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    keys = tuple(columns)
    return [dict(zip(keys, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _text(value: dict[str, Any], indent: int | None) -> bytes:
    """As `_dumps`, by orjson where that writes the same bytes 40 times faster: ASCII, no exponents, no NaN."""
    if indent in (None, 2):
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None)
    return _dumps(value, indent)


def _dumps(value: dict[str, Any], indent: int | None) -> bytes:
    return json.dumps(value, indent=indent, separators=None if indent else (",", ":")).encode("ascii")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one document to a file or to stdout."""
    parser = argparse.ArgumentParser(prog="python -m lakestore.bench.generate", description=main.__doc__)
    parser.add_argument("--kind", choices=sorted(KINDS), default="typical")
    parser.add_argument("-n", type=int, default=10_000, help="number of signals (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--indent", type=int, default=2, help="0: compact (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, help="default: stdout")
    options = parser.parse_args(arguments)
    if options.n < 0 or options.seed < 0 or options.indent < 0:
        parser.error("-n, --seed and --indent cannot be negative")
    text = KINDS[options.kind](options.n, options.seed, options.indent or None).text
    if options.output is None:
        sys.stdout.buffer.write(text)
    else:
        options.output.write_bytes(text)
        print(f"{options.output}: {len(text):,} bytes, sha256 {hashlib.sha256(text).hexdigest()}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
