"""The outcomes of submitting an attempt, and the events that follow from them.

The outcome is `Rejected` only if the refusal proves that nothing was queued. After a timeout, a kill or an unreadable
answer, the outcome is `InDoubt`. Then the log keeps the message, and a later tick reconciles the attempt.
"""

from __future__ import annotations

from typing import Union

import msgspec

from maestro_es.core import events as e
from maestro_es.core import resubmission_limits
from maestro_es.core.attempt_token import placement_of
from maestro_es.core.graph import Graph
from maestro_es.core.model import Cause, Micros, Phase, StepRecord


class SubmittedScript(msgspec.Struct, frozen=True):
    """The script of an attempt. If the tick has also written the step's other script, `other` is its digest.

    If `edited`, a user has edited the script. `set_aside` lists the edited scripts that the tick has replaced.
    """

    digest: str = ""
    other: str = ""
    edited: bool = False
    set_aside: tuple[e.ScriptSetAside, ...] = ()


#: An unknown script.
NO_SCRIPT = SubmittedScript()


class Accepted(msgspec.Struct, frozen=True):
    """The scheduler has accepted the job. A local process has a `host` and an `instance`, and is running.

    A step inside an allocation has both, too, but only its claim shows that it is running.

    `left_out` holds options with which the scheduler refused the job. `script_digest` is the digest of the script
    without these options.
    """

    job_id: str
    host: str = ""
    instance: str = ""
    left_out: tuple[str, ...] = ()
    script_digest: str = ""


class Rejected(msgspec.Struct, frozen=True):
    """The scheduler refused the job with this message, and nothing was queued."""

    message: str
    exit_code: int | None = None


class InDoubt(msgspec.Struct, frozen=True):
    """It is unknown whether there is a job. If `scheduler_down`, the scheduler does not answer at all."""

    message: str
    scheduler_down: bool = False


class QueueFull(msgspec.Struct, frozen=True):
    """The scheduler's queue is full, and the tick has taken the claim of the attempt.

    If this is not `certain`, the message may also mean that the scheduler will never accept the job. `together` is how
    many attempts were refused at once, as one job array.
    """

    message: str
    certain: bool = True
    together: int = 1


class ScriptFailed(msgspec.Struct, frozen=True):
    """The scheduler was not called, because the script of the step could not be written."""

    message: str


class NotAttempted(msgspec.Struct, frozen=True):
    """The scheduler was not called, because it did not answer an earlier call or had no room.

    The tick has taken the claim.
    """


class Previewed(msgspec.Struct, frozen=True):
    """The scheduler was not called, because this is a preview. Its answer is unknown, so there is no event."""


Outcome = Union[Accepted, Rejected, InDoubt, QueueFull, ScriptFailed, NotAttempted, Previewed]


def outcome_events(
    graph: Graph, number: int, token: str, outcome: Outcome, at: Micros, script: SubmittedScript = NO_SCRIPT
) -> list[e.AnyEvent]:
    """Return the events for an outcome.

    If another tick has reconciled the attempt, only events about the script remain.
    """
    step = graph.step(number)
    if step.token != token or step.phase is not Phase.REQUESTED:
        return [*script.set_aside]
    return [*script.set_aside, *_events(graph, step, outcome, at, script)]


def _events(graph: Graph, step: StepRecord, outcome: Outcome, at: Micros, script: SubmittedScript) -> list[e.AnyEvent]:
    token = step.token
    match outcome:
        case Accepted():
            submitted = e.JobSubmitted(
                token=token,
                job_id=outcome.job_id,
                host=outcome.host,
                instance=outcome.instance,
                script_digest=outcome.script_digest or script.digest,
                other_digest=script.other,
                edited=script.edited,
                left_out=outcome.left_out,
            )
            begun = outcome.host and not placement_of(
                token
            )  # inside an allocation, the runner still has to take the claim
            return [submitted, e.JobStarted(token=token, at=at, host=outcome.host)] if begun else [submitted]
        case Rejected() | QueueFull():
            return _refuse(graph, step, outcome, at)
        case ScriptFailed():
            return [e.StepFailed(token=token, at=at, cause=Cause.SCRIPT, message=outcome.message)]
        case InDoubt():
            return [e.SubmissionUncertain(token=token, message=outcome.message)]
        case NotAttempted():
            return [e.SubmissionWithdrawn(token=token)]
        case Previewed():
            return []


def _refuse(graph: Graph, step: StepRecord, outcome: Rejected | QueueFull, at: Micros) -> list[e.AnyEvent]:
    """Return the events for a refusal. If the queue is full, the step waits for room. Otherwise the refusal counts.

    If it is not certain that the queue is full, the step waits only while the study has a job in flight.
    """
    if isinstance(outcome, QueueFull):
        others = (other for other in graph.in_flight() if other.scheduled and other.number != step.number)
        if outcome.certain or any(others):
            return [e.SubmissionWithdrawn(token=step.token, message=outcome.message, together=outcome.together)]
        outcome = Rejected(outcome.message)
    rejected = e.SubmissionRejected(token=step.token, message=outcome.message, exit_code=outcome.exit_code)
    message = resubmission_limits.after_refusal(graph.study.settings, step, outcome.message)
    return [rejected, e.StepFailed(at=at, cause=Cause.REJECTED, message=message)] if message else [rejected]
