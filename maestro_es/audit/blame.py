"""Collects the decisions of users about a step, that is, the events of all requests that could affect it.

`maestro_es.audit.sentences` has the sentences about events. `maestro_es.cli.blame` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from maestro_es.audit.history import Entry, entries, entry_data, started_by
from maestro_es.core import events as e
from maestro_es.core.model import Phase, StepRecord
from maestro_es.store.study_log import StudyLog

#: The events of decisions about a step.
_OF_STEP = (
    e.StepImported, e.StepReset, e.StepSkipped, e.StepHeld, e.StepReleased, e.ConnectionAdded, e.ConnectionRemoved,
)  # fmt: skip

#: The events of decisions about the whole study.
_OF_STUDY = (
    e.StudyCreated, e.SettingsChanged, e.StudyPaused, e.StudyResumed, e.CancelRequested, e.StudyReopened,
)  # fmt: skip


class Decision(NamedTuple):
    """A user's request, with the host and the command from which it came."""

    entry: Entry
    host: str
    command: str


def blame(log: StudyLog, step: StepRecord) -> list[Decision]:
    """Return the decisions about a step, oldest first.

    Decisions about the study are included up to the end of the step.
    """
    decisions = entries(log, sorted(_decisions(log, step), key=lambda recorded: recorded.seq))
    started = {entry.recorded.invocation: started_by(log, entry.recorded.invocation) for entry in decisions}
    return [
        Decision(entry, by.host if by else "", by.command if by else "")
        for entry in decisions
        for by in [started[entry.recorded.invocation]]
    ]


def decision_data(decision: Decision) -> dict[str, Any]:
    """Return a decision for JSON. It has the keys of an event in `history`, and host, command and reason."""
    reason = getattr(decision.entry.recorded.event, "reason", "")
    return {**entry_data(decision.entry), "host": decision.host, "command": decision.command, "reason": reason}


def _decisions(log: StudyLog, step: StepRecord) -> Iterator[e.Recorded]:
    events = log.events_of(step.number)
    yield from (recorded for recorded in events if isinstance(recorded.event, _OF_STEP))
    last = events[-1].seq if step.phase is Phase.DONE else log.head.seq
    changes = sorted(log.study_events(e.EnvironmentRecorded, last), key=lambda recorded: recorded.seq)
    yield from changes[1:]  # the first change is a part of the creation
    for kind in _OF_STUDY:
        for recorded in log.study_events(kind, last):
            if not isinstance(recorded.event, e.CancelRequested) or _means(recorded.event, step):
                yield recorded


def _means(event: e.CancelRequested, step: StepRecord) -> bool:
    """Return whether a request to cancel applies to a step.

    It may name all steps, this step, or the step that ended it.
    """
    return event.steps is None or step.number in event.steps or step.blocker in event.steps
