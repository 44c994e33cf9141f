"""Where two JSON texts differ: by the path of a value, or by a byte where their values are the same."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from lakestore.codec import text
from lakestore.errors import InvalidInputError

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Difference:
    """One result that is not the same in two storages.

    Attributes:
        path: where in the document the first difference is, such as `trades[3].size`; `$` is the document itself.
        left, right: what stands there on either side, shortened; empty where there is nothing.
    """

    task_id: str
    path: str
    left: str
    right: str


def difference(task_id: str, left: bytes, right: bytes) -> Difference | None:
    """The first difference of two JSON texts, in the left one's order; None where their bytes are the same."""
    if left == right:
        return None
    values = []
    for data in (left, right):
        try:
            values.append(text.parse(data, "the document", exact=True)[0])
        except InvalidInputError as exc:
            message = str(exc)
            return Difference(
                task_id, "$", *(message if side is data else f"{len(side)} bytes" for side in (left, right))
            )
    found = _differ(values[0], values[1], "$")
    if found is not None:
        return Difference(task_id, *found)
    # One value, written in two ways.
    at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    told = (f"…{data[at : at + 40].decode('utf-8', 'replace')}" for data in (left, right))
    return Difference(task_id, "$", *told)


def _differ(left: Any, right: Any, path: str) -> tuple[str, str, str] | None:
    """Path and both values of the first difference."""
    waiting = [(left, right, path)]
    while waiting:
        left, right, path = waiting.pop()
        if type(left) is not type(right):
            return path, _show(left), _show(right)
        if isinstance(left, dict):
            keys = [*left, *(key for key in right if key not in left)]
            for key in keys:
                if key not in left or key not in right:
                    sides = [_show(side[key]) if key in side else "" for side in (left, right)]
                    return _member(path, key), sides[0], sides[1]
            waiting.extend((left[key], right[key], _member(path, key)) for key in reversed(keys))
        elif isinstance(left, list):
            common = [(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(left, right, strict=False))]
            if len(left) != len(right):
                # Looked at after what both have.
                waiting.append((f"{len(left)} items", f"{len(right)} items", path))
            waiting.extend(reversed(common))
        elif isinstance(left, float):
            if left.hex() != right.hex():
                return path, _show(left), _show(right)
        elif left != right:
            return path, _show(left), _show(right)
    return None


def _member(path: str, key: str) -> str:
    step = key if _PLAIN.fullmatch(key) else f"[{json.dumps(key)}]"
    if path == "$":
        return step
    return path + step if step.startswith("[") else f"{path}.{step}"


def _show(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, dict | list):
        return f"{len(value)} {'keys' if isinstance(value, dict) else 'items'}"
    shown = json.dumps(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
