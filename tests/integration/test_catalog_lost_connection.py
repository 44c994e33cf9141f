"""Connections that break at every point of a commit: a real server behind a proxy that cuts the line."""

from __future__ import annotations

import gc
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lakestore.catalog import Catalog, connect, transactions
from lakestore.catalog.connect import Connections
from lakestore.errors import CatalogError, CommitUnknownError
from lakestore.model import FIRST_FIELD_ID, NewColumn

Make = Callable[..., Any]
COMMIT = re.compile(rb"COMMIT\0")


class Proxy:
    """Forwards TCP to the server; the next COMMIT it sees can be disturbed, and turns are counted."""

    def __init__(self, dsn: str) -> None:
        given = conninfo_to_dict(dsn)
        host, port = str(given.get("host") or ""), int(given.get("port") or 5432)
        self._target: Any = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.dsn = make_conninfo(
            "", host="127.0.0.1", port=self._listener.getsockname()[1], dbname=given.get("dbname"),
            user=given.get("user"), password=given.get("password"), sslmode="disable",
        )  # fmt: skip
        self.on_commit: Callable[[socket.socket, socket.socket, bytes], None] | None = None
        self.refuse = False
        self.turns = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.refuse = True
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refuse:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET)
                server.connect(self._target)
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        last = server
        with client, server, suppress(OSError):
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for source in ready:
                    data = source.recv(1 << 20)
                    if not data:
                        return
                    if source is client:
                        self.turns += last is server
                        if COMMIT.search(data) and (act := self.on_commit):
                            self.on_commit = None
                            act(client, server, data)
                            return
                    last = source
                    (server if source is client else client).sendall(data)


def cut_before(client: socket.socket, server: socket.socket, data: bytes) -> None:
    """COMMIT never reaches the server, and the line is cut."""


def cut_after(client: socket.socket, server: socket.socket, data: bytes) -> None:
    """COMMIT reaches the server and is done, but its answer does not come back."""
    server.sendall(data)
    server.recv(1 << 16)


def late(client: socket.socket, server: socket.socket, data: bytes) -> None:
    """The line to the client is cut at once, and COMMIT reaches the server a second later."""
    client.shutdown(socket.SHUT_RDWR)
    time.sleep(1.0)
    server.sendall(data)
    server.recv(1 << 16)


def late_cut(client: socket.socket, server: socket.socket, data: bytes) -> None:
    """The line to the client is cut at once; COMMIT never reaches the server, which notices a second later."""
    client.shutdown(socket.SHUT_RDWR)
    time.sleep(1.0)


@pytest.fixture
def proxy(dsn: str) -> Iterator[Proxy]:
    proxy = Proxy(dsn)
    yield proxy
    proxy.close()


@pytest.fixture
def lined(proxy: Proxy, open_catalog: Callable[..., Catalog]) -> Catalog:
    """A catalog behind the proxy."""
    return open_catalog(proxy.dsn)


def terminate_all(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )


@pytest.mark.parametrize("cut", [cut_after, late])
def test_a_commit_whose_answer_was_lost_is_found_and_succeeds(
    proxy: Proxy, lined: Catalog, make_save: Make, cut: Any
) -> None:
    save = make_save("a")
    proxy.on_commit = cut
    lined.commit([save.result], save.files)
    assert lined.get("a") == save.result.info


@pytest.mark.parametrize("cut", [cut_before, late_cut])
def test_a_commit_that_did_not_arrive_is_done_again(proxy: Proxy, lined: Catalog, make_save: Make, cut: Any) -> None:
    save = make_save("a")
    proxy.on_commit = cut
    lined.commit([save.result], save.files)
    assert lined.get("a") == save.result.info


