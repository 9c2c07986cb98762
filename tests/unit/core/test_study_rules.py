"""What the events about the study, and about the shape of its graph, do to the state."""

from __future__ import annotations

import pytest

from maestro_es.core import events as e
from maestro_es.core.environment import RecordedEnvironment
from maestro_es.core.model import Phase, Settings, State, StudyStatus
from maestro_es.errors import InvalidTransition
from tests.unit.core.making import RESTARTABLE, Study, check_counts
from tools.testbed.samples import PARAMS

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


def test_the_environment_of_the_steps_is_the_one_that_was_recorded_last(study: Study):
    assert study.graph.study.environment == RecordedEnvironment()
    for digest in ("ab", "cd"):
        study.do(e.EnvironmentRecorded(environment=RecordedEnvironment(digest=digest, umask=0o007)))
    assert study.graph.study.environment == RecordedEnvironment(digest="cd", umask=0o007)


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


def test_a_cascade_is_completed_by_its_event_or_with_the_study(study: Study):
    study.finish(study.add("a"))
    study.do(e.CascadeStarted())
    assert study.graph.study.cascading
    study.do(e.CascadeCompleted())
    assert not study.graph.study.cascading

    study.do(e.CascadeStarted())
    study.do(e.StudyCompleted(status=StudyStatus.FINISHED))
    assert not study.graph.study.cascading


def test_a_cascade_neither_starts_twice_nor_completes_before_it_started(study: Study):
    with pytest.raises(InvalidTransition, match="no cascade has started"):
        study.do(e.CascadeCompleted())
    study.do(e.CascadeStarted())
    with pytest.raises(InvalidTransition, match="has not completed"):
        study.do(e.CascadeStarted())


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


def test_a_step_whose_last_connection_is_removed_is_ready(study: Study):
    first, second, third = study.add("a"), study.add("b"), study.add("c")
    for parent in (first, second):
        study.do(e.ConnectionAdded(parent=parent), third)

    study.do(e.ConnectionRemoved(parent=first), third)
    assert (study.step(third).unmet, study.step(third).phase) == (1, Phase.BLOCKED)
    study.do(e.ConnectionRemoved(parent=second), third)

    assert (study.step(third).unmet, study.step(third).phase) == (0, Phase.READY)
    assert (study.graph.children(first), study.graph.parents(third)) == ([], [])


def test_removing_a_connection_to_a_finished_parent_releases_nothing_twice(study: Study):
    first, second, third = study.add("a"), study.add("b"), study.add("c")
    for parent in (first, second):
        study.do(e.ConnectionAdded(parent=parent), third)
    study.finish(first)

    study.do(e.ConnectionRemoved(parent=first), third)

    assert (study.step(third).unmet, study.step(third).phase) == (1, Phase.BLOCKED)


def test_children_are_in_the_order_in_which_their_connections_were_added(study: Study):
    first, second, third = study.add("a"), study.add("b"), study.add("c")
    for child in (third, second):
        study.do(e.ConnectionAdded(parent=first), child)
    assert study.graph.children(first) == [third, second]

    study.do(e.ConnectionRemoved(parent=first), third)
    study.do(e.ConnectionAdded(parent=first), third)

    assert study.graph.children(first) == [second, third]


@pytest.mark.parametrize("parent", [1, 3, 0])
def test_a_connection_that_is_not_there_is_not_removed(study: Study, parent: int):
    study.chain("a", "b", "c")

    with pytest.raises(InvalidTransition, match=f"step 'c', which does not wait for step {parent}"):
        study.do(e.ConnectionRemoved(parent=parent), 3)


def test_a_step_in_flight_gets_no_more_parents(study: Study):
    first, second = study.add("a"), study.add("b")
    study.request(second)

    with pytest.raises(InvalidTransition, match="ConnectionAdded can't follow for step 'b', which is requested"):
        study.do(e.ConnectionAdded(parent=first), second)
