"""What a person may ask of a study: state in, events or a refusal out."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence

from maestro_es.core import events as e
from maestro_es.core.arguments import LARGEST
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph, has_template
from maestro_es.core.model import Phase, StepRecord, StudyStatus
from maestro_es.errors import RequestRefused

#: The settings that `update` may change, by the name of its option.
UPDATABLE = {
    "throttle": "submission_throttle",
    "rlimit": "restart_limit",
    "hardware-limit": "hardware_limit",
    "sleep": "sleep_seconds",
}

#: So many steps are loaded one by one; for more it is quicker to load them all.
_FEW = 100


def match_steps(graph: Graph, patterns: Sequence[str]) -> list[StepRecord]:
    """Return the steps that any of the patterns names: an instance, a step of the study file, or a glob of either."""
    numbers = match_numbers(graph, patterns)
    if len(numbers) <= _FEW:
        return [graph.step(number) for number in numbers]
    wanted = set(numbers)
    return [record for record in graph.steps() if record.number in wanted]


def match_numbers(graph: Graph, patterns: Sequence[str]) -> list[int]:
    """Return the numbers of these steps; no step is loaded for it. RequestRefused if a pattern names none."""
    found = {pattern: {*graph.instances(pattern)} for pattern in patterns if has_template(graph, pattern)}
    for pattern in patterns:
        number = graph.number_of(pattern)
        found.setdefault(pattern, set()).update([] if number is None else [number])
    globs = [(pattern, re.compile(fnmatch.translate(pattern))) for pattern in found if set(pattern) & set("*?[")]
    for number, *names in graph.names() if globs else ():
        for pattern, glob in globs:
            if any(map(glob.match, names)):
                found[pattern].add(number)
    missing = sorted(pattern for pattern, numbers in found.items() if not numbers)
    if missing:
        raise RequestRefused(f"no step is called {', '.join(missing)}; 'maestro-es status' lists the steps")
    return sorted(set().union(*found.values()))


def choose(graph: Graph, patterns: Sequence[str], objection: Callable[[StepRecord], str]) -> list[StepRecord]:
    """Return the steps that the patterns name and that `objection` has nothing to say against.

    A pattern takes the steps that fit. RequestRefused if there are none, or if one that is named in full does not fit.
    """
    chosen: list[StepRecord] = []
    refused: list[str] = []
    for record in match_steps(graph, patterns):
        why = objection(record)
        if why and record.name in patterns:
            raise RequestRefused(f"{record.name} {why}")
        if why:
            refused.append(f"{record.name} {why}")
        else:
            chosen.append(record)
    if not chosen:
        more = f", and so on for {len(refused)} steps" if len(refused) > 1 else ""
        raise RequestRefused(f"{refused[0]}{more}" if refused else "name the steps that are meant")
    return chosen


def cancel(graph: Graph, patterns: Sequence[str] = (), reason: str = "") -> list[NewEvent]:
    """Ask that the whole study ends, or the steps that the patterns name."""
    _refuse_completed(graph, "there is nothing to cancel")
    if not patterns:
        if graph.study.cancelling:
            raise RequestRefused("the study is being cancelled already")
        return [(None, e.CancelRequested(reason=reason))]
    steps = [record for record in match_steps(graph, patterns) if record.phase is not Phase.DONE]
    if not steps:
        raise RequestRefused("these steps have ended already: there is nothing to cancel")
    if all(record.cancelling for record in steps):
        raise RequestRefused("these steps are being cancelled already")
    return [(None, e.CancelRequested(steps=tuple(record.number for record in steps), reason=reason))]


def pause(graph: Graph, reason: str = "") -> list[NewEvent]:
    """Ask that nothing new is submitted."""
    _refuse_completed(graph, "there is nothing to pause")
    if graph.study.paused:
        raise RequestRefused("the study is paused already; 'maestro-es resume' lets it go on")
    return [(None, e.StudyPaused(reason=reason))]


def resume(graph: Graph, reason: str = "") -> list[NewEvent]:
    """Ask that a paused study goes on."""
    if not graph.study.paused:
        raise RequestRefused("the study is not paused")
    return [(None, e.StudyResumed(reason=reason))]


def hold(graph: Graph, patterns: Sequence[str], reason: str = "") -> list[NewEvent]:
    """Ask that steps are not submitted until they are released; a job in flight goes on."""

    def objection(record: StepRecord) -> str:
        if record.phase is Phase.DONE:
            return f"has ended ({record.state.name}): there is nothing to hold"
        return "is held already" if record.held else ""

    return [(record.number, e.StepHeld(reason=reason)) for record in choose(graph, patterns, objection)]


def release(graph: Graph, patterns: Sequence[str], reason: str = "") -> list[NewEvent]:
    """Ask that held steps are submitted again."""

    def objection(record: StepRecord) -> str:
        return "" if record.held else "is not held"

    return [(record.number, e.StepReleased(reason=reason)) for record in choose(graph, patterns, objection)]


def update(graph: Graph, values: dict[str, int], reason: str = "") -> list[NewEvent]:
    """Change settings: a value by the name of its option in `UPDATABLE`. A value that is as it was makes no event."""
    new_events: list[NewEvent] = []
    for option, value in values.items():
        if value < 0:
            raise RequestRefused(f"--{option} takes a number that is not negative, not {value}")
        if value > LARGEST:
            raise RequestRefused(f"--{option} takes a number of at most {LARGEST}")
        what = UPDATABLE[option]
        before = getattr(graph.study.settings, what)
        if value != before:
            new_events.append((None, e.SettingsChanged(what=what, before=before, after=value, reason=reason)))
    return new_events


def _refuse_completed(graph: Graph, consequence: str) -> None:
    if graph.study.status is not StudyStatus.RUNNING:
        raise RequestRefused(f"the study has ended ({graph.study.status.name}): {consequence}")
