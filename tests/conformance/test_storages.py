"""The one contract of result storages, kept by the JSON tree, the lake, and both as one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lakestore
from lakestore import DualResultStorage, JsonResultStorage, Lake, LakeResultStorage
from lakestore.storage import ResultStorage
from lakestore.testing import ResultStorageContract

Make = Callable[[], ResultStorage]


@pytest.fixture
def folder(fast_folder: str) -> Iterator[Path]:
    """Give a folder in memory: what is tested here is not the disk."""
    with tempfile.TemporaryDirectory(prefix="lakestore-test-", dir=fast_folder) as name:
        yield Path(name)


@pytest.fixture
def lake(folder: Path, dsn: str) -> Iterator[Lake]:
    with lakestore.open(folder / "lake", dsn=dsn) as opened:
        yield opened


class TestJson(ResultStorageContract):
    @pytest.fixture
    def make_storage(self, folder: Path) -> Make:
        return lambda: JsonResultStorage(folder / "tree")


class TestJsonOfAnotherPattern(ResultStorageContract):
    @pytest.fixture
    def make_storage(self, folder: Path) -> Make:
        return lambda: JsonResultStorage(folder / "tree", pattern="runs/{strategy}/{date}/{task_id}/result.json")


class TestLake(ResultStorageContract):
    @pytest.fixture
    def make_storage(self, lake: Lake) -> Make:
        return lambda: LakeResultStorage(lake)


class TestDualOfJsonAndLake(ResultStorageContract):
    @pytest.fixture
    def make_storage(self, folder: Path, lake: Lake) -> Make:
        return lambda: DualResultStorage(JsonResultStorage(folder / "tree"), LakeResultStorage(lake))


class TestDualOfLakeAndJson(ResultStorageContract):
    @pytest.fixture
    def make_storage(self, folder: Path, lake: Lake) -> Make:
        return lambda: DualResultStorage(LakeResultStorage(lake), JsonResultStorage(folder / "tree"), verify_reads=True)
