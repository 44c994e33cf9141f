"""Write small results in the shapes of engines whose real results may not ship: made-up numbers, the same every time.

    python examples/shapes.py FOLDER

makes `lean.json`, `lean-order-events.json`, `backtesting.json`, `backtesting-series.json`, `backtrader.json`,
`backtrader-analyzers.json`, `vectorbt.json` and `qstrader.json` there.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

START = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)


def walk(seed: int, count: int, digits: int = 2) -> Iterator[tuple[datetime, float]]:
    """Days and prices of a random walk."""
    source = random.Random(seed)
    price = 100.0
    for day in range(count):
        price *= 1 + source.gauss(0, 0.01)
        yield START + timedelta(days=day), round(price, digits)


def iso(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


class Exact(str):
    """JSON text that is written as it stands: a number with its zeros, an object on one line."""


def write(value: Any, indent: int | None = 2) -> str:
    """JSON text, in which `Exact` stands as it is."""
    marked = json.dumps(_marked(value), indent=indent)
    return re.sub(r'"\\u0001((?:[^"\\]|\\.)*)"', lambda match: json.loads(f'"{match[1]}"'), marked)


def _marked(value: Any) -> Any:
    if isinstance(value, Exact):
        return "\x01" + value
    if isinstance(value, dict):
        return {key: _marked(item) for key, item in value.items()}
    return [_marked(item) for item in value] if isinstance(value, list) else value


def decimal(value: float) -> Exact:
    """A number as .NET's decimal keeps it, with trailing zeros."""
    return Exact(f"{value:.4f}")


def lean() -> str:
    """A LEAN result: orders keyed by number, profit keyed by time, charts whose series stand on one line each."""
    prices = list(walk(1, 60))
    orders, trades, profit = {}, [], {}
    symbol = {"value": "SPY", "id": "SPY R735QTJ8XC9X", "permtick": "SPY"}
    for number, (when, price) in enumerate(prices[::3], 1):
        order = {"type": 0, "id": number, "brokerId": [str(number)], "symbol": symbol, "price": decimal(price)}
        order |= {"time": iso(when), "quantity": decimal(10.0 if number % 2 else -10.0), "status": 3, "tag": ""}
        if number % 5 == 0:
            order["lastFillTime"] = iso(when + timedelta(seconds=2))
        orders[str(number)] = order | {"direction": (number + 1) % 2, "isMarketable": True}
    for (opened, entry), (closed, leave) in zip(prices[::6], prices[3::6], strict=True):
        gain = round(10 * (leave - entry), 2)
        trade = {"symbol": symbol, "entryTime": iso(opened), "entryPrice": decimal(entry), "direction": 0}
        trade |= {"quantity": decimal(10), "exitTime": iso(closed), "exitPrice": decimal(leave)}
        trade |= {"profitLoss": decimal(gain), "totalFees": decimal(2), "duration": "3.00:00:00", "isWin": gain > 0}
        trades.append(trade | {"orderIds": [2 * len(trades) + 1, 2 * len(trades) + 2]})
        profit[iso(closed)] = decimal(gain - 2)
    candles = [[int(when.timestamp()), p * 1000, p * 1001, p * 999, p * 1000] for when, p in prices]
    plain = [[int(when.timestamp()), round(p / 100 - 1, 4)] for when, p in prices]

    def series(name: str, unit: str, values: list[list[float]]) -> Exact:
        return Exact(json.dumps({"name": name, "unit": unit, "index": 0, "values": values}, separators=(",", ":")))

    def chart(name: str, **found: Exact) -> dict[str, Any]:
        return {"name": name, "chartType": 0, "series": {key.replace("_", " "): item for key, item in found.items()}}

    document = {
        "rollingWindow": {},
        "totalPerformance": {"tradeStatistics": {"totalNumberOfTrades": len(trades)}, "closedTrades": trades},
        "charts": {
            "Strategy Equity": chart("Strategy Equity", Equity=series("Equity", "$", candles)),
            "Drawdown": chart("Drawdown", Equity_Drawdown=series("Equity Drawdown", "%", plain)),
            "Benchmark": chart("Benchmark", Benchmark=series("Benchmark", "$", plain)),
        },
        "orders": orders,
        "profitLoss": profit,
        "statistics": {"Total Orders": str(len(orders)), "Net Profit": "4.113%", "Sharpe Ratio": "0.912"},
        "runtimeStatistics": {"Equity": "$104,113.00", "Fees": "-$20.00"},
        "state": {"StartTime": "2024-05-01 09:00:00", "EndTime": "2024-05-01 09:00:41", "Status": "Completed"},
        "algorithmConfiguration": {"name": "SpyRotation", "accountCurrency": "USD", "parameters": {"fast": "3"}},
    }
    return write(document)


