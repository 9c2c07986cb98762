"""What must be true of an attempt when an event about it is written.

The exhaustive exploration and the simulated weeks know what has really happened. Both check each event with this.
"""

from __future__ import annotations

from typing import NamedTuple

from maestro_es.core import events as e
from maestro_es.core.model import Cause

#: The causes of a failure that are a fault of the step itself.
_BLAMES = (Cause.EXIT_CODE, Cause.SCHEDULER, Cause.OUT_OF_MEMORY)


class AttemptTruth(NamedTuple):
    """The truth about an attempt.

    `exit_code` is None if the step has not ended by itself. `was_killed` says whether something has ended it.
    `has_told` says whether its runner has reported that it exited with 0. `is_fenced` says whether its claim prevents
    a start. If `is_misled`, the scheduler has said something wrong about it.
    """

    runs: bool = False
    exit_code: int | None = None
    was_killed: bool = False
    has_told: bool = False
    is_fenced: bool = False
    is_misled: bool = False


def objection(event: e.AnyEvent, truth: AttemptTruth) -> str:
    """Return why an event is not true (empty: it is)."""
    if isinstance(event, e.StepFinished):
        return "" if truth.exit_code == 0 else "finished, but the step has not exited with 0"
    if isinstance(event, e.AttemptAbandoned):
        return "" if truth.is_fenced else "abandoned, but its claim was not taken"
    blamed = isinstance(event, e.StepFailed) and event.cause in _BLAMES
    if truth.is_misled or not (blamed or isinstance(event, (e.HardwareFailed, e.StepCancelled))):
        return ""
    if truth.has_told:
        return "given up although it has reported that it exited with 0"
    if truth.runs:
        return "given up while the step runs"
    if blamed and not truth.exit_code and not truth.was_killed:
        return "blamed on the step, which has neither failed nor was killed"
    return ""
