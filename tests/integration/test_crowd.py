"""Writers, readers and upkeep at once: no error but expected ones, every answer some committed state, an exact end."""

from __future__ import annotations

import gzip
import math
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

import lakestore
from lakestore import Lake, Result, ResultManager
from lakestore.errors import CatalogError
from tests.crowd import crowd
from tests.lake_state import check, document


def test_a_crowd_sees_whole_results_and_leaves_what_it_says(tmp_path: Path, dsn: str) -> None:
    members = {"own": 2, "shared": 2, "loads": 1, "queries": 1, "upkeep": 1}
    told = crowd(tmp_path / "lake", dsn, 5.0, members)
    assert all(each.done for each in told)
    assert sum(each.refused["already_exists"] for each in told if each.role == "shared") > 0
    assert not [each for each in told if each.role == "own" and each.refused]


@pytest.fixture
def lake(tmp_path: Path, dsn: str) -> Iterator[Lake]:
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        lake.save(document("a"), task_id="a")
        yield lake


_inherited: list[Lake] = []


def _save(n: int) -> int:
    (lake,) = _inherited
    lake.save(document(f"w{n}"), task_id=f"w{n}")
    return lake.load(f"w{n}").info.json_size


def test_forked_workers_use_a_lake_that_their_parent_opened(lake: Lake) -> None:
    _inherited[:] = [lake]
    try:
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
            assert all(pool.map(_save, range(8)))
    finally:
        _inherited.clear()
    # The parent's own connections are as they were.
    check(lake, {"a": document("a"), **{f"w{n}": document(f"w{n}") for n in range(8)}})


def _open_and_save(root: Path, dsn: str, n: int) -> None:
    with lakestore.open(root, dsn=dsn, create=False) as lake:
        lake.save(document(f"w{n}"), task_id=f"w{n}")


def test_spawned_workers_open_the_lake_themselves(lake: Lake) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(_open_and_save, lake.root, lake.conninfo, n) for n in range(4)]:
            done.result()
    assert len(lake.results()) == 5


def _save_there(lake: Lake, n: int) -> int:
    with lake:
        lake.save(document(f"w{n}"), task_id=f"w{n}")
        return len(lake.results())


@pytest.mark.parametrize("embedded", [True, False])
def test_a_lake_sent_to_a_worker_is_opened_there(tmp_path: Path, dsn: str, embedded: bool) -> None:
    with lakestore.open(tmp_path / "lake", dsn="" if embedded else dsn) as lake:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            assert pool.submit(_save_there, lake, 1).result() == 1
        check(lake, {"w1": document("w1")})
    with pytest.raises(CatalogError, match="was closed"):
        pickle.dumps(lake)


def _load_there(lake: Lake, task_id: str) -> Result:
    with lake:
        return lake.load(task_id)


def test_a_result_that_a_worker_loaded_comes_whole(tmp_path: Path, dsn: str) -> None:
    given = pa.table(
        {"side": pa.array(["b", None, "s"]).dictionary_encode(), "at": pa.array([1, 2, None], "time32[s]")}
    )
    several = gzip.decompress(next(Path("examples/freqtrade").glob("*2026-04-03*")).read_bytes())
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        lake.save(several, task_id="several")
        lake.save({"strategy": "s", "nan": math.nan}, tables={"fills": given}, task_id="given")
        lake.save({"strategy": "s"}, task_id="none")
        for task_id in ("several", "given", "none"):
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                there = pool.submit(_load_there, lake, task_id).result()
            here = lake.load(task_id)
            assert there.info == here.info and there.to_json() == here.to_json()
            assert repr(there.document) == repr(here.document)
            assert there.tables.keys() == here.tables.keys()
            assert all(there.tables[name].equals(table) for name, table in here.tables.items())
        # The lake is of no use to it any more.
        lake.delete("several")
    assert len(pickle.loads(pickle.dumps(there)).to_json()) == len(there.to_json())


def _manage_there(manager: ResultManager, task_id: str) -> str:
    with manager:
        manager.save_result(task_id, {"strategy": "s", "id": task_id})
        return repr(manager)


