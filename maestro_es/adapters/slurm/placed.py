"""The part of Slurm's adapter for steps that run inside a job.

`maestro_es.adapters.slurm.allocation` describes that job, and is imported only if there are such steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from maestro_es.adapters.allocated import InsideAdapter
from maestro_es.adapters.base import JobInfo, QueueEntry
from maestro_es.adapters.slurm.client import SlurmJobs
from maestro_es.core.model import StepRecord
from maestro_es.core.observations import Claim

if TYPE_CHECKING:
    from maestro_es.adapters.inside import OwnJob


class SlurmPlaced(InsideAdapter):
    """Finds out about the job around a driver, and about steps inside jobs."""

    _jobs: SlurmJobs

    def own_job(self, job: str) -> OwnJob:
        from maestro_es.adapters.slurm.allocation import SlurmJob  # noqa: PLC0415 - only a driver in a job needs it

        return SlurmJob(self._jobs, job)

    def states_inside(
        self, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry] | None
    ) -> dict[str, JobInfo]:
        from maestro_es.adapters.slurm.allocation import states  # noqa: PLC0415 - few ticks need it

        return states(self._jobs, steps, claims, self._jobs.list_jobs() if listed is None else listed)
