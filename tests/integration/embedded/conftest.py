"""Catalog directories: one that is not made yet, and one that was used before."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakestore.catalog.embedded import EmbeddedServer
from tests.embedded import (
    eventually,
    processes,
)


@pytest.fixture(scope="session")
def made(fast_folder: str) -> Iterator[Path]:
    """Give a catalog directory with its cluster made, to be copied: making one takes most of a test's time."""
    with tempfile.TemporaryDirectory(prefix="lakestore-test-", dir=fast_folder) as folder:
        EmbeddedServer.attach(Path(folder, "catalog")).close()
        yield Path(folder, "catalog")


@pytest.fixture
def empty(fast_folder: str) -> Iterator[Path]:
    """Give a catalog directory (not made yet) in a folder that others may enter; nothing of it may stay."""
    with tempfile.TemporaryDirectory(prefix="lakestore-test-", dir=fast_folder, ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        directory = Path(folder, "lake", "_lakestore", "catalog")
        yield directory
        left = {} if eventually(lambda: not processes(directory)) else processes(directory)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert left == {}


@pytest.fixture
def catalog(empty: Path, made: Path) -> Path:
    """Give a catalog directory that was used before, as `empty` gives one that was not."""
    empty.parent.mkdir(parents=True)
    subprocess.run(["cp", "-a", made, empty], check=True)
    return empty
