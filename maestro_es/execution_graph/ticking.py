"""The part of the graph that runs ticks. A tick that cron starts imports only this module, not the whole class.

`maestro_es.poller.tick` and `maestro_es.core.decide` decide what a tick does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_es.core.events import Recorded
from maestro_es.core.graph import Graph
from maestro_es.core.model import StudyStatus
from maestro_es.errors import TickInProgress, Unreachable
from maestro_es.execution_graph.base import GraphBase
from maestro_es.poller.last_boot import may_be_in_doubt
from maestro_es.poller.maestro_requests import are_waiting
from maestro_es.poller.tick import tick
from maestro_es.poller.usage import may_come
from maestro_es.study import last_tick
from maestro_es.study.invocation import Runtime
from maestro_es.study.locks import hold_tick_lock, queue_up
from maestro_es.study.session import Session

if TYPE_CHECKING:
    from maestro_es.poller.prefetch import QueueSnapshot


class SharedQueues:
    """Queue snapshots that many studies share, so that each scheduler is queried once.

    It also notes which schedulers are down.
    """

    def __init__(self, snapshots: Mapping[Path, QueueSnapshot]) -> None:
        self._snapshots = snapshots
        self._down: dict[str, Unreachable] = {}

    @classmethod
    def of(cls, roots: Iterable[Path], runtime: Runtime) -> SharedQueues:
        """Query each cluster once for the jobs of these studies."""
        from maestro_es.poller.prefetch import prefetch  # noqa: PLC0415 - not needed for a single study

        return cls(prefetch(roots, runtime))

    def snapshot(self, study: Session) -> QueueSnapshot | None:
        """Return the queue snapshot for a study, if any. A cluster that is down is not queried again."""
        latest, down = self._snapshots.get(study.dir.root), self._down.get(study.adapters.scheduler.cluster)
        return latest.without_answer(down) if latest and down else latest

    def note(self, study: Session) -> None:
        """Note that the cluster of a study is down, if its last tick got no answer."""
        cluster = study.adapters.scheduler.cluster
        if study.last_error and cluster:
            self._down[cluster] = study.last_error


class TickableGraph(GraphBase):
    """The part of `ExecutionGraph` that ticks."""

    @property
    def notices(self) -> list[str]:
        """Lines that may interest a user although nothing is wrong. Each tick adds to them."""
        return self._study.notices

    def is_settled(self) -> bool:
        """Whether a tick has nothing to do, because the study has ended and nothing has happened since."""
        study = self._study
        noted = last_tick.read(study.dir)
        if study.status is StudyStatus.RUNNING or not last_tick.is_shown(study.dir, noted, study.log.head):
            return False
        if study.graph.study.settings.notify:
            from maestro_es.poller.notify import must_look  # noqa: PLC0415 - most studies send none

            if must_look(study):
                return False
        return not (are_waiting(study.dir) or may_be_in_doubt(study) or may_come(study))

    def tick(self, *, wait_s: float = -1, queues: SharedQueues | None = None) -> list[Recorded]:
        """Run one tick: observe the jobs, submit the steps that are ready, and record what has happened.

        If very many steps will not run any more, several ticks run until all of these steps have ended. Between the
        ticks, other processes can take the lock.

        Returns the new events, oldest first. The list is empty if nothing has happened. While another process ticks
        the study, this method waits up to `wait_s` seconds (negative: without limit), and then raises TickInProgress.
        A caller that ticks many studies passes one `queues` for all.

        Unreachable if a scheduler or the file system did not answer, or if a file can't be written. Everything that
        does not depend on this was done and recorded. NothingStarts if the environment of the steps is missing.
        RequestRefused inside a `batch`, because a tick would commit the first half of the batch. Lines that need a
        user's attention are in `remarks`.
        """
        with self._study.log.listening() as recorded, self._explaining():
            self.advance(wait_s=wait_s, queues=queues)
        return recorded

    def tick_next(self) -> list[Recorded]:
        """Wait until no other process ticks the study, run a tick, and return the new events, as `tick` does.

        TickInProgress if another process already waits for the next tick. The tick of that process will see everything
        that this tick would see.
        """
        with self._study.log.listening() as recorded, self._explaining():
            self.advance_next()
        return recorded

    def advance(self, *, wait_s: float = -1, queues: SharedQueues | None = None) -> None:
        """Run a tick as `tick` does, but return nothing, because the new events may not fit in memory.

        It waits up to `wait_s` seconds for another process that ticks the study, and then raises TickInProgress. The
        other errors are those of `tick`.
        """
        self._commits_alone()
        self._study.log.check_place()
        while True:
            with hold_tick_lock(self._study.dir, wait_s) as ours:
                if not ours:
                    raise TickInProgress(f"{self.path}: another process ticks it")
                goes_on = self._tick(queues)
            if not goes_on:
                return

    def advance_next(self) -> None:
        """Run a tick as `tick_next` does, but return nothing. TickInProgress if another process already waits."""
        self._commits_alone()
        with queue_up(self._study.dir, self.runtime.host.name) as ours:
            if not ours:
                raise TickInProgress(f"{self.path}: another process waits for the next tick")
            goes_on = self._tick(None)
        if goes_on:
            self.advance()

    def _tick(self, queues: SharedQueues | None) -> bool:
        """Run one tick.

        Returns whether another tick must follow, because steps are left that will not run. A tick ends only some of
        them, so that it releases the lock early.
        """
        study = self._study
        before = study.log.head.seq
        try:
            tick(study, snapshot=queues.snapshot(study) if queues else None)
        finally:
            if queues:
                queues.note(study)
        return study.graph.study.cascading and study.log.head.seq > before

    def execute_ready_steps(self) -> StudyStatus:
        """Run one tick, as `tick` does. Returns the study's status. The errors are those of `tick`."""
        with self._explaining():
            self.advance()
        return self._study.status


def state_of(graph: TickableGraph) -> Graph:
    """Return the present state for a driver, which changes nothing. `state` is safer, but takes longer."""
    return graph._study.graph  # noqa: SLF001 - one of our own
