"""Events about one attempt to run a step: its submission, its job and its reports.

The events about the end of the step are in `maestro_es.core.events.step`. `maestro_es.core.step_rules` decides how
each event changes the state.
"""

from __future__ import annotations

from typing import Union

from maestro_es.core.events.base import Event, Evidence
from maestro_es.core.model import Micros, SubmissionKind
from maestro_es.core.usage import Usage


class SubmissionRequested(Event, frozen=True):
    """An attempt will be submitted. This is committed before the scheduler is called.

    attempt: the number of the attempt: 1, 2, 3 ...
    token: the name of the attempt, which is never used again
    kind: why the attempt is made

    Result if the step is INITIALIZED: state PENDING, phase REQUESTED
    Result if kind is restart: phase REQUESTED
    Result: state PENDING, phase REQUESTED
    """

    attempt: int
    token: str
    kind: SubmissionKind


class JobSubmitted(Event, frozen=True):
    """The scheduler has the job. If `adopted`, the submission got no answer, and a tick found the job by its token.

    `host` and `instance` (its boot id) distinguish a local process from a later one with the same process id.

    job_id: the scheduler's id of the job; for a local step, the process id of its runner
    adopted: whether the job was found by its token, because the call that submitted it got no answer
    host: the host on which the job runs, if it is known
    instance: the boot id of that host, which distinguishes a process from a later one with the same id
    script_digest: SHA-256 of the script, in hex; empty if it is not known
    other_digest: the digest of the step's other script; empty if a user has edited it, or if maestro-es has not
        written it
    edited: whether the job runs a script that a user has edited
    left_out: the options that were removed from the script because the scheduler had refused the job with them

    Result: phase SUBMITTED
    """

    token: str
    job_id: str
    adopted: bool = False
    host: str = ""
    instance: str = ""
    script_digest: str = ""
    other_digest: str = ""
    edited: bool = False
    evidence: tuple[Evidence, ...] = ()
    left_out: tuple[str, ...] = ()


class ScriptSetAside(Event, frozen=True):
    """A script in a workspace was edited, and was kept as another file.

    script: the path of the script, relative to the study
    kept_as: the path of the copy, relative to the study
    digest: SHA-256 of the copy, in hex

    Result: nothing
    """

    script: str
    kept_as: str
    digest: str


class SubmissionRejected(Event, frozen=True):
    """The scheduler refused the job in a way that proves that nothing was queued.

    message: the message of the scheduler
    exit_code: the exit code of the submit command; null if there is none

    Result if the step is PENDING: state INITIALIZED, phase WAITING
    Result: phase WAITING
    """

    token: str
    message: str
    exit_code: int | None = None


class SubmissionUncertain(Event, frozen=True):
    """It is unknown whether the scheduler has the job. The message contains the output of the submit command.

    Result: nothing
    """

    token: str
    message: str


class AttemptAbandoned(Event, frozen=True):
    """The attempt can never start, because a tick has taken its claim.

    Result if the step is PENDING or RUNNING: state INITIALIZED, phase WAITING
    Result: phase WAITING
    """

    token: str
    evidence: tuple[Evidence, ...]


class SubmissionWithdrawn(Event, frozen=True):
    """A tick withdrew its own request and took the claim, so the attempt can never start.

    `message` is the message of a scheduler that had no room for the job. It is empty if the scheduler was not called.

    token: the attempt that will never start
    message: the answer of the scheduler that had no room; empty if it was not called
    together: how many steps the scheduler refused at once with that message; more than one for a job array

    Result if the step is PENDING: state INITIALIZED, phase WAITING
    Result: phase WAITING
    """

    token: str
    message: str = ""
    together: int = 1


class JobDelayed(Event, frozen=True):
    """The scheduler gives a reason why the job is pending. A job that waits for its turn does not get this event.

    reason: the reason, as the scheduler gives it

    Result: nothing
    """

    token: str
    reason: str


class JobStateUnknown(Event, frozen=True):
    """The scheduler reports a job state that this version does not know. Ticks keep watching the job.

    raw_state: the scheduler's name for the state

    Result: nothing
    """

    token: str
    raw_state: str


class JobUnsupervised(Event, frozen=True):
    """The scheduler no longer watches the job, for example after its own crash. The step may still be running.

    reason: what the scheduler says about the job
    host: the host where the step was started
    until: when the walltime runs out, after which the step is considered to have ended; null without a walltime

    Result: nothing
    """

    token: str
    reason: str
    host: str = ""
    until: Micros | None = None


class JobStarted(Event, frozen=True):
    """The job has started.

    host: the host on which it runs, if it is known

    Result: state RUNNING, phase SUBMITTED
    """

    token: str
    at: Micros
    host: str = ""
    evidence: tuple[Evidence, ...] = ()


class JobNotFound(Event, frozen=True):
    """The scheduler no longer lists the job, and there is no report. Ticks look for it until the grace time is over.

    Result: nothing
    """

    token: str
    evidence: tuple[Evidence, ...] = ()


class JobReappeared(Event, frozen=True):
    """The scheduler lists the job again.

    Result: nothing
    """

    token: str


class UsageReported(Event, frozen=True):
    """The usage of an attempt became known after the end of the attempt was recorded.

    usage: what the attempt used

    Result: nothing
    """

    token: str
    usage: Usage


class ReportIgnored(Event, frozen=True):
    """The inbox contained a report whose token is not the current token of the step.

    The report has no other effect than this event.

    token: the attempt of the report
    report: the name of the report

    Result: nothing
    """

    token: str
    report: str


#: The events of this module.
AttemptEvent = Union[
    SubmissionRequested, JobSubmitted, ScriptSetAside, SubmissionRejected, SubmissionUncertain, AttemptAbandoned,
    SubmissionWithdrawn, JobDelayed, JobStateUnknown, JobUnsupervised, JobStarted, JobNotFound, JobReappeared,
    UsageReported, ReportIgnored,
]  # fmt: skip
