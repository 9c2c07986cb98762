"""Questions to a study in memory, as it was after any of its events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from maestro_es.audit.why.context import Location, View
from maestro_es.audit.why.explain import why
from maestro_es.core import events as e
from maestro_es.core.graph import Graph
from maestro_es.core.model import Cause
from maestro_es.core.reducer import replay
from maestro_es.core.step_keys import Need
from tests.unit.core.making import Study

#: The grace time of an attempt, in microseconds.
GRACE = 60_000


def view_at(
    events: Sequence[e.Recorded],
    seq: int,
    *,
    graph: Graph | None = None,
    ticking: str = "",
    host: str = "",
    ticker: str = "",
    runs: bool = True,
) -> View:
    """Return a view of the state after event `seq`. It shows times in milliseconds."""
    known = events[:seq]
    if graph is None:
        graph = replay(known)

    def author(recorded: e.Recorded) -> str:
        started = events[recorded.invocation - 1].event
        return f"{started.actor}@{started.host}" if isinstance(started, e.InvocationStarted) else "somebody"

    return View(
        graph=graph,
        events_of=lambda number: [recorded for recorded in known if recorded.step == number],
        study_events=lambda kind: [
            recorded for recorded in reversed(known) if recorded.step is None and isinstance(recorded.event, kind)
        ],
        author=author,
        grace=lambda _: GRACE,
        host=Need(4),
        now=known[-1].recorded_at,
        show=lambda at: f"{at // 1000}s",
        ticking=lambda: ticking,
        location=Location("/study", host, ticker),
        runs=lambda record: None if record.job_host not in ("", host) else runs,
    )


def asked(
    study: Study, number: int, ticking: str = "", host: str = "node1", *, ticker: str = "", runs: bool = True
) -> tuple[str, list[str]]:
    """Return the sentence about a step, and the types of the events that prove it."""
    view = view_at(study.events, len(study.events), ticking=ticking, host=host, ticker=ticker, runs=runs)
    answer = why(view, study.step(number))
    return answer.message, [type(recorded.event).__name__ for recorded in answer.evidence]


def scheduled(**settings: Any) -> Study:
    return Study({"type": "slurm"}, **settings)


def two(study: Study | None = None, **fields: Any) -> Study:
    """Return a study with a step `a`, and a step `b` that depends on it: events 1 to 6."""
    study = study or Study()
    study.add("a", **fields)
    study.add("b", parents=(1,), **fields)
    return study


def failed(study: Study, number: int, cause: Cause, message: str, **more: Any) -> None:
    study.do(e.StepFailed(at=9_000, cause=cause, message=message, **more), number)


def once_more(study: Study, *events: Callable[[str], e.AnyEvent]) -> Study:
    """Start the first step, record these events about it, and start it again."""
    token = study.start(1)
    for make in events:
        study.do(make(token), 1)
    study.start(1, at=20_000)
    return study
