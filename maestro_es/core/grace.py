"""Decides whether the grace time of a missing attempt is over. Until then, ticks conclude nothing from its absence.

An attempt is missing if there is no report of its end, and its job (or, for a local step, its process) is gone. Each
adapter sets its grace time (`SchedulerFacts.grace_seconds`, or `Adapter.grace_seconds`). `maestro_es.core.verdict`
decides what a tick concludes after that time.
"""

from __future__ import annotations

from maestro_es.core.model import Micros, Phase, StepRecord

#: How many seconds ticks look for a job that has left no trace, before they abandon its attempt. When a
#: controller restarts, it is back within a minute. Safety never depends on this time, because the claim decides
#: whether the job may start.
JOB_GRACE_SECONDS = 60.0

#: The grace time of an attempt inside an allocation, in microseconds. It is short, because there is no queue between
#: the driver and the runner.
INSIDE_GRACE: Micros = 10_000_000

#: If the accounting lists a missing job as open, a tick trusts the accounting for this many grace times. After that,
#: the absence from the queue decides. The reason is that the accounting never closes a job that the controller has
#: lost.
LISTED_GRACES = 60


def was_absent(step: StepRecord, now: Micros) -> bool:
    """Return whether a submitted step has been missing for the grace time of a job."""
    return step.missed_at is not None and not 0 <= now - step.missed_at < JOB_GRACE_SECONDS * 1_000_000


def within_grace(step: StepRecord, now: Micros, seconds: float, *, cancelling: bool) -> bool:
    """Return whether the grace time of a missing attempt, which lasts `seconds`, is not over yet.

    A request whose step is being cancelled has no grace time.
    """
    if not step.scheduled and step.phase is Phase.SUBMITTED:
        return False  # the process is gone, so it can't create a claim any more
    if step.phase is Phase.REQUESTED and cancelling:
        return False
    since = step.requested_at if step.phase is Phase.REQUESTED else step.missed_at
    if since is None:
        return True  # missing for the first time
    return 0 <= now - since < seconds * 1_000_000
