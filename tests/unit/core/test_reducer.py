"""What each event does to the state, and what it can't follow."""

# ruff: noqa: S106 - a token is the name of an attempt, and no password

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Cause, Phase, Settings, State, StudyStatus, SubmissionKind
from maestro_es.core.reducer import replay
from maestro_es.core.step_rules import STEP_RULES
from maestro_es.core.study_rules import STUDY_RULES
from maestro_es.errors import InvalidTransition
from tests.unit.core.making import RESTARTABLE, Study
from tests.unit.core.samples import MINIMAL, PARAMS


@pytest.fixture
def study() -> Study:
    return Study()


def check_counts(study: Study) -> None:
    """The counts that the study keeps are those of its steps."""
    steps = list(study.graph.steps())
    record = study.graph.study
    assert record.steps == len(steps)
    assert record.open_steps == sum(step.phase is not Phase.DONE for step in steps)
    assert record.states == dict(Counter(step.state.name for step in steps))
    for template in study.graph.templates():
        unfinished = [
            s for s in steps if s.template == template.name and s.state not in (State.FINISHED, State.DRYRUN)
        ]
        assert study.graph.unfinished(template.name) == len(unfinished)


# -- the table of rules ----------------------------------------------------------------------------------------------


def test_every_event_has_exactly_one_rule():
    study_rules, step_rules = set(STUDY_RULES), set(STEP_RULES)

    assert study_rules | step_rules == set(e.EVENT_TYPES.values())
    assert not study_rules & step_rules


STEP_EVENTS = [event for event in MINIMAL if type(event) in STEP_RULES]


