"""Several processes on one lake with its own catalog: saving, querying, killed, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import lakestore

WRITER = """
import sys, lakestore
root, name = sys.argv[1:]
with lakestore.open(root, dsn="") as lake:
    print("open", flush=True)
    for n in range(1_000_000):
        document = {"strategy": name, "n": n, "signals": [{"price": n + 0.25, "place": i} for i in range(20)]}
        info = lake.save(document, task_id=f"{name}-{n}")
        print(info.task_id, flush=True)
"""


def writer(root: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(root), name], stdout=subprocess.PIPE, text=True)


def acknowledged(process: subprocess.Popen[str], enough: int) -> list[str]:
    """The ids that a writer printed, at least so many."""
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return [process.stdout.readline().strip() for _ in range(enough)]


def servers(root: Path) -> list[int]:
    """Processes of a postgres or a supervisor that name the lake."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(root).encode() in line and b"-c\0\nimport sys, lakestore" not in line:
                found.append(int(entry.name))
    return found


def test_two_write_a_third_queries_one_is_killed_and_nobody_is_left(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    with writer(root, "a") as a, writer(root, "b") as b:
        saved = acknowledged(a, 10) + acknowledged(b, 10)
        with lakestore.open(root, dsn="") as lake:
            for _ in range(5):
                rows, results = lake.sql(
                    "SELECT (SELECT count(*) FROM signals), (SELECT count(*) FROM results)"
                ).fetchall()[0]
                # A reader sees all of a result or none of it.
                assert rows == 20 * results and results >= 20
            a.send_signal(signal.SIGKILL)
            a.wait()
            assert b.stdout is not None
            more = [b.stdout.readline().strip() for _ in range(10)]
            for task_id in saved + more:
                name, _, n = task_id.partition("-")
                assert lake.load(task_id).document["n"] == int(n)
                assert lake.info(task_id).strategy == name
            b.send_signal(signal.SIGKILL)
            b.wait()
            count = lake.sql("SELECT count(*) FROM results").fetchall()[0][0]
            assert lake.sql("SELECT count(*) FROM signals").fetchall() == [(20 * count,)]
            names = list(root.rglob("*.parquet"))
            assert all(path.stat().st_size > 0 for path in names)
    deadline = time.monotonic() + 10
    while servers(root) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers(root) == []


def test_eight_processes_make_one_lake_of_a_new_directory(tmp_path: Path) -> None:
    root = tmp_path / "new" / "lake"
    script = (
        "import sys, lakestore\n"
        "with lakestore.open(sys.argv[1], dsn='') as lake:\n"
        "    lake.save({'strategy': 's', 'rows': [{'v': int(sys.argv[2])}]}, task_id=sys.argv[2])\n"
    )
    made = [subprocess.Popen([sys.executable, "-c", script, str(root), str(n)]) for n in range(8)]
    assert [process.wait() for process in made] == [0] * 8
    with lakestore.open(root, dsn="", create=False) as lake:
        assert lake.sql("SELECT v FROM rows ORDER BY v").fetchall() == [(n,) for n in range(8)]
        assert len(lake.tables()["rows"].columns) == 1


def test_two_savers_of_one_id_are_one_winner_and_one_refusal(tmp_path: Path, dsn: str) -> None:
    script = (
        "import sys, lakestore\n"
        "with lakestore.open(sys.argv[1], dsn=sys.argv[2]) as lake:\n"
        "    for n in range(30):\n"
        "        try:\n"
        "            lake.save({'strategy': 's', 'by': sys.argv[3], 'rows': [{'v': n}]}, task_id=str(n))\n"
        "            print('won', n)\n"
        "        except lakestore.AlreadyExistsError:\n"
        "            print('lost', n)\n"
    )
    root = tmp_path / "lake"
    with lakestore.open(root, dsn=dsn) as lake:
        made = [
            subprocess.Popen([sys.executable, "-c", script, str(root), dsn, by], stdout=subprocess.PIPE, text=True)
            for by in "xy"
        ]
        said = [process.communicate()[0].splitlines() for process in made]
        for n in range(30):
            assert sorted(lines[n] for lines in said) == [f"lost {n}", f"won {n}"]
            winner = "xy"[[f"won {n}" in lines for lines in said].index(True)]
            assert lake.load(str(n)).document["by"] == winner
        # The loser removed its own files: only live ones are left.
        live = {lake.root / file.path for file in lake.files()}
        assert set(root.rglob("*.parquet")) == live


def test_an_open_lake_starts_its_server_again_when_nobody_else_does(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    with lakestore.open(root, dsn="") as lake:
        lake.save({"strategy": "s", "n": 1}, task_id="a")
        for attempt in range(2):
            # Without its supervisor nobody starts the server again but who needs it.
            for pid in servers(root):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            lake.save({"strategy": "s", "n": attempt}, task_id=f"b{attempt}")
        assert sorted(info.task_id for info in lake.results()) == ["a", "b0", "b1"]
