"""Events that are only to be recorded, folded already: what a plan decides next rests on them."""

from __future__ import annotations

from collections.abc import Iterable

from maestro_es.core.decide import complete, ended_badly, fail_descendants
from maestro_es.core.events import Draft, Recorded
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import Micros
from maestro_es.core.reducer import apply


class Book:
    """The drafts so far, and the graph that they and the events up to `seq` add up to."""

    def __init__(self, graph: MemoryGraph, seq: int, now: Micros) -> None:
        self.graph = graph
        self.drafts: list[Draft] = []
        self._seq = seq
        self._now = now

    def take_in(self, drafts: Iterable[Draft]) -> None:
        """Fold events, one after the other."""
        for step, event in drafts:
            self._seq += 1
            self.drafts.append((step, event))
            apply(self.graph, Recorded(self._seq, self._now, 0, step, event))

    def conclude(self) -> None:
        """Take in what follows: what waits for a step that ended badly ends with it, and the study with its last."""
        self.take_in(fail_descendants(self.graph, self._now, ended_badly(self.drafts)))
        self.take_in(complete(self.graph))
