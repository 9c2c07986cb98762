"""Shared by all benches: measures times, calls commands, and prints."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: How often what varies is done.
RUNS = 5

#: The command, as the Python that runs this knows it.
MAESTRO_ES = (sys.executable, "-m", "maestro_es")


def median(action: Callable[[], object], runs: int = RUNS) -> float:
    """Return the median time of an action, in seconds."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def call(*words: str | Path, **environment: str) -> None:
    """Run a command. It must succeed."""
    subprocess.run(list(map(str, words)), check=True, capture_output=True, env={**os.environ, **environment})
