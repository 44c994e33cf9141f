"""A process forked while its threads are at work: the child does as they do, and waits for none of them."""

from __future__ import annotations

import pickle
import subprocess
import sys

from lakestore import Lake

FORKS = 40
SCRIPT = """
import os, signal, sys, threading, time
import lakestore

lake = lakestore.open(sys.argv[1], dsn=sys.argv[2])
stop = threading.Event()

def work():
    while not stop.is_set():
        lake.sql("SELECT sum(x) FROM rows").fetchall()
        lake.results(limit=1)

def child(n):
    # Its default action ends a child that waits, wherever that is.
    signal.alarm(20)
    assert lake.sql("SELECT sum(x) FROM rows WHERE task_id = 'a'").fetchall() == [(3,)]
    assert lake.load("a").document["n"] == 1
    lake.save({"strategy": "s", "n": n, "rows": [{"x": 0}]}, task_id=f"child {n}")

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
ends = []
for n in range(int(sys.argv[3])):
    time.sleep(0.01)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child(n)
            code = 0
        finally:
            os._exit(code)
    ends.append(os.waitpid(pid, 0)[1])
stop.set()
for thread in threads:
    thread.join()
print([end for end in ends if end])
"""


def test_a_child_forked_while_threads_query_does_the_same(lake: Lake, dsn: str) -> None:
    lake.save({"strategy": "s", "n": 1, "rows": [{"x": 1}, {"x": 2}]}, task_id="a")
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT, str(lake.root), dsn, str(FORKS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert {f"child {n}" for n in range(FORKS)} < {info.task_id for info in lake.results()}


def test_what_a_lake_gives_can_be_sent_to_another_process(lake: Lake) -> None:
    lake.save({"strategy": "s", "n": 1, "rows": [{"x": 1}, {"x": 2}]}, task_id="a")
    script = (
        "import pickle, sys\n"
        "lake, info, result, files, tables, doctor = pickle.loads(sys.stdin.buffer.read())\n"
        "assert lake.info('a') == info and lake.files() == files and lake.tables() == tables and doctor\n"
        "assert result.document == lake.load('a').document\n"
        "print(lake.sql('SELECT sum(x) FROM rows').fetchall())\n"
    )
    sent = pickle.dumps((lake, lake.info("a"), lake.load("a"), lake.files(), lake.tables(), lake.doctor()))
    done = subprocess.run([sys.executable, "-c", script], input=sent, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"[(3,)]\n", b"")
