"""Makes a view of an open study, now or at a past moment, for the questions of `maestro_es.audit.why`.

That package decides the text of an answer.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from maestro_es.adapters.local import is_namesakes
from maestro_es.audit.as_of import Past
from maestro_es.audit.history import started_by
from maestro_es.audit.status import summarise
from maestro_es.audit.times import show_ago
from maestro_es.audit.why.context import Location, View
from maestro_es.core.events import Recorded
from maestro_es.core.graph import Graph
from maestro_es.core.model import JobState, Micros, StepRecord
from maestro_es.core.step_keys import Need
from maestro_es.errors import Unreachable
from maestro_es.study import last_tick
from maestro_es.study.session import Session

_Found = TypeVar("_Found")


def consistent_view(
    study: Session, past: Past | None, show: Callable[[Micros], str], ask: Callable[[View], _Found]
) -> _Found:
    """Return the answer to a question about a study, now or in its past.

    The answer uses the data of one moment only.
    """
    if past:
        return ask(_view(study, past, show))
    return study.log.at_once(lambda: ask(_view(study, None, show)))


def _view(study: Session, past: Past | None, show: Callable[[Micros], str]) -> View:
    log = study.log
    seq = past.seq if past else log.head.seq

    @cache
    def started(invocation: int) -> str:
        event = started_by(log, invocation)
        return f"{event.actor}@{event.host}" if event else "somebody"

    def grace(step: StepRecord) -> Micros:
        return round(study.adapters.of(step).grace_seconds * 1_000_000)

    def events_of(number: int) -> list[Recorded]:
        return [recorded for recorded in log.events_of(number) if recorded.seq <= seq]

    return View(
        graph=past.graph if past else study.graph,
        events_of=events_of,
        study_events=lambda kind: log.study_events(kind, seq),
        author=lambda recorded: started(recorded.invocation),
        grace=grace,
        host=_room(study, past.graph if past else study.graph),
        now=past.at if past else study.runtime.now(),
        show=show,
        ticking=str if past else lambda: _ticking(study),
        location=_location(study),
        runs=lambda step: True if past else _runs(study, step),
        namesake=lambda step: is_namesakes(step, study.runtime.host),
        others=tuple if past else study.others,
    )


def _room(study: Session, graph: Graph) -> Need:
    return study.runtime.host.size.with_slots(graph.study.settings.local_slots)


def _location(study: Session) -> Location:
    noted = last_tick.read(study.dir)
    return Location(shlex.quote(str(study.dir.root)), study.runtime.host.name, noted.host if noted else "")


def _runs(study: Session, step: StepRecord) -> bool | None:
    """Return whether a local step is running (None: this host can't see it).

    If there is no answer, the step counts as running.
    """
    try:
        seen = study.ask_host(step)
    except Unreachable:
        return True
    return None if seen is None else seen.state is JobState.RUNNING


def _ticking(study: Session) -> str:
    """Return the end of a sentence that says when the last tick was, and whether ticks seem to have stopped."""
    summary = summarise(study)
    if summary.last_tick is None:
        return ", but there has been none yet"
    last = f"the last tick was {show_ago(summary.last_tick, summary.at)}"
    return f", but {last}: ticks seem to have stopped" if summary.overdue else f"; {last}"
