"""Steps that a person lets run again, with what ended because of them, or else is refused."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_es.core import events as e
from maestro_es.core import requests, rerun
from maestro_es.core.model import Phase, State, StudyStatus, SubmissionKind
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


def test_what_ended_because_of_a_step_runs_again_with_it(study: Study):
    finish(study, MAKE, SIM_10, SIM_30)
    fail(study, SIM_20)
    assert study.graph.study.status.name == "FAILURE"

    new_events = rerun.retry(study.graph, ["sim_20"], reason="a better input")

    assert new_events == [
        (None, e.StudyReopened(reason="a better input")),
        (LAST, e.StepReset(reason="a better input")),
        (POST, e.StepReset(reason="a better input")),
        (SIM_20, e.StepReset(reason="a better input")),
    ]
    study.record(new_events)
    assert [study.step(number).phase for number in (SIM_20, POST, LAST)] == [Phase.READY, Phase.BLOCKED, Phase.BLOCKED]
    assert study.graph.study.status is StudyStatus.RUNNING


def test_what_has_finished_and_what_rests_on_it_begin_from_scratch():
    study = Study()
    first = study.add("a", run=RESTARTABLE)
    second = study.add("b", run=RESTARTABLE, parents=(first,))
    aside = study.add("c", run=RESTARTABLE)
    token = study.start(first)
    study.do(e.StepFinished(token=token, at=9_000), first)
    fail(study, second)
    fail(study, aside)

    again = rerun.retry(study.graph, ["a", "c"], descendants=True)

    assert {step: event.from_scratch for step, event in again if isinstance(event, e.StepReset)} == {
        first: True, second: True, aside: False
    }  # fmt: skip
    alone = rerun.retry(study.graph, ["b", "c"], how=rerun.How(from_scratch=True))
    assert {step: event.from_scratch for step, event in alone if isinstance(event, e.StepReset)} == {
        second: True, aside: True
    }  # fmt: skip


def test_a_step_that_waits_to_go_on_may_begin_from_scratch_after_all():
    study = Study()
    number = study.add("a", run=RESTARTABLE)
    fail(study, number)
    study.record(rerun.retry(study.graph, ["a"]))
    with pytest.raises(RequestRefused, match="it is still waiting to run"):
        rerun.retry(study.graph, ["a"])

    study.record(rerun.retry(study.graph, ["a"], how=rerun.How(from_scratch=True)))

    assert study.step(number).kind is SubmissionKind.RETRY


@pytest.mark.parametrize("words", [{"failed": True}, {"patterns": ["sim*"]}, {"patterns": ["sim"]}])
def test_all_that_has_failed_runs_again(study: Study, words: dict[str, Any]):
    finish(study, MAKE, SIM_10)
    fail(study, SIM_20)
    fail(study, SIM_30)

    new_events = rerun.retry(study.graph, **words)

    assert set(names(study, new_events)) == {"sim_20", "sim_30", "post", "last"}


def test_what_waits_for_another_that_has_failed_stays_as_it_is(study: Study):
    finish(study, MAKE, SIM_10)
    fail(study, SIM_20)
    fail(study, SIM_30)

    assert names(study, rerun.retry(study.graph, ["sim_20"])) == ["sim_20"]

    finish(study, SIM_20)
    assert set(names(study, rerun.retry(study.graph, ["sim_30"]))) == {"sim_30", "post", "last"}
    assert study.step(POST).unmet == 1


@pytest.mark.parametrize("patterns", [["post"], ["last"], ["la*"], ["sim_10", "post"]])
def test_a_step_does_not_run_again_without_the_one_because_of_which_it_ended(study: Study, patterns: list[str]):
    finish(study, MAKE)
    for number in (SIM_10, SIM_20):
        fail(study, number)
    finish(study, SIM_30)
    expected = r"can't run again: it waits for sim_[12]0, which is FAILED; retry that step too, or skip it"

    with pytest.raises(RequestRefused, match=expected):
        rerun.retry(study.graph, patterns)


def test_failed_does_not_mean_cancelled(study: Study):
    finish(study, MAKE)
    fail(study, SIM_10)
    end(study, SIM_20, e.StepCancelled(at=1, message="cancelled before it ran"))
    finish(study, SIM_30)

    assert names(study, rerun.retry(study.graph, failed=True)) == ["sim_10"]
    assert set(names(study, rerun.retry(study.graph, ["sim*"]))) == {"sim_20", "post", "last"}


def test_nothing_to_retry_is_said(study: Study):
    with pytest.raises(RequestRefused, match="no step has failed"):
        rerun.retry(study.graph, failed=True)
    with pytest.raises(RequestRefused, match="name the steps to run again, or use --failed for all failed steps"):
        rerun.retry(study.graph)
    with pytest.raises(
        RequestRefused, match="sim_10 has not ended: it is still waiting to run; 2 other steps were refused too"
    ):
        rerun.retry(study.graph, ["sim"])


def test_a_pattern_leaves_out_what_has_finished_and_what_is_in_flight(study: Study):
    finish(study, MAKE, SIM_10)
    study.start(SIM_20)
    fail(study, SIM_30)

    assert "sim_30" in names(study, rerun.retry(study.graph, ["sim*"]))
    assert study.step(SIM_10).state is State.FINISHED


def test_a_finished_step_runs_again_alone_if_nothing_ran_after_it(study: Study):
    finish(study, MAKE, SIM_10)

    assert names(study, rerun.retry(study.graph, ["sim_10"])) == ["sim_10"]
    assert study.step(SIM_10).phase is Phase.READY
    assert study.step(SIM_10).attempt == 1


def test_a_pattern_of_finished_steps_is_refused(study: Study):
    finish(study, MAKE, SIM_10, SIM_20, SIM_30)

    with pytest.raises(
        RequestRefused, match="sim_10 has finished; give its full name to run it again; 2 other steps were refused too"
    ):
        rerun.retry(study.graph, ["sim"])


def test_a_finished_step_does_not_run_again_without_what_ran_after_it(study: Study):
    finish(study, MAKE, SIM_10, SIM_20, SIM_30, POST)

    with pytest.raises(RequestRefused, match="sim_10 can't run again alone, because post ran after it"):
        rerun.retry(study.graph, ["sim_10"])
    with pytest.raises(RequestRefused, match="because sim_10, sim_20, sim_30, post ran after it"):
        rerun.retry(study.graph, ["make"])


def test_a_step_that_failed_after_a_finished_one_ran_after_it_too(study: Study):
    finish(study, MAKE)
    fail(study, SIM_10)

    with pytest.raises(RequestRefused, match="make can't run again alone, because sim_10 ran after it"):
        rerun.retry(study.graph, ["make"])
    assert set(names(study, rerun.retry(study.graph, ["make", "sim_10"]))) == {"make", "sim_10", "post", "last"}


def test_descendants_run_again_with_a_finished_step_and_nothing_else_does(study: Study):
    finish(study, MAKE, SIM_10, SIM_20, SIM_30, POST, LAST)

    new_events = rerun.retry(study.graph, ["sim_20"], descendants=True)

    assert asked(study, new_events) == [
        ("StudyReopened", ""), ("StepReset", "last"), ("StepReset", "post"), ("StepReset", "sim_20"),
    ]  # fmt: skip
    assert [step.name for step in study.graph.ready(scheduled=False, limit=9)] == ["sim_20"]
    assert study.graph.unfinished("sim") == 1
    for number in (SIM_20, POST, LAST):
        finish(study, number)
    assert study.graph.study.status is StudyStatus.FINISHED


def test_descendants_that_wait_are_left_to_wait(study: Study):
    finish(study, MAKE, SIM_10)

    assert names(study, rerun.retry(study.graph, ["make"], descendants=True)) == ["sim_10", "make"]
    assert {study.step(number).phase for number in (SIM_10, SIM_20, SIM_30, POST, LAST)} == {Phase.BLOCKED}


def test_descendants_in_flight_are_to_be_cancelled_first(study: Study):
    finish(study, MAKE)
    study.start(SIM_10)

    with pytest.raises(RequestRefused, match="in flight: sim_10; cancel these first, or wait until they end"):
        rerun.retry(study.graph, ["make"], descendants=True)
    with pytest.raises(RequestRefused, match="make can't run again alone, because sim_10 ran after it"):
        rerun.retry(study.graph, ["make"])


def test_a_descendant_that_waits_to_be_submitted_again_begins_anew():
    study = Study()
    make, sim = study.add("make"), study.add("sim", run=RESTARTABLE, parents=(1,))
    finish(study, make)
    study.do(e.StepTimedOut(token=study.start(sim), at=1), sim)
    study.do(e.StepRestarted(number=1, limit=0), sim)

    with pytest.raises(RequestRefused, match="make can't run again alone, because sim ran after it"):
        rerun.retry(study.graph, ["make"])
    assert names(study, rerun.retry(study.graph, ["make"], descendants=True)) == ["sim", "make"]
    assert (study.step(sim).state, study.step(sim).phase) == (State.INITIALIZED, Phase.BLOCKED)


def test_a_skipped_descendant_does_not_stand_in_the_way(study: Study):
    finish(study, MAKE, SIM_10, SIM_20)
    study.record(rerun.skip(study.graph, ["post"], "me"))

    assert names(study, rerun.retry(study.graph, ["sim_20"])) == ["sim_20"]
    assert study.step(POST).skipped


def test_a_skipped_step_runs_after_all_with_what_ran_after_it(study: Study):
    finish(study, MAKE)
    study.record(rerun.skip(study.graph, ["post"], "me"))
    finish(study, LAST)

    with pytest.raises(RequestRefused, match="post can't run again alone, because last ran after it"):
        rerun.retry(study.graph, ["post"])
    assert names(study, rerun.retry(study.graph, ["post"], descendants=True)) == ["last", "post"]
    assert study.step(POST).phase is Phase.BLOCKED


def test_a_finished_step_does_not_run_again_while_it_would_wait_for_one_that_failed():
    study = Study()
    first, second = study.add("first"), study.add("second")
    both = study.add("both", parents=(first, second))
    study.record(rerun.skip(study.graph, ["both"], "me"))
    fail(study, second)

    with pytest.raises(RequestRefused, match="both can't run again: it waits for second, which is FAILED"):
        rerun.retry(study.graph, ["both"])
    finish(study, first)
    assert names(study, rerun.retry(study.graph, ["first"], descendants=True)) == ["first"]
    assert study.step(both).skipped


def test_raised_limits_are_part_of_the_request(study: Study):
    finish(study, MAKE)
    fail(study, SIM_10)

    new_events = rerun.retry(study.graph, failed=True, limits={"rlimit": 5, "hardware-limit": 3}, reason="longer")

    assert new_events[0] == (None, e.SettingsChanged(what="restart_limit", before=1, after=5, reason="longer"))
    assert [type(event).__name__ for _, event in new_events[1:]] == ["StepReset"] * 3


def test_a_held_step_that_runs_again_is_held(study: Study):
    finish(study, MAKE)
    study.record(requests.hold(study.graph, ["post"]))
    fail(study, SIM_10)

    study.record(rerun.retry(study.graph, failed=True))

    assert study.step(POST).held


def test_what_a_person_cancelled_before_it_ran_stays_cancelled_when_its_parent_runs_again(study: Study):
    end(study, LAST, e.StepCancelled(at=1, message="cancelled before it ran"))
    finish(study, MAKE)
    fail(study, SIM_10)

    assert set(names(study, rerun.retry(study.graph, ["sim_10"]))) == {"sim_10", "post"}
    assert study.step(LAST).state is State.CANCELLED
