"""Groups the failed steps of a study by their cause.

Steps that were not run because of another step are counted with that step. `maestro_es.audit.why.ended` explains how a
single step ended.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from maestro_es.core.exit_codes import meaning
from maestro_es.core.model import BAD_ENDS, Cause, State, StepRecord
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
    counts the steps that were not run because of them. `retry` has the arguments of ``maestro-es retry`` that run
    exactly these steps again. If there is no short form for that, the arguments run all failed steps of the template.
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
    values = _values(graph, {template for template, _, _ in groups})
    failed = [step for members in groups.values() for step, _ in members]
    by_size = sorted(groups.items(), key=lambda item: (-len(item[1]), item[1][0][0].number))
    return [
        FailureGroup(
            template,
            outcome,
            members[0][1],
            [step.name for step, _ in members],
            _shared([step for step, _ in members], values[template]),
            sum(dependents.get(step.number, 0) for step, _ in members),
            _selection([step for step, _ in members], failed),
        )
        for (template, outcome, _), members in by_size
    ]


def _outcome(step: StepRecord) -> str:
    if step.state is State.TIMEDOUT:
        return "out of time"
    if step.state is State.CANCELLED:
        return step.message or "cancelled"
    means = meaning(step.exit_code) if step.cause is Cause.EXIT_CODE else ""
    return step.message + (f": {means}" if means else "")


#: How many steps of a template have each value of each parameter.
_Values = Mapping[str, Counter[str]]


def _values(graph: ProjectedGraph, templates: set[str]) -> dict[str, _Values]:
    """Count the values of the parameters in these templates."""
    counts: dict[str, dict[str, Counter[str]]] = {template: defaultdict(Counter) for template in templates}
    for template, key, value, count in graph.values() if templates else ():
        if template in templates:
            counts[template][key][value] = count
    return {**counts}


def _shared(steps: Sequence[StepRecord], values: _Values) -> list[SharedValues]:
    """Return the parameters that distinguish these steps from others of their template. A single step has none."""
    shared = []
    for key, all_values in values.items() if len(steps) > 1 else ():
        own = Counter(str(param.value) for step in steps for param in step.params if param.key == key)
        few = len(own) == 1 or (len(own) <= _VALUES and 2 * len(own) <= len(steps))
        if few and len(own) < len(all_values):
            shared.append(SharedValues(key, list(own), own.total(), sum(all_values[value] for value in own)))
    return shared


def _selection(steps: Sequence[StepRecord], failed: Iterable[StepRecord]) -> list[str]:
    """Return the arguments of ``retry`` that select these steps of one template, and no other failed step."""
    template, names = steps[0].template, [step.name for step in steps]
    alike = [step.name for step in failed if step.template == template]
    if len(names) == 1:
        return names
    if len(alike) == len(names):
        return ["--failed", template]
    labels = set[str].intersection(*({param.label for param in step.params} for step in steps))
    globs = [f"{template}_*{label}*" for label in sorted(labels)]
    exact = [glob for glob in globs if len(fnmatch.filter(alike, glob)) == len(names)]
    return exact[:1] or (names if len(names) <= _NAMES else ["--failed", template])
