"""The requests of users and programs. Each function takes the state, and returns events or raises RequestRefused.

`maestro_es.core.rerun` has the requests that rerun steps. `maestro_es.execution_graph` checks that the study belongs
to the user, and `maestro_es.cli` defines the commands.
"""

from __future__ import annotations

import fnmatch
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from maestro_es.core import arguments
from maestro_es.core import events as e
from maestro_es.core.arrays import array_use
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph
from maestro_es.core.model import SOURCE, Param, Phase, StepRecord, StudyStatus, is_local, is_scheduled
from maestro_es.errors import NoSuchEdge, RequestRefused, UnknownStep

#: Up to this many steps are loaded one by one. If more are chosen, it is faster to load all steps of the study.
_FEW = 100

#: The keys of a step that contain scripts.
_SCRIPTS = ("cmd", "restart")


def match_steps(graph: Graph, patterns: Sequence[str]) -> list[StepRecord]:
    """Return the steps that match any of the patterns. A pattern is the name of a step or of a template, or a glob."""
    numbers = match_numbers(graph, patterns)
    if len(numbers) <= _FEW:
        return [graph.step(number) for number in numbers]
    chosen = set(numbers)
    return [step for step in graph.steps() if step.number in chosen]


def match_by_row(graph: Graph, patterns: Sequence[str]) -> Iterator[StepRecord]:
    """Return the same steps in the order of their rows."""
    numbers = match_numbers(graph, patterns)
    if len(numbers) <= _FEW:
        return iter(sorted(map(graph.step, numbers), key=lambda step: (step.row, step.number)))
    chosen = bytearray(numbers[-1] + 1)
    for number in numbers:
        chosen[number] = True
    return (step for step in graph.by_row() if step.number < len(chosen) and chosen[step.number])


def match_numbers(graph: Graph, patterns: Sequence[str]) -> Sequence[int]:
    """Return the numbers of the steps that `match_steps` returns. RequestRefused if a pattern matches no step."""
    wide = [pattern for pattern in patterns if graph.has_template(pattern) or set(pattern) & set("*?[")]
    exact = {pattern: graph.number_of(pattern) for pattern in patterns if pattern not in wide}
    numbers = {number for number in exact.values() if number is not None}
    missing = {*wide, *(pattern for pattern, number in exact.items() if number is None)}
    globs = [(pattern, re.compile(fnmatch.translate(pattern)).match) for pattern in wide]
    chosen = array("I", () if wide else sorted(numbers))
    for number, *names in graph.names() if wide else ():
        matching = {pattern for pattern, matches in globs if pattern in names or any(map(matches, names))}
        missing -= matching
        if matching or number in numbers:
            chosen.append(number)
    if missing:
        called = ", ".join(pattern or "''" for pattern in sorted(missing))
        raise RequestRefused(f"no step is called {called}; 'maestro-es status' lists the steps")
    return chosen


def choose(graph: Graph, patterns: Sequence[str], objection: Callable[[StepRecord], str]) -> list[StepRecord]:
    """Return the steps that match the patterns and for which `objection` returns an empty string.

    RequestRefused if there are none, or if there is an objection to a step that is given by its full name.
    """
    chosen: list[StepRecord] = []
    refused: list[str] = []
    for step in match_steps(graph, patterns):
        why = objection(step)
        if why and step.name in patterns:
            raise RequestRefused(f"{step.name} {why}")
        if why:
            refused.append(f"{step.name} {why}")
        else:
            chosen.append(step)
    if not chosen:
        others = len(refused) - 1
        more = f"; {others} other step{'s were' if others > 1 else ' was'} refused too" if others > 0 else ""
        raise RequestRefused(f"{refused[0]}{more}" if refused else "name the steps")
    return chosen


def cancel(graph: Graph, patterns: Sequence[str] = (), reason: str = "") -> list[NewEvent]:
    """Request the end of the whole study, or of the steps that match the patterns."""
    _refuse_completed(graph, "there is nothing to cancel")
    if not patterns:
        if graph.study.cancelling:
            raise RequestRefused("the study is already being cancelled")
        return [(None, e.CancelRequested(reason=reason))]
    steps = [step for step in match_steps(graph, patterns) if step.phase is not Phase.DONE]
    if not steps:
        raise RequestRefused("these steps have already ended: there is nothing to cancel")
    if all(step.cancelling for step in steps):
        raise RequestRefused("these steps are already being cancelled")
    return [(None, e.CancelRequested(steps=tuple(step.number for step in steps), reason=reason))]


def pause(graph: Graph, reason: str = "") -> list[NewEvent]:
    """Request that no new steps are submitted."""
    _refuse_completed(graph, "there is nothing to pause")
    if graph.study.paused:
        raise RequestRefused("the study is already paused; use 'maestro-es resume' to continue")
    return [(None, e.StudyPaused(reason=reason))]


def resume(graph: Graph, reason: str = "") -> list[NewEvent]:
    """Request that a paused study continues."""
    if not graph.study.paused:
        raise RequestRefused("the study is not paused")
    return [(None, e.StudyResumed(reason=reason))]


def hold(graph: Graph, patterns: Sequence[str], reason: str = "") -> list[NewEvent]:
    """Request that steps are not submitted until they are released. A job in flight keeps running."""

    def objection(step: StepRecord) -> str:
        if step.phase is Phase.DONE:
            return f"has ended ({step.state.name}): there is nothing to hold"
        return "is already held" if step.held else ""

    return [(step.number, e.StepHeld(reason=reason)) for step in choose(graph, patterns, objection)]


