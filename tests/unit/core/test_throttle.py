"""How many jobs a tick requests of a scheduler that has once taken no more."""

from __future__ import annotations

import pytest

from maestro_es.core import events as e
from maestro_es.core.throttle import BACKOFF, asked_again_at, count_slots
from tests.unit.core.making import Study

FIRST, LONGEST = BACKOFF


def full(queued: int, times: int = 1) -> Study:
    """Return a study of 40 steps of which so many were in the queue when the scheduler took no more."""
    study = Study(adapter={"type": "slurm"})
    for number in range(40):
        study.add(f"s{number}", scheduled=True)
    for number in range(1, queued + 1):
        study.submit(number)
    for _ in range(times):
        study.do(e.SubmissionWithdrawn(token=study.request(queued + 1), message="no room"), queued + 1)
    return study


def requests(study: Study, after: int = 0) -> int:
    """Return how many jobs a tick requests, so long after the last event."""
    return count_slots(study.graph, 4, study.events[-1].recorded_at + after)[1].requests(1000)


def end(study: Study, number: int) -> None:
    study.do(e.StepFinished(token=study.step(number).token, at=1), number)


def test_a_scheduler_that_never_said_that_it_is_full_is_asked_for_all():
    assert requests(full(queued=3, times=0)) == 1000


def test_a_full_scheduler_is_asked_again_for_one_job_after_a_while():
    study = full(queued=3)
    assert requests(study) == 0
    assert requests(study, FIRST - 1) == 0
    assert requests(study, FIRST) == 1


def test_a_full_scheduler_is_asked_at_once_for_as_many_jobs_as_have_ended_and_one_more():
    study = full(queued=3)
    end(study, 1)
    end(study, 2)
    assert requests(study) == 3


def test_the_line_begins_behind_the_step_for_which_there_was_no_room():
    """What is full for that one, a quality of service, say, need not be so for others."""
    study = full(queued=3)
    line = [step.number for step in study.graph.ready(scheduled=True, limit=99)]
    assert line == [*range(5, 41), 4]
    study.submit(5)
    assert [step.number for step in study.graph.ready(scheduled=True, limit=2)] == [6, 7]
    study.do(e.SubmissionWithdrawn(token=study.request(40), message="no room"), 40)
    assert [step.number for step in study.graph.ready(scheduled=True, limit=3)] == [4, 6, 7]


def test_what_a_scheduler_is_asked_for_doubles_as_long_as_it_takes_it():
    study = full(queued=3)
    asked = []
    number = 4
    while number <= 34:
        asked.append(requests(study, FIRST))
        for taken in range(number, number + asked[-1]):
            study.submit(taken)
        number += asked[-1]
    assert asked == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(("times", "wait"), [(1, FIRST), (2, 2 * FIRST), (4, 8 * FIRST), (9, LONGEST), (500, LONGEST)])
def test_the_longer_a_scheduler_is_full_the_less_often_it_is_asked(times: int, wait: int):
    study = full(queued=1, times=times)
    refusal = study.graph.study.refusal
    assert refusal is not None
    assert asked_again_at(refusal) == refusal.at + wait


def test_a_clock_that_was_set_back_does_not_keep_a_scheduler_from_being_asked():
    assert requests(full(queued=3), -3600 * 1_000_000) == 1


def test_if_a_whole_array_is_refused_half_of_it_may_be_requested_at_once():
    study = full(queued=3, times=0)
    study.do(e.SubmissionWithdrawn(token=study.request(4), message="no room", together=30), 4)
    assert requests(study) == 15
    end(study, 1)
    assert requests(study) == 16
    assert [step.number for step in study.graph.ready(scheduled=True, limit=1)] == [4]


def test_requests_that_a_preview_takes_for_submitted_are_not_in_doubt():
    study = full(queued=3, times=0)
    token = study.request(4)
    assert requests(study) == 16
    assert count_slots(study.graph, 4, 0, {token})[1].requests(1000) == 1000
