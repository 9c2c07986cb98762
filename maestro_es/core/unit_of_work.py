"""Collects new events, and applies them to a graph in memory, so that later decisions can use their effect.

This module writes nothing. The caller appends the events, or drops them.
"""

from __future__ import annotations

from collections.abc import Iterable

from maestro_es.core.cascade import ended_badly, fail_descendants
from maestro_es.core.decide import complete
from maestro_es.core.events import NewEvent, Recorded
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import Micros
from maestro_es.core.reducer import apply


class UnitOfWork:
    """The new events so far, and the graph that results from them and the events up to `seq`."""

    def __init__(self, graph: MemoryGraph, seq: int, now: Micros) -> None:
        self.graph = graph
        self.new_events: list[NewEvent] = []
        self._seq = seq
        self._now = now

    def record(self, new_events: Iterable[NewEvent]) -> None:
        """Add events, and apply them one after the other."""
        for step, event in new_events:
            self._seq += 1
            self.new_events.append((step, event))
            apply(self.graph, Recorded(self._seq, self._now, 0, step, event))

    def close(self) -> None:
        """Record the consequences. Steps that can't run any more end. If no step is left, the study ends."""
        self.record(fail_descendants(self.graph, self._now, ended_badly(self.new_events)))
        self.record(complete(self.graph))
