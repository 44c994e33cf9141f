"""Whatever moment a process dies at that writes to two storages, what it acknowledged counts in both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EVERY = int(os.environ.get("LAKESTORE_EVERY", "7"))


@pytest.mark.parametrize("primary", ["json", "lake"])
def test_a_dual_storage_that_dies_loses_nothing_and_nothing_comes_back(tmp_path: Path, dsn: str, primary: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.dual", str(tmp_path), dsn, primary, str(EVERY)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * EVERY > 60
