"""Events about one step: its end, requests about it, and its state in another log.

`maestro_es.core.step_rules` decides how each event changes the state.
"""

from __future__ import annotations

from typing import Union

from maestro_es.core.events.base import Event, Evidence
from maestro_es.core.model import Cause, Micros, State
from maestro_es.core.usage import Usage


class StepImported(Event, frozen=True):
    """Maestro handled the step before this log began. Times and `restarts` come from Maestro's status table.

    `state` says how the step ended: FINISHED, FAILED, TIMEDOUT or CANCELLED. If it is INITIALIZED, the step will run.
    It will run its restart script if Maestro had restarted it. If a job was adopted, the events of a submission
    follow.

    state: how the step ended, or INITIALIZED
    job_id: the id of its last job
    submitted_at: when it was submitted, in microseconds UTC; null if that is not known
    started_at: when it started, in microseconds UTC; null if that is not known
    ended_at: when it ended, in microseconds UTC; null if that is not known
    restarts: how many times Maestro had restarted the step

    Result if state is FINISHED, FAILED, TIMEDOUT or CANCELLED: state as given, phase DONE
    Result if restarts is at least 1: state TIMEDOUT
    Result: nothing
    """

    state: State
    job_id: str = ""
    submitted_at: Micros | None = None
    started_at: Micros | None = None
    ended_at: Micros | None = None
    restarts: int = 0
    message: str = ""
    evidence: tuple[Evidence, ...] = ()


class StepRecovered(Event, frozen=True):
    """The state of the step after a lost part of the log.

    `state` says how the step ended: FINISHED, FAILED, TIMEDOUT or CANCELLED. If it is INITIALIZED, the step will run.
    It will run its restart script if it was restarted before. If a job was found, the events of a submission follow.

    state: how the step ended, or INITIALIZED
    attempt: the number of the last attempt that is known
    job_id: the id of its last job
    started_at: when it started, in microseconds UTC; null if that is not known
    ended_at: when it ended, in microseconds UTC; null if that is not known
    restarts: how many times it was restarted

    Result if state is FINISHED, FAILED, TIMEDOUT or CANCELLED: state as given, phase DONE
    Result if restarts is at least 1: state TIMEDOUT, phase WAITING
    Result: state INITIALIZED, phase WAITING
    """

    state: State
    attempt: int
    job_id: str = ""
    started_at: Micros | None = None
    ended_at: Micros | None = None
    restarts: int = 0
    message: str = ""
    evidence: tuple[Evidence, ...] = ()


class StepFinished(Event, frozen=True):
    """The step ended with exit code 0.

    exit_code: the exit code of the script
    noticed: true if no report gives the time of the end; then `at` is when a tick noticed the end, or when the host
        booted afterwards
    usage: what the attempt used; null if this is not known yet, or will never be known

    Result: state FINISHED, phase DONE
    """

    token: str
    at: Micros
    exit_code: int = 0
    evidence: tuple[Evidence, ...] = ()
    noticed: bool = False
    usage: Usage | None = None


class StepTimedOut(Event, frozen=True):
    """The step exceeded its walltime. `final` says why there is no restart. It is empty if a restart follows.

    final: why the step is not restarted; empty if StepRestarted follows
    noticed: true if no report gives the time of the end; then `at` is when a tick noticed the end, or when the host
        booted afterwards
    usage: what the attempt used; null if this is not known yet, or will never be known

    Result: state TIMEDOUT, phase DONE
    """

    token: str
    at: Micros
    final: str = ""
    evidence: tuple[Evidence, ...] = ()
    noticed: bool = False
    usage: Usage | None = None


class StepRestarted(Event, frozen=True):
    """A step that has timed out will run its restart script.

    This is restart `number` of at most `limit` (0: no limit).

    number: how many times the step was restarted, this time included
    limit: how many times the step may be restarted; 0 means no limit

    Result: state TIMEDOUT, phase WAITING
    """

    number: int
    limit: int


