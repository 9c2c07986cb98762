"""A scheduler of another package: it starts each job at once, and notes it in a file of `folder`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from maestro_es.adapters import process
from maestro_es.adapters.base import Job, JobInfo, QueueEntry
from maestro_es.adapters.host import Host
from maestro_es.core.environment import for_runner
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.observations import Claim
from maestro_es.core.scheduler_facts import COMMON_KEYS, JobEnvironment, SchedulerFacts
from maestro_es.core.submission import Accepted, Outcome


def walltime_remedy(walltime: object) -> str:
    """Take a number of hours."""
    return "" if not walltime or str(walltime).endswith("h") else "Write hours, such as 2h."


FACTS = SchedulerFacts(
    name="toy",
    extension="toy.sh",
    grace_seconds=5.0,
    needed_keys=("folder",),
    keys=(*COMMON_KEYS, "folder"),
    jobs=JobEnvironment(job_ids=("TOY_JOB",)),
    walltime_remedy=walltime_remedy,
)


class ToyAdapter:
    """Starts jobs, and looks for their processes."""

    name, extension, grace_seconds = FACTS.name, FACTS.extension, FACTS.grace_seconds
    can_submit = True
    max_concurrent_submissions = 1
    cluster = ""

    def __init__(self, batch: Mapping[str, Any], _host: Host) -> None:
        self._folder = Path(batch["folder"])

    def header(self, job_name: str, _description: str, _run: Mapping[str, Any]) -> str:
        return f"#!/bin/sh\n#TOY --name {job_name}"

    spare_header = header

    def command(self, text: str, _run: Mapping[str, Any]) -> str:
        return text.replace("$(LAUNCHER)", "env TOY_LAUNCHED=yes")

    def submission(self, job: Job) -> list[str]:
        return [str(job.runner), job.token, str(job.workspace), job.script, str(job.study)]

    def submit(self, job: Job) -> Outcome:
        self._folder.mkdir(exist_ok=True)
        job_id = f"toy{len(list(self._folder.iterdir())) + 1}"
        with open(job.workspace / f"{job.name}.out", "wb") as out:
            started = subprocess.Popen(
                self.submission(job),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env={**for_runner(job.environment.variables), "TOY_JOB": job_id},
            )  # fmt: skip
        started.returncode = 0  # its report says how it ended
        (self._folder / job_id).write_text(f"{started.pid} {job.token} {job.runner}")
        return Accepted(job_id)

    def cluster_info(self) -> dict[str, str]:
        return {}

    def list_jobs(self) -> list[QueueEntry]:
        return []

    def query_queue(
        self, steps: Sequence[StepRecord], _claims: Mapping[str, Claim], _listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        found = self._running()
        return {step.token: found.get(step.token, JobInfo(JobState.GONE, "no job")) for step in steps}

    def query_accounting(self, _steps: Sequence[StepRecord]) -> dict[str, JobInfo]:
        return {}

    def find_by_token(self, runners: Collection[str]) -> dict[str, JobInfo]:
        return self._running(runners)

    def has_orphans(self, _step: StepRecord) -> bool:
        return False

    def cancel_commands(self, steps: Sequence[StepRecord]) -> list[list[str]]:
        return [["toy-cancel", step.job_id] for step in steps]

    def cancel(self, steps: Sequence[StepRecord]) -> None:
        for step in steps:
            pid = (self._folder / step.job_id).read_text().split()[0]
            os.kill(int(pid), 15)

    def _running(self, runners: Collection[str] = ()) -> dict[str, JobInfo]:
        found = {}
        for place in self._folder.iterdir() if self._folder.exists() else ():
            pid, token, runner = place.read_text().split(" ", 2)
            if process.is_running(int(pid), token) and (not runners or runner in runners):
                found[token] = JobInfo(JobState.RUNNING, "RUNS", job_id=place.name)
        return found


ADAPTER = ToyAdapter
