"""The input of all answers: the state of a study at a moment, and the events that led to it.

`maestro_es.audit.consistent_view` makes this input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from maestro_es.audit.sentences import assert_never
from maestro_es.core import events as e
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, StepRecord
from maestro_es.core.observations import OtherStudy
from maestro_es.core.step_keys import Need


class Explanation(NamedTuple):
    """A reason, and the events that prove it."""

    message: str
    evidence: tuple[e.Recorded, ...] = ()


class Location(NamedTuple):
    """The path of a study, quoted for a shell, this host, and the host of the last tick (empty: unknown)."""

    study: str = ""
    host: str = ""
    ticker: str = ""


UNKNOWN_LOCATION = Location()


@dataclass(frozen=True)
class View:
    """A study at a moment. It has no events that are later than this moment.

    `events_of` returns the events of a step, oldest first. `study_events` returns the events of a type about the whole
    study, newest first. `author` returns the user who wrote an event. `grace` returns the grace time of a step in
    microseconds. `host` says what the host that runs ticks can give to local steps. `now` is the moment. `ticking`
    returns words about the last tick, which are empty for the past. `runs` returns whether a local step is running
    (None: this host can't see the step). If this host can't, `namesake` returns whether another host with the same
    name can see the step. `others` returns the other studies that share this host, or a queue. `show` formats a time.
    """

    graph: Graph
    events_of: Callable[[int], Sequence[e.Recorded]]
    study_events: Callable[[type[e.Event]], Iterable[e.Recorded]]
    author: Callable[[e.Recorded], str]
    grace: Callable[[StepRecord], Micros]
    host: Need
    now: Micros
    show: Callable[[Micros], str]
    ticking: Callable[[], str] = str
    location: Location = UNKNOWN_LOCATION
    runs: Callable[[StepRecord], bool | None] = lambda _: True
    namesake: Callable[[StepRecord], bool] = lambda _: False
    others: Callable[[], Sequence[OtherStudy]] = tuple

    def request_text(self, recorded: e.Recorded) -> str:
        """Return the user, the time and the reason of a request, in words."""
        reason = getattr(recorded.event, "reason", "")
        quoted = f" (reason: {reason})" if reason else ""
        return f"requested by {self.author(recorded)} at {self.show(recorded.recorded_at)}{quoted}"

    def attribution(self, request: Sequence[e.Recorded]) -> str:
        """Return the end of a sentence: the user, the time and the reason of a request (empty: there was none)."""
        return "".join(f", as {self.request_text(recorded)}" for recorded in request)

    def last(self, kind: type[e.Event], fits: Callable[[e.AnyEvent], bool] = lambda _: True) -> tuple[e.Recorded, ...]:
        """Return the newest event of a type about the whole study, if any. Events that `fits` refuses are left out."""
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


#: The events that cause another attempt.
_Turn = (
    e.StepTimedOut | e.HardwareFailed | e.SubmissionRejected | e.AttemptAbandoned | e.SubmissionWithdrawn
    | e.StepReset | e.StepImported | e.StepRecovered
)  # fmt: skip

#: From this many ends on that do not count towards the limit, an answer gives their number.
_MANY = 3

#: An answer contains at most this many of these events as evidence: the latest ones.
_PROOFS = 5


def again(view: View, events: Sequence[e.Recorded]) -> Explanation:
    """Return the reason for the last or the next attempt (empty: it is the first attempt)."""
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
    return Explanation((pending or message) + _uncounted(events), tuple(proofs[-_PROOFS:]))


def _uncounted(events: Sequence[e.Recorded]) -> str:
    """Say how many ends did not count towards the limit, if there were several. Nothing stops such a step."""
    times = counted = 0
    for recorded in events:
        event = recorded.event
        if isinstance(event, e.HardwareFailed):
            times += event.number == counted
            counted = event.number
        elif isinstance(event, e.StepReset):
            times = counted = 0
    return f"; {times} attempts had ends that do not count towards the limit" if times >= _MANY else ""


def _turn(view: View, recorded: e.Recorded, event: _Turn, attempt: int) -> str:
    """Return the outcome of an attempt that caused another attempt."""
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
