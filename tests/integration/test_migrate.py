"""`migrate` on real trees: what comes in, what does not and why, what is done again, and what two runs share."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

import lakestore
from lakestore import Lake
from lakestore.catalog.ledger import Finished, Seen
from lakestore.errors import CatalogError, InvalidInputError
from lakestore.migrate import Entry, Options, Summary, migrate

EXAMPLES = Path(__file__).parents[2] / "examples"


def document(n: int, rows: int = 5, **more: Any) -> bytes:
    signals = [{"price": n + i / 4, "place": i, "side": "BUY"} for i in range(rows)]
    return json.dumps({"strategy": "sma", "created_at": "2024-05-06T07:08:09Z", **more, "signals": signals}).encode()


class Told:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def planned(self, files: int, size: int) -> None:
        self.files = files

    def done(self, entry: Entry, size: int | None) -> None:
        assert entry.path not in self.entries
        self.entries[entry.path] = entry

    def waiting(self, files: int) -> None:
        pass

    def stopping(self) -> None:
        pass

    def outcomes(self) -> dict[str, str]:
        return {os.path.basename(path): entry.outcome for path, entry in self.entries.items()}

    def reason(self, name: str) -> str:
        return str(next(entry.reason for path, entry in self.entries.items() if os.path.basename(path) == name))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def run(lake: Lake, *sources: Path, **given: Any) -> tuple[Summary, Told]:
    names = ("pattern", "workers", "fail_fast")
    told = Told()
    options = Options(**{name: value for name, value in given.items() if name not in names})
    rest = {name: value for name, value in given.items() if name in names}
    return migrate(lake, sources, options, observer=told, **rest), told


def test_every_kind_of_file_comes_in_byte_for_byte_and_is_left_as_it_was(lake: Lake, tree: Path) -> None:
    (tree / "a.json").write_bytes(document(1))
    (tree / "b.json.gz").write_bytes(gzip.compress(document(2)))
    (tree / "lines.jsonl").write_bytes(document(3) + b"\n" + document(4) + b"\n")
    (tree / "epochs.fthypt").write_bytes(document(5))
    with zipfile.ZipFile(tree / "export.zip", "w") as archive:
        archive.writestr("bt.json", document(6))
        archive.writestr("bt_config.json", b"{}")
        archive.writestr("bt_signals.pkl", b"cos\nsystem\n(S'exit 1'\ntR.")
    for path in sorted((EXAMPLES / "freqtrade").glob("*.gz"))[:2]:
        (tree / path.name).write_bytes(path.read_bytes())
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tree.iterdir()}
    summary, told = run(lake, tree)
    assert set(told.outcomes().values()) == {"saved"} and summary.outcomes == {"saved": 7}
    texts = {"a": document(1), "b": document(2), "lines-1": document(3), "lines-2": document(4)}
    texts |= {"epochs-1": document(5), "export": document(6)}
    texts |= {
        path.name.removesuffix(".json.gz"): gzip.decompress(data)
        for path, (data, _) in before.items()
        if "back" in path.name
    }
    assert {info.task_id for info in lake.results()} == set(texts)
    for task_id, text in texts.items():
        assert lake.load(task_id).to_json() == text
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tree.iterdir()} == before
    entry = told.entries[str(tree / "lines.jsonl")]
    assert set(entry.results) == {"lines-1", "lines-2"} and entry.bytes_before == len(
        texts["lines-1"] + texts["lines-2"]
    )
    assert entry.bytes_after > 0 and entry.fidelity == {"style": 2}


def test_documents_that_are_in_under_another_id_are_counted(lake: Lake, tree: Path) -> None:
    for name in ("a", "b", "c"):
        (tree / f"{name}.json").write_bytes(document(len(name) if name == "a" else 2))
    assert run(lake, tree)[0].copies == 2
    lake.save(document(3))
    (tree / "d.json").write_bytes(document(3))
    (tree / "e.json").write_bytes(document(4))
    assert run(lake, tree)[0].copies == 1
    assert run(lake, tree)[0].copies == 0


def test_what_a_run_saved_is_told_without_the_bytes_of_what_it_refused(lake: Lake, tree: Path) -> None:
    whole = document(1)
    (tree / "run.json").write_bytes(whole)
    (tree / "cut.json").write_bytes(document(2)[:-9])
    (tree / "lines.jsonl").write_bytes(b"%s\n%s\n" % (whole, b"[" * 10_000))
    for dry_run in (True, False):
        summary, told = run(lake, tree, dry_run=dry_run)
        assert told.outcomes()["cut.json"] == told.outcomes()["lines.jsonl"] == "failed"
        assert summary.results == 2 and summary.bytes_before == 2 * len(whole)


def test_results_of_a_batch_share_their_files_and_their_transaction(lake: Lake, tree: Path, dsn: str) -> None:
    for n in range(30):
        (tree / f"run-{n:02}.json").write_bytes(document(n))
    run(lake, tree)
    with psycopg.connect(dsn) as conn:
        writes = conn.execute("SELECT DISTINCT xmin::text FROM backtest_results").fetchall()
        ledger = conn.execute("SELECT DISTINCT xmin::text FROM migrated_files").fetchall()
    # Sixteen at a time, so that all workers have some: the ledger is written with the results.
    assert len(writes) == 2 and set(writes) == set(ledger)
    assert len(lake.files()) == 4


def test_a_bad_file_costs_only_itself(lake: Lake, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_bytes(document(0))
    (tree / "good.json").write_bytes(document(1))
    (tree / "cut.json").write_bytes(document(2)[:-10])
    (tree / "text.json").write_bytes(b"hello")
    (tree / "empty.json").write_bytes(b"")
    (tree / "cut.json.gz").write_bytes(gzip.compress(document(3))[:-12])
    (tree / "bomb.json.gz").write_bytes(gzip.compress(b" " * 3_000_000))
    (tree / "nobody.json").write_bytes(b'{"signals": [{"a": 1}]}')
    (tree / "link.json").symlink_to(tmp_path / "outside.json")
    (tree / "deep").mkdir()
    (tree / "deep" / "good.json").write_bytes(document(4))
    (tree / "note.meta.json").write_bytes(b"{}")
    (tree / "some.jsonl").write_bytes(document(5) + b"\nno\n" + document(6) + b"\n{}\n")
    os.mkfifo(tree / "pipe.json")
    odd = os.fsdecode(b"latin\xe9.json")
    (tree / odd).write_bytes(document(7))
    summary, told = run(lake, tree, max_size=1_000_000)
    assert told.reason("cut.json").startswith("the document")
    assert "cannot be unpacked" in told.reason("cut.json.gz")
    assert "more than 1,000,000 bytes" in told.reason("bomb.json.gz")
    assert "names no strategy" in told.reason("nobody.json")
    assert "out of the tree" in told.reason("link.json")
    assert "regular file" in told.reason("pipe.json")
    assert "lone surrogate, which is not text" in told.reason(odd)
    assert told.reason("some.jsonl").startswith("2: ") and "1 more" in told.reason("some.jsonl")
    assert told.entries[str(tree / "deep" / "good.json")].outcome == "saved"
    assert "with other content" in str(told.entries[str(tree / "good.json")].reason)
    assert told.outcomes()["note.meta.json"] == "skipped"
    assert summary.outcomes == {"failed": 11, "saved": 1, "skipped": 1}
    assert {info.task_id for info in lake.results()} == {"good", "some-1", "some-3"}
    # What failed is tried again, and what was put right comes in.
    (tree / "cut.json").write_bytes(document(2))
    (tree / "good.json").write_bytes((tree / "deep" / "good.json").read_bytes())
    _, told = run(lake, tree, max_size=1_000_000, strategy="{parent}")
    assert told.outcomes()["cut.json"] == told.outcomes()["nobody.json"] == "saved"
    assert told.entries[str(tree / "good.json")].outcome == "same"
    assert lake.info("nobody").strategy == "tree" and lake.info("cut").strategy == "sma"


def test_two_documents_of_a_file_with_one_task_id_never_take_each_others_place(lake: Lake, tree: Path) -> None:
    def zipped(*numbers: int) -> None:
        with zipfile.ZipFile(tree / "runs.zip", "w") as archive:
            for place, number in enumerate(numbers):
                archive.writestr(f"{place}/same.json", document(number))
            archive.writestr("other.json", document(9))

    zipped(1, 2)
    assert run(lake, tree, dry_run=True)[1].outcomes() == {"runs.zip": "failed"}
    for _ in range(3):
        _, told = run(lake, tree)
        assert told.outcomes() == {"runs.zip": "failed"} and "with other content" in told.reason("runs.zip")
        assert lake.load("runs-same").to_json() == document(1)
    # What changed is done again; a document like the one before is still another's id.
    zipped(3, 1)
    for _ in range(2):
        assert run(lake, tree)[1].outcomes() == {"runs.zip": "failed"}
        assert lake.load("runs-same").to_json() == document(3)
    zipped(3, 3)
    assert run(lake, tree)[1].outcomes() == {"runs.zip": "same"}


def test_what_is_done_is_left_alone_and_what_changed_is_done_again(lake: Lake, tree: Path) -> None:
    for name in ("same", "touched", "changed", "edited", "deleted"):
        (tree / f"{name}.json").write_bytes(document(1, note=name))
    # Read right after they are written, they would be known by their content alone.
    time.sleep(2.1)
    _, told = run(lake, tree)
    assert set(told.outcomes().values()) == {"saved"}
    versions = {info.task_id: info.write_id for info in lake.results()}
    _, told = run(lake, tree)
    assert set(told.outcomes().values()) == {"unchanged"} and told.files == 0
    os.utime(tree / "touched.json")
    (tree / "changed.json").write_bytes(document(2, note="changed"))
    (tree / "edited.json").write_bytes(document(2, note="edited"))
    lake.save(document(3, note="edited"), task_id="edited", replace=True)
    lake.delete("deleted")
    (tree / "new.json").write_bytes(document(1, note="new"))
    _, told = run(lake, tree)
    assert told.outcomes() == {
        "same.json": "unchanged",
        "touched.json": "unchanged",
        "changed.json": "replaced",
        "edited.json": "failed",
        "deleted.json": "unchanged",
        "new.json": "saved",
    }
    # An engine replaced it in the lake: neither version is known to be the better one.
    assert "so was result 'edited' in the lake" in told.reason("edited.json")
    assert lake.load("changed").to_json() == document(2, note="changed")
    assert lake.load("edited").to_json() == document(3, note="edited")
    assert lake.info("same").write_id == versions["same"] and not lake.exists("deleted")
    _, told = run(lake, tree, force=True)
    assert told.outcomes()["deleted.json"] == "saved" and told.outcomes()["same.json"] == "same"
    assert lake.info("same").write_id == versions["same"]


def test_a_dry_run_tells_what_a_run_would_do_and_writes_nothing(lake: Lake, tree: Path, dsn: str) -> None:
    lake.save(document(1), task_id="there")
    lake.save(document(1), task_id="other")
    (tree / "new.json").write_bytes(document(1))
    (tree / "there.json").write_bytes(document(1))
    (tree / "other.json").write_bytes(document(2))
    (tree / "bad.json").write_bytes(b"{")
    for folder in ("x", "y"):
        (tree / folder).mkdir()
        (tree / folder / f"{folder}.json").write_bytes(document(5))
    (tree / "x" / "twin.json").write_bytes(document(6))
    (tree / "y" / "twin.json").write_bytes(document(7))
    files = set(lake.root.rglob("*"))
    summary, told = run(lake, tree, dry_run=True)
    assert summary.outcomes == {"would save": 4, "same": 1, "failed": 3}
    outcomes = told.outcomes()
    assert outcomes["new.json"] == "would save" and outcomes["there.json"] == "same"
    assert outcomes["other.json"] == outcomes["bad.json"] == "failed"
    assert told.entries[str(tree / "x" / "twin.json")].outcome == "would save"
    reason = str(told.entries[str(tree / "y" / "twin.json")].reason)
    assert f"{tree}/x/twin.json would become result 'twin' with other content" in reason
    assert "tells them apart" in reason
    assert summary.bytes_before > 0 and summary.bytes_after > 0
    assert set(lake.root.rglob("*")) == files and len(lake.results()) == 2
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM migrated_files").fetchone() == (0,)
    _, again = run(lake, tree)
    expected = {path: entry.outcome.replace("would save", "saved") for path, entry in told.entries.items()}
    assert {path: entry.outcome for path, entry in again.entries.items()} == expected


def test_two_runs_at_once_share_the_work_and_do_no_file_twice(tmp_path: Path, tree: Path, dsn: str) -> None:
    for n in range(200):
        (tree / f"run-{n:03}.json").write_bytes(document(n))
    told: list[Told] = []

    def one() -> None:
        with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
            told.append(run(lake, tree)[1])

    lakestore.open(tmp_path / "lake", dsn=dsn).close()
    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    saved = [{path for path, entry in each.entries.items() if entry.outcome == "saved"} for each in told]
    assert len(saved[0]) + len(saved[1]) == 200 and not saved[0] & saved[1]
    # Whoever ends last has seen all of them done.
    assert all(len(each.entries) == 200 for each in told)
    assert {entry.outcome for each in told for entry in each.entries.values()} <= {"saved", "elsewhere", "unchanged"}
    with lakestore.open(tmp_path / "lake", dsn=dsn) as lake:
        assert len(lake.results(limit=1000)) == 200
        assert {lake.root / file.path for file in lake.files()} == set(lake.root.rglob("*.parquet"))


def test_a_claim_is_kept_while_its_run_lives_and_lost_when_it_is_gone(lake: Lake, dsn: str) -> None:
    ours, theirs = (lake.parts().catalog.ledger(number) for number in (1, 2))
    with ours.alive():
        assert ours.claim({"/a": None, "/b": None}) == {"/a", "/b"}
        assert theirs.claim({"/a": None, "/c": None}) == {"/c"}
        ours.finish([Finished("/a", Seen(1, 2, 3), b"x" * 32, {"a": "00"})])
        # What somebody finished since it was looked at is not done again.
        assert theirs.claim({"/a": None}) == set()
        assert theirs.known(["/a"])["/a"].results == {"a": "00"}
        assert theirs.claim({"/a": theirs.known(["/a"])["/a"].finished_at}) == {"/a"}
        # Whose claim was taken over has nothing to finish.
        assert ours.finish([Finished("/a", reason="late")]) == set()
    assert theirs.claim({"/b": None}) == {"/b"}
    # Theirs never held the lock of a living run.
    assert ours.claim({"/b": None, "/c": None}) == {"/b", "/c"}


MIGRATE = """
import sys, lakestore
from lakestore.migrate import Options, migrate
with lakestore.open(sys.argv[1], dsn=sys.argv[2], create=False) as lake:
    print(migrate(lake, [sys.argv[3]], Options(batch_size=5)).outcomes, flush=True)
