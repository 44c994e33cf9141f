"""Fuzz the codec: any bytes are refused as Python's `json` refuses them, or come back as they were.

    python -m tests.fuzz.fuzz_codec [--seconds N] [--engine atheris|random] [--work FOLDER] [INPUT …]

Runs workers one after the other until the time is up: each begins with a fresh corpus (the suites, and documents of
the strategies), and one that dies takes nothing with it but its input. With INPUT it only checks those files.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

DATA = Path(__file__).parents[1] / "conformance" / "data"
SLICE = 600
"""Seconds of one worker: corpora begin afresh, and memory cannot grow for hours."""
MAX_LEN = 4_096


@dataclass
class Tally:
    """What one worker did; written to its file now and then, so that a dead one has said what it knew."""

    path: Path
    cases: int = 0
    findings: dict[str, str] = field(default_factory=dict)
    written: float = 0.0

    def check(self, source: bytes) -> None:
        """Check one input; a finding of a new name is kept with its input."""
        from tests.fuzz.oracle import check

        current = self.path.with_suffix(".current")
        current.write_bytes(source)
        found = check(source)
        self.cases += 1
        if found is not None and found[0] not in self.findings:
            self.findings[found[0]] = self.keep(found[0], source, found[1])
            self.write()
        elif time.monotonic() - self.written > 2:
            self.write()

    def keep(self, name: str, source: bytes, what: str) -> str:
        """Write an input and what is known of it beside the tally; gives its path."""
        folder = self.path.parent / "findings"
        folder.mkdir(exist_ok=True)
        stem = f"{name}-{hashlib.sha256(source).hexdigest()[:12]}"
        (folder / f"{stem}.json").write_bytes(source)
        (folder / f"{stem}.txt").write_text(what, "utf-8", "backslashreplace")
        return str(folder / f"{stem}.json")

    def write(self) -> None:
        """Say how far it is."""
        self.written = time.monotonic()
        self.path.write_text(json.dumps({"cases": self.cases, "findings": self.findings}))


def seeds(seed: int, count: int) -> Iterator[bytes]:
    """Inputs to begin with: the suites, and so many documents and sequences of documents of the strategies."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    from tests.fuzz.oracle import SEPARATOR
    from tests.strategies import texts

    for archive in sorted(DATA.glob("*.zip")):
        with zipfile.ZipFile(archive) as suite:
            yield from (suite.read(name) for name in suite.namelist() if name.endswith(".json"))
    made: list[bytes] = []

    @seeded(seed)
    @settings(max_examples=count, phases=[Phase.generate], database=None, deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.lists(texts(), min_size=1, max_size=3))
    def collect(documents: list[bytes]) -> None:
        made.append(SEPARATOR.join(documents))

    collect()
    yield from made


def run_random(tally: Tally, seed: int, until: float) -> None:
    """Structural changes over a corpus without guidance: for Pythons that have no atheris."""
    from tests.fuzz.mutators import mutate, spoil

    rnd = Random(seed)
    corpus = [source for source in seeds(seed, 400) if len(source) <= MAX_LEN]
    for source in corpus:
        tally.check(source)
    while time.time() < until:
        source = rnd.choice(corpus)
        for _ in range(rnd.randint(1, 6)):
            source = mutate(source, rnd, rnd.choice(corpus)) if rnd.random() < 0.95 else spoil(source, rnd)
        if len(source) <= MAX_LEN:
            tally.check(source)
            if rnd.random() < 0.2:
                corpus[rnd.randrange(len(corpus))] = source


