"""Why a step is in flight, and on which attempt."""

from __future__ import annotations

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Cause
from tests.unit.audit.views import asked, once_more, scheduled, two
from tests.unit.core.making import RESTARTABLE, Study

# -- in flight --------------------------------------------------------------------------------------------------------


def test_a_submission_without_an_answer_is_in_doubt_until_its_grace_is_over():
    study = two()
    study.request(1)
    assert asked(study, 1) == (
        (
            "a was requested at 7s (attempt 1), but no job is known yet; ticks look for one until 67s, then they give "
            "up the attempt"
        ),
        ["SubmissionRequested"],
    )


def test_a_silent_scheduler_says_since_when_nothing_is_known():
    study = two(scheduled(), scheduled=True)
    study.submit(1, "17")
    study.do(e.PollFailed(adapter="files", message="stale"))
    study.do(e.PollFailed(adapter="slurm", message="timed out"))
    assert asked(study, 1) == (
        (
            "a has been waiting in the queue of slurm since 8s as job 17; slurm has not answered since 10s, so its "
            "present state is unknown: timed out"
        ),
        ["JobSubmitted", "PollFailed"],
    )


def test_a_submission_in_doubt_stays_so_while_the_file_system_is_silent():
    study = two()
    study.request(1)
    study.do(e.PollFailed(adapter="files", message="a: Stale file handle"))
    assert asked(study, 1)[0] == (
        "a was requested at 7s (attempt 1), but no job is known yet; the file system has not answered since 8s, so "
        "its present state is unknown: a: Stale file handle"
    )


def test_a_missed_job_is_looked_for():
    study = two(scheduled(), scheduled=True)
    token = study.submit(1, "17")
    study.do(e.JobNotFound(token=token), 1)
    assert asked(study, 1) == (
        (
            "a has been waiting in the queue of slurm since 8s as job 17; its job has been missing since 9s, and "
            "ticks look for it until 69s"
        ),
        ["JobSubmitted", "JobNotFound"],
    )


def test_a_running_step_says_since_when_and_where():
    study = two()
    token = study.submit(1, "17")
    study.do(e.JobStarted(token=token, at=8_500, host="node1"), 1)
    assert asked(study, 1) == ("a has been running since 8s as job 17 on node1", ["JobSubmitted", "JobStarted"])


def test_of_a_step_on_another_host_it_is_said_what_to_do_if_that_is_gone_for_good():
    study = two()
    token = study.request(1)
    study.do(e.JobSubmitted(token=token, job_id="17", host="node1"), 1)
    study.do(e.JobStarted(token=token, at=8_500, host="node1"), 1)
    runs = "a has been running since 8s as job 17 on node1"
    gone = "if that host or container is gone for good, use 'maestro-es retry /study a --lost'"
    sees = f"{runs}; only a tick on node1 can see whether it is still running"
    assert asked(study, 1, host="node2")[0] == f"{sees}; {gone}"
    assert asked(study, 1, host="node2", ticker="node1")[0] == f"{sees}; {gone}"
    there = "but the last tick ran on node2: run 'maestro-es tick /study' there"
    assert asked(study, 1, host="node2", ticker="node2")[0] == f"{sees}, {there}; {gone}"

    assert asked(study, 1)[0] == asked(study, 1, ticker="node2")[0] == asked(study, 1, runs=False)[0] == runs
    assert asked(study, 1, ticker="node2", runs=False)[0] == (
        f"{runs}; its process has ended, but the last tick ran on node2, which can't see that: "
        "run 'maestro-es tick /study' here"
    )


def test_a_running_step_that_a_person_wants_to_end_says_so():
    study = two(scheduled(), scheduled=True)
    study.start(1)
    study.do(e.CancelRequested())
    assert asked(study, 1)[0] == (
        "a has been running since 5s as job job1; it is being cancelled, as requested by me@login1 at 10s, "
        "but no tick has seen its end yet"
    )


def test_a_local_step_that_has_not_said_that_it_runs():
    study = two()
    study.submit(1, "17")
    assert asked(study, 1)[0] == "a was started at 8s as job 17, and has not reported yet that it is running"