def release(graph: Graph, patterns: Sequence[str], reason: str = "") -> list[NewEvent]:
    """Request that held steps can be submitted again."""

    def objection(step: StepRecord) -> str:
        return "" if step.held else "is not held"

    return [(step.number, e.StepReleased(reason=reason)) for step in choose(graph, patterns, objection)]


def update(graph: Graph, values: Mapping[str, int | str], reason: str = "") -> list[NewEvent]:
    """Change settings. The keys are the names of options (`UPDATABLE`).

    A value that does not change gives no event.
    """
    new_events: list[NewEvent] = []
    for option, value in values.items():
        what = arguments.UPDATABLE[option]
        before = getattr(graph.study.settings, what)
        before = array_use(graph.study).value if what == "array" else before
        if arguments.setting(option, value) != before:
            new_events.append((None, e.SettingsChanged(what=what, before=before, after=value, reason=reason)))
    return new_events


def notify(graph: Graph, target: str, reason: str = "") -> list[NewEvent]:
    """Change the command or the mail address that gets notifications. If it is empty, none are sent."""
    before = graph.study.settings.notify
    if target == before:
        return []
    return [(None, e.SettingsChanged(what="notify", before=before, after=target, reason=reason))]


def _refuse_completed(graph: Graph, consequence: str) -> None:
    if graph.study.status is not StudyStatus.RUNNING:
        raise RequestRefused(f"the study has ended ({graph.study.status.name}): {consequence}")


# -- steps and edges that a program adds one at a time -----------------------------------------------------------


def run_of(name: str, run_keys: object) -> dict[str, Any]:
    """Return the ``run`` keys of a step that have a value. TypeError or ValueError if a study file can't hold them."""
    run = {key: value for key, value in arguments.mapping("step.run", run_keys).items() if value not in ("", None)}
    for key in _SCRIPTS:
        if key in run:
            run[key] = arguments.name(f"step.run[{key!r}]", run[key])
    if run.get("depends"):
        raise RequestRefused(f"step {name!r} can't have 'depends' in its run keys; add each edge with add_connection")
    if "cmd" not in run:
        raise ValueError(f"step {name!r} has no cmd")
    return run


def add_step(
    graph: Graph, template: e.StepTemplateAdded, workspace: str, restart_limit: int, params: tuple[Param, ...]
) -> list[NewEvent]:
    """Add a step that is the only one of its template.

    RequestRefused if a step with that name or that workspace exists. The workspace is a path relative to the study.
    """
    name = template.name
    if name == SOURCE:
        raise RequestRefused(
            f"no step can be called {SOURCE!r}, because that is the root of Maestro's graph; choose another name"
        )
    if graph.number_of(name) is not None:
        raise RequestRefused(f"there is already a step {name!r}; give this step another name")
    _check_workspace(graph, name, workspace)
    added = e.StepAdded(
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
            "step another"
        )


def connect(graph: Graph, parent: str, child: str) -> list[NewEvent]:
    """Add an edge. UnknownStep if a step does not exist, ValueError if the edge would close a cycle.

    RequestRefused if the child has been submitted or has ended.
    """
    second = _number(graph, child)
    if parent == SOURCE:
        return []
    first = _number(graph, parent)
    if first in graph.parents(second):
        return []
    has_children = graph.children(second) or graph.funnel(graph.step(second).template)
    if first == second or (has_children and second in _ancestors(graph, first)):
        raise ValueError(f"{child!r} can't wait for {parent!r}, because this edge would close a cycle")
    _check_edges_may_change(graph.step(second))
    return [(second, e.ConnectionAdded(parent=first))]


def disconnect(graph: Graph, parent: str, child: str) -> list[NewEvent]:
    """Remove an edge. UnknownStep if a step does not exist, NoSuchEdge if there is no such edge.

    RequestRefused if the child has been submitted or has ended, or waits for all instances of a template.
    """
    second = _number(graph, child)
    if parent == SOURCE:
        if graph.parents(second) or graph.funnels(second):
            raise NoSuchEdge(f"{child!r} waits for other steps, so there is no edge from {SOURCE!r} to remove")
        raise RequestRefused(f"{child!r} depends on no step, so its edge from {SOURCE!r} stays; hold it instead")
    first = _number(graph, parent)
    step = graph.step(second)
    if first not in graph.parents(second):
        if graph.step(first).template in graph.funnels(second):
            raise RequestRefused(
                f"{child!r} waits for all instances of {graph.step(first).template!r}, "
                "so no single edge can be removed"
            )
        raise NoSuchEdge(f"{child!r} does not wait for {parent!r}, so there is no edge to remove")
    _check_edges_may_change(step)
    return [(second, e.ConnectionRemoved(parent=first))]


def _check_edges_may_change(step: StepRecord) -> None:
    if step.phase not in (Phase.BLOCKED, Phase.READY):
        how = "has ended" if step.phase is Phase.DONE else "has been submitted"
        raise RequestRefused(f"{step.name!r} {how} ({step.state.name}), so its edges stay as they are")


def _number(graph: Graph, name: str) -> int:
    number = graph.number_of(name)
    if number is None:
        raise UnknownStep(f"there is no step {name!r}")
    return number


def _ancestors(graph: Graph, number: int) -> set[int]:
    """Return a step and all steps on which it depends."""
    ancestors = {number}
    frontier = [number]
    templates: set[str] = set()
    while frontier:
        number = frontier.pop()
        parents = set(graph.parents(number))
        for template in set(graph.funnels(number)) - templates:
            templates.add(template)
            parents.update(graph.instances(template))
        frontier += parents - ancestors
        ancestors |= parents
    return ancestors
