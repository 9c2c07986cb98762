"""What a blocked step waits for, and what that comes down to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from maestro_es.audit.view import View
from maestro_es.core.graph import Graph
from maestro_es.core.model import RELEASED, Phase, State, StepRecord

#: So many steps are looked at on the way to those that don't wait themselves, and so many of a funnel's.
_LOOKED_AT = 10_000
_OF_A_FUNNEL = 1_000


def waits_for(graph: Graph, record: StepRecord) -> list[str]:
    """Return what a step waits for that is not finished, in words."""
    parents = [step.name for step in unfinished_parents(graph, record)]
    funnels = [
        f"all of {template} ({graph.unfinished(template)} not finished)"
        for template in graph.funnels(record.number)
        if graph.unfinished(template)
    ]
    return parents + funnels


def unfinished_parents(graph: Graph, record: StepRecord) -> list[StepRecord]:
    """Return the steps that a step waits for by an edge and that are not finished."""
    parents = map(graph.step, graph.parents(record.number))
    return [parent for parent in parents if parent.state not in RELEASED]


def roots(view: View, record: StepRecord) -> list[StepRecord]:
    """Return the steps that a blocked step waits for in the end, those first that don't go on by themselves."""
    graph = view.graph
    found: list[StepRecord] = []
    reached = {record.number}
    frontier = [record]
    while frontier and len(reached) < _LOOKED_AT:
        for step in _before(graph, frontier.pop()):
            if step.number not in reached:
                reached.add(step.number)
                (frontier if step.phase is Phase.BLOCKED else found).append(step)
    return sorted(found, key=lambda step: (priority(step), step.number))


def is_direct(graph: Graph, record: StepRecord, other: StepRecord) -> bool:
    """Return whether a step waits for another one without a third one between them."""
    return other.number in graph.parents(record.number) or other.template in graph.funnels(record.number)


def _before(graph: Graph, record: StepRecord) -> list[StepRecord]:
    funnels = [graph.unfinished_steps(template, _OF_A_FUNNEL) for template in graph.funnels(record.number)]
    return [*unfinished_parents(graph, record), *(step for steps in funnels for step in steps)]


def priority(step: StepRecord) -> int:
    """Return how likely a step goes on by itself: 0 for one that does not."""
    if step.phase is Phase.DONE or step.cancelling or step.held:
        return 0
    if step.phase is Phase.REQUESTED or step.missed_at is not None:
        return 1
    if step.phase is Phase.READY:
        return 2
    return 4 if step.state is State.RUNNING else 3


def others(steps: Sequence[StepRecord]) -> str:
    """Return how many more steps there are, by state; of very many only that."""
    if not steps:
        return ""
    if len(steps) >= _OF_A_FUNNEL - 1:
        return "; besides, for many more"
    found = Counter(step.state for step in steps)
    return "; besides " + ", ".join(f"{found[state]} {state.name}" for state in State if found[state])
