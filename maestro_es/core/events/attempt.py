"""Events of one attempt to run a step: its submission, its job and its reports, until it has ended.

How the step ended is another event, in `maestro_es.core.events.step`. The effect on the state is decided in
`maestro_es.core.step_rules`.
"""

from __future__ import annotations

from typing import Union

from maestro_es.core.events.base import Event, Evidence
from maestro_es.core.model import Micros, SubmissionKind


class SubmissionRequested(Event, frozen=True):
    """An attempt is about to be submitted. Committed before the scheduler hears of it.

    attempt: the number of the attempt: 1, 2, 3 ...
    token: a name for the attempt, unique for ever
    kind: why the attempt is made

    Result if the step is INITIALIZED: state PENDING, phase REQUESTED
    Result if kind is restart: phase REQUESTED
    Result: state PENDING, phase REQUESTED
    """

    attempt: int
    token: str
    kind: SubmissionKind


class JobSubmitted(Event, frozen=True):
    """The scheduler has the job. `adopted`: found again by its token, not answered to our own call.

    `host` and `instance` tell a local process from a later one with its number: the host and its boot id.

    job_id: the id that the scheduler gave the job; of a step on this host the process id of its runner
    adopted: whether the job was found by its token, because the call that submitted it got no answer
    host: the host that the job runs on, if it is known
    instance: the boot id of that host, which tells a process from a later one with the same id
    script_digest: SHA-256 of the script, in hex; empty if it is not known
    other_digest: that of the step's other script, if it is as we have written it; empty if there is none
    edited: whether a person has edited the script, and it ran as it stood
    left_out: options with which the scheduler had refused the job; the script shows none of them

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
    """A script in a workspace was not as maestro-es had written it, and was kept as another file.

    script: the path of the script, relative to the study
    kept_as: the path of what was kept, likewise
    digest: SHA-256 of what was kept, in hex

    Result: nothing
    """

    script: str
    kept_as: str
    digest: str


class SubmissionRejected(Event, frozen=True):
    """The scheduler refused in a way that proves that nothing was queued.

    message: what the scheduler said
    exit_code: the exit code of its command; null if there is none

    Result if the step is PENDING: state INITIALIZED, phase WAITING
    Result: phase WAITING
    """

    token: str
    message: str
    exit_code: int | None = None


class SubmissionUncertain(Event, frozen=True):
    """It is unknown whether the scheduler has the job: what it, or our call of it, said instead of an answer.

    Result: nothing
    """

    token: str
    message: str


class AttemptAbandoned(Event, frozen=True):
    """The attempt can never start any more: the poller holds its claim.

    Result if the step is PENDING or RUNNING: state INITIALIZED, phase WAITING
    Result: phase WAITING
    """

    token: str
    evidence: tuple[Evidence, ...]


class SubmissionWithdrawn(Event, frozen=True):
    """The poller took its own request back, so the attempt can never start: the poller holds its claim.

    `message` is what the scheduler said that takes no more jobs just now; empty if it was not called.

    Result if the step is PENDING: state INITIALIZED, phase WAITING
    Result: phase WAITING
    """

    token: str
    message: str = ""


class JobDelayed(Event, frozen=True):
    """The scheduler says what holds the waiting job up. Not written of one that only waits for its turn.

    reason: what the scheduler says

    Result: nothing
    """

    token: str
    reason: str


class JobStateUnknown(Event, frozen=True):
    """The scheduler gives the job a state that this version does not know. The job is watched, and nothing concluded.

    raw_state: the state, in the words of the scheduler

    Result: nothing
    """

    token: str
    raw_state: str


class JobStarted(Event, frozen=True):
    """The job runs.

    host: the host that it runs on, if it is known

    Result: state RUNNING, phase SUBMITTED
    """

    token: str
    at: Micros
    host: str = ""
    evidence: tuple[Evidence, ...] = ()


class JobNotFound(Event, frozen=True):
    """The job is no longer known, and no report has come. Ticks look for it until the adapter's grace is over.

    Result: nothing
    """

    token: str
    evidence: tuple[Evidence, ...] = ()


class JobReappeared(Event, frozen=True):
    """The scheduler knows the job again.

    Result: nothing
    """

    token: str


class ReportIgnored(Event, frozen=True):
    """A report came that carries another token than the step's current one: recorded, not believed.

    token: the attempt that the report is about
    report: the name of the report

    Result: nothing
    """

    token: str
    report: str


#: The events of this module.
AttemptEvent = Union[
    SubmissionRequested, JobSubmitted, ScriptSetAside, SubmissionRejected, SubmissionUncertain, AttemptAbandoned,
    SubmissionWithdrawn, JobDelayed, JobStateUnknown, JobStarted, JobNotFound, JobReappeared, ReportIgnored,
]  # fmt: skip
