"""How many steps may be in flight at the same time, and how many are requested in one tick."""

from __future__ import annotations

from typing import NamedTuple

from maestro_es.core.graph import Graph
from maestro_es.core.model import Phase, is_local

#: How many jobs are requested in one tick while the outcome of a submission is not known: the scheduler may be in
#: trouble, and what it is not called for any more must be taken back.
CAREFUL = 16


class Room(NamedTuple):
    """Of one kind of steps, local or scheduled: so many are `taken`, and the `limit` (None: there is none).

    `throttled` says that the limit is the throttle, not the slots for local steps. `in_doubt`: nobody knows of one of
    them whether the scheduler has it.
    """

    taken: int
    limit: int | None
    throttled: bool
    in_doubt: bool = False

    def free(self, most: int) -> int:
        """Return how many more may be in flight, `most` if there is no limit."""
        return most if self.limit is None else max(self.limit - self.taken, 0)

    def requests(self, most: int) -> int:
        """Return how many of `most` steps the next tick requests, if it sees nothing new."""
        return min(self.free(most), CAREFUL if self.in_doubt else most)


def rooms(graph: Graph, cores: int) -> tuple[Room, Room]:
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
        Room(scheduled, throttle or None, throttle > 0, in_doubt),
    )
