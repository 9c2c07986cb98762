"""Why a step waits or is not submitted, each reason with its sentence and the events that prove it."""

from __future__ import annotations

import pytest

from maestro_es.audit.why.explain import why
from maestro_es.core import events as e
from maestro_es.core.model import Cause, State, StudyStatus, SubmissionKind
from tests.unit.audit.views import asked, failed, scheduled, two, view_at
from tests.unit.core.making import RESTARTABLE, Study

# -- waiting ----------------------------------------------------------------------------------------------------------


def test_a_step_waits_for_a_parent_and_the_parent_for_its_job():
    study = two(scheduled(), scheduled=True)
    study.submit(1, "17")
    assert asked(study, 2) == (
        "b waits for a, which has been waiting in the queue of slurm since 8s as job 17",
        ["StepAdded", "JobSubmitted"],
    )


def test_a_long_chain_comes_down_to_its_first_step():
    study = Study()
    study.chain("a", "b", "c", "d")
    study.start(1)
    assert asked(study, 4)[0] == "d waits for c, and therefore for a, which has been running since 5s as job job1"


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
            "post waits for all of sim (3 not finished); sim_4 was requested at 19s (attempt 1), but no job is known "
            "yet; ticks look for one until 79s, then they give up the attempt; "
            "it also waits for other steps: 2 RUNNING"
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
        "it also waits for other steps: 6 INITIALIZED"
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
        f"{begins}, but the next tick cancels it, as requested by me@login1 at 7s (reason: wrong input)",
        ["StepAdded", "CancelRequested"],
    )


def test_of_very_many_steps_that_it_waits_for_none_is_counted():
    study = Study()
    study.template("sim")
    for number in range(1, 1_102):
        study.add(f"sim_{number}", template="sim")
    study.add("post", funnels=("sim",))
    words = asked(study, 1_102)[0]
    assert words.startswith("post waits for all of sim (1101 not finished); sim_1 is ready to run")
    assert words.endswith("; it also waits for many more steps")


# -- ready ------------------------------------------------------------------------------------------------------------


def test_a_ready_step_waits_for_the_next_tick_and_when_the_last_one_was():
    study = two()
    assert asked(study, 1, ticking="; the last tick was 30 s ago") == (
        "a is ready to run: the next tick submits it; the last tick was 30 s ago",
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
        "a is ready to run, but the study is paused, as requested by me@login1 at 7s (reason: maintenance)",
        ["StepAdded", "StudyPaused"],
    )


def test_a_full_throttle_says_how_full_it_is_and_what_comes_before():
    study = scheduled(submission_throttle=1)
    for name in "abc":
        study.add(name, scheduled=True)
    study.submit(1)
    assert asked(study, 2)[0] == (
        "b is ready to run, but the throttle is 1 (in flight: 1), and no ready step is ahead of it"
    )
    assert asked(study, 3) == (
        "c is ready to run, but the throttle is 1 (in flight: 1), and 1 ready step is ahead of it",
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
        "d is ready to run, but its host has 2 slots for local steps (in flight: 1), and 2 ready steps are ahead of it"
    )


def test_while_a_submission_is_in_doubt_few_jobs_are_requested_in_a_tick():
    study = scheduled()
    for number in range(20):
        study.add(f"s{number}", scheduled=True)
    study.request(1)
    assert asked(study, 17)[0] == "s16 is ready to run: the next tick submits it"
    words, evidence = asked(study, 18)
    assert words.startswith(
        "s17 is ready to run, but a tick requests at most 16 jobs while it is unknown whether slurm"
    )
    assert words.endswith("has the job of s0, and 16 ready steps are ahead of it")
    assert evidence == ["StepAdded", "SubmissionRequested"]


