"""A scheduler that accepts every job and starts none, so that only our own cost is measured.

With `ends: true` in the batch block, it reports at once that the job has ended, as the job's runner would.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from maestro_es.adapters.base import Job, JobInfo, QueueEntry
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.observations import Claim
from maestro_es.core.scheduler_facts import COMMON_KEYS, JobEnvironment, SchedulerFacts
from maestro_es.core.submission import Accepted, Outcome

FACTS = SchedulerFacts(
    name="idle",
    extension="idle.sh",
    grace_seconds=1e9,
    needed_keys=(),
    keys=(*COMMON_KEYS, "ends"),
    jobs=JobEnvironment(job_ids=("IDLE_JOB",)),
)


class IdleAdapter:
    """Accepts jobs."""

    name, extension, grace_seconds = FACTS.name, FACTS.extension, FACTS.grace_seconds
    can_submit = True
    max_concurrent_submissions = 1
    cluster = ""

    def __init__(self, batch: Mapping[str, Any], _host: object) -> None:
        self._ends = bool(batch.get("ends"))

    def header(self, job_name: str, _description: str, _run: Mapping[str, Any]) -> str:
        return f"#!/bin/sh\n#IDLE --name {job_name}"

    spare_header = header

    def command(self, text: str, _run: Mapping[str, Any]) -> str:
        return text

    def submission(self, job: Job) -> list[str]:
        return [str(job.runner), job.token]

    def submit(self, job: Job) -> Outcome:
        if self._ends:
            (job.study / ".maestro-es" / "inbox" / f"{job.token}.exit.0").touch()
        return Accepted(job.token[-12:])

    def cluster_info(self) -> dict[str, str]:
        return {}

    def list_jobs(self) -> list[QueueEntry]:
        return []

    def query_queue(
        self, steps: Sequence[StepRecord], _claims: Mapping[str, Claim], _listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        return {step.token: JobInfo(JobState.PENDING) for step in steps}

    def query_accounting(self, _steps: Sequence[StepRecord]) -> dict[str, JobInfo]:
        return {}

    def find_by_token(self, _runners: Collection[str]) -> dict[str, JobInfo]:
        return {}

    def has_orphans(self, _step: StepRecord) -> bool:
        return False

    def cancel_commands(self, _steps: Sequence[StepRecord]) -> list[list[str]]:
        return []

    def cancel(self, steps: Sequence[StepRecord]) -> None:
        pass


ADAPTER = IdleAdapter
