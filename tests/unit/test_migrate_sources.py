"""What is found below a folder, and what a file gives: its documents, its hash, or one reason against it."""

from __future__ import annotations

import gzip
import io
import os
import resource
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from lakestore.compression import zstd
from lakestore.errors import InvalidInputError, NotFoundError
from lakestore.migrate import Found, Options, Reader, find
from lakestore.migrate.find import form_of

TEXT = b'{"strategy": "s", "n": 1}\n'


def found(path: Path) -> Found:
    return next(find([path]))


def read(path: Path, limit: int = 1 << 20) -> tuple[list[tuple[str | None, bytes]], str | None]:
    reader = Reader(found(path), limit=limit)
    documents = [(document.member, document.text) for document in reader.documents()]
    if reader.problem is None:
        assert reader.sha256 == sha256(path.read_bytes()).digest()
    return documents, reader.problem


def zipped(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.json", ("a", "json", "")),
        ("a.b.json.gz", ("a.b", "json", "gz")),
        ("A.JSON", ("A", "json", "")),
        ("a.json.zst", ("a", "json", "zst")),
        ("a.jsonl", ("a", "jsonl", "")),
        ("a.fthypt.gz", ("a", "fthypt", "gz")),
        ("a.zip", ("a", "zip", "")),
        ("a.zip.gz", None),
        ("a.gz", None),
        ("a.pkl", None),
        ("a.parquet", None),
        (".json", None),
        ("json", None),
    ],
)
def test_a_name_says_what_a_file_is(name: str, form: tuple[str, str, str] | None) -> None:
    assert form_of(f"/some/{name}") == form


def test_folders_are_walked_in_order_without_what_is_hidden_or_no_source(tmp_path: Path) -> None:
    for name in ("b/2.json", "b/1.json.gz", "a.json", ".hidden.json", ".x/1.json", "b/note.txt", "b/model.pkl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(TEXT)
    assert [each.relative for each in find([tmp_path])] == ["a.json", "b/1.json.gz", "b/2.json"]
    assert [each.relative for each in find([tmp_path], pattern="[0-9].json*")] == ["b/1.json.gz", "b/2.json"]
    assert [each.relative for each in find([tmp_path], pattern="b/*.json")] == ["b/2.json"]


def test_a_lake_in_a_folder_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "lake" / "_lakestore").mkdir(parents=True)
    (tmp_path / "lake" / "_lakestore" / "lake.json").write_bytes(TEXT)
    (tmp_path / "lake" / "other.json").write_bytes(TEXT)
    assert list(find([tmp_path])) == []


def test_a_file_that_is_named_twice_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_bytes(TEXT)
    monkeypatch.chdir(tmp_path)
    assert [each.path for each in find([".", "a.json", "*.json", str(tmp_path / "a.json")])] == [
        str(tmp_path.resolve() / "a.json")
    ]


def test_globs_reach_below_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x/1.json", "y/2.json", "y/3.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(TEXT)
    monkeypatch.chdir(tmp_path)
    assert [os.path.basename(each.path) for each in find(["*/*"])] == ["1.json", "2.json"]
    assert [os.path.basename(each.path) for each in find(["**/2.*"])] == ["2.json"]
    with pytest.raises(NotFoundError, match="no file that can hold results fits"):
        list(find(["z*"]))


def test_a_source_that_is_not_there_or_no_document_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"gone\.json"):
        list(find([tmp_path / "gone.json"]))
    (tmp_path / "model.pkl").write_bytes(b"x")
    with pytest.raises(InvalidInputError, match=r"model\.pkl is none of \.json"):
        list(find([tmp_path / "model.pkl"]))


