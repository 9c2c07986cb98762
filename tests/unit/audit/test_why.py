"""The reasons that a step can have, each with its sentence and the events that prove it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maestro_es.audit.why import why
from maestro_es.audit.why_study import why_study
from maestro_es.core import events as e
from maestro_es.core.model import Cause, State, StudyStatus, SubmissionKind
from tests.unit.audit.views import view_at
from tests.unit.core.making import RESTARTABLE, Study


def asked(study: Study, number: int, ticking: str = "") -> tuple[str, list[str]]:
    """Return the sentence about a step, and the types of the events that prove it."""
    answer = why(view_at(study.events, len(study.events), ticking=ticking), study.step(number))
    return answer.words, [type(recorded.event).__name__ for recorded in answer.evidence]


def scheduled(**settings: Any) -> Study:
    return Study({"type": "slurm"}, **settings)


def two(study: Study | None = None, **fields: Any) -> Study:
    """A step `a`, and `b` that waits for it: events 1 to 6."""
    study = study or Study()
    study.add("a", **fields)
    study.add("b", parents=(1,), **fields)
    return study


def failed(study: Study, number: int, cause: Cause, message: str, **more: Any) -> None:
    study.do(e.StepFailed(at=9_000, cause=cause, message=message, **more), number)


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_a_step_waits_for_a_parent_and_the_parent_for_its_job():
    study = two(scheduled(), scheduled=True)
    study.submit(1, "17")
    assert asked(study, 2) == (
        "b waits for a, which waits in the queue of slurm since 8s as job 17",
        ["StepAdded", "JobSubmitted"],
    )


def test_a_long_chain_comes_down_to_its_first_step():
    study = Study()
    study.chain("a", "b", "c", "d")
    study.start(1)
    assert asked(study, 4)[0] == "d waits for c, and so for a, which runs since 5s as job job1"


def test_a_funnel_says_how_many_are_not_finished_and_which_of_them_does_not_go_on():
    study = Study()
    for number in range(1, 5):
        study.add(f"sim_{number}", template="sim")
    study.add("post", funnels=("sim",))
    study.finish(1)
    study.start(2)
    study.start(3)
    study.request(4)
    assert asked(study, 5) == (
        (
            "post waits for all of sim (3 not finished); sim_4 was requested at 19s (attempt 1), and no job is known "
            "yet; ticks look for one until 79s, then they give the attempt up; besides 2 RUNNING"
        ),
        ["StepAdded", "SubmissionRequested"],
    )


def test_of_many_parents_some_are_named():
    study = Study()
    for number in range(1, 8):
        study.add(f"p{number}")
    study.add("end", parents=tuple(range(1, 8)))
    assert asked(study, 8)[0] == (
        "end waits for p1, p2, p3, p4, p5 and 2 more; p1 is ready to run: the next tick submits it; "
        "besides 6 INITIALIZED"
    )


def test_a_connection_made_later_is_evidence_too():
    study = Study()
    study.add("a")
    study.add("b")
    study.do(e.ConnectionAdded(parent=1), 2)
    assert asked(study, 2)[1] == ["StepAdded", "StepAdded", "ConnectionAdded"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_step_that_a_person_wants_to_end_is_cancelled_by_the_next_tick(number):
    study = two()
    study.do(e.CancelRequested(steps=(1, 2), reason="wrong input"))
    begins = ("a is ready to run", "b waits for a")[number - 1]
    assert asked(study, number) == (
        f"{begins}, but the next tick cancels it, as me@login1 asked for it at 7s (wrong input)",
        ["StepAdded", "CancelRequested"],
    )


# -- ready ------------------------------------------------------------------------------------------------------------


def test_a_ready_step_waits_for_the_next_tick_and_when_the_last_one_was():
    study = two()
    assert asked(study, 1, ticking="; the last one was 30 s ago") == (
        "a is ready to run: the next tick submits it; the last one was 30 s ago",
        ["StepAdded"],
    )


def test_what_made_a_step_ready_is_evidence():
    study = two()
    study.finish(1)
    assert asked(study, 2) == ("b is ready to run: the next tick submits it", ["StepFinished"])


def test_a_paused_study_says_who_paused_it_and_why():
    study = two()
    study.do(e.StudyPaused(reason="maintenance"))
    assert asked(study, 1) == (
        "a is ready to run, but the study is paused, as me@login1 asked for it at 7s (maintenance)",
        ["StepAdded", "StudyPaused"],
    )


def test_a_full_throttle_says_how_full_it_is_and_what_comes_before():
    study = scheduled(submission_throttle=1)
    for name in "abc":
        study.add(name, scheduled=True)
    study.submit(1)
    assert asked(study, 2)[0] == ("b is ready to run, but the throttle is 1: 1 in flight, none before it in the line")
    assert asked(study, 3) == (
        "c is ready to run, but the throttle is 1: 1 in flight, 1 before it in the line",
        ["StudyCreated", "StepAdded"],
    )


def test_the_throttle_that_was_changed_last_is_the_evidence():
    study = scheduled(submission_throttle=5)
    study.add("a", scheduled=True)
    study.add("b", scheduled=True)
    study.submit(1)
    study.do(e.SettingsChanged(what="submission_throttle", before=5, after=1))
    assert asked(study, 2)[1] == ["StepAdded", "SettingsChanged"]


def test_local_steps_wait_for_a_slot():
    study = Study(local_slots=2)
    for name in "abcd":
        study.add(name)
    study.start(1)
    assert asked(study, 2)[0] == "b is ready to run: the next tick submits it"
    assert asked(study, 4)[0] == (
        "d is ready to run, but its host has 2 slots for local steps: 1 in flight, 2 before it in the line"
    )


def test_while_a_submission_is_in_doubt_few_jobs_are_requested_in_a_tick():
    study = scheduled()
    for number in range(20):
        study.add(f"s{number}", scheduled=True)
    study.request(1)
    assert asked(study, 17)[0] == "s16 is ready to run: the next tick submits it"
    words, evidence = asked(study, 18)
    assert words.startswith(
        "s17 is ready to run, but a tick requests at most 16 jobs while nobody knows whether slurm"
    )
    assert words.endswith("has that of s0: 16 before it in the line")
    assert evidence == ["StepAdded", "SubmissionRequested"]


def test_a_step_for_which_the_scheduler_has_no_room_says_what_that_said_and_when_it_is_asked_again():
    study = scheduled()
    for name in "abc":
        study.add(name, scheduled=True)
    study.submit(1)
    study.do(e.SubmissionWithdrawn(token=study.request(2), message="AssocMaxSubmitJobLimit"), 2)
    words, evidence = asked(study, 2)
    assert words.startswith("b is ready to run, but slurm took no more jobs at 12s (AssocMaxSubmitJobLimit); it has 1")
    assert "and is asked again when one of this study has ended, or after 15012s: none before it" in words
    assert words.endswith("attempt 1 was taken back before it was submitted, as its scheduler took no more jobs")
    assert evidence == ["StepAdded", "SubmissionWithdrawn"]
    study.do(e.StepFinished(token=study.step(1).token, at=1), 1)
    assert asked(study, 3)[0] == "c is ready to run: the next tick submits it"
    study.submit(2)
    study.add("d", scheduled=True)
    study.add("e", scheduled=True)
    assert asked(study, 4)[0] == (
        "d is ready to run, but a tick requests at most 1 job, as slurm once took no more than 1 of this study: "
        "1 before it in the line"
    )


def test_a_dry_run_runs_nothing():
    study = two(Study(dry_run=True))
    assert asked(study, 1)[0] == (
        "a is ready to run, but this is a dry run: the next tick writes its scripts, and nothing is run"
    )


def test_a_study_that_has_ended_submits_nothing():
    study = two()
    study.fail(1)
    failed(study, 2, Cause.UPSTREAM, "a ended FAILED")
    study.do(e.StudyCompleted(status=StudyStatus.FAILURE))
    study.do(e.StepReset(), 1)
    assert asked(study, 1)[0] == (
        "a is ready to run, but the study has ended (FAILURE) and was not reopened; me@login1 asked for it at 10s"
    )


# -- in flight --------------------------------------------------------------------------------------------------------


def test_a_submission_without_an_answer_is_in_doubt_until_its_grace_is_over():
    study = two()
    study.request(1)
    assert asked(study, 1) == (
        (
            "a was requested at 7s (attempt 1), and no job is known yet; ticks look for one until 67s, then they give "
            "the attempt up"
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
            "a waits in the queue of slurm since 8s as job 17; slurm does not answer since 10s, so nothing new is "
            "known of it: timed out"
        ),
        ["JobSubmitted", "PollFailed"],
    )


def test_a_submission_in_doubt_stays_so_while_the_file_system_is_silent():
    study = two()
    study.request(1)
    study.do(e.PollFailed(adapter="files", message="a: Stale file handle"))
    assert asked(study, 1)[0] == (
        "a was requested at 7s (attempt 1), and no job is known yet; the file system does not answer since 8s, so "
        "nothing new is known of it: a: Stale file handle"
    )


def test_a_missed_job_is_looked_for():
    study = two(scheduled(), scheduled=True)
    token = study.submit(1, "17")
    study.do(e.JobMissed(token=token), 1)
    assert asked(study, 1) == (
        (
            "a waits in the queue of slurm since 8s as job 17; since 9s nobody knows its job any more, and it is "
            "looked for until 69s"
        ),
        ["JobSubmitted", "JobMissed"],
    )


def test_a_running_step_says_since_when_and_where():
    study = two()
    token = study.submit(1, "17")
    study.do(e.JobStarted(token=token, at=8_500, host="node1"), 1)
    assert asked(study, 1) == ("a runs since 8s as job 17 on node1", ["JobSubmitted", "JobStarted"])


def test_a_running_step_that_a_person_wants_to_end_says_so():
    study = two(scheduled(), scheduled=True)
    study.start(1)
    study.do(e.CancelRequested())
    assert asked(study, 1)[0] == (
        "a runs since 5s as job job1; it is being cancelled, as me@login1 asked for it at 10s, and nothing tells yet "
        "that it has ended"
    )


def test_a_local_step_that_has_not_said_that_it_runs():
    study = two()
    study.submit(1, "17")
    assert asked(study, 1)[0] == "a was started at 8s as job 17, and has not said yet that it runs"


# -- once more --------------------------------------------------------------------------------------------------------


def once_more(study: Study, *events: Callable[[str], e.AnyEvent]) -> Study:
    """Let the first step start, let that happen to it, and let it start again."""
    token = study.start(1)
    for make in events:
        study.do(make(token), 1)
    study.start(1, at=20_000)
    return study


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
            "attempt 1 failed by no fault of its own (NODE_FAIL)",
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
            "me@login1 asked for it at 9s (fixed)",
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
    assert words == f"a runs since 20s as job job1; attempt 2, as {reason}"
    assert proofs == [*types, "JobSubmitted", "JobStarted"]


def test_a_refused_submission_is_made_again():
    study = two(scheduled(submission_attempts=3), scheduled=True)
    token = study.request(1)
    study.do(e.SubmissionRejected(token=token, message="queue is full"), 1)
    assert asked(study, 1) == (
        "a is ready to run: the next tick submits it; attempt 1 had its submission refused: queue is full",
        ["StepAdded", "SubmissionRejected"],
    )


def test_a_submission_that_was_taken_back_is_made_again():
    study = two()
    token = study.request(1)
    study.do(e.SubmissionWithdrawn(token=token), 1)
    study.request(1)
    assert asked(study, 1)[0].startswith(
        "a was requested at 9s (attempt 2, as attempt 1 was taken back before it was submitted), and no job"
    )


# -- ended ------------------------------------------------------------------------------------------------------------


def test_a_finished_step_says_when_and_on_which_attempt():
    study = two()
    study.finish(1)
    assert asked(study, 1) == ("a finished at 9s with exit code 0 (job job1)", ["JobSubmitted", "StepFinished"])


@pytest.mark.parametrize(
    ("cause", "message", "words"),
    [
        (Cause.EXIT_CODE, "exit code 3", "failed at 9s: exit code 3 (job job1)"),
        (Cause.OUT_OF_MEMORY, "took more memory than it may", "failed at 9s: took more memory than it may (job job1)"),
        (Cause.SCHEDULER, "BOOT_FAIL", "failed at 9s: BOOT_FAIL, by the scheduler's word (job job1)"),
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
    failed(study, 2, Cause.UPSTREAM, "a ended FAILED", blocker=1)
    assert asked(study, 2) == (
        "b was not run (upstream: a ended FAILED): a failed at 9s: exit code 3 (job job1)",
        ["JobSubmitted", "JobStarted", "StepFailed", "StepFailed"],
    )


def test_an_upstream_failure_keeps_its_reason_when_the_blocker_runs_again():
    study = two()
    study.fail(1)
    failed(study, 2, Cause.UPSTREAM, "a ended FAILED", blocker=1)
    study.do(e.StepReset(), 1)
    study.finish(1)
    assert asked(study, 2)[0] == "b was not run (upstream: a ended FAILED): a failed at 9s: exit code 1"


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
        "a ran out of time at 21s: restart limit reached: 1 of 1 (job job1); attempt 2, as attempt 1 ran out of time",
        ["StepTimedOut", "StepRestarted", "JobSubmitted", "JobStarted", "StepTimedOut"],
    )


def test_a_cancelled_step_says_who_asked_for_it():
    study = two()
    token = study.start(1)
    study.do(e.CancelRequested(steps=(1,), reason="wrong input"))
    study.do(e.StepCancelled(token=token, at=12_000, message="cancelled"), 1)
    study.do(e.StepCancelled(at=12_000, message="a ended CANCELLED", blocker=1), 2)
    assert asked(study, 1) == (
        "a was cancelled at 12s (job job1), as me@login1 asked for it at 10s (wrong input)",
        ["JobSubmitted", "JobStarted", "CancelRequested", "StepCancelled"],
    )
    assert asked(study, 2)[0].startswith(
        "b was cancelled (a ended CANCELLED): a was cancelled at 12s (job job1), as me@login1 asked for it at 10s"
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
        "a was cancelled before it ran at 9s, as me@login1 asked for it at 7s",
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


# -- then -------------------------------------------------------------------------------------------------------------


def test_the_answer_of_a_moment_knows_nothing_of_what_came_later():
    study = two()
    study.finish(1)
    study.do(e.StudyPaused())

    def then(seq: int) -> str:
        view = view_at(study.events, seq)
        return why(view, view.graph.step(2)).words

    assert then(6) == "b waits for a, which is ready to run: the next tick submits it"
    assert then(7).startswith("b waits for a, which was requested at 7s")
    assert then(9) == "b is ready to run: the next tick submits it"
    assert then(10) == "b is ready to run, but the study is paused, as me@login1 asked for it at 10s"


# -- the study --------------------------------------------------------------------------------------------------------


def whole(study: Study) -> str:
    return why_study(view_at(study.events, len(study.events))).words


def test_a_study_is_not_done_because_of_the_step_that_does_not_go_on():
    study = two()
    assert (
        whole(study) == "cafe0123: 2 of 2 steps are not done, 0 in flight; a is ready to run: the next tick submits it"
    )
    study.start(1)
    assert whole(study) == "cafe0123: 2 of 2 steps are not done, 1 in flight; a runs since 5s as job job1"
    study.do(e.StudyPaused(reason="noon"))
    assert whole(study) == (
        "cafe0123: 2 of 2 steps are not done, 1 in flight; it is paused, as me@login1 asked for it at 10s (noon); "
        "a runs since 5s as job job1"
    )


def test_a_study_that_is_being_cancelled_says_by_whom():
    study = two()
    study.start(1)
    study.do(e.CancelRequested())
    assert whole(study).startswith(
        "cafe0123: 2 of 2 steps are not done, 1 in flight; it is being cancelled, as me@login1 asked for it at 10s; "
    )


def test_a_study_that_has_ended_says_how():
    study = two()
    study.finish(1)
    study.fail(2)
    assert whole(study) == "cafe0123: 1 FINISHED, 1 FAILED; the next tick completes it"
    study.do(e.StudyCompleted(status=StudyStatus.FAILURE))
    assert whole(study) == "cafe0123 has ended at 11s, FAILURE: 1 FINISHED, 1 FAILED"


def test_a_study_without_steps_has_nothing_to_do():
    assert whole(Study()) == "cafe0123: no steps"


def test_a_step_taken_over_from_maestro_that_is_left_to_run():
    study = Study()
    study.add("a", run=RESTARTABLE)
    study.do(e.StepImported(state=State.INITIALIZED, restarts=1, message="to run again, it was begun"), 1)
    assert study.step(1).kind is SubmissionKind.RESTART
    assert asked(study, 1) == (
        "a is ready to run: the next tick submits it; it was taken over from Maestro (to run again, it was begun)",
        ["StepAdded", "StepImported"],
    )


# -- held and skipped -------------------------------------------------------------------------------------------------


def test_a_held_step_says_who_holds_it():
    study = two()
    study.do(e.StepHeld(reason="look at a first"), 1)
    study.do(e.StepHeld(), 2)
    assert asked(study, 1) == (
        "a is ready to run, but it is held, as me@login1 asked for it at 7s (look at a first)",
        ["StepAdded", "StepHeld"],
    )
    assert asked(study, 2)[0] == (
        "b waits for a, which is ready to run, but it is held, as me@login1 asked for it at 7s (look at a first); "
        "besides, it is held, as me@login1 asked for it at 8s"
    )
    study.do(e.StudyPaused())
    assert asked(study, 1)[0].startswith(
        "a is ready to run, but the study is paused, as me@login1 asked for it at 9s, and it is held, as me@login1"
    )
    study.do(e.StudyResumed())
    study.do(e.StepReleased(), 1)
    assert asked(study, 1)[0] == "a is ready to run: the next tick submits it"


def test_a_skipped_step_is_taken_as_finished():
    study = two()
    study.fail(1)
    study.do(e.StepSkipped(by="me", reason="good enough"), 1)
    assert asked(study, 1) == ("a is taken as finished since 8s, skipped by me: good enough", ["StepSkipped"])
    assert asked(study, 2) == ("b is ready to run: the next tick submits it", ["StepSkipped"])


def test_a_study_in_which_only_held_steps_are_left_says_so():
    study = two()
    study.do(e.StepHeld(), 1)
    assert whole(study) == (
        "cafe0123: 2 of 2 steps are not done, 0 in flight; a is ready to run, but it is held, as me@login1 asked for "
        "it at 7s"
    )


def test_a_ready_step_waits_for_a_scheduler_that_does_not_answer():
    study = two(scheduled(), scheduled=True)
    study.do(e.PollFailed(adapter="slurm", message="timed out"))
    assert asked(study, 1) == (
        "a is ready to run, but slurm does not answer since 7s: timed out",
        ["StepAdded", "PollFailed"],
    )
    study.do(e.PollRecovered(adapter="slurm"))
    assert asked(study, 1)[0] == "a is ready to run: the next tick submits it"


def test_of_very_many_steps_that_it_waits_for_none_is_counted():
    study = Study()
    study.template("sim")
    for number in range(1, 1_102):
        study.add(f"sim_{number}", template="sim")
    study.add("post", funnels=("sim",))
    words = asked(study, 1_102)[0]
    assert words.startswith("post waits for all of sim (1101 not finished); sim_1 is ready to run")
    assert words.endswith("; besides, for many more")


def test_what_was_said_instead_of_an_answer_to_a_submission_is_repeated():
    study = two(scheduled(), scheduled=True)
    token = study.request(1)
    study.do(e.SubmissionUnanswered(token=token, message="Socket timed out"), 1)
    assert asked(study, 1) == (
        (
            "a was requested at 7s (attempt 1), and no job is known yet: Socket timed out; ticks look for one until "
            "67s, then they give the attempt up"
        ),
        ["SubmissionRequested", "SubmissionUnanswered"],
    )


def test_the_schedulers_own_reason_why_a_job_waits_is_repeated():
    study = two(scheduled(), scheduled=True)
    token = study.submit(1)
    study.do(e.JobDelayed(token=token, reason="PartitionNodeLimit"), 1)

    words, evidence = asked(study, 1)

    assert words.startswith("a waits in the queue of slurm since ")
    assert words.endswith("; slurm says: PartitionNodeLimit")
    assert evidence == ["JobSubmitted", "JobDelayed"]
