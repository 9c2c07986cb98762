"""The part of the graph that ticks. A tick of cron imports this module, and not the whole class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from maestro_es.core.events import Recorded
from maestro_es.core.model import StudyStatus
from maestro_es.errors import TickInProgress, Unreachable
from maestro_es.execution_graph.base import GraphBase
from maestro_es.poller.maestro_requests import are_waiting
from maestro_es.poller.prefetch import QueueSnapshot, prefetch
from maestro_es.poller.tick import may_be_in_doubt, tick
from maestro_es.study.invocation import Runtime
from maestro_es.study.last_tick import shown
from maestro_es.study.locks import hold_tick_lock, queue_up
from maestro_es.study.session import Session


class SharedQueues:
    """What the schedulers answer that are asked once for many studies, and those that no longer answer."""

    def __init__(self, snapshots: Mapping[Path, QueueSnapshot]) -> None:
        self._snapshots = snapshots
        self._down: dict[str, Unreachable] = {}

    @classmethod
    def of(cls, roots: Iterable[Path], runtime: Runtime) -> SharedQueues:
        """Ask each cluster once for the jobs of these studies."""
        return cls(prefetch(roots, runtime))

    def snapshot(self, study: Session) -> QueueSnapshot | None:
        """Return what is known of a study's queue. A cluster that is down is not asked again."""
        latest, down = self._snapshots.get(study.dir.root), self._down.get(study.adapters.scheduler.cluster)
        return QueueSnapshot(0, {}, down) if latest and down else latest

    def note(self, study: Session) -> None:
        """Note that the cluster of a study has stopped to answer, if it has."""
        cluster = study.adapters.scheduler.cluster
        if study.last_error and cluster:
            self._down[cluster] = study.last_error


class TickableGraph(GraphBase):
    """The part of `ExecutionGraph` that ticks."""

    @property
    def notices(self) -> list[str]:
        """Lines that a person may want to read, though nothing is wrong; each tick adds its own."""
        return self._study.notices

    def is_settled(self) -> bool:
        """Whether a tick has nothing to do: the study has ended, and nothing has come since."""
        study = self._study
        if study.status is StudyStatus.RUNNING or not shown(study.dir, study.log.head):
            return False
        return not (are_waiting(study.dir) or may_be_in_doubt(study))

    def tick(self, *, wait_s: float = -1, queues: SharedQueues | None = None) -> list[Recorded]:
        """Advance the study by one pass: look at its jobs, submit what is ready, and record what has happened.

        Returns what was recorded, oldest first; nothing if nothing has happened. `wait_s` is how long to wait for
        another process that ticks the study, in seconds (negative: as long as it takes); TickInProgress if it still
        does then. `queues` are those that a caller who ticks many studies has asked before.

        Unreachable if a scheduler or the file system did not answer: all that does not depend on the answer was done
        and recorded. NothingStarts, if the environment of the steps is missing. RequestRefused inside a `batch`, of
        which a tick would commit the first half. What a person must know is in `remarks`.
        """
        with self._study.log.listening() as recorded:
            self.advance(wait_s=wait_s, queues=queues)
        return recorded

    def tick_next(self) -> list[Recorded]:
        """Tick after the process that ticks the study now, and return the new events, as `tick` does.

        TickInProgress if another process waits for that already: it will see all that this one would.
        """
        with self._study.log.listening() as recorded:
            self.advance_next()
        return recorded

    def advance(self, *, wait_s: float = -1, queues: SharedQueues | None = None) -> None:
        """Tick as `tick` does, but return nothing, because all new events may not fit in memory.

        `wait_s` is how long to wait for another process that ticks the study, in seconds; TickInProgress if it still
        does then. The other errors are those of `tick`.
        """
        self._commits_alone()
        self._study.log.check_place()
        with hold_tick_lock(self._study.dir, wait_s) as ours:
            if not ours:
                raise TickInProgress(f"{self.path}: another process ticks it")
            self._tick(queues)

    def advance_next(self) -> None:
        """Tick as `tick_next` does, but return nothing. TickInProgress if another process waits for that already."""
        self._commits_alone()
        with queue_up(self._study.dir, self.runtime.host.name) as ours:
            if not ours:
                raise TickInProgress(f"{self.path}: another process waits for the next tick")
            self._tick(None)

    def _tick(self, queues: SharedQueues | None) -> None:
        study = self._study
        try:
            tick(study, snapshot=queues.snapshot(study) if queues else None)
        finally:
            if queues:
                queues.note(study)

    def execute_ready_steps(self) -> StudyStatus:
        """Run one tick, as `tick` does; returns how the study stands. Unreachable if a scheduler did not answer."""
        self.advance()
        return self._study.status
