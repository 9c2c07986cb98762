"""Submits, queries and cancels jobs of scripts without a study, for programs. Only its id identifies such a job.

For an adapter, such a job is like a job that Maestro has submitted, because it carries no token. Nothing about it is
recorded.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from maestro_es.adapters.base import Adapter, JobInfo, SubmitsScripts
from maestro_es.compat.abstracts import SubmissionCode
from maestro_es.compat.submission import CancellationRecord, SubmissionRecord
from maestro_es.core.attempt_token import imported_token
from maestro_es.core.model import CancelCode, JobState, JobStatusCode, State, StepRecord
from maestro_es.core.submission import Accepted
from maestro_es.errors import RequestRefused, SchedulerError

#: Maestro's states for the states of jobs.
_STATES = {
    JobState.PENDING: State.PENDING,
    JobState.RUNNING: State.RUNNING,
    JobState.ORPHANED: State.RUNNING,
    JobState.FINISHED: State.FINISHED,
    JobState.FAILED: State.FAILED,
    JobState.FAILED_AGAIN: State.FAILED,
    JobState.OUT_OF_MEMORY: State.FAILED,
    JobState.TIMED_OUT: State.TIMEDOUT,
    JobState.CANCELLED: State.CANCELLED,
    JobState.CANCELLED_ON_NODE: State.CANCELLED,
    JobState.PREEMPTED: State.HWFAILURE,
    JobState.NODE_FAILED: State.HWFAILURE,
}
#: The ids of jobs. A mark may precede their digits, which need not be decimal.
_JOB_ID = re.compile(r"\d+|[fƒ]\w+")


def submit_script(adapter: Adapter, path: str, cwd: str, env: Mapping[str, str]) -> SubmissionRecord:
    """Submit a script. RequestRefused if maestro-es can't submit to the scheduler."""
    if not isinstance(adapter, SubmitsScripts):
        raise RequestRefused(f"{path}: maestro-es can't submit jobs to {adapter.name} yet")
    outcome = adapter.submit_script(path, cwd, env)
    if isinstance(outcome, Accepted):
        return SubmissionRecord(SubmissionCode.OK, 0, outcome.job_id)
    record = SubmissionRecord(SubmissionCode.ERROR, getattr(outcome, "exit_code", None) or 1)
    record.add_info("stderr", getattr(outcome, "message", ""))
    return record


def check_jobs(adapter: Adapter, ids: Collection[object]) -> tuple[JobStatusCode, dict[str, State | None]]:
    """Return the states of jobs by id (None: the scheduler does not know the job)."""
    steps = _records(ids)
    try:
        infos = adapter.query_queue(steps, {}) if steps else {}
        gone = [step for step in steps if infos[step.token].state is JobState.GONE]
        infos = {**infos, **(adapter.query_accounting(gone) if gone else {})}
    except SchedulerError:
        return JobStatusCode.ERROR, {}
    states = {step.job_id: _state(infos[step.token]) for step in steps}
    return (JobStatusCode.OK if any(states.values()) else JobStatusCode.NOJOBS), states


def _state(info: JobInfo) -> State | None:
    return None if info.state is JobState.GONE else _STATES.get(info.state, State.UNKNOWN)


def cancel_jobs(adapter: Adapter, ids: Collection[object]) -> CancellationRecord:
    """Cancel jobs."""
    steps = _records(ids)
    try:
        if steps:
            adapter.query_queue(steps, {})
            adapter.cancel(steps)
    except SchedulerError:
        return _cancelled(steps, CancelCode.ERROR)
    return _cancelled(steps, CancelCode.OK)


def _cancelled(steps: Sequence[StepRecord], code: CancelCode) -> CancellationRecord:
    made = CancellationRecord(code, int(code is CancelCode.ERROR))
    for step in steps:
        made.add_status(step.job_id, code)
    return made


def _records(ids: Collection[object]) -> list[StepRecord]:
    """Return a record for each job, for the methods of adapters.

    With the request time 0, no job counts as older than its request.
    """
    return [
        StepRecord(
            number=number, name="", template="", params=(), workspace="", workspaces={}, scheduled=True, row=number,
            restart_limit=0, token=imported_token("", number), job_id=str(job), requested_at=0,
        )
        for number, job in enumerate(dict.fromkeys(map(str, ids)), 1)
        if _JOB_ID.match(job)
    ]  # fmt: skip
