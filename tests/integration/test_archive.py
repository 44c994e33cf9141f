"""Old JSON put away and taken out again: what goes, what stays and why, and that no kill loses a file."""

from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lakestore
from lakestore import Lake
from lakestore.archive import ArchiveEntry, archive, archives, manifest_of, restore
from lakestore.archive.tarball import check
from lakestore.errors import ConflictError, CorruptFileError, InvalidInputError, NotFoundError, StorageError
from lakestore.identity import digest
from lakestore.migrate import Options
from lakestore.storage import JsonResultStorage, LakeResultStorage
from lakestore.storage.cutover import standing
from lakestore.storage.journal import Journal, JournalEntry
from lakestore.storage.mend import mend


def document(n: int, **more: Any) -> bytes:
    signals = [{"price": n + i / 4, "place": i, "side": "BUY"} for i in range(5)]
    return json.dumps({"strategy": "sma", "created_at": "2024-05-06T07:08:09Z", **more, "signals": signals}).encode()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "sma").mkdir(parents=True)
    return folder


def saved(lake: Lake, tree: Path, name: str, text: bytes) -> Path:
    """A file of the tree that the lake holds too, as an engine saves that writes both."""
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    lake.save(text, task_id=path.name.partition(".")[0])
    return path


def outcomes(entries: Iterator[ArchiveEntry]) -> dict[str, tuple[str, str]]:
    return {os.path.basename(entry.path): (entry.outcome, entry.reason or "") for entry in entries}


def contents(tree: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        path.relative_to(tree).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in tree.rglob("*")
        if path.is_file()
    }


