"""What tests share: a catalog on a fresh database, results ready to be committed, a tree of JSON files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from lakestore import JsonResultStorage
from lakestore.catalog import Catalog
from lakestore.model import Fidelity, NewFile, NewResult, ResultInfo, RowSpan
from lakestore.saving import Saver

CREATED = datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)


@dataclass(frozen=True, slots=True)
class Save:
    """One result and the files that only it has."""

    result: NewResult
    files: list[NewFile]

    @property
    def write_id(self) -> UUID:
        return self.result.info.write_id


def _make_save(
    task_id: str,
    *,
    strategy: str = "sma",
    strategies: tuple[str, ...] | None = None,
    status: str = "completed",
    created_at: datetime = CREATED,
    tables: tuple[str, ...] = ("results", "trades"),
    rows: int = 10,
    params: Any = None,
    metrics: Any = None,
    replaces: UUID | None = None,
) -> Save:
    write_id = uuid4()
    run_date = date(2024, 5, 6)
    files = [
        NewFile(
            table=table,
            path=f"{table}/strategy=x/run_date=2024-05-06/{write_id}.parquet",
            strategy=strategy,
            run_date=run_date,
            rows=rows,
            bytes=1000,
            sha256=bytes(range(32)),
        )
        for table in tables
    ]
    spans = tuple(RowSpan(f.path, f.table, f.strategy, 0, f.rows, f.sha256, f.bytes) for f in files)
    info = ResultInfo(
        task_id=task_id,
        strategy=strategy,
        status=status,
        created_at=created_at,
        file_size=1000 * len(files),
        json_size=54321,
        run_date=run_date,
        strategies=strategies or (strategy,),
        sha256="ab" * 32,
        profile="generic",
        fidelity=Fidelity("patched", 12),
        write_id=write_id,
        saved_at=datetime(2024, 5, 7, tzinfo=UTC),
        tables={table: rows for table in tables if table != "results"},
        params=params,
        metrics=metrics,
    )
    result = NewResult(
        info,
        spans,
        None if params is None else json.dumps(params),
        None if metrics is None else json.dumps(metrics),
        replaces,
    )
    return Save(result, files)


@pytest.fixture
def make_save() -> Callable[..., Save]:
    """Make a result with one file for each of its tables."""
    return _make_save


@pytest.fixture
def other_dsn(dsn: str) -> Iterator[str]:
    """A second database beside the first."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE DATABASE beside_it")
        yield make_conninfo(dsn, dbname="beside_it")
        conn.execute("DROP DATABASE beside_it WITH (FORCE)")


@pytest.fixture
def lake_id() -> UUID:
    return UUID("01890000-0000-7000-8000-00000000000a")


@pytest.fixture
def open_catalog(dsn: str, lake_id: UUID) -> Iterator[Callable[..., Catalog]]:
    """Open further catalogs on the same database; closed at the end."""
    opened: list[Catalog] = []

    def open_one(conninfo: str = dsn, **options: Any) -> Catalog:
        given: dict[str, Any] = {
            "lake_id": lake_id,
            "partition": "day",
            "numbers": "decimal",
            "where": "the lake",
            **options,
        }
        catalog = Catalog.open(conninfo, **given)
        opened.append(catalog)
        return catalog

    yield open_one
    for catalog in opened:
        catalog.close()


@pytest.fixture
def catalog(open_catalog: Callable[..., Catalog]) -> Catalog:
    return open_catalog()


@pytest.fixture
def tree(tmp_path: Path) -> JsonResultStorage:
    """Give an empty tree of JSON files in `tmp_path / "tree"`."""
    return JsonResultStorage(tmp_path / "tree")


@pytest.fixture
def beside_a_tree(tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own, where the settings name a lake, its catalog and a tree of JSON files."""
    for name in [name for name in os.environ if name.startswith(("LAKESTORE_", "RESULT_STORAGE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LAKESTORE_DSN", dsn)
    monkeypatch.setenv("RESULT_STORAGE_JSON_ROOT", "tree")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def killed_before_commit(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """A save in it dies after its files were written, as by `kill -9`: nobody clears up behind it."""

    @contextmanager
    def dying() -> Iterator[None]:
        with monkeypatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr(Catalog, "commit", lambda *_, **__: (_ for _ in ()).throw(SystemExit))
            patch.setattr(Saver, "broken_off", lambda *_: None)
            yield

    return dying
