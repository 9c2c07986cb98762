"""What is concluded about attempts in flight, and whose job is ended, through the rules of whole ticks."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from maestro_es.core import events as e
from maestro_es.core.decide import submissions
from maestro_es.core.model import Cause, JobState, Phase, State, StudyStatus, SubmissionKind
from maestro_es.core.observations import AttemptObservation, Claim, ClaimState, NoAnswer, ReportKind
from maestro_es.core.reconcile import jobs_to_end
from maestro_es.core.resubmission_limits import ABANDON_LIMIT
from maestro_es.core.step_keys import Allocation, Need
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
    report,
    steps_of,
)

STOPPED = AttemptObservation(reports=(report(ReportKind.STOPPED, 143),))


# -- reconciling what is in flight ------------------------------------------------------------------------------------


def test_a_job_that_runs_is_noted_once():
    study = Study()
    number = study.add("a")
    token = study.submit(number)

    new_events = study.tick({number: RUNNING}, now=77)

    assert [(step, type(event).__name__) for step, event in new_events] == [(number, "JobStarted")]
    assert (of(new_events, e.JobStarted)[0].token, of(new_events, e.JobStarted)[0].at) == (token, 77)
    assert study.tick({number: RUNNING}) == []


def test_what_the_queue_calls_running_has_not_begun_before_its_runner_has():
    study = Study()
    number = study.add("a", scheduled=True)
    study.submit(number)

    assert study.tick({number: AttemptObservation(queue=JobState.RUNNING)}) == []
    assert study.step(number).state is State.PENDING


def test_why_a_job_waits_is_noted_when_it_is_said_first_and_when_it_is_another():
    study = Study()
    number = study.add("a", scheduled=True)
    token = study.submit(number)
    down, limit = (
        AttemptObservation(queue=JobState.PENDING, delay=why) for why in ("PartitionDown", "AssocGrpCpuLimit")
    )

    assert study.tick({number: down}) == [(number, e.JobDelayed(token=token, reason="PartitionDown"))]
    assert study.tick({number: down}) == study.tick({number: AttemptObservation(queue=JobState.PENDING)}) == []
    assert study.tick({number: limit}) == [(number, e.JobDelayed(token=token, reason="AssocGrpCpuLimit"))]
    assert study.step(number).message == "AssocGrpCpuLimit"

    assert kinds(study.tick({number: RUNNING})) == ["JobStarted"]
    assert study.step(number).message == ""


def test_reasons_that_alternate_do_not_fill_the_log():
    study = Study()
    number = study.add("a", scheduled=True)
    study.submit(number)

    for _ in range(20):
        for why in ("Licenses", "BurstBufferResources"):
            study.tick({number: AttemptObservation(queue=JobState.PENDING, delay=why)})

    assert study.step(number).delays == 8


def test_a_start_that_nobody_knew_of_is_noted_before_its_end_is_believed():
    study = Study(hardware_limit=1)
    number = study.add("a", scheduled=True)
    study.submit(number)
    young = AttemptObservation(queue=JobState.NODE_FAILED, claim=STARTED)

    assert kinds(study.tick({number: young})) == ["JobStarted"]
    assert kinds(study.tick({number: structs.replace(young, start_recorded=True)})) == [
        "HardwareFailed",
        "SubmissionRequested",
    ]


def test_a_finished_step_ended_when_its_runner_said_so():
    study = Study()
    number = study.add("a")
    study.start(number)

    [(_, event), *_] = study.tick({number: ended(0)}, now=1_000_000)

    assert isinstance(event, e.StepFinished)
    assert event.at == 8_000
    assert event.evidence == (e.Evidence(source="report", detail="TOKEN.exit.0"),)


def test_a_step_that_fails_says_its_exit_code():
    study = Study()
    number = study.add("a")
    study.start(number)

    new_events = study.tick({number: ended(3)})

    [failed] = of(new_events, e.StepFailed)
    assert (failed.cause, failed.exit_code, failed.message) == (Cause.EXIT_CODE, 3, "exit code 3")


@pytest.mark.parametrize(
    ("observed", "cause", "message"),
    [
        (AttemptObservation(queue=JobState.OUT_OF_MEMORY), Cause.OUT_OF_MEMORY, "used more memory than allowed"),
        (AttemptObservation(queue=JobState.FAILED, raw_state="BOOT_FAIL"), Cause.SCHEDULER, "BOOT_FAIL"),
        (AttemptObservation(queue=JobState.FAILED), Cause.SCHEDULER, "the scheduler reports a failure"),
        (AttemptObservation(queue=JobState.FAILED, exit_code=9), Cause.EXIT_CODE, "exit code 9"),
    ],
)
def test_a_failure_without_the_runners_word_says_the_schedulers(
    observed: AttemptObservation, cause: Cause, message: str
):
    study = Study()
    number = study.add("a")
    study.start(number)

    [failed] = of(study.tick({number: observed}), e.StepFailed)

    assert (failed.cause, failed.message) == (cause, message)


@pytest.mark.parametrize(
    "observed",
    [
        AttemptObservation(),
        AttemptObservation(queue=NoAnswer.UNREACHABLE),
        AttemptObservation(queue=JobState.PENDING),
        AttemptObservation(queue=JobState.UNKNOWN, raw_state="STRANGE"),
        AttemptObservation(queue=JobState.GONE, claim=STARTED, within_grace=True),
        AttemptObservation(queue=JobState.ORPHANED),
    ],
)
@pytest.mark.parametrize("phase", ["requested", "submitted", "started"])
def test_nothing_is_concluded_from_what_shows_nothing(phase: str, observed: AttemptObservation):
    study = Study()
    number = study.add("a")
    study.reach(phase, number)
    before = (study.step(number).state, study.step(number).attempt)

    new_events = study.tick({number: observed})

    assert set(kinds(new_events)) <= {"JobSubmitted", "JobNotFound", "JobStateUnknown"}
    assert (study.step(number).state, study.step(number).attempt) == before


def test_a_job_that_nobody_knows_is_missed_once_and_found_again():
    study = Study()
    number = study.add("a")
    study.reach("started", number)
    gone = AttemptObservation(queue=JobState.GONE, claim=STARTED, within_grace=True)

    assert kinds(study.tick({number: gone})) == ["JobNotFound"]
    assert study.step(number).missed_at is not None
    assert kinds(study.tick({number: gone})) == []
    assert kinds(study.tick({number: AttemptObservation(queue=NoAnswer.UNREACHABLE)})) == []
    assert kinds(study.tick({number: AttemptObservation(queue=JobState.RUNNING)})) == ["JobReappeared"]
    assert study.step(number).missed_at is None


def test_an_observation_of_an_older_attempt_is_not_believed():
    study = Study()
    number = study.add("a")
    study.do(e.AttemptAbandoned(token=study.request(number), evidence=()), number)
    study.do(e.SubmissionRequested(attempt=2, token="second", kind=SubmissionKind.RESUBMIT), number)

    assert study.decide(look({"cafe0123-1-1-salt": ended(1)})) == []


# -- adoption --------------------------------------------------------------------------------------------------------


def test_an_attempt_in_doubt_whose_job_is_found_by_its_token_is_adopted():
    study = Study()
    number = study.add("a", scheduled=True)
    token = study.request(number)

    new_events = study.tick(
        {number: AttemptObservation(queue=JobState.PENDING, job_id="17", host="node1", raw_state="PENDING")}
    )

    evidence = (e.Evidence(source="queue", detail="PENDING"),)
    assert new_events == [
        (number, e.JobSubmitted(token=token, job_id="17", adopted=True, host="node1", evidence=evidence))
    ]


def test_an_attempt_in_doubt_whose_claim_names_a_job_is_adopted_and_judged_at_once():
    study = Study()
    first, second = study.chain("a", "b")
    study.request(first)

    new_events = study.tick({first: ended(0, claim=Claim(ClaimState.JOB, "17", "node1", "boot1"))})

    assert kinds(new_events) == ["JobSubmitted", "JobStarted", "StepFinished", "SubmissionRequested"]
    [adopted] = of(new_events, e.JobSubmitted)
    assert (adopted.job_id, adopted.host, adopted.instance, adopted.adopted) == ("17", "node1", "boot1", True)
    assert submissions(new_events) == [second]


def test_an_attempt_in_doubt_of_which_there_is_no_trace_yet_is_left_alone():
    study = Study()
    number = study.add("a")
    study.request(number)

    assert (
        study.tick({number: AttemptObservation(queue=JobState.GONE, claim=Claim(ClaimState.NONE), within_grace=True)})
        == []
    )


# -- attempts that never start ---------------------------------------------------------------------------------------


def test_an_abandoned_attempt_is_followed_by_another_in_the_same_tick():
    study = Study()
    number = study.add("a")
    token = study.request(number)

    new_events = study.tick({number: ABANDONED}, token_suffix="next")

    assert new_events == [
        (number, e.AttemptAbandoned(token=token, evidence=(e.Evidence(source="claim", detail="abandoned"),))),
        (number, e.SubmissionRequested(attempt=2, token="cafe0123-1-2-next", kind=SubmissionKind.RESUBMIT)),
    ]


@pytest.mark.parametrize("limit", [1, 3])
def test_attempts_that_leave_no_trace_are_redone_up_to_a_limit(limit: int):
    study = Study(abandon_limit=limit)
    number = study.add("a")
    study.request(number)
    for attempt in range(2, limit + 2):
        study.tick({number: ABANDONED})
        assert (study.step(number).attempt, study.step(number).phase) == (attempt, Phase.REQUESTED)

    new_events = study.tick({number: ABANDONED})

    assert kinds(new_events) == ["AttemptAbandoned", "StepFailed", "StudyCompleted"]
    [failed] = of(new_events, e.StepFailed)
    assert (failed.cause, failed.message) == (Cause.LOST, f"{limit + 1} submissions left no trace of a job")


def test_without_a_limit_attempts_are_redone_for_ever():
    study = Study(abandon_limit=0)
    number = study.add("a")
    study.request(number)
    for _ in range(50):
        study.tick({number: ABANDONED})

    assert (study.step(number).attempt, study.step(number).phase) == (51, Phase.REQUESTED)


# -- time-outs and restarts ------------------------------------------------------------------------------------------


def test_a_timed_out_step_is_restarted_with_its_script_within_the_limit():
    study = Study()
    number = study.add("a", run=RESTARTABLE, restart_limit=2)
    for restart in (1, 2):
        if study.step(number).phase is Phase.READY:
            study.start(number)
        else:
            study.do(e.JobSubmitted(token=study.step(number).token, job_id="17"), number)
        new_events = study.tick({number: TIMED_OUT})
        assert kinds(new_events) == ["StepTimedOut", "StepRestarted", "SubmissionRequested"]
        assert of(new_events, e.StepRestarted) == [e.StepRestarted(number=restart, limit=2)]
        assert of(new_events, e.SubmissionRequested)[0].kind is SubmissionKind.RESTART

    study.do(e.JobSubmitted(token=study.step(number).token, job_id="17"), number)
    new_events = study.tick({number: TIMED_OUT})

    assert kinds(new_events) == ["StepTimedOut", "StudyCompleted"]
    assert of(new_events, e.StepTimedOut)[0].final == "restart limit reached: 2 of 2"
    assert study.step(number).state is State.TIMEDOUT
    assert study.graph.study.status is StudyStatus.FAILURE


def test_without_a_limit_a_step_is_restarted_for_ever():
    study = Study()
    number = study.add("a", run=RESTARTABLE, restart_limit=0)
    study.start(number)
    for restart in range(1, 30):
        new_events = study.tick({number: TIMED_OUT})
        assert of(new_events, e.StepRestarted) == [e.StepRestarted(number=restart, limit=0)]
        study.do(e.JobSubmitted(token=study.step(number).token, job_id="17"), number)


def test_a_step_without_a_restart_script_ends_when_its_time_is_over():
    study = Study()
    first, second = study.chain("a", "b")
    study.start(first)

    new_events = study.tick({first: TIMED_OUT})

    assert kinds(new_events) == ["StepTimedOut", "StepFailed", "StudyCompleted"]
    assert of(new_events, e.StepTimedOut)[0].final == "it has no restart script"
    assert new_events[1] == (
        second,
        e.StepFailed(at=1_000_000, cause=Cause.UPSTREAM, message="a is TIMEDOUT", blocker=first),
    )


def test_a_step_that_is_to_end_is_not_restarted():
    study = Study()
    number = study.add("a", run=RESTARTABLE)
    study.start(number)
    study.do(e.CancelRequested(steps=(number,)))

    new_events = study.tick({number: TIMED_OUT})

    assert kinds(new_events) == ["StepTimedOut", "StudyCompleted"]
    assert of(new_events, e.StepTimedOut)[0].final == "cancelled"


# -- failures that are no fault of the step --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observed", "cause", "reason"),
    [
        (NODE_FAILED, Cause.HARDWARE, "the node failed or the job was preempted"),
        (AttemptObservation(queue=JobState.PREEMPTED, raw_state="PREEMPTED"), Cause.HARDWARE, "PREEMPTED"),
        (STOPPED, Cause.HARDWARE, "ended by a signal from outside"),
        (LOST, Cause.LOST, "disappeared after its start: its process was killed or its host went down"),
    ],
    ids=["node failed", "preempted", "stopped", "lost"],
)
def test_what_is_no_fault_of_the_step_is_made_good_up_to_a_limit(
    observed: AttemptObservation, cause: Cause, reason: str
):
    study = Study(hardware_limit=2)
    number = study.add("a")
    study.start(number)
    for failure in (1, 2):
        new_events = study.tick({number: observed})
        assert kinds(new_events) == ["HardwareFailed", "SubmissionRequested"]
        [failed] = of(new_events, e.HardwareFailed)
        assert (failed.number, failed.limit, failed.reason) == (failure, 2, reason)
        assert of(new_events, e.SubmissionRequested)[0].kind is SubmissionKind.RESUBMIT
        study.do(e.JobSubmitted(token=study.step(number).token, job_id="17"), number)

    new_events = study.tick({number: observed})

    assert kinds(new_events) == ["HardwareFailed", "StepFailed", "StudyCompleted"]
    [end] = of(new_events, e.StepFailed)
    assert (end.cause, end.message) == (cause, f"{reason}; resubmitted 2 times, which is the limit")
    assert study.step(number).state is State.FAILED


@pytest.mark.parametrize("is_placed", [False, True])
def test_one_stop_of_a_step_in_each_job_does_not_count(is_placed: bool):
    """Nor does a stop count that the driver caused, or shared."""
    study = Study(local_slots=1)
    number = study.add("a", scheduled=is_placed)
    seen = []
    for job, leaving in (("18", False), ("18", True), ("18", False), ("18+1", False), ("19", False), ("18", False)):
        study.tick(allocation=Allocation(job, (Need(4),)) if is_placed else None)
        token, instance = study.step(number).token, "" if is_placed else f"boot1/7@{job}"
        study.do(e.JobSubmitted(token=token, job_id="17", host="login1", instance=instance), number)
        full = Allocation(job, (Need(0),)) if is_placed else None
        [failed] = of(study.tick({number: STOPPED}, allocation=full, leaving=leaving), e.HardwareFailed)
        seen.append((failed.number, failed.stopped_in, failed.reason.partition(";")[0]))

    may_end = "a signal from outside stopped it in the job {}, which may be about to end"
    assert seen == [
        (0, "18", may_end.format("18")),
        (0, "", "it was stopped because its driver in the job 18 had to stop"),
        (1, "", "ended by a signal from outside"),
        (1, "18 18+1", may_end.format("18")),
        (1, "18 18+1 19", may_end.format("19")),
        (2, "", "ended by a signal from outside"),
    ]


def test_without_a_limit_hardware_failures_are_made_good_for_ever():
    study = Study(hardware_limit=0)
    number = study.add("a")
    study.start(number)
    for failure in range(1, 30):
        assert of(study.tick({number: NODE_FAILED}), e.HardwareFailed)[0].number == failure
        study.do(e.JobSubmitted(token=study.step(number).token, job_id="17"), number)


def test_a_resubmission_waits_while_the_study_is_paused():
    study = Study()
    number = study.add("a")
    study.start(number)
    study.do(e.StudyPaused())

    assert kinds(study.tick({number: NODE_FAILED})) == ["HardwareFailed"]
    assert (study.step(number).state, study.step(number).phase) == (State.HWFAILURE, Phase.READY)


# -- cancelling ------------------------------------------------------------------------------------------------------


def test_a_cancelled_study_ends_what_waits_and_asks_for_the_end_of_what_runs():
    study = Study()
    running, waiting = study.chain("a", "b")
    ready = study.add("c")
    study.start(running)
    study.do(e.CancelRequested())

    new_events = study.tick({running: RUNNING})

    assert steps_of(new_events, e.StepCancelled) == [waiting, ready]
    assert {event.message for event in of(new_events, e.StepCancelled)} == {"cancelled before it ran"}
    assert [step.number for step in jobs_to_end(study.graph, look())] == [running]

    new_events = study.tick({running: AttemptObservation(queue=JobState.CANCELLED)})
    assert kinds(new_events) == ["StepCancelled", "StudyCompleted"]
    assert of(new_events, e.StepCancelled)[0].message == "cancelled"
    assert study.graph.study.status is StudyStatus.CANCELLED


def test_a_cancelled_step_takes_with_it_what_waits_for_it_and_nothing_else():
    study = Study()
    first, second, third = study.chain("a", "b", "c")
    other = study.add("d")
    study.do(e.CancelRequested(steps=(first,)))

    new_events = study.tick(now=50)

    assert new_events[:3] == [
        (first, e.StepCancelled(at=50, message="cancelled before it ran")),
        (second, e.StepCancelled(at=50, message="a is CANCELLED", blocker=first)),
        (third, e.StepCancelled(at=50, message="a is CANCELLED", blocker=first)),
    ]
    assert submissions(new_events) == [other]


@pytest.mark.parametrize(
    "observed",
    [
        ended(143),
        NODE_FAILED,
        LOST,
        AttemptObservation(reports=(report(ReportKind.STOPPED, 143),)),
        AttemptObservation(queue=JobState.FAILED),
    ],
    ids=["exit", "node failed", "lost", "stopped", "failed"],
)
def test_however_a_job_ends_that_was_to_end_it_is_cancelled(observed: AttemptObservation):
    study = Study()
    number = study.add("a")
    study.start(number)
    study.do(e.CancelRequested(steps=(number,)))

    assert kinds(study.tick({number: observed})) == ["StepCancelled", "StudyCompleted"]


def test_a_job_that_finished_before_it_could_be_cancelled_has_finished():
    study = Study()
    first, second = study.chain("a", "b")
    study.start(first)
    study.do(e.CancelRequested(steps=(first,)))

    new_events = study.tick({first: ended(0)})

    assert kinds(new_events) == ["StepFinished", "SubmissionRequested"]
    assert submissions(new_events) == [second]


def test_a_job_that_somebody_else_cancelled_is_cancelled():
    study = Study()
    number = study.add("a")
    study.start(number)

    [cancelled] = of(study.tick({number: AttemptObservation(queue=JobState.CANCELLED)}), e.StepCancelled)

    assert cancelled.message == "cancelled outside of maestro-es"


def test_an_attempt_in_doubt_is_reconciled_before_it_is_cancelled():
    study = Study()
    number = study.add("a")
    study.request(number)
    study.do(e.CancelRequested())

    assert study.tick({number: AttemptObservation(queue=JobState.GONE, within_grace=True)}) == []
    assert jobs_to_end(study.graph, look()) == []

    assert kinds(study.tick({number: ABANDONED})) == ["AttemptAbandoned", "StepCancelled", "StudyCompleted"]


def test_an_adopted_job_of_a_cancelled_study_is_asked_to_end():
    study = Study()
    number = study.add("a")
    token = study.request(number)
    study.do(e.CancelRequested())

    assert kinds(study.tick({number: RUNNING})) == ["JobSubmitted", "JobStarted"]
    assert [step.token for step in jobs_to_end(study.graph, look())] == [token]


def test_a_step_that_waits_for_its_resubmission_is_cancelled():
    study = Study()
    number = study.add("a")
    study.start(number)
    study.do(e.StudyPaused())
    study.tick({number: NODE_FAILED})
    study.do(e.CancelRequested())

    assert kinds(study.tick()) == ["StepCancelled", "StudyCompleted"]


def test_what_a_dead_runner_left_behind_is_asked_to_end():
    study = Study()
    number = study.add("a")
    token = study.start(number)
    seen = look({token: AttemptObservation(queue=JobState.ORPHANED, claim=STARTED)})

    assert study.decide(seen) == []
    assert [step.number for step in jobs_to_end(study.graph, seen)] == [number]


# -- what the scheduler says of states and times ---------------------------------------------------------------------


def test_a_state_that_is_not_known_is_recorded_once_and_changes_nothing(study: Study):
    number = study.add("a", scheduled=True)
    study.start(number)
    strange = AttemptObservation(queue=JobState.UNKNOWN, raw_state="REVOKED")
    assert kinds(study.tick({number: strange})) == ["JobStateUnknown"]
    assert study.tick({number: strange}) == []
    assert kinds(study.tick({number: AttemptObservation(queue=JobState.UNKNOWN, raw_state="OTHER")})) == [
        "JobStateUnknown"
    ]
    assert study.step(number).state is State.RUNNING


def end_of(study: Study, number: int, observed: AttemptObservation, **seen: Any) -> tuple[int, bool]:
    [(_, event), *_] = [
        new_event for new_event in study.tick({number: observed}, **seen) if hasattr(new_event[1], "noticed")
    ]
    assert isinstance(event, (e.StepFinished, e.StepFailed, e.HardwareFailed, e.StepTimedOut, e.StepCancelled))
    return event.at, event.noticed


@pytest.mark.parametrize("state", [JobState.TIMED_OUT, JobState.FAILED, JobState.NODE_FAILED, JobState.CANCELLED])
def test_an_attempt_ends_when_its_scheduler_says_and_otherwise_when_a_tick_noticed_it(state: JobState):
    for ended_at, expected in ((700_000, (700_000, False)), (None, (1_000_000, True))):
        study = Study()
        number = study.add("a", scheduled=True)
        study.start(number)
        observed = AttemptObservation(queue=state, claim=STARTED, start_recorded=True, ended_at=ended_at)
        assert end_of(study, number, observed) == expected


@pytest.mark.parametrize(("booted_at", "expected"), [(900_000, 900_000), (3_000, 1_000_000), (0, 1_000_000)])
def test_a_local_step_that_a_reboot_has_ended_did_so_before_the_host_booted(booted_at: int, expected: int):
    study = Study()
    number = study.add("a")
    token = study.request(number)
    study.do(e.JobSubmitted(token=token, job_id="17", host="login1", instance="boot1"), number)
    study.do(e.JobStarted(token=token, at=5_000), number)
    gone = AttemptObservation(queue=JobState.GONE, claim=STARTED, start_recorded=True)
    assert end_of(study, number, gone, boot_id="boot2", booted_at=booted_at) == (expected, True)


@pytest.mark.parametrize(("reports", "end"), [((), State.PENDING), ((report(ReportKind.UNCLAIMED),), State.FAILED)])
def test_inside_an_allocation_a_step_fails_only_if_it_can_t_be_claimed(reports: Any, end: State):
    study = Study()
    number = study.add("a", scheduled=True)
    nowhere = structs.replace(ABANDONED, reports=reports)
    for turn in range(ABANDON_LIMIT + 2):
        seen = {number: nowhere} if turn else {}
        study.tick(seen, allocation=Allocation("18", (Need(4),)))
    assert study.step(number).state is end
    assert ("could not be created in the workspace" in study.step(number).message) is (end is State.FAILED)
