"""Whatever happened and whatever is asked: SQL finds the events that a walk through the log finds."""

from __future__ import annotations

import fnmatch
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings

from maestro_es.audit.history import Query, count_by, history
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Cause
from maestro_es.store.study_log import StudyLog
from tests.property import studies
from tests.property.studies import dice, seeds, shapes
from tools.testbed.logs import create, reopen

CAUSES = {
    e.HardwareFailed: "hardware",
    e.StepTimedOut: "timeout",
    e.StepCancelled: "cancelled",
    e.SubmissionRejected: "rejected",
    e.AttemptAbandoned: "abandoned",
}


def cause(event: e.AnyEvent) -> str | None:
    return event.cause.value if isinstance(event, e.StepFailed) else CAUSES.get(type(event))


def walk(log: StudyLog, query: Query) -> list[tuple[int, int, str | None]]:
    """Return seq, attempt and cause of the events that are wanted, found one by one."""
    attempt: dict[int | None, int] = {}
    jobs: dict[tuple[int | None, int], set[str]] = {}
    found = []
    for recorded in log.events():
        event = recorded.event
        if isinstance(event, e.SubmissionRequested):
            attempt[recorded.step] = event.attempt
        now = attempt.get(recorded.step, 0)
        if isinstance(event, e.JobSubmitted):
            jobs.setdefault((recorded.step, now), set()).add(event.job_id)
        step = log.graph.step(recorded.step) if recorded.step else None
        message = getattr(event, "message", getattr(event, "reason", getattr(event, "final", "")))
        why = cause(event)
        passes = (
            (
                not query.steps
                or (step and any(fnmatch.fnmatch(step.name, p) or step.template == p for p in query.steps))
            )
            and all(
                step and any(p.key == key and value in (p.value, p.label) for p in step.params)
                for key, value in query.params
            )
            and (not query.types or type(event).__name__ in query.types)
            and (not query.causes or (why and any(w == why or fnmatch.fnmatch(message, w) for w in query.causes)))
            and query.attempt in (None, now)
            and query.invocation in (None, recorded.invocation)
        )
        if passes:
            found.append((recorded.seq, recorded.step, now, why))
    if query.job is not None:
        found = [row for row in found if query.job in jobs.get((row[1], row[2]), ())]
    return [(seq, now, why) for seq, _, now, why in found][-(query.limit or 0) :]


def question(log: StudyLog, rng: random.Random) -> Query:
    """Return a question about what is in a log."""
    recorded = rng.choice(list(log.events()))
    steps = list(log.graph.steps())
    step = rng.choice(steps)
    jobs = [r.event.job_id for r in log.events() if isinstance(r.event, e.JobSubmitted)]
    changes: dict[str, Any] = {
        "steps": rng.choice([(step.name,), (step.template, steps[0].name), (f"{step.template}*",), ("*_0",)]),
        "params": rng.choice([[("N", "0")], [("N", "0"), ("N", "N.0")]]),
        "types": (type(recorded.event).__name__, "StepFailed"),
        "causes": rng.choice([("upstream",), ("hardware", "timeout"), (rng.choice(list(Cause)).value,), ("n*",)]),
        "attempt": rng.randrange(1, 4),
        "invocation": recorded.invocation,
        "limit": rng.randrange(1, 30),
        **({"job": rng.choice(jobs)} if jobs else {}),
    }
    kept = rng.sample(sorted(changes), rng.randrange(4))
    return Query(**{name: changes[name] for name in kept})


@given(shapes(most=4), seeds)
@settings(max_examples=30)
def test_sql_finds_what_a_walk_through_the_log_finds(shape: list[NewEvent], seed: int):
    rng = dice(seed)
    new_events = list(studies.history(shape, rng, 120))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "events.db"
        with create(path) as log:
            log.append(new_events[: len(shape)])
        for start in range(len(shape), len(new_events), 20):
            with reopen(path) as log:
                log.append(new_events[start : start + 20])
        with reopen(path) as log:
            for _ in range(15):
                query = question(log, rng)
                expected = walk(log, query)
                assert [entry.recorded.seq for entry in history(log, query)] == [seq for seq, _, _ in expected], query
                counts = Counter((now or None, why) for _, now, why in expected)
                assert count_by(log, query, ["attempt", "cause"]) == counts, query