def lean_order_events() -> str:
    """LEAN's order events: a root array whose records have fees and messages only where there are any."""
    events = []
    for number, (when, price) in enumerate(walk(1, 40), 1):
        event = {"algorithmId": "SpyRotation", "symbol": "SPY R735QTJ8XC9X", "symbolValue": "SPY", "orderId": number}
        event |= {"time": when.timestamp(), "status": "submitted", "orderEventId": 1, "id": f"SpyRotation-{number}-1"}
        events.append(event | {"fillPrice": 0.0, "direction": "buy", "quantity": 10.0})
        filled = event | {"status": "filled", "orderEventId": 2, "id": f"SpyRotation-{number}-2"}
        events.append(filled | {"orderFeeAmount": 1.0, "orderFeeCurrency": "USD", "fillPrice": price, "quantity": 10.0})
    return write(events)


def backtesting() -> str:
    """backtesting.py: statistics as a dict, trades as columns, equity keyed by time."""
    prices = list(walk(2, 80))
    trades: dict[str, list[Any]] = {
        "Size": [],
        "EntryPrice": [],
        "ExitPrice": [],
        "PnL": [],
        "EntryTime": [],
        "Tag": [],
    }
    for (opened, entry), (_, leave) in zip(prices[::8], prices[4::8], strict=True):
        for name, value in zip(
            trades, (10, entry, leave, 10 * (leave - entry), f"{opened:%Y-%m-%dT%H:%M:%S}", None), strict=True
        ):
            trades[name].append(value)
    document = {
        "stats": {
            "Start": "2024-01-02T14:30:00",
            "# Trades": 10,
            "Equity Final [$]": 10_412.5,
            "Sharpe Ratio": float("nan"),
        },
        "params": {"n1": 5, "n2": 20},
        "trades": trades,
        "equity": {f"{when:%Y-%m-%d %H:%M:%S}": 10_000 + price for when, price in prices},
    }
    return json.dumps(document, indent=4)


def backtesting_series() -> str:
    """backtesting.py's own `stats.to_json()`: trades and equity among the statistics, times in milliseconds."""
    prices = [(round(when.timestamp() * 1000), price) for when, price in walk(5, 80)]
    trades = [
        {"Size": 10, "EntryPrice": entry, "ExitPrice": leave, "EntryTime": opened, "ExitTime": closed, "Tag": None}
        for (opened, entry), (closed, leave) in zip(prices[::8], prices[4::8], strict=True)
    ]
    document = {
        "Start": prices[0][0],
        "Equity Final [$]": 10_412.5,
        "# Trades": 10,
        "_strategy": "SmaCross",
        "_equity_curve": {str(when): {"Equity": 10_000 + price, "DrawdownPct": 0.0} for when, price in prices},
        "_trades": {str(place): trade for place, trade in enumerate(trades)},
    }
    return json.dumps(document, separators=(",", ":"))


