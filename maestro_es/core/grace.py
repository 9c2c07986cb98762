"""The grace time: how long ticks look for a missing attempt before they conclude anything from its absence.

An attempt is missing if it is not in the scheduler's queue, or its process is gone, and no report has come. Each
adapter sets its grace time (`SchedulerFacts.grace_seconds`, or `Adapter.grace_seconds`). What a tick concludes when
the time is over is decided in `maestro_es.core.verdict`.
"""

from __future__ import annotations

from maestro_es.core.model import Micros, Phase, StepRecord

#: How many seconds ticks look for a job that has left no trace, before its attempt is given up. A controller that
#: restarts answers again within a minute. Safety never depends on this time: the claim decides.
JOB_GRACE_SECONDS = 60.0

#: For how many grace times the accounting may still list a missing job as open. After that, its absence from the queue
#: counts more. (The accounting lists a job for ever if the controller has lost it.)
LISTED_GRACES = 60


def within_grace(step: StepRecord, now: Micros, seconds: float, *, cancelling: bool) -> bool:
    """Return whether the grace time of a missing attempt, in seconds, is not over yet.

    A request whose step is being cancelled has no grace time.
    """
    if not step.scheduled and step.phase is Phase.SUBMITTED:
        return False  # its process is gone, so no claim can follow
    if step.phase is Phase.REQUESTED and cancelling:
        return False
    since = step.requested_at if step.phase is Phase.REQUESTED else step.missed_at
    if since is None:
        return True  # missing for the first time
    return 0 <= now - since < seconds * 1_000_000
