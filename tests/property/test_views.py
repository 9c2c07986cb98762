"""Whatever happens to whatever study: the views in SQL say what the program says."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings

from maestro_es.audit.attempts import ENDS, attempts
from maestro_es.audit.times import iso
from maestro_es.audit.usage import usage_data
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Micros, StepRecord
from maestro_es.core.usage import Usage
from maestro_es.store.study_log import StudyLog
from tests.property.studies import dice, history, seeds, shapes
from tools.testbed.logs import IDENTITY, create, reopen

#: The outcome of an attempt by the event that ends it.
OUTCOMES = {
    e.StepFinished: "finished",
    e.StepFailed: "failed",
    e.StepTimedOut: "timed out",
    e.HardwareFailed: "hardware failed",
    e.StepCancelled: "cancelled",
    e.SubmissionRejected: "rejected",
    e.AttemptAbandoned: "abandoned",
    e.SubmissionWithdrawn: "withdrawn",
    e.StepRecovered: "recovered",
}


def test_the_views_know_every_event_that_ends_an_attempt():
    assert set(OUTCOMES) == set(ENDS)


@given(shapes(most=5), seeds)
@settings(max_examples=25)
def test_the_views_say_what_the_program_says(shape: list[NewEvent], seed: int):
    rng = dice(seed)
    new_events = list(history(shape, rng, 150))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "events.db"
        with create(path) as log:
            log.append(new_events[: len(shape)])
        with reopen(path) as log, reopen(path) as other:
            for new_event in new_events[len(shape) :]:
                writer = rng.choice([log, other])
                writer.refresh()
                writer.append([new_event])
            log.refresh()
            for step in log.graph.steps():
                check_attempts(log, step)
                check_step(log, step)
            check_events(log)


def rows(log: StudyLog, sql: str, *values: object) -> list[dict[str, Any]]:
    """Return rows by the names of their columns, as a user's own connection sees them."""
    with contextlib.closing(sqlite3.connect(log.path)) as connection:
        found = connection.execute(sql, values)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found]


def seconds(start: Micros | None, end: Micros | None) -> float | None:
    return None if start is None or end is None else max(end - start, 0) / 1e6


def check_attempts(log: StudyLog, step: StepRecord) -> None:
    events = log.events_of(step.number)
    seen = rows(log, "SELECT * FROM v_attempt WHERE step = ? ORDER BY number", step.name)
    expected = [
        {
            "step": step.name,
            "template": step.template,
            "number": attempt.number,
            "kind": attempt.kind,
            "token": attempt.token,
            "job_id": attempt.job_id or None,
            "adopted": int(attempt.adopted),
            "host": attempt.host or None,
            "requested": iso(attempt.requested_at),
            "submitted": iso(attempt.submitted_at),
            "started": iso(attempt.started_at),
            "ended": iso(attempt.ended_at),
            "queue_seconds": seconds(
                attempt.requested_at if attempt.adopted else attempt.submitted_at, attempt.started_at
            ),
            "run_seconds": seconds(attempt.started_at, attempt.ended_at),
            "exit_code": attempt.exit_code,
            **(usage_data(attempt.usage or Usage(), attempt.started_at, attempt.ended_at) or {}),
            **ending(events, attempt.token),
        }
        for attempt in attempts(events)
    ]
    assert seen == expected
    jobs = [row for row in expected if row["job_id"]]
    assert rows(log, "SELECT * FROM v_wait WHERE step = ? ORDER BY number", step.name) == [
        {name: row[name] for name in WAITS} for row in jobs
    ]


WAITS = ("step", "template", "number", "job_id", "host", "submitted", "queue_seconds", "run_seconds", "outcome")


def ending(events: list[e.Recorded], token: str) -> dict[str, object]:
    """Return how and where an attempt ends: by the first event after its request that ends one."""
    tokens = [getattr(recorded.event, "token", "") for recorded in events]
    first = tokens.index(token)
    ends = (recorded for recorded in events[first:] if type(recorded.event) in OUTCOMES)
    end = next(ends, None)
    outcome = OUTCOMES[type(end.event)] if end else "in flight"
    return {"outcome": outcome, "seq": events[first].seq, "last_seq": end and end.seq}


def check_step(log: StudyLog, step: StepRecord) -> None:
    [seen] = rows(log, "SELECT * FROM v_step WHERE name = ?", step.name)
    assert json.loads(seen.pop("params")) == {param.key: param.value for param in step.params}
    assert seen == {
        "number": step.number,
        "name": step.name,
        "template": step.template,
        "state": step.state.name,
        "phase": step.phase.name,
        "held": int(step.held),
        "skipped": int(step.skipped),
        "doubted": int(step.doubted),
        "job_id": step.job_id or None,
        "host": step.job_host or None,
        "workspace": step.workspace,
        "submitted": iso(step.submitted_at),
        "started": iso(step.started_at),
        "ended": iso(step.ended_at),
        "attempts": step.attempt,
        "restarts": step.restarts,
        "hardware_failures": step.hardware_failures,
        "exit_code": step.exit_code,
        "cause": step.cause and step.cause.value,
        "message": step.message or None,
    }


def check_events(log: StudyLog) -> None:
    events = list(log.events())
    attempt: dict[int | None, int] = {}
    for recorded, row, raw in zip(events, rows(log, "SELECT * FROM v_event ORDER BY seq"), log.rows(), strict=True):
        if isinstance(recorded.event, e.SubmissionRequested):
            attempt[recorded.step] = recorded.event.attempt
        step = log.graph.step(recorded.step) if recorded.step else None
        assert row == {
            "seq": recorded.seq,
            "time": iso(recorded.recorded_at),
            "actor": IDENTITY.actor,
            "host": IDENTITY.host,
            "command": IDENTITY.command,
            "invocation": recorded.invocation,
            "step": step and step.name,
            "template": step and step.template,
            "attempt": attempt.get(recorded.step),
            "type": type(recorded.event).__name__,
            "data": raw[6],
        }
    counts = Counter(recorded.invocation for recorded in events)
    last = {recorded.invocation: recorded.seq for recorded in events}
    seen = rows(log, "SELECT invocation, first_seq, last_seq, events FROM v_invocation ORDER BY invocation")
    assert seen == [
        {"invocation": seq, "first_seq": seq, "last_seq": last[seq], "events": counts[seq]} for seq in sorted(counts)
    ]