@pytest.mark.parametrize("cut", [cut_before, late_cut])
def test_a_commit_that_did_not_arrive_twice_is_known_to_have_failed(
    proxy: Proxy, lined: Catalog, make_save: Make, cut: Any
) -> None:
    save = make_save("a")

    def cut_twice(client: socket.socket, server: socket.socket, data: bytes) -> None:
        proxy.on_commit = cut
        cut(client, server, data)

    proxy.on_commit = cut_twice
    with pytest.raises(CatalogError, match="nothing was done") as caught:
        lined.commit([save.result], save.files)
    assert not isinstance(caught.value, CommitUnknownError)
    time.sleep(0.2)
    assert lined.get("a") is None
    lined.commit([save.result], save.files)
    assert lined.get("a") == save.result.info


def test_a_commit_is_unknown_if_nobody_can_be_asked(
    proxy: Proxy, lined: Catalog, make_save: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "RESOLVE_SECONDS", 1.0)
    save = make_save("a")

    def cut_for_good(client: socket.socket, server: socket.socket, data: bytes) -> None:
        proxy.refuse = True
        cut_after(client, server, data)

    proxy.on_commit = cut_for_good
    with pytest.raises(CommitUnknownError, match=f"'a'.*{save.write_id}"):
        lined.commit([save.result], save.files)
    proxy.refuse = False
    # In the end it was done; committing it again finds that.
    lined.commit([save.result], save.files)
    assert lined.get("a") == save.result.info


def test_a_commit_replaced_by_others_before_it_was_looked_up_counts_as_done(
    proxy: Proxy, lined: Catalog, catalog: Catalog, make_save: Make
) -> None:
    save, next_one = make_save("a"), make_save("a")

    def cut_and_replace(client: socket.socket, server: socket.socket, data: bytes) -> None:
        server.sendall(data)
        server.recv(1 << 16)
        catalog.commit([next_one.result], next_one.files, replace=True)

    proxy.on_commit = cut_and_replace
    lined.commit([save.result], save.files)
    assert lined.get("a") == next_one.result.info


@pytest.mark.parametrize("cut", [cut_after, late, cut_before, late_cut])
def test_a_delete_whose_answer_was_lost_is_decided_too(proxy: Proxy, lined: Catalog, make_save: Make, cut: Any) -> None:
    save = make_save("a")
    lined.commit([save.result], save.files)
    proxy.on_commit = cut
    assert lined.delete("a") == save.write_id
    assert lined.get("a") is None


@pytest.mark.parametrize("cut", [cut_before, cut_after, late, late_cut])
def test_a_reservation_whose_answer_was_lost_is_made_once(proxy: Proxy, lined: Catalog, cut: Any) -> None:
    proxy.on_commit = cut
    assert lined.table_for('"trades"', "trades") == "trades"
    proxy.on_commit = cut
    table = lined.reserve("trades", [NewColumn(None, '"price"', "price", "DOUBLE")])
    assert [(column.field_id, column.name) for column in table.columns] == [(FIRST_FIELD_ID, "price")]
    assert lined.tables() == {"trades": table}


def test_a_line_lost_before_commit_is_taken_up_again(proxy: Proxy, lined: Catalog, make_save: Make, dsn: str) -> None:
    saves = [make_save(str(n)) for n in range(3)]
    lined.commit([saves[0].result], saves[0].files)
    terminate_all(dsn)
    lined.commit([saves[1].result], saves[1].files)
    terminate_all(dsn)
    lined.commit([saves[2].result], saves[2].files, replace=True)
    terminate_all(dsn)
    assert [info.task_id for info in lined.results()] == ["0", "1", "2"]
    terminate_all(dsn)
    assert lined.delete("0") == saves[0].write_id
    terminate_all(dsn)
    assert lined.table_for('"t"', "t") == "t"
    terminate_all(dsn)
    assert lined.reserve("t", []).name == "t"
    terminate_all(dsn)
    assert len(lined.snapshot().files) == 4


