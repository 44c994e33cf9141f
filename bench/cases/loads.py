"""Loads: a whole document as text and as a value, one table as Arrow."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import orjson

from bench.cases.base import ARCTIC, BARE, LAKE, Bench, check_rows, fill
from bench.measure import Case, Wrong, interleaved
from bench.runs import text_of
from bench.stores.lake import LakeStore


def load_document(bench: Bench) -> None:
    """Load a whole document: as JSON text, and as a Python value."""
    lake = LakeStore(bench.fresh("loads"))
    document = bench.runs.document(0, "load")
    text = text_of(document)
    info = lake.lake.save(text)
    path = bench.fresh("loadfiles").folder / "document.json"
    path.write_bytes(text)
    value = orjson.loads(text)
    if lake.lake.load(info.task_id).to_json() != text or lake.lake.load(info.task_id).document != value:
        raise Wrong("lakestore gave another document than was saved")
    works: dict[str, Callable[[Any], Any]] = {
        LAKE: lambda _: lake.lake.load(info.task_id).to_json(),
        "orjson.dumps of the value": lambda _: orjson.dumps(value, option=orjson.OPT_INDENT_2),
        "the file's bytes": lambda _: path.read_bytes(),
    }
    timings = interleaved({name: Case(work) for name, work in works.items()}, bench.rounds(12), least=0.05)
    bench.note("load as JSON text", timings, "orjson.dumps of the value")
    bench.must(
        "load as JSON text: beside orjson.dumps", 8, bench.ratio("load as JSON text", LAKE, "orjson.dumps of the value")
    )
    works = {
        LAKE: lambda _: lake.lake.load(info.task_id).document,
        "json.load of the file": lambda _: json.loads(path.read_bytes()),
        "orjson.loads of the file": lambda _: orjson.loads(path.read_bytes()),
    }
    timings = interleaved({name: Case(work) for name, work in works.items()}, bench.rounds(12), least=0.05)
    bench.note("load as value", timings, "json.load of the file")
    bench.must("load as value: beside json.load", 1.0, bench.ratio("load as value", LAKE, "json.load of the file"))
    lake.close()


def load_arrow(bench: Bench) -> None:
    """Load the signals of one run of many by its id, as Arrow."""
    fill(bench)
    case = "load as Arrow"
    order = random.Random(0)
    cases = {
        name: Case(store.load, lambda: bench.runs.run(order.randrange(bench.count)).task_id)
        for name, store in bench.stores.items()
        if name != "JSON files"
    }
    bench.note(case, interleaved(cases, bench.rounds(12), least=0), BARE)
    for name in cases:
        check_rows(bench, bench.stores[name], bench.count // 2, "run")
    bench.must(f"{case}: beside ArcticDB", 1.2, bench.ratio(case, LAKE, ARCTIC))
    text = {
        name: Case(store.json, lambda: bench.runs.run(order.randrange(bench.count)).task_id)
        for name, store in bench.stores.items()
    }
    bench.note("signals as JSON text", interleaved(text, bench.rounds(4), least=0), LAKE)