def test_links_are_followed_only_where_they_are_named(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    tree.mkdir()
    outside.mkdir()
    (outside / "o.json").write_bytes(TEXT)
    (tree / "a.json").write_bytes(TEXT)
    (tree / "in.json").symlink_to("a.json")
    (tree / "out.json").symlink_to(outside / "o.json")
    (tree / "nothing.json").symlink_to("gone.json")
    (tree / "folder").symlink_to(outside)
    by_name = {each.relative: each for each in find([tree])}
    assert set(by_name) == {"a.json", "in.json", "out.json", "nothing.json"}
    assert by_name["a.json"].refused is by_name["a.json"].passed is None
    assert "which is in the tree itself" in str(by_name["in.json"].passed)
    assert "out of the tree" in str(by_name["out.json"].refused)
    assert "a broken symbolic link" in str(by_name["nothing.json"].refused)
    assert read(tree / "out.json") == ([(None, TEXT)], None)


def test_a_file_that_becomes_a_link_after_it_was_found_is_not_followed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tmp_path / "secret.json").write_bytes(TEXT)
    (tree / "a.json").write_bytes(TEXT)
    one = next(find([tree]))
    (tree / "a.json").unlink()
    (tree / "a.json").symlink_to(tmp_path / "secret.json")
    reader = Reader(one)
    assert list(reader.documents()) == []
    assert reader.problem is not None and "cannot be read" in reader.problem


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    assert next(find([tmp_path])).refused == "not a regular file"
    reader = Reader(Found(str(tmp_path / "a.json"), str(tmp_path), found_seen()))
    assert list(reader.documents()) == [] and reader.problem == "not a regular file"


def found_seen() -> object:
    from lakestore.catalog.ledger import Seen

    return Seen(0, 0, None)


@pytest.mark.parametrize(
    ("name", "pack"),
    [("a.json", bytes), ("a.json.gz", gzip.compress), ("a.json.zst", zstd.compress)],
)
def test_a_document_is_read_whole_however_it_is_packed(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    text = TEXT + b" " * 3_000_000
    (tmp_path / name).write_bytes(pack(text))
    assert read(tmp_path / name, limit=4_000_000) == ([(None, text)], None)


def test_each_line_of_a_lines_file_is_a_document_named_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "a.fthypt").write_bytes(b'{"n":1}\n\n  \n{"n":2}\r\n{"n":3}')
    assert read(tmp_path / "a.fthypt") == ([("1", b'{"n":1}'), ("4", b'{"n":2}'), ("5", b'{"n":3}')], None)


def test_a_zip_gives_its_results_and_nothing_that_belongs_to_them(tmp_path: Path) -> None:
    result = b'{"strategy": {"Strategy": {"trades": [], "x": NaN}}}'
    members = {
        "bt-1_Strategy.json": b"{}",
        "bt-1.json": result,
        "bt-1_config.json": b"{}",
        "bt-1.meta.json": b"{}",
        "bt-1_signals.pkl": b"cos\nsystem\n(S'touch /tmp/owned'\ntR.",
        "bt-1_Strategy.py": b"raise SystemExit",
    }
    (tmp_path / "a.zip").write_bytes(zipped(members))
    assert read(tmp_path / "a.zip") == ([(None, result)], None)
    (tmp_path / "b.zip").write_bytes(zipped({**members, "deep/bt-2.json": b"[]"}))
    assert read(tmp_path / "b.zip") == ([("bt-1", result), ("bt-2", b"[]")], None)