def test_a_backend_killed_inside_the_transaction_leaves_nothing_and_the_commit_is_tried_again(
    lined: Catalog, make_save: Make, dsn: str
) -> None:
    blocker = psycopg.connect(dsn)
    save, held = make_save("a"), make_save("a")
    blocker.execute(
        "INSERT INTO backtest_results (task_id, strategy, strategies, status, created_at, file_size, json_size, "
        "run_date, sha256, profile, fidelity, fidelity_bytes, write_id, saved_at, tables) "
        "VALUES ('a', 's', '{s}', 'x', now(), 1, 1, now(), %s, 'p', 'style', 0, %s, now(), '{}')",
        [bytes(32), held.write_id],
    )
    done = threading.Event()

    def run() -> None:
        lined.commit([save.result], save.files)
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    with psycopg.connect(dsn, autocommit=True) as other:
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        deadline = time.monotonic() + 10
        while (found := other.execute(waiting).fetchone()) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert found is not None
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [found[0]])
    blocker.rollback()
    blocker.close()
    thread.join(timeout=20)
    assert done.is_set()
    assert lined.get("a") == save.result.info
    assert len(lined.snapshot().files) == len(save.files)


def test_a_save_takes_two_round_trips_and_a_replacement_three(proxy: Proxy, lined: Catalog, make_save: Make) -> None:
    tables = ("results", "trades", "signals", "orders")
    first, second, third = (make_save(task_id, tables=tables) for task_id in ("a", "b", "b"))
    for save, replace, turns in [(first, False, 2), (second, False, 2), (third, True, 3)]:
        proxy.turns = 0
        lined.commit([save.result], save.files, replace=replace)
        assert proxy.turns == turns


