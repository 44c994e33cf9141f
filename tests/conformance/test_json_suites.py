"""JSONTestSuite and nativejson: what Python's `json` reads comes back exactly, what it refuses leaves no trace."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import lakestore
from lakestore.codec import decode
from lakestore.errors import InvalidInputError
from tests.conformance.suites import accepted, members, value, within
from tests.schemas import MemorySchema, store

PARSING = members("JSONTestSuite.zip", "test_parsing/")
TRANSFORMS = members("JSONTestSuite.zip", "test_transform/")
ROUND_TRIPS = members("nativejson_roundtrip.zip", "data/roundtrip/")
TEXTS = [("parsing/" + n, t) for n, t in PARSING] + [("transform/" + n, t) for n, t in TRANSFORMS]
TEXTS += [("roundtrip/" + n, t) for n, t in ROUND_TRIPS]
GOOD = [pytest.param(text, id=name) for name, text in TEXTS if accepted(text)]
BAD = [pytest.param(text, id=name) for name, text in TEXTS if not accepted(text)]
GOOD_WITHIN = [pytest.param(within(text), id=name) for name, text in TEXTS if accepted(within(text))]
BAD_WITHIN = [pytest.param(within(text), id=name) for name, text in TEXTS if not accepted(within(text))]

POSITION = re.compile(r"line \d+ column \d+ \(character \d+\)|byte \d+|is empty|nested too deep")


def test_the_suites_are_all_there() -> None:
    assert (len(PARSING), len(TRANSFORMS), len(ROUND_TRIPS)) == (318, 22, 27)
    names = {name for name, text in PARSING if accepted(text)}
    assert {name for name, _ in PARSING if name.startswith("y_")} <= names
    # Python's json reads NaN and the infinities, which the standard does not know.
    strange = {"n_number_NaN.json", "n_number_infinity.json", "n_number_minus_infinity.json"}
    assert {name for name in names if name.startswith("n_")} == strange
    assert len(GOOD) > 150 and len(BAD) > 150


def check_comes_back(text: bytes) -> None:
    stored = store(text, MemorySchema())
    assert stored.text() == text
    assert repr(decode.value_of(stored.text(), stored.envelope, "it")) == repr(value(text))


@pytest.mark.parametrize("text", GOOD)
def test_what_json_reads_comes_back_byte_for_byte_and_by_value(text: bytes) -> None:
    check_comes_back(text)


@pytest.mark.parametrize("text", GOOD_WITHIN)
def test_the_same_as_a_value_and_in_a_record(text: bytes) -> None:
    check_comes_back(text)


@pytest.mark.parametrize("text", [*BAD, *BAD_WITHIN])
def test_what_json_refuses_is_refused_with_its_position(text: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        store(text, MemorySchema())
    assert POSITION.search(str(caught.value)), caught.value


def test_one_schema_takes_all_of_them_one_after_the_other() -> None:
    schema = MemorySchema()
    texts = [param.values[0] for param in (*GOOD, *GOOD_WITHIN)]
    stored = [store(text, schema) for text in texts]
    assert [each.text() for each in stored] == texts


def written(root: Path) -> list[str]:
    """Every file and folder of a lake."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def rows(dsn: str) -> dict[str, int]:
    """Rows of every table of the catalog."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        found = conn.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        names = [sql.Identifier(*name) for name in found]
        counts = [conn.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchone() for name in names]
    return {".".join(name): count[0] for name, count in zip(found, counts, strict=True) if count is not None}


def test_refused_documents_leave_no_trace_in_lake_or_catalog(tmp_path: Path, dsn: str) -> None:
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        lake.save({"strategy": "s", "rows": [{"v": 1}]}, task_id="before")
        before = written(lake.root), rows(dsn)
        assert sum(before[1].values()) > 3
        for place, param in enumerate([*BAD, *BAD_WITHIN]):
            with pytest.raises(InvalidInputError):
                lake.save(param.values[0], task_id=f"t{place}", strategy="s")
        assert (written(lake.root), rows(dsn)) == before


def test_a_lake_gives_back_every_accepted_document(tmp_path: Path, dsn: str) -> None:
    # Scalars at the top are documents of the codec, but lakestore asks for a strategy beside them.
    texts = [param.values[0] for param in (*GOOD, *GOOD_WITHIN)]
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        for place, text in enumerate(texts):
            lake.save(text, task_id=f"t{place}", strategy="s")
        for place, text in enumerate(texts):
            result = lake.load(f"t{place}")
            assert result.to_json() == text
            assert repr(result.document) == repr(value(text))
        assert len(lake.results(limit=10_000)) == len(texts)
