"""What a person asks of steps that have ended becomes events, or a refusal that says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from maestro_es.core import events as e
from maestro_es.core import requests, rerun
from maestro_es.core.decide import complete
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Phase, State, StudyStatus
from maestro_es.errors import RequestRefused
from tests.unit.core.making import RESTARTABLE, Study
from tests.unit.core.reruns import (
    LAST,
    MAKE,
    POST,
    SIM_10,
    SIM_20,
    SIM_30,
    asked,
    end,
    fail,
    finish,
    names,
    six_steps,
)

STUDY = six_steps


# -- each state of a step, and each request --------------------------------------------------------------------------


def blocked(study: Study) -> int:
    return study.add("a", parents=(study.add("parent"),))


def ready(study: Study) -> int:
    return study.add("a")


def requested(study: Study) -> int:
    study.request(number := study.add("a"))
    return number


def submitted(study: Study) -> int:
    study.submit(number := study.add("a"))
    return number


def running(study: Study) -> int:
    study.start(number := study.add("a"))
    return number


def to_restart(study: Study) -> int:
    number = study.add("a", run=RESTARTABLE)
    study.do(e.StepTimedOut(token=study.start(number), at=1), number)
    study.do(e.StepRestarted(number=1, limit=0), number)
    return number


def to_resubmit(study: Study) -> int:
    number = study.add("a")
    study.do(e.HardwareFailed(token=study.start(number), at=1, number=1, limit=3, reason="node"), number)
    return number


def finished(study: Study) -> int:
    study.finish(number := study.add("a"))
    return number


def failed(study: Study) -> int:
    fail(study, number := study.add("a"))
    return number


def timed_out(study: Study) -> int:
    number = study.add("a")
    end(study, number, e.StepTimedOut(token=study.start(number), at=1, final="it has no restart script"))
    return number


def cancelled(study: Study) -> int:
    number = study.add("a")
    end(study, number, e.StepCancelled(at=1, message="cancelled before it ran"))
    return number


def upstream(study: Study) -> int:
    parent = study.add("parent")
    number = study.add("a", parents=(parent,))
    fail(study, parent)
    return number


def dry(study: Study) -> int:
    study.do(e.StepDryRun(at=1), number := study.add("a"))
    return number


def skipped(study: Study) -> int:
    study.do(e.StepSkipped(by="me"), number := study.add("a"))
    return number


def held(study: Study) -> int:
    study.do(e.StepHeld(), number := study.add("a"))
    return number


FLIES = "a is in flight: cancel it first, or wait for it to end"
WAITS = "a has not ended: it is still waiting to run"
ENDED = "a has ended"
OVER = "these steps have already ended: there is nothing to cancel"

#: What comes of retry, skip, hold, release and cancel of a step: the type of its event, or the refusal.
TABLE: dict[Callable[[Study], int], tuple[str, str, str, str, str]] = {
    blocked: (WAITS, "StepSkipped", "StepHeld", "a is not held", "CancelRequested"),
    ready: (WAITS, "StepSkipped", "StepHeld", "a is not held", "CancelRequested"),
    requested: (FLIES, "a is in flight: cancel it first", "StepHeld", "a is not held", "CancelRequested"),
    submitted: (FLIES, "a is in flight: cancel it first", "StepHeld", "a is not held", "CancelRequested"),
    running: (FLIES, "a is in flight: cancel it first", "StepHeld", "a is not held", "CancelRequested"),
    to_restart: (WAITS, "StepSkipped", "StepHeld", "a is not held", "CancelRequested"),
    to_resubmit: (WAITS, "StepSkipped", "StepHeld", "a is not held", "CancelRequested"),
    finished: ("StepReset", "a has finished: there is nothing to skip", ENDED, "a is not held", OVER),
    failed: ("StepReset", "StepSkipped", ENDED, "a is not held", OVER),
    timed_out: ("StepReset", "StepSkipped", ENDED, "a is not held", OVER),
    cancelled: ("StepReset", "StepSkipped", ENDED, "a is not held", OVER),
    upstream: ("a can't run again: it waits for parent", "StepSkipped", ENDED, "a is not held", OVER),
    dry: ("StepReset", "a has finished: there is nothing to skip", ENDED, "a is not held", OVER),
    skipped: ("StepReset", "a was already skipped", ENDED, "a is not held", OVER),
    held: (WAITS, "StepSkipped", "a is already held", "StepReleased", "CancelRequested"),
}
REQUESTS: list[tuple[str, Callable[[Study], list[NewEvent]]]] = [
    ("retry", lambda study: rerun.retry(study.graph, ["a"], reason="why not")),
    ("skip", lambda study: rerun.skip(study.graph, ["a"], "me", "why not")),
    ("hold", lambda study: requests.hold(study.graph, ["a"], "why not")),
    ("release", lambda study: requests.release(study.graph, ["a"], "why not")),
    ("cancel", lambda study: requests.cancel(study.graph, ["a"], "why not")),
]


@pytest.mark.parametrize(
    ("make", "request_", "expected"),
    [
        pytest.param(make, request, expected, id=f"{name} {make.__name__}")
        for make, row in TABLE.items()
        for (name, request), expected in zip(REQUESTS, row, strict=True)
    ],
)
def test_what_comes_of_a_request_in_each_state(
    make: Callable[[Study], int], request_: Callable[[Study], list[NewEvent]], expected: str
):
    study = Study()
    make(study)
    study.add("another")
    if " " in expected:
        with pytest.raises(RequestRefused, match=expected):
            request_(study)
        return
    new_events = request_(study)
    assert [type(event).__name__ for _, event in new_events] == [expected]
    assert all(getattr(event, "reason", None) == "why not" for _, event in new_events)
    study.record(new_events)


@pytest.mark.parametrize("name", ["retry", "skip"])
def test_nothing_is_repaired_while_the_study_is_being_cancelled(name: str):
    study = Study()
    study.fail(study.add("a"))
    study.add("another")
    study.do(e.CancelRequested())

    with pytest.raises(RequestRefused, match="the study is being cancelled: wait until it has ended"):
        dict(REQUESTS)[name](study)


def test_steps_that_are_being_cancelled_are_not_cancelled_again():
    study = Study()
    study.start(study.add("a"))
    study.record(requests.cancel(study.graph, ["a"]))

    with pytest.raises(RequestRefused, match="these steps are already being cancelled"):
        requests.cancel(study.graph, ["a"])


# -- skip ------------------------------------------------------------------------------------------------------------


def test_what_ended_because_of_a_skipped_step_waits_again(study: Study):
    finish(study, MAKE, SIM_10, SIM_30)
    fail(study, SIM_20)

    new_events = rerun.skip(study.graph, ["sim_20"], "alice", "not needed")

    assert asked(study, new_events) == [
        ("StudyReopened", ""), ("StepSkipped", "sim_20"), ("StepReset", "last"), ("StepReset", "post"),
    ]  # fmt: skip
    assert new_events[1] == (SIM_20, e.StepSkipped(by="alice", reason="not needed"))
    assert [study.step(number).phase for number in (POST, LAST)] == [Phase.READY, Phase.BLOCKED]


def test_what_waits_for_another_that_has_failed_waits_on_when_one_is_skipped(study: Study):
    finish(study, MAKE, SIM_30)
    fail(study, SIM_10)
    fail(study, SIM_20)

    assert names(study, rerun.skip(study.graph, ["sim_10"], "me")) == ["sim_10"]
    assert names(study, rerun.skip(study.graph, ["sim*"], "me")) == ["sim_20", "last", "post"]


def test_the_last_failed_step_of_a_study_is_skipped_and_the_study_has_finished(study: Study):
    finish(study, MAKE, SIM_10, SIM_20, SIM_30, POST)
    fail(study, LAST)
    assert study.graph.study.status.name == "FAILURE"

    study.record(rerun.skip(study.graph, ["last"], "me"))
    study.record(complete(study.graph))

    assert study.graph.study.status is StudyStatus.FINISHED


def test_a_step_and_what_ended_because_of_it_are_skipped_together(study: Study):
    finish(study, MAKE, SIM_10, SIM_30)
    fail(study, SIM_20)

    new_events = rerun.skip(study.graph, ["sim_20", "post"], "me")

    assert asked(study, new_events)[1:] == [("StepSkipped", "sim_20"), ("StepSkipped", "post"), ("StepReset", "last")]
    assert study.step(LAST).phase is Phase.READY


# -- reopen ----------------------------------------------------------------------------------------------------------


def test_a_cancelled_study_goes_on_with_what_was_cancelled(study: Study):
    finish(study, MAKE, SIM_10)
    study.record(requests.cancel(study.graph))
    for number in (SIM_20, SIM_30, POST, LAST):
        study.do(e.StepCancelled(at=1, message="cancelled before it ran"), number)
    study.record(complete(study.graph))
    assert study.graph.study.status is StudyStatus.CANCELLED

    new_events = rerun.reopen(study.graph, "by mistake")

    assert new_events[0] == (None, e.StudyReopened(reason="by mistake"))
    assert set(names(study, new_events)) == {"sim_20", "sim_30", "post", "last"}
    assert not study.graph.study.cancelling
    assert [step.name for step in study.graph.ready(scheduled=False, limit=9)] == ["sim_20", "sim_30"]


def test_reopening_leaves_alone_what_has_failed(study: Study):
    finish(study, MAKE)
    fail(study, SIM_10)
    for number in (SIM_20, SIM_30):
        end(study, number, e.StepCancelled(at=1, message="cancelled before it ran"))

    assert set(names(study, rerun.reopen(study.graph))) == {"sim_20", "sim_30"}
    assert study.step(POST).state is State.FAILED


def test_a_study_that_runs_or_was_not_cancelled_is_not_reopened(study: Study):
    with pytest.raises(RequestRefused, match="the study has not ended; 'maestro-es retry STEP' runs a cancelled step"):
        rerun.reopen(study.graph)
    finish(study, MAKE, SIM_10, SIM_20, SIM_30, POST)
    fail(study, LAST)
    with pytest.raises(RequestRefused, match=r"was cancelled: .*; 'maestro-es retry --failed'"):
        rerun.reopen(study.graph)


def test_a_cancelled_study_whose_cancelled_steps_wait_for_a_failed_one_is_not_reopened():
    study = Study()
    first, second = study.chain("a", "b")
    study.do(e.StepCancelled(at=1, message="cancelled before it ran"), second)
    fail(study, first)

    with pytest.raises(RequestRefused, match="b can't run again: it waits for a, which is FAILED"):
        rerun.reopen(study.graph)


# -- hold and release ------------------------------------------------------------------------------------------------


def test_patterns_hold_and_release_what_fits(study: Study):
    finish(study, MAKE, SIM_10)
    study.start(SIM_20)

    assert names(study, requests.hold(study.graph, ["*"])) == ["sim_20", "sim_30", "post", "last"]
    assert study.tick() == []
    assert names(study, requests.release(study.graph, ["sim"])) == ["sim_20", "sim_30"]
    assert [number for number, _ in study.tick()] == [SIM_30]


def test_a_held_step_is_cancelled_like_any_other(study: Study):
    study.record(requests.hold(study.graph, ["make"]))
    study.record(requests.cancel(study.graph, ["make"]))

    study.tick()

    assert {step.state for step in study.graph.steps()} == {State.CANCELLED}
    assert study.graph.study.status is StudyStatus.CANCELLED


def test_a_study_of_which_only_held_steps_are_left_has_not_ended(study: Study):
    study.record(requests.hold(study.graph, ["last"]))
    finish(study, MAKE, SIM_10, SIM_20, SIM_30, POST)

    assert study.tick() == []
    assert study.graph.study.status is StudyStatus.RUNNING


def test_of_a_schedulers_job_no_persons_word_is_taken_that_it_is_gone(study: Study):
    study.start(number := study.add("a", scheduled=True))
    with pytest.raises(RequestRefused, match="a is a job, and the scheduler will report its end"):
        rerun.give_up(study.graph, ["a"], lambda _: True, "me", 1, "")
    assert study.graph.step(number).phase is Phase.SUBMITTED
