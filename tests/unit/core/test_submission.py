"""What came of calling a scheduler becomes events, unless it is unknown or another process has reconciled it."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_es.core import events as e
from maestro_es.core.attempt_token import Placement, placed_suffix
from maestro_es.core.model import Cause, Phase
from maestro_es.core.submission import (
    Accepted,
    InDoubt,
    NotAttempted,
    Outcome,
    QueueFull,
    Rejected,
    ScriptFailed,
    SubmittedScript,
    outcome_events,
)
from tests.unit.core.making import Study

ALL = [
    Accepted("17"),
    Accepted("17", "login1", "boot1"),
    Accepted("17", left_out=("--mincpus=70",), script_digest="spare"),
    Rejected("no"),
    InDoubt("killed"),
    ScriptFailed("full"),
    QueueFull("no room"),
    QueueFull("no room, or never", certain=False),
    NotAttempted(),
]


def requested(**settings: Any) -> tuple[Study, int, str]:
    study = Study(**settings)
    number = study.add("a")
    return study, number, study.request(number)


def test_a_job_that_was_taken_is_submitted():
    study, number, token = requested()

    events = outcome_events(study.graph, number, token, Accepted("17"), 500, SubmittedScript("digest", "other"))

    assert events == [e.JobSubmitted(token=token, job_id="17", script_digest="digest", other_digest="other")]


def test_what_a_job_was_submitted_without_is_recorded_with_its_script():
    study, number, token = requested()
    accepted = Accepted("17", left_out=("--mincpus=70",), script_digest="spare")

    [event] = outcome_events(study.graph, number, token, accepted, 500, SubmittedScript("digest", "other"))

    assert event == e.JobSubmitted(
        token=token, job_id="17", script_digest="spare", other_digest="other", left_out=("--mincpus=70",)
    )


def test_a_local_process_runs_from_the_moment_it_is_there():
    study, number, token = requested()

    events = outcome_events(study.graph, number, token, Accepted("4711", "login1", "boot1"), 500)

    assert events == [
        e.JobSubmitted(token=token, job_id="4711", host="login1", instance="boot1"),
        e.JobStarted(token=token, at=500, host="login1"),
    ]


def test_a_step_inside_an_allocation_has_not_started_before_its_claim():
    study, number, _ = requested()
    token = f"cafe0123-1-1-{placed_suffix('a1', Placement('18', 0))}"
    study.graph.step(number).token = token

    events = outcome_events(study.graph, number, token, Accepted("18.0", "node1", "maestro-es-1"), 500)

    assert events == [e.JobSubmitted(token=token, job_id="18.0", host="node1", instance="maestro-es-1")]


def test_a_refusal_ends_the_step_when_there_is_one_attempt():
    study, number, token = requested(submission_attempts=1)

    events = outcome_events(study.graph, number, token, Rejected("invalid partition", 1), 500)

    assert events == [
        e.SubmissionRejected(token=token, message="invalid partition", exit_code=1),
        e.StepFailed(at=500, cause=Cause.REJECTED, message="submission refused: invalid partition"),
    ]


def test_a_refusal_is_tried_again_as_often_as_is_set():
    study, number, token = requested(submission_attempts=3)
    for _ in range(2):
        events = outcome_events(study.graph, number, token, Rejected("busy"), 500)
        assert events == [e.SubmissionRejected(token=token, message="busy")]
        study.record((number, event) for event in events)
        assert study.step(number).phase is Phase.READY
        token = study.request(number)

    last = outcome_events(study.graph, number, token, Rejected("busy"), 500)

    assert last == [
        e.SubmissionRejected(token=token, message="busy"),
        e.StepFailed(at=500, cause=Cause.REJECTED, message="submission refused (3 times): busy"),
    ]


def test_of_a_submission_in_doubt_the_words_are_kept():
    study, number, token = requested()

    events = outcome_events(study.graph, number, token, InDoubt("timed out"), 500)

    assert events == [e.SubmissionUncertain(token=token, message="timed out")]
    study.record((number, event) for event in events)
    assert (study.step(number).phase, study.step(number).message) == (Phase.REQUESTED, "timed out")


def test_a_submission_that_was_not_made_is_withdrawn():
    study, number, token = requested()

    assert outcome_events(study.graph, number, token, NotAttempted(), 500) == [e.SubmissionWithdrawn(token=token)]


def test_a_step_for_which_there_is_no_room_is_taken_back_with_the_schedulers_words():
    study, number, token = requested()

    events = outcome_events(study.graph, number, token, QueueFull("no room"), 500)

    assert events == [e.SubmissionWithdrawn(token=token, message="no room")]


def test_words_that_may_mean_never_are_a_refusal_once_no_other_job_of_the_study_is_left():
    study = Study(adapter={"type": "slurm"})
    first, second = study.add("a", scheduled=True), study.add("b", scheduled=True)
    study.submit(first)
    token = study.request(second)
    maybe = QueueFull("violates policy", certain=False)

    assert outcome_events(study.graph, second, token, maybe, 500) == [
        e.SubmissionWithdrawn(token=token, message="violates policy")
    ]

    study.do(e.StepFinished(token=study.step(first).token, at=1), first)

    assert outcome_events(study.graph, second, token, maybe, 500) == [
        e.SubmissionRejected(token=token, message="violates policy"),
        e.StepFailed(at=500, cause=Cause.REJECTED, message="submission refused: violates policy"),
    ]


def test_a_step_whose_script_can_not_be_written_fails_alone():
    study, number, token = requested()

    events = outcome_events(study.graph, number, token, ScriptFailed("no space left"), 500)

    assert events == [e.StepFailed(token=token, at=500, cause=Cause.SCRIPT, message="no space left")]


@pytest.mark.parametrize("outcome", ALL, ids=lambda outcome: type(outcome).__name__)
def test_the_events_of_an_outcome_can_follow(outcome: Outcome):
    study, number, token = requested()

    study.record((number, event) for event in outcome_events(study.graph, number, token, outcome, 500))


@pytest.mark.parametrize("outcome", ALL, ids=lambda outcome: type(outcome).__name__)
@pytest.mark.parametrize("settled", ["adopted", "abandoned", "next attempt", "cancelled"])
def test_an_attempt_that_another_tick_has_settled_is_left_alone(outcome: Outcome, settled: str):
    study, number, token = requested()
    if settled == "adopted":
        study.do(e.JobSubmitted(token=token, job_id="17", adopted=True), number)
    elif settled == "cancelled":
        study.do(e.StepCancelled(at=1, message="cancelled"), number)
    else:
        study.do(e.AttemptAbandoned(token=token, evidence=()), number)
    if settled == "next attempt":
        study.request(number)

    assert outcome_events(study.graph, number, token, outcome, 500) == []
