"""Real studies of the real Maestro. A test can kill the conductor."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from maestro_es.adapters import process
from tools.testbed.processes import send, wait_for


def launch(spec: Path, root: Path, *words: str | Path, env: Mapping[str, str] | None = None) -> None:
    """Start a study with ``maestro run`` in the background. Its conductor checks the jobs every second."""
    done = subprocess.run(
        ["maestro", "run", "-y", "-s", "1", *map(str, words), "-o", str(root), spec.name],
        cwd=spec.parent,
        env={**os.environ, "PWD": str(spec.parent), **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done


def conductors(root: Path) -> list[int]:
    """Return the conductors of a study."""
    return [
        found.pid
        for found in process.of_this_user()
        if str(root) in found.arguments and any(word.endswith("/conductor") for word in found.arguments)
    ]


def kill_conductor(root: Path) -> None:
    """Kill only the conductor of a study."""
    for pid in wait_for(lambda: conductors(root)):
        send(pid, signal.SIGKILL)
    wait_for(lambda: not conductors(root))


def states(root: Path) -> dict[str, str]:
    """Return the state of each step from Maestro's table. The names must not contain commas."""
    try:
        lines = (root / "status.csv").read_text().splitlines()[1:]
    except FileNotFoundError:
        return {}
    return {line.split(",")[0]: line.split(",")[3] for line in lines if line.count(",") >= 3}
