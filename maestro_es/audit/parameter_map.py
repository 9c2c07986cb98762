"""The parameter space of a study: the steps by the values of one or two parameters.

`maestro_es.report.map_page` draws it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from maestro_es.audit.overview import GROUPS, group_of
from maestro_es.core.model import Micros, State, StepRecord
from maestro_es.errors import RequestRefused

#: The groups of states, worst first. A cell has the worst group of its steps.
WORST = ("failed", "cancelled", "running", "queued", "to submit", "finished")

_SECOND = 1_000_000


def _run(step: StepRecord, now: Micros) -> float | None:
    return _seconds(step.started_at, step.ended_at or (now if step.state is State.RUNNING else None))


def _wait(step: StepRecord, now: Micros) -> float | None:
    return _seconds(step.submitted_at, step.started_at or step.ended_at or now)


def _seconds(start: Micros | None, end: Micros | None) -> float | None:
    return None if start is None or end is None else max(end - start, 0) / _SECOND


#: The quantities that a map can show, and how each is computed from a step and the present time. A cell shows the
#: largest value of its steps.
QUANTITIES: Mapping[str, Callable[[StepRecord, Micros], float | None]] = {
    "state": lambda _step, _now: None,
    "run": _run,
    "exit": lambda step, _now: step.exit_code,
    "wait": _wait,
    "attempts": lambda step, _now: step.attempt or None,
}


class MapCell(msgspec.Struct):
    """Steps with the same values: how many are in each group of states, and the largest value of the quantity."""

    groups: Counter[str] = msgspec.field(default_factory=Counter)
    value: float | None = None

    @property
    def group(self) -> str:
        """The worst group."""
        return next(group for group in WORST if self.groups[group])

    def add(self, other: MapCell) -> None:
        """Add the steps of another cell."""
        self.groups += other.groups
        self.value = max((value for value in (self.value, other.value) if value is not None), default=None)


class ParameterMap(NamedTuple):
    """The steps by the values of one or two `parameters`. `rows` holds those of the first, `columns` of the second.

    With one parameter, the only column is the empty string. `others` counts the steps without these parameters, by
    group.
    """

    parameters: tuple[str, ...]
    quantity: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Mapping[tuple[str, str], MapCell]
    others: Counter[str]


def parameter_map(
    steps: Collection[StepRecord], parameters: Sequence[str], quantity: str, now: Micros
) -> ParameterMap:
    """Return a map over one or two parameters. By default, these are the first two that have several values.

    RequestRefused if no step has the parameters.
    """
    values = _values(steps, parameters)
    names = tuple(parameters) or tuple(name for name in values if len(values[name]) > 1)[:2] or tuple(values)[:1]
    unknown = [name for name in names if name not in values]
    if unknown or not names:
        known = f"the parameters are {', '.join(values)}" if values else "the steps of the study have no parameters"
        raise RequestRefused(f"{unknown[0]!r} is not a parameter of the study; {known}" if unknown else known)
    cells: dict[tuple[str, str], MapCell] = {}
    others: Counter[str] = Counter()
    for step in steps:
        own = {param.key: str(param.value) for param in step.params}
        group = group_of(step.state)
        if not all(name in own for name in names):
            others[group] += 1
            continue
        at = (own[names[0]], own[names[1]] if len(names) > 1 else "")
        cells.setdefault(at, MapCell()).add(MapCell(Counter({group: 1}), QUANTITIES[quantity](step, now)))
    if not cells:
        raise RequestRefused(f"no step has the parameters {' and '.join(names)}")
    axes = [ordered({at[index] for at in cells}, values.get(name, [])) for index, name in enumerate((*names, "")[:2])]
    return ParameterMap(names, quantity, axes[0], axes[1], cells, others)


def _values(steps: Iterable[StepRecord], named: Sequence[str]) -> dict[str, dict[str, None]]:
    """Return the values of each parameter, in the order of the steps; if any are named, only the values of those."""
    values: dict[str, dict[str, None]] = {}
    for step in steps:
        for param in step.params:
            own = values.setdefault(param.key, {})
            if not named or param.key in named:
                own[str(param.value)] = None
    return values


def ordered(values: Iterable[str], as_listed: Iterable[str]) -> list[str]:
    """Return values in order: numbers by size, and other values as in the study."""
    mine = set(values)
    try:
        numbers = {value: float(value) for value in mine}
    except ValueError:
        numbers = {"": math.nan}
    if any(map(math.isnan, numbers.values())):
        return [value for value in as_listed if value in mine] or sorted(mine)
    return sorted(mine, key=lambda value: (numbers[value], value))


def map_data(space: ParameterMap) -> dict[str, object]:
    """Return a map for JSON, with all cells. A quantity of time is in seconds."""
    return {
        "parameters": list(space.parameters),
        "by": space.quantity,
        "cells": [
            {
                "values": dict(zip(space.parameters, at, strict=False)),
                "steps": cell.groups.total(),
                "state": cell.group,
                "states": {group: cell.groups[group] for group in GROUPS if cell.groups[group]},
                "value": cell.value,
            }
            for at, cell in space.cells.items()
        ],
        "others": dict(space.others),
    }
