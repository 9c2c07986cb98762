"""What the events about a step do to it, from its request to its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Cause, Phase, Refusal, State, SubmissionKind
from maestro_es.errors import InvalidTransition
from tests.unit.core.making import RESTARTABLE, Study, check_counts

# -- attempts --------------------------------------------------------------------------------------------------------


def test_a_step_goes_from_request_to_end(study: Study):
    number = study.add("a")

    token = study.request(number)
    step = study.step(number)
    assert (step.state, step.phase, step.attempt, step.token) == (State.PENDING, Phase.REQUESTED, 1, token)
    assert (step.requested_at, step.submitted_at) == (5000, None)

    submitted = e.JobSubmitted(token=token, job_id="17", host="login1", instance="boot1")
    study.do(submitted, number)
    assert (step.state, step.phase, step.job_id) == (State.PENDING, Phase.SUBMITTED, "17")
    assert (step.job_host, step.job_instance, step.submitted_at) == ("login1", "boot1", 5000)

    study.do(e.JobStarted(token=token, at=7_000, host="node1"), number)
    assert (step.state, step.phase, step.started_at, step.job_host) == (State.RUNNING, Phase.SUBMITTED, 7_000, "node1")

    study.do(e.StepFinished(token=token, at=8_000), number)
    assert (step.state, step.phase, step.ended_at, step.exit_code) == (State.FINISHED, Phase.DONE, 8_000, 0)
    check_counts(study)


def test_a_step_may_end_without_a_word_that_it_began(study: Study):
    number = study.add("a")

    study.finish(number)

    assert (study.step(number).state, study.step(number).started_at) == (State.FINISHED, None)


def test_a_finished_parent_releases_its_children_and_no_others(study: Study):
    first, second = study.add("a"), study.add("b")
    child, both = study.add("child", parents=(first,)), study.add("both", parents=(first, second))

    study.finish(first)

    assert (study.step(child).phase, study.step(both).phase) == (Phase.READY, Phase.BLOCKED)
    assert study.step(both).unmet == 1


def test_a_rejected_submission_may_be_tried_again(study: Study):
    number = study.add("a")

    study.do(e.SubmissionRejected(token=study.request(number), message="no such queue"), number)

    step = study.step(number)
    assert (step.phase, step.rejections, step.message) == (Phase.READY, 1, "no such queue")


def test_what_was_said_instead_of_an_answer_is_kept_until_the_job_is_known(study: Study):
    number = study.add("a")
    token = study.request(number)

    study.do(e.SubmissionUncertain(token=token, message="socket timed out"), number)
    assert (study.step(number).phase, study.step(number).message) == (Phase.REQUESTED, "socket timed out")
    study.do(e.JobSubmitted(token=token, job_id="7", adopted=True), number)

    assert (study.step(number).phase, study.step(number).message) == (Phase.SUBMITTED, "")


def test_a_submission_that_is_taken_ends_the_count_of_rejections(study: Study):
    number = study.add("a")
    study.do(e.SubmissionRejected(token=study.request(number), message="busy"), number)

    study.submit(number)

    assert study.step(number).rejections == 0


@pytest.mark.parametrize("make", [Study.request, Study.submit, Study.start], ids=["requested", "submitted", "started"])
def test_an_abandoned_attempt_makes_its_step_ready(study: Study, make: Callable[[Study, int], str]):
    number = study.add("a")

    study.do(e.AttemptAbandoned(token=make(study, number), evidence=()), number)

    assert (study.step(number).phase, study.step(number).abandoned) == (Phase.READY, 1)


def test_a_request_that_is_withdrawn_leaves_no_count_behind(study: Study):
    number = study.add("a")

    study.do(e.SubmissionWithdrawn(token=study.request(number)), number)

    step = study.step(number)
    assert (step.phase, step.abandoned, step.rejections, step.attempt) == (Phase.READY, 0, 0, 1)


def test_what_a_full_scheduler_said_is_kept_until_it_takes_a_job_again():
    study = Study(adapter={"type": "slurm"})
    first, second, near = study.add("a", scheduled=True), study.add("b", scheduled=True), study.add("c")
    study.submit(first)
    study.submit(near)
    record = study.graph.study

    full = study.do(e.SubmissionWithdrawn(token=study.request(second), message="no room"), second)

    assert (record.refusal, record.queue_limit) == (Refusal("no room", full.recorded_at, second, 1), 1)
    full = study.do(e.SubmissionWithdrawn(token=study.request(second), message="none yet"), second)
    assert (record.refusal, record.queue_limit) == (Refusal("none yet", full.recorded_at, second, 2), 1)
    study.do(e.SubmissionWithdrawn(token=study.request(second)), second)
    assert record.refusal is not None
    study.submit(second)
    assert study.graph.study.refusal is None
    assert study.graph.study.queue_limit == 1
    study.do(e.SettingsChanged(what="adapter", before={}, after={"type": "lsf"}))
    assert study.graph.study.queue_limit is None


def test_a_new_attempt_knows_no_job_of_the_one_before_and_keeps_the_first_times(study: Study):
    number = study.add("a")
    token = study.submit(number)
    study.do(e.JobStarted(token=token, at=5_500, host="node1"), number)
    study.do(e.HardwareFailed(token=token, at=6_000, number=1, limit=3, reason="node failed"), number)
    before = study.step(number).submitted_at

    study.request(number, SubmissionKind.RESUBMIT)

    step = study.step(number)
    assert (step.attempt, step.job_id, step.job_host, step.job_instance) == (2, "", "", "")
    assert (step.submitted_at, step.started_at) == (before, 5_500)
    assert (step.state, step.phase) == (State.PENDING, Phase.REQUESTED)


def test_a_timed_out_step_is_done_until_it_is_restarted(study: Study):
    number = study.add("a", run=RESTARTABLE, restart_limit=2)
    study.do(e.StepTimedOut(token=study.start(number), at=9_000), number)
    step = study.step(number)
    assert (step.state, step.phase, step.ended_at) == (State.TIMEDOUT, Phase.DONE, 9_000)

    study.do(e.StepRestarted(number=1, limit=2), number)
    assert (step.state, step.phase, step.restarts, step.ended_at) == (State.TIMEDOUT, Phase.READY, 1, None)
    assert step.kind is SubmissionKind.RESTART

    study.request(number, SubmissionKind.RESTART)
    assert (step.state, step.phase) == (State.TIMEDOUT, Phase.REQUESTED)
    check_counts(study)


def test_a_timeout_that_is_final_says_why(study: Study):
    number = study.add("a")

    study.do(e.StepTimedOut(token=study.submit(number), at=9_000, final="it has no restart script"), number)

    assert study.step(number).message == "it has no restart script"


def test_a_step_is_restarted_once_for_each_timeout(study: Study):
    number = study.add("a", run=RESTARTABLE)
    study.do(e.StepTimedOut(token=study.start(number), at=9_000), number)
    study.do(e.StepRestarted(number=1, limit=0), number)

    with pytest.raises(InvalidTransition, match="StepRestarted can't follow for step 'a', which is ready"):
        study.do(e.StepRestarted(number=2, limit=0), number)


def test_a_restart_in_flight_is_not_restarted(study: Study):
    number = study.add("a", run=RESTARTABLE)
    study.do(e.StepTimedOut(token=study.start(number), at=9_000), number)
    study.do(e.StepRestarted(number=1, limit=0), number)
    study.request(number, SubmissionKind.RESTART)

    with pytest.raises(InvalidTransition, match="StepRestarted can't follow for step 'a', which is requested"):
        study.do(e.StepRestarted(number=2, limit=0), number)


@pytest.mark.parametrize("restart", [0, 2, 3])
def test_restarts_are_counted_without_a_gap(study: Study, restart: int):
    number = study.add("a", run=RESTARTABLE)
    study.do(e.StepTimedOut(token=study.start(number), at=9_000), number)

    with pytest.raises(InvalidTransition, match="which is TIMEDOUT after 0 restarts"):
        study.do(e.StepRestarted(number=restart, limit=0), number)


def test_a_step_that_did_not_time_out_is_not_restarted(study: Study):
    number = study.add("a")
    study.finish(number)

    with pytest.raises(InvalidTransition, match="StepRestarted can't follow for step 'a', which is FINISHED"):
        study.do(e.StepRestarted(number=1, limit=0), number)


def test_a_hardware_failure_is_made_good_by_a_resubmission(study: Study):
    number = study.add("a")

    failure = e.HardwareFailed(token=study.start(number), at=9_000, number=1, limit=3, reason="node failed")
    study.do(failure, number)

    step = study.step(number)
    assert (step.state, step.phase, step.kind) == (State.HWFAILURE, Phase.READY, SubmissionKind.RESUBMIT)
    assert (step.hardware_failures, step.message) == (1, "node failed")
    check_counts(study)


def test_a_restart_that_a_node_failed_stays_a_restart(study: Study):
    number = study.add("a", run=RESTARTABLE)
    study.do(e.StepTimedOut(token=study.start(number), at=9_000), number)
    study.do(e.StepRestarted(number=1, limit=0), number)
    token = study.submit(number)

    study.do(e.HardwareFailed(token=token, at=9_000, number=1, limit=3, reason="node failed"), number)

    assert study.step(number).kind is SubmissionKind.RESTART


def test_a_failed_step_says_why_and_releases_nobody(study: Study):
    first, second = study.chain("a", "b")
    token = study.start(first)

    study.do(e.StepFailed(token=token, at=9_000, cause=Cause.EXIT_CODE, message="exit code 3", exit_code=3), first)

    step = study.step(first)
    assert (step.state, step.phase, step.cause) == (State.FAILED, Phase.DONE, Cause.EXIT_CODE)
    assert (step.exit_code, step.message, step.ended_at) == (3, "exit code 3", 9_000)
    assert study.step(second).phase is Phase.BLOCKED
    check_counts(study)


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_a_step_that_waits_can_end_without_having_run(study: Study, end: str):
    _, second = study.chain("a", "b")
    failed = e.StepFailed(at=9_000, cause=Cause.UPSTREAM, message="a is FAILED", blocker=1)
    cancelled = e.StepCancelled(at=9_000, message="a is CANCELLED", blocker=1)

    study.do(failed if end == "fail" else cancelled, second)

    expected = State.FAILED if end == "fail" else State.CANCELLED
    assert (study.step(second).state, study.step(second).phase) == (expected, Phase.DONE)
    check_counts(study)


def test_a_dry_run_releases_what_waits(study: Study):
    first, second = study.chain("a", "b")
    third = study.add("c", funnels=("a",))

    study.do(e.StepDryRun(at=9_000), first)

    assert (study.step(first).state, study.step(first).phase) == (State.DRYRUN, Phase.DONE)
    assert [study.step(number).phase for number in (second, third)] == [Phase.READY, Phase.READY]
    check_counts(study)


@pytest.mark.parametrize(
    "withdrawn",
    [
        lambda token: e.SubmissionRejected(token=token, message="no"),
        lambda token: e.SubmissionWithdrawn(token=token),
        lambda token: e.AttemptAbandoned(token=token, evidence=()),
    ],
)
def test_a_step_whose_submission_came_to_nothing_is_not_pending(study: Study, withdrawn: Callable[[str], e.AnyEvent]):
    number = study.add("a")
    token = study.request(number)
    assert study.step(number).state is State.PENDING

    study.do(withdrawn(token), number)

    step = study.step(number)
    assert (step.state, step.phase, step.job_id) == (State.INITIALIZED, Phase.READY, "")
    check_counts(study)


def test_a_step_that_is_reset_shows_no_job(study: Study):
    number = study.add("a")
    token = study.request(number)
    study.do(e.JobSubmitted(token=token, job_id="17", host="login1", instance="boot1"), number)
    study.fail(number)
    assert study.step(number).job_id == "17"

    study.do(e.StepReset(), number)

    step = study.step(number)
    assert (step.job_id, step.job_host, step.job_instance) == ("", "", "")
