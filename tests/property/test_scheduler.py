"""A study on a scheduler that does everything wrong still ends, within its limits, and starts nothing twice."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from maestro_es.core import events as e
from maestro_es.core import requests
from maestro_es.core.decide import final_status
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Phase, State, StudyStatus
from maestro_es.core.reducer import replay
from maestro_es.errors import RequestRefused
from tests.property.scheduler import Poller, Scheduler
from tests.property.studies import dice, seeds, shapes

ENDS = {State.FINISHED, State.FAILED, State.TIMEDOUT, State.CANCELLED}


def run(poller: Poller, *, meddle: bool = False) -> None:
    """Tick until the study has ended, checking all the while."""
    for _ in range(2_000):
        poller.tick()
        poller.check_runs()
        if poller.graph.study.status is not StudyStatus.RUNNING:
            return
        if meddle and poller.rng.random() < 0.1:
            ask(poller)
        poller.scheduler.advance()
        poller.check_runs()
    pytest.fail(f"the study does not end: {[step for step in poller.graph.steps() if step.phase is not Phase.DONE]}")


def ask(poller: Poller) -> None:
    """Do what a user may do at any time."""
    steps = list(poller.graph.steps())
    wish = poller.rng.choice(["pause", "resume", "resume", "resume", "cancel", "throttle"])
    try:
        match wish:
            case "pause":
                poller.record(requests.pause(poller.graph))
            case "resume":
                poller.record(requests.resume(poller.graph))
            case "cancel":
                poller.record(requests.cancel(poller.graph, [poller.rng.choice(steps).name]))
            case _:
                poller.record(requests.update(poller.graph, {"rlimit": poller.rng.randrange(3)}))
    except RequestRefused:
        pass


def check_end(poller: Poller) -> None:
    """Check what must hold of a study that has ended."""
    graph = poller.graph
    for step in graph.steps():
        assert step.phase is Phase.DONE
        assert step.state in ENDS
        if step.state is State.FINISHED:
            ran = [job for job in poller.scheduler.of(step.token) if job.token in poller.scheduler.starts]
            assert ran, f"{step.name} has finished and never ran"
        if step.started_at is not None or step.state is State.FINISHED:
            assert all(graph.step(parent).state is State.FINISHED for parent in graph.parents(step.number))
    assert graph.study.status is final_status(graph.study.states)
    again = replay(poller.events)
    assert again.study == graph.study
    assert list(again.steps()) == list(graph.steps())


@given(shapes(), seeds, st.sampled_from([0.0, 0.2, 0.5, 0.8]))
@settings(max_examples=150)
def test_a_study_ends_within_its_limits_and_starts_nothing_twice(shape: list[NewEvent], seed: int, trouble: float):
    poller = Poller(shape, Scheduler(dice(seed), trouble))

    run(poller)

    check_end(poller)
    if not trouble:
        assert {step.state for step in poller.graph.steps()} == {State.FINISHED}
        assert len(poller.scheduler.starts) == poller.graph.study.steps
        assert not [event for event in poller.events if isinstance(event.event, e.AttemptAbandoned)]


@given(shapes(), seeds, st.sampled_from([0.0, 0.3, 0.6]))
@settings(max_examples=100)
def test_a_study_that_its_user_meddles_with_ends_too(shape: list[NewEvent], seed: int, trouble: float):
    poller = Poller(shape, Scheduler(dice(seed), trouble))

    run(poller, meddle=True)

    check_end(poller)


@given(shapes(), seeds, st.sampled_from([0.0, 0.4, 0.8]), st.integers(0, 6))
@settings(max_examples=100)
def test_a_study_that_is_cancelled_at_any_time_ends(shape: list[NewEvent], seed: int, trouble: float, ticks: int):
    poller = Poller(shape, Scheduler(dice(seed), trouble))
    for _ in range(ticks):
        poller.tick()
        poller.scheduler.advance()
    if poller.graph.study.status is StudyStatus.RUNNING:
        poller.record(requests.cancel(poller.graph))

    run(poller)

    check_end(poller)
    assert poller.scheduler.alive() == []
