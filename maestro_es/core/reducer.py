"""`apply`: the function that applies an event to the state, both live and on replay.

State is assigned only here, in the rules of the events (`study_rules`, `step_rules`) and in the code that they share
(`transitions`). An event that can't follow from the state before it raises `InvalidTransition`. So a decision that is
based on old state can't be recorded, and a log that was changed can't be replayed.
"""

from __future__ import annotations

from collections.abc import Iterable

from maestro_es.core import events as e
from maestro_es.core.graph import Graph, MemoryGraph
from maestro_es.core.step_rules import STEP_RULES
from maestro_es.core.study_rules import STUDY_RULES
from maestro_es.errors import InvalidTransition

#: Raised when a rule or a record changes after a release, so that a projection made by an older one is rebuilt.
REDUCER_VERSION = 23


def apply(graph: Graph, recorded: e.Recorded) -> None:
    """Apply one event to the graph. InvalidTransition if it can't follow; the graph is unusable after that."""
    event = recorded.event
    on_step = STEP_RULES.get(type(event))
    if on_step is None:
        STUDY_RULES[type(event)](graph, recorded, event)
        return
    try:
        step = graph.step(recorded.step or 0)
    except KeyError:
        raise InvalidTransition(f"event {recorded.seq}: {type(event).__name__} of an unknown step") from None
    on_step(graph, step, recorded, event)
    graph.save(step)
    graph.study.written_at = recorded.recorded_at


def replay(events: Iterable[e.Recorded]) -> MemoryGraph:
    """Return the graph that results from these events."""
    graph = MemoryGraph()
    for recorded in events:
        apply(graph, recorded)
    return graph