def test_numbered_results_in_a_zip_belong_to_none_of_them(tmp_path: Path) -> None:
    members = {
        "run.json": TEXT,
        "run_2.json": b"not JSON",
        "run_2_b.JSON": TEXT,
        "run_config.json": b"{}",
        "y_1.json": b"1",
    }
    (tmp_path / "a.zip").write_bytes(zipped(members))
    assert read(tmp_path / "a.zip") == (
        [("run", TEXT), ("run_2", b"not JSON"), ("run_2_b", TEXT), ("y_1", b"1")],
        None,
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_two_members_of_one_name_is_refused(tmp_path: Path) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number in (1, 2):
            archive.writestr("a.json", str(number))
    (tmp_path / "a.zip").write_bytes(target.getvalue())
    assert read(tmp_path / "a.zip") == ([], "two members of it have the same name")


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cut.json.gz", truncated(gzip.compress(os.urandom(4000)))),
        ("cut.json.zst", truncated(zstd.compress(os.urandom(4000)))),
        ("cut.zip", truncated(zipped({"a.json": os.urandom(4000)}))),
        ("none.json.gz", TEXT),
        ("none.json.zst", TEXT),
        ("none.zip", TEXT),
        ("empty.json.gz", b""),
        ("empty.zip", b""),
        ("code.zip", zipped({"a.py": b"", "a.pkl": b""})),
    ],
)
def test_what_is_not_packed_as_its_name_says_is_its_own_problem(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    documents, problem = read(tmp_path / name)
    assert all(text == b"" for _, text in documents)
    assert problem is not None or documents == [(None, b"")]


@pytest.mark.parametrize("name", ["bomb.json.gz", "bomb.json.zst", "bomb.jsonl.gz", "bomb.zip", "bomb.json"])
def test_a_bomb_is_refused_in_little_memory(tmp_path: Path, name: str) -> None:
    text = b" " * 200_000_000
    pack: dict[str, Callable[[bytes], bytes]] = {
        ".gz": lambda data: gzip.compress(data, 1),
        ".zst": zstd.compress,
        ".zip": lambda data: zipped({"a.json": data}),
    }
    (tmp_path / name).write_bytes(pack.get(Path(name).suffix, bytes)(text))
    del text
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    documents, problem = read(tmp_path / name, limit=8_000_000)
    assert documents == [] and problem is not None and "takes more than 8,000,000 bytes; --max-size" in problem
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_an_encrypted_zip_is_its_own_problem(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.json": TEXT}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    documents, problem = read(tmp_path / "a.zip")
    assert documents == [] and problem is not None and "encrypted" in problem


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(TEXT * 3)
    reader = Reader(found(path))
    documents = reader.documents()
    next(documents)
    with path.open("ab") as stream:
        stream.write(TEXT)
    list(documents)
    assert reader.problem is not None and "changed while it was read" in reader.problem


def test_a_file_changed_just_now_is_not_known_by_its_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(TEXT)
    reader = Reader(found(path))
    list(reader.documents())
    assert reader.seen is not None and reader.seen.ctime_ns is None
    # As if it had been changed long ago.
    monkeypatch.setattr("lakestore.migrate.read.SETTLED_NS", -1)
    again = Reader(found(path))
    list(again.documents())
    assert again.seen == found(path).seen


def test_ids_come_from_names_or_from_a_template(tmp_path: Path) -> None:
    (tmp_path / "sma").mkdir()
    (tmp_path / "sma" / "run-1.json.gz").write_bytes(gzip.compress(TEXT))
    one = found(tmp_path / "sma" / "run-1.json.gz")
    assert Options().id_of(one, None) == "run-1"
    assert Options().id_of(one, "7") == "run-1-7"
    assert Options(task_id="{parent}-{stem}").id_of(one, None) == "sma-run-1"
    assert Options(task_id="{parent}/{name}").id_of(one, "7") == "sma/run-1.json.gz-7"
    assert Options(task_id="{member:0>4}@{stem}").id_of(one, "7") == "0007@run-1"
    assert Options(task_id="{id}").id_of(one, "7") is None
    assert Options(strategy="{parent}").strategy_of(one, None) == "sma"


@pytest.mark.parametrize("template", ["{stem", "{nothing}", "{}", "{stem.__class__}", "{0}"])
def test_a_template_that_stands_for_nothing_is_refused(template: str) -> None:
    with pytest.raises(InvalidInputError):
        Options(task_id=template)


def test_names_of_a_json_tree_are_ids_as_the_tree_wrote_them(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "a%2Fb.json").write_bytes(TEXT)
    assert Options().id_of(next(find([tmp_path])), None) in ("a/b", "a%2Fb")
