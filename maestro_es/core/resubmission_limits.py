"""The four limits on automatic resubmission. A step that reaches a limit fails.

::

    setting              counts                                   default  set by
    submission_attempts  submissions that the scheduler refused   1        run --attempts
    restart_limit        restarts after a time-out                1        run, update, retry: --rlimit
    hardware_limit       attempts with a hardware failure         3        update, retry: --hardware-limit
    abandon_limit        submissions that left no trace of a job  10       nothing

The first limit includes the first submission. The others count repetitions, and 0 means no limit. The counts are
fields of the step. The reducer increments them, and a user's `retry` sets them to 0. `restart_limit` is also a field
of each step, and that field decides. Only steps with a restart script get the limit of their study.

Each function returns the message with which the step fails, or an empty string if the step may be submitted again.

`maestro_es.core.reconcile` decides which limit applies to the end of an attempt. `maestro_es.core.rerun` decides what
`maestro-es retry` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maestro_es.core.model import Settings, StepRecord

SUBMISSION_ATTEMPTS = 1
RESTART_LIMIT = 1
HARDWARE_LIMIT = 3
ABANDON_LIMIT = 10


def after_refusal(settings: Settings, step: StepRecord, reason: str) -> str:
    """Apply the limit to a step whose submission was refused."""
    attempts = settings.submission_attempts
    if step.rejections + 1 < attempts:
        return ""
    return f"submission refused{f' ({attempts} times)' if attempts > 1 else ''}: {reason}"


def after_timeout(step: StepRecord) -> str:
    """Apply the limit to a step that has exceeded its walltime."""
    if not step.restart_limit or step.restarts < step.restart_limit:
        return ""
    return f"restart limit reached: {step.restarts} of {step.restart_limit}"


def after_hardware_failure(settings: Settings, step: StepRecord, reason: str) -> str:
    """Apply the limit to a step with a hardware failure."""
    limit = settings.hardware_limit
    if not limit or step.hardware_failures < limit:
        return ""
    return f"{reason}; resubmitted {limit} times, which is the limit"


def after_abandoning(settings: Settings, step: StepRecord, *, is_unclaimed: bool = False) -> str:
    """Apply the limit to a step whose attempt is abandoned. If `is_unclaimed`, its runner could not claim it."""
    limit = settings.abandon_limit
    if not limit or step.abandoned < limit:
        return ""
    if is_unclaimed:
        return f"its claim or its output files could not be created in the workspace ({step.abandoned + 1} attempts)"
    return f"{step.abandoned + 1} submissions left no trace of a job"