def backtrader() -> str:
    """backtrader: bars that the strategy kept, analyzers keyed by time."""
    prices = list(walk(3, 60))
    fills = {f"{when:%Y-%m-%d %H:%M:%S}": [[1, price, 0, "", -price]] for when, price in prices[::5]}
    returns = {f"{when:%Y-%m-%d %H:%M:%S}": price / 100 - 1 for when, price in prices}
    document = {
        "engine": "backtrader",
        "params": {"fast": 5, "slow": 15},
        "analyzers": {"sharpe": {"sharperatio": 0.41}, "transactions": fills, "time_return": returns},
        "orders": [
            {"ref": place, "dt": iso(when), "side": "buy", "price": price}
            for place, (when, price) in enumerate(prices[::5])
        ],
        "bars": [
            {"t": iso(when), "c": price, "fast": None, "pos": place % 2} for place, (when, price) in enumerate(prices)
        ],
    }
    return json.dumps(document)


def backtrader_analyzers() -> str:
    """backtrader's analyzers under the names of their classes: values and fills are arrays under times."""
    prices = list(walk(6, 60))
    times = {f"{when:%Y-%m-%d %H:%M:%S}": price for when, price in prices}
    document = {
        "strategy": "Cross",
        "analyzers": {
            "tradeanalyzer": {"total": {"total": 3, "closed": 3}},
            "timereturn": {time: price / 100 - 1 for time, price in times.items()},
            "transactions": {time: [[1, price, 0, "", -price]] for time, price in list(times.items())[::5]},
            "positionsvalue": {f"{when:%Y-%m-%d}": [price] for when, price in prices},
            "grossleverage": {time: price / 1000 for time, price in times.items()},
        },
    }
    return json.dumps(document, indent=2)


def qstrader() -> str:
    """qstrader's JSON statistics: curves of milliseconds and value beside single numbers."""
    prices = [(round(when.timestamp() * 1000), price) for when, price in walk(7, 60)]
    document = {
        "strategy": {
            "equity_curve": [[when, 10_000 * price] for when, price in prices],
            "returns": [[when, price / 100 - 1] for when, price in prices],
            "cum_returns": [[when, price / 100] for when, price in prices],
            "monthly_agg_returns": [[[2024, 1], 0.0125], [[2024, 2], -0.004]],
            "drawdowns": [[when, 0.0] for when, _ in prices],
            "sharpe": 0.41,
            "cagr": 0.0325,
        },
        "strategy_id": "60-40",
        "strategy_name": "sixty forty",
    }
    return json.dumps(document)


def vectorbt() -> str:
    """vectorbt: records as pandas names their columns, epoch milliseconds, series as lists."""
    prices = list(walk(4, 90))
    trades = []
    for number, ((opened, entry), (closed, leave)) in enumerate(zip(prices[::9], prices[4::9], strict=True)):
        trade = {"Exit Trade Id": number, "Column": 0, "Size": 10.5, "Entry Timestamp": int(opened.timestamp() * 1000)}
        trade |= {"Avg Entry Price": entry, "Exit Timestamp": int(closed.timestamp() * 1000), "Avg Exit Price": leave}
        trades.append(trade | {"PnL": 10.5 * (leave - entry), "Direction": "Long", "Status": "Closed"})
    equity = [10 * price for _, price in prices]
    returns = [0.0, *(after / before - 1 for before, after in pairwise(equity))]
    document = {
        "engine": "vectorbt",
        "stats": {"Total Trades": 10},
        "trades": trades,
        "equity": equity,
        "returns": returns,
    }
    return json.dumps(document, separators=(",", ":"))


SHAPES = {
    "lean": lean,
    "lean-order-events": lean_order_events,
    "backtesting": backtesting,
    "backtesting-series": backtesting_series,
    "backtrader": backtrader,
    "backtrader-analyzers": backtrader_analyzers,
    "vectorbt": vectorbt,
    "qstrader": qstrader,
}


def main() -> None:
    """Write each shape into the folder given."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in SHAPES.items():
        (folder / f"{name}.json").write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