class HardwareFailed(Event, frozen=True):
    """A hardware failure ended the job. After up to `limit` such failures the step is resubmitted.

    number: how many times this happened to the step, this time included. This time does not count if the step ended
        with the job around it, if it stopped together with its driver, or if `stopped_in` is not empty
    limit: how many times the step is resubmitted after such a failure; 0 means no limit
    reason: the reason that the scheduler or the host gave
    noticed: true if no report gives the time of the end; then `at` is when a tick noticed the end, or when the host
        booted afterwards
    usage: what the attempt used; null if this is not known yet, or will never be known
    stopped_in: the job in which a signal from outside stopped the step, if the end of this job may be the reason. This
        is assumed only for the first such signal in each job; otherwise the field is empty. Up to seven earlier jobs
        of this kind come first, separated by spaces

    Result: state HWFAILURE, phase WAITING
    """

    token: str
    at: Micros
    number: int
    limit: int
    reason: str
    evidence: tuple[Evidence, ...] = ()
    noticed: bool = False
    usage: Usage | None = None
    stopped_in: str = ""


class StepFailed(Event, frozen=True):
    """The step has failed. If the failure of another step is the cause, `blocker` is the number of that step.

    cause: what kind of failure it was
    exit_code: the exit code of the script; null if there is none
    blocker: the number of the step whose failure made this one fail; null if it failed itself
    noticed: true if no report gives the time of the end; then `at` is when a tick noticed the end, or when the host
        booted afterwards
    usage: what the attempt used; null if this is not known yet, or will never be known

    Result: state FAILED, phase DONE
    """

    at: Micros
    cause: Cause
    message: str
    token: str = ""
    exit_code: int | None = None
    blocker: int | None = None
    evidence: tuple[Evidence, ...] = ()
    noticed: bool = False
    usage: Usage | None = None


class StepCancelled(Event, frozen=True):
    """The step was cancelled, before or while it ran. `blocker` is the cancelled step on which it depends.

    blocker: the number of the cancelled step for which this one waited; null if a user cancelled this one
    noticed: true if no report gives the time of the end; then `at` is when a tick noticed the end, or when the host
        booted afterwards
    usage: what the attempt used; null if this is not known yet, or will never be known

    Result: state CANCELLED, phase DONE
    """

    at: Micros
    message: str
    token: str = ""
    blocker: int | None = None
    evidence: tuple[Evidence, ...] = ()
    noticed: bool = False
    usage: Usage | None = None


class OutputDoubted(Event, frozen=True):
    """The local step finished so shortly before its host went down that its output may be incomplete.

    host: the name of the host
    alive_at: when the host was last certainly up before it went down, in microseconds UTC
    booted_at: when the host came up again, in microseconds UTC; null if that is not known

    Result: nothing
    """

    host: str
    alive_at: Micros
    booted_at: Micros | None = None


class StepDryRun(Event, frozen=True):
    """The workspace and the scripts of the step were written, but nothing was run.

    Result: state DRYRUN, phase DONE
    """

    at: Micros


class StepReset(Event, frozen=True):
    """The step will be submitted again, with its counters at zero. Dependents that had finished were reset before it.

    A step that had started resumes with its restart script, if it has one and the request was not `from_scratch`.

    from_scratch: whether the step runs its main script although it could resume from a checkpoint
    keep_script: whether an edited script in the workspace runs unchanged, until the step is reset again

    Result: state INITIALIZED, phase WAITING
    """

    reason: str = ""
    from_scratch: bool = False
    keep_script: bool = False


class StepSkipped(Event, frozen=True):
    """The user `by` marks the step as finished, whatever its state. Steps that depend on it can run.

    by: the name of the user

    Result: state FINISHED, phase DONE
    """

    by: str
    reason: str = ""


class StepHeld(Event, frozen=True):
    """The step is not submitted or resubmitted until a user releases it. A job in flight keeps running.

    Result: nothing
    """

    reason: str = ""


class StepReleased(Event, frozen=True):
    """A held step may be submitted again.

    Result: nothing
    """

    reason: str = ""


#: The events of this module.
StepEvent = Union[
    StepImported, StepRecovered, StepFinished, StepTimedOut, StepRestarted, HardwareFailed, StepFailed,
    StepCancelled, OutputDoubted, StepDryRun, StepReset, StepSkipped, StepHeld, StepReleased,
]  # fmt: skip