@pytest.mark.parametrize("event", STEP_EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("number", [None, 0, 2, -1])
def test_an_event_of_a_step_that_there_is_not_is_refused(study: Study, event: e.AnyEvent, number: int | None):
    study.add("a")

    with pytest.raises(InvalidTransition, match=f"event 5: {type(event).__name__} of an unknown step"):
        study.do(event, number)


# -- the study -------------------------------------------------------------------------------------------------------


def test_a_study_begins_with_what_was_recorded_of_it():
    study = Study(adapter={"type": "slurm", "host": "quartz"}, submission_throttle=7)

    record = study.graph.study
    assert (record.study_id, record.root, record.adapter["host"]) == ("cafe0123", "/studies/one", "quartz")
    assert record.settings == Settings(submission_throttle=7)
    assert record.status is StudyStatus.RUNNING
    assert not record.paused
    assert not record.cancelling


def test_a_study_is_created_once(study: Study):
    with pytest.raises(InvalidTransition, match="event 3: the study was created before"):
        study.do(e.StudyCreated(study_id="beef", root="/elsewhere"))


def test_the_last_invocation_says_where_and_in_which_boot_we_are(study: Study):
    study.do(e.InvocationStarted(actor="me", host="login2", boot_id="boot9", pid=8, command="tick", version="1"))

    assert (study.graph.study.host, study.graph.study.boot_id) == ("login2", "boot9")


def test_a_template_is_added_once(study: Study):
    study.template("sim", {"cmd": "first"})

    with pytest.raises(InvalidTransition, match="there is a template 'sim' already"):
        study.template("sim", {"cmd": "second"})
    assert study.graph.template("sim").run == {"cmd": "first"}


def test_a_setting_changes_alone():
    study = Study(submission_throttle=2, hardware_limit=5)

    study.do(e.SettingsChanged(what="submission_throttle", before=2, after=9))

    assert study.graph.study.settings == Settings(submission_throttle=9, hardware_limit=5)


@pytest.mark.parametrize(
    ("what", "after"), [("name", "two"), ("description", "words"), ("adapter", {"type": "flux", "queue": "debug"})]
)
def test_name_description_and_adapter_change_like_settings(study: Study, what: str, after: object):
    study.do(e.SettingsChanged(what=what, before=None, after=after))

    assert getattr(study.graph.study, what) == after


@pytest.mark.parametrize(
    ("what", "after"),
    [("speed", 1), ("hardware_limit", "many"), ("use_tmp", 1), ("name", 5), ("adapter", "slurm"), ("study_id", "x")],
)
def test_a_change_of_what_is_no_setting_or_no_value_of_it_is_refused(study: Study, what: str, after: object):
    with pytest.raises(InvalidTransition, match=f"event 3: {what}: "):
        study.do(e.SettingsChanged(what=what, before=None, after=after))


def test_a_new_restart_limit_holds_for_the_steps_that_can_be_restarted(study: Study):
    able = study.add("able", run=RESTARTABLE, restart_limit=1)
    unable = study.add("unable")

    study.do(e.SettingsChanged(what="restart_limit", before=1, after=5))

    assert study.step(able).restart_limit == 5
    assert study.step(unable).restart_limit == 0


def test_a_study_is_paused_and_resumed(study: Study):
    study.do(e.StudyPaused())
    assert study.graph.study.paused

    study.do(e.StudyResumed())
    assert not study.graph.study.paused


def test_a_cancellation_of_all_is_noted_for_the_study(study: Study):
    number = study.add("a")

    study.do(e.CancelRequested())

    assert study.graph.study.cancelling
    assert not study.step(number).cancelling


def test_a_cancellation_of_steps_is_noted_for_these(study: Study):
    first, second = study.add("a"), study.add("b")

    study.do(e.CancelRequested(steps=(second,)))

    assert not study.graph.study.cancelling
    assert [study.step(first).cancelling, study.step(second).cancelling] == [False, True]


def test_a_step_that_there_is_not_can_not_be_cancelled(study: Study):
    study.add("a")

    with pytest.raises(InvalidTransition, match="event 5: there is no step 2 to cancel"):
        study.do(e.CancelRequested(steps=(1, 2)))


@pytest.mark.parametrize("status", StudyStatus)
def test_a_study_completes_with_a_status(study: Study, status: StudyStatus):
    study.finish(study.add("a"))

    study.do(e.StudyCompleted(status=status))

    assert study.graph.study.status is status


def test_a_study_with_a_step_that_is_not_done_can_not_be_complete(study: Study):
    study.add("a")

    with pytest.raises(InvalidTransition, match="completed with 1 steps not done"):
        study.do(e.StudyCompleted(status=StudyStatus.FINISHED))


def test_a_reopened_study_runs_and_is_not_being_cancelled(study: Study):
    study.finish(study.add("a"))
    study.do(e.CancelRequested())
    study.do(e.StudyCompleted(status=StudyStatus.CANCELLED))

    study.do(e.StudyReopened())

    assert study.graph.study.status is StudyStatus.RUNNING
    assert not study.graph.study.cancelling


def test_a_step_that_is_added_to_a_completed_study_makes_it_run_again(study: Study):
    study.finish(study.add("a"))
    study.do(e.StudyCompleted(status=StudyStatus.FINISHED))

    study.add("b")

    assert study.graph.study.status is StudyStatus.RUNNING
    check_counts(study)


def test_a_relocated_study_has_another_root(study: Study):
    study.do(e.StudyRelocated(before="/studies/one", after="/studies/two"))

    assert study.graph.study.root == "/studies/two"


def test_schedulers_that_do_not_answer_are_noted_until_they_do(study: Study):
    study.do(e.PollFailed(adapter="slurm", message="socket timed out"))
    study.do(e.PollFailed(adapter="files", message="stale handle"))
    assert study.graph.study.unreachable == {"slurm": "socket timed out", "files": "stale handle"}

    study.do(e.PollRecovered(adapter="slurm"))
    study.do(e.PollRecovered(adapter="never heard of"))
    assert study.graph.study.unreachable == {"files": "stale handle"}


@pytest.mark.parametrize(
    "event", [e.RebootDetected(host="h", before="b1", after="b2"), e.ReportIgnored(token="t", report="t.exit.0")]
)
def test_what_is_for_the_history_alone_changes_nothing(event: e.AnyEvent):
    study, same = Study(), Study()
    study.add("a")
    same.add("a")

    study.do(event)

    assert study.graph.study == same.graph.study
    assert list(study.graph.steps()) == list(same.graph.steps())


# -- the shape of the graph ------------------------------------------------------------------------------------------


def test_a_step_holds_what_was_recorded_of_it(study: Study):
    number = study.add(
        "sim_SIZE.10", template="sim", params=PARAMS, workspaces={"pre": "pre"}, scheduled=True, restart_limit=3, row=9
    )

    step = study.step(number)
    assert (step.number, step.name, step.template, step.params) == (1, "sim_SIZE.10", "sim", PARAMS)
    assert (step.workspaces, step.scheduled, step.restart_limit, step.row) == ({"pre": "pre"}, True, 3, 9)
    assert (step.state, step.phase, step.unmet, step.attempt) == (State.INITIALIZED, Phase.READY, 0, 0)
    assert study.graph.number_of("sim_SIZE.10") == number
    check_counts(study)


def test_a_step_without_a_row_stands_in_the_row_of_its_number(study: Study):
    assert [study.step(number).row for number in study.chain("a", "b")] == [1, 2]


def test_a_step_waits_for_each_parent_once(study: Study):
    first, second = study.add("a"), study.add("b")

    third = study.add("c", parents=(first, second, first))

    assert (study.step(third).unmet, study.step(third).phase) == (2, Phase.BLOCKED)
    assert study.graph.parents(third) == [first, second]
    assert study.graph.children(first) == [third]


def test_a_parent_that_has_finished_is_not_waited_for(study: Study):
    first = study.add("a")
    study.finish(first)

    second = study.add("b", parents=(first,))

    assert (study.step(second).unmet, study.step(second).phase) == (0, Phase.READY)
    assert study.graph.parents(second) == [first]


@pytest.mark.parametrize("parents", [(2,), (3,), (0,), (-1,)])
def test_a_step_can_not_wait_for_itself_or_for_what_there_is_not(study: Study, parents: tuple[int, ...]):
    study.add("a")

    with pytest.raises(InvalidTransition, match="step 'b' can't wait for step"):
        study.add("b", parents=parents)


def test_a_step_of_no_template_is_refused(study: Study):
    with pytest.raises(InvalidTransition, match="event 3: step 'a' is of no template: 'ghost'"):
        study.do(e.StepAdded(name="a", template="ghost", workspace="a"), 1)


@pytest.mark.parametrize(("name", "number"), [("a", 2), ("b", 1), ("b", 3), ("b", None)])
def test_a_name_or_a_number_that_is_not_new_is_refused(study: Study, name: str, number: int | None):
    study.add("a")

    with pytest.raises(InvalidTransition, match=f"step '{name}' is not new, or its number"):
        study.do(e.StepAdded(name=name, template="a", workspace="b"), number)


def test_a_funnel_counts_as_one_however_many_it_takes_in(study: Study):
    sims = [study.add(f"sim_{index}", template="sim") for index in range(5)]

    post = study.add("post", funnels=("sim",))

    assert study.step(post).unmet == 1
    assert study.graph.funnel("sim") == [post]
    assert study.graph.funnels(post) == ["sim"]
    for sim in sims:
        assert study.step(post).phase is Phase.BLOCKED
        study.finish(sim)
    assert (study.step(post).unmet, study.step(post).phase) == (0, Phase.READY)
    check_counts(study)


def test_a_funnel_that_is_named_twice_is_waited_for_once(study: Study):
    sim = study.add("sim")
    post = study.add("post", funnels=("sim", "sim"))

    study.finish(sim)

    assert study.step(post).phase is Phase.READY
    assert study.graph.funnels(post) == ["sim"]


def test_a_step_that_waits_for_one_and_for_all_of_a_template_waits_for_both(study: Study):
    first, second = (study.add(name, template="sim") for name in ("sim_1", "sim_2"))
    post = study.add("post", parents=(first,), funnels=("sim",))
    assert study.step(post).unmet == 2

    study.finish(first)
    assert study.step(post).unmet == 1
    study.finish(second)
    assert study.step(post).phase is Phase.READY


def test_a_funnel_over_finished_steps_is_open(study: Study):
    study.finish(study.add("sim"))

    assert study.step(study.add("post", funnels=("sim",))).phase is Phase.READY


def test_a_funnel_over_its_own_template_is_refused(study: Study):
    with pytest.raises(InvalidTransition, match="step 'sim' would wait for itself"):
        study.add("sim", funnels=("sim",))


def test_no_step_joins_a_template_once_what_waits_for_all_of_it_was_released(study: Study):
    study.finish(study.add("sim_1", template="sim"))
    study.add("post", funnels=("sim",))

    with pytest.raises(InvalidTransition, match="all that waits for the steps of 'sim' was released"):
        study.add("sim_2", template="sim")


def test_a_connection_makes_a_ready_step_wait(study: Study):
    first, second = study.add("a"), study.add("b")

    study.do(e.ConnectionAdded(parent=first), second)

    assert (study.step(second).unmet, study.step(second).phase) == (1, Phase.BLOCKED)
    study.finish(first)
    assert study.step(second).phase is Phase.READY


def test_a_connection_to_a_finished_parent_changes_no_phase(study: Study):
    first, second = study.add("a"), study.add("b")
    study.finish(first)

    study.do(e.ConnectionAdded(parent=first), second)

    assert (study.step(second).unmet, study.step(second).phase) == (0, Phase.READY)


@pytest.mark.parametrize("parent", [1, 2, 3, 0])
def test_a_connection_that_is_there_or_leads_nowhere_is_refused(study: Study, parent: int):
    study.chain("a", "b")

    with pytest.raises(InvalidTransition, match="step 'b'"):
        study.do(e.ConnectionAdded(parent=parent), 2)


def test_a_step_in_flight_gets_no_more_parents(study: Study):
    first, second = study.add("a"), study.add("b")
    study.request(second)

    with pytest.raises(InvalidTransition, match="ConnectionAdded can't follow for step 'b', which is requested"):
        study.do(e.ConnectionAdded(parent=first), second)


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

    study.do(e.SubmissionUnanswered(token=token, message="socket timed out"), number)
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
    failed = e.StepFailed(at=9_000, cause=Cause.UPSTREAM, message="a ended FAILED", blocker=1)
    cancelled = e.StepCancelled(at=9_000, message="a ended CANCELLED", blocker=1)

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


def test_a_retry_puts_all_counters_back(study: Study):
    number = study.add("a", run=RESTARTABLE)
    token = study.start(number)
    study.do(e.HardwareFailed(token=token, at=8_000, number=1, limit=3, reason="node failed"), number)
    study.do(e.AttemptAbandoned(token=study.request(number), evidence=()), number)
    study.do(e.SubmissionRejected(token=study.request(number), message="busy"), number)
    study.do(e.CancelRequested(steps=(number,)))
    study.fail(number)

    study.do(e.StepReset(), number)

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
    "withdrawn": lambda study, number: study.do(e.SubmissionWithdrawn(token=study.request(number)), number),
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


def test_a_step_that_waits_for_its_restart_begins_anew_when_it_is_reset(study: Study):
    number = study.add("a", run=RESTARTABLE)
    study.do(e.StepTimedOut(token=study.start(number), at=9_000), number)
    study.do(e.StepRestarted(number=1, limit=0), number)

    study.do(e.StepReset(), number)

    step = study.step(number)
    assert (step.state, step.phase, step.kind) == (State.INITIALIZED, Phase.READY, SubmissionKind.RETRY)
    assert step.restarts == 0


# -- skipped and held ------------------------------------------------------------------------------------------------


def skippable(how: str) -> tuple[Study, int]:
    """Return a study with a step that came so far."""
    if how == "failed":
        study, number = reach("submitted")
        study.fail(number)
    elif how == "cancelled":
        study, number = reach("ready")
        study.do(e.StepCancelled(at=1, message="cancelled before it ran", blocker=7), number)
    else:
        study, number = reach(how)
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
    study, number = reach(phase)

    study.do(e.StepHeld(), number)

    assert study.step(number).held
    assert study.step(number).phase.name.lower() == phase
    with pytest.raises(InvalidTransition, match="StepHeld can't follow for step 'a', which is held already"):
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


# -- taken over from Maestro -----------------------------------------------------------------------------------------


def test_a_step_that_maestro_finished_is_done_as_its_table_says_and_releases_what_waits(study: Study):
    first, second = study.chain("a", "b")

    study.do(
        e.StepImported(state=State.FINISHED, job_id="17", submitted_at=1, started_at=2, ended_at=3, restarts=2), first
    )

    step = study.step(first)
    assert (step.state, step.phase, step.job_id, step.restarts) == (State.FINISHED, Phase.DONE, "17", 2)
    assert (step.submitted_at, step.started_at, step.ended_at) == (1, 2, 3)
    assert study.step(second).phase is Phase.READY
    check_counts(study)


@pytest.mark.parametrize("state", [State.FAILED, State.TIMEDOUT, State.CANCELLED])
def test_a_step_that_ended_badly_under_maestro_releases_nobody(study: Study, state: State):
    first, second = study.chain("a", "b")

    study.do(e.StepImported(state=state, ended_at=3), first)

    assert (study.step(first).state, study.step(first).phase) == (state, Phase.DONE)
    assert study.step(second).phase is Phase.BLOCKED
    check_counts(study)


def test_a_step_that_maestro_did_not_end_is_left_to_run(study: Study):
    number = study.add("a")

    study.do(e.StepImported(state=State.INITIALIZED, message="run again"), number)

    assert (study.step(number).state, study.step(number).phase) == (State.INITIALIZED, Phase.READY)
    assert study.step(number).kind is SubmissionKind.FIRST


def test_a_step_that_maestro_restarted_goes_on_with_its_restart_script_and_its_count(study: Study):
    number = study.add("a", run=RESTARTABLE)

    study.do(e.StepImported(state=State.INITIALIZED, restarts=2), number)

    step = study.step(number)
    assert (step.state, step.phase, step.kind) == (State.TIMEDOUT, Phase.READY, SubmissionKind.RESTART)
    study.submit(number)
    study.do(e.StepTimedOut(token=step.token, at=5), number)
    study.do(e.StepRestarted(number=3, limit=0), number)
    check_counts(study)


def test_an_adopted_job_keeps_the_times_of_maestros_table(study: Study):
    number = study.add("a")

    study.do(e.StepImported(state=State.INITIALIZED, submitted_at=1, started_at=2), number)
    study.start(number)

    assert (study.step(number).submitted_at, study.step(number).started_at) == (1, 2)


def test_a_recovered_step_is_done_as_the_world_says_and_releases_what_waits(study: Study):
    first, second = study.chain("a", "b")
    study.submit(first)

    study.do(e.StepRecovered(state=State.FINISHED, attempt=4, job_id="17", started_at=2, ended_at=3), first)

    step = study.step(first)
    assert (step.state, step.phase, step.job_id, step.attempt) == (State.FINISHED, Phase.DONE, "17", 4)
    assert (step.started_at, step.ended_at) == (2, 3)
    assert study.step(second).phase is Phase.READY
    check_counts(study)


def test_a_recovered_step_that_is_left_to_run_goes_on_with_the_next_attempt(study: Study):
    number = study.add("a")
    study.submit(number)

    study.do(e.StepRecovered(state=State.INITIALIZED, attempt=3), number)
    assert (study.step(number).state, study.step(number).phase) == (State.INITIALIZED, Phase.READY)
    study.do(e.SubmissionRequested(attempt=4, token="t", kind=SubmissionKind.RESUBMIT), number)
    check_counts(study)


def test_a_recovered_step_that_was_restarted_goes_on_with_its_restart_script(study: Study):
    number = study.add("a", run=RESTARTABLE)

    study.do(e.StepRecovered(state=State.INITIALIZED, attempt=1, restarts=1), number)

    step = study.step(number)
    assert (step.state, step.phase, step.kind) == (State.TIMEDOUT, Phase.READY, SubmissionKind.RESTART)


def test_a_step_is_not_recovered_to_an_earlier_attempt_nor_to_what_is_no_end(study: Study):
    number = study.add("a")
    study.request(number)

    with pytest.raises(InvalidTransition, match="step 'a', which has had attempt 1"):
        study.do(e.StepRecovered(state=State.FINISHED, attempt=0), number)
    with pytest.raises(InvalidTransition, match="step 'a', as RUNNING is no end"):
        study.do(e.StepRecovered(state=State.RUNNING, attempt=1), number)


@pytest.mark.parametrize("state", [State.RUNNING, State.PENDING, State.DRYRUN, State.UNKNOWN])
def test_a_step_can_not_be_imported_in_a_state_that_is_no_end(study: Study, state: State):
    number = study.add("a")

    with pytest.raises(InvalidTransition, match=f"step 'a', as {state.name} is no end"):
        study.do(e.StepImported(state=state), number)


def test_a_step_that_was_tried_here_can_not_be_imported(study: Study):
    number = study.add("a")
    token = study.request(number)
    study.do(e.SubmissionRejected(token=token, message="no"), number)

    with pytest.raises(InvalidTransition, match="step 'a', which was tried before"):
        study.do(e.StepImported(state=State.FINISHED), number)


def test_another_adapter_decides_anew_which_steps_are_scheduled(study: Study):
    big, small, tried = study.add("big", run={"cmd": "run", "nodes": 2}), study.add("small"), study.add("tried")
    procs = study.add("procs", run={"cmd": "run", "procs": "$(P)"})
    study.request(tried)

    study.do(e.SettingsChanged(what="adapter", before={"type": "local"}, after={"type": "slurm"}))
    assert [study.step(number).scheduled for number in (big, small, tried, procs)] == [True, False, False, True]

    study.do(e.SettingsChanged(what="adapter", before={"type": "slurm"}, after={"type": "local"}))
    assert not any(study.step(number).scheduled for number in (big, small, tried, procs))


# -- what can't follow -----------------------------------------------------------------------------------------------


def reach(phase: str) -> tuple[Study, int]:
    """Return a study with a step in that phase; its token, if any, is the current one."""
    study = Study()
    number = study.add("a", parents=(study.add("parent"),)) if phase == "blocked" else study.add("a")
    {
        "blocked": lambda: None,
        "ready": lambda: None,
        "requested": lambda: study.request(number),
        "submitted": lambda: study.submit(number),
        "done": lambda: study.finish(number),
    }[phase]()
    return study, number


#: In which phases of its step an event may be recorded; the restart and the release have tests of their own.
ALLOWED: dict[type[e.Event], set[str]] = {
    e.ConnectionAdded: {"blocked", "ready"},
    e.StepImported: {"blocked", "ready"},
    e.StepRecovered: {"blocked", "ready", "requested", "submitted"},
    e.SubmissionRequested: {"ready"},
    e.JobSubmitted: {"requested"},
    e.SubmissionRejected: {"requested"},
    e.SubmissionUnanswered: {"requested"},
    e.SubmissionWithdrawn: {"requested"},
    e.AttemptAbandoned: {"requested", "submitted"},
    e.JobDelayed: {"submitted"},
    e.JobStarted: {"submitted"},
    e.JobMissed: {"submitted"},
    e.JobFound: {"submitted"},
    e.StepFinished: {"submitted"},
    e.StepTimedOut: {"submitted"},
    e.StepRestarted: set(),
    e.HardwareFailed: {"submitted"},
    e.StepFailed: {"blocked", "ready", "requested", "submitted"},
    e.StepCancelled: {"blocked", "ready", "requested", "submitted"},
    e.StepDryRun: {"ready"},
    e.StepReset: {"blocked", "ready", "done"},
    e.StepSkipped: {"blocked", "ready"},
    e.StepHeld: {"blocked", "ready", "requested", "submitted"},
    e.StepReleased: set(),
}


def with_token(event: e.AnyEvent, token: str) -> e.AnyEvent:
    if "token" not in event.__struct_fields__ or isinstance(event, e.SubmissionRequested):
        return event
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return type(event)(**{**fields, "token": token})


@pytest.mark.parametrize("phase", ["blocked", "ready", "requested", "submitted", "done"])
@pytest.mark.parametrize("event", STEP_EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_follows_in_its_phases_and_in_no_others(event: e.AnyEvent, phase: str):
    study, number = reach(phase)
    if isinstance(event, e.ConnectionAdded):
        event = e.ConnectionAdded(parent=study.add("other"))
    event = with_token(event, study.step(number).token)

    if phase in ALLOWED[type(event)]:
        study.do(event, number)
        check_counts(study)
        return
    with pytest.raises(InvalidTransition, match=f"{type(event).__name__} can't follow for step 'a', which is "):
        study.do(event, number)


#: Those that must carry the token of the attempt; a request brings a new one.
WITH_TOKEN = [
    event
    for event in STEP_EVENTS
    if "token" in event.__struct_fields__ and not isinstance(event, e.SubmissionRequested)
]


@pytest.mark.parametrize("event", WITH_TOKEN, ids=lambda event: type(event).__name__)
def test_an_event_that_carries_the_token_of_another_attempt_is_refused(event: e.AnyEvent):
    study, number = reach("requested" if "submitted" not in ALLOWED[type(event)] else "submitted")

    with pytest.raises(InvalidTransition, match="step 'a', whose token is 'cafe0123-1-1-salt', not 'stale'"):
        study.do(with_token(event, "stale"), number)


@pytest.mark.parametrize("attempt", [0, 2])
def test_attempts_are_counted_without_a_gap(study: Study, attempt: int):
    number = study.add("a")

    with pytest.raises(InvalidTransition, match="which is ready after attempt 0"):
        study.do(e.SubmissionRequested(attempt=attempt, token="t", kind=SubmissionKind.FIRST), number)


def test_folding_the_same_events_again_gives_the_same_graph(study: Study):
    first, second = study.chain("a", "b")
    study.finish(first)
    study.start(second)

    again = replay(study.events)

    assert again.study == study.graph.study
    assert list(again.steps()) == list(study.graph.steps())
