"""A study as a diagram: its templates, or its steps, with the edges between them and their states.

`maestro_es.report.diagrams` writes diagrams as SVG, DOT and Mermaid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from maestro_es.audit.shown_states import kind_of
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph
from maestro_es.core.model import State
from maestro_es.errors import RequestRefused
from maestro_es.store.graph_queries import TEMPLATE_EDGES, TEMPLATE_FUNNELS, TEMPLATE_STATES
from maestro_es.store.study_log import StudyLog

#: A diagram of steps has at most this number of steps.
MOST_STEPS = 500


class Node(msgspec.Struct, frozen=True):
    """A template or a step. `kinds` counts its steps by state; it is empty if the study has not been created."""

    name: str
    steps: int = 1
    kinds: dict[str, int] = {}


class Edge(msgspec.Struct, frozen=True, order=True):
    """The node `child` waits for the node `parent`. If `all_steps`, it waits for all steps of `parent`."""

    parent: str
    child: str
    all_steps: bool = False


class Diagram(msgspec.Struct, frozen=True):
    """The nodes, in the order in which ``status`` shows them, and the edges. `of_steps`: each node is one step."""

    name: str
    nodes: list[Node]
    edges: list[Edge]
    of_steps: bool = False


def diagram_of_templates(log: StudyLog) -> Diagram:
    """Return the diagram of the templates of a study."""
    kinds: dict[str, Counter[str]] = {}
    for template, state, is_upstream, count in log.query(TEMPLATE_STATES):
        kind = kind_of(State[str(state)], is_upstream=bool(is_upstream))
        kinds.setdefault(str(template), Counter())[kind] += int(str(count))
    nodes = [Node(name, counts.total(), dict(counts)) for name, counts in kinds.items()]
    edges = {
        Edge(str(parent), str(child), all_steps)
        for query, all_steps in ((TEMPLATE_EDGES, False), (TEMPLATE_FUNNELS, True))
        for parent, child in log.query(query)
    }
    return Diagram(log.graph.study.name, nodes, sorted(edges))


def diagram_of_steps(graph: Graph) -> Diagram:
    """Return the diagram of all steps of a study. RequestRefused if there are too many."""
    _check(graph.study.steps)
    steps = {step.number: step for step in graph.steps()}
    names = {number: step.name for number, step in steps.items()}
    instances = {template: graph.instances(template) for template in {step.template for step in steps.values()}}
    edges = {
        Edge(names[parent], step.name)
        for step in steps.values()
        for parent in (
            *graph.parents(step.number),
            *(number for template in graph.funnels(step.number) for number in instances.get(template, ())),
        )
    }
    nodes = [
        Node(step.name, 1, {kind_of(step.state, is_upstream=step.blocker is not None): 1})
        for step in sorted(steps.values(), key=lambda step: (step.row, step.number))
    ]
    return Diagram(graph.study.name, nodes, sorted(edges), of_steps=True)


def diagram_of_plan(name: str, new_events: Iterable[NewEvent], *, steps: bool) -> Diagram:
    """Return the diagram of a study that has not been created, from the events that would add its steps."""
    counts: Counter[str] = Counter()
    templates: list[str] = []  # of each step, in the order of step numbers
    names: list[str] = []
    edges: set[Edge] = set()
    for _, event in new_events:
        if isinstance(event, e.StepTemplateAdded):
            counts[event.name] = 0
        elif isinstance(event, e.StepAdded):
            counts[event.template] += 1
            templates.append(event.template)
            labels = names if steps else templates
            names.append(event.name)
            own = event.name if steps else event.template
            edges.update(Edge(labels[parent - 1], own) for parent in event.parents)
            edges.update(
                Edge(names[at], own) if steps else Edge(funnel, own, all_steps=True)
                for funnel in event.funnels
                for at in ([at for at, template in enumerate(templates) if template == funnel] if steps else [0])
            )
            _check(len(names) if steps else 0)
    nodes = [Node(step) for step in names] if steps else [Node(*item) for item in counts.items()]
    return Diagram(name, nodes, sorted(edges), of_steps=steps)


def _check(steps: int) -> None:
    if steps > MOST_STEPS:
        raise RequestRefused(
            f"a diagram of steps has at most {MOST_STEPS} steps, and this study has more; leave out --steps, or use"
            " 'maestro-es report'"
        )
