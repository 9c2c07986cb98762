"""A resident conductor of Maestro: maestro_cycles.py FOLDER STEPS IN_FLIGHT.

For each line of standard input, it does what Maestro's `Conductor.monitor_study` does between two sleeps: polls the
jobs, pickles the graph and writes status.csv. Then it prints CPU seconds, wall seconds
and its peak memory in MiB. The study
consists of lanes. Their first steps run, and nothing is ready.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maestrowf.abstracts.enums import JobStatusCode, State
from maestrowf.datastructures.core import StudyStep
from maestrowf.datastructures.core.executiongraph import ExecutionGraph
from maestrowf.interfaces import ScriptAdapterFactory


class IdleAdapter:
    """Says that all jobs run."""

    key = "idle"

    def __init__(self, **_: Any) -> None:
        pass

    def check_jobs(self, jobs: Iterable[str]) -> tuple[JobStatusCode, dict[str, State]]:
        """Return the states of jobs."""
        return JobStatusCode.OK, dict.fromkeys(jobs, State.RUNNING)


def make_graph(folder: Path, steps: int, lanes: int) -> ExecutionGraph:
    """Return a graph of which the first step of each lane runs."""
    ScriptAdapterFactory.factories["idle"] = IdleAdapter
    graph = ExecutionGraph(submission_throttle=lanes)
    graph.add_description("s", "d")
    graph.set_adapter({"type": "idle"})
    graph.add_node("_source", None)
    for number in range(1, steps + 1):
        step = StudyStep()
        step.name = name = f"a_N.{number}"
        step.run["cmd"] = "true"
        graph.add_step(name, step, str(folder / "a" / f"N.{number}"), 1)
        if number > lanes:
            connect(graph, f"a_N.{number - lanes}", name)
            graph._dependencies[name].add(f"a_N.{number - lanes}")
        else:
            connect(graph, "_source", name)
            record = graph.values[name]
            record.jobid.append(str(number))
            record.mark_submitted()
            record.mark_running()
            graph.in_progress.add(name)
    # Maestro finds this order once, in the first cycle, in a time that grows with the square of the steps.
    graph._status_subtree = [name for name in graph.values if name != "_source"]
    return graph


def connect(graph: ExecutionGraph, parent: str, name: str) -> None:
    """Add an edge. Maestro's own method searches all of the graph for cycles at each edge."""
    graph.adjacency_table[parent].append(name)


def main() -> None:
    """Answer each line with one cycle."""
    folder = Path(sys.argv[1])
    graph = make_graph(folder, int(sys.argv[2]), int(sys.argv[3]))
    for _ in sys.stdin:
        cpu, wall = time.process_time(), time.perf_counter()
        graph.execute_ready_steps()
        graph.pickle(str(folder / "s.pkl"))
        graph.write_status(str(folder))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(time.process_time() - cpu, time.perf_counter() - wall, memory, flush=True)


if __name__ == "__main__":
    main()