def run_atheris(tally: Tally, seed: int, until: float) -> None:
    """libFuzzer over the instrumented codec, with structural changes beside its own."""
    import atheris

    with atheris.instrument_imports(include=["lakestore.codec"]):
        import lakestore.codec.encode
        import lakestore.codec.text  # noqa: F401
    from tests.fuzz.mutators import mutate
    from tests.fuzz.oracle import SEPARATOR  # noqa: F401

    corpus = tally.path.parent / f"{tally.path.stem}-corpus"
    corpus.mkdir(exist_ok=True)
    known: list[bytes] = []
    for source in seeds(seed, 400):
        if len(source) <= MAX_LEN:
            known.append(source)
            (corpus / hashlib.sha256(source).hexdigest()[:16]).write_bytes(source)

    def one(data: bytes) -> None:
        if time.time() > until:
            tally.write()
            sys.stdout.flush()
            # libFuzzer has no way to be asked to end by its own target.
            os._exit(0)
        tally.check(data)

    def custom(data: bytes, max_size: int, draw: int) -> bytes:
        rnd = Random(draw)
        if rnd.random() < 0.3:
            changed: bytes = atheris.Mutate(data, max_size)
            return changed
        changed = mutate(bytes(data), rnd, rnd.choice(known))
        return changed if len(changed) <= max_size else atheris.Mutate(data, max_size)

    options = [f"-seed={seed}", f"-max_len={MAX_LEN}", "-timeout=60", "-rss_limit_mb=3000", "-verbosity=0",
               f"-artifact_prefix={tally.path.parent}/crash-", str(corpus)]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], one, custom_mutator=custom)
    atheris.Fuzz()


def supervise(work: Path, seconds: float, engine: str, seed: int) -> int:
    """Run workers until the time is up, and say what they found; the exit code."""
    work.mkdir(parents=True, exist_ok=True)
    begun = time.time()
    cases, found, number = 0, {}, 0
    while (left := begun + seconds - time.time()) > 5 or number == 0:
        tally = Tally(work / f"worker-{number}.json")
        until = time.time() + min(SLICE, max(left, 5))
        command = [sys.executable, "-m", "tests.fuzz.fuzz_codec", "--worker", str(tally.path)]
        command += ["--engine", engine, "--seed", str(seed + number), "--until", str(until)]
        with (work / f"worker-{number}.log").open("wb") as log:
            code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        said = json.loads(tally.path.read_text()) if tally.path.exists() else {"cases": 0, "findings": {}}
        cases += said["cases"]
        new = {name: path for name, path in said["findings"].items() if name not in found}
        if code != 0:
            current = tally.path.with_suffix(".current")
            source = current.read_bytes() if current.exists() else b""
            name = f"died-{code}"
            if name not in found:
                end = (work / f"worker-{number}.log").read_bytes()[-4000:]
                new[name] = tally.keep(name, source, f"the worker ended with {code}\n{end.decode(errors='replace')}")
            if not said["cases"]:
                print((work / f"worker-{number}.log").read_text("utf-8", "replace")[-2000:], file=sys.stderr)
                found |= new
                break
        found |= new
        for name, path in new.items():
            print(f"FOUND {name}: {path}", flush=True)
        print(f"{int(time.time() - begun)} s, {cases} cases, {len(found)} findings", flush=True)
        number += 1
    print(f"engine {engine}, seed {seed}: {cases} cases, {len(found)} findings, {int(time.time() - begun)} seconds")
    return 1 if found else 0


def main() -> int:
    """Run as the arguments say; the exit code."""
    parser = argparse.ArgumentParser(prog="fuzz_codec", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("inputs", nargs="*", type=Path, metavar="INPUT", help="only check these files")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("FUZZ_SECONDS", "3600")))
    has_atheris = importlib.util.find_spec("atheris") is not None
    parser.add_argument("--engine", choices=["atheris", "random"], default="atheris" if has_atheris else "random")
    parser.add_argument("--work", type=Path, default=Path("build/fuzz"), help="folder of corpora and findings")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    # Texts as one would meet them: strategies nest deeper than a linter likes.
    warnings.simplefilter("ignore")
    if given.inputs:
        from tests.fuzz.oracle import check

        found = [(path, check(path.read_bytes())) for path in given.inputs]
        for path, finding in found:
            print(f"{path}: {'holds' if finding is None else ': '.join(finding)}")
        return 1 if any(finding for _, finding in found) else 0
    if given.worker is not None:
        gc.freeze()
        run = run_atheris if given.engine == "atheris" else run_random
        run(Tally(given.worker), given.seed, given.until)
        return 0
    return supervise(given.work.absolute(), given.seconds, given.engine, given.seed)


if __name__ == "__main__":
    sys.exit(main())
