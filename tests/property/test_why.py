"""Whatever happens: there is a reason for each step at each moment, and it is one that the log proves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy

import hypothesis.strategies as st
from hypothesis import given, settings

from maestro_es.audit.status import reason
from maestro_es.audit.why.explain import why
from maestro_es.core import events as e
from maestro_es.core.decide import decide, submissions
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import Phase, State, StepRecord, StudyStatus
from maestro_es.core.observations import Observations
from maestro_es.core.reducer import apply
from maestro_es.core.step_keys import Need
from tests.property.scheduler import Poller, Scheduler
from tests.property.studies import dice, history, seeds, shapes
from tests.property.test_scheduler import ask
from tests.unit.audit.views import view_at

#: How the sentence about a step that is done goes on after its name, by its state.
ENDS = {
    State.FINISHED: (
        "finished at",
        "finished (noticed at",
        "finished under Maestro",
        "finished in the lost part of the log",
        "was marked as finished at",
    ),
    State.FAILED: ("failed at", "failed under Maestro", "failed in the lost part of the log", "was not run"),
    State.TIMEDOUT: (
        "ran out of time at",
        "ran out of time under Maestro",
        "ran out of time in the lost part of the log",
    ),
    State.CANCELLED: ("was cancelled",),
    State.DRYRUN: ("was not run, because this is a dry run",),
}

#: The same for the others, by phase.
BEGINNINGS = {
    Phase.BLOCKED: ("waits for ",),
    Phase.READY: ("is ready to run",),
    Phase.REQUESTED: ("was requested at ",),
    Phase.SUBMITTED: ("has been running since ", "has been waiting in the queue of ", "was started at "),
}


def check(events: Sequence[e.Recorded], seq: int, graph: MemoryGraph) -> None:
    """Check the answers about all steps as of an event."""
    view = view_at(events, seq, graph=graph)
    requested = set()
    for record in graph.steps():
        answer = why(view, record)
        if "the next tick submits it" in answer.message and answer.message.startswith(f"{record.name} is ready"):
            requested.add(record.number)
        assert "unknown" not in answer.message.lower()
        assert "None" not in answer.message
        found = [recorded.seq for recorded in answer.evidence]
        assert found, answer
        assert found == sorted(set(found))
        assert found[-1] <= seq
        assert answer.evidence == tuple(events[number - 1] for number in found)
        check_words(record, answer.message)
    assert requested == requested_by_a_tick(graph, view.host.cpus, view.now)


def requested_by_a_tick(graph: MemoryGraph, cores: int, now: int) -> set[int]:
    """Return the steps that a tick requests if nothing has happened since the last event."""
    if graph.study.status is not StudyStatus.RUNNING:
        return set()
    copy = deepcopy(graph)
    new_events: list[NewEvent] = []

    def record(more: Iterable[NewEvent]) -> None:
        drawn = list(more)
        new_events.extend(drawn)
        for step, event in drawn:
            apply(copy, e.Recorded(10**6, now, 1, step, event))

    scheduler_down = copy.study.adapter["type"] in copy.study.unreachable
    decide(
        copy,
        Observations(
            now=now, host="h", boot_id="b", token_suffix="s", size=Need(cores), scheduler_down=scheduler_down
        ),
        record,
    )
    return set(submissions(new_events))


def check_words(record: StepRecord, words: str) -> None:
    """Check that a sentence says what the record says."""
    beginnings = ENDS[record.state] if record.phase is Phase.DONE else BEGINNINGS[record.phase]
    assert words.startswith(tuple(f"{record.name} {beginning}" for beginning in beginnings)), (record, words)
    if record.phase is Phase.SUBMITTED:
        assert ("has been running since" in words) == (record.state is State.RUNNING)
        assert f" {record.job_id}" in words
        assert ("its job has been missing" in words) == (record.missed_at is not None)
    if record.phase in (Phase.BLOCKED, Phase.READY) and "cancels it" not in words and "has ended (" not in words:
        assert ("it is held" in words) >= record.held
    if record.phase is Phase.DONE:
        assert reason(record) in words or (record.blocker is not None and " because " in words)


@given(shapes(most=5), seeds, st.sampled_from([0.0, 0.3, 0.6]), st.booleans())
@settings(max_examples=60)
def test_there_is_a_reason_whatever_a_scheduler_does(shape: list[NewEvent], seed: int, trouble: float, meddle: bool):
    poller = Poller([started(), *shape], Scheduler(dice(seed), trouble))
    for _ in range(12):
        poller.tick()
        if meddle and poller.rng.random() < 0.3 and poller.graph.study.open_steps:
            ask(poller)
        poller.scheduler.advance()
    check_all(poller.events, len(shape) + 1)


@given(shapes(most=4), seeds, st.integers(0, 80))
@settings(max_examples=60)
def test_there_is_a_reason_whatever_events_follow_each_other(shape: list[NewEvent], seed: int, length: int):
    new_events = [started(), *history(shape, dice(seed), length)]
    events = [e.Recorded(seq, seq, 1, step, event) for seq, (step, event) in enumerate(new_events, 1)]
    check_all(events, len(shape) + 1)


def started() -> NewEvent:
    return None, e.InvocationStarted(actor="me", host="h", boot_id="b", pid=1, command="tick", version="1")


def check_all(events: Sequence[e.Recorded], after: int) -> None:
    """Check the answers as of each event after the first ones, which make the study."""
    graph = MemoryGraph()
    for recorded in events:
        apply(graph, recorded)
        if recorded.seq >= after:
            check(events, recorded.seq, graph)
