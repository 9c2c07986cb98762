"""Graphs that are built by a program."""

from __future__ import annotations

import time

from maestro_es import ExecutionGraph, StudyStatus, StudyStep
from tools.testbed.processes import DEADLINE


def add(graph: ExecutionGraph, *names: str, cmd: str = "true", **run: object) -> None:
    """Add steps without dependencies."""
    for name in names:
        graph.add_step(name, StudyStep(name, f"is {name}", {"cmd": cmd, **run}), name, 0)


def run_to_end(graph: ExecutionGraph) -> StudyStatus:
    """Run ticks until the study has ended."""
    deadline = time.monotonic() + DEADLINE
    while (status := graph.execute_ready_steps()) is StudyStatus.RUNNING and time.monotonic() < deadline:
        time.sleep(0.02)
    return status
