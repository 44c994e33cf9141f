"""Servers, databases and roles that are set otherwise than PostgreSQL comes: nothing of a lake depends on it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

import lakestore
from lakestore import Item
from lakestore.errors import CatalogError
from lakestore.maintenance import compact, rebuild, restore, sync, vacuum, verify
from lakestore.migrate import migrate
from tests.lake_state import check, document

SETTINGS = {
    "isolation": ["default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on"],
    "strings": ["standard_conforming_strings = off", "backslash_quote = off"],
    "nulls": ["array_nulls = off", "transform_null_equals = on"],
    "times": ["TimeZone = 'America/St_Johns'", "DateStyle = 'German, DMY'", "IntervalStyle = 'sql_standard'"],
    "texts": ["client_encoding = 'LATIN1'", "extra_float_digits = -15", "bytea_output = 'escape'"],
    "plans": ["plan_cache_mode = 'force_generic_plan'", "enable_seqscan = off", "work_mem = '64kB'"],
    "identifiers": ["quote_all_identifiers = on", "row_security = off", "check_function_bodies = off"],
}
TASK_IDS = ("a", "B", "ä", "Z", "_", "a-b", "ab", "10", "9", "É", "a'b\\c")


def set_all(dsn: str, settings: list[str]) -> None:
    """Let new sessions of a database begin so, as ALTER ROLE and postgresql.conf do."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        name = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
        for setting in settings:
            conn.execute(sql.SQL("ALTER DATABASE {} SET {}").format(name, sql.SQL(setting)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_lake_does_the_same_however_its_server_is_set(kind: str, tmp_path: Path, dsn: str) -> None:
    set_all(dsn, SETTINGS[kind])
    live = {task_id: document(task_id) for task_id in TASK_IDS}
    pile = tmp_path / "pile"
    pile.mkdir()
    (pile / "migrated.json").write_bytes(document("migrated"))
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        for task_id, text in live.items():
            lake.save(text, task_id=task_id)
        live["a"] = document("a", 1)
        lake.save(live["a"], task_id="a", replace=True)
        live |= {f"many {n}": document(f"many {n}") for n in range(3)}
        lake.save_many([Item(document=text, task_id=name) for name, text in live.items() if name.startswith("many")])
        lake.delete("B")
        restore(lake, "B")
        assert [each.problem for each in compact(lake, partition="month") if each.problem] == []
        assert migrate(lake, [pile]).outcomes == {"saved": 1}
        live["migrated"] = document("migrated")
        check(lake, live)
        infos = lake.results(limit=100)
        assert infos == sorted(infos, key=lambda each: (-each.created_at.timestamp(), each.task_id.encode()))
        pages = [lake.results(limit=4)]
        while pages[-1]:
            pages.append(lake.results(limit=4, after=pages[-1][-1]))
        assert [info for page in pages for info in page] == infos
        assert [each for each in verify(lake) if each.problem] == [] and list(sync(lake, deep=True)) == []
        vacuum(lake, older_than=timedelta())
        check(lake, live)
    assert rebuild(tmp_path / "lake", dsn=dsn).results == len(live)
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        check(lake, live)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("default_transaction_read_only = on", "default_transaction_read_only"),
        ("statement_timeout = '1ms'", "raise statement_timeout"),
    ],
)
def test_a_server_that_lets_nothing_be_done_is_named_with_its_setting(
    setting: str, says: str, tmp_path: Path, dsn: str
) -> None:
    set_all(dsn, [setting])
    with pytest.raises(CatalogError, match=f"cannot open the catalog: .*; .*{says}"):
        lakestore.open(tmp_path / "lake", dsn=dsn)
