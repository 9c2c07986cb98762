"""A moment of the past, in a long log."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import SubmissionKind
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tools.benches.studies import make_study
from tools.benches.timing import MAESTRO_ES, call, median


def live(study: Session, numbers: Sequence[int]) -> None:
    """Record that steps run and finish."""
    now = study.runtime.now()
    for start in range(0, len(numbers), 1000):
        new_events: list[NewEvent] = []
        for number in numbers[start : start + 1000]:
            token = f"t-{number}"
            new_events += [
                (number, e.SubmissionRequested(attempt=1, token=token, kind=SubmissionKind.FIRST)),
                (number, e.JobSubmitted(token=token, job_id=str(number), host="node1")),
                (number, e.JobStarted(token=token, at=now, host="node1")),
                (number, e.StepFinished(token=token, at=now)),
            ]
        study.log.append(new_events)


def bench(place: Path) -> None:
    """A moment of the past of a study whose log has a million events: 200,000 steps that have all finished."""
    root = place / "past"
    make_study(root, 200_000, Runtime())
    with Session(root) as study:
        live(study, range(1, 200_001))
        events = study.log.head.seq
        fold = median(study.log.replay, 3)
    print(f"replay  {events} events folded in memory: {fold:.2f} s")
    for words in (["--summary"], ["--json"]):
        then = median(partial(call, *MAESTRO_ES, "status", root, *words, "--at", str(events)), 3)
        now = median(partial(call, *MAESTRO_ES, "status", root, *words), 3)
        ratio = f"ratio {then / (fold + now):.2f} (goal 1.5)"
        print(f"replay  status {words[0]} --at: {then:.2f} s, of now {now:.2f} s: to folding and that {ratio}")
