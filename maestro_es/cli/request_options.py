"""How the commands ask something of the steps of a study, and say what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from maestro_es.audit.edits import edits
from maestro_es.audit.step_details import listed
from maestro_es.audit.which_script import which_script
from maestro_es.cli.common import split_arguments
from maestro_es.cli.output import say_done
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph
from maestro_es.core.model import Phase, StepRecord
from maestro_es.drivers.crontab import how_ticks_come
from maestro_es.store import registry
from maestro_es.study.session import Session

#: What is said of the steps that an event is about.
_WORDS: dict[type[e.Event], str] = {
    e.StepReset: "will run",
    e.HardwareFailed: "will run",
    e.StepCancelled: "cancelled",
    e.StepSkipped: "skipped",
    e.StepHeld: "held",
    e.StepReleased: "released",
}


def ask_of_steps(
    arguments: tuple[str, ...], decide: Callable[[Graph, Sequence[str], Session], list[NewEvent]]
) -> None:
    """Ask something of steps of one study, and print what came of it.

    `decide` is given the state, the patterns among the arguments, and the study.
    """
    roots, patterns = split_arguments(arguments)
    if len(roots) > 1:
        raise click.UsageError("Name steps of one study.")
    with Session(roots[0]) as study:
        study.dir.check_owner()
        new_events = study.request(lambda graph: decide(graph, patterns, study))
        for line in _outcome(study, new_events, roots[0]):
            say_done(f"{study.dir.root}: {line}")


def _outcome(study: Session, new_events: Sequence[NewEvent], named: Path) -> Iterator[str]:
    for _, event in new_events:
        if isinstance(event, e.SettingsChanged):
            yield f"{event.what} is {event.after} now, was {event.before}"
    for kind, words in _WORDS.items():
        numbers = sorted(number for number, event in new_events if number and isinstance(event, kind))
        if numbers:
            yield f"{words}: {listed([_named(study, study.graph.step(number), kind) for number in numbers])}"
    run = {number for number, event in new_events if isinstance(event, e.StepReset)}
    held = [step.name for step in study.graph.held() if step.number in run]
    if held:
        yield f"still held, until 'maestro-es release': {listed(held)}"
    if study.graph.study.paused:
        yield "paused; use 'maestro-es resume' to continue"
    if any(isinstance(event, e.StudyReopened) for _, event in new_events):
        yield f"the study continues. {_ticks(study)}"
    yield from edits(study, sorted(number for number in run if number), named)


def _named(study: Session, step: StepRecord, kind: type[e.Event]) -> str:
    """Return the name of a step; of one that runs again and has two scripts, also which it will run."""
    waits = kind in (e.StepReset, e.HardwareFailed) and step.attempt and step.phase in (Phase.BLOCKED, Phase.READY)
    script = which_script(study.graph, step) if waits else ""
    return f"{step.name} ({script})" if script else step.name


def _ticks(study: Session) -> str:
    if study.graph.study.study_id in registry.registered():
        return how_ticks_come(study.runtime)
    return "'maestro-es tick --all' does not advance this study; use 'maestro-es tick STUDY'"
