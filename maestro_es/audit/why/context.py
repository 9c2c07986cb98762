"""What every answer rests on: the state of a study at a moment, the events that led to it, and the attempts before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from maestro_es.audit.sentences import assert_never
from maestro_es.core import events as e
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, StepRecord


class Explanation(NamedTuple):
    """Why something is as it is, and the events that prove it."""

    message: str
    evidence: tuple[e.Recorded, ...] = ()


class Location(NamedTuple):
    """Where a study is, as a word of a command; our host, and that of the last tick, if it is known."""

    study: str = ""
    host: str = ""
    ticker: str = ""


UNKNOWN_LOCATION = Location()


@dataclass(frozen=True)
class View:
    """A study at a moment; no event that it gives is later.

    `events_of` gives the events of a step, oldest first; `study_events` those of a type about the whole study, newest
    first; `author` who wrote an event; `grace` how long an attempt is looked for. `cores` is what the host that ticks
    has, `now` the moment. `ticking` says whether ticks come; of the past it is empty. `location` is where the study
    is, and we are; `runs` whether a local step runs, None if our host can't see that, `namesake` whether then another
    host of our name can. `show` writes a time.
    """

    graph: Graph
    events_of: Callable[[int], Sequence[e.Recorded]]
    study_events: Callable[[type[e.Event]], Iterable[e.Recorded]]
    author: Callable[[e.Recorded], str]
    grace: Callable[[StepRecord], Micros]
    cores: int
    now: Micros
    show: Callable[[Micros], str]
    ticking: Callable[[], str] = str
    location: Location = UNKNOWN_LOCATION
    runs: Callable[[StepRecord], bool | None] = lambda _: True
    namesake: Callable[[StepRecord], bool] = lambda _: False

    def request_text(self, recorded: e.Recorded) -> str:
        """Return who asked for something, when, and the reason that was given."""
        reason = getattr(recorded.event, "reason", "")
        quoted = f" (reason: {reason})" if reason else ""
        return f"requested by {self.author(recorded)} at {self.show(recorded.recorded_at)}{quoted}"

    def attribution(self, request: Sequence[e.Recorded]) -> str:
        """Return who asked for it, as words that end a sentence; none if nobody has."""
        return "".join(f", as {self.request_text(recorded)}" for recorded in request)

    def last(self, kind: type[e.Event], fits: Callable[[e.AnyEvent], bool] = lambda _: True) -> tuple[e.Recorded, ...]:
        """Return the newest event of a type about the whole study that fits; none if there is none."""
        for recorded in self.study_events(kind):
            if fits(recorded.event):
                return (recorded,)
        return ()


def cancel_of(view: View, number: int | None = None, upto: int | None = None) -> tuple[e.Recorded, ...]:
    """Return the newest request to cancel a step (None: the whole study), up to an event."""
    for recorded in view.study_events(e.CancelRequested):
        event = recorded.event
        meant = isinstance(event, e.CancelRequested) and (event.steps is None or number in event.steps)
        if meant and (upto is None or recorded.seq <= upto):
            return (recorded,)
    return ()


#: What makes a step be tried once more.
_Turn = (
    e.StepTimedOut | e.HardwareFailed | e.SubmissionRejected | e.AttemptAbandoned | e.SubmissionWithdrawn
    | e.StepReset | e.StepImported | e.StepRecovered
)  # fmt: skip

#: So many of the latest turns are evidence.
_PROOFS = 5


def again(view: View, events: Sequence[e.Recorded]) -> Explanation:
    """Return why there is, or is to be, an attempt after the one before; no words if there was only one."""
    attempt = 0
    message = ""
    pending = ""
    proofs: list[e.Recorded] = []
    for recorded in events:
        event = recorded.event
        if isinstance(event, e.SubmissionRequested):
            attempt, message, pending = event.attempt, pending, ""
        elif isinstance(event, _Turn):
            pending = _turn(view, recorded, event, attempt)
            proofs.append(recorded)
        elif isinstance(event, e.StepRestarted):
            proofs.append(recorded)
    return Explanation(pending or message, tuple(proofs[-_PROOFS:]))


def _turn(view: View, recorded: e.Recorded, event: _Turn, attempt: int) -> str:
    """Return what became of an attempt, so that another one follows."""
    match event:
        case e.StepTimedOut():
            return f"attempt {attempt} ran out of time"
        case e.HardwareFailed():
            return f"attempt {attempt} had a hardware failure ({event.reason})"
        case e.SubmissionRejected():
            return f"the submission of attempt {attempt} was refused: {event.message}"
        case e.AttemptAbandoned():
            return f"attempt {attempt} left no trace of a job"
        case e.SubmissionWithdrawn():
            full = ", because the scheduler's queue was full" if event.message else ""
            return f"attempt {attempt} was withdrawn before it was submitted{full}"
        case e.StepReset():
            return f"a rerun was {view.request_text(recorded)}"
        case e.StepImported() | e.StepRecovered():
            imported = isinstance(event, e.StepImported)
            how = "taken over from Maestro" if imported else "recovered after the log was lost"
            return f"it was {how} ({event.message or event.state.name})"
        case _:
            return assert_never(event)
