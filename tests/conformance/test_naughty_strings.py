"""Texts that break programs, in every place where a lake takes a text: kept exactly, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import lakestore
from lakestore import Lake, layout
from lakestore.errors import InvalidInputError
from tests.conformance.naughty import NAUGHTY


def is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_name(text: str) -> bool:
    """What both a task id and a strategy have to be."""
    return bool(text) and is_text(text) and "\0" not in text and text != "__HIVE_DEFAULT_PARTITION__"


TASK_IDS = [text for text in NAUGHTY if is_name(text) and len(text.encode()) <= 512]
STRATEGIES = [text for text in NAUGHTY if is_name(text) and len(quote(text, safe="")) <= 240]


@pytest.fixture
def lake(tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake that is alone in its folder, the process standing in another; neither ever gets a neighbour."""
    for name in ("outer", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with lakestore.open(tmp_path / "outer" / "lake", dsn=dsn) as lake:
        yield lake
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "outer"]
    assert [path.name for path in (tmp_path / "outer").iterdir()] == ["lake"]
    assert list((tmp_path / "here").iterdir()) == []
    assert not Path("/tmp/lakestore-escaped").exists() and not Path("/lakestore-escaped").exists()
    for path in lake.root.rglob("*"):
        inside = path.relative_to(lake.root).as_posix()
        if path.is_file() and not inside.startswith("_lakestore/"):
            assert layout.parse_data_path(inside) is not None, inside


def column_of(lake: Lake, table: str, key: str) -> str:
    """The SQL name of a record's key, quoted."""
    columns = lake.tables()[table].columns
    (name,) = [column.name for column in columns if column.parent is None and column.key == json.dumps(key)]
    return '"' + name.replace('"', '""') + '"'


def alike(key: str) -> str:
    """What keys of one table share, and that of another one in the same document."""
    return key.lower().rstrip("_")


def test_there_are_hundreds_of_them() -> None:
    assert len(NAUGHTY) >= 400
    assert len(TASK_IDS) >= 350
    assert len(STRATEGIES) >= 350
    assert len(NAUGHTY) - len(STRATEGIES) >= 20


def test_as_keys_of_a_document_and_as_values_in_it(lake: Lake) -> None:
    document = {text: text for text in NAUGHTY if text not in ("strategy", "task_id")}
    lake.save(document, task_id="keys", strategy="s")
    inner = {"strategy": "s", "params": document, "metrics": dict.fromkeys(NAUGHTY, 1.5), "list": NAUGHTY}
    lake.save(inner, task_id="inner")
    for task_id, value in (("keys", document), ("inner", inner)):
        assert lake.load(task_id).document == value
        assert list(lake.load(task_id).document) == list(value)
    (stored,) = lake.sql("SELECT params FROM results WHERE task_id = 'inner'").fetchall()
    found = json.loads(stored[0])
    # The searchable copy may adapt what JSONB cannot hold, nothing else.
    kept = [text for text in NAUGHTY if is_text(text) and "\0" not in text]
    assert [text for text in kept if text in document and found.get(text) != text] == []


@pytest.mark.parametrize("ascii", [True, False])
def test_as_keys_of_records(lake: Lake, ascii: bool) -> None:
    rows = [{text: place for place, text in enumerate(NAUGHTY)}, {text: -place for place, text in enumerate(NAUGHTY)}]
    source = json.dumps({"strategy": "s", "rows": rows}, ensure_ascii=ascii, indent=1)
    if not ascii:
        # Lone surrogates have no bytes of their own.
        source = source.encode("utf-8", "backslashreplace").decode()
    lake.save(source, task_id="t")
    assert lake.load("t").to_json() == source.encode()
    assert lake.load("t").document["rows"] == rows
    tables = lake.tables()["rows"].columns
    names = [column.name for column in tables if column.parent is None]
    assert len({name.casefold() for name in names}) == len(names) or len({name.lower() for name in names}) == len(names)


def test_as_keys_of_records_sql_finds_each_column(lake: Lake) -> None:
    # Records of more keys than a table takes columns stay JSON; here each has its column.
    for number, some in enumerate(batched(NAUGHTY, 100)):
        table = f"rows{number}"
        rows = [{text: place for place, text in enumerate(some)}]
        lake.save({"strategy": "s", table: rows}, task_id=table)
        assert lake.load(table).document[table] == rows
        names = [column_of(lake, table, text) for text in some]
        assert lake.sql(f"SELECT {', '.join(names)} FROM {table}").fetchall() == [tuple(range(len(some)))]


def test_as_values_of_records(lake: Lake) -> None:
    rows: list[dict[str, Any]] = [{"n": at, "v": text, "inner": {"v": [text]}} for at, text in enumerate(NAUGHTY)]
    lake.save({"strategy": "s", "rows": rows}, task_id="t")
    assert lake.load("t").document["rows"] == rows
    con = lake.connect()
    lone = [at for at, text in enumerate(NAUGHTY) if not is_text(text)]
    # A text that is not Unicode stands as JSON in the sibling.
    assert con.execute("SELECT n, v FROM rows WHERE v__json IS NOT NULL ORDER BY n").fetchall() == [
        (at, None) for at in lone
    ]
    for at, text in enumerate(NAUGHTY):
        if is_text(text):
            assert con.execute("SELECT n FROM rows WHERE v = ?", [text]).fetchall() == [(at,)], text
    con.close()


