"""Makes requests about steps for the commands, and prints the results.

`maestro_es.core` decides what a request changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from maestro_es.audit.attempts import which_script
from maestro_es.audit.sentences import listed
from maestro_es.cli.common import open_graph, split_arguments
from maestro_es.cli.output import say_done
from maestro_es.core import events as e
from maestro_es.core.graph import Graph
from maestro_es.core.model import Phase, StepRecord
from maestro_es.drivers.crontab import how_ticks_come
from maestro_es.execution_graph.requesting import RequestableGraph
from maestro_es.study import registry

#: The word that is printed before the steps of each type of event.
_WORDS: dict[type[e.Event], str] = {
    e.StepReset: "will run",
    e.HardwareFailed: "will run",
    e.StepCancelled: "cancelled",
    e.StepSkipped: "skipped",
    e.StepHeld: "held",
    e.StepReleased: "released",
}


def ask_of_steps(
    arguments: tuple[str, ...], ask: Callable[[RequestableGraph, Sequence[str]], Sequence[e.Recorded]]
) -> None:
    """Make a request about steps of one study, and print the result. `ask` is called with the step patterns."""
    roots, patterns = split_arguments(arguments)
    if len(roots) > 1:
        raise click.UsageError("Give steps of only one study.")
    with open_graph(RequestableGraph, roots[0]) as graph:
        recorded = ask(graph, patterns)
        for line in _outcome(graph, recorded, roots[0]):
            say_done(f"{graph.path}: {line}")


def _outcome(graph: RequestableGraph, recorded: Sequence[e.Recorded], named: Path) -> Iterator[str]:
    state = graph.state
    for one in recorded:
        if isinstance(one.event, e.SettingsChanged):
            yield f"{one.event.what} is {one.event.after} now, was {one.event.before}"
    for kind, verb in _WORDS.items():
        numbers = sorted(one.step for one in recorded if one.step and _is_asked(one.event, kind))
        if numbers:
            yield f"{verb}: {listed([_named(state, state.step(number), kind) for number in numbers])}"
    run = {one.step for one in recorded if isinstance(one.event, e.StepReset)}
    held = [step.name for step in state.held() if step.number in run]
    if held:
        yield f"still held, until 'maestro-es release': {listed(held)}"
    if state.study.paused:
        yield "paused; use 'maestro-es resume' to continue"
    if any(isinstance(one.event, e.StudyReopened) for one in recorded):
        yield f"the study continues. {_ticks(graph)}"
    yield from graph.edits(*(state.step(number).name for number in sorted(filter(None, run))), named=named)


def _is_asked(event: e.Event, kind: type[e.Event]) -> bool:
    """Return whether an event has this type and was requested. Consequences for dependent steps were not requested."""
    return isinstance(event, kind) and getattr(event, "blocker", None) is None


def _named(state: Graph, step: StepRecord, kind: type[e.Event]) -> str:
    """Return the name of a step. If the step runs again and has two scripts, add which one it will run."""
    waits = kind in (e.StepReset, e.HardwareFailed) and step.attempt and step.phase in (Phase.BLOCKED, Phase.READY)
    script = which_script(state, step) if waits else ""
    return f"{step.name} ({script})" if script else step.name


def _ticks(graph: RequestableGraph) -> str:
    if graph.state.study.study_id in registry.registered():
        return how_ticks_come(graph.runtime)
    return "'maestro-es tick --all' does not advance this study; use 'maestro-es tick STUDY'"
