"""The rules of a tick: state and observations in, events out."""

from __future__ import annotations

import pytest

from maestro_es.core import events as e
from maestro_es.core.decide import final_status, submissions
from maestro_es.core.model import ENVIRONMENT, Cause, JobState, Phase, State, StudyStatus, SubmissionKind
from maestro_es.core.observations import AttemptObservation, NoAnswer
from maestro_es.core.reconcile import jobs_to_end
from maestro_es.core.step_keys import Need
from tests.unit.core.making import (
    ABANDONED,
    LOST,
    NODE_FAILED,
    RESTARTABLE,
    RUNNING,
    STARTED,
    TIMED_OUT,
    Study,
    ended,
    kinds,
    look,
    of,
    states,
    steps_of,
)

# -- starting what is ready ------------------------------------------------------------------------------------------


def test_ready_steps_are_requested_in_launch_order():
    study = Study()
    first, second = study.add("a"), study.add("b")
    study.add("c", parents=(first,))

    new_events = study.tick(token_suffix="feed")

    assert new_events == [
        (first, e.SubmissionRequested(attempt=1, token="cafe0123-1-1-feed", kind=SubmissionKind.FIRST)),
        (second, e.SubmissionRequested(attempt=1, token="cafe0123-2-1-feed", kind=SubmissionKind.FIRST)),
    ]
    assert submissions(new_events) == [first, second]


def test_a_step_whose_parent_ends_in_this_tick_is_requested_in_this_tick():
    study = Study()
    first, second = study.chain("a", "b")
    study.start(first)

    new_events = study.tick({first: ended(0)})

    assert kinds(new_events) == ["StepFinished", "SubmissionRequested"]
    assert submissions(new_events) == [second]


@pytest.mark.parametrize(("cores", "local_slots", "requested"), [(4, 0, 4), (4, 2, 2), (1, 3, 3), (9, 0, 6)])
def test_local_steps_run_side_by_side_up_to_the_slots(cores: int, local_slots: int, requested: int):
    study = Study(local_slots=local_slots)
    for index in range(6):
        study.add(f"s{index}")

    assert len(submissions(study.tick(size=Need(cores)))) == requested


def test_what_is_in_flight_takes_a_slot():
    study = Study(local_slots=3)
    numbers = [study.add(f"s{index}") for index in range(5)]
    study.request(numbers[0])
    study.start(numbers[1])

    assert submissions(study.tick()) == [numbers[2]]
    assert submissions(study.tick()) == []


def test_a_throttle_holds_for_scheduled_steps():
    study = Study({"type": "slurm"}, submission_throttle=2)
    numbers = [study.add(f"s{index}", scheduled=True) for index in range(4)]
    assert submissions(study.tick()) == numbers[:2]

    study.do(e.JobSubmitted(token=study.step(numbers[0]).token, job_id="17"), numbers[0])
    assert submissions(study.tick({numbers[0]: RUNNING})) == []

    assert submissions(study.tick({numbers[0]: ended(0)})) == [numbers[2]]


def test_without_a_throttle_every_scheduled_step_goes():
    study = Study({"type": "slurm"})
    numbers = [study.add(f"s{index}", scheduled=True) for index in range(100)]

    assert submissions(study.tick(size=Need(1))) == numbers


def test_nothing_is_requested_of_a_scheduler_that_does_not_answer():
    study = Study({"type": "slurm"}, local_slots=3)
    local = study.add("local")
    job = study.add("job", scheduled=True)

    assert submissions(study.tick(scheduler_down=True)) == [local]
    assert submissions(study.tick()) == [job]


def test_nothing_is_requested_while_the_environment_of_the_steps_is_missing():
    study = Study({"type": "slurm"}, local_slots=3)
    ready = [study.add("local"), study.add("job", scheduled=True)]

    assert submissions(study.tick(unreachable={ENVIRONMENT: "the file is missing"})) == []
    assert study.graph.study.unreachable == {ENVIRONMENT: "the file is missing"}
    assert submissions(study.tick(answered=frozenset({ENVIRONMENT}))) == ready
    assert study.graph.study.unreachable == {}


def test_while_a_submission_is_in_doubt_few_jobs_are_requested():
    study = Study({"type": "slurm"})
    numbers = [study.add(f"s{index}", scheduled=True) for index in range(100)]
    study.request(numbers[0])

    assert submissions(study.tick()) == numbers[1:17]
    for number in numbers[:17]:
        study.do(e.JobSubmitted(token=study.step(number).token, job_id="7"), number)
    assert submissions(study.tick()) == numbers[17:]


def test_the_throttle_of_a_scheduler_does_not_hold_back_local_steps():
    study = Study({"type": "slurm"}, submission_throttle=1, local_slots=3)
    local = [study.add(f"l{index}") for index in range(3)]
    jobs = [study.add(f"j{index}", scheduled=True) for index in range(3)]

    assert submissions(study.tick()) == [*local, jobs[0]]


