"""The part of an adapter for jobs that run inside the job around their driver.

`maestro_es.adapters.inside` starts them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from maestro_es.adapters.base import Job, JobInfo, QueueEntry
from maestro_es.adapters.batch import BatchAdapter
from maestro_es.adapters.schedulers import job_around, start_of
from maestro_es.core.attempt_token import placement_of
from maestro_es.core.model import StepRecord
from maestro_es.core.observations import Claim
from maestro_es.core.step_keys import Allocation
from maestro_es.core.submission import InDoubt, Outcome
from maestro_es.errors import RequestRefused, Unreachable

if TYPE_CHECKING:
    from maestro_es.adapters.inside import Inside, OwnJob


class InsideAdapter(BatchAdapter):
    """An adapter that also runs jobs inside an allocation (see `RunsInside`). Such jobs have a placement."""

    name: str
    _inside: Inside | None = None

    @abstractmethod
    def own_job(self, job: str) -> OwnJob:
        """Return the job around this process. RequestRefused if it can't contain steps."""

    @abstractmethod
    def states_inside(
        self, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry] | None
    ) -> dict[str, JobInfo]:
        """Return the states of attempts inside jobs, by token. Unreachable if the scheduler does not answer."""

    def start_inside(self, job: Job) -> Outcome:
        """Start a job that has a placement."""
        placement = placement_of(job.token)
        if placement is None or self._inside is None:
            return InDoubt("its driver is gone")
        return self._inside.start(job, placement)

    def enter(self, seconds_left: Callable[[], float | None], must_stop: Callable[[], bool]) -> None:
        from maestro_es.adapters.inside import Inside  # noqa: PLC0415 - only a driver in a job needs it

        around = job_around()
        if around.partition(":")[0] != self.name:
            where = f"in the job {around}" if around else "in no job"
            raise RequestRefused(f"--in-allocation works only in a job of {self.name}, but this process runs {where}")
        self._inside = self._inside or Inside(self.own_job(start_of(around)), seconds_left, must_stop)

    def allocation(self) -> Allocation:
        if self._inside is None:
            raise RequestRefused("this process has entered no allocation")
        return self._inside.allocation()

    def expect(self, nodes: Collection[int]) -> None:
        if self._inside:
            self._inside.expect(nodes)

    def wait_inside(self, seconds: float) -> list[str]:
        return self._inside.wait(seconds) if self._inside else []

    def is_unknown(self, step: StepRecord) -> bool:  # noqa: ARG002 - protocol
        return False  # ended jobs stay listed long enough, or a missing job has ended

    def leave(self) -> None:
        if self._inside:
            self._inside.close()

    def query_queue(
        self, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        placed = [step for step in steps if placement_of(step.token)]
        if not placed:
            return super().query_queue(steps, claims, listed)
        seen = self._inside.watched(placed, claims) if self._inside else {}
        rest = [step for step in placed if step.token not in seen]
        if rest:
            seen |= self.states_inside(rest, claims, listed)
        others = [step for step in steps if step not in placed]
        return seen | super().query_queue(others, claims, listed) if others else seen

    def cancel_commands(self, steps: Sequence[StepRecord]) -> list[list[str]]:
        return super().cancel_commands([step for step in steps if not placement_of(step.token)])

    def cancel(self, steps: Sequence[StepRecord]) -> None:
        """Cancel jobs. Only the driver of an allocation can end steps inside it."""
        placed = [step for step in steps if placement_of(step.token)]
        super().cancel([step for step in steps if step not in placed])
        if placed and self._inside is None:
            first = placed[0]
            job = first.job_id.partition(".")[0]
            ends = "the driver in this job ends it; if the driver is gone, it ends with the job"
            raise Unreachable(f"{first.name} runs inside job {job}: {ends}")
        if self._inside:
            self._inside.end(placed)
