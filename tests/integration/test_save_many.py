"""Many results saved at once share files and a transaction, and stay results of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lakestore import AlreadyExistsError, InvalidInputError, Item, Lake, LakestoreError, ResultInfo
from lakestore import batch as batch_module
from lakestore.codec import decode


def document(place: int, rows: int = 5, **more: Any) -> bytes:
    signals = [
        {"symbol": f"S{i % 3}", "price": round(i * 1.1 + place / 10 ** (place % 4), place % 4)} for i in range(rows)
    ]
    value = {"task_id": f"t{place:03}", "strategy": f"s{place % 2}", "created_at": "2026-01-02T03:04:05Z"}
    return json.dumps({**value, "signals": signals, "trades": [{"n": place}], **more}, indent=2).encode()


def files(lake: Lake) -> set[str]:
    found = (path.relative_to(lake.root) for path in lake.root.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if path.parts[0] != "_lakestore"}


def ok(outcomes: list[ResultInfo | LakestoreError]) -> list[ResultInfo]:
    for outcome in outcomes:
        if isinstance(outcome, LakestoreError):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, ResultInfo)]


def test_an_iterator_that_raises_halfway_saves_nothing(lake: Lake) -> None:
    def runs() -> Iterator[Item]:
        yield Item(document=document(1))
        raise ZeroDivisionError("run 2")

    with pytest.raises(ZeroDivisionError, match="run 2"):
        lake.save_many(runs())
    assert lake.results() == [] and files(lake) == set()


def test_results_of_one_partition_share_a_file_a_table_and_come_back(lake: Lake) -> None:
    sources = [document(place, rows=place * 40) for place in range(12)]
    infos = ok(lake.save_many([Item(document=source) for source in sources]))
    assert [info.task_id for info in infos] == [f"t{place:03}" for place in range(12)]
    # Two strategies, three tables: signals, trades, results.
    assert len(files(lake)) == 6
    assert files(lake) == {file.path for file in lake.files()}
    for info, source in zip(infos, sources, strict=True):
        result = lake.load(info.task_id)
        assert result.to_json() == source
        assert result.document == json.loads(source)
        assert result.info == info
    assert sum(info.file_size for info in infos) == sum(file.bytes for file in lake.files())


def test_sql_over_shared_files_is_the_same_as_over_files_of_their_own(tmp_path: Path, lake: Lake) -> None:
    sources = [document(place, rows=30) for place in range(8)]
    ok(lake.save_many([Item(document=source) for source in sources]))
    expected = sorted(
        (value["task_id"], signal["symbol"], signal["price"])
        for value in map(json.loads, sources)
        for signal in value["signals"]
    )
    assert sorted(lake.sql("SELECT task_id, symbol, price FROM signals").fetchall()) == expected
    assert lake.sql("SELECT count(*) FROM results").fetchall() == [(8,)]


def test_a_bad_item_costs_only_itself(lake: Lake) -> None:
    ok(lake.save_many([Item(document=document(1))]))
    items = [
        Item(document=document(0)),
        Item(document=b'{"strategy": "s", '),
        Item(document=document(1, more=1)),
        Item(document=b'{"signals": []}', where="run 7"),
        Item(document=document(2)),
        Item(document=document(2)),
        Item(document=document(2, more=1)),
        Item(document=document(1)),
        Item(document=lake.root / "nowhere.json"),
    ]
    outcomes = lake.save_many(items)
    kinds = [outcome.kind if isinstance(outcome, LakestoreError) else "saved" for outcome in outcomes]
    assert kinds == [
        "saved", "invalid_input", "already_exists", "invalid_input", "saved", "saved", "already_exists", "saved",
        "not_found",
    ]  # fmt: skip
    assert "run 7 names no strategy" in str(outcomes[3])
    assert {info.task_id for info in lake.results()} == {"t000", "t001", "t002"}
    assert lake.load("t002").to_json() == document(2)


def test_a_time_without_zone_is_utc(lake: Lake) -> None:
    item = Item(document={"strategy": "s"}, task_id="t", time=datetime(2026, 1, 2, 3))
    assert [info.created_at for info in ok(lake.save_many([item]))] == [datetime(2026, 1, 2, 3, tzinfo=UTC)]
    assert lake.info("t").created_at == datetime(2026, 1, 2, 3, tzinfo=UTC)


def test_nothing_and_nothing_good_are_no_commit(lake: Lake) -> None:
    assert lake.save_many([]) == []
    (outcome,) = lake.save_many([Item(document=b"[")])
    assert isinstance(outcome, InvalidInputError)
    assert files(lake) == set()


def test_deleted_and_replaced_results_leave_their_neighbours_alone(lake: Lake) -> None:
    sources = {f"t{place:03}": document(place) for place in range(6)}
    ok(lake.save_many([Item(document=source) for source in sources.values()]))
    lake.delete("t002")
    replaced = document(4, more="other")
    ok(lake.save_many([Item(document=replaced)], replace=True))
    assert "t002" not in {info.task_id for info in lake.results()}
    for task_id in ("t000", "t001", "t003", "t005"):
        assert lake.load(task_id).to_json() == sources[task_id]
    assert lake.load("t004").to_json() == replaced
    counts = dict(lake.sql("SELECT task_id, count(*) FROM signals GROUP BY ALL").fetchall())
    assert counts == dict.fromkeys(["t000", "t001", "t003", "t004", "t005"], 5)
    again = lake.save_many([Item(document=document(4))], replace=False)
    assert isinstance(again[0], AlreadyExistsError)


def test_what_shared_files_do_not_give_back_is_saved_by_itself(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    real = batch_module._proved
    monkeypatch.setattr(batch_module, "_proved", lambda each, found: each.place != 1 and real(each, found))
    sources = [document(place * 2) for place in range(3)]
    infos = ok(lake.save_many([Item(document=source) for source in sources]))
    assert [lake.load(info.task_id).to_json() for info in infos] == sources
    assert len(lake.files("results")) == 2


def test_a_proof_that_fails_is_seen(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [document(place) for place in range(2)]
    monkeypatch.setattr(decode, "pieces", lambda *given: iter([b"{}"]))
    taken = [Item(document=source) for source in sources]
    saver = lake.saver()
    ready = batch_module._encoded(saver, taken, False, {}, [])
    made, ready = batch_module._packed(saver, ready)
    assert batch_module._unproved(ready, made) == {0, 1}


def test_batches_with_one_result_in_common_at_once_both_succeed(lake: Lake) -> None:
    common = document(99)
    outcomes: dict[int, list[ResultInfo | LakestoreError]] = {}

    def save(worker: int) -> None:
        own = [document(worker * 10 + place) for place in range(3)]
        outcomes[worker] = lake.save_many([Item(document=source) for source in [*own, common]])

    threads = [threading.Thread(target=save, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({info.write_id for found in outcomes.values() for info in ok(found) if info.task_id == "t099"}) == 1
    assert len(lake.results()) == 13
    # The losers' files are gone.
    assert files(lake) == {file.path for file in lake.files()}


def test_what_is_no_item_is_named_and_nothing_is_saved(lake: Lake) -> None:
    with pytest.raises(InvalidInputError, match=r"items\[1\] is dict, not an Item: give lakestore\.Item\(document=…\)"):
        lake.save_many([Item(document=document(1)), {"strategy": "s"}])  # type: ignore[list-item]
    assert lake.results() == []