@pytest.mark.parametrize(("throttle", "local_slots", "requested"), [(2, 4, 2), (4, 2, 2), (0, 3, 3)])
def test_in_a_local_study_throttle_and_slots_both_hold(throttle: int, local_slots: int, requested: int):
    study = Study(submission_throttle=throttle, local_slots=local_slots)
    for index in range(6):
        study.add(f"s{index}")

    assert len(submissions(study.tick())) == requested


def test_a_throttle_that_was_lowered_requests_nothing_and_ends_nothing():
    study = Study({"type": "slurm"})
    numbers = [study.add(f"s{index}", scheduled=True) for index in range(5)]
    for number in numbers[:3]:
        study.start(number)
    study.do(e.SettingsChanged(what="submission_throttle", before=0, after=1))

    assert study.tick() == []
    assert jobs_to_end(study.graph, look()) == []


def test_a_paused_study_submits_nothing_and_goes_on_settling():
    study = Study()
    first, second = study.chain("a", "b")
    study.start(first)
    study.do(e.StudyPaused())

    assert kinds(study.tick({first: ended(0)})) == ["StepFinished"]
    assert study.tick() == []

    study.do(e.StudyResumed())
    assert submissions(study.tick()) == [second]


def test_a_dry_run_submits_nothing():
    study = Study(dry_run=True)
    study.add("a")

    assert study.tick() == []


# -- upstream failures -----------------------------------------------------------------------------------------------


def test_everything_below_a_failure_fails_and_names_the_step_that_it_began_with():
    study = Study()
    first, second, third = study.chain("a", "b", "c")
    side = study.add("side", parents=(first,))
    both = study.add("both", parents=(third, side))
    apart = study.add("apart")
    study.start(first)
    study.start(apart)

    new_events = study.tick({first: ended(1), apart: RUNNING}, now=50)

    upstream = e.StepFailed(at=50, cause=Cause.UPSTREAM, message="a is FAILED", blocker=first)
    assert [new_event for new_event in new_events if new_event[0] in (second, third, side, both)] == [
        (second, upstream),
        (side, upstream),
        (third, upstream),
        (both, upstream),
    ]
    assert study.step(apart).state is State.RUNNING
    assert study.graph.study.status is StudyStatus.RUNNING


def test_a_step_with_two_failed_parents_fails_once():
    study = Study()
    first, second = study.add("a"), study.add("b")
    child = study.add("child", parents=(first, second))
    study.start(first)
    study.start(second)

    new_events = study.tick({first: ended(1), second: ended(2)})

    assert steps_of(new_events, e.StepFailed) == [first, second, child]
    assert of(new_events, e.StepFailed)[-1].blocker == first


def test_a_failure_goes_through_a_funnel_once():
    study = Study(local_slots=9)
    sims = [study.add(f"sim_{index}", template="sim") for index in range(3)]
    posts = [study.add(f"post_{index}", template="post", funnels=("sim",)) for index in range(2)]
    last = study.add("last", funnels=("post",))
    for sim in sims:
        study.start(sim)

    new_events = study.tick({sims[0]: RUNNING, sims[1]: ended(1), sims[2]: ended(1)})

    assert steps_of(new_events, e.StepFailed) == [sims[1], sims[2], *posts, last]
    assert [event.blocker for event in of(new_events, e.StepFailed)] == [None, None, sims[1], sims[1], sims[1]]
    assert study.step(sims[0]).state is State.RUNNING

    assert kinds(study.tick({sims[0]: ended(0)})) == ["StepFinished", "StudyCompleted"]


def test_what_a_failed_funnel_has_failed_stays_so_in_the_ticks_that_follow():
    study = Study()
    sims = [study.add(f"sim_{index}", template="sim") for index in range(2)]
    post = study.add("post", funnels=("sim",))
    for sim in sims:
        study.start(sim)
    study.tick({sims[0]: ended(1), sims[1]: RUNNING})

    new_events = study.tick({sims[1]: ended(1)})

    assert kinds(new_events) == ["StepFailed", "StudyCompleted"]
    assert study.step(post).state is State.FAILED


def test_a_time_out_that_is_followed_by_a_restart_fails_nobody():
    study = Study()
    first = study.add("a", run=RESTARTABLE)
    second = study.add("b", parents=(first,))
    study.start(first)

    study.tick({first: TIMED_OUT})

    assert study.step(second).phase is Phase.BLOCKED


def test_a_failure_does_not_touch_steps_that_have_no_need_of_it():
    study = Study()
    first, second = study.add("a"), study.add("b")
    child = study.add("child", parents=(second,))
    study.start(first)
    study.start(second)

    study.tick({first: ended(1), second: ended(0)})

    assert states(study) == [State.FAILED, State.FINISHED, State.PENDING]
    assert study.step(child).phase is Phase.REQUESTED