def test_a_step_for_which_the_scheduler_has_no_room_says_what_that_said_and_when_it_is_asked_again():
    study = scheduled()
    for name in "abc":
        study.add(name, scheduled=True)
    study.submit(1)
    study.do(e.SubmissionWithdrawn(token=study.request(2), message="AssocMaxSubmitJobLimit"), 2)
    words, evidence = asked(study, 2)
    assert words.startswith(
        "b is ready to run, but the queue of slurm was full at 12s (AssocMaxSubmitJobLimit); it has 1"
    )
    assert "ticks try again when a job of this study has ended, or after 15012s, and 1 ready step is ahead" in words
    assert words.endswith("attempt 1 was withdrawn before it was submitted, because the scheduler's queue was full")
    assert evidence == ["StepAdded", "SubmissionWithdrawn"]
    study.do(e.StepFinished(token=study.step(1).token, at=1), 1)
    assert asked(study, 3)[0] == "c is ready to run: the next tick submits it"
    study.submit(2)
    study.add("d", scheduled=True)
    study.add("e", scheduled=True)
    assert asked(study, 4)[0] == (
        "d is ready to run, but a tick submits at most 1 job, because slurm once had room for only 1 of its jobs, "
        "and 1 ready step is ahead of it"
    )


def test_a_dry_run_runs_nothing():
    study = two(Study(dry_run=True))
    assert asked(study, 1)[0] == ("a is ready to run, but this is a dry run: the next tick only writes its scripts")


def test_a_study_that_has_ended_submits_nothing():
    study = two()
    study.fail(1)
    failed(study, 2, Cause.UPSTREAM, "a is FAILED")
    study.do(e.StudyCompleted(status=StudyStatus.FAILURE))
    study.do(e.StepReset(), 1)
    assert asked(study, 1)[0] == (
        "a is ready to run, but the study has ended (FAILURE); a rerun was requested by me@login1 at 10s"
    )


def test_a_ready_step_waits_for_a_scheduler_that_does_not_answer():
    study = two(scheduled(), scheduled=True)
    study.do(e.PollFailed(adapter="slurm", message="timed out"))
    assert asked(study, 1) == (
        "a is ready to run, but slurm has not answered since 7s: timed out",
        ["StepAdded", "PollFailed"],
    )
    study.do(e.PollRecovered(adapter="slurm"))
    assert asked(study, 1)[0] == "a is ready to run: the next tick submits it"


def test_a_step_taken_over_from_maestro_that_is_left_to_run():
    study = Study()
    study.add("a", run=RESTARTABLE)
    study.do(e.StepImported(state=State.INITIALIZED, restarts=1, message="to run again, it was begun"), 1)
    assert study.step(1).kind is SubmissionKind.RESTART
    assert asked(study, 1) == (
        "a is ready to run: the next tick submits it; it was taken over from Maestro (to run again, it was begun)",
        ["StepAdded", "StepImported"],
    )


def test_a_held_step_says_who_holds_it():
    study = two()
    study.do(e.StepHeld(reason="look at a first"), 1)
    study.do(e.StepHeld(), 2)
    assert asked(study, 1) == (
        "a is ready to run, but it is held, as requested by me@login1 at 7s (reason: look at a first)",
        ["StepAdded", "StepHeld"],
    )
    assert asked(study, 2)[0] == (
        "b waits for a, which is ready to run, but it is held, as requested by me@login1 at 7s "
        "(reason: look at a first); also, it is held, as requested by me@login1 at 8s"
    )
    study.do(e.StudyPaused())
    assert asked(study, 1)[0].startswith(
        "a is ready to run, but the study is paused, as requested by me@login1 at 9s, and it is held, as requested"
    )
    study.do(e.StudyResumed())
    study.do(e.StepReleased(), 1)
    assert asked(study, 1)[0] == "a is ready to run: the next tick submits it"


# -- then -------------------------------------------------------------------------------------------------------------


def test_the_answer_of_a_moment_knows_nothing_of_what_came_later():
    study = two()
    study.finish(1)
    study.do(e.StudyPaused())

    def then(seq: int) -> str:
        view = view_at(study.events, seq)
        return why(view, view.graph.step(2)).message

    assert then(6) == "b waits for a, which is ready to run: the next tick submits it"
    assert then(7).startswith("b waits for a, which was requested at 7s")
    assert then(9) == "b is ready to run: the next tick submits it"
    assert then(10) == "b is ready to run, but the study is paused, as requested by me@login1 at 10s"
