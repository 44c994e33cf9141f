"""The storage that an engine gets: by argument, environment, file or default; what cannot be is refused by name."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lakestore import (
    CatalogError,
    DualResultStorage,
    InvalidInputError,
    JsonResultStorage,
    LakeResultStorage,
    ResultManager,
    ResultStorage,
)
from lakestore.testing import run


@pytest.fixture
def environ(tmp_path: Path, dsn: str) -> dict[str, str]:
    return {
        "HOME": str(tmp_path),
        "LAKESTORE_LAKE": str(tmp_path / "lake"),
        "LAKESTORE_DSN": dsn,
        "RESULT_STORAGE_JSON_ROOT": str(tmp_path / "tree"),
    }


def test_the_default_is_the_lake(environ: dict[str, str]) -> None:
    with ResultManager.from_env(environ=environ) as manager:
        assert isinstance(manager, ResultStorage)
        assert (manager.mode, type(manager.storage)) == ("lake", LakeResultStorage)
        manager.save_result("a", run(n=1))
        assert manager.load_result("a") == run(n=1) and manager.exists("a")
        assert manager.info("a") == manager.list_results()[0]
        manager.delete_result("a")
    assert not Path(environ["RESULT_STORAGE_JSON_ROOT"]).exists()


def test_json_needs_no_lake(environ: dict[str, str]) -> None:
    with ResultManager.from_env(environ={**environ, "RESULT_STORAGE_MODE": "json"}) as manager:
        manager.save_result("a", run(n=1))
        assert isinstance(manager.storage, JsonResultStorage)
        assert manager.load_json("a") == (Path(environ["RESULT_STORAGE_JSON_ROOT"]) / "s" / "a.json").read_bytes()
    assert not Path(environ["LAKESTORE_LAKE"]).exists()


@pytest.mark.parametrize(("primary", "expected"), [(None, "json"), ("json", "json"), ("lake", "lake")])
def test_dual_has_a_primary_and_verifies_on_demand(environ: dict[str, str], primary: str | None, expected: str) -> None:
    environ["RESULT_STORAGE_MODE"] = "dual"
    if primary is not None:
        environ["RESULT_STORAGE_PRIMARY"] = primary
    with ResultManager.from_env(environ=environ) as manager:
        assert isinstance(manager.storage, DualResultStorage) and not manager.storage.verify_reads
        assert next(iter(manager.storage.storages)) == expected
        manager.save_result("a", run(n=1))
    with ResultManager.from_env(environ={**environ, "RESULT_STORAGE_VERIFY_READS": "Yes"}) as manager:
        assert isinstance(manager.storage, DualResultStorage) and manager.storage.verify_reads
        assert manager.load_result("a") == run(n=1)
    for mode in ("json", "lake"):
        with ResultManager.from_env(environ=environ, mode=mode) as manager:
            assert manager.load_result("a") == run(n=1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("RESULT_STORAGE_MODE", "both", "RESULT_STORAGE_MODE: no mode is called 'both'; there are json, dual, lake"),
        ("RESULT_STORAGE_PRIMARY", "x", "RESULT_STORAGE_PRIMARY: no primary is called 'x'; there are json, lake"),
        ("RESULT_STORAGE_VERIFY_READS", "2", "VERIFY_READS: '2' is neither yes nor no; there are 1, true, yes, on"),
        ("RESULT_STORAGE_JSON_ROOT", "", "RESULT_STORAGE_JSON_ROOT: '' is not a directory for JSON files"),
        ("RESULT_STORAGE_JSON_PATTERN", "x.json", r"pattern 'x.json': it needs \{task_id\} once"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_the_choices(
    environ: dict[str, str], name: str, value: str, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ResultManager.from_env(environ={"RESULT_STORAGE_MODE": "json", **environ, name: value})


@pytest.mark.parametrize("mode", ["json", "dual"])
def test_a_mode_that_needs_a_tree_says_so(environ: dict[str, str], mode: str) -> None:
    del environ["RESULT_STORAGE_JSON_ROOT"]
    with pytest.raises(InvalidInputError, match=f"mode {mode} needs the tree of JSON files: set RESULT_STORAGE_JSON_"):
        ResultManager.from_env(environ=environ, mode=mode)


def test_what_is_given_beats_the_environment_which_beats_the_file(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'mode = "json"\njson_root = "{tmp_path / "other"}"\njson_pattern = "{{task_id}}.json"\n')
    environ["LAKESTORE_CONFIG"] = str(path)
    with ResultManager.from_env(environ=environ) as manager:
        assert isinstance(manager.storage, JsonResultStorage)
        assert manager.storage.root == tmp_path / "tree"
        assert manager.storage.pattern.text == "{task_id}.json"
    with ResultManager.from_env(environ={**environ, "RESULT_STORAGE_MODE": "lake"}) as manager:
        assert manager.mode == "lake"
    with ResultManager.from_env(environ=environ, json_root=tmp_path / "given", strategy="mine") as manager:
        assert manager.save_result("a", {"n": 1}).strategy == "mine"
        assert (tmp_path / "given" / "a.json").is_file()


def test_dual_starts_without_its_secondary_and_not_without_its_primary(environ: dict[str, str]) -> None:
    away = {**environ, "LAKESTORE_DSN": "postgresql://127.0.0.1:1/nowhere", "RESULT_STORAGE_MODE": "dual"}
    with ResultManager.from_env(environ=away) as manager:
        manager.save_result("a", run(n=1))
        assert manager.load_result("a") == run(n=1)
    with pytest.raises(CatalogError, match="cannot reach"):
        ResultManager.from_env(environ=away, primary="lake")


def test_one_storage_alone_says_that_repairs_wait(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    away = {**environ, "LAKESTORE_DSN": "postgresql://127.0.0.1:1/nowhere"}
    with ResultManager.from_env(environ=away, mode="dual") as manager:
        manager.save_result("a", run(n=1))
    caplog.clear()
    with caplog.at_level(logging.WARNING, "lakestore"), ResultManager.from_env(environ=environ):
        assert "mode lake is used while 1 results wait for repair in it; run 'lakestore migrate'" in caplog.text


def test_names_no_strategy_is_refused_alike_in_every_mode(environ: dict[str, str]) -> None:
    for mode in ("json", "dual", "lake"):
        with (
            ResultManager.from_env(environ=environ, mode=mode) as manager,
            pytest.raises(InvalidInputError, match="names no strategy"),
        ):
            manager.save_result("a", {"n": 1})


def test_the_storage_of_a_lake_finds_its_catalog_as_open_does(
    tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKESTORE_DSN", dsn)
    storage = LakeResultStorage.at(str(tmp_path / "lake"))
    storage.save_result("a", run(n=1))
    assert not storage.lake.embedded and storage.lake.conninfo == dsn
    storage.close()
    with pytest.raises(CatalogError, match="was closed"):
        storage.load_result("a")
