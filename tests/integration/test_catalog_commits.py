"""Commits: all of a result or nothing; replaced and deleted ones are let go, and nothing that others need."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from lakestore.catalog import Catalog
from lakestore.catalog.snapshot import Wanted
from lakestore.errors import AlreadyExistsError, ConflictError, InvalidInputError
from lakestore.model import NewFile, NewResult, RowSpan

Make = Callable[..., Any]


def live_paths(catalog: Catalog) -> set[str]:
    return {file.path for file in catalog.snapshot(Wanted(results=None)).files}


def count(dsn: str, query: str) -> Any:
    with psycopg.connect(dsn) as conn:
        row = conn.execute(query).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture
def shared(make_save: Make) -> tuple[list[NewResult], list[NewFile]]:
    """Three results `a`, `b`, `c` whose rows lie in one file."""
    path = f"trades/strategy=x/run_date=2024-05-06/{uuid4()}.parquet"
    file = NewFile("trades", path, "sma", date(2024, 5, 6), 30, 900, bytes(32))
    results = [
        replace(make_save(task_id, tables=()).result, spans=(RowSpan(path, "trades", "sma", 10 * i, 10),))
        for i, task_id in enumerate("abc")
    ]
    return results, [file]


def test_what_was_committed_is_read_as_it_was_given(catalog: Catalog, make_save: Make) -> None:
    save = make_save("a", params={"n": 20, "big": 2**70}, metrics={"sharpe": 1.25, "list": [None, "x"]})
    assert catalog.get("a") is None
    assert catalog.locate("a") is None
    catalog.commit([save.result], save.files)
    assert catalog.get("a") == save.result.info
    assert catalog.locate("a") == (save.result.info, save.result.spans)


def test_a_result_without_rows_has_no_spans(catalog: Catalog, make_save: Make) -> None:
    save = make_save("a", tables=())
    catalog.commit([save.result], save.files)
    assert catalog.locate("a") == (save.result.info, ())


def test_a_taken_task_id_is_refused_and_nothing_of_the_commit_is_done(
    catalog: Catalog, make_save: Make, caplog: pytest.LogCaptureFixture
) -> None:
    first, again, new = make_save("a"), make_save("a"), make_save("b")
    catalog.commit([first.result], first.files)
    with pytest.raises(AlreadyExistsError, match="'a'"):
        catalog.commit([new.result, again.result], [*new.files, *again.files])
    assert catalog.get("a") == first.result.info
    assert catalog.get("b") is None
    assert live_paths(catalog) == {file.path for file in first.files}
    # What the driver logs as a warning would end up on the user's terminal.
    assert caplog.messages == []


def test_the_same_write_may_be_committed_again(catalog: Catalog, make_save: Make) -> None:
    save = make_save("a")
    for replace_it in (False, False, True):
        catalog.commit([save.result], save.files, replace=replace_it)
    assert catalog.get("a") == save.result.info
    assert live_paths(catalog) == {file.path for file in save.files}


def test_a_replacement_lets_the_old_version_go_and_remembers_it(catalog: Catalog, make_save: Make, dsn: str) -> None:
    old, new = make_save("a", params={"v": 1}), make_save("a", params={"v": 2})
    catalog.commit([old.result], old.files)
    catalog.commit([new.result], new.files, replace=True)
    assert catalog.get("a") == new.result.info
    assert live_paths(catalog) == {file.path for file in new.files}
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT replaces FROM backtest_results").fetchall() == [(old.write_id,)]
        gone = conn.execute("SELECT write_id, task_id, reason, row->'params'->'v' FROM deleted_results").fetchall()
        assert gone == [(old.write_id, "a", "replaced", 1)]
        spans = conn.execute("SELECT count(*) FROM result_files WHERE write_id = %s", [old.write_id]).fetchone()
        assert spans == (len(old.files),)


def test_what_was_let_go_can_be_put_back_exactly(catalog: Catalog, make_save: Make, dsn: str) -> None:
    save = make_save("é\n", params={"x": [1.5, 10**30]}, strategies=("sma", "b"), status='st"at')
    catalog.commit([save.result], save.files)
    catalog.delete("é\n")
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "INSERT INTO backtest_results "
            "SELECT r.* FROM deleted_results, jsonb_populate_record(null::backtest_results, row) r"
        )
    assert catalog.get("é\n") == save.result.info


def test_a_replacement_of_what_is_not_there_is_a_save(catalog: Catalog, make_save: Make) -> None:
    save = make_save("a")
    catalog.commit([save.result], save.files, replace=True)
    assert catalog.get("a") == save.result.info


def test_a_replacement_loses_to_one_that_came_first(catalog: Catalog, make_save: Make) -> None:
    old, first = make_save("a"), make_save("a")
    catalog.commit([old.result], old.files)
    catalog.commit([first.result], first.files, replace=True)
    late = make_save("a", replaces=old.write_id)
    with pytest.raises(ConflictError, match="'a'"):
        catalog.commit([late.result], late.files, replace=True)
    assert catalog.get("a") == first.result.info
    catalog.delete("a")
    with pytest.raises(ConflictError, match="'a'"):
        catalog.commit([late.result], late.files, replace=True)
    assert catalog.get("a") is None


def test_a_delete_lets_its_files_go_and_says_which_write_it_was(catalog: Catalog, make_save: Make, dsn: str) -> None:
    save, other = make_save("a"), make_save("b")
    catalog.commit([save.result, other.result], [*save.files, *other.files])
    assert catalog.delete("a") == save.write_id
    assert catalog.get("a") is None
    assert catalog.locate("a") is None
    assert catalog.delete("a") is None
    assert live_paths(catalog) == {file.path for file in other.files}
    assert count(dsn, "SELECT count(*) FROM data_files WHERE let_go_at IS NOT NULL") == len(save.files)
    assert count(dsn, "SELECT reason FROM deleted_results") == "deleted"


def test_a_task_id_can_be_saved_again_after_its_delete(catalog: Catalog, make_save: Make) -> None:
    first, second = make_save("a"), make_save("a")
    catalog.commit([first.result], first.files)
    catalog.delete("a")
    catalog.commit([second.result], second.files)
    assert catalog.get("a") == second.result.info


def test_rows_in_a_file_that_others_need_become_dead(
    catalog: Catalog, shared: tuple[list[NewResult], list[NewFile]], make_save: Make
) -> None:
    catalog.commit(*shared)
    catalog.delete("b")
    new = make_save("a")
    catalog.commit([new.result], new.files, replace=True)
    dead = {file.path: file.dead for file in catalog.snapshot().files}
    assert dead[shared[1][0].path] == ("a", "b")
    assert all(dead[file.path] == () for file in new.files)
    assert catalog.locate("c") == (
        shared[0][2].info,
        (RowSpan(shared[1][0].path, "trades", "sma", 20, 10, bytes(32), 900),),
    )
    catalog.delete("c")
    assert live_paths(catalog) == {file.path for file in new.files}


def test_a_shared_file_goes_with_the_last_result_that_needs_it(
    open_catalog: Callable[..., Catalog], catalog: Catalog, shared: tuple[list[NewResult], list[NewFile]]
) -> None:
    catalog.commit(*shared)
    threads = [threading.Thread(target=open_catalog().delete, args=(task_id,)) for task_id in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert live_paths(catalog) == set()


def test_a_whole_batch_can_be_replaced_at_once(
    catalog: Catalog, shared: tuple[list[NewResult], list[NewFile]], make_save: Make
) -> None:
    catalog.commit(*shared)
    saves = [make_save(task_id) for task_id in "cbad"]
    catalog.commit([s.result for s in saves], [f for s in saves for f in s.files], replace=True)
    assert live_paths(catalog) == {file.path for save in saves for file in save.files}
    assert [info.task_id for info in catalog.results()] == list("abcd")


def test_of_savers_of_one_task_id_exactly_one_wins(
    open_catalog: Callable[..., Catalog], catalog: Catalog, make_save: Make
) -> None:
    saves = [make_save("a") for _ in range(6)]
    refused: list[str] = []

    def run(other: Catalog, save: Any) -> None:
        try:
            other.commit([save.result], save.files)
        except AlreadyExistsError:
            refused.append("a")

    threads = [threading.Thread(target=run, args=(open_catalog(), save)) for save in saves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 5
    info = catalog.get("a")
    assert info is not None
    winner = next(save for save in saves if save.write_id == info.write_id)
    assert live_paths(catalog) == {file.path for file in winner.files}


def test_of_replacements_at_once_each_takes_the_one_before(
    open_catalog: Callable[..., Catalog], catalog: Catalog, make_save: Make, dsn: str
) -> None:
    failures: list[BaseException] = []

    def run(other: Catalog) -> None:
        try:
            for _ in range(5):
                pair = [make_save("a"), make_save("b")]
                other.commit([s.result for s in pair], [f for s in pair for f in s.files], replace=True)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=run, args=(open_catalog(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert count(dsn, "SELECT count(*) FROM deleted_results") == 2 * 19
    assert len(live_paths(catalog)) == 4
    chain = count(
        dsn, "SELECT count(DISTINCT row->>'replaces') FROM deleted_results WHERE row->>'replaces' IS NOT NULL"
    )
    assert chain == 2 * 18


def test_what_does_not_fit_together_is_refused(catalog: Catalog, make_save: Make) -> None:
    a, b = make_save("a"), make_save("a")
    with pytest.raises(InvalidInputError, match="'a' stands 2 times"):
        catalog.commit([a.result, b.result], [*a.files, *b.files])
    with pytest.raises(InvalidInputError, match=r"not in this commit"):
        catalog.commit([a.result], [])
    with pytest.raises(InvalidInputError, match="without results"):
        catalog.commit([], a.files)
    for bad in (make_save("x\0"), make_save("x\ud800"), make_save("x", strategy="\0"), make_save("x", status="\udfff")):
        with pytest.raises(InvalidInputError, match="NUL or a lone surrogate"):
            catalog.commit([bad.result], bad.files)
    assert live_paths(catalog) == set()


def test_a_file_is_in_the_catalog_once(catalog: Catalog, make_save: Make) -> None:
    a, b = make_save("a"), make_save("b")
    catalog.commit([a.result], a.files)
    stolen = replace(b.result, spans=a.result.spans)
    with pytest.raises(InvalidInputError, match="data file"):
        catalog.commit([stolen], a.files)
    assert catalog.get("b") is None


def test_parameters_that_jsonb_cannot_hold_are_refused(catalog: Catalog, make_save: Make) -> None:
    save = make_save("a")
    for text in ('{"a": NaN}', '{"a": "\\u0000"}', "{", "[" * 100_000 + "]" * 100_000):
        with pytest.raises(InvalidInputError, match="'a'"):
            catalog.commit([replace(save.result, params=text)], save.files)
    assert catalog.get("a") is None


@pytest.mark.parametrize("set_to, used", [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")])
def test_a_commit_waits_for_the_log_whatever_the_database_says(
    open_catalog: Callable[..., Catalog], make_save: Make, dsn: str, set_to: str, used: str
) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        name = conn.info.dbname
        conn.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = {set_to}')  # type: ignore[arg-type]
        catalog = open_catalog()
        # The server itself notes the setting that each commit was made with.
        conn.execute("CREATE TABLE seen (setting text)")
        conn.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$"
        )
        conn.execute("CREATE TRIGGER t AFTER INSERT OR DELETE ON backtest_results FOR EACH ROW EXECUTE FUNCTION note()")
        conn.execute("CREATE TRIGGER t AFTER INSERT ON lake_tables FOR EACH ROW EXECUTE FUNCTION note()")
        save = make_save("a")
        catalog.commit([save.result], save.files)
        catalog.delete("a")
        catalog.table_for('"t"', "t")
        assert conn.execute("SELECT setting FROM seen").fetchall() == [(used,)] * 3
