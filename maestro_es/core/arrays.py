"""Decides which ready steps are submitted together as one job array, and how many steps a tick requests in one round.

One call to the scheduler then submits many steps. Each step in an array keeps its own attempt, token and claim, so
after the submission it is reconciled like any other step. `maestro_es.poller.arrays` decides whether the options of a
step allow an array.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from maestro_es.core.attempt_token import element_of
from maestro_es.core.model import ArrayUse, StepRecord, StudyRecord
from maestro_es.core.throttle import ROUND_STEPS

#: With ``auto``, at least this many steps with equal keys become an array. See ARCHITECTURE.md for the measurements.
AUTO_FROM = 20

#: How many calls to the scheduler a tick requests at once, before it checks the time.
ROUND_CALLS = 128

#: The largest number of elements in an array. A tick keeps the events of one array in one transaction.
LARGEST = ROUND_STEPS


class Arrays(NamedTuple):
    """The rules for the arrays of a study.

    All steps of an array have equal keys, and there are at most `largest()` steps.

    `key_of` returns the key of a step; None if the step can't be part of an array.
    """

    key_of: Callable[[StepRecord], Hashable]
    largest: Callable[[], int]


def array_use(study_record: StudyRecord) -> ArrayUse:
    """Return how a study uses arrays. Its settings decide this. If they don't, its batch block decides."""
    if study_record.settings.array is not None:
        return study_record.settings.array
    named = study_record.adapter.get("array")
    return next((use for use in ArrayUse if use.value == named), ArrayUse.AUTO)


def one_round(
    study_record: StudyRecord, ready: Iterable[StepRecord], arrays: Callable[[], Arrays | None]
) -> Sequence[list[StepRecord]]:
    """Return the ready steps that are submitted in one round, in groups. A group with several steps is an array.

    `arrays` returns the rules for arrays. It is called only if there are enough steps of one template.
    """
    use = array_use(study_record)
    fewest = AUTO_FROM if use is ArrayUse.AUTO else 2
    by_template: dict[str, list[StepRecord]] = {}
    for step in ready:
        by_template.setdefault(step.template, []).append(step)
    many = use is not ArrayUse.NEVER and any(len(steps) >= fewest for steps in by_template.values())
    may_be = arrays() if many else None
    groups: list[list[StepRecord]] = []
    for steps in by_template.values():
        groups += _groups(steps, may_be, fewest) if may_be and len(steps) >= fewest else ([step] for step in steps)
    return sorted(groups, key=lambda group: group[0].number)[:ROUND_CALLS]


def _groups(steps: Iterable[StepRecord], arrays: Arrays, fewest: int) -> list[list[StepRecord]]:
    """Group the steps of one template by equal keys. Every group fits in one array.

    It has one step, or at least `fewest`.
    """
    by_key: dict[Hashable, list[StepRecord]] = {}
    alone: list[list[StepRecord]] = []
    for step in steps:
        key = arrays.key_of(step)
        if key is None:
            alone.append([step])
        else:
            by_key.setdefault(key, []).append(step)
    groups = alone
    for equal in by_key.values():
        size = max(arrays.largest(), 1) if len(equal) >= fewest else 1
        for start in range(0, len(equal), size):
            group = equal[start : start + size]
            groups += [group] if len(group) >= fewest else ([step] for step in group)
    return groups


def is_full_round(tokens: Iterable[str]) -> bool:
    """Return whether a round that requested these tokens may have left out ready steps."""
    calls, steps = set(), 0
    for token in tokens:
        element = element_of(token)
        calls.add(element[0] if element else token)
        steps += 1
    return steps >= ROUND_STEPS or len(calls) >= ROUND_CALLS