def test_what_the_lake_holds_goes_into_one_archive_for_each_strategy_and_month(
    lake: Lake, tree: Path, tmp_path: Path
) -> None:
    a = saved(lake, tree, "sma/a.json", document(1))
    os.utime(a, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    a.chmod(0o640)
    saved(lake, tree, "sma/b.json.gz", document(2, created_at="2024-05-31T23:59:59Z"))
    saved(lake, tree, "sma/c.json", document(3, created_at="2024-06-01T00:00:00Z"))
    saved(lake, tree, "odd/d.json", document(4, strategy="../x"))
    before = contents(tree)
    to = tmp_path / "away"
    assert {outcome for outcome, _ in outcomes(archive(lake, tree, to)).values()} == {"archived"}
    assert contents(tree) == {}
    found = [path.relative_to(to).as_posix() for path in archives(to)]
    assert found == ["..%2Fx/2024-05.tar.zst", "sma/2024-05.tar.zst", "sma/2024-06.tar.zst"]
    manifest = manifest_of(to / "sma" / "2024-05.tar.zst")
    assert [(file.path, list(file.results)) for file in manifest.files] == [
        ("sma/a.json", ["a"]),
        ("sma/b.json.gz", ["b"]),
    ]
    assert {entry.outcome for entry in restore(to)} == {"restored"}
    assert contents(tree) == before
    assert {entry.outcome for entry in restore(to)} == {"there"}
    # Put away again, nothing is packed twice.
    list(archive(lake, tree, to))
    assert contents(tree) == {} and len(archives(to)) == 3


def test_tar_itself_unpacks_an_archive(lake: Lake, tree: Path, tmp_path: Path) -> None:
    import io
    import tarfile

    from lakestore.compression import zstd

    saved(lake, tree, "sma/a.json", document(1))
    list(archive(lake, tree, tmp_path / "away"))
    data = zstd.decompress((tmp_path / "away" / "sma" / "2024-05.tar.zst").read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["MANIFEST.json", "tree/sma/a.json"]
        stream = tar.extractfile("tree/sma/a.json")
        assert stream is not None and stream.read() == document(1)


def test_what_the_lake_does_not_hold_as_it_is_stays_with_its_reason(lake: Lake, tree: Path, tmp_path: Path) -> None:
    saved(lake, tree, "sma/good.json", document(1))
    saved(lake, tree, "sma/other.json", document(2)).write_bytes(document(22))
    saved(lake, tree, "sma/deleted.json", document(3))
    lake.delete("deleted")
    damaged = saved(lake, tree, "sma/damaged.json", document(4, created_at="2024-07-01T00:00:00Z"))
    for file in lake.files("signals"):
        if str(file.run_date) == "2024-07-01":
            (lake.root / file.path).write_bytes(b"PAR1")
    (tree / "sma" / "never.json").write_bytes(document(5))
    saved(lake, tree, "sma/cut.json.gz", document(6)).write_bytes(gzip.compress(document(6))[:-9])
    (tree / "sma" / "link.json").symlink_to(damaged)
    (tree / "sma" / "none.jsonl").write_bytes(b"\n")
    before = contents(tree)
    found = outcomes(archive(lake, tree, tmp_path / "away"))
    assert found.pop("good.json") == ("archived", "")
    assert {outcome for outcome, _ in found.values()} == {"kept"}
    reasons = {name: reason for name, (_, reason) in found.items()}
    assert "with other content" in reasons["other.json"]
    assert (
        "not in the lake; 'lakestore migrate'" in reasons["deleted.json"] and "not in the lake" in reasons["never.json"]
    )
    assert "damaged" in reasons["damaged.json"]
    assert "cannot be unpacked" in reasons["cut.json.gz"]
    assert "symbolic link" in reasons["link.json"]
    assert "no document" in reasons["none.jsonl"]
    before.pop("sma/good.json")
    assert contents(tree) == before


def test_what_the_lake_is_yet_to_take_from_the_tree_stays(lake: Lake, tree: Path, tmp_path: Path) -> None:
    text = document(1)
    path = saved(lake, tree, "sma/again.json", text)
    both = {"json": JsonResultStorage(tree), "lake": LakeResultStorage(lake)}
    journal = Journal(tree, lake.root)
    # It was deleted and saved again while somebody copied: a version that was let go is the one that counts.
    journal.write(JournalEntry("again", "json", "save", datetime.now(UTC), "it was not finished", (digest(text),)))
    for root in (tree, path.parent):
        found = outcomes(archive(lake, root, tmp_path / "away"))
        assert found["again.json"][0] == "kept" and "to be mended in the lake first" in found["again.json"][1]
    assert [done.outcome for done in mend(journal, both)] == ["mended"]
    assert outcomes(archive(lake, tree, tmp_path / "away")) == {"again.json": ("archived", "")}
    journal.write(JournalEntry("gone", "json", "delete", datetime.now(UTC), "it was not finished"))
    told = standing(both["json"], lake, journal, mode="lake")
    assert told.phase == "archive" and not told.ready and told.next.startswith("1 result is to be mended in the lake, ")
    assert [done.outcome for done in mend(journal, both)] == ["mended"] and lake.exists("again")
    assert standing(both["json"], lake, journal, mode="lake").ready


def test_a_dry_run_writes_nothing_and_keep_removes_nothing(lake: Lake, tree: Path, tmp_path: Path) -> None:
    saved(lake, tree, "sma/a.json", document(1))
    (tree / "sma" / "never.json").write_bytes(document(5))
    before = contents(tree)
    to = tmp_path / "away"
    assert outcomes(archive(lake, tree, to, dry_run=True))["a.json"][0] == "would archive"
    assert not to.exists() and contents(tree) == before
    assert outcomes(archive(lake, tree, to, keep=True))["a.json"][0] == "archived"
    assert contents(tree) == before and len(archives(to)) == 1
    list(archive(lake, tree, to, keep=True))
    assert len(archives(to)) == 1
    list(archive(lake, tree, to))
    assert set(contents(tree)) == {"sma/never.json"} and len(archives(to)) == 1


def test_ids_come_from_the_ledger_or_from_the_template(lake: Lake, tree: Path, tmp_path: Path) -> None:
    (tree / "sma" / "run.json").write_bytes(document(1))
    (tree / "sma" / "lines.jsonl").write_bytes(document(2) + b"\n" + document(3) + b"\n")
    lake.save(document(1), task_id="sma-run")
    lake.save_many([lakestore.Item(document=document(n), task_id=f"sma-lines-{n - 1}") for n in (2, 3)])
    assert {outcome for outcome, _ in outcomes(archive(lake, tree, tmp_path / "away")).values()} == {"kept"}
    found = archive(lake, tree, tmp_path / "away", Options(task_id="{parent}-{stem}"))
    assert {outcome for outcome, _ in outcomes(found).values()} == {"archived"}
    (entry,) = restore(tmp_path / "away", ["sma-lines-2"])
    assert entry.path == str(tree / "sma" / "lines.jsonl")


def test_a_file_that_changed_comes_back_in_its_last_version(lake: Lake, tree: Path, tmp_path: Path) -> None:
    path = saved(lake, tree, "sma/a.json", document(1))
    list(archive(lake, tree, tmp_path / "away"))
    path.write_bytes(document(2))
    lake.save(document(2), task_id="a", replace=True)
    list(archive(lake, tree, tmp_path / "away"))
    names = [found.name for found in archives(tmp_path / "away")]
    assert names == ["2024-05.2.tar.zst", "2024-05.tar.zst"]
    assert [entry.outcome for entry in restore(tmp_path / "away")] == ["restored"]
    assert path.read_bytes() == document(2)
    assert [entry.outcome for entry in restore(tmp_path / "away" / "sma" / "2024-05.tar.zst")] == ["refused"]
    assert path.read_bytes() == document(2)
    list(restore(tmp_path / "away" / "sma" / "2024-05.tar.zst", overwrite=True))
    assert path.read_bytes() == document(1)
    assert [entry.outcome for entry in restore(tmp_path / "away", ["sma/*"], to=tmp_path / "else")] == ["restored"]
    assert (tmp_path / "else" / "sma" / "a.json").read_bytes() == document(2)
    with pytest.raises(NotFoundError, match="no archive holds 'gone'"):
        list(restore(tmp_path / "away", ["gone"]))


def test_a_file_changed_while_it_is_packed_stays_and_the_others_go(
    lake: Lake, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakestore.archive import pack

    for name in "abc":
        saved(lake, tree, f"sma/{name}.json", document(1, note=name))
    prove = pack.prove

    def and_change(lake: Any, found: Any, *rest: Any) -> Any:
        proof = prove(lake, found, *rest)
        if found.path.endswith("b.json"):
            Path(found.path).write_bytes(document(9))
        return proof

    monkeypatch.setattr(pack, "prove", and_change)
    found = outcomes(archive(lake, tree, tmp_path / "away"))
    assert found["b.json"] == ("kept", "it was changed while it was packed")
    assert set(contents(tree)) == {"sma/b.json"}
    (path,) = archives(tmp_path / "away")
    assert [file.path for file in check(path).files] == ["sma/a.json", "sma/c.json"]


def test_a_file_replaced_after_it_was_packed_stays(
    lake: Lake, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakestore.archive.tarball import Writer

    path = saved(lake, tree, "sma/a.json", document(1))
    finish = Writer.finish

    def and_change(self: Writer, manifest: Any) -> None:
        finish(self, manifest)
        path.write_bytes(document(2))

    monkeypatch.setattr(Writer, "finish", and_change)
    assert outcomes(archive(lake, tree, tmp_path / "away"))["a.json"][0] == "kept"
    assert path.read_bytes() == document(2)


def test_an_archive_that_does_not_read_back_removes_nothing(
    lake: Lake, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakestore.archive import tarball

    saved(lake, tree, "sma/a.json", document(1, note="x" * 5000))
    sync = os.fsync

    def and_damage(fd: int) -> None:
        sync(fd)
        name = os.readlink(f"/proc/self/fd/{fd}")
        if name.endswith(".tmp"):
            with open(name, "r+b") as stream:
                stream.seek(-40, os.SEEK_END)
                stream.write(b"\xff" * 8)

    monkeypatch.setattr(tarball.os, "fsync", and_damage)
    with pytest.raises(CorruptFileError):
        list(archive(lake, tree, tmp_path / "away"))
    assert set(contents(tree)) == {"sma/a.json"} and archives(tmp_path / "away") == []
    assert [path.name for path in (tmp_path / "away" / "sma").iterdir()] == []


def test_a_full_disk_removes_nothing_and_leaves_nothing(
    lake: Lake, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakestore.archive import tarball

    saved(lake, tree, "sma/a.json", document(1))
    before = contents(tree)

    sync = os.fsync

    def full(fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(".tmp"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(fd)

    monkeypatch.setattr(tarball.os, "fsync", full)
    with pytest.raises(StorageError, match=r"'sma', 2024-05, in .*away: No space left on device \(make room"):
        list(archive(lake, tree, tmp_path / "away"))
    assert contents(tree) == before and list((tmp_path / "away" / "sma").iterdir()) == []
    monkeypatch.undo()
    assert {outcome for outcome, _ in outcomes(archive(lake, tree, tmp_path / "away")).values()} == {"archived"}


def test_what_others_have_beside_the_archives_stays(lake: Lake, tree: Path, tmp_path: Path) -> None:
    saved(lake, tree, "sma/a.json", document(1))
    theirs = [tmp_path / "away" / name for name in (".upload.tmp", "sma/.notes.tar.tmp", "other/.a.tar.zst.part")]
    killed = [tmp_path / "away" / "sma" / name for name in (".2024-05.tar.zst.tmp", ".2024-05.2.tar.zst.body.tmp")]
    for path in (*theirs, *killed):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    assert outcomes(archive(lake, tree, tmp_path / "away")) == {"a.json": ("archived", "")}
    assert all(path.exists() for path in theirs) and not any(path.exists() for path in killed)


def test_a_damaged_archive_is_named_and_puts_nothing_back(lake: Lake, tree: Path, tmp_path: Path) -> None:
    saved(lake, tree, "sma/a.json", document(1, note="x" * 5000))
    list(archive(lake, tree, tmp_path / "away"))
    (path,) = archives(tmp_path / "away")
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match=r"2024-05\.tar\.zst"):
        list(restore(tmp_path / "away"))
    path.write_bytes(b"no archive")
    with pytest.raises(CorruptFileError, match=r"2024-05\.tar\.zst"):
        list(restore(tmp_path / "away"))
    assert contents(tree) == {}


@pytest.mark.parametrize("name", ["../out.json", "/out.json", "a/../../out.json"])
def test_nothing_in_an_archive_leads_out_of_the_tree(
    lake: Lake, tree: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakestore.migrate import Found

    saved(lake, tree, "sma/a.json", document(1))
    monkeypatch.setattr(Found, "relative", name)
    list(archive(lake, tree, tmp_path / "away"))
    monkeypatch.undo()
    with pytest.raises(CorruptFileError, match="out of the tree"):
        list(restore(tmp_path / "away", to=tmp_path / "deep" / "er"))
    assert not (tmp_path / "deep").exists() and not (tmp_path / "out.json").exists()


def test_where_archives_cannot_go_is_refused(lake: Lake, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="must not lie in the tree"):
        archive(lake, tree, tree / "away")
    with pytest.raises(InvalidInputError, match="is not a folder"):
        archive(lake, tmp_path / "gone", tmp_path / "away")
    saved(lake, tree, "sma/a.json", document(1))
    first = archive(lake, tree, tmp_path / "away")
    saved(lake, tree, "sma/never.json", document(2)).write_bytes(document(3))
    next(first)
    with pytest.raises(ConflictError, match="another process archives"):
        list(archive(lake, tree, tmp_path / "away"))
    list(first)


KILLED_AT_EACH = """
import os, shutil, signal, sys
from pathlib import Path

folder, dsn, stride, offset = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
import lakestore
from lakestore.archive import archive, archives, restore
from lakestore.archive.tarball import opened

EVENTS = {"open", "os.remove", "os.link", "os.rename", "os.mkdir", "shutil.copyfile"}
texts = {path.name: path.read_bytes() for path in (folder / "tree").rglob("*.json")}


def child(root, at, put_back):
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        return os.WIFSIGNALED(status)
    count = 0

    def hook(event, args):
        nonlocal count
        if event in EVENTS and args and str(args[0]).startswith((str(root / "tree"), str(root / "away"))):
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    try:
        with lakestore.open(folder / "lake", dsn=dsn, create=False) as lake:
            sys.addaudithook(hook)
            list(restore(root / "away") if put_back else archive(lake, root / "tree", root / "away"))
    except BaseException as exc:
        print("failed", at, repr(exc), flush=True)
        os._exit(1)
    os._exit(0)


def everywhere(root):
    found = {path.name: path.read_bytes() for path in (root / "tree").rglob("*.json")}
    away = {}
    for path in archives(root / "away") if (root / "away").exists() else ():
        with opened(path) as (_, files):
            away |= {Path(packed.path).name: stream.read() for packed, stream in files}
    return found, away


kills = 0
for at in range(offset, 10_000, stride):
    root = folder / f"case-{at}"
    shutil.copytree(folder / "tree", root / "tree")
    killed = child(root, at, False)
    found, away = everywhere(root)
    if {**away, **found} != texts or any(found.get(n, t) != t or away.get(n, t) != t for n, t in texts.items()):
        print("lost", at, sorted(found), sorted(away), flush=True)
    child(root, -1, False)
    found, away = everywhere(root)
    if found or away != texts or list((root / "away").rglob(".*.tmp")):
        print("not finished", at, sorted(found), sorted(away), flush=True)
    if at % (2 * stride) == offset:
        child(root, at, True)
        found, _ = everywhere(root)
        if any(found[name] != texts[name] for name in found):
            print("torn", at, flush=True)
        child(root, -1, True)
        if everywhere(root)[0] != texts or list((root / "tree").rglob(".*.tmp")) and not killed:
            print("not restored", at, flush=True)
    shutil.rmtree(root)
    kills += killed
    if not killed:
        break
print("kills", kills, flush=True)
"""


def test_killed_at_any_operation_no_file_is_nowhere_and_the_next_run_ends_it(
    lake: Lake, tree: Path, tmp_path: Path, dsn: str
) -> None:
    for name, month in (("a", "05"), ("b", "05"), ("c", "06")):
        saved(lake, tree, f"sma/{name}.json", document(1, note=name, created_at=f"2024-{month}-01T00:00:00Z"))
    command = [sys.executable, "-c", KILLED_AT_EACH, str(tmp_path), dsn, "4", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *problems, last = done.stdout.splitlines()
    assert problems == [], done.stdout
    assert int(last.removeprefix("kills ")) >= 8


def test_both_forms_of_the_command_do_the_same(lake: Lake, tree: Path, tmp_path: Path, dsn: str) -> None:
    saved(lake, tree, "sma/a.json", document(1))
    (tree / "sma" / "never.json").write_bytes(document(5))

    def call(*args: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "LAKESTORE_DSN": dsn, "LAKESTORE_LAKE": str(lake.root), "HOME": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-m", "lakestore", "archive", *args],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )

    done = call("pack", "tree", "--to", "away", "--dry-run")
    assert done.returncode == 1 and "would be archived" in done.stdout and "kept" in done.stderr
    done = call("--to", "away", "tree")
    assert done.returncode == 1 and f"archived {tree / 'sma' / 'a.json'}\n" == done.stdout
    done = call("list", "away", "--format", "json")
    assert [row["path"] for row in json.loads(done.stdout)] == ["sma/a.json"]
    for name in ("no-such-folder", "tree"):
        done = call("list", name)
        assert done.returncode == 4 and done.stdout == "" and f"{name}; give" in done.stderr
    done = call("restore", "away", "a", "-q")
    assert done.returncode == 0 and "1 file restored" in done.stderr
    assert (tree / "sma" / "a.json").read_bytes() == document(1)
    assert call("--help").stdout.startswith("Usage: ")
