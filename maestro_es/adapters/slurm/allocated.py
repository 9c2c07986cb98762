"""The part of Slurm's adapter for jobs that run inside the Slurm job of their driver.

`maestro_es.adapters.slurm.inside` starts such jobs, and decides what the queue says about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from maestro_es.adapters.base import Job, JobInfo, QueueEntry
from maestro_es.adapters.batch import BatchAdapter
from maestro_es.adapters.slurm.client import SlurmJobs
from maestro_es.core.attempt_token import placement_of
from maestro_es.core.model import StepRecord
from maestro_es.core.observations import Claim
from maestro_es.core.step_keys import Allocation
from maestro_es.core.submission import InDoubt, Outcome
from maestro_es.errors import RequestRefused, Unreachable

if TYPE_CHECKING:
    from maestro_es.adapters.slurm.inside import Inside


class InsideAdapter(BatchAdapter):
    """An adapter that also runs jobs inside an allocation (see `RunsInside`). Such jobs have a placement."""

    _jobs: SlurmJobs
    _inside: Inside | None = None

    def start_inside(self, job: Job) -> Outcome:
        """Start a job that has a placement."""
        placement = placement_of(job.token)
        if placement is None or self._inside is None:
            return InDoubt("its driver is gone")
        return self._inside.start(job, placement)

    def enter(self, margin: float) -> None:
        from maestro_es.adapters.slurm.inside import Inside  # noqa: PLC0415 - only a driver in a job needs it

        self._inside = self._inside or Inside(self._jobs, margin)

    def allocation(self) -> Allocation:
        if self._inside is None:
            raise RequestRefused("this process has entered no allocation")
        return self._inside.allocation()

    def wait_inside(self, seconds: float) -> list[str]:
        return self._inside.wait(seconds) if self._inside else []

    def leave(self) -> None:
        if self._inside:
            self._inside.close()

    def query_queue(
        self, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        placed = [step for step in steps if placement_of(step.token)]
        if not placed:
            return super().query_queue(steps, claims, listed)
        from maestro_es.adapters.slurm.inside import states  # noqa: PLC0415 - few ticks need it

        known = self._inside.watched(placed, claims) if self._inside else {}
        if len(known) == len(steps):
            return known
        rows = self._jobs.list_jobs() if listed is None else listed
        others = [step for step in steps if step not in placed]
        rest = [step for step in placed if step.token not in known]
        return {**super().query_queue(others, claims, rows), **known, **states(self._jobs, rest, claims, rows)}

    def cancel_commands(self, steps: Sequence[StepRecord]) -> list[list[str]]:
        return super().cancel_commands([step for step in steps if not placement_of(step.token)])

    def cancel(self, steps: Sequence[StepRecord]) -> None:
        """Cancel jobs. Only the driver of an allocation can end steps inside it."""
        placed = [step for step in steps if placement_of(step.token)]
        super().cancel([step for step in steps if step not in placed])
        if placed and self._inside is None:
            first = placed[0]
            raise Unreachable(f"{first.name} runs inside job {first.job_id.partition('.')[0]}, whose driver ends it")
        if self._inside:
            self._inside.end(placed)
