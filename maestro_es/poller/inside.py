"""Runs a study inside the job around its driver (``run --in-allocation``).

`maestro_es.poller.foreground` has the loop. Here, agents tell the driver which steps have ended, and each node
has slots of its own. `maestro_es.core.packing` decides which steps fit.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence

from maestro_es.adapters import spawner
from maestro_es.adapters.base import RunsInside
from maestro_es.core.attempt_token import placement_of
from maestro_es.core.fair_share import share_inside
from maestro_es.core.model import StudyStatus
from maestro_es.core.packing import Packing, busy_nodes, need, obstacle
from maestro_es.core.step_keys import Allocation, Need
from maestro_es.errors import Unreachable
from maestro_es.poller.foreground import ForegroundRun
from maestro_es.poller.performers import Performer
from maestro_es.poller.submit import submit_and_defer
from maestro_es.study.locks import hold_job
from maestro_es.study.other_drivers import other_drivers
from maestro_es.study.registry import job_lock
from maestro_es.study.session import Session

#: The longest time between two passes, in seconds. A pass without news queries no scheduler.
_PAUSE = 5.0

#: How long a pass waits for the pass of another driver in the job, in seconds.
_LOCK_SECONDS = 5.0

#: If another study has not answered for this many seconds, the driver says so.
_SILENT_SECONDS = 10.0


class InsideRun(ForegroundRun):
    """Makes passes. Between them, it starts the steps that were requested ahead, as soon as their node has room."""

    pause = _PAUSE
    rest = 0.5  # one node may have none left while others have some

    def __init__(self, study: Session, allocation: RunsInside, must_stop: Callable[[], bool]) -> None:
        super().__init__(study, lambda _: None, lambda: self.is_stuck or must_stop())
        self._allocation = allocation
        study.allocation = self._shared
        self._seen = Allocation("", ())
        self._room = Packing([])
        self._running: dict[str, tuple[int, Need]] = {}
        self._answered = time.monotonic()
        self.is_stuck = False

    def _shared(self) -> Allocation:
        """Return the allocation as the other studies in the job leave it.

        If one of them does not say which parts its steps take, no step starts until it does.
        """
        study, runtime = self._study, self._study.runtime
        self._seen = self._allocation.allocation()
        if study.leaving:  # nothing starts any more
            return self._seen
        try:
            others = other_drivers(study.graph.study.study_id, study.dir.root, runtime, self._seen)
        except Unreachable as error:
            if time.monotonic() - self._answered > _SILENT_SECONDS:
                study.remarks.append(f"{study.dir.root}: no step starts until another study answers: {error}")
                self._answered = float("inf")
            self._seen = self._seen._replace(nodes=(Need(0),) * len(self._seen.nodes), is_pausing=True)
            return self._seen
        self._answered = time.monotonic()
        if others:
            self._seen = share_inside(study.graph, self._seen, others, runtime.now())
        return self._seen

    def _pass(self, *, show: bool) -> None:
        study = self._study
        with hold_job(job_lock(), study.runtime.host.job, _LOCK_SECONDS):
            super()._pass(show=show)
        is_busy = bool(self._reserved or study.pending) or any(study.graph.in_flight())
        if study.status is StudyStatus.RUNNING and not is_busy:
            reason = ""
            with contextlib.suppress(Unreachable):  # the next pass asks again
                reason = obstacle(study.graph, self._allocation.allocation())
            if reason:
                study.remarks.append(
                    f"{study.dir.root}: {reason}; a larger or longer job, or ordinary jobs, can continue it"
                )
                self.is_stuck = True

    def _submit(self, study: Session, steps: Sequence[int], performer: Performer) -> None:
        local = [number for number in steps if not placement_of(study.graph.step(number).token)]
        submit_and_defer(study, local, performer)
        requested = dict.fromkeys(number for number in steps if number not in local)
        self._reserved = deque([*(number for number in self._reserved if number not in requested), *requested])
        self._room = busy_nodes(study.graph, self._seen)
        self._running = {}
        reserved = set(self._reserved)
        for step in study.graph.in_flight():
            placement = placement_of(step.token)
            if placement:
                part = placement.node, need(study.graph, step, spread=True)
                if step.number in reserved:
                    self._room.give_back(*part)
                else:
                    self._running[step.token] = part
        placements = (placement_of(study.graph.step(number).token) for number in self._reserved)
        self._allocation.expect({placement.node for placement in placements if placement})
        self._fill()

    def _fill(self) -> None:
        """Start the steps that were requested ahead and have room now."""
        waiting: deque[int] = deque()
        while self._reserved and not self._must_stop():
            number = self._reserved.popleft()
            step = self._study.graph.step(number)
            placement, asked = placement_of(step.token), need(self._study.graph, step, spread=True)
            if placement and self._room.has_room(placement.node, asked):
                self._room.take(placement.node, asked)
                self._running[step.token] = (placement.node, asked)
                submit_and_defer(self._study, [number])
            else:
                waiting.append(number)
        self._reserved = waiting + self._reserved

    def _look(self, seconds: float) -> tuple[bool, int]:
        tokens = self._allocation.wait_inside(seconds)
        ended = spawner.reap()
        for part in filter(None, (self._running.pop(token, None) for token in tokens)):
            self._room.give_back(*part)
        return bool(tokens or ended), len(tokens)
