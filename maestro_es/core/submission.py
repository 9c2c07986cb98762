"""What came of calling a scheduler, and the events that it makes.

Only a refusal that proves that nothing was queued is a `Rejected`. A time-out, a kill or an answer that nobody can
read is `InDoubt`: what was said is kept, and a later tick reconciles it.
"""

from __future__ import annotations

from typing import Union

import msgspec

from maestro_es.core import events as e
from maestro_es.core import resubmission_limits
from maestro_es.core.graph import Graph
from maestro_es.core.model import Cause, Micros, Phase, StepRecord


class SubmittedScript(msgspec.Struct, frozen=True):
    """The script of an attempt. `other` is the digest of the step's other script, if we have written it.

    `edited`: a person has written it. `set_aside` tells of edits in whose place we have written it.
    """

    digest: str = ""
    other: str = ""
    edited: bool = False
    set_aside: tuple[e.ScriptSetAside, ...] = ()


#: What there is to say of a script of which nothing is known.
NO_SCRIPT = SubmittedScript()


class Accepted(msgspec.Struct, frozen=True):
    """The scheduler has the job. A local process has a `host` and an `instance` and runs from now on.

    It was refused with the options that were `left_out`; the script without them has another `script_digest`.
    """

    job_id: str
    host: str = ""
    instance: str = ""
    left_out: tuple[str, ...] = ()
    script_digest: str = ""


class Rejected(msgspec.Struct, frozen=True):
    """The scheduler refused, in its own words, and nothing was queued."""

    message: str
    exit_code: int | None = None


class InDoubt(msgspec.Struct, frozen=True):
    """It is unknown whether there is a job. `scheduler_down`: the scheduler did not answer at all, whoever asks."""

    message: str
    scheduler_down: bool = False


class QueueFull(msgspec.Struct, frozen=True):
    """The scheduler takes no more jobs just now, and the attempt's claim is ours.

    Not `certain`: its words may as well mean that it will never take this one.
    """

    message: str
    certain: bool = True


class ScriptFailed(msgspec.Struct, frozen=True):
    """The scheduler was not called: the step's script could not be made."""

    message: str


class NotAttempted(msgspec.Struct, frozen=True):
    """The scheduler was not called, as another call got no answer, or no room; the attempt's claim is ours."""


class Previewed(msgspec.Struct, frozen=True):
    """The scheduler was not called, because this is a preview: its answer is unknown, and makes no event."""


Outcome = Union[Accepted, Rejected, InDoubt, QueueFull, ScriptFailed, NotAttempted, Previewed]


def outcome_events(
    graph: Graph, number: int, token: str, outcome: Outcome, at: Micros, script: SubmittedScript = NO_SCRIPT
) -> list[e.AnyEvent]:
    """Return the events of an outcome at a time; only of its script, if somebody else has reconciled the attempt."""
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
            return [submitted, e.JobStarted(token=token, at=at, host=outcome.host)] if outcome.host else [submitted]
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
    """Return that a step waits for room, or that it was refused and ends if it has had all its submission attempts.

    If it is not certain that room is all that it needs, it waits as long as there may be another job of the study.
    """
    if isinstance(outcome, QueueFull):
        others = (other for other in graph.in_flight() if other.scheduled and other.number != step.number)
        if outcome.certain or any(others):
            return [e.SubmissionWithdrawn(token=step.token, message=outcome.message)]
        outcome = Rejected(outcome.message)
    rejected = e.SubmissionRejected(token=step.token, message=outcome.message, exit_code=outcome.exit_code)
    message = resubmission_limits.after_refusal(graph.study.settings, step, outcome.message)
    return [rejected, e.StepFailed(at=at, cause=Cause.REJECTED, message=message)] if message else [rejected]
