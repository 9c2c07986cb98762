"""Stores a study whose steps have all run, a few events each: make_log.py ROOT EVENTS."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import StudyStatus, SubmissionKind
from maestro_es.creation.create import create_log, make_directory
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tools.benches.programs.make_study import new_events

#: The events of a step, of which the first stores it.
EACH = 5

#: How many steps one transaction is about.
BLOCK = 1000


def life(number: int) -> Iterator[NewEvent]:
    """Yield what happens to a step."""
    token = f"{number:08x}-{number}-1"
    yield number, e.SubmissionRequested(attempt=1, token=token, kind=SubmissionKind.FIRST)
    yield number, e.JobSubmitted(token=token, job_id=str(number), host="node1")
    yield number, e.JobStarted(token=token, at=1_750_000_000_000_000 + number, host="node1")
    yield number, e.StepFinished(token=token, at=1_750_000_000_000_000 + 2 * number)


if __name__ == "__main__":
    root, steps = Path(sys.argv[1]), max(int(sys.argv[2]) // EACH, 1)
    create_log(make_directory(root), new_events(root, steps, "wide", steps, 0), Runtime())
    with Session(root) as study:
        for first in range(1, steps + 1, BLOCK):
            numbers = range(first, min(first + BLOCK, steps + 1))
            study.log.append(new_event for number in numbers for new_event in life(number))
        study.log.append([(None, e.StudyCompleted(status=StudyStatus.FINISHED))])
