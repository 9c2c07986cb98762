"""How a step has ended."""

from __future__ import annotations

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Cause, State
from tests.unit.audit.views import asked, failed, once_more, scheduled, two
from tests.unit.core.making import RESTARTABLE, Study


def test_a_finished_step_says_when_and_on_which_attempt():
    study = two()
    study.finish(1)
    assert asked(study, 1) == ("a finished at 9s with exit code 0 (job job1)", ["JobSubmitted", "StepFinished"])


@pytest.mark.parametrize(
    ("cause", "message", "words"),
    [
        (Cause.EXIT_CODE, "exit code 3", "failed at 9s with exit code 3 (job job1)"),
        (
            Cause.OUT_OF_MEMORY,
            "used more memory than allowed",
            "failed at 9s: used more memory than allowed (job job1)",
        ),
        (Cause.SCHEDULER, "BOOT_FAIL", "failed at 9s, according to the scheduler: BOOT_FAIL (job job1)"),
        (Cause.HARDWARE, "node down; resubmitted 3 times", "failed at 9s: node down; resubmitted 3 times (job job1)"),
        (Cause.LOST, "gone without a word", "failed at 9s: gone without a word (job job1)"),
    ],
)
def test_a_failed_step_says_how(cause, message, words):
    study = two()
    study.start(1)
    failed(study, 1, cause, message)
    assert asked(study, 1) == (f"a {words}", ["JobSubmitted", "JobStarted", "StepFailed"])


@pytest.mark.parametrize(
    ("cause", "message"),
    [(Cause.REJECTED, "submission refused: no such partition"), (Cause.SCRIPT, "its script can't be written: full")],
)
def test_a_step_that_was_not_even_submitted_says_so(cause, message):
    study = two()
    study.request(1)
    failed(study, 1, cause, message)
    assert asked(study, 1) == (f"a failed at 9s: {message}", ["StepFailed"])


def test_an_upstream_failure_says_how_it_began():
    study = two()
    study.start(1)
    failed(study, 1, Cause.EXIT_CODE, "exit code 3", exit_code=3)
    failed(study, 2, Cause.UPSTREAM, "a is FAILED", blocker=1)
    assert asked(study, 2) == (
        "b was not run because a failed at 9s with exit code 3 (job job1)",
        ["JobSubmitted", "JobStarted", "StepFailed", "StepFailed"],
    )


def test_an_upstream_failure_keeps_its_reason_when_the_blocker_runs_again():
    study = two()
    study.fail(1)
    failed(study, 2, Cause.UPSTREAM, "a is FAILED", blocker=1)
    study.do(e.StepReset(), 1)
    study.finish(1)
    assert asked(study, 2)[0] == "b was not run because a failed at 9s with exit code 1"


def test_a_timeout_says_why_there_is_no_restart():
    study = two()
    token = study.start(1)
    study.do(e.StepTimedOut(token=token, at=9_000, final="it has no restart script"), 1)
    assert asked(study, 1)[0] == "a ran out of time at 9s: it has no restart script (job job1)"


def test_an_exhausted_restart_limit_says_how_often_it_was_restarted():
    study = Study()
    study.add("a", run=RESTARTABLE)
    once_more(study, lambda t: e.StepTimedOut(token=t, at=9_000), lambda _: e.StepRestarted(number=1, limit=1))
    study.do(e.StepTimedOut(token=study.step(1).token, at=21_000, final="restart limit reached: 1 of 1"), 1)
    assert asked(study, 1) == (
        ("a ran out of time at 21s: restart limit reached: 1 of 1 (attempt 2, job job1); attempt 1 ran out of time"),
        ["StepTimedOut", "StepRestarted", "JobSubmitted", "JobStarted", "StepTimedOut"],
    )


def test_a_cancelled_step_says_who_asked_for_it():
    study = two()
    token = study.start(1)
    study.do(e.CancelRequested(steps=(1,), reason="wrong input"))
    study.do(e.StepCancelled(token=token, at=12_000, message="cancelled"), 1)
    study.do(e.StepCancelled(at=12_000, message="a is CANCELLED", blocker=1), 2)
    assert asked(study, 1) == (
        "a was cancelled at 12s (job job1), as requested by me@login1 at 10s (reason: wrong input)",
        ["JobSubmitted", "JobStarted", "CancelRequested", "StepCancelled"],
    )
    assert asked(study, 2)[0].startswith(
        "b was cancelled because a was cancelled at 12s (job job1), as requested by me@login1 at 10s"
    )


def test_a_step_cancelled_by_somebody_else_names_nobody():
    study = two(scheduled(), scheduled=True)
    study.do(e.CancelRequested(steps=(2,)))
    token = study.start(1)
    study.do(e.StepCancelled(token=token, at=12_000, message="cancelled outside of maestro-es"), 1)
    assert asked(study, 1)[0] == "a was cancelled outside of maestro-es at 12s (job job1)"


def test_a_step_that_was_cancelled_before_it_ran_has_no_attempt():
    study = two()
    study.do(e.CancelRequested())
    study.do(e.StepCancelled(at=9_000, message="cancelled before it ran"), 1)
    assert asked(study, 1) == (
        "a was cancelled before it ran at 9s, as requested by me@login1 at 7s",
        ["CancelRequested", "StepCancelled"],
    )


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.FINISHED, "finished under Maestro at 4s (job 17)"),
        (State.FAILED, "failed under Maestro at 4s (job 17)"),
        (State.TIMEDOUT, "ran out of time under Maestro at 4s (job 17)"),
        (State.CANCELLED, "was cancelled under Maestro at 4s (job 17)"),
    ],
)
def test_an_imported_step_ended_under_maestro(state, words):
    study = two()
    study.do(e.StepImported(state=state, job_id="17", ended_at=4_000), 1)
    assert asked(study, 1) == (f"a {words}", ["StepImported"])


def test_a_dry_run_has_written_scripts():
    study = two(Study(dry_run=True))
    study.do(e.StepDryRun(at=7_000), 1)
    assert asked(study, 1)[0] == "a was not run, because this is a dry run: its scripts were written at 7s"


def test_a_skipped_step_is_taken_as_finished():
    study = two()
    study.fail(1)
    study.do(e.StepSkipped(by="me", reason="good enough"), 1)
    assert asked(study, 1) == ("a was marked as finished at 8s, skipped by me: good enough", ["StepSkipped"])
    assert asked(study, 2) == ("b is ready to run: the next tick submits it", ["StepSkipped"])
