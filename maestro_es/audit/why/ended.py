"""Explains how and why a step has ended.

The log records this. `maestro_es.core.verdict` decided it when the attempt ended.
"""

from __future__ import annotations

from collections.abc import Sequence

from maestro_es.audit.attempts import Attempt, attempts, last_request
from maestro_es.audit.sentences import assert_never
from maestro_es.audit.times import time_of
from maestro_es.audit.why.context import Explanation, View, again, cancel_of
from maestro_es.core import events as e
from maestro_es.core.exit_codes import meaning
from maestro_es.core.model import Cause, State

#: The events that end a step.
_End = (
    e.StepFinished | e.StepTimedOut | e.StepFailed | e.StepCancelled | e.StepDryRun | e.StepImported | e.StepSkipped
    | e.StepRecovered
)  # fmt: skip

#: Words for Maestro's states, for a step whose end is not recorded in the log.
_MAESTROS = {
    State.FINISHED: "finished", State.FAILED: "failed", State.TIMEDOUT: "ran out of time",
    State.CANCELLED: "was cancelled",
}  # fmt: skip

#: An answer contains at most this many events of the last attempt as evidence: the latest ones.
_PROOFS = 6


def ended(view: View, number: int, before: int | None = None) -> Explanation:
    """Return how and why a step has ended. With `before`, only events before this seq count."""
    events = [recorded for recorded in view.events_of(number) if before is None or recorded.seq < before]
    for index in range(len(events) - 1, -1, -1):
        event = events[index].event
        if isinstance(event, _End):
            return _how(view, number, events[: index + 1], event)
    return Explanation("has not ended", tuple(events[-1:]))


def _how(view: View, number: int, events: Sequence[e.Recorded], event: _End) -> Explanation:
    """Return how a step has ended. `event` is the last of its `events`."""
    end = events[-1]
    match event:
        case e.StepFinished():
            message = f"finished {_when(view, event)} with exit code {event.exit_code}"
            return _of_attempt(view, events, message)
        case e.StepTimedOut():
            message = f"ran out of time {_when(view, event)}"
            final = f": {event.final}" if event.final else ", and will be restarted"
            request = cancel_of(view, number, end.seq) if event.final == "cancelled" else ()
            explanation = _of_attempt(view, events, message + final, view.attribution(request))
            return Explanation(explanation.message, (*request, *explanation.evidence))
        case e.StepFailed():
            return _failed(view, events, event)
        case e.StepCancelled():
            return _cancelled(view, number, events, event)
        case e.StepDryRun():
            when = view.show(event.at)
            return Explanation(f"was not run, because this is a dry run: its scripts were written at {when}", (end,))
        case e.StepSkipped():
            because = f": {event.reason}" if event.reason else ""
            when = view.show(time_of(end))
            return Explanation(f"was marked as finished at {when}, skipped by {event.by}{because}", (end,))
        case e.StepImported() | e.StepRecovered():
            return Explanation(_unseen(view, event), (end,))
        case _:
            return assert_never(event)


def _when(view: View, event: e.StepFinished | e.StepTimedOut | e.StepFailed | e.StepCancelled) -> str:
    """Say when a step ended, and whether this time was reported or only noticed."""
    return f"(noticed at {view.show(event.at)})" if event.noticed else f"at {view.show(event.at)}"


def _of_attempt(view: View, events: Sequence[e.Recorded], how: str, tail: str = "") -> Explanation:
    """Return how an attempt has ended, with its number and the reason why it followed another attempt."""
    of_step = attempts(events)
    if not of_step:
        return Explanation(how + tail, (events[-1],))
    attempt = of_step[-1]
    begin = 1 + last_request(events)
    before = again(view, events[:begin])
    after = f"; {before.message}" if before.message else ""
    message = f"{how}{_job(attempt)}{tail}{after}"
    return Explanation(message, (*before.evidence, *events[begin:][-_PROOFS:]))


def _job(attempt: Attempt) -> str:
    numbered = f"attempt {attempt.number}" if attempt.number > 1 else ""
    on = f" on {attempt.host}" if attempt.host else ""
    facts = ", ".join(filter(None, (numbered, f"job {attempt.job_id}{on}" if attempt.job_id else "")))
    return f" ({facts})" if facts else ""


def _failed(view: View, events: Sequence[e.Recorded], event: e.StepFailed) -> Explanation:
    end = events[-1]
    when = _when(view, event)
    match event.cause:
        case Cause.UPSTREAM:
            return _upstream(view, end, event.blocker, "was not run", f"upstream: {event.message}")
        case Cause.SCHEDULER:
            return _of_attempt(view, events, f"failed {when}, according to the scheduler: {event.message}")
        case Cause.EXIT_CODE if event.message.startswith(event.cause.value):
            means = "".join(f": {text}" for text in [meaning(event.exit_code)] if text)
            return _of_attempt(view, events, f"failed {when} with {event.message}{means}")
        case Cause.EXIT_CODE | Cause.OUT_OF_MEMORY | Cause.HARDWARE | Cause.LOST | Cause.REJECTED | Cause.SCRIPT:
            return _of_attempt(view, events, f"failed {when}: {event.message}")
        case _:
            return assert_never(event.cause)


def _upstream(view: View, end: e.Recorded, blocker: int | None, how: str, message: str) -> Explanation:
    """Say that a step has ended because of another step, and how that other step has ended."""
    if blocker is None:
        return Explanation(f"{how} ({message})", (end,))
    root = ended(view, blocker, end.seq)
    return Explanation(f"{how} because {view.graph.step(blocker).name} {root.message}", (*root.evidence, end))


def _cancelled(view: View, number: int, events: Sequence[e.Recorded], event: e.StepCancelled) -> Explanation:
    end = events[-1]
    if event.blocker is not None:
        return _upstream(view, end, event.blocker, "was cancelled", event.message)
    when = _when(view, event)
    ours = event.message.startswith("cancelled")
    message = f"was {event.message} {when}" if ours else f"was cancelled {when}: {event.message}"
    request = () if "outside" in event.message else cancel_of(view, number, end.seq)
    tail = view.attribution(request)
    explanation = _of_attempt(view, events, message, tail) if event.token else Explanation(message + tail, (end,))
    return Explanation(explanation.message, (*request, *explanation.evidence))


def _unseen(view: View, event: e.StepImported | e.StepRecovered) -> str:
    """Return how a step ended before this log began, or in a lost part of it."""
    where = "under Maestro" if isinstance(event, e.StepImported) else "in the lost part of the log"
    ending = _MAESTROS.get(event.state, f"is {event.state.name}")
    when = f" at {view.show(event.ended_at)}" if event.ended_at else ""
    job = f" (job {event.job_id})" if event.job_id else ""
    message = f": {event.message}" if event.message else ""
    return f"{ending} {where}{when}{job}{message}"
