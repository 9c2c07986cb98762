"""Groups the failed steps of a study by their cause.

Steps that were not run because of another step are counted with that step. `maestro_es.audit.why.ended` explains how a
single step ended.
"""

from __future__ import annotations

import bisect
import fnmatch
import re
from array import array
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
    or all failed and cancelled ones. `started` is the first of the steps that started, so that it may have output
    (empty: none did).
    """

    template: str
    outcome: str
    error: str
    steps: list[str]
    shared: list[SharedValues]
    dependents: int
    retry: list[str]
    started: str = ""


class _Members:
    """The steps of a group, of which some have `failed` and others were cancelled. Their records are not kept."""

    def __init__(self, template: str, outcome: str, error: str) -> None:
        self.template, self.outcome, self.error = template, outcome, error
        self.names: list[str] = []
        self.started = ""
        self.failed = 0
        self.labels: set[str] = set()
        self.dependents = 0
        self._values: dict[str, Counter[str] | None] = {}

    def add(self, step: StepRecord) -> None:
        """Add a step."""
        labels = {param.label for param in step.params}
        self.labels = self.labels & labels if self.names else labels
        self.names.append(step.name)
        self.started = self.started or (step.name if step.started_at is not None else "")
        self.failed += step.state in FAILED_STATES
        for param in step.params:
            values = self._values.setdefault(param.key, Counter())
            if values is not None:
                values[str(param.value)] += 1
                if len(values) > _VALUES:
                    self._values[param.key] = None

    def few(self) -> dict[str, Counter[str]]:
        """Return the parameters with few values among several steps, and how many steps have each value."""
        size = len(self.names)
        return {
            key: values
            for key, values in self._values.items()
            if values and size > 1 and (len(values) == 1 or 2 * len(values) <= size)
        }


def group_failures(graph: ProjectedGraph, last_error: Callable[[StepRecord], str]) -> list[FailureGroup]:
    """Return the groups, largest first. `last_error` returns the last line on the standard error of a step."""
    groups: dict[tuple[str, str, str], _Members] = {}
    numbers, owners = array("Q"), list[_Members]()
    failed_steps = graph.failed() if any(graph.study.states.get(state.name) for state in BAD_ENDS) else ()
    for read, step in enumerate(failed_steps):
        error = last_error(step) if read < _MESSAGES else ""
        key = (step.template, _outcome(step), re.sub(r"\d+", "0", error))
        if key not in groups:
            groups[key] = _Members(step.template, key[1], error)
        groups[key].add(step)
        numbers.append(step.number)
        owners.append(groups[key])
    for number, count in graph.dependents() if groups else ():
        at = bisect.bisect_left(numbers, number)
        if number in numbers[at : at + 1]:
            owners[at].dependents += count
    few = [(members, members.few()) for members in groups.values()]
    values = _values(graph, ((members.template, name, own) for members, all_ in few for name, own in all_.items()))
    alike: dict[str, list[_Members]] = defaultdict(list)
    for members in groups.values():
        alike[members.template].append(members)
    return [
        FailureGroup(
            members.template,
            members.outcome,
            members.error,
            members.names,
            [*_shared(own, {name: values[members.template, name] for name in own})],
            members.dependents,
            _selection(members, alike[members.template]),
            members.started,
        )
        for members, own in sorted(few, key=lambda pair: -len(pair[0].names))
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


def _values(
    graph: ProjectedGraph, few: Iterable[tuple[str, str, Iterable[str]]]
) -> dict[tuple[str, str], _ValueCounts]:
    """Count the steps with these values. Each item of `few` is a template, a parameter, and some of its values."""
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


def _selection(members: _Members, alike: Sequence[_Members]) -> list[str]:
    """Return the arguments of ``retry`` that select the steps of a group, and no other failed step.

    `alike` holds all groups of the template.
    """
    names = members.names
    if len(names) == 1:
        return names
    every, selected = [members.template], sum(len(each.names) for each in alike)
    if members.failed == len(names):  # --failed leaves out cancelled steps
        every, selected = ["--failed", members.template], sum(each.failed for each in alike)
    if selected == len(names):
        return every
    globs = [f"{members.template}_*{label}*" for label in sorted(members.labels)]
    exact = [glob for glob in globs if sum(len(fnmatch.filter(each.names, glob)) for each in alike) == len(names)]
    return exact[:1] or (names if len(names) <= _NAMES else every)
