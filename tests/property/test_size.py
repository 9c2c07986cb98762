"""Studies of 100,000 steps: no recursion, nothing quadratic, and in a file too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.decide import decide
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import Cause, Phase, Settings, State, StudyStatus, SubmissionKind
from maestro_es.core.observations import Observations
from maestro_es.core.reducer import apply
from maestro_es.core.step_keys import Need
from maestro_es.store.verification import verify
from tools.testbed.logs import attempt, create

CHAIN = 100_000
WIDE = 10_000


def created() -> Iterator[NewEvent]:
    yield None, e.StudyCreated(study_id="cafe0123", root="/s", settings=Settings(local_slots=WIDE))
    for name in ("link", "sim", "post"):
        yield None, e.StepTemplateAdded(name=name, description="", run={"cmd": "run"})


def chain(length: int) -> Iterator[NewEvent]:
    yield from created()
    for number in range(1, length + 1):
        parents = (number - 1,) if number > 1 else ()
        yield number, e.StepAdded(name=f"s{number}", template="link", workspace=f"s/{number}", parents=parents)


def funnel(width: int) -> Iterator[NewEvent]:
    """Yield as many steps as `width`, and as many again each of which waits for all of these."""
    yield from created()
    for number in range(1, width + 1):
        yield number, e.StepAdded(name=f"sim_{number}", template="sim", workspace=f"s/{number}")
    for number in range(width + 1, 2 * width + 1):
        yield number, e.StepAdded(name=f"post_{number}", template="post", workspace=f"p/{number}", funnels=("sim",))


def folded(new_events: Iterator[NewEvent]) -> MemoryGraph:
    graph = MemoryGraph()
    for seq, (step, event) in enumerate(new_events, 1):
        apply(graph, e.Recorded(seq, seq, 1, step, event))
    return graph


def finished(number: int) -> Iterator[NewEvent]:
    yield from attempt(number, 1)
    yield number, e.StepFinished(token=f"t{number}-1", at=1)


def failed(number: int) -> NewEvent:
    return number, e.StepFailed(at=1, cause=Cause.EXIT_CODE, message="exit code 1", exit_code=1)


def look() -> Observations:
    return Observations(now=5, host="h", boot_id="b", token_suffix="salt", size=Need(2))


def test_a_chain_of_100_000_steps_runs_to_its_end_in_memory():
    graph = folded(chain(CHAIN))
    for number in range(1, CHAIN + 1):
        for step, event in finished(number):
            apply(graph, e.Recorded(1, 1, 1, step, event))

    assert graph.study.states == {"FINISHED": CHAIN}
    assert graph.study.open_steps == 0


def test_the_failure_of_the_first_of_100_000_steps_reaches_the_last():
    graph = folded(chain(CHAIN))

    def record(new_events: Iterable[NewEvent]) -> None:
        for step, event in new_events:
            apply(graph, e.Recorded(1, 1, 1, step, event))

    record([(None, e.CancelRequested(steps=(1,)))])
    decide(graph, look(), record)
    while graph.study.cascading:
        decide(graph, look(), record)

    assert graph.study.states == {"CANCELLED": CHAIN}
    assert graph.study.status is StudyStatus.CANCELLED
    assert graph.step(CHAIN).message == "s1 is CANCELLED"


def test_a_funnel_of_10_000_on_10_000_opens_with_the_last_and_holds_no_edge_for_each_pair():
    graph = folded(funnel(WIDE))
    for number in range(1, WIDE):
        for step, event in finished(number):
            apply(graph, e.Recorded(1, 1, 1, step, event))
    assert graph.step(WIDE + 1).phase is Phase.BLOCKED
    assert graph.unfinished("sim") == 1

    for step, event in finished(WIDE):
        apply(graph, e.Recorded(1, 1, 1, step, event))

    assert graph.unfinished("sim") == 0
    assert {graph.step(number).phase for number in range(WIDE + 1, 2 * WIDE + 1)} == {Phase.READY}


def test_10_000_failures_fail_the_10_000_that_wait_for_all_of_them_once():
    graph = folded(funnel(WIDE))
    new_events: list[NewEvent] = []

    def record(more: Iterable[NewEvent]) -> None:
        drawn = list(more)
        new_events.extend(drawn)
        for step, event in drawn:
            apply(graph, e.Recorded(1, 1, 1, step, event))

    record([(None, e.CancelRequested(steps=tuple(range(1, WIDE + 1))))])
    decide(graph, look(), record)

    assert len(new_events) == 1 + 2 * WIDE + 1
    assert {graph.step(number).message for number in range(WIDE + 1, 2 * WIDE + 1)} == {"sim_1 is CANCELLED"}


@pytest.mark.timeout(120)
def test_a_log_of_100_000_steps_is_written_failed_and_verified(tmp_path: Path):
    with create(tmp_path / "events.db") as log:
        log.append(chain(CHAIN))
        with log.transaction():
            log.record([(None, e.CancelRequested(steps=(1,)))])
            decide(log.graph, look(), log.record)
        assert log.graph.study.cascading
        with log.transaction():
            decide(log.graph, look(), log.record)

        assert log.graph.study.states == {"CANCELLED": CHAIN}
        cascade = 2  # CascadeStarted and CascadeCompleted
        assert verify(log).events == log.head.seq == 2 * CHAIN + 5 + 2 + cascade


def test_a_log_with_a_funnel_of_10_000_on_10_000_is_written_and_verified(tmp_path: Path):
    with create(tmp_path / "events.db") as log:
        log.append(funnel(WIDE))
        log.append([new_event for number in range(1, WIDE + 1) for new_event in finished(number)])
        assert log.query("SELECT count(*) FROM edge") == [(0,)]
        assert log.query("SELECT count(*) FROM step WHERE phase = 1") == [(WIDE,)]

        log.append([failed(number) for number in range(WIDE + 1, 2 * WIDE + 1)])

        assert log.graph.step(2 * WIDE).state is State.FAILED
        assert verify(log).events == log.head.seq


def test_a_tick_with_nothing_to_do_reads_no_step_of_100_000(tmp_path: Path):
    with create(tmp_path / "events.db") as log:
        log.append(chain(20_000))
        log.append([(1, e.SubmissionRequested(attempt=1, token="t1", kind=SubmissionKind.FIRST))])
        log.graph.forget()

        decide(log.graph, look(), log.record)

        assert list(log.graph.records) == [1]