def test_as_texts_of_one_kind_in_columns_of_their_own(lake: Lake) -> None:
    texts = [text for text in NAUGHTY if is_text(text)]
    for number, some in enumerate(batched(texts, 150)):
        table = f"rows{number}"
        lake.save({"strategy": "s", table: [{str(at): text for at, text in enumerate(some)}]}, task_id=table)
        names = ", ".join(column_of(lake, table, str(at)) for at in range(len(some)))
        found = lake.sql(f"SELECT {names} FROM {table}").to_arrow_table().to_pylist()[0].values()
        # Some look like times and have become such; the rest is the text itself.
        assert [a for a, b in zip(found, some, strict=True) if isinstance(a, str) and a != b] == []
        assert list(lake.load(table).document[table][0].values()) == list(some)


def test_as_keys_of_record_tables(lake: Lake) -> None:
    texts = [text for text in NAUGHTY if text not in ("strategy", "task_id")]
    for number, some in enumerate(batched(texts, 60)):
        document = {text: [{"n": number * 60 + place}] for place, text in enumerate(some)}
        lake.save(document, task_id=f"t{number}", strategy="s")
        assert lake.load(f"t{number}").document == document
    # Keys that differ in case alone are one table; of two in one document the second has a table by another name.
    con = lake.connect()
    rows: dict[str, set[int]] = {}
    for table in lake.tables().values():
        found = {n for (n,) in con.execute(f'SELECT n FROM "{table.name}"').fetchall()}
        rows.setdefault(alike(json.loads(table.key)), set()).update(found)
    places: dict[str, set[int]] = {}
    for place, text in enumerate(texts):
        places.setdefault(alike(text), set()).add(place)
    assert rows == places
    con.close()


def test_as_strategies_and_task_ids(lake: Lake) -> None:
    names = [text for text in TASK_IDS if text in set(STRATEGIES)]
    for place, text in enumerate(names):
        info = lake.save({"strategy": text, "task_id": text, "rows": [{"n": place}]})
        assert (info.task_id, info.strategy) == (text, text)
    seen = lake.sql("SELECT n, strategy, task_id FROM rows ORDER BY n").fetchall()
    assert seen == [(place, text, text) for place, text in enumerate(names)]
    assert {(info.task_id, info.strategy) for info in lake.results(limit=10_000)} == {(text, text) for text in names}
    for place, text in enumerate(names):
        assert lake.load(text).document == {"strategy": text, "task_id": text, "rows": [{"n": place}]}
    for place, text in list(enumerate(names))[::12]:
        assert lake.sql("SELECT n FROM rows WHERE strategy = ?", [text]).fetchall() == [(place,)], text
        literal = "'" + text.replace("'", "''") + "'"
        assert lake.sql(f"SELECT n FROM rows WHERE task_id = {literal}").fetchall() == [(place,)], text
        assert [info.task_id for info in lake.results(strategy=text)] == [text]
    for text in names[::40]:
        lake.delete(text)
        assert not lake.exists(text)


def test_task_ids_that_no_directory_could_hold(lake: Lake) -> None:
    for text in (text for text in TASK_IDS if text not in STRATEGIES):
        assert lake.save({"rows": [{"v": 1}]}, task_id=text, strategy="s").task_id == text
        assert lake.load(text).document == {"rows": [{"v": 1}]}
        assert lake.sql("SELECT v FROM rows WHERE task_id = ?", [text]).fetchall() == [(1,)]


def test_beyond_the_limits_of_identity_they_are_refused_by_name(lake: Lake) -> None:
    before = sorted(lake.root.rglob("*"))
    for text in (text for text in NAUGHTY if text not in TASK_IDS):
        with pytest.raises(InvalidInputError, match=r"^task_id "):
            lake.save({"strategy": "s", "rows": [{"v": 1}]}, task_id=text)
        with pytest.raises(InvalidInputError, match=r"^task_id "):
            lake.save({"strategy": "s", "task_id": text, "rows": [{"v": 1}]})
        assert not lake.exists(text)
    for text in (text for text in NAUGHTY if text not in STRATEGIES):
        with pytest.raises(InvalidInputError, match=r"^strategy "):
            lake.save({"rows": [{"v": 1}]}, strategy=text)
        with pytest.raises(InvalidInputError, match=r"^strategy "):
            lake.save({"strategy": text, "rows": [{"v": 1}]})
    assert sorted(lake.root.rglob("*")) == before
    assert lake.results() == []
    assert lake.tables() == {}


def batched(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Runs of so many."""
    return (texts[at : at + size] for at in range(0, len(texts), size))
