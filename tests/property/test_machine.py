"""A lake against a dict: whatever is done in whatever order, it holds what a dict would, and nothing is left over."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.machine import Machine

EXAMPLES = int(os.environ.get("LAKESTORE_EXAMPLES", "5"))
STEPS = int(os.environ.get("LAKESTORE_STEPS", "20"))


def run(postgres: str, folder: Path, *, examples: int, steps: int, seed: int | None = None) -> None:
    """Try so many sequences of so many steps at most."""
    machine = type("Machine", (Machine,), {"postgres": postgres, "folder": folder})
    if seed is not None:
        hypothesis.seed(seed)(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_lake_does_what_a_dict_does(postgres: str, fast_folder: str) -> None:
    with tempfile.TemporaryDirectory(prefix="lakestore-test-", dir=fast_folder) as folder:
        run(postgres, Path(folder), examples=EXAMPLES, steps=STEPS)