@pytest.mark.parametrize("mode", ["json", "dual", "lake"])
def test_a_manager_sent_to_a_worker_is_opened_there(tmp_path: Path, dsn: str, mode: str) -> None:
    settings = {"json_root": tmp_path / "tree", "lake": tmp_path / "lake", "dsn": dsn, "environ": {}}
    with ResultManager.from_env(mode=mode, **settings) as manager:
        manager.save_result("a", {"strategy": "s", "id": "a"})
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            assert pool.submit(_manage_there, manager, "b").result() == repr(manager)
        assert {info.task_id for info in manager.list_results()} == {"a", "b"}
        with pytest.raises(TypeError, match="make one in each process"):
            pickle.dumps(ResultManager("json", manager.storage))


def test_many_threads_share_one_lake(lake: Lake) -> None:
    def work(n: int) -> int:
        lake.save(document(f"t{n}"), task_id=f"t{n}")
        assert lake.load(f"t{n}").to_json() == document(f"t{n}")
        return int(lake.sql("SELECT count(*) FROM signals WHERE task_id = ?", [f"t{n}"]).fetchall()[0][0])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(work, range(40))) == [5] * 40
    assert len(lake.results()) == 41


@pytest.mark.parametrize("dsn_given", [True, False])
def test_a_lake_that_was_closed_says_so_at_once(tmp_path: Path, dsn: str, dsn_given: bool) -> None:
    lake = lakestore.open(tmp_path / "lake", dsn=dsn if dsn_given else "")
    lake.save(document("a"), task_id="a")
    result, con = lake.load("a"), lake.connect()
    lake.close()
    lake.close()
    calls = (
        lambda: lake.save(document("b")), lambda: lake.load("a"), lambda: lake.sql("SELECT 1"), lake.results,
        lake.files, lake.tables, lake.connect, lake.doctor, lambda: lake.delete("a"), lambda: lake.exists("a"),
        lambda: lake.refresh(con), lambda: lake.save_many([]),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(CatalogError, match="was closed; open it again"):
            call()
    # What was got before goes on: its files are there.
    assert result.to_json() == document("a")
    assert con.execute("SELECT count(*) FROM signals").fetchall() == [(5,)]
    con.close()


def test_closing_while_others_work_hangs_nobody(tmp_path: Path, dsn: str) -> None:
    lake = lakestore.open(tmp_path / "lake", dsn=dsn)
    ends: list[str] = []

    def work(name: int) -> None:
        try:
            for n in range(10_000):
                lake.save(document(f"{name}-{n}"), task_id=f"{name}-{n}")
        except CatalogError as exc:
            ends.append(str(exc))

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in range(4)]
    for thread in threads:
        thread.start()
    while len(lake.results(limit=8)) < 8:
        pass
    lake.close()
    for thread in threads:
        thread.join(30)
    assert len(ends) == 4 and all("closed" in end for end in ends)


def test_a_notebook_that_restarts_finds_its_lake(tmp_path: Path) -> None:
    """A kernel is killed with its lake open; the next one opens it, and nobody's server is left at the end."""
    root = tmp_path / "lake"
    script = (
        "import os, sys, lakestore\n"
        "lake = lakestore.open(sys.argv[1], dsn='')\n"
        "lake.save({'strategy': 's', 'n': int(sys.argv[2])}, task_id=sys.argv[2])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    for n in range(3):
        killed = subprocess.run([sys.executable, "-c", script, str(root), str(n)])
        assert killed.returncode == -9
    with lakestore.open(root, dsn="", create=False) as lake:
        assert {info.task_id for info in lake.results()} == {"0", "1", "2"}


def test_two_lakes_in_one_process_keep_to_themselves(tmp_path: Path, dsn: str) -> None:
    with lakestore.open(tmp_path / "one", dsn=dsn) as one, lakestore.open(tmp_path / "two", dsn="") as two:
        one.save(document("a"), task_id="a")
        two.save(document("a", 1), task_id="a")
        check(one, {"a": document("a")})
        check(two, {"a": document("a", 1)})
        with pytest.raises(CatalogError, match="belongs to lake"):
            lakestore.open(tmp_path / "two", dsn=dsn)
    assert os.path.isdir(tmp_path / "one")
