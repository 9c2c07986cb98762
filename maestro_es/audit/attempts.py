"""Collects the attempts of one step from its events. Also tells which script the next attempt runs.

`maestro_es.core.step_rules` decides how an event changes the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from maestro_es.audit.sentences import describe
from maestro_es.core import events as e
from maestro_es.core.graph import Graph
from maestro_es.core.model import BAD_ENDS, Micros, Phase, StepRecord, SubmissionKind
from maestro_es.core.transitions import can_go_on
from maestro_es.core.usage import Usage

#: The `outcome` of an attempt that has not ended.
IN_FLIGHT = "in flight"

#: The events that end an attempt. The SQL view `v_attempt` holds the same list.
ENDS = (
    e.SubmissionRejected,
    e.SubmissionWithdrawn,
    e.AttemptAbandoned,
    e.StepFinished,
    e.StepTimedOut,
    e.HardwareFailed,
    e.StepFailed,
    e.StepCancelled,
    e.StepRecovered,
)


class Attempt(msgspec.Struct, kw_only=True):
    """One attempt to run a step. If `adopted`, a tick has found its job by its token.

    `evidence` is the evidence for the outcome.

    `noticed` means that no report gives the time of the end. In this case, `ended_at` is the time at which a tick
    noticed the end, or the time of the next boot of the host. `outputs` holds the paths of the files that the job has
    written. `step_details` sets this field. `environment` is the digest of the steps' environment at the time of the
    request. `usage` is what the attempt used, if that is known.
    """

    number: int
    token: str
    kind: str
    requested_at: Micros
    job_id: str = ""
    adopted: bool = False
    host: str = ""
    submitted_at: Micros | None = None
    started_at: Micros | None = None
    ended_at: Micros | None = None
    noticed: bool = False
    outcome: str = IN_FLIGHT
    exit_code: int | None = None
    evidence: tuple[e.Evidence, ...] = ()
    outputs: list[str] = msgspec.field(default_factory=list)
    environment: str = ""
    usage: Usage | None = None


def attempts(events: Iterable[e.Recorded], environments: Iterable[e.Recorded] = ()) -> list[Attempt]:
    """Return the attempts in the events of one step, in order.

    `environments` holds the study's EnvironmentRecorded events.
    """
    result: list[Attempt] = []
    digest = ""
    for recorded in sorted([*events, *environments], key=lambda recorded: recorded.seq):
        event = recorded.event
        if isinstance(event, e.EnvironmentRecorded):
            digest = event.environment.digest
        elif isinstance(event, e.SubmissionRequested):
            result.append(_requested(recorded, event, digest))
        elif isinstance(event, e.UsageReported):
            _use(result, event)
        elif result and result[-1].outcome == IN_FLIGHT:
            _go_on(result[-1], recorded)
            _end(result[-1], recorded)
    return result


def _requested(recorded: e.Recorded, event: e.SubmissionRequested, digest: str) -> Attempt:
    return Attempt(
        number=event.attempt,
        token=event.token,
        kind=event.kind.value,
        requested_at=recorded.recorded_at,
        environment=digest,
    )


def last_request(events: Sequence[e.Recorded]) -> int:
    """Return the index of the event that requested the last attempt. ValueError if there is none."""
    return max(index for index, recorded in enumerate(events) if isinstance(recorded.event, e.SubmissionRequested))


def unsupervised(events: Sequence[e.Recorded]) -> tuple[e.Recorded, ...]:
    """Return the event that says that the scheduler no longer watches the job of the last attempt, if there is one."""
    latest = events[last_request(events) :]
    return tuple(recorded for recorded in latest if isinstance(recorded.event, e.JobUnsupervised))[-1:]


def _go_on(attempt: Attempt, recorded: e.Recorded) -> None:
    """Update an attempt with the submission or the start of its job."""
    match recorded.event:
        case e.JobSubmitted() as event:
            attempt.job_id, attempt.adopted, attempt.host = event.job_id, event.adopted, event.host
            attempt.submitted_at = recorded.recorded_at
        case e.JobStarted() as event:
            attempt.started_at = event.at
            if attempt.submitted_at is not None:  # a fast job starts before its submission is recorded
                attempt.submitted_at = min(attempt.submitted_at, event.at)
            attempt.host = event.host or attempt.host


def _use(tried: Sequence[Attempt], event: e.UsageReported) -> None:
    """Update the attempt whose usage became known after its end."""
    for attempt in tried:
        if attempt.token == event.token:
            attempt.usage = event.usage


def _end(attempt: Attempt, recorded: e.Recorded) -> None:
    """Update an attempt with its outcome, if this event ends it."""
    event = recorded.event
    if isinstance(event, ENDS):
        attempt.outcome = describe(event, str)
        attempt.ended_at = getattr(event, "at", recorded.recorded_at)
        attempt.noticed = getattr(event, "noticed", False)
        attempt.evidence = getattr(event, "evidence", ())
        attempt.usage = getattr(event, "usage", None)
    if isinstance(event, (e.StepFinished, e.StepFailed)):
        attempt.exit_code = event.exit_code


def script_of(graph: Graph, step: StepRecord) -> str:
    """Return the key of the script that a step runs in this attempt, or in the next one if this one has ended."""
    if step.phase is Phase.DONE:
        goes_on = step.state in BAD_ENDS and can_go_on(graph, step)
    else:
        goes_on = step.kind is SubmissionKind.RESTART
    return "restart" if goes_on else "cmd"


def which_script(graph: Graph, step: StepRecord) -> str:
    """Describe the script that `script_of` names (empty: the step has no restart script, or has finished)."""
    over = step.phase is Phase.DONE
    if not graph.template(step.template).run.get("restart") or (over and step.state not in BAD_ENDS):
        return ""
    name = "its restart script" if script_of(graph, step) == "restart" else "cmd, from the beginning"
    return f"{name}, if it is retried" if over else name
