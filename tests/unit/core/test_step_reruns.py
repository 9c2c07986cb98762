"""What the events do to a step that is reset, skipped or held."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Cause, Phase, State, SubmissionKind
from maestro_es.errors import InvalidTransition
from tests.unit.core.making import RESTARTABLE, Study, check_counts, in_phase

# -- reset ------------------------------------------------------------------------------------------------------------


def test_a_retry_puts_all_counters_back(study: Study):
    number = study.add("a", run=RESTARTABLE)
    token = study.start(number)
    study.do(e.HardwareFailed(token=token, at=8_000, number=1, limit=3, reason="node failed"), number)
    study.do(e.AttemptAbandoned(token=study.request(number), evidence=()), number)
    study.do(e.SubmissionRejected(token=study.request(number), message="busy"), number)
    study.do(e.CancelRequested(steps=(number,)))
    study.fail(number)

    study.do(e.StepReset(from_scratch=True), number)

    step = study.step(number)
    assert (step.state, step.phase, step.kind) == (State.INITIALIZED, Phase.READY, SubmissionKind.RETRY)
    assert [step.restarts, step.hardware_failures, step.rejections, step.abandoned] == [0, 0, 0, 0]
    assert [step.submitted_at, step.started_at, step.ended_at, step.exit_code, step.cause] == [None] * 5
    assert (step.cancelling, step.message, step.attempt) == (False, "", 3)
    check_counts(study)


def test_a_step_that_never_ran_is_reset_to_its_first_attempt(study: Study):
    first, second = study.chain("a", "b")
    study.fail(first)
    study.fail(second)

    study.do(e.StepReset(), second)

    step = study.step(second)
    assert (step.kind, step.phase, step.unmet) == (SubmissionKind.FIRST, Phase.BLOCKED, 1)


def test_a_parent_that_finishes_late_is_counted_for_children_that_have_ended(study: Study):
    first, second = study.chain("a", "b")
    study.fail(first)
    study.fail(second)
    study.do(e.StepReset(), first)
    study.finish(first)
    assert (study.step(second).phase, study.step(second).unmet) == (Phase.DONE, 0)

    study.do(e.StepReset(), second)

    assert study.step(second).phase is Phase.READY
    check_counts(study)


@pytest.mark.parametrize("end", [Study.finish, lambda study, number: study.do(e.StepDryRun(at=1), number)])
def test_a_finished_step_that_is_reset_is_waited_for_again(study: Study, end: Callable[[Study, int], object]):
    first, other = (study.add(name, template="sim") for name in ("sim_1", "sim_2"))
    child, post = study.add("child", parents=(first,)), study.add("post", parents=(first,), funnels=("sim",))
    end(study, other)
    end(study, first)
    assert [study.step(number).phase for number in (child, post)] == [Phase.READY, Phase.READY]

    study.do(e.StepReset(), first)

    assert [study.step(number).phase for number in (first, child, post)] == [Phase.READY, Phase.BLOCKED, Phase.BLOCKED]
    assert [study.step(number).unmet for number in (child, post)] == [1, 2]
    check_counts(study)
    end(study, first)
    assert [study.step(number).phase for number in (child, post)] == [Phase.READY, Phase.READY]


def test_a_funnel_that_waits_for_another_step_already_is_not_made_to_wait_twice(study: Study):
    first, _ = (study.add(name, template="sim") for name in ("sim_1", "sim_2"))
    post = study.add("post", funnels=("sim",))
    study.finish(first)

    study.do(e.StepReset(), first)

    assert (study.step(post).unmet, study.graph.unfinished("sim")) == (1, 2)
    check_counts(study)


UNDER_WAY: dict[str, Callable[[Study, int], object]] = {
    "finished": Study.finish,
    "requested": Study.request,
    "started": Study.start,
    "resubmitted": lambda study, number: study.do(
        e.HardwareFailed(token=study.start(number), at=1, number=1, limit=3, reason="node failed"), number
    ),
}


@pytest.mark.parametrize("waits", ["for the step", "for all of its template"])
@pytest.mark.parametrize("how", UNDER_WAY)
def test_a_finished_step_is_not_reset_before_what_went_on_after_it(study: Study, how: str, waits: str):
    first = study.add("a")
    child = study.add("b", parents=(first,)) if waits == "for the step" else study.add("b", funnels=("a",))
    study.finish(first)
    UNDER_WAY[how](study, child)

    with pytest.raises(
        InvalidTransition, match="StepReset can't follow for step 'a', as 'b', which waited for it, is"
    ):
        study.do(e.StepReset(), first)

    if study.step(child).phase in (Phase.READY, Phase.DONE):
        study.do(e.StepReset(), child)
        study.do(e.StepReset(), first)
        assert study.step(child).phase is Phase.BLOCKED
        check_counts(study)


def test_a_finished_step_may_be_reset_before_a_child_that_has_failed(study: Study):
    first, second = study.chain("a", "b")
    study.finish(first)
    study.fail(second)

    study.do(e.StepReset(), first)

    assert (study.step(second).state, study.step(second).unmet) == (State.FAILED, 1)
    check_counts(study)


def test_a_finished_step_may_be_reset_before_a_child_that_was_skipped(study: Study):
    first, second = study.chain("a", "b")
    study.finish(first)
    study.do(e.StepSkipped(by="me"), second)

    study.do(e.StepReset(), first)

    assert (study.step(second).state, study.step(second).unmet) == (State.FINISHED, 1)
    check_counts(study)


@pytest.mark.parametrize("from_scratch", [False, True])
def test_a_step_that_has_begun_goes_on_with_its_restart_script_unless_it_is_to_begin_from_scratch(
    study: Study, *, from_scratch: bool
):
    number = study.add("a", run=RESTARTABLE)
    study.do(e.StepTimedOut(token=study.start(number), at=9_000, final="restart limit reached: 0 of 1"), number)

    study.do(e.StepReset(from_scratch=from_scratch), number)

    step = study.step(number)
    kind = SubmissionKind.RETRY if from_scratch else SubmissionKind.RESTART
    assert (step.state, step.phase, step.kind) == (State.INITIALIZED, Phase.READY, kind)
    assert step.restarts == 0
    study.request(number)
    assert study.step(number).state is State.PENDING


def test_a_step_that_was_reset_and_never_started_since_still_goes_on(study: Study):
    number = study.add("a", run=RESTARTABLE)
    study.do(e.StepTimedOut(token=study.start(number), at=9_000, final="no more"), number)
    study.do(e.StepReset(), number)
    study.do(e.SubmissionRejected(token=study.request(number), message="full"), number)
    study.fail(number)

    study.do(e.StepReset(), number)

    assert study.step(number).kind is SubmissionKind.RESTART


@pytest.mark.parametrize("run", [RESTARTABLE, {"cmd": "run"}])
def test_a_step_that_has_not_begun_or_has_no_restart_script_runs_its_cmd(study: Study, run: dict[str, str]):
    number = study.add("a", run=run)
    if run is not RESTARTABLE:
        study.start(number)
    else:
        study.submit(number)
    study.fail(number)

    study.do(e.StepReset(), number)

    assert study.step(number).kind is SubmissionKind.RETRY


def test_a_step_that_waits_to_go_on_begins_from_scratch_if_what_it_rests_on_is_made_again(study: Study):
    first = study.add("a")
    second = study.add("b", run=RESTARTABLE, parents=(first,))
    study.finish(first)
    study.do(e.StepTimedOut(token=study.start(second), at=9_000, final="no more"), second)
    study.do(e.StepReset(), second)

    study.do(e.StepReset(), first)

    assert (study.step(second).phase, study.step(second).kind) == (Phase.BLOCKED, SubmissionKind.RETRY)


@pytest.mark.parametrize(
    ("scheduled", "run", "kind"),
    [
        (False, RESTARTABLE, SubmissionKind.RESTART),
        (True, RESTARTABLE, SubmissionKind.RESUBMIT),
        (False, {"cmd": "run"}, SubmissionKind.RESUBMIT),
    ],
)
def test_a_local_step_goes_on_from_its_checkpoint_after_its_host_failed(
    study: Study, scheduled: bool, run: dict[str, str], kind: SubmissionKind
):
    number = study.add("a", run=run, scheduled=scheduled)
    token = study.start(number)

    study.do(e.HardwareFailed(token=token, at=8_000, number=1, limit=3, reason="the host was rebooted"), number)

    assert study.step(number).kind is kind


# -- skipped and held ------------------------------------------------------------------------------------------------


def skippable(how: str) -> tuple[Study, int]:
    """Return a study with a step that came so far."""
    if how == "failed":
        study, number = in_phase("submitted")
        study.fail(number)
    elif how == "cancelled":
        study, number = in_phase("ready")
        study.do(e.StepCancelled(at=1, message="cancelled before it ran", blocker=7), number)
    else:
        study, number = in_phase(how)
    return study, number


@pytest.mark.parametrize("how", ["blocked", "ready", "failed", "cancelled"])
def test_a_skipped_step_has_finished_for_what_waits_for_it(how: str):
    study, number = skippable(how)
    child = study.add("child", parents=(number,))

    study.do(e.StepSkipped(by="alice", reason="not needed"), number)

    step = study.step(number)
    assert (step.state, step.phase, step.skipped) == (State.FINISHED, Phase.DONE, True)
    assert (step.message, step.exit_code, step.cause, step.blocker) == ("skipped by alice: not needed",) + (None,) * 3
    assert step.ended_at == 1000 * len(study.events)
    assert study.step(child).phase is Phase.READY
    check_counts(study)


def test_a_skipped_step_that_is_reset_is_not_skipped_any_more(study: Study):
    first, second = study.chain("a", "b")
    study.do(e.StepSkipped(by="alice"), first)

    study.do(e.StepReset(), first)

    assert not study.step(first).skipped
    assert study.step(first).message == ""
    assert study.step(second).phase is Phase.BLOCKED
    check_counts(study)


def test_a_parent_of_a_skipped_step_may_finish_later(study: Study):
    first, second = study.chain("a", "b")
    study.do(e.StepSkipped(by="alice"), second)

    study.finish(first)

    assert (study.step(second).state, study.step(second).unmet) == (State.FINISHED, 0)
    check_counts(study)


def test_a_held_step_is_not_ready_until_it_is_released(study: Study):
    first, second = study.add("a"), study.add("b")

    study.do(e.StepHeld(), first)
    assert [step.number for step in study.graph.ready(scheduled=False, limit=5)] == [second]
    assert [step.number for step in study.graph.held()] == [first]

    study.do(e.StepReleased(), first)
    assert [step.number for step in study.graph.ready(scheduled=False, limit=5)] == [first, second]
    assert list(study.graph.held()) == []


@pytest.mark.parametrize("phase", ["blocked", "ready", "requested", "submitted"])
def test_what_is_held_goes_on_as_far_as_it_is(phase: str):
    study, number = in_phase(phase)

    study.do(e.StepHeld(), number)

    assert study.step(number).held
    assert study.step(number).phase.name.lower() == phase
    with pytest.raises(InvalidTransition, match="StepHeld can't follow for step 'a', which is already held"):
        study.do(e.StepHeld(), number)


def test_a_step_in_flight_that_is_held_is_held_when_it_is_to_be_submitted_again(study: Study):
    number = study.add("a")
    token = study.start(number)
    study.do(e.StepHeld(), number)

    study.do(e.HardwareFailed(token=token, at=1, number=1, limit=3, reason="node failed"), number)

    assert study.step(number).phase is Phase.READY
    assert list(study.graph.ready(scheduled=False, limit=5)) == []


def test_a_held_step_that_is_reset_stays_held(study: Study):
    number = study.add("a")
    study.do(e.StepHeld(), number)
    study.fail(number)
    assert list(study.graph.held()) == []

    study.do(e.StepReset(), number)

    assert [step.number for step in study.graph.held()] == [number]


@pytest.mark.parametrize("end", [Study.fail, lambda study, n: study.do(e.StepCancelled(at=1, message=""), n)])
def test_a_step_says_because_of_which_it_ended(study: Study, end: Callable[[Study, int], object]):
    first, second = study.chain("a", "b")
    end(study, first)
    study.do(e.StepFailed(at=1, cause=Cause.UPSTREAM, message="a ended", blocker=first), second)
    assert (study.step(first).blocker, study.step(second).blocker) == (None, first)

    study.do(e.StepReset(), second)

    assert study.step(second).blocker is None
