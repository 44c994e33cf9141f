"""The contract of `ResultStorage` as tests that any storage can be put through.

Make a subclass in your own tests, with a pytest fixture `make_storage` that gives a function; each call of it gives a
storage over the same results, which are none at the beginning of a test:

    class TestMine(ResultStorageContract):
        @pytest.fixture
        def make_storage(self, tmp_path):
            return lambda: MyStorage(tmp_path)
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

import pyarrow as pa

from lakestore.errors import AlreadyExistsError, InvalidInputError, LakestoreError, NotFoundError
from lakestore.model import ResultInfo
from lakestore.storage.protocol import ResultStorage

MakeStorage: TypeAlias = Callable[[], ResultStorage]

TASK_IDS = (
    "run-1", "a/b", "../up", "..", ".", ".hidden", "/etc/passwd", "a%2Fb", "a%b", "100%", "%~", "space and  two",
    "tab\there", "line\nbreak", "back\\slash", "quote\"'", "CON", "nul.json", "x.json", "ü策略😀", "A", "a", "-rf", "~",
    "*?[", "0" * 512, "/" * 512, "策" * 170, "." * 512, "%2F" * 170, "{task_id}", "strategy=x", "e\u0301", "\u00e9",
    " ", "\x7f\x01", "_lakestore",
)  # fmt: skip
"""Ids that every storage keeps apart and gives back."""

NO_TASK_IDS = ("", "nul\0", "\ud800", "x" * 513)
"""Ids that every storage refuses."""

TEXTS = (
    b'{"strategy": "s"}',
    b'\n {"strategy" :\t"s", "a": [1, 1.0, 1e2, -0.0, 0.10, NaN, Infinity, 12345678901234567890123]} \r\n',
    b'{"strategy":"s","strategy":"t","k":{"a":1,"a":2}}',
    b'\xef\xbb\xbf{"strategy": "s", "text": "\\u00e9 \xc3\xa9 \\ud800 \\/"}',
    b'{"strategy":"s","trades":[{"price":1.10,"n":null},{"price":2.25},{"n":3,"price":"x"}],"equity":[[1,2.5],[2,3]]}',
)
"""Documents that come back byte for byte."""

NO_DOCUMENTS = (b"", b"{", b'{"strategy": "s"', b"{}", b'{"strategy": 5}', b'{"strategy": ""}', b"\xff", b"[1]", b'"s"')
"""What is refused: no JSON, not UTF-8, or without a strategy."""

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def run(strategy: str = "s", *, minutes: int = 0, **fields: Any) -> dict[str, Any]:
    """A small document of a time."""
    when = (START + timedelta(minutes=minutes)).isoformat()
    return {"strategy": strategy, "created_at": when, **fields}


class ResultStorageContract:
    """What every result storage does alike."""

    def test_it_has_the_methods_of_the_protocol(self, make_storage: MakeStorage) -> None:
        assert isinstance(make_storage(), ResultStorage)

    def test_texts_come_back_byte_for_byte(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        for number, text in enumerate(TEXTS):
            storage.save_result(str(number), text)
            storage.save_result(f"text-{number}", text.decode())
        for number, text in enumerate(TEXTS):
            for task_id in (str(number), f"text-{number}"):
                assert make_storage().load_json(task_id) == text
                value = json.loads(text.decode("utf-8-sig"))
                assert repr(make_storage().load_result(task_id)) == repr(value)

    def test_values_come_back_equal_with_their_types(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        value = run(n=1, x=1.0, small=1e-07, none=None, yes=True, deep={"a": [[], {}, [{"b": 2**70}]]}, text="\u2028é")
        storage.save_result("a", value)
        assert repr(storage.load_result("a")) == repr(value)
        assert json.loads(storage.load_json("a")) == value

    def test_what_is_not_there_is_not_found(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        storage.save_result("there", run())
        for task_id in ("a", "../there", *NO_TASK_IDS):
            assert not storage.exists(task_id)
            for method in (storage.load_result, storage.load_json, storage.info, storage.delete_result):
                with raises(NotFoundError):
                    method(task_id)

    def test_the_same_document_again_is_a_success_and_changes_nothing(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        text = b'{"strategy": "s", "n": 1}'
        first = storage.save_result("a", text)
        again = make_storage().save_result("a", text)
        assert told(again) == told(first) == told(storage.save_result("a", text, replace=True))

    def test_a_result_of_any_strategy_hides_no_other(self, make_storage: MakeStorage) -> None:
        strategies = ("s", "_lakestore", "..", "results", "x.json", "%~", ".lakestore")
        for number, strategy in enumerate(strategies):
            make_storage().save_result(f"r{number}", run(strategy))
        found = {info.task_id: info.strategy for info in make_storage().list_results()}
        assert found == {f"r{number}": strategy for number, strategy in enumerate(strategies)}
        assert all(make_storage().load_result(task_id) == run(strategy) for task_id, strategy in found.items())

    def test_other_content_under_an_id_is_refused(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        storage.save_result("a", run(n=1))
        for document in (run(n=2), run("t", n=1), json.dumps(run(n=1), indent=1)):
            with raises(AlreadyExistsError):
                make_storage().save_result("a", document)
        assert storage.load_result("a") == run(n=1)
        assert len(storage.list_results()) == 1

    def test_replace_puts_a_result_in_the_place_of_another(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        storage.save_result("a", run(n=1), replace=True)
        storage.save_result("b", run(n=1))
        info = storage.save_result("a", run("t", minutes=1, n=2), replace=True)
        assert make_storage().load_result("a") == run("t", minutes=1, n=2)
        assert [told(found) for found in make_storage().list_results(strategy="t")] == [told(info)]
        assert [found.task_id for found in storage.list_results()] == ["a", "b"]

    def test_what_is_deleted_is_gone_and_its_id_is_free(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        storage.save_result("a", run(n=1))
        storage.save_result("b", run(n=1))
        make_storage().delete_result("a")
        assert not storage.exists("a") and storage.exists("b")
        assert [info.task_id for info in storage.list_results()] == ["b"]
        for method in (storage.load_result, storage.load_json, storage.info, storage.delete_result):
            with raises(NotFoundError):
                method("a")
        storage.save_result("a", run("t", n=2))
        assert make_storage().load_result("a") == run("t", n=2)

    def test_every_id_is_kept_apart(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        for number, task_id in enumerate(TASK_IDS):
            storage.save_result(task_id, run(n=number))
        other = make_storage()
        for number, task_id in enumerate(TASK_IDS):
            assert other.exists(task_id)
            assert other.load_result(task_id)["n"] == number
            assert other.info(task_id).task_id == task_id
        listed = other.list_results(limit=1_000)
        assert [info.task_id for info in listed] == sorted(TASK_IDS, key=str.encode)
        for task_id in TASK_IDS[1:]:
            storage.delete_result(task_id)
        assert [info.task_id for info in make_storage().list_results()] == [TASK_IDS[0]]

    def test_strategies_are_any_text(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        names = ["../x", "a=b", "策略", "42", "CON", ".", "..", ".a", "a/b", "a%2Fb", "s" * 240, "策" * 26]
        for number, name in enumerate(names):
            storage.save_result(str(number), run(name))
        for number, name in enumerate(names):
            assert [info.task_id for info in make_storage().list_results(strategy=name)] == [str(number)]

    def test_what_cannot_be_kept_is_refused_and_leaves_nothing(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        for text in NO_DOCUMENTS:
            with raises(InvalidInputError):
                storage.save_result("a", text)
        for value in ({"strategy": "s", "x": {1, 2}}, {"strategy": "s", 5: 1}, {"strategy": "x" * 300}, 5):
            with raises(InvalidInputError):
                storage.save_result("a", value)  # type: ignore[arg-type]
        for task_id in (*NO_TASK_IDS, 5, None):
            with raises(InvalidInputError):
                storage.save_result(task_id, run())  # type: ignore[arg-type]
        assert not storage.exists("a")
        assert make_storage().list_results() == []

    def test_what_a_save_tells_is_what_is_found_and_listed(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        value = run(
            status="failed", params={"fast": 5, "b": [1.5, None]}, metrics={"sharpe": 1.25, "nan": float("nan")}
        )
        text = json.dumps(value, indent=2).encode()
        info = storage.save_result("a", text)
        assert (info.task_id, info.strategy, info.strategies, info.status) == ("a", "s", ("s",), "failed")
        assert (info.created_at, info.run_date.isoformat(), info.json_size) == (START, "2026-01-31", len(text))
        assert info.profile == "generic"
        [listed] = make_storage().list_results()
        assert told(make_storage().info("a")) == told(listed) == told(info)
        assert listed.params == value["params"] and listed.metrics == {"sharpe": 1.25, "nan": None}

    def test_strategy_and_time_are_taken_where_a_document_states_none(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        when = START + timedelta(microseconds=123_457)
        info = storage.save_result("a", {"n": 1}, strategy="given", time=when)
        assert (info.strategy, info.created_at) == ("given", when)
        stated = storage.save_result("b", run("stated", minutes=5), strategy="given", time=when)
        assert (stated.strategy, stated.created_at) == ("stated", START + timedelta(minutes=5))
        for text, time in (("2026-02-01T00:00", datetime(2026, 2, 1)), ("2026-02-01", date(2026, 2, 1))):
            for given in (text, time):
                # A time without a zone is UTC, wherever it is given.
                told_time = storage.save_result("c", {"n": str(given)}, strategy="given", time=given, replace=True)
                assert told_time.created_at == storage.info("c").created_at == datetime(2026, 2, 1, tzinfo=UTC)
        storage.delete_result("c")
        with raises(InvalidInputError):
            storage.save_result("c", {"n": 1}, strategy="given", time="yesterday")
        found = make_storage().list_results()
        assert [(i.task_id, i.strategy, i.created_at) for i in found] == [
            ("b", "stated", START + timedelta(minutes=5)),
            ("a", "given", when),
        ]
        # A second try does not know the first one's time, and is a success.
        assert storage.save_result("a", {"n": 1}, strategy="given").created_at == when

    def test_tables_are_arrays_of_records_in_the_document(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        rows = [{"price": 1.5, "side": "buy", "at": None}, {"price": float("nan"), "side": None, "at": 7}]
        info = storage.save_result("a", run(), tables={"trades": pa.Table.from_pylist(rows)})
        text = storage.load_json("a")
        assert repr(json.loads(text)) == repr(make_storage().load_result("a")) == repr({**run(), "trades": rows})
        # The same as a document is the same result, and a name that the document has is refused.
        assert told(make_storage().save_result("a", text)) == told(info)
        with raises(InvalidInputError):
            storage.save_result("b", run(trades=[]), tables={"trades": pa.table({"price": [1.5]})})
        assert not storage.exists("b")

    def test_a_list_is_newest_first_and_ties_are_by_id(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        for task_id, minutes in [("b", 0), ("é", 0), ("Z", 0), ("a", 0), ("old", -1), ("new", 1), ("a/", 0)]:
            storage.save_result(task_id, run(minutes=minutes))
        assert ids(make_storage()) == ["new", "Z", "a", "a/", "b", "é", "old"]

    def test_a_list_comes_in_pages(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        for number in range(10):
            storage.save_result(str(number), run(minutes=number // 3))
        everything = storage.list_results()
        for limit in (1, 3, 4, 10, 11):
            for by_id in (True, False):
                pages: list[ResultInfo] = []
                while page := make_storage().list_results(
                    limit=limit, after=(pages[-1].task_id if by_id else pages[-1]) if pages else None
                ):
                    assert len(page) <= limit
                    pages += page
                assert [told(info) for info in pages] == [told(info) for info in everything]
        assert storage.list_results(limit=0) == []

    def test_a_list_is_filtered(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        for number in range(6):
            status = "failed" if number % 3 == 0 else "completed"
            storage.save_result(str(number), run("st"[number % 2], minutes=number, status=status))
        since, until = START + timedelta(minutes=1), START + timedelta(minutes=4)
        assert ids(storage, strategy="t") == ["5", "3", "1"]
        assert ids(storage, strategy="none") == []
        assert ids(storage, status="failed") == ["3", "0"]
        assert ids(storage, status="failed", strategy="s") == ["0"]
        assert ids(storage, since=since, until=until) == ["3", "2", "1"]
        assert ids(storage, since=since.isoformat(), until=until.isoformat(), limit=2) == ["3", "2"]
        assert ids(storage, since=since, until=until, limit=2, after="3") == ["2", "1"]
        assert ids(storage, until="0s", since="36500d", limit=1) == ["5"]
        assert ids(storage, until=timedelta(), since=timedelta(days=36500), limit=1) == ["5"]
        assert ids(storage, since=START.date(), until=START.date() + timedelta(days=1), limit=1) == ["5"]

    def test_a_list_of_what_cannot_be_is_refused(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        storage.save_result("a", run())
        for wrong in ({"limit": -1}, {"limit": None}, {"since": "yesterday"}, {"until": "7 parsecs"}):
            with raises(InvalidInputError):
                storage.list_results(**wrong)
        with raises(NotFoundError):
            storage.list_results(after="b")

    def test_a_document_of_several_strategies_is_listed_under_each(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        one: dict[str, Any] = {"trades": [], "total_trades": 0, "backtest_start_ts": 1, "strategy_name": "x"}
        storage.save_result("a", {"strategy": {"first": one, "second": one}, "strategy_comparison": []})
        info = storage.info("a")
        assert (info.profile, info.strategy, info.strategies) == ("freqtrade", "first", ("first", "second"))
        assert ids(storage, strategy="second") == ids(storage, strategy="first") == ["a"]

    def test_of_many_who_save_one_id_one_wins(self, make_storage: MakeStorage) -> None:
        storages = [make_storage() for _ in range(4)]
        for task_id in ("a", "b", "c"):

            def save(number: int, task_id: str = task_id) -> bool:
                try:
                    storages[number].save_result(task_id, run("st"[number % 2], n=number))
                except AlreadyExistsError:
                    return False
                return True

            won = at_once(save, len(storages))
            assert won.count(True) == 1
            assert storages[0].load_result(task_id)["n"] == won.index(True)

    def test_all_who_save_the_same_succeed(self, make_storage: MakeStorage) -> None:
        storages = [make_storage() for _ in range(4)]
        told_all = at_once(lambda number: told(storages[number].save_result("a", run(n=1))), len(storages))
        assert len(set(map(repr, told_all))) == 1
        assert ids(storages[0]) == ["a"]

    def test_one_storage_serves_many_threads(self, make_storage: MakeStorage) -> None:
        storage = make_storage()

        def work(number: int) -> None:
            for turn in range(5):
                task_id = f"{number}-{turn}"
                storage.save_result(task_id, run(minutes=turn, n=number))
                assert storage.load_result(task_id)["n"] == number
                assert task_id in ids(storage)
                if turn % 2:
                    storage.delete_result(task_id)

        at_once(work, 4)
        assert sorted(ids(storage)) == sorted(f"{number}-{turn}" for number in range(4) for turn in (0, 2, 4))

    def test_readers_see_one_version_or_the_other_while_a_result_is_replaced(self, make_storage: MakeStorage) -> None:
        storage = make_storage()
        texts = [json.dumps(run("st"[n % 2], n=n, rows=[{"v": n}] * 20)).encode() for n in range(12)]
        storage.save_result("a", texts[0])
        done = threading.Event()

        def work(number: int) -> None:
            if number == 0:
                try:
                    for text in texts[1:]:
                        storage.save_result("a", text, replace=True)
                finally:
                    done.set()
                return
            reader = make_storage()
            last = 0
            while not done.is_set():
                seen = texts.index(reader.load_json("a"))
                # Nothing that was replaced comes back.
                assert seen >= last
                last = seen
                assert reader.exists("a")

        at_once(work, 3)
        assert make_storage().load_json("a") == texts[-1]


def told(info: ResultInfo) -> tuple[Any, ...]:
    """What every storage says of a result; sizes on disk, versions and tables are its own affair."""
    return (
        info.task_id, info.strategy, info.strategies, info.status, info.created_at, info.run_date,
        info.json_size, info.sha256, info.profile,
    )  # fmt: skip


def ids(storage: ResultStorage, **filters: Any) -> list[str]:
    """The ids that a storage lists."""
    return [info.task_id for info in storage.list_results(**filters)]


def at_once(work: Callable[[int], Any], count: int) -> list[Any]:
    """What so many threads give that begin together; the first error of one is raised."""
    results: list[Any] = [None] * count
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def go(number: int) -> None:
        try:
            barrier.wait()
            results[number] = work(number)
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


@contextlib.contextmanager
def raises(kind: type[LakestoreError]) -> Iterator[None]:
    """The block must raise an error of this kind."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")
