"""Questions to a long log."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import StudyStatus, SubmissionKind
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tools.benches.studies import make_study
from tools.benches.timing import MAESTRO_ES, RUNS, call, median

#: The question that has a goal.
ONE_STEP = ("a_77777",)


def bench(place: Path) -> None:
    """Questions to a log of a million events: 125,000 steps that were submitted, timed out, restarted and finished."""
    steps = 125_000
    runtime = Runtime()
    make_study(place / "log", steps, runtime)
    with Session(place / "log", runtime) as study:
        for first in range(1, steps + 1, 500):
            study.log.append(new_event for number in range(first, first + 500) for new_event in lifetime(number))
        study.log.append([(None, e.StudyCompleted(status=StudyStatus.FINISHED))])
        events = study.log.head.seq
    once = partial(call, *MAESTRO_ES, "tick", place / "log")
    once()
    bare = median(once, 21)
    print(f"log     {events} events: a tick with nothing to do {bare * 1e3:.0f} ms")
    for words in (ONE_STEP, ("--type", "Study*"), ("--job", "77777"), ("--count-by", "type")):
        ours = median(partial(call, *MAESTRO_ES, "history", place / "log", *words), 21 if words == ONE_STEP else RUNS)
        goal = " (goal 1.5)" if words == ONE_STEP else ""
        print(f"log     history {' '.join(words)}: {ours * 1e3:.0f} ms: ratio {ours / bare:.2f}{goal}")


def lifetime(number: int) -> list[NewEvent]:
    """Return the events of a step from its first submission to its end."""
    first, second = f"{number}-1", f"{number}-2"
    told: list[e.AnyEvent] = [
        e.SubmissionRequested(attempt=1, token=first, kind=SubmissionKind.FIRST),
        e.JobSubmitted(token=first, job_id=str(number), host="login1"),
        e.StepTimedOut(token=first, at=number),
        e.StepRestarted(number=1, limit=1),
        e.SubmissionRequested(attempt=2, token=second, kind=SubmissionKind.RESTART),
        e.JobSubmitted(token=second, job_id=str(number + 1_000_000), host="login1"),
        e.StepFinished(token=second, at=number),
    ]
    return [(number, event) for event in told]
