"""Why a study is not done, or how it has ended."""

from __future__ import annotations

from maestro_es.audit.why.explain import why_study
from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from tests.unit.audit.views import two, view_at
from tests.unit.core.making import Study


def whole(study: Study) -> str:
    return why_study(view_at(study.events, len(study.events))).message


def test_a_study_is_not_done_because_of_the_step_that_does_not_go_on():
    study = two()
    assert (
        whole(study) == "cafe0123: 2 of 2 steps are not done, 0 in flight; a is ready to run: the next tick submits it"
    )
    study.start(1)
    assert whole(study) == "cafe0123: 2 of 2 steps are not done, 1 in flight; a has been running since 5s as job job1"
    study.do(e.StudyPaused(reason="noon"))
    assert whole(study) == (
        "cafe0123: 2 of 2 steps are not done, 1 in flight; it is paused, as requested by me@login1 at 10s "
        "(reason: noon); a has been running since 5s as job job1"
    )


def test_a_study_that_is_being_cancelled_says_by_whom():
    study = two()
    study.start(1)
    study.do(e.CancelRequested())
    assert whole(study).startswith(
        "cafe0123: 2 of 2 steps are not done, 1 in flight; it is being cancelled, as requested by me@login1 at 10s; "
    )


def test_a_study_that_has_ended_says_how():
    study = two()
    study.finish(1)
    study.fail(2)
    assert whole(study) == "cafe0123: 1 FINISHED, 1 FAILED; the next tick completes it"
    study.do(e.StudyCompleted(status=StudyStatus.FAILURE))
    assert whole(study) == "cafe0123 ended at 11s, FAILURE: 1 FINISHED, 1 FAILED"


def test_a_study_without_steps_has_nothing_to_do():
    assert whole(Study()) == "cafe0123: no steps"


def test_a_study_in_which_only_held_steps_are_left_says_so():
    study = two()
    study.do(e.StepHeld(), 1)
    assert whole(study) == (
        "cafe0123: 2 of 2 steps are not done, 0 in flight; a is ready to run, but it is held, as requested by "
        "me@login1 at 7s"
    )
