"""`ExecutionGraph` builds and runs a graph of steps. An event log records all changes.

The class has the methods of Maestro's class and some more, such as `create`, `open`, `at`, `replay` and `history`. An
object has no state of its own. Its methods append events to the log in the study directory, or run a tick. So a second
process that opens the same path sees the same graph. The modules of this package contain no rules; these are in
`maestro_es.core`. ::

    from maestro_es import ExecutionGraph, StudyStatus, StudyStep

    graph = ExecutionGraph.create("./hello")
    graph.add_description("hello", "two steps in a row")
    graph.add_step("greet", StudyStep("greet", "says hello", {"cmd": "echo hello > hello.txt"}), "greet", 0)
    graph.add_step("count", StudyStep("count", "counts words", {"cmd": "wc -w ../greet/hello.txt"}), "count", 0)
    graph.add_connection("greet", "count")
    while graph.execute_ready_steps() is StudyStatus.RUNNING:
        time.sleep(0.1)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maestro_es.execution_graph.building import Step, StudyStep
    from maestro_es.execution_graph.graph import ExecutionGraph

__all__ = ["ExecutionGraph", "Step", "StudyStep"]

_HOMES = {"ExecutionGraph": "graph", "Step": "building", "StudyStep": "building"}


def __getattr__(name: str) -> object:
    """Import a class at its first use, because a tick of cron needs only `TickableGraph`."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
