"""How many steps may be in flight at the same time, and how many are requested in one tick."""

from __future__ import annotations

from typing import NamedTuple

from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, Phase, Refusal, StudyRecord, is_local

#: How many jobs are requested in one tick while the outcome of a submission is not known: the scheduler may be in
#: trouble, and what it is not called for any more must be taken back.
CAREFUL = 16

#: So long, in microseconds, a scheduler that takes no more jobs is not asked again if none of the study has ended: the
#: first number, then twice that, and so on up to the second.
PATIENCE = (15 * 1_000_000, 600 * 1_000_000)


class Room(NamedTuple):
    """Of one kind of steps, local or scheduled: so many are `taken`, and the `limit` (None: there is none).

    `throttled` says that the limit is the throttle, not the slots for local steps. `in_doubt`: it is unknown
    whether the scheduler has one of them. `accepted` is how many more the scheduler is asked to take, after it has
    once taken no more (None: it never said so).
    """

    taken: int
    limit: int | None
    throttled: bool
    in_doubt: bool = False
    accepted: int | None = None

    def free(self, most: int) -> int:
        """Return how many more may be in flight, `most` if there is no limit."""
        return most if self.limit is None else max(self.limit - self.taken, 0)

    def requests(self, most: int) -> int:
        """Return how many of `most` steps the next tick requests, if it sees nothing new."""
        few = CAREFUL if self.in_doubt else most
        return min(self.free(most), few, most if self.accepted is None else self.accepted)


def rooms(graph: Graph, cores: int, now: Micros) -> tuple[Room, Room]:
    """Return the room for local steps on a host with so many cores, and for scheduled ones."""
    settings = graph.study.settings
    local = scheduled = 0
    in_doubt = False
    for record in graph.in_flight():
        local += not record.scheduled
        scheduled += record.scheduled
        in_doubt |= record.scheduled and record.phase is Phase.REQUESTED
    throttle = settings.submission_throttle
    slots = settings.local_slots or cores
    throttled = 0 < throttle < slots and is_local(graph.study.adapter)
    return (
        Room(local, throttle if throttled else slots, throttled),
        Room(scheduled, throttle or None, throttle > 0, in_doubt, _accepted(graph.study, scheduled, now)),
    )


def _accepted(study: StudyRecord, taken: int, now: Micros) -> int | None:
    """Return for how many more jobs a scheduler is asked that has once taken no more.

    For each of ours that has ended since then, and for one more, as there may be room for it. As long as that is
    taken, the number doubles with each tick.
    """
    if study.capacity is None:
        return None
    refusal = study.refusal
    if refusal and taken >= study.capacity and refusal.at <= now < asked_again_at(refusal):
        return 0
    return abs(taken - study.capacity) + 1


def asked_again_at(refusal: Refusal) -> Micros:
    """Return when a scheduler that takes no more jobs is asked again at the latest."""
    first, longest = PATIENCE
    return refusal.at + min(first << min(refusal.times - 1, 32), longest)
