"""A fake scheduler that fails on demand, in every way in which a real one was seen to fail.

A real scheduler can't be made to lose a job, to give no answer, or to reuse a job's id at the right moment of a test.
Only the scheduler is a fake. It starts the study's own runner as a process, so claims, reports and exit codes come
from the real program.

Its state is a directory of files. So, like a scheduler, it outlives the tick that calls it::

    FOLDER/answers          what the next submissions come to, one word a line; none left: "accept"
    FOLDER/unreachable      while it exists, nobody answers
    FOLDER/autostart        while it exists, a job runs as soon as it is submitted
    FOLDER/jobs/0001.json   a job; the number is its own, its id may be another's too
    FOLDER/jobs/0001.code   its exit code, once it has one
    FOLDER/jobs/0001.out    what it printed

The answers are:

    accept   the job is queued, and its id is the answer
    refuse   nothing is queued, and the answer says so
    full     nothing is queued, as there is no room
    doubt    the job is queued, and there is no answer: the command was killed, or said "socket timed out"
    deaf     nothing is queued, and there is no answer
    late     there is no answer, and the job shows only when the test says `deliver`
    lose     the answer is an id, and the job is forgotten: the controller died before it wrote it down
    reuse    the job is queued under the id that the one before it got, and that is the answer
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from maestro_es.adapters import process
from maestro_es.adapters.base import Job, JobInfo, QueueEntry, Submitting
from maestro_es.core.environment import for_runner
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.observations import Claim
from maestro_es.core.submission import Accepted, InDoubt, Outcome, QueueFull, Rejected
from maestro_es.errors import Unreachable

_KEEP_CODE = 'code=$1; shift; "$@"; echo $? >"$code.new"; mv "$code.new" "$code"'


@dataclass(frozen=True)
class QueuedJob:
    """A job: `serial` is its own, `pid` that of its last start (0: none yet), `shown` whether the queue lists it."""

    serial: int
    job_id: str
    token: str
    argv: list[str]
    environment: dict[str, str]
    workspace: str
    pid: int = 0
    starts: int = 0
    shown: bool = True
    cancelled: bool = False
    says: str = ""


class FakeScheduler:
    """The adapter for this scheduler, and methods with which a test controls it."""

    name = "fake"
    extension = "fake.sh"
    can_submit = True
    max_concurrent_submissions = 1
    cluster = ""

    def __init__(self, folder: Path, grace_seconds: float = 0.3) -> None:
        self.folder = folder
        self.grace_seconds = grace_seconds
        (folder / "jobs").mkdir(parents=True, exist_ok=True)

    # -- the adapter ------------------------------------------------------------------------------------------------

    def header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        return f"#!/bin/bash\n#FAKE -J {job_name}"

    def spare_header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        return self.header(job_name, description, run)

    def command(self, text: str, run: Mapping[str, Any]) -> str:
        return text

    def submission(self, job: Job) -> list[str]:
        return ["fake-submit", *self._runner(job)]

    def submit(self, job: Job) -> Outcome | Submitting:
        answer = self._next_answer()
        if answer == "refuse":
            return Rejected("fake: invalid partition", 1)
        if answer in ("deaf", "full"):
            return QueueFull("fake: no room") if answer == "full" else InDoubt("fake: no answer")
        queued = self._add(job, like_last=answer == "reuse", shown=answer != "late")
        if answer == "lose":
            self._path(queued).unlink()
        elif (self.folder / "autostart").exists():
            self._start(queued)
        if answer in ("doubt", "late"):
            return InDoubt("fake: no answer")
        return Accepted(queued.job_id)

    def cluster_info(self) -> dict[str, str]:
        return {}

    def list_jobs(self) -> list[QueueEntry]:
        return []

    def query_queue(
        self, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        if (self.folder / "unreachable").exists():
            raise Unreachable("fake: the controller does not answer")
        jobs = [job for job in self.jobs() if job.shown]
        return {step.token: self._seen(step, jobs) for step in steps}

    def query_accounting(self, steps: Sequence[StepRecord]) -> dict[str, JobInfo]:
        """Return what the file ``accounts`` says about every job; nothing without this file."""
        accounts = self.folder / "accounts"
        if not accounts.exists():
            return {}
        return {step.token: JobInfo(JobState(accounts.read_text()), "by the accounts") for step in steps}

    def find_by_token(self, runners: Collection[str]) -> dict[str, JobInfo]:
        if (self.folder / "unreachable").exists():
            raise Unreachable("fake: the controller does not answer")
        found = {}
        for job in self.jobs():
            if job.shown and job.argv[0] in runners:
                state, code = self._state(job)
                found[job.token] = JobInfo(state, f"job {job.job_id} is {state.value}", code, job.job_id)
        return found

    def has_orphans(self, step: StepRecord) -> bool:
        """Return False: a scheduler ends the processes that a job leaves behind."""
        return False

    def cancel_commands(self, steps: Sequence[StepRecord]) -> list[list[str]]:
        return [["fake-cancel", step.job_id] for step in steps]

    def cancel(self, steps: Sequence[StepRecord]) -> None:
        for step in steps:
            for job in self.jobs():
                if (job.token, job.job_id) == (step.token, step.job_id):
                    self._save(replace(job, cancelled=True))
                    process.terminate_group(job.pid) if job.pid else None

    def _seen(self, step: StepRecord, jobs: Sequence[QueuedJob]) -> JobInfo:
        for job in jobs:
            if job.token == step.token and step.job_id in ("", job.job_id):
                state, code = self._state(job)
                return JobInfo(state, f"job {job.job_id} is {state.value}", code, job.job_id)
        return JobInfo(JobState.GONE, "unknown job")

    def _state(self, job: QueuedJob) -> tuple[JobState, int | None]:
        if job.says:
            return JobState[job.says], None
        runs = bool(job.pid and process.session_members(job.pid))  # first: what is gone has left its code by then
        code = self._path(job).with_suffix(".code")
        if code.exists():
            number = int(code.read_text())
            return (JobState.FAILED if number else JobState.FINISHED), number
        if runs:
            return JobState.RUNNING, None
        if job.cancelled:
            return JobState.CANCELLED, None
        return (JobState.NODE_FAILED if job.pid else JobState.PENDING), None

    # -- for the test -----------------------------------------------------------------------------------------------

    def plan(self, *answers: str) -> None:
        """Set the answers to the next submissions."""
        with (self.folder / "answers").open("a") as file:
            file.writelines(f"{answer}\n" for answer in answers)

    def switch(self, name: str, *, on: bool = True) -> None:
        """Switch "unreachable" or "autostart" on or off."""
        (self.folder / name).touch() if on else (self.folder / name).unlink(missing_ok=True)

    def jobs(self) -> list[QueuedJob]:
        """Return all jobs that are not forgotten, oldest first."""
        return [QueuedJob(**json.loads(path.read_text())) for path in sorted((self.folder / "jobs").glob("*.json"))]

    def start(self, *tokens: str) -> None:
        """Start the jobs of these tokens, even again (default: all jobs that were neither started nor cancelled)."""
        for job in self.jobs():
            if job.token in tokens or not (tokens or job.starts or job.cancelled):
                self._start(job)

    def deliver(self) -> None:
        """List the jobs that were accepted late in the queue."""
        for job in self.jobs():
            self._save(replace(job, shown=True))

    def forget(self) -> bool:
        """Forget all jobs that have ended; returns whether no others are left."""
        for job in self.jobs():
            if self._state(job)[0] not in (JobState.PENDING, JobState.RUNNING):
                self._path(job).unlink()
        return not self.jobs()

    def kill_node(self, token: str) -> None:
        """Let the node of a job fail. Its processes die without a report."""
        for job in self.jobs():
            if job.token == token:
                process.kill(process.session_members(job.pid))

    def say(self, token: str, state: JobState) -> None:
        """Report this state for a job from now on, independent of its real state."""
        for job in self.jobs():
            if job.token == token:
                self._save(replace(job, says=state.name))

    # -- its files --------------------------------------------------------------------------------------------------

    def _next_answer(self) -> str:
        path = self.folder / "answers"
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("".join(f"{line}\n" for line in lines[1:]))
        return lines[0] if lines else "accept"

    def _runner(self, job: Job) -> list[str]:
        return [str(job.runner), job.token, str(job.workspace), job.script, str(job.study)]

    def _add(self, job: Job, *, like_last: bool, shown: bool) -> QueuedJob:
        counter = self.folder / "last"
        serial = int(counter.read_text()) + 1 if counter.exists() else 1
        counter.write_text(str(serial))
        queued = QueuedJob(
            serial=serial,
            job_id=str(1000 + serial - like_last),
            token=job.token,
            argv=self._runner(job),
            environment=for_runner(job.environment.variables),
            workspace=str(job.workspace),
            shown=shown,
        )
        self._save(queued)
        return queued

    def _start(self, job: QueuedJob) -> None:
        place = self._path(job)
        place.with_suffix(".code").unlink(missing_ok=True)
        with place.with_suffix(".out").open("ab") as out:
            started = subprocess.Popen(
                ["/bin/sh", "-c", _KEEP_CODE, "fake", str(place.with_suffix(".code")), *job.argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=job.workspace,
                env={**job.environment, "SLURM_JOB_ID": job.job_id},
                start_new_session=True,
            )
        self._save(replace(job, pid=started.pid, starts=job.starts + 1))
        started.returncode = 0  # nobody waits for it: the file says how it ended

    def _path(self, job: QueuedJob) -> Path:
        return self.folder / "jobs" / f"{job.serial:04}.json"

    def _save(self, job: QueuedJob) -> None:
        scratch = self._path(job).with_suffix(f".new{os.getpid()}")
        scratch.write_text(json.dumps(asdict(job)))
        scratch.replace(self._path(job))