"""


def test_killed_at_any_moment_it_goes_on_with_exactly_what_is_left(lake: Lake, tree: Path, dsn: str) -> None:
    for n in range(60):
        (tree / f"run-{n:02}.json").write_bytes(document(n, rows=200))
    command = [sys.executable, "-c", MIGRATE, str(lake.root), dsn, str(tree)]
    done = 0
    for more in (0, 15, 40):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 60
        while len(lake.results(limit=1000)) < min(more, 59) and time.monotonic() < deadline:
            time.sleep(0.01)
        if not more:
            time.sleep(0.5)
        process.kill()
        process.wait()
        assert len(lake.results(limit=1000)) >= done
        done = len(lake.results(limit=1000))
    _, told = run(lake, tree)
    saved = [entry for entry in told.entries.values() if entry.outcome in ("saved", "same")]
    assert len(told.entries) == 60 and len(saved) <= 60 - more
    assert {entry.outcome for entry in told.entries.values()} <= {"saved", "same", "unchanged", "elsewhere"}
    for n in range(60):
        assert lake.load(f"run-{n:02}").to_json() == document(n, rows=200)
    assert lake.sql("SELECT count(*) FROM signals").fetchall() == [(12_000,)]


def test_a_file_that_kills_its_worker_is_found_and_the_others_come_in(
    lake: Lake, tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killer = tmp_path / "site" / "sitecustomize.py"
    killer.parent.mkdir()
    killer.write_text(
        "import os, signal, lakestore.saving as saving\n"
        "take = saving.Saver.take\n"
        "def fatal(self, item):\n"
        "    if b'poison' in item.document: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return take(self, item)\n"
        "saving.Saver.take = fatal\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(killer.parent))
    for n in range(6):
        (tree / f"run-{n}.json").write_bytes(document(n, note="poison" if n == 3 else ""))
    _, told = run(lake, tree)
    assert told.outcomes() == {f"run-{n}.json": "failed" if n == 3 else "saved" for n in range(6)}
    assert "killed by signal 9" in told.reason("run-3.json")


def test_it_stops_at_the_first_failure_where_it_is_told_to(lake: Lake, tree: Path) -> None:
    for n in range(40):
        (tree / f"run-{n:02}.json").write_bytes(b"{" if not n else document(n))
    summary, _ = run(lake, tree, fail_fast=True, batch_size=2)
    assert summary.stopped and summary.failed == 1 and summary.left > 20


def test_a_catalog_that_goes_away_ends_the_run_and_not_the_files(
    lake: Lake, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "a.json").write_bytes(document(1))
    monkeypatch.setattr(lake, "_dsn", "host=127.0.0.1 port=1 dbname=x connect_timeout=1")
    with pytest.raises(CatalogError, match="cannot reach the catalog"):
        run(lake, tree)
    monkeypatch.undo()
    assert run(lake, tree)[1].outcomes() == {"a.json": "saved"}


def test_a_profile_that_nobody_knows_is_refused_before_anything_is_done(lake: Lake, tree: Path) -> None:
    (tree / "a.json").write_bytes(document(1))
    with pytest.raises(InvalidInputError, match="no profile 'nope'"):
        run(lake, tree, profile="nope")


@pytest.mark.parametrize(("option", "value"), [("batch_size", 0), ("max_size", 0), ("task_id", "{x}")])
def test_an_option_that_cannot_be_used_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(InvalidInputError):
        Options(**{option: value})


def lakestore_command(*args: str | Path, cwd: Path, dsn: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "LAKESTORE_DSN": dsn, "LAKESTORE_LAKE": str(cwd / "lake"), "HOME": str(cwd)}
    return subprocess.Popen(
        [sys.executable, "-m", "lakestore", *map(str, args)],
        env=environ,
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_command_reports_each_file_and_ends_with_1_where_one_failed(
    lake: Lake, tree: Path, tmp_path: Path, dsn: str
) -> None:
    (tree / "good.json").write_bytes(document(1))
    (tree / "bad.json").write_bytes(b"{")
    report = tree / "report.json"
    for _ in range(2):
        # The report of the first run is no source of the second.
        process = lakestore_command("migrate", tree, "--force", "--report", report, cwd=tmp_path, dsn=dsn)
        out, err = process.communicate()
    assert process.returncode == 1 and "1 in the lake already" in out and "1 failed" in out
    assert f"failed {tree / 'bad.json'}: " in err
    entries = json.loads(report.read_text())
    assert [(entry["outcome"], list(entry["results"])) for entry in entries] == [("failed", []), ("same", ["good"])]
    assert set(entries[0]) == {
        "path",
        "outcome",
        "reason",
        "results",
        "bytes_before",
        "bytes_after",
        "seconds",
        "fidelity",
    }


def test_a_run_that_an_error_ends_says_how_far_it_got(lake: Lake, tree: Path, tmp_path: Path, dsn: str) -> None:
    for n in range(3):
        (tree / f"run-{n}.json").write_bytes(document(n))
    # No folder of partitions can be made there.
    (lake.root / "signals").write_text("")
    migrating = lakestore_command("migrate", "--batch-size", "1", tree, cwd=tmp_path, dsn=dsn)
    _, err = migrating.communicate(timeout=60)
    assert migrating.returncode not in (0, 1)
    assert "broken off after 0 of 3 files; the same command goes on with the others" in err
    (lake.root / "signals").unlink()
    assert set(run(lake, tree)[1].outcomes().values()) == {"saved"}


def test_a_run_stopped_by_its_last_file_leaves_none(lake: Lake, tree: Path, tmp_path: Path, dsn: str) -> None:
    (tree / "run.json").write_bytes(b"{")
    for others, left in (
        (0, "stopped when no file was left\n"),
        (9, " left; the same command goes on\n"),
    ):
        for n in range(others):
            (tree / f"run-{n}.json").write_bytes(b"{")
        migrating = lakestore_command(
            "migrate", "--fail-fast", "--force", "--batch-size", "1", tree, cwd=tmp_path, dsn=dsn
        )
        _, err = migrating.communicate(timeout=60)
        assert migrating.returncode == 1 and err.endswith(left)


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(lake: Lake, tree: Path, tmp_path: Path, dsn: str) -> None:
    for n in range(400):
        (tree / f"run-{n:03}.json").write_bytes(document(n, rows=300))
    process = lakestore_command("migrate", tree, "--batch-size", "4", "--report", "r.json", cwd=tmp_path, dsn=dsn)
    deadline = time.monotonic() + 60
    while not lake.results() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "Ctrl-C again stops at once" in err and "the same command goes on" in err
    saved = len(lake.results(limit=1000))
    entries = json.loads((tmp_path / "r.json").read_text())
    assert 0 < saved < 400 and len(entries) == saved and f"{400 - saved} files left" in err
    # Nothing was written in vain, and nobody is at anything.
    assert {lake.root / file.path for file in lake.files()} == set(lake.root.rglob("*.parquet"))
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM migrated_files WHERE claimant IS NOT NULL").fetchone() == (0,)
