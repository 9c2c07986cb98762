"""How many steps may be in flight at the same time."""

from __future__ import annotations

from typing import NamedTuple

from maestro_es.core.graph import Graph
from maestro_es.core.model import is_local


class Room(NamedTuple):
    """Of one kind of steps, local or scheduled: so many are `taken`, and the `limit` (None: there is none).

    `throttled` says that the limit is the throttle, not the slots for local steps.
    """

    taken: int
    limit: int | None
    throttled: bool

    def free(self, most: int) -> int:
        """Return how many more may be submitted, `most` if there is no limit."""
        return most if self.limit is None else max(self.limit - self.taken, 0)


def rooms(graph: Graph, cores: int) -> tuple[Room, Room]:
    """Return the room for local steps on a host with so many cores, and for scheduled ones."""
    settings = graph.study.settings
    local = scheduled = 0
    for record in graph.in_flight():
        local += not record.scheduled
        scheduled += record.scheduled
    throttle = settings.submission_throttle
    slots = settings.local_slots or cores
    throttled = 0 < throttle < slots and is_local(graph.study.adapter)
    return Room(local, throttle if throttled else slots, throttled), Room(scheduled, throttle or None, throttle > 0)
