"""The part of the graph that cancels. It records the request, and ticks until the jobs have ended.

`maestro_es.core.requests` decides which steps a request cancels.
"""

from __future__ import annotations

import time

from maestro_es.core import arguments, requests
from maestro_es.core.events import Recorded
from maestro_es.core.graph import Graph
from maestro_es.core.model import CancelCode, Phase, StepRecord, StudyStatus
from maestro_es.errors import LogUnavailable, NothingStarts, Unreachable, describe_error
from maestro_es.execution_graph.base import patterns_of
from maestro_es.execution_graph.ticking import TickableGraph
from maestro_es.poller.prefetch import no_answer
from maestro_es.poller.tick import tick
from maestro_es.study.locks import hold_tick_lock

#: How long `cancel` waits for jobs to end, in seconds. Later ticks end the remaining jobs.
_PATIENCE_S = 5.0

#: The interval between two ticks during this time, in seconds.
_PAUSE_S = 0.1


class CancellableGraph(TickableGraph):
    """The part of `ExecutionGraph` that cancels."""

    def cancel(self, *steps: str, reason: str = "", wait_s: float = _PATIENCE_S) -> list[Recorded]:
        """Cancel the study, or only `steps` (names or patterns), and tick until their jobs have ended.

        Steps that depend on a cancelled step are cancelled too. Returns the new events, including those of the ticks.
        It waits at most `wait_s` seconds. Later ticks end the jobs that are still running then; `steps_to_end` returns
        their steps.

        Unreachable if jobs can't end before a scheduler, the file system or another host answers. The cancellation is
        recorded nevertheless, and later ticks end the jobs. RequestRefused if there is nothing to cancel, or inside a
        `batch`.
        """
        with self._study.log.listening() as recorded:
            self.end_steps(*steps, reason=reason, wait_s=wait_s)
        return recorded

    def end_steps(self, *steps: str, reason: str = "", wait_s: float = _PATIENCE_S) -> None:
        """Cancel as `cancel` does, but return nothing, because the new events may not fit in memory.

        It waits at most `wait_s` seconds for jobs to end. Unreachable in the same cases as for `cancel`.
        """
        self._commits_alone()
        patterns, why = patterns_of(steps), arguments.text("reason", reason)
        wait_s = arguments.seconds("wait_s", wait_s)
        end = time.monotonic() + wait_s
        self._ask(lambda graph: requests.cancel(graph, patterns, why))
        try:
            self._tick_until_ended(wait_s, end)
        except (Unreachable, LogUnavailable, OSError) as error:
            message = str(error) if isinstance(error, Unreachable) else describe_error(error, self.path)[1]
            raise Unreachable(f"{self._left()}; the next tick ends them: {message}") from error
        elsewhere = self._elsewhere()
        if elsewhere:
            hosts = ", ".join(sorted(elsewhere))
            raise Unreachable(f"{self._left()}; the next tick on {hosts} ends the others")

    def cancel_study(self, reason: str = "") -> CancelCode:
        """Request that the study is cancelled, and tick once. Later ticks end its jobs. Returns ``CancelCode.OK``.

        If the study is already being cancelled, or has ended, only the tick runs. Unreachable if a scheduler did not
        answer. The cancellation is recorded nevertheless.
        """
        self._commits_alone()
        why = arguments.text("reason", reason)
        self._request(lambda graph: requests.cancel(graph, (), why) if _may_cancel(graph) else [])
        self.tick()
        return CancelCode.OK

    def steps_to_end(self) -> list[StepRecord]:
        """Return the steps in flight that are being cancelled. Ticks end their jobs."""
        self._fresh()
        return self._still_to_end()

    def _still_to_end(self) -> list[StepRecord]:
        graph = self._study.graph
        return [step for step in graph.in_flight() if step.cancelling or graph.study.cancelling]

    def _tick_until_ended(self, wait_s: float, end: float) -> None:
        """Tick until all cancelled jobs have ended, or until the time `end`.

        Unreachable if a scheduler or the file system did not answer. Such a scheduler is not queried again, but local
        steps on this host are still ended. Only a tick ends jobs, because the id of a job does not prove that the job
        belongs to the step: a scheduler may use an id again.
        """
        study = self._study
        last_error: Unreachable | None = None
        while True:
            before = study.log.head.seq
            error = self._tick_once(wait_s, last_error)
            last_error = last_error or error
            elsewhere = self._elsewhere()
            waiting = [step for step in self._still_to_end() if step.scheduled or step.job_host not in elsewhere]
            late = time.monotonic() > end
            if study.graph.study.cascading and study.log.head.seq > before:
                continue
            if study.status is not StudyStatus.RUNNING or not waiting:
                return
            if last_error and (late or not study.last_error or all(step.scheduled for step in waiting)):
                raise last_error
            if late:
                return
            time.sleep(_PAUSE_S)

    def _tick_once(self, wait_s: float, last_error: Unreachable | None) -> Unreachable | None:
        """Run one tick. Returns the error if a scheduler does not answer.

        With `last_error`, the scheduler is not queried.
        """
        study = self._study
        known = no_answer(study.last_error) if last_error and study.last_error else None
        with hold_tick_lock(study.dir, wait_s) as ours:
            if not ours:
                raise Unreachable("another process has been running a tick of this study for some time")
            try:
                tick(study, snapshot=known)
            except NothingStarts:
                return None
            except Unreachable as error:
                return error
        return None

    def _elsewhere(self) -> set[str]:
        """Return the other hosts on which cancelled local steps are still running."""
        local = (step for step in self._still_to_end() if not step.scheduled and step.phase is Phase.SUBMITTED)
        return {step.job_host for step in local} - {self.runtime.host.name, ""}

    def _left(self) -> str:
        """Return a sentence with the number of jobs that may still be running."""
        return (
            f"{self.path}: the cancellation is recorded; jobs that may still be running: {len(self._still_to_end())}"
        )


def _may_cancel(graph: Graph) -> bool:
    return graph.study.status is StudyStatus.RUNNING and not graph.study.cancelling
