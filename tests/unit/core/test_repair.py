"""What a person asks of steps that have ended becomes events, or a refusal that says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maestro_es.core import events as e
from maestro_es.core import repair, requests
from maestro_es.core.decide import complete, ended_badly, fail_descendants
from maestro_es.core.events import Draft
from maestro_es.core.model import Cause, Phase, State, StudyStatus
from maestro_es.errors import RequestRefused
from tests.unit.core.making import RESTARTABLE, Study


def asked(study: Study, drafts: list[Draft]) -> list[tuple[str, str]]:
    """Fold what a request came to; returns the kinds of its events and the names of their steps."""
    study.record(drafts)
    return [(type(event).__name__, study.step(number).name if number else "") for number, event in drafts]


def names(study: Study, drafts: list[Draft]) -> list[str]:
    return [name for _, name in asked(study, drafts) if name]


def end(study: Study, number: int, event: e.AnyEvent) -> None:
    """Record how a step ends, with the end of all that waits for it, and of the study if that was the last."""
    drafts: list[Draft] = [(number, event)]
    study.record(drafts)
    study.record(fail_descendants(study.graph, 9_000, ended_badly(drafts)))
    study.record(complete(study.graph))


def fail(study: Study, number: int) -> None:
    token = study.start(number)
    end(study, number, e.StepFailed(token=token, at=9_000, cause=Cause.EXIT_CODE, message="exit code 1", exit_code=1))


def finish(study: Study, *numbers: int) -> None:
    for number in numbers:
        study.finish(number)
    study.record(complete(study.graph))


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


FLIES = "a is in flight: cancel it first, or wait for its end"
WAITS = "a has not ended: it waits to run as it is"
ENDED = "a has ended"
OVER = "these steps have ended already: there is nothing to cancel"

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
    skipped: ("StepReset", "a was skipped already", ENDED, "a is not held", OVER),
    held: (WAITS, "StepSkipped", "a is held already", "StepReleased", "CancelRequested"),
}
REQUESTS: list[tuple[str, Callable[[Study], list[Draft]]]] = [
    ("retry", lambda study: repair.retry(study.graph, ["a"], reason="why not")),
    ("skip", lambda study: repair.skip(study.graph, ["a"], "me", "why not")),
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
    make: Callable[[Study], int], request_: Callable[[Study], list[Draft]], expected: str
):
    study = Study()
    make(study)
    study.add("another")
    if " " in expected:
        with pytest.raises(RequestRefused, match=expected):
            request_(study)
        return
    drafts = request_(study)
    assert [type(event).__name__ for _, event in drafts] == [expected]
    assert all(getattr(event, "reason", None) == "why not" for _, event in drafts)
    study.record(drafts)


@pytest.mark.parametrize("name", ["retry", "skip"])
def test_nothing_is_repaired_while_the_study_is_being_cancelled(name: str):
    study = Study()
    study.fail(study.add("a"))
    study.add("another")
    study.do(e.CancelRequested())

    with pytest.raises(RequestRefused, match="the study is being cancelled: wait until that is over"):
        dict(REQUESTS)[name](study)


def test_steps_that_are_being_cancelled_are_not_cancelled_again():
    study = Study()
    study.start(study.add("a"))
    study.record(requests.cancel(study.graph, ["a"]))

    with pytest.raises(RequestRefused, match="these steps are being cancelled already"):
        requests.cancel(study.graph, ["a"])


# -- retry -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def study() -> Study:
    """Return a study of ``make``, three ``sim`` after it, ``post`` after all of them, and ``last`` after that."""
    study = Study()
    make = study.add("make")
    for size in (10, 20, 30):
        study.add(f"sim_{size}", template="sim", parents=(make,))
    post = study.add("post", funnels=("sim",))
    study.add("last", parents=(post,))
    return study


MAKE, SIM_10, SIM_20, SIM_30, POST, LAST = range(1, 7)


def test_what_ended_because_of_a_step_runs_again_with_it(study: Study):
    finish(study, MAKE, SIM_10, SIM_30)
    fail(study, SIM_20)
    assert study.graph.study.status.name == "FAILURE"

    drafts = repair.retry(study.graph, ["sim_20"], reason="a better input")

    assert drafts == [
        (None, e.StudyReopened(reason="a better input")),
        (LAST, e.StepReset(reason="a better input")),
        (POST, e.StepReset(reason="a better input")),
        (SIM_20, e.StepReset(reason="a better input")),
    ]
    study.record(drafts)
    assert [study.step(number).phase for number in (SIM_20, POST, LAST)] == [Phase.READY, Phase.BLOCKED, Phase.BLOCKED]
    assert study.graph.study.status is StudyStatus.RUNNING


@pytest.mark.parametrize("words", [{"failed": True}, {"patterns": ["sim*"]}, {"patterns": ["sim"]}])
def test_all_that_has_failed_runs_again(study: Study, words: dict[str, Any]):
    finish(study, MAKE, SIM_10)
    fail(study, SIM_20)
    fail(study, SIM_30)

    drafts = repair.retry(study.graph, **words)

    assert set(names(study, drafts)) == {"sim_20", "sim_30", "post", "last"}


def test_what_waits_for_another_that_has_failed_stays_as_it_is(study: Study):
    finish(study, MAKE, SIM_10)
    fail(study, SIM_20)
    fail(study, SIM_30)

    assert names(study, repair.retry(study.graph, ["sim_20"])) == ["sim_20"]

    finish(study, SIM_20)
    assert set(names(study, repair.retry(study.graph, ["sim_30"]))) == {"sim_30", "post", "last"}
    assert study.step(POST).unmet == 1


@pytest.mark.parametrize("patterns", [["post"], ["last"], ["la*"], ["sim_10", "post"]])
def test_a_step_does_not_run_again_without_the_one_because_of_which_it_ended(study: Study, patterns: list[str]):
    finish(study, MAKE)
    for number in (SIM_10, SIM_20):
        fail(study, number)
    finish(study, SIM_30)
    expected = r"can't run again: it waits for sim_[12]0, which is FAILED; retry that one too, or skip it"

    with pytest.raises(RequestRefused, match=expected):
        repair.retry(study.graph, patterns)


def test_failed_does_not_mean_cancelled(study: Study):
    finish(study, MAKE)
    fail(study, SIM_10)
    end(study, SIM_20, e.StepCancelled(at=1, message="cancelled before it ran"))
    finish(study, SIM_30)

    assert names(study, repair.retry(study.graph, failed=True)) == ["sim_10"]
    assert set(names(study, repair.retry(study.graph, ["sim*"]))) == {"sim_20", "post", "last"}


def test_nothing_to_retry_is_said(study: Study):
    with pytest.raises(RequestRefused, match="no step has failed"):
        repair.retry(study.graph, failed=True)
    with pytest.raises(RequestRefused, match="name the steps to run again; --failed means all that have failed"):
        repair.retry(study.graph)
    with pytest.raises(RequestRefused, match="sim_10 has not ended: it waits to run as it is, and so on for 3 steps"):
        repair.retry(study.graph, ["sim"])


def test_a_pattern_leaves_out_what_has_finished_and_what_is_in_flight(study: Study):
    finish(study, MAKE, SIM_10)
    study.start(SIM_20)
    fail(study, SIM_30)

    assert "sim_30" in names(study, repair.retry(study.graph, ["sim*"]))
    assert study.step(SIM_10).state is State.FINISHED


def test_a_finished_step_runs_again_alone_if_nothing_ran_after_it(study: Study):
    finish(study, MAKE, SIM_10)

    assert names(study, repair.retry(study.graph, ["sim_10"])) == ["sim_10"]
    assert study.step(SIM_10).phase is Phase.READY
    assert study.step(SIM_10).attempt == 1


def test_a_pattern_of_finished_steps_is_refused(study: Study):
    finish(study, MAKE, SIM_10, SIM_20, SIM_30)

    with pytest.raises(RequestRefused, match="sim_10 has finished; name it in full to run it again, and so on for 3"):
        repair.retry(study.graph, ["sim"])


def test_a_finished_step_does_not_run_again_without_what_ran_after_it(study: Study):
    finish(study, MAKE, SIM_10, SIM_20, SIM_30, POST)

    with pytest.raises(RequestRefused, match="post ran after sim_10: run that again too with --descendants, or name"):
        repair.retry(study.graph, ["sim_10"])
    with pytest.raises(RequestRefused, match="sim_10, sim_20, sim_30, post ran after make"):
        repair.retry(study.graph, ["make"])


def test_a_step_that_failed_after_a_finished_one_ran_after_it_too(study: Study):
    finish(study, MAKE)
    fail(study, SIM_10)

    with pytest.raises(RequestRefused, match="sim_10 ran after make"):
        repair.retry(study.graph, ["make"])
    assert set(names(study, repair.retry(study.graph, ["make", "sim_10"]))) == {"make", "sim_10", "post", "last"}


def test_descendants_run_again_with_a_finished_step_and_nothing_else_does(study: Study):
    finish(study, MAKE, SIM_10, SIM_20, SIM_30, POST, LAST)

    drafts = repair.retry(study.graph, ["sim_20"], descendants=True)

    assert asked(study, drafts) == [
        ("StudyReopened", ""), ("StepReset", "last"), ("StepReset", "post"), ("StepReset", "sim_20"),
    ]  # fmt: skip
    assert [step.name for step in study.graph.ready(scheduled=False, limit=9)] == ["sim_20"]
    assert study.graph.unfinished("sim") == 1
    for number in (SIM_20, POST, LAST):
        finish(study, number)
    assert study.graph.study.status is StudyStatus.FINISHED


def test_descendants_that_wait_are_left_to_wait(study: Study):
    finish(study, MAKE, SIM_10)

    assert names(study, repair.retry(study.graph, ["make"], descendants=True)) == ["sim_10", "make"]
    assert {study.step(number).phase for number in (SIM_10, SIM_20, SIM_30, POST, LAST)} == {Phase.BLOCKED}


def test_descendants_in_flight_are_to_be_cancelled_first(study: Study):
    finish(study, MAKE)
    study.start(SIM_10)

    with pytest.raises(RequestRefused, match="in flight: sim_10; cancel that first, or wait for its end"):
        repair.retry(study.graph, ["make"], descendants=True)
    with pytest.raises(RequestRefused, match="sim_10 ran after make"):
        repair.retry(study.graph, ["make"])


def test_a_descendant_that_waits_to_be_submitted_again_begins_anew():
    study = Study()
    make, sim = study.add("make"), study.add("sim", run=RESTARTABLE, parents=(1,))
    finish(study, make)
    study.do(e.StepTimedOut(token=study.start(sim), at=1), sim)
    study.do(e.StepRestarted(number=1, limit=0), sim)

    with pytest.raises(RequestRefused, match="sim ran after make"):
        repair.retry(study.graph, ["make"])
    assert names(study, repair.retry(study.graph, ["make"], descendants=True)) == ["sim", "make"]
    assert (study.step(sim).state, study.step(sim).phase) == (State.INITIALIZED, Phase.BLOCKED)


def test_a_skipped_descendant_does_not_stand_in_the_way(study: Study):
    finish(study, MAKE, SIM_10, SIM_20)
    study.record(repair.skip(study.graph, ["post"], "me"))

    assert names(study, repair.retry(study.graph, ["sim_20"])) == ["sim_20"]
    assert study.step(POST).skipped


def test_a_skipped_step_runs_after_all_with_what_ran_after_it(study: Study):
    finish(study, MAKE)
    study.record(repair.skip(study.graph, ["post"], "me"))
    finish(study, LAST)

    with pytest.raises(RequestRefused, match="last ran after post"):
        repair.retry(study.graph, ["post"])
    assert names(study, repair.retry(study.graph, ["post"], descendants=True)) == ["last", "post"]
    assert study.step(POST).phase is Phase.BLOCKED


def test_a_finished_step_does_not_run_again_while_it_would_wait_for_one_that_failed():
    study = Study()
    first, second = study.add("first"), study.add("second")
    both = study.add("both", parents=(first, second))
    study.record(repair.skip(study.graph, ["both"], "me"))
    fail(study, second)

    with pytest.raises(RequestRefused, match="both can't run again: it waits for second, which is FAILED"):
        repair.retry(study.graph, ["both"])
    finish(study, first)
    assert names(study, repair.retry(study.graph, ["first"], descendants=True)) == ["first"]
    assert study.step(both).skipped


def test_raised_limits_are_part_of_the_request(study: Study):
    finish(study, MAKE)
    fail(study, SIM_10)

    drafts = repair.retry(study.graph, failed=True, limits={"rlimit": 5, "hardware-limit": 3}, reason="longer")

    assert drafts[0] == (None, e.SettingsChanged(what="restart_limit", before=1, after=5, reason="longer"))
    assert [type(event).__name__ for _, event in drafts[1:]] == ["StepReset"] * 3


def test_a_held_step_that_runs_again_is_held(study: Study):
    finish(study, MAKE)
    study.record(requests.hold(study.graph, ["post"]))
    fail(study, SIM_10)

    study.record(repair.retry(study.graph, failed=True))

    assert study.step(POST).held


def test_what_a_person_cancelled_before_it_ran_stays_cancelled_when_its_parent_runs_again(study: Study):
    end(study, LAST, e.StepCancelled(at=1, message="cancelled before it ran"))
    finish(study, MAKE)
    fail(study, SIM_10)

    assert set(names(study, repair.retry(study.graph, ["sim_10"]))) == {"sim_10", "post"}
    assert study.step(LAST).state is State.CANCELLED


# -- skip ------------------------------------------------------------------------------------------------------------


def test_what_ended_because_of_a_skipped_step_waits_again(study: Study):
    finish(study, MAKE, SIM_10, SIM_30)
    fail(study, SIM_20)

    drafts = repair.skip(study.graph, ["sim_20"], "alice", "not needed")

    assert asked(study, drafts) == [
        ("StudyReopened", ""), ("StepSkipped", "sim_20"), ("StepReset", "last"), ("StepReset", "post"),
    ]  # fmt: skip
    assert drafts[1] == (SIM_20, e.StepSkipped(by="alice", reason="not needed"))
    assert [study.step(number).phase for number in (POST, LAST)] == [Phase.READY, Phase.BLOCKED]


def test_what_waits_for_another_that_has_failed_waits_on_when_one_is_skipped(study: Study):
    finish(study, MAKE, SIM_30)
    fail(study, SIM_10)
    fail(study, SIM_20)

    assert names(study, repair.skip(study.graph, ["sim_10"], "me")) == ["sim_10"]
    assert names(study, repair.skip(study.graph, ["sim*"], "me")) == ["sim_20", "last", "post"]


def test_the_last_failed_step_of_a_study_is_skipped_and_the_study_has_finished(study: Study):
    finish(study, MAKE, SIM_10, SIM_20, SIM_30, POST)
    fail(study, LAST)
    assert study.graph.study.status.name == "FAILURE"

    study.record(repair.skip(study.graph, ["last"], "me"))
    study.record(complete(study.graph))

    assert study.graph.study.status is StudyStatus.FINISHED


def test_a_step_and_what_ended_because_of_it_are_skipped_together(study: Study):
    finish(study, MAKE, SIM_10, SIM_30)
    fail(study, SIM_20)

    drafts = repair.skip(study.graph, ["sim_20", "post"], "me")

    assert asked(study, drafts)[1:] == [("StepSkipped", "sim_20"), ("StepSkipped", "post"), ("StepReset", "last")]
    assert study.step(LAST).phase is Phase.READY


# -- reopen ----------------------------------------------------------------------------------------------------------


def test_a_cancelled_study_goes_on_with_what_was_cancelled(study: Study):
    finish(study, MAKE, SIM_10)
    study.record(requests.cancel(study.graph))
    for number in (SIM_20, SIM_30, POST, LAST):
        study.do(e.StepCancelled(at=1, message="cancelled before it ran"), number)
    study.record(complete(study.graph))
    assert study.graph.study.status is StudyStatus.CANCELLED

    drafts = repair.reopen(study.graph, "by mistake")

    assert drafts[0] == (None, e.StudyReopened(reason="by mistake"))
    assert set(names(study, drafts)) == {"sim_20", "sim_30", "post", "last"}
    assert not study.graph.study.cancelling
    assert [step.name for step in study.graph.ready(scheduled=False, limit=9)] == ["sim_20", "sim_30"]


def test_reopening_leaves_alone_what_has_failed(study: Study):
    finish(study, MAKE)
    fail(study, SIM_10)
    for number in (SIM_20, SIM_30):
        end(study, number, e.StepCancelled(at=1, message="cancelled before it ran"))

    assert set(names(study, repair.reopen(study.graph))) == {"sim_20", "sim_30"}
    assert study.step(POST).state is State.FAILED


def test_a_study_that_runs_or_was_not_cancelled_is_not_reopened(study: Study):
    with pytest.raises(RequestRefused, match="the study has not ended; 'maestro-es retry STEP' runs a cancelled step"):
        repair.reopen(study.graph)
    finish(study, MAKE, SIM_10, SIM_20, SIM_30, POST)
    fail(study, LAST)
    with pytest.raises(RequestRefused, match=r"was cancelled: .*; 'maestro-es retry --failed'"):
        repair.reopen(study.graph)


def test_a_cancelled_study_whose_cancelled_steps_wait_for_a_failed_one_is_not_reopened():
    study = Study()
    first, second = study.chain("a", "b")
    study.do(e.StepCancelled(at=1, message="cancelled before it ran"), second)
    fail(study, first)

    with pytest.raises(RequestRefused, match="b can't run again: it waits for a, which is FAILED"):
        repair.reopen(study.graph)


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
