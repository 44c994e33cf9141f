"""Lakes, storages and managers are closed by `with`."""

from __future__ import annotations

from pathlib import Path

import pytest

import lakestore
from lakestore import DualResultStorage, InvalidInputError, JsonResultStorage, Lake, LakeResultStorage, ResultManager
from lakestore.closing import Closing


@pytest.mark.parametrize("kind", [Lake, ResultManager, JsonResultStorage, LakeResultStorage, DualResultStorage])
def test_what_holds_something_is_closed_by_with(kind: type[Closing], monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Closing] = []
    monkeypatch.setattr(kind, "close", lambda self: closed.append(self))
    one = kind.__new__(kind)
    with pytest.raises(KeyError), one as same:
        assert same is one and not closed
        raise KeyError
    assert closed == [one]


def test_a_storage_is_used_by_with(tmp_path: Path) -> None:
    with JsonResultStorage(tmp_path) as storage:
        storage.save_result("a", {"strategy": "s"})
        assert storage.exists("a")


def test_the_package_tells_its_version() -> None:
    assert lakestore.__version__.split(".")[0].isdigit()


def test_a_page_begins_behind_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake.__new__(Lake)
    with pytest.raises(InvalidInputError, match="after: 5 is no result of a list, nor the id of one"):
        lake.results(after=5)  # type: ignore[arg-type]
