"""Steps and edges that a program adds one at a time: state in, events or a refusal out."""

from __future__ import annotations

from typing import Any

from maestro_es.core import arguments
from maestro_es.core.events import ConnectionAdded, NewEvent, StepAdded, StepTemplateAdded
from maestro_es.core.graph import Graph
from maestro_es.core.model import SOURCE, Param, is_local, is_scheduled
from maestro_es.errors import RequestRefused

#: The keys of a step that hold scripts.
_SCRIPTS = ("cmd", "restart")


def run_of(name: str, given: object) -> dict[str, Any]:
    """Return the ``run`` keys of a step that have a value. TypeError or ValueError if a study file can't hold them."""
    run = {key: value for key, value in arguments.mapping("step.run", given).items() if value not in ("", None)}
    for key in _SCRIPTS:
        if key in run:
            run[key] = arguments.name(f"step.run[{key!r}]", run[key])
    if "cmd" not in run:
        raise ValueError(f"step {name!r} has no cmd")
    return run


def add_step(
    graph: Graph, template: StepTemplateAdded, workspace: str, restart_limit: int, params: tuple[Param, ...]
) -> list[NewEvent]:
    """Add a step that is the only one of its template.

    RequestRefused if there is one of that name, or one in that workspace: a path relative to the study.
    """
    name = template.name
    if name == SOURCE:
        raise RequestRefused(f"no step can be called {SOURCE!r}, Maestro's root of a graph; choose another name")
    if graph.number_of(name) is not None:
        raise RequestRefused(f"there is a step {name!r} already; give this one another name")
    _check_workspace(graph, name, workspace)
    added = StepAdded(
        name=name,
        template=name,
        workspace=workspace,
        params=params,
        scheduled=not is_local(graph.study.adapter) and is_scheduled(template.run),
        restart_limit=restart_limit,
    )
    return [(None, template), (graph.study.steps + 1, added)]


def _check_workspace(graph: Graph, name: str, workspace: str) -> None:
    other = graph.in_workspace(workspace)
    if other is not None:
        raise RequestRefused(
            f"steps {graph.step(other).name!r} and {name!r} would run in the same workspace {workspace!r}; give this "
            "one another"
        )


def connect(graph: Graph, parent: str, child: str) -> list[NewEvent]:
    """Let a step wait for another. KeyError if there is no such step, ValueError if it would wait for itself."""
    first, second = _number(graph, parent), _number(graph, child)
    if first in graph.parents(second):
        return []
    if first == second or (graph.children(second) and second in _ancestors(graph, first)):
        raise ValueError(f"{child!r} waiting for {parent!r} would be a cycle")
    return [(second, ConnectionAdded(parent=first))]


def _number(graph: Graph, name: str) -> int:
    number = graph.number_of(name)
    if number is None:
        raise KeyError(f"there is no step {name!r}")
    return number


def _ancestors(graph: Graph, number: int) -> set[int]:
    """Return a step and everything that it waits for."""
    found = {number}
    border = [number]
    while border:
        for parent in graph.parents(border.pop()):
            if parent not in found:
                found.add(parent)
                border.append(parent)
    return found