# -- the end of a study ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({"FINISHED": 3}, StudyStatus.FINISHED),
        ({"DRYRUN": 3}, StudyStatus.FINISHED),
        ({"FINISHED": 2, "FAILED": 1}, StudyStatus.FAILURE),
        ({"FINISHED": 2, "TIMEDOUT": 1}, StudyStatus.FAILURE),
        ({"HWFAILURE": 1}, StudyStatus.FAILURE),
        ({"FINISHED": 2, "CANCELLED": 1}, StudyStatus.CANCELLED),
        ({"FAILED": 2, "CANCELLED": 1}, StudyStatus.CANCELLED),
    ],
)
def test_the_status_of_a_study_is_that_of_its_worst_steps(counts: dict[str, int], status: StudyStatus):
    assert final_status(counts) is status


def test_a_study_completes_with_its_last_step_and_only_once():
    study = Study()
    number = study.add("a")
    study.start(number)
    seen = look({study.step(number).token: ended(0)})

    assert kinds(study.decide(seen)) == ["StepFinished", "StudyCompleted"]
    assert study.graph.study.status is StudyStatus.FINISHED
    assert study.decide(seen) == []


def test_a_study_without_steps_does_not_complete():
    assert Study().tick() == []


# -- what happened outside -------------------------------------------------------------------------------------------


def test_a_reboot_is_told_by_the_boot_id():
    study = Study()
    study.add("a")

    [(step, event), *_] = study.tick(boot_id="boot2")

    assert step is None
    assert event == e.RebootDetected(host="login1", before="boot1", after="boot2")


def test_another_host_is_no_reboot():
    study = Study()
    study.add("a")

    assert of(study.tick(host="login2", boot_id="boot2"), e.RebootDetected) == []


SECOND = 1_000_000


def missed(study: Study, last_tick: int | None, now: int) -> list[e.TicksMissed]:
    """Tick, and return what is noted of ticks that did not come; times are seconds."""
    at = None if last_tick is None else last_tick * SECOND
    return of(study.tick(last_tick=at, now=now * SECOND), e.TicksMissed)


@pytest.mark.parametrize(
    ("sleep", "gap", "noted"),
    [(60, 180, False), (60, 181, True), (1, 180, False), (1, 181, True), (600, 1800, False), (600, 1801, True)],
)
def test_a_gap_of_more_than_three_periods_between_two_ticks_is_noted(sleep: int, gap: int, noted: bool):
    study = Study(sleep_seconds=sleep)
    study.add("a")
    expected = [e.TicksMissed(since=100 * SECOND, seconds=gap)] if noted else []
    assert missed(study, 100, 100 + gap) == expected


def test_a_gap_is_noted_once_and_the_first_tick_of_all_is_none():
    study = Study()
    study.add("a")
    assert missed(study, None, 5000) == []
    study.graph.study.ticked_from = 5000 * SECOND
    assert missed(study, 100, 5100) == []  # the tick that has noted it died before it could say that it came
    assert len(missed(study, 100, 6000)) == 1


def test_a_scheduler_that_does_not_answer_is_noted_when_that_begins_and_when_it_ends():
    study = Study()
    study.start(study.add("a"))

    scheduler_down = {"slurm": "socket timed out"}
    assert study.tick(unreachable=scheduler_down) == [
        (None, e.PollFailed(adapter="slurm", message="socket timed out"))
    ]
    assert study.tick(unreachable=scheduler_down) == []
    assert study.tick() == []

    assert study.tick(answered=frozenset({"slurm"})) == [(None, e.PollRecovered(adapter="slurm"))]
    assert study.tick(answered=frozenset({"slurm"})) == []


def test_a_report_that_nobody_waits_for_is_recorded():
    study = Study()
    study.start(study.add("a"))

    new_events = study.tick(stale_reports=(("old", "old.exit.1"),))

    assert new_events == [(None, e.ReportIgnored(token="old", report="old.exit.1"))]
    assert states(study) == [State.RUNNING]


# -- the same look twice ---------------------------------------------------------------------------------------------

OBSERVED = {
    "nothing": AttemptObservation(),
    "pending": AttemptObservation(queue=JobState.PENDING, job_id="17"),
    "running": AttemptObservation(queue=JobState.RUNNING, job_id="17"),
    "finished": ended(0),
    "failed": ended(1),
    "timed out": TIMED_OUT,
    "node failed": NODE_FAILED,
    "lost": LOST,
    "abandoned": ABANDONED,
    "orphaned": AttemptObservation(queue=JobState.ORPHANED, claim=STARTED),
    "unreachable": AttemptObservation(queue=NoAnswer.UNREACHABLE),
}


@pytest.mark.parametrize("phase", ["requested", "submitted", "started"])
@pytest.mark.parametrize("observed", OBSERVED.values(), ids=OBSERVED)
@pytest.mark.parametrize("cancel", [False, True])
def test_a_second_tick_that_sees_the_same_has_nothing_to_add(phase: str, observed: AttemptObservation, cancel: bool):
    study = Study(local_slots=2, hardware_limit=1)
    number = study.add("a", run=RESTARTABLE)
    study.add("b", parents=(number,))
    study.add("c")
    token = study.reach(phase, number)
    if cancel:
        study.do(e.CancelRequested())
    seen = look({token: observed})
    study.decide(seen)

    assert study.decide(seen) == []
