"""What the tests of the command line share: two runs, and what a command did."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

RUN_A = {
    "task_id": "a1",
    "strategy": "breakout",
    "created_at": "2024-05-01T10:00:00Z",
    "params": {"fast": 5, "slow": 20},
    "metrics": {"sharpe": 1.25},
    "trades": [
        {"pair": "BTC/USD", "pnl": 10.25, "qty": 1, "tags": ["x"]},
        {"pair": "ETH/USD", "pnl": -3.5, "qty": 2, "tags": []},
    ],
}
RUN_B = {
    "task_id": "b1",
    "strategy": "revert",
    "created_at": "2024-05-02T10:00:00Z",
    "trades": [{"pair": "BTC/USD", "pnl": 7, "qty": 3, "tags": None}],
}


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


Call = Callable[..., Done]


def ids(done: Done) -> list[str]:
    return [row["task_id"] for row in done.json()]
