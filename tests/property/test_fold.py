"""Whatever happens to whatever study: the live state is what a replay gives, at every event."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given, settings

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph, MemoryGraph
from maestro_es.core.model import Phase, State
from maestro_es.core.reducer import apply
from maestro_es.store.step_rows import FIELDS
from maestro_es.store.study_log import StudyLog
from maestro_es.store.verification import verify
from tests.property.studies import dice, history, seeds, shapes
from tools.testbed.logs import IDENTITY, Clock, create, reopen, same, tables

RELEASED = (State.FINISHED, State.DRYRUN)


def check(graph: Graph) -> None:
    """Check what must hold of any state."""
    steps = list(graph.steps())
    study = graph.study
    assert study.steps == len(steps)
    assert study.open_steps == sum(step.phase is not Phase.DONE for step in steps)
    assert study.states == dict(Counter(step.state.name for step in steps))
    held = [step.number for step in steps if step.held and step.phase is not Phase.DONE]
    assert [step.number for step in graph.held()] == held
    ready = [step.number for scheduled in (False, True) for step in graph.ready(scheduled=scheduled, limit=99)]
    able = [step for step in steps if step.phase is Phase.READY and not step.held and not step.cancelling]
    line = sorted(
        able, key=lambda step: (step.scheduled, step.scheduled and step.number <= study.refused, step.number)
    )
    assert ready == [step.number for step in line]
    unfinished = Counter(step.template for step in steps if step.state not in RELEASED)
    for step in steps:
        parents = [graph.step(number) for number in graph.parents(step.number)]
        unmet = sum(parent.state not in RELEASED for parent in parents)
        unmet += sum(unfinished[template] > 0 for template in graph.funnels(step.number))
        assert step.unmet == unmet, step
        assert graph.unfinished(step.template) == unfinished[step.template]
        if step.phase is Phase.BLOCKED:
            assert step.unmet > 0
        if step.phase in (Phase.READY, Phase.REQUESTED, Phase.SUBMITTED):
            assert step.unmet == 0, step


@given(shapes(), seeds, st.integers(0, 120))
@settings(max_examples=60)
def test_counts_and_phases_are_those_of_the_steps_after_every_event(shape: list[NewEvent], seed: int, length: int):
    graph = MemoryGraph()
    for made, (step, event) in enumerate(history(shape, dice(seed), length), 1):
        apply(graph, e.Recorded(made, made, 1, step, event))
        if made >= len(shape):
            check(graph)


@given(shapes(most=4), seeds, st.integers(0, 40), st.booleans())
@settings(max_examples=25)
def test_the_live_state_is_a_replay_after_every_append(shape: list[NewEvent], seed: int, length: int, reopened: bool):
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "events.db"
        new_events = list(history(shape, dice(seed), length))
        with create(path) as log:
            log.append(new_events[: len(shape)])
            assert same(log)
            rest = new_events[len(shape) :]
            for new_event in rest[: len(rest) // 2]:
                log.append([new_event])
                assert same(log), new_event
            if not reopened:
                append_each(log, rest[len(rest) // 2 :])
        if reopened:
            with reopen(path) as log:
                append_each(log, rest[len(rest) // 2 :])
        with StudyLog.open(path, Clock(), IDENTITY) as log:
            check(log.graph)
            assert verify(log).events == log.head.seq
            before = tables(log.graph, log.graph.study.steps)
            log.rebuild()
            assert tables(log.graph, log.graph.study.steps) == before


def append_each(log: StudyLog, new_events: list[NewEvent]) -> None:
    for new_event in new_events:
        log.append([new_event])
        assert same(log), new_event


@given(shapes(most=4), seeds, st.integers(0, 40), st.integers(1, 7))
@settings(max_examples=25)
def test_the_state_at_an_event_is_that_of_the_events_up_to_it(
    shape: list[NewEvent], seed: int, length: int, size: int
):
    with tempfile.TemporaryDirectory() as place, create(Path(place) / "events.db") as log:
        new_events = list(history(shape, dice(seed), length))
        for start in range(0, len(new_events), size):
            log.append(new_events[start : start + size])

        prefix = MemoryGraph()
        for recorded in log.events():
            apply(prefix, recorded)
            count = prefix.study.steps
            assert tables(log.replay(upto=recorded.seq), count) == tables(prefix, count)
        assert tables(log.graph, prefix.study.steps) == tables(prefix, prefix.study.steps)


@given(shapes(most=5), seeds, st.integers(1, 60), st.integers(2, 9))
@settings(max_examples=25)
def test_how_events_are_grouped_into_transactions_makes_no_difference(
    shape: list[NewEvent], seed: int, length: int, size: int
):
    new_events = list(history(shape, dice(seed), length))
    with (
        tempfile.TemporaryDirectory() as place,
        create(Path(place) / "one.db") as one,
        create(Path(place) / "many.db") as many,
    ):
        one.append(new_events)
        for start in range(0, len(new_events), size):
            many.append(new_events[start : start + size])
        count = one.graph.study.steps

        # The times differ, as a transaction has one; nothing else does.
        assert without_times(tables(one.graph, count)) == without_times(tables(many.graph, count))
        assert verify(one).events == verify(many).events == len(new_events) + 1


def without_times(found: tuple[object, ...]) -> str:
    study, steps, *rest = found
    assert isinstance(steps, list)
    assert isinstance(study, dict)
    times = {FIELDS.index(name) for name in ("requested_at", "submitted_at", "ended_at")}
    plain = [[value is None if index in times else value for index, value in enumerate(row)] for row in steps]
    refusal = {**(study["refusal"] or {}), "at": None}
    noted = dict.fromkeys(("ticked_from", "written_at", "boots"))
    return repr(({**study, **noted, "refusal": refusal}, plain, rest))
