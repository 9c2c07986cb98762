"""Why a step was tried more than once."""

from __future__ import annotations

from collections.abc import Sequence

from maestro_es.audit.sentences import assert_never
from maestro_es.audit.view import Answer, View
from maestro_es.core import events as e

#: What makes a step be tried once more.
_Turn = (
    e.StepTimedOut | e.HardwareFailed | e.SubmissionRejected | e.AttemptAbandoned | e.SubmissionWithdrawn
    | e.StepReset | e.StepImported | e.StepRecovered
)  # fmt: skip

#: So many of the latest turns are evidence.
_PROOFS = 5


def again(view: View, events: Sequence[e.Recorded]) -> Answer:
    """Return why there is, or is to be, an attempt after the one before; no words if there was only one."""
    attempt = 0
    words = ""
    pending = ""
    proofs: list[e.Recorded] = []
    for recorded in events:
        event = recorded.event
        if isinstance(event, e.SubmissionRequested):
            attempt, words, pending = event.attempt, pending, ""
        elif isinstance(event, _Turn):
            pending = _turn(view, recorded, event, attempt)
            proofs.append(recorded)
        elif isinstance(event, e.StepRestarted):
            proofs.append(recorded)
    return Answer(pending or words, tuple(proofs[-_PROOFS:]))


def _turn(view: View, recorded: e.Recorded, event: _Turn, attempt: int) -> str:
    """Return what became of an attempt, so that another one follows."""
    match event:
        case e.StepTimedOut():
            return f"attempt {attempt} ran out of time"
        case e.HardwareFailed():
            return f"attempt {attempt} failed by no fault of its own ({event.reason})"
        case e.SubmissionRejected():
            return f"attempt {attempt} had its submission refused: {event.message}"
        case e.AttemptAbandoned():
            return f"attempt {attempt} left no trace of a job"
        case e.SubmissionWithdrawn():
            full = ", as its scheduler took no more jobs" if event.message else ""
            return f"attempt {attempt} was taken back before it was submitted{full}"
        case e.StepReset():
            return view.request_text(recorded)
        case e.StepImported() | e.StepRecovered():
            whence = (
                "taken over from Maestro" if isinstance(event, e.StepImported) else "recovered, as the log was lost"
            )
            return f"it was {whence} ({event.message or event.state.name})"
        case _:
            return assert_never(event)
