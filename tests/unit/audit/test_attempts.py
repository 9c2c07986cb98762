from __future__ import annotations

from maestro_es.audit.attempts import attempts
from maestro_es.core import events as e
from maestro_es.core.model import Cause, SubmissionKind

SAID = (e.Evidence(source="report", detail="t1.exit.3"),)


def told(*events: e.AnyEvent) -> list[e.Recorded]:
    return [e.Recorded(seq, 1000 * seq, 1, 1, event) for seq, event in enumerate(events, 1)]


def requested(number: int = 1, kind: SubmissionKind = SubmissionKind.FIRST) -> e.SubmissionRequested:
    return e.SubmissionRequested(attempt=number, token=f"t{number}", kind=kind)


def test_a_step_that_was_never_submitted_has_no_attempts():
    assert attempts(told(e.StepFailed(at=5, cause=Cause.UPSTREAM, message="a is FAILED"))) == []


def test_an_attempt_has_its_job_its_times_its_outcome_and_its_evidence():
    [attempt] = attempts(
        told(
            requested(),
            e.JobSubmitted(token="t1", job_id="17", adopted=True, host="login1"),
            e.JobStarted(token="t1", at=2500, host="node1"),
            e.StepFailed(at=9, cause=Cause.EXIT_CODE, message="exit code 3", token="t1", exit_code=3, evidence=SAID),
        )
    )
    assert (attempt.number, attempt.token, attempt.kind) == (1, "t1", "first")
    assert (attempt.job_id, attempt.adopted, attempt.host) == ("17", True, "node1")
    assert (attempt.requested_at, attempt.submitted_at, attempt.started_at, attempt.ended_at) == (1000, 2000, 2500, 9)
    assert (attempt.outcome, attempt.exit_code) == ("failed with exit code 3", 3)
    assert attempt.evidence == SAID


def test_a_job_was_submitted_no_later_than_it_started():
    """A fast job starts before the tick has recorded that it was submitted."""
    [attempt] = attempts(
        told(requested(), e.JobSubmitted(token="t1", job_id="17"), e.JobStarted(token="t1", at=1500, host="node1"))
    )
    assert (attempt.submitted_at, attempt.started_at) == (1500, 1500)


def test_an_attempt_that_is_not_over_is_in_flight():
    [attempt] = attempts(told(requested(), e.JobSubmitted(token="t1", job_id="17")))
    assert (attempt.outcome, attempt.ended_at) == ("in flight", None)


def test_a_refusal_by_the_scheduler_is_no_exit_code_of_the_step():
    [attempt] = attempts(told(requested(), e.SubmissionRejected(token="t1", message="no such queue", exit_code=1)))
    assert (attempt.outcome, attempt.exit_code, attempt.ended_at) == (
        "the submission was refused: no such queue",
        None,
        2000,
    )


def test_each_restart_is_an_attempt_of_its_own():
    first, second = attempts(
        told(
            requested(),
            e.JobSubmitted(token="t1", job_id="17"),
            e.StepTimedOut(token="t1", at=7),
            e.StepRestarted(number=1, limit=2),
            requested(2, SubmissionKind.RESTART),
            e.JobSubmitted(token="t2", job_id="18"),
            e.StepFinished(token="t2", at=8),
        )
    )
    assert (first.outcome, first.job_id, first.kind) == ("ran out of time", "17", "first")
    assert (second.outcome, second.job_id, second.kind, second.exit_code) == ("finished", "18", "restart", 0)


def test_how_a_step_fails_after_its_last_attempt_does_not_change_that_attempt():
    [attempt] = attempts(
        told(
            requested(),
            e.JobSubmitted(token="t1", job_id="17"),
            e.HardwareFailed(token="t1", at=7, number=1, limit=3, reason="node failed"),
            e.StepCancelled(at=9, message="cancelled before it ran"),
        )
    )
    assert (attempt.outcome, attempt.ended_at) == (
        "hardware failure: node failed (1 of 3)",
        7,
    )
