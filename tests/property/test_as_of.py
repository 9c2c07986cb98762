"""Whatever happens to whatever study: a moment of its past is what the events up to it add up to."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from maestro_es.audit.as_of import Past, as_of
from maestro_es.audit.status import select_steps, step_data, summarise, summary_data
from maestro_es.audit.times import When
from maestro_es.core.events import NewEvent, Recorded
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import StudyStatus
from maestro_es.core.reducer import apply
from maestro_es.creation.create import create_log, make_directory
from maestro_es.store import past_graph
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tests.property.scheduler import Poller, Scheduler
from tests.property.studies import dice, seeds, shapes
from tools.testbed.logs import tables

SECOND = 1_000_000


def lived(shape: Sequence[NewEvent], seed: int, trouble: float, ticks: int) -> list[Recorded]:
    """Return the events of a study that was ticked so often, or until it had ended."""
    poller = Poller(shape, Scheduler(dice(seed), trouble))
    for _ in range(ticks):
        if poller.graph.study.status is not StudyStatus.RUNNING:
            break
        poller.tick()
        poller.scheduler.advance()
    return poller.events


@contextlib.contextmanager
def in_a_log(events: Sequence[Recorded]) -> Iterator[Session]:
    """Yield a study whose log has these events, a transaction for each tick and a second between two."""
    times = iter(range(SECOND, 10**6 * SECOND, SECOND))
    now = next(times)
    runtime = Runtime(now=lambda: now)
    with tempfile.TemporaryDirectory() as place:
        first, *rest = ([(r.step, r.event) for r in group] for _, group in groupby(events, lambda r: r.recorded_at))
        create_log(make_directory(Path(place) / "s"), first, runtime)
        with Session(Path(place) / "s", runtime) as study:
            for new_events in rest:
                now = next(times)
                study.log.append(new_events)
            yield study


def status(study: Session, past: Past | None = None) -> dict[str, Any]:
    """Return what the command prints with ``--json``."""
    summary = summarise(study, past)
    steps = select_steps(past.graph if past else study.graph)
    return {"study": summary_data(summary), "steps": [step_data(step, summary.at) for step in steps]}


@given(shapes(most=4), seeds, st.sampled_from([0.0, 0.3, 0.6]), st.integers(0, 8))
@settings(max_examples=25)
def test_the_status_at_each_event_is_that_of_the_events_up_to_it(
    shape: list[NewEvent], seed: int, trouble: float, ticks: int
):
    with in_a_log(lived(shape, seed, trouble, ticks)) as study, pytest.MonkeyPatch.context() as patch:
        patch.setattr(past_graph, "_KEEP", 2)  # so that most records go through the file
        prefix = MemoryGraph()
        now = study.runtime.now()
        for recorded in list(study.log.events()):
            apply(prefix, recorded)
            found = as_of(study.log, When(seq=recorded.seq), now)
            assert isinstance(found.graph, MemoryGraph)
            assert tables(found.graph, prefix.study.steps) == tables(prefix, prefix.study.steps)
            assert status(study, found) == status(study, Past(prefix, recorded.seq, recorded.recorded_at))


@given(shapes(most=4), seeds, st.sampled_from([0.0, 0.3, 0.6]), st.integers(0, 8))
@settings(max_examples=25)
def test_a_time_means_the_last_event_that_was_recorded_by_then(
    shape: list[NewEvent], seed: int, trouble: float, ticks: int
):
    with in_a_log(lived(shape, seed, trouble, ticks)) as study:
        events = list(study.log.events())
        for at in {recorded.recorded_at + more for recorded in events for more in (0, SECOND // 2)}:
            found = as_of(study.log, When(at), at)
            assert (found.seq, found.at) == (max(r.seq for r in events if r.recorded_at <= at), at)


@given(shapes(), seeds, st.sampled_from([0.0, 0.3, 0.6]), st.integers(0, 12))
@settings(max_examples=50)
def test_the_status_at_the_last_event_is_that_of_now_but_for_what_no_log_tells(
    shape: list[NewEvent], seed: int, trouble: float, ticks: int
):
    with in_a_log(lived(shape, seed, trouble, ticks)) as study:
        found = status(study, as_of(study.log, When(seq=study.log.head.seq), study.runtime.now()))
        assert found["study"].pop("last_tick") is found["study"].pop("overdue") is None
        now = status(study)
        del now["study"]["last_tick"], now["study"]["overdue"]
        assert found == now
