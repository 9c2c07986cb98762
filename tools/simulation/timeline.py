"""The virtual clock, and what happens when. Nothing here waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable

#: The beginning of each simulated week: Monday, 5 January 2026, in microseconds UTC.
BEGINNING = 1_767_571_200_000_000


class Timeline:
    """Runs what is planned, in order. `now` is the true time in microseconds UTC.

    `run_until` may be called by what it runs: a process that hangs lets the world go on meanwhile.
    """

    def __init__(self) -> None:
        self.now = BEGINNING
        self._order = 0
        self._planned: list[tuple[int, int, Callable[[], None]]] = []

    def at(self, time: int, what: Callable[[], None]) -> None:
        """Plan something for a time. A time in the past means now."""
        self._order += 1
        heapq.heappush(self._planned, (max(time, self.now), self._order, what))

    def after(self, micros: int, what: Callable[[], None]) -> None:
        """Plan something for later."""
        self.at(self.now + micros, what)

    def run_until(self, time: int) -> None:
        """Run everything that is planned up to a time, and set the clock to it."""
        while self._planned and self._planned[0][0] <= time:
            at, _, what = heapq.heappop(self._planned)
            self.now = max(self.now, at)
            what()
        self.now = max(self.now, time)
