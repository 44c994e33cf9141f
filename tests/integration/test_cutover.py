"""The whole journey on real documents, engines writing all along from two processes, and back from each phase.

After each step every result that was ever acknowledged is readable and exact, and nothing deleted has come back.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lakestore import DualResultStorage, NotFoundError, ResultManager

ROOT = Path(__file__).parents[2]

ENGINE = """
import hashlib, os, sys, time
from pathlib import Path
from lakestore import ResultManager

name, stop = sys.argv[1], Path(sys.argv[2])
texts = [path.read_bytes() for path in sorted(Path("documents").iterdir())]

def tell(*words):
    print(*words, flush=True)

with ResultManager.from_env() as storage:
    n = 0
    while not (stop.exists() and n >= 8):
        if n >= 16:
            # Enough to look at; it stays until it is stopped.
            time.sleep(0.05)
            continue
        text = b'{"strategy":"s%d","n":%d,"by":"%s","trades":[{"p":1.50,"n":%d}]}' % (n % 3, n, name.encode(), n)
        text = texts[n // 8 % len(texts)] if n % 8 == 0 else text
        task_id = f"{name}/{n}"
        storage.save_result(task_id, text, strategy="engine")
        tell("has", task_id, hashlib.sha256(text).hexdigest())
        if n % 8 == 3:
            storage.delete_result(f"{name}/{n - 2}")
            tell("lacks", f"{name}/{n - 2}")
        if n % 8 == 5:
            text = b'{"strategy":"other","replaced":%d}' % n
            storage.save_result(f"{name}/{n - 3}", text, replace=True)
            tell("has", f"{name}/{n - 3}", hashlib.sha256(text).hexdigest())
        n += 1
        time.sleep(0.05)
"""


class Journey:
    """A tree, a lake, what engines were told is safe, and the command line."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("LAKESTORE_", "RESULT_"))},
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "LAKESTORE_DSN": dsn,
            "RESULT_STORAGE_JSON_ROOT": "tree",
        }
        self.expected: dict[str, str | None] = {}
        self._count = 0

    @contextmanager
    def engines(self, mode: str, primary: str = "json") -> Iterator[None]:
        """Two engines write while the block runs, and are stopped as a restart stops them."""
        self._count += 1
        stop = self.folder / f"stop-{self._count}"
        environ = {**self.environ, "RESULT_STORAGE_MODE": mode, "RESULT_STORAGE_PRIMARY": primary}
        names = [f"{self._count}-{mode}-{name}" for name in "ab"]
        said = [self.folder / f"said-{name}" for name in names]
        running = []
        for name, path in zip(names, said, strict=True):
            with path.open("w") as stream:
                command = [sys.executable, "-c", ENGINE, name, str(stop)]
                running.append(subprocess.Popen(command, cwd=self.folder, env=environ, stdout=stream))
        try:
            # Not before both write.
            while not all(path.stat().st_size for path in said) and all(one.poll() is None for one in running):
                time.sleep(0.01)
            yield
        finally:
            stop.touch()
            codes = [process.wait(60) for process in running]
        assert codes == [0, 0]
        for line in "".join(path.read_text() for path in said).splitlines():
            word, task_id, *digest = line.split()
            self.expected[task_id] = digest[0] if word == "has" else None

    def lakestore(self, *args: str, mode: str = "lake", code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lakestore", *args],
            cwd=self.folder,
            env={**self.environ, "RESULT_STORAGE_MODE": mode},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def check(self, mode: str, primary: str = "json") -> None:
        """Everything that was acknowledged is there and exact, and nothing else is listed."""
        with ResultManager.from_env(mode=mode, primary=primary, verify_reads=True, environ=self.environ) as storage:
            for task_id, digest in self.expected.items():
                assert storage.exists(task_id) == (digest is not None), task_id
                if digest is not None:
                    assert hashlib.sha256(storage.load_json(task_id)).hexdigest() == digest, task_id
                else:
                    with pytest.raises(NotFoundError):
                        storage.load_json(task_id)
            listed = [info.task_id for info in storage.list_results(limit=100_000)]
            assert sorted(listed) == sorted(task_id for task_id, digest in self.expected.items() if digest is not None)
            if isinstance(storage.storage, DualResultStorage):
                # What a rollback or a cutover left on one side only is told; nothing has two versions.
                assert storage.storage.missed == 0

    def ready(self, mode: str) -> None:
        """`status` says that the next phase can begin."""
        [found] = json.loads(self.lakestore("status", "--format", "json", mode=mode))
        assert found["ready"], found


@pytest.fixture
def journey(tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Journey:
    monkeypatch.chdir(tmp_path)
    made = Journey(tmp_path, dsn)
    (tmp_path / "documents").mkdir()
    for path in sorted((ROOT / "examples").glob("*/*.json.gz")):
        text = gzip.decompress(path.read_bytes())
        (tmp_path / "documents" / path.stem).write_bytes(text)
        # What an engine of old has written.
        old = tmp_path / "tree" / "old" / f"old {path.stem}"
        old.parent.mkdir(parents=True, exist_ok=True)
        old.write_bytes(text)
        made.expected[old.stem] = hashlib.sha256(text).hexdigest()
    return made


def test_json_to_dual_to_lake_to_archive_and_back_from_each(journey: Journey) -> None:
    with journey.engines("json"):
        journey.lakestore("init")
        journey.ready("json")
        # To dual: the old engines run on until the new ones are there, and the pile is moved meanwhile.
        with journey.engines("dual"):
            journey.lakestore("migrate", "tree", "--strategy", "{parent}")
    journey.check("dual")
    journey.check("json")

    # Back to json, and forth again.
    with journey.engines("json"):
        pass
    journey.check("json")
    journey.lakestore("status", mode="dual", code=1)
    journey.lakestore("migrate", "tree", "--strategy", "{parent}")
    journey.ready("dual")

    # The lake counts while both are written; then it is alone.
    with journey.engines("dual", "lake"), journey.engines("lake"):
        pass
    journey.check("lake")
    journey.check("dual", "lake")

    # Back to dual: what only the lake has, and what was let go there, reaches the tree.
    journey.lakestore("export", "--to", "tree")
    journey.check("json")
    with journey.engines("dual"):
        pass
    journey.check("dual")
    journey.ready("dual")

    # Put away, and taken out again; the lake lives on meanwhile.
    with journey.engines("lake"):
        journey.lakestore("archive", "-q", "tree", "--to", "backup")
    journey.check("lake")
    assert not list((journey.folder / "tree").glob("[!.]*/*.json"))
    journey.ready("lake")
    journey.lakestore("archive", "restore", "-q", "backup")
    journey.check("dual")
    journey.lakestore("export", "--to", "tree")
    journey.check("json")
    journey.ready("lake")
