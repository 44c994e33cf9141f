"""SQL over a lake is the same computation over the parsed JSON, whatever the documents hold."""

from __future__ import annotations

import json
import math
import os
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import lakestore
from lakestore import Lake
from lakestore.model import Column
from tests.schemas import units_beside
from tests.strategies import records

relaxed = settings(
    deadline=None,
    max_examples=int(os.environ.get("LAKESTORE_EXAMPLES", "20")),
    suppress_health_check=list(HealthCheck),
    # Each step of shrinking would save documents: minutes of it.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
EXACT = 2**53
Row = dict[str, Any]

# What SQL gives, and what the JSON says it must be.


def plain(array: pa.Array) -> list[Any]:
    """Arrow values as Python's; times as days or microseconds since 1970, so that no session's zone matters."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_struct(array.type):
        names = [field.name for field in array.type]
        parts = [plain(array.field(at)) for at in range(len(names))]
        rows = zip(*parts, strict=True) if parts else [()] * len(array)
        valid = array.is_valid().to_pylist()
        return [dict(zip(names, row, strict=True)) if ok else None for row, ok in zip(rows, valid, strict=True)]
    if pa.types.is_list(array.type):
        values = plain(array.values)
        spans = zip(
            array.offsets.to_pylist(), array.offsets.to_pylist()[1:], array.is_valid().to_pylist(), strict=False
        )
        return [values[start:stop] if ok else None for start, stop, ok in spans]
    if pa.types.is_timestamp(array.type):
        return array.cast(pa.timestamp("us", array.type.tz)).cast(pa.int64()).to_pylist()
    if pa.types.is_date(array.type):
        return array.cast(pa.int32()).to_pylist()
    return array.to_pylist()


def moment(text: str, kind: str) -> int:
    """Days or microseconds since 1970 of a text, by Python's own reading."""
    if text[4] in "./":
        text = text[:10].replace(text[4], "-") + text[10:]
    if kind == "DATE":
        return date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()
    said = text.replace(" UTC", "Z").replace("UTC", "Z").replace("z", "Z").replace(",", ".").replace(" +", "+")
    read = datetime.fromisoformat(said)
    gone = (read if read.tzinfo else read.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (gone.days * 86_400 + gone.seconds) * 1_000_000 + gone.microseconds


class Shape:
    """The columns of a lake table as a tree."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._by_place = {(column.parent, column.key): column for column in columns}

    def member(self, parent: int | None, key: str) -> tuple[Column | None, Column | None]:
        """The column of a key, and its sibling."""
        text = json.dumps(key)
        return self._by_place.get((parent, text)), self._by_place.get((parent, text + "#json"))

    def check(self, value: Any, seen: Any, column: Column) -> None:
        """Assert that what SQL gives of a column is the JSON value."""
        if value is None or seen is None:
            assert value is None and seen is None, (value, seen)
            return
        match column.type:
            case "BIGINT":
                assert type(value) is int and seen == value
            case "DOUBLE":
                assert type(value) in (int, float)
                assert same(seen, value)
            case "BOOLEAN":
                assert seen is value
            case "VARCHAR":
                assert seen == value
            case "DATE" | "TIMESTAMP" | "TIMESTAMPTZ":
                assert seen == moment(value, column.type)
            case "JSON":
                assert repr(json.loads(seen)) == repr(value)
            case "LIST":
                (element,) = [each for (parent, _), each in self._by_place.items() if parent == column.field_id]
                assert len(seen) == len(value)
                for a, b in zip(value, seen, strict=True):
                    self.check(a, b, element)
            case "STRUCT":
                assert isinstance(value, dict)
                for key, item in value.items():
                    self.check_member(item, seen, column.field_id, key)
                known = {c.name for key in value for c in self.member(column.field_id, key) if c is not None}
                assert [name for name, item in seen.items() if item is not None and name not in known] == []

    def check_member(self, value: Any, row: Mapping[str, Any], parent: int | None, key: str) -> None:
        """Assert that a member stands in its column or, where it does not fit, in its sibling alone."""
        own, sibling = self.member(parent, key)
        assert own is not None, key
        beside = row.get(sibling.name) if sibling is not None else None
        if beside is not None:
            assert row.get(own.name) is None
            assert repr(json.loads(beside)) == repr(value)
        else:
            self.check(value, row.get(own.name), own)


def same(seen: float, value: float) -> bool:
    """Whether SQL's double is Python's, bit for bit but for −0.0, which decimals do not have, and NaN's kind."""
    if value != value:
        return seen != seen
    return struct.pack("<d", seen + 0.0) == struct.pack("<d", float(value) + 0.0)


def fits(value: Any, kind: str) -> bool:
    """Whether a column of such a type can hold a value, so that it has to stand in it."""
    match kind:
        case "BIGINT":
            return type(value) is int and -(2**63) <= value < 2**63
        case "DOUBLE":
            return type(value) is float or (type(value) is int and abs(value) <= EXACT)
        case "BOOLEAN":
            return type(value) is bool
        case "VARCHAR":
            return type(value) is str and is_text(value)
    return False


def is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def rank(value: float) -> tuple[bool, float]:
    """SQL's order of numbers: NaN after infinity."""
    return (value != value, 0.0 if value != value else value)


# One example: documents saved, asked, compared.


class Run:
    """Documents of one record table, and the lake that holds them."""

    def __init__(self, lake: Lake, number: int, documents: list[list[Row]]) -> None:
        self.lake, self.table = lake, f"rows{number}"
        self.documents = documents
        for place, rows in enumerate(documents):
            source = {"strategy": f"s{place % 2}", "created_at": f"2024-01-0{place + 1}", self.table: rows}
            lake.save(source, task_id=f"{number}-{place}")
        lifted = self.table in lake.tables()
        self.columns = lake.tables()[self.table].columns if lifted else ()
        self.shape = Shape(self.columns)
        # A document whose table has only empty records, or none, keeps it in the envelope.
        self.kept = [
            (f"{number}-{place}", rows) for place, rows in enumerate(documents) if lifted and any(row for row in rows)
        ]
        self.rows = [row for _, rows in self.kept for row in rows]

    def ask(self, select: str, rest: str = "") -> list[tuple[Any, ...]]:
        """The answer to a query over the table."""
        return self.lake.sql(f"SELECT {select} FROM {self.table} {rest}").fetchall()

    def check_rows(self) -> None:
        """Every row of every document is there once, each value in its column or sibling."""
        answer = self.lake.sql(f"SELECT * FROM {self.table}").to_arrow_table()
        names = answer.column_names
        columns = [plain(answer.column(at)) for at in range(len(names))]
        seen: dict[str, list[Row]] = {}
        for values in zip(*columns, strict=True):
            row = dict(zip(names, values, strict=True))
            seen.setdefault(row["task_id"], []).append(row)
        assert {task: len(rows) for task, rows in seen.items()} == {task: len(rows) for task, rows in self.kept}
        for task, rows in self.kept:
            for row, found in zip(rows, seen[task], strict=True):
                for key, value in row.items():
                    self.shape.check_member(value, found, None, key)
                known = {c.name for key in row for c in self.shape.member(None, key) if c is not None}
                own = {"task_id", "strategy", "run_date", "filename", "_pos"}
                extra = [n for n, v in found.items() if v is not None and n not in known and n.lower() not in own]
                assert extra == []

    def check_columns(self) -> None:
        """Aggregates of each column that has values of its own type."""
        for column in self.columns:
            if column.parent is not None or column.key.endswith(("#json", "#ulps")):
                continue
            key, name = json.loads(column.key), quoted(column.name)
            values = [row.get(key) for row in self.rows]
            (sibling,) = self.shape.member(None, key)[1:]
            beside = f"count({quoted(sibling.name)})" if sibling is not None else "0"
            total, own, odd = self.ask(f"count(*), count({name}), {beside}")[0]
            assert total == len(self.rows)
            assert own + odd == sum(value is not None for value in values)
            if column.type in ("BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR"):
                held = [value for value in values if fits(value, column.type)]
                assert own == len(held), (column.type, values)
                (distinct,) = self.ask(f"count(DISTINCT {name})")[0]
                alike = {rank(v) if column.type == "DOUBLE" else v for v in held}
                assert distinct == len(alike)
                if column.type in ("BIGINT", "DOUBLE"):
                    self.check_numbers(name, held)
                if column.type == "VARCHAR":
                    groups = Counter(value if fits(value, "VARCHAR") else None for value in values)
                    assert dict(self.ask(f"{name}, count(*)", "GROUP BY 1")) == groups
                    if held:
                        low, high = (
                            sorted(held, key=str.encode)[:: max(1, len(held) - 1)][:2] if len(held) > 1 else held * 2
                        )
                        assert self.ask(f"min({name}), max({name})") == [(low, high)]

    def check_numbers(self, name: str, held: list[float]) -> None:
        """Extremes and sums of a column of numbers."""
        low, high = self.ask(f"min({name}), max({name})")[0]
        if not held:
            assert low is None and high is None
            return
        assert rank(low) == rank(min(held, key=rank)) and rank(high) == rank(max(held, key=rank))
        if all(type(value) is int for value in held):
            assert int(self.ask(f"sum({name}::HUGEINT)")[0][0]) == sum(held)
            return
        finite = [value for value in held if math.isfinite(value)]
        size = sum(map(abs, map(float, finite)))
        if finite and size < 1e300:
            (total,) = self.ask(f"sum({name}) FILTER (isfinite({name}))")[0]
            assert math.isclose(total, math.fsum(finite), rel_tol=1e-12, abs_tol=size * 1e-12)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def test_sql_over_the_lake_equals_python_over_the_json(tmp_path: Path, dsn: str) -> None:
    numbers = count()
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:

        @relaxed
        @given(st.lists(records(), min_size=1, max_size=5), st.booleans())
        def check(documents: list[list[Row]], units: bool) -> None:
            with units_beside(units):
                run = Run(lake, next(numbers), documents)
            if run.columns:
                run.check_rows()
                run.check_columns()

        check()
        assert len(lake.results(limit=10_000)) > 0


def test_rows_of_many_documents_group_and_filter_as_python_does(tmp_path: Path, dsn: str) -> None:
    numbers = count()
    row = st.fixed_dictionaries(
        {"symbol": st.sampled_from(("A", "B", "ä", ""))},
        optional={
            "size": st.integers(-1000, 1000) | st.sampled_from((2**53 + 1, 2**63, 1.5, None)),
            "price": st.integers(-10_000, 10_000).map(lambda n: n / 100) | st.sampled_from((None, "n/a", -0.0, 1e300)),
            "done": st.booleans(),
        },
    )
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:

        @relaxed
        @given(st.lists(st.lists(row, min_size=1, max_size=8), min_size=2, max_size=5))
        def check(documents: list[list[Row]]) -> None:
            run = Run(lake, next(numbers), documents)
            run.check_rows()
            run.check_columns()
            kinds = {json.loads(c.key): c.type for c in run.columns if not c.key.endswith(("#json", "#ulps"))}
            expected: dict[tuple[str, str], list[Any]] = {}
            for place, rows in enumerate(documents):
                for each in rows:
                    group = expected.setdefault((f"s{place % 2}", each["symbol"]), [0, 0, 0])
                    group[0] += 1
                    size, price = each.get("size"), each.get("price")
                    if fits(size, kinds.get("size", "NULL")):
                        group[1] += size
                    # A column of texts ("n/a" came first) has no prices.
                    number = kinds.get("price") in ("BIGINT", "DOUBLE") and fits(price, kinds["price"])
                    group[2] += number and price > 0
            size = "coalesce(sum(size), 0)" if kinds.get("size") in ("BIGINT", "DOUBLE") else "0"
            price = "count(*) FILTER (price > 0)" if kinds.get("price") in ("BIGINT", "DOUBLE") else "0"
            found = run.ask(f"strategy, symbol, count(*), {size}, {price}", "GROUP BY ALL")
            assert {key[:2]: list(key[2:]) for key in found} == expected

        check()
