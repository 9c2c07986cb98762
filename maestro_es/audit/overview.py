"""A study at a glance, as data: the steps of each template by group of states, the rate, and the time left.

`maestro_es.audit.status` summarises the study as a whole. `maestro_es.report.glance` decides how an overview is
printed.
"""

from __future__ import annotations

import statistics
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from maestro_es.audit.status import reason
from maestro_es.core.model import Micros, Phase, State, StepRecord

#: The groups of states, in the order in which a step goes through them. Any other state is "failed". A step with the
#: state HWFAILURE runs again; after the limit, its state is FAILED.
GROUPS = {
    "to submit": (State.INITIALIZED, State.HWFAILURE),
    "queued": (State.PENDING, State.WAITING, State.QUEUED),
    "running": (State.RUNNING, State.FINISHING),
    "finished": (State.FINISHED, State.DRYRUN),
    "failed": (),
    "cancelled": (State.CANCELLED,),
}
_GROUP_OF = {state: group for group, states in GROUPS.items() for state in states}

#: At most this many run times are kept for each template: those of the steps that were read last.
_SAMPLES = 1000

#: The rate is measured over the last hour (in microseconds), or over the whole study if it is younger.
_RECENT = 3600 * 1_000_000

_SECOND = 1_000_000


class TemplateCounts(msgspec.Struct):
    """The steps of one template: how many are in each group, and the run times of finished ones in seconds.

    `row` is the lowest row of its steps in the status file. Templates are shown in the order of their rows.
    """

    name: str
    row: int
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    run_times: list[float] = msgspec.field(default_factory=list)

    @property
    def remaining(self) -> int:
        """How many steps have not ended."""
        return sum(self.counts[group] for group in ("to submit", "queued", "running"))


class TimeLeft(msgspec.Struct, frozen=True):
    """An estimate of the time left, in seconds: from `least` to `most`.

    `is_bound` means that nothing is known about some templates, so that the study may take longer.
    """

    least: float
    most: float
    is_bound: bool


class Overview(msgspec.Struct, frozen=True):
    """A study at a glance. `rate` is the number of steps that end per hour, or None if too few have ended.

    `attention` holds the problems of unfinished steps. It maps each problem to the names of the steps.
    """

    templates: list[TemplateCounts]
    rate: float | None
    time_left: TimeLeft | None
    attention: dict[str, list[str]]


def group_of(state: State) -> str:
    """Return the group of a state."""
    return _GROUP_OF.get(state, "failed")


def overview(steps: Iterable[StepRecord], now: Micros) -> Overview:
    """Return a study at a glance. The steps are read once, in any order."""
    templates: dict[str, TemplateCounts] = {}
    attention: dict[str, list[str]] = defaultdict(list)
    began, ends, running = now, array("q"), []
    for step in steps:
        template = templates.get(step.template)
        if template is None:
            template = templates[step.template] = TemplateCounts(step.template, step.row)
        template.row = min(template.row, step.row)
        template.counts[group_of(step.state)] += 1
        if step.started_at:
            began = min(began, step.started_at)
        if step.started_at and step.ended_at:
            ends.append(step.ended_at)
            if step.state is State.FINISHED:
                template.run_times.append((step.ended_at - step.started_at) / _SECOND)
                del template.run_times[:-_SAMPLES]
        elif step.state is State.RUNNING and step.started_at:
            running.append((step.template, (now - step.started_at) / _SECOND))
        if step.phase is not Phase.DONE and (why := reason(step)):
            attention[why].append(step.name)
    in_order = sorted(templates.values(), key=lambda one: one.row)
    is_over = not any(one.remaining for one in in_order)
    return Overview(
        in_order,
        None if is_over else _rate(began, ends, now),
        _time_left(in_order, running, began, now),
        dict(attention),
    )


def _rate(began: Micros, ends: Iterable[Micros], now: Micros) -> float | None:
    """Return how many steps end per hour, or None if too few have ended."""
    begin = max(now - _RECENT, began)
    recent = sum(at > begin for at in ends)
    return recent / ((now - begin) / _SECOND / 3600) if recent > 1 and now > begin else None


def _time_left(
    templates: Sequence[TemplateCounts], running: Sequence[tuple[str, float]], began: Micros, now: Micros
) -> TimeLeft | None:
    """Estimate the time left: the run time that remains, divided by the number of steps that run at once.

    The run time of a step is estimated as the first, or the third, quartile of its template's finished steps.
    """
    quartiles = {one.name: _quartiles(one.run_times) for one in templates if one.run_times}
    remaining = {one.name: one.remaining for one in templates if one.remaining}
    if not any(name in quartiles for name in remaining):
        return None
    passed = sum(sum(one.run_times) for one in templates) + sum(elapsed for _, elapsed in running)
    at_once = max(passed / max((now - began) / _SECOND, 1), len(running), 0.01)
    bounds = []
    for index in range(2):
        work = sum(count * quartiles[name][index] for name, count in remaining.items() if name in quartiles)
        done = sum(min(elapsed, quartiles[name][index]) for name, elapsed in running if name in quartiles)
        bounds.append(max(work - done, 0) / at_once)
    return TimeLeft(bounds[0], bounds[1], is_bound=not remaining.keys() <= quartiles.keys())


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the first and the third quartile."""
    if len(values) == 1:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third
