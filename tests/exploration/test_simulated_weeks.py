"""Simulated weeks by seed: each keeps all promises. ``tools/simulate SEED`` tells the story of a week that fails.

``tools/simulate --night`` simulates a hundred thousand.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.simulation.command import run_seeds
from tools.simulation.scenario import draw
from tools.simulation.week import simulate

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_a_week_keeps_all_promises_whatever_happens(first: int):
    assert run_seeds(range(first, first + 20)).failed == {}


def test_a_seed_replays_exactly_in_another_process():
    """The order of sets of texts differs from process to process."""
    imports = "from tools.simulation.scenario import draw; from tools.simulation.week import simulate"
    argv = [sys.executable, "-c", f"{imports}; print(simulate(draw(12)).digest)"]
    digests = {
        subprocess.run(
            argv, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert digests == {f"{simulate(draw(12)).digest}\n"}
