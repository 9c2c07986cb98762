"""Decides how many steps may be in flight at the same time, and how many are requested in one tick.

`maestro_es.core.decide.start_ready` decides which of the ready steps a tick submits.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, Phase, Refusal, StudyRecord, is_local

#: The largest number of jobs that a tick requests while a submission is in doubt. If the scheduler does not answer,
#: the tick must withdraw the requests that it has not submitted.
IN_DOUBT_BATCH = 16

#: How long ticks wait before they submit again to a scheduler whose queue is full, in microseconds. The first wait
#: lasts for the first number. Each further wait is twice as long, up to the second number. A wait ends early if a job
#: of the study ends.
BACKOFF = (15 * 1_000_000, 600 * 1_000_000)


#: How many jobs a tick requests at once. The tick checks the time before it requests more.
ROUND_STEPS = 1000


class Slots(NamedTuple):
    """The slots for one kind of step, local or scheduled.

    `in_use` is how many are taken, and `limit` is the maximum (None: no limit).

    If `throttled`, the limit is the throttle, and not the number of slots for local steps. If `in_doubt`, a submission
    is in doubt. `available` is how many jobs a tick may submit after the scheduler's queue was full (None: it was
    never full).
    """

    in_use: int
    limit: int | None
    throttled: bool
    in_doubt: bool = False
    available: int | None = None

    def free(self, most: int) -> int:
        """Return how many more steps may be in flight (`most`, if there is no limit)."""
        return most if self.limit is None else max(self.limit - self.in_use, 0)

    def requests(self, most: int) -> int:
        """Return how many steps the next tick will request, at most `most`, if no job changes until then."""
        few = IN_DOUBT_BATCH if self.in_doubt else most
        return min(self.free(most), few, most if self.available is None else self.available)


def count_slots(graph: Graph, cores: int, now: Micros, submitted: Container[str] = ()) -> tuple[Slots, Slots]:
    """Return the slots for local steps on a host with this number of cores, and the slots for scheduled steps.

    `submitted` holds the tokens of requests that count as submitted, because a preview assumes this.
    """
    settings = graph.study.settings
    local = scheduled = 0
    in_doubt = False
    for step in graph.in_flight():
        local += not step.scheduled
        scheduled += step.scheduled
        in_doubt |= step.scheduled and step.phase is Phase.REQUESTED and step.token not in submitted
    throttle = settings.submission_throttle
    slots = settings.local_slots or cores
    throttled = 0 < throttle < slots and is_local(graph.study.adapter)
    return (
        Slots(local, throttle if throttled else slots, throttled),
        Slots(scheduled, throttle or None, throttle > 0, in_doubt, _available(graph.study, scheduled, now)),
    )


def _available(study_record: StudyRecord, in_use: int, now: Micros) -> int | None:
    """Return how many jobs a tick may submit after the scheduler's queue was full.

    The tick may replace each job of the study that has ended since, and try one more. The number doubles with each
    tick while the scheduler accepts all jobs. If a whole array was refused, half of it may fit.
    """
    if study_record.queue_limit is None:
        return None
    refusal = study_record.refusal
    if refusal and refusal.together > 1:
        return abs(in_use - study_record.queue_limit) + refusal.together // 2
    if refusal and in_use >= study_record.queue_limit and refusal.at <= now < asked_again_at(refusal):
        return 0
    return abs(in_use - study_record.queue_limit) + 1


def asked_again_at(refusal: Refusal) -> Micros:
    """Return the latest time at which ticks submit again to a scheduler whose queue was full."""
    first, longest = BACKOFF
    return refusal.at + min(first << min(refusal.times - 1, 32), longest)
