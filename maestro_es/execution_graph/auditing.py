"""What happened, and how the graph was earlier."""

from __future__ import annotations

from collections.abc import Iterable

from maestro_es.core import arguments
from maestro_es.core import events as e
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import Micros
from maestro_es.core.reducer import replay
from maestro_es.core.snapshot import Snapshot
from maestro_es.execution_graph.base import GraphBase
from maestro_es.study.environment_file import scheduler_facts


class AuditableGraph(GraphBase):
    """The part of `ExecutionGraph` that answers questions about the past."""

    @staticmethod
    def replay(events: Iterable[e.Recorded]) -> MemoryGraph:
        """Return the graph that these events add up to. It is to be read, and rejects assignment."""
        return Snapshot(replay(events))

    def at(self, *, seq: int | None = None, time: Micros | None = None) -> MemoryGraph:
        """Return the graph as it was after event `seq`, or at a `time` in microseconds UTC. It rejects assignment."""
        if (seq is None) is (time is None):
            raise ValueError("give either seq or time")
        if seq is not None:
            upto = arguments.count("seq", seq)
        else:
            upto = self._study.log.seq_at(arguments.count("time", time))
        return Snapshot(self._study.log.replay(upto=upto))

    def history(self, step: str | None = None, after: int = 0) -> list[e.Recorded]:
        """Return the events with a seq greater than `after`, all or those of one step."""
        first = arguments.count("after", after)
        name = None if step is None else arguments.name("step", step)
        graph = self._fresh()
        if name is None:
            return list(self._study.log.events(first))
        events = self._study.log.events_of(graph.number_of(name) or 0)
        return [recorded for recorded in events if recorded.seq > first]

    def scheduler_facts(self) -> dict[str, str]:
        """Return what the scheduler said of itself when the study was created, by its own names."""
        return scheduler_facts(self._study.log)