def test_a_look_takes_one_round_trip(proxy: Proxy, lined: Catalog, make_save: Make) -> None:
    save = make_save("a")
    lined.commit([save.result], save.files)
    for look in (lambda: lined.get("a"), lambda: lined.locate("a"), lambda: lined.results(), lined.tables):
        look()
        proxy.turns = 0
        look()
        assert proxy.turns == 1


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where connections were asked for, once for each try."""
    made: list[str] = []
    real = connect._Session.connect.__func__  # type: ignore[attr-defined]

    def counted(cls: type, conninfo: str = "", **kwargs: Any) -> Any:
        made.append(conninfo)
        return real(cls, conninfo, **kwargs)

    monkeypatch.setattr(connect._Session, "connect", classmethod(counted))
    return made


def test_a_server_that_is_away_is_named_at_the_first_try_and_without_the_password(
    open_catalog: Callable[..., Catalog],
    attempts: list[str],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(CatalogError) as caught:
        open_catalog("postgresql://someone:top-secret@127.0.0.1:1/backtests")
    # Not again and again, as where a server was there a moment ago.
    assert 1 <= len(attempts) <= 2
    assert "127.0.0.1:1/backtests" in str(caught.value)
    seen = [str(caught.value), repr(caught.value.__cause__), *capfd.readouterr()]
    assert not any("top-secret" in text for text in seen)
    assert "Connection refused" in str(caught.value)
    assert caplog.records == []


def test_a_server_that_never_answers_is_named_after_the_timeout_of_the_dsn(
    open_catalog: Callable[..., Catalog], attempts: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(CatalogError, match=f"cannot reach the catalog at 127.0.0.1:{port}.*timeout"):
            open_catalog(f"host=127.0.0.1 port={port} dbname=x user=x connect_timeout=2")
    assert 1 <= len(attempts) <= 2 and "connect_timeout=2" in attempts[0]
    assert caplog.records == []


@pytest.mark.parametrize(
    "dsn_text", ["postgresql://u:top-secret@[bad/db", "password=top-secret nonsense", "host='x top-secret"]
)
def test_a_dsn_that_cannot_be_read_is_not_quoted(open_catalog: Callable[..., Catalog], dsn_text: str) -> None:
    with pytest.raises(CatalogError, match="DSN cannot be read") as caught:
        open_catalog(dsn_text)
    assert "top-secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_read_fails_cleanly_when_the_server_stays_away(
    proxy: Proxy, lined: Catalog, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakestore.catalog.connect.PATIENCE_SECONDS", 0.5)
    proxy.refuse = True
    terminate_all(dsn)
    with pytest.raises(CatalogError, match=r"cannot reach the catalog at 127\.0\.0\.1"):
        lined.get("a")
    proxy.refuse = False
    assert lined.get("a") is None


# Python warns of any fork while there are threads; that is what is tried here.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_uses_connections_of_its_own(catalog: Catalog, make_save: Make) -> None:
    parent, child_save = make_save("parent"), make_save("child")
    catalog.commit([parent.result], parent.files)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        answer = b"bad"
        try:
            catalog.commit([child_save.result], child_save.files)
            if catalog.get("parent") == parent.result.info:
                answer = b"good"
            catalog.close()
        finally:
            os.write(writer, answer)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        for _ in range(50):
            assert catalog.get("parent") == parent.result.info
        assert pipe.read() == b"good"
    os.waitpid(pid, 0)
    assert catalog.get("child") == child_save.result.info


ENDS = {
    "unclosed": "catalog.get('a')",
    "lent": "lent = connections.take(); lent.__enter__().execute('BEGIN')",
    "used at exit": "atexit.register(lambda: print(catalog.get('a'))); catalog.get('a')",
    "querying": "threading.Thread(target=wait, daemon=True).start(); time.sleep(0.2)",
    "forked": "catalog.get('a'); os.fork() or sys.exit(); os.wait(); catalog.get('a')",
    "forked and used": "catalog.get('a'); pid = os.fork(); catalog.get('a'); pid and os.wait(); catalog.get('a')",
}


@pytest.mark.parametrize("what", list(ENDS))
def test_the_interpreter_ends_at_once_and_quietly_with_a_catalog_that_is(what: str, catalog: Catalog, dsn: str) -> None:
    lines = (
        "import atexit, os, sys, threading, time, warnings",
        "from lakestore.catalog import Catalog",
        "from lakestore.catalog.connect import Connections",
        "warnings.filterwarnings('ignore', '.*fork', DeprecationWarning)",
        f"connections = Connections({dsn!r}, where='the lake')",
        "catalog = Catalog(connections, 'day')",
        "def wait():",
        "    with connections.take() as conn: conn.execute('SELECT pg_sleep(60)')",
        ENDS[what],
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("None\n" if what == "used at exit" else "")


def test_a_forgotten_catalog_keeps_no_thread_and_no_session(dsn: str) -> None:
    threads = set(threading.enumerate())
    connections = Connections(dsn, where="the lake")
    with connections.take() as conn:
        conn.execute("SELECT 1")
    del connections, conn
    gc.collect()
    assert set(threading.enumerate()) <= threads
    with psycopg.connect(dsn) as other:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        deadline = time.monotonic() + 5
        while other.execute(query).fetchone() != (0,):
            assert time.monotonic() < deadline
            other.rollback()
            time.sleep(0.02)


def test_an_interrupted_wait_costs_no_connection(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakestore.catalog.connect.WAIT_SECONDS", 2.0)

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    connections = Connections(dsn, where="the lake")
    try:
        with ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(connections.take())
            signal.setitimer(signal.ITIMER_REAL, 0.25)
            with pytest.raises(KeyboardInterrupt), connections.take():
                time.sleep(1)
        with ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(connections.take()).execute("SELECT 1")
            with pytest.raises(CatalogError, match="all 8 connections"):
                stack.enter_context(connections.take())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        connections.close()


def test_a_closed_catalog_says_so(catalog: Catalog) -> None:
    catalog.close()
    catalog.close()
    for call in (catalog.tables, lambda: catalog.get("a"), lambda: catalog.delete("a"), catalog.snapshot):
        with pytest.raises(CatalogError, match="closed"):
            call()


def test_more_threads_than_connections_take_turns(catalog: Catalog, make_save: Make, dsn: str) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            for step in range(5):
                save = make_save(f"{number}-{step}")
                catalog.commit([save.result], save.files)
                assert catalog.get(f"{number}-{step}") == save.result.info
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with psycopg.connect(dsn) as conn:
        used = conn.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'lakestore'"
        ).fetchone()
        assert used is not None
        assert 1 <= used[0] <= 8
