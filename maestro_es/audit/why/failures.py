"""Groups the failed steps of a study by their cause.

Steps that were not run because of another step are counted with that step. `maestro_es.audit.why.ended` explains how a
single step ended.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from maestro_es.core.exit_codes import meaning
from maestro_es.core.model import BAD_ENDS, FAILED_STATES, Cause, State, StepRecord
from maestro_es.store.projection import ProjectedGraph

#: The largest number of steps whose error messages are read.
_MESSAGES = 2000

#: A parameter with more values than this does not describe a group.
_VALUES = 3

#: If no pattern matches exactly the group, a command names at most this number of steps.
_NAMES = 10


class SharedValues(msgspec.Struct, frozen=True):
    """The values of one parameter in a group. Other steps of the template have other values.

    The template has `steps` steps with these values, and `failed` of them are in the group.
    """

    parameter: str
    values: list[str]
    failed: int
    steps: int


class FailureGroup(msgspec.Struct, frozen=True):
    """Steps of one template that ended in the same way, with the same last error message, except for digits.

    `outcome` says how they ended. `steps` holds their names. `error` is the message of the first step. `dependents`
    counts the steps that were not run because of them. `retry` holds the arguments of ``maestro-es retry`` that run
    exactly these steps again. If there is no short form for that, the arguments run all failed steps of the template,
    or all failed and cancelled ones.
    """

    template: str
    outcome: str
    error: str
    steps: list[str]
    shared: list[SharedValues]
    dependents: int
    retry: list[str]


def group_failures(graph: ProjectedGraph, last_error: Callable[[StepRecord], str]) -> list[FailureGroup]:
    """Return the groups, largest first. `last_error` returns the last line on the standard error of a step."""
    groups: dict[tuple[str, str, str], list[tuple[StepRecord, str]]] = defaultdict(list)
    failed_steps = graph.failed() if any(graph.study.states.get(state.name) for state in BAD_ENDS) else []
    for read, step in enumerate(failed_steps):
        error = last_error(step) if read < _MESSAGES else ""
        groups[step.template, _outcome(step), re.sub(r"\d+", "0", error)].append((step, error))
    dependents = graph.dependents() if groups else {}
    few = {key: _few([step for step, _ in members]) for key, members in groups.items()}
    values = _values(graph, ((key[0], name, own) for key, names in few.items() for name, own in names.items()))
    failed = [step for members in groups.values() for step, _ in members]
    by_size = sorted(groups.items(), key=lambda item: (-len(item[1]), item[1][0][0].number))
    return [
        FailureGroup(
            key[0],
            key[1],
            members[0][1],
            [step.name for step, _ in members],
            [*_shared(few[key], {name: values[key[0], name] for name in few[key]})],
            sum(dependents.get(step.number, 0) for step, _ in members),
            _selection([step for step, _ in members], failed),
        )
        for key, members in by_size
    ]


def _outcome(step: StepRecord) -> str:
    if step.state is State.TIMEDOUT:
        return "out of time"
    if step.state is State.CANCELLED:
        return step.message or "cancelled"
    means = meaning(step.exit_code) if step.cause is Cause.EXIT_CODE else ""
    return step.message + (f": {means}" if means else "")


class _ValueCounts(msgspec.Struct):
    """The values of a parameter in a template: how many there are, and how many steps have those that matter here."""

    number: int = 0
    steps: dict[str, int] = msgspec.field(default_factory=dict)


def _few(steps: Sequence[StepRecord]) -> dict[str, Counter[str]]:
    """Return the parameters with few values among several steps, and how many steps have each value."""
    own: dict[str, Counter[str]] = defaultdict(Counter)
    for step in steps if len(steps) > 1 else ():
        for param in step.params:
            own[param.key][str(param.value)] += 1
    return {
        key: values
        for key, values in own.items()
        if len(values) == 1 or (len(values) <= _VALUES and 2 * len(values) <= len(steps))
    }


def _values(
    graph: ProjectedGraph, few: Iterable[tuple[str, str, Iterable[str]]]
) -> dict[tuple[str, str], _ValueCounts]:
    """Count the steps with these values. Each list is for one parameter of one template, which may have others."""
    counts: dict[tuple[str, str], _ValueCounts] = defaultdict(_ValueCounts)
    for template, key, values in few:
        counts[template, key].steps.update(dict.fromkeys(values, 0))
    for template, key, value, count in graph.values() if counts else ():
        if known := counts.get((template, key)):
            known.number += 1
            if value in known.steps:
                known.steps[value] = count
    return counts


def _shared(few: Mapping[str, Counter[str]], values: Mapping[str, _ValueCounts]) -> Iterator[SharedValues]:
    """Yield the parameters that distinguish the steps of a group from others of their template."""
    for key, own in few.items():
        if len(own) < values[key].number:
            yield SharedValues(key, list(own), own.total(), sum(values[key].steps[value] for value in own))


def _selection(steps: Sequence[StepRecord], failed: Iterable[StepRecord]) -> list[str]:
    """Return the arguments of ``retry`` that select these steps of one template, and no other failed step."""
    template, names = steps[0].template, [step.name for step in steps]
    if len(names) == 1:
        return names
    alike = {step.name: step.state for step in failed if step.template == template}
    every, selected = [template], len(alike)
    if all(step.state in FAILED_STATES for step in steps):  # --failed leaves out cancelled steps
        every, selected = ["--failed", template], sum(state in FAILED_STATES for state in alike.values())
    if selected == len(names):
        return every
    labels = set[str].intersection(*({param.label for param in step.params} for step in steps))
    globs = [f"{template}_*{label}*" for label in sorted(labels)]
    exact = [glob for glob in globs if len(fnmatch.filter(alike, glob)) == len(names)]
    return exact[:1] or (names if len(names) <= _NAMES else every)