def test_what_was_said_instead_of_an_answer_to_a_submission_is_repeated():
    study = two(scheduled(), scheduled=True)
    token = study.request(1)
    study.do(e.SubmissionUncertain(token=token, message="Socket timed out"), 1)
    assert asked(study, 1) == (
        (
            "a was requested at 7s (attempt 1), but no job is known yet: Socket timed out; ticks look for one until "
            "67s, then they give up the attempt"
        ),
        ["SubmissionRequested", "SubmissionUncertain"],
    )


def test_the_schedulers_own_reason_why_a_job_waits_is_repeated():
    study = two(scheduled(), scheduled=True)
    token = study.submit(1)
    study.do(e.JobDelayed(token=token, reason="PartitionNodeLimit"), 1)

    words, evidence = asked(study, 1)

    assert words.startswith("a has been waiting in the queue of slurm since ")
    assert words.endswith("; slurm gives this reason: PartitionNodeLimit")
    assert evidence == ["JobSubmitted", "JobDelayed"]


# -- once more --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "reason", "types"),
    [
        (
            [lambda t: e.StepTimedOut(token=t, at=9_000), lambda _: e.StepRestarted(number=1, limit=2)],
            "attempt 1 ran out of time",
            ["StepTimedOut", "StepRestarted"],
        ),
        (
            [lambda t: e.HardwareFailed(token=t, at=9_000, number=1, limit=3, reason="NODE_FAIL")],
            "attempt 1 had a hardware failure (NODE_FAIL)",
            ["HardwareFailed"],
        ),
        (
            [lambda t: e.AttemptAbandoned(token=t, evidence=())],
            "attempt 1 left no trace of a job",
            ["AttemptAbandoned"],
        ),
        (
            [
                lambda t: e.StepFailed(token=t, at=9_000, cause=Cause.EXIT_CODE, message="exit code 1"),
                lambda _: e.StepReset(reason="fixed"),
            ],
            "a rerun was requested by me@login1 at 9s (reason: fixed)",
            ["StepReset"],
        ),
    ],
    ids=["restart", "hardware", "abandoned", "retry"],
)
def test_a_step_that_runs_again_says_why(events, reason, types):
    study = Study()
    study.add("a", run=RESTARTABLE)
    once_more(study, *events)
    words, proofs = asked(study, 1)
    assert words == f"a has been running since 20s as job job1 (attempt 2); {reason}"
    assert proofs == [*types, "JobSubmitted", "JobStarted"]


@pytest.mark.parametrize(
    ("numbers", "told"),
    [((0, 0), ""), ((0, 0, 0), "3"), ((0, 1, 1, 2, 2), "3"), ((1, 2, 3), ""), ((0, 0, 0, None, 0), "")],
    ids=["two", "three", "others count", "all count", "since the retry"],
)
def test_a_step_that_its_jobs_often_take_along_says_how_often(numbers, told):
    study = two()
    for number in numbers:
        if number is None:
            study.fail(1)
            study.do(e.StepReset(), 1)
            continue
        study.start(1)
        token = study.step(1).token
        study.do(e.HardwareFailed(token=token, at=9_000, number=number, limit=3, reason="its job has ended"), 1)
    words, _ = asked(study, 1)
    assert words.partition("(its job has ended)")[2] == (
        f"; {told} attempts had ends that do not count towards the limit" if told else ""
    )


def test_a_refused_submission_is_made_again():
    study = two(scheduled(submission_attempts=3), scheduled=True)
    token = study.request(1)
    study.do(e.SubmissionRejected(token=token, message="queue is full"), 1)
    assert asked(study, 1) == (
        "a is ready to run: the next tick submits it; the submission of attempt 1 was refused: queue is full",
        ["StepAdded", "SubmissionRejected"],
    )


def test_a_submission_that_was_taken_back_is_made_again():
    study = two()
    token = study.request(1)
    study.do(e.SubmissionWithdrawn(token=token), 1)
    study.request(1)
    words = asked(study, 1)[0]
    assert words.startswith("a was requested at 9s (attempt 2), but no job")
    assert words.endswith("; attempt 1 was withdrawn before it was submitted")
