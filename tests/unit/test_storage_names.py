"""Task ids as names of files: every id has one, every name has an id, and none leads out of the tree."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lakestore.errors import InvalidInputError
from lakestore.storage.journal import Journal
from lakestore.storage.names import Pattern, from_name, to_name
from lakestore.testing import TASK_IDS

WHEN = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
PATTERNS = [Pattern(text) for text in ("{strategy}/{task_id}.json", "{task_id}/result.json", "r-{task_id}.x.json")]
AWKWARD = st.text(st.sampled_from("ab./%~2FfEe\x01\n \\é策:-"), min_size=1, max_size=400) | st.text(
    min_size=1, max_size=60
)


def kept(task_id: str) -> str:
    try:
        assume(len(task_id.encode()) <= 512 and "\0" not in task_id)
    except UnicodeEncodeError:
        assume(False)
    return task_id


@given(AWKWARD)
def test_an_id_comes_back_from_its_name_and_the_name_is_one(text: str) -> None:
    name = to_name(kept(text))
    assert from_name(name) == text
    for part in name.split("/"):
        assert (
            part and not part.startswith(".") and len(part.encode()) <= 210 and part.isprintable() >= text.isprintable()
        )


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_no_name_is_that_of_a_lakes_own_folder(pattern: Pattern) -> None:
    path = pattern.path("_lakestore", "_lakestore", WHEN)
    assert "_lakestore" not in path.split("/")
    assert pattern.task_id(path) == "_lakestore" and pattern.task_id(path.replace("%5F", "_")) == "_lakestore"


@pytest.mark.parametrize(("text", "task_id"), [("_{task_id}/a.json", "lakestore"), ("_lakestore/{task_id}.json", "a")])
def test_a_pattern_that_leads_into_a_lakes_own_folder_refuses_such_a_result(text: str, task_id: str) -> None:
    with pytest.raises(InvalidInputError, match="leads into a lake's own folder"):
        Pattern(text).path(task_id, "s", WHEN)


@given(AWKWARD, AWKWARD)
def test_two_ids_never_have_one_name(one: str, other: str) -> None:
    assume(kept(one) != kept(other))
    assert to_name(one) != to_name(other)


@given(st.text(st.sampled_from("ab.%~2FEe é"), min_size=1, max_size=10))
def test_every_file_of_an_old_tree_is_found_by_its_id(name: str) -> None:
    assume(not name.startswith("."))
    path = f"old/{name}.json"
    task_id = PATTERNS[0].task_id(path)
    assert task_id is not None and f"{name}.json" in PATTERNS[0].ends(task_id)


def test_a_file_whose_name_is_not_utf8_is_no_result() -> None:
    for name in (b"latin\xe9.json", b"%FF\xe9.json", b"\xe9" * 250 + b".json"):
        assert PATTERNS[0].task_id(f"old/{os.fsdecode(name)}") is None


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("task_id", TASK_IDS, ids=lambda text: text[:20])
def test_a_path_is_read_as_it_was_made_and_stays_in_the_tree(pattern: Pattern, task_id: str) -> None:
    path = pattern.path(task_id, "../s", WHEN)
    assert pattern.task_id(path) == task_id
    assert path.endswith(pattern.ends(task_id)[0])
    for end in (path, *pattern.ends(task_id)):
        assert not Path(end).is_absolute()
        assert not any(part.startswith(".") for part in Path(end).parts)


def test_an_id_that_can_be_a_name_is_its_own() -> None:
    for text in ("run-1", "a b", "100%", "ü策略", "a%zz", "backtest-result-2024-09-06_12-32-10", "a.b", "x.json"):
        assert to_name(text) == text


def test_a_pattern_says_where_a_result_is_written_and_which_strategy_a_folder_names() -> None:
    pattern = Pattern("runs/{strategy}/{date}/{task_id}.json")
    assert pattern.path("a/b", "x/y", WHEN) == "runs/x%2Fy/2026-01-31/a%2Fb.json"
    assert pattern.strategy("runs/x%2Fy/2026-01-31/a.json") == "x/y"
    assert pattern.strategy("x/a.json") is None
    assert pattern.task_id("anywhere/else/a.json") == "a"
    assert Pattern("{task_id}.json").strategy("s/a.json") is None


@pytest.mark.parametrize(
    "text",
    ["x.json", "{task_id}", "{task_id}/{task_id}.json", "{id}.json", "../{task_id}.json", "/{task_id}.json",
     "a//{task_id}.json", ".a/{task_id}.json", "{task_id}/{date}.json", "{task_id}-{strategy}.json",
     "{task_id}.json.gz"],
)  # fmt: skip
def test_a_pattern_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="pattern"):
        Pattern(text)


def test_one_who_moves_is_seen_by_others_and_those_who_look_do_not_see_each_other(tmp_path: Path) -> None:
    one, other = Journal(tmp_path, None), Journal(tmp_path, None)
    assert not one.is_moving()
    with one.moving(), other.moving():
        assert one.is_moving() and other.is_moving()
    assert not one.is_moving() and not other.is_moving()
