"""What the events do to a step that was taken over from Maestro, or recovered."""

from __future__ import annotations

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Phase, State, SubmissionKind
from maestro_es.errors import InvalidTransition
from tests.unit.core.making import RESTARTABLE, Study, check_counts

# -- taken over from Maestro -----------------------------------------------------------------------------------------


def test_a_step_that_maestro_finished_is_done_as_its_table_says_and_releases_what_waits(study: Study):
    first, second = study.chain("a", "b")

    study.do(
        e.StepImported(state=State.FINISHED, job_id="17", submitted_at=1, started_at=2, ended_at=3, restarts=2), first
    )

    step = study.step(first)
    assert (step.state, step.phase, step.job_id, step.restarts) == (State.FINISHED, Phase.DONE, "17", 2)
    assert (step.submitted_at, step.started_at, step.ended_at) == (1, 2, 3)
    assert study.step(second).phase is Phase.READY
    check_counts(study)


@pytest.mark.parametrize("state", [State.FAILED, State.TIMEDOUT, State.CANCELLED])
def test_a_step_that_ended_badly_under_maestro_releases_nobody(study: Study, state: State):
    first, second = study.chain("a", "b")

    study.do(e.StepImported(state=state, ended_at=3), first)

    assert (study.step(first).state, study.step(first).phase) == (state, Phase.DONE)
    assert study.step(second).phase is Phase.BLOCKED
    check_counts(study)


def test_a_step_that_maestro_did_not_end_is_left_to_run(study: Study):
    number = study.add("a")

    study.do(e.StepImported(state=State.INITIALIZED, message="run again"), number)

    assert (study.step(number).state, study.step(number).phase) == (State.INITIALIZED, Phase.READY)
    assert study.step(number).kind is SubmissionKind.FIRST


def test_a_step_that_maestro_restarted_goes_on_with_its_restart_script_and_its_count(study: Study):
    number = study.add("a", run=RESTARTABLE)

    study.do(e.StepImported(state=State.INITIALIZED, restarts=2), number)

    step = study.step(number)
    assert (step.state, step.phase, step.kind) == (State.TIMEDOUT, Phase.READY, SubmissionKind.RESTART)
    study.submit(number)
    study.do(e.StepTimedOut(token=step.token, at=5), number)
    study.do(e.StepRestarted(number=3, limit=0), number)
    check_counts(study)


def test_an_adopted_job_keeps_the_times_of_maestros_table(study: Study):
    number = study.add("a")

    study.do(e.StepImported(state=State.INITIALIZED, submitted_at=1, started_at=2), number)
    study.start(number)

    assert (study.step(number).submitted_at, study.step(number).started_at) == (1, 2)


def test_a_recovered_step_is_done_as_the_world_says_and_releases_what_waits(study: Study):
    first, second = study.chain("a", "b")
    study.submit(first)

    study.do(e.StepRecovered(state=State.FINISHED, attempt=4, job_id="17", started_at=2, ended_at=3), first)

    step = study.step(first)
    assert (step.state, step.phase, step.job_id, step.attempt) == (State.FINISHED, Phase.DONE, "17", 4)
    assert (step.started_at, step.ended_at) == (2, 3)
    assert study.step(second).phase is Phase.READY
    check_counts(study)


def test_a_recovered_step_that_is_left_to_run_goes_on_with_the_next_attempt(study: Study):
    number = study.add("a")
    study.submit(number)

    study.do(e.StepRecovered(state=State.INITIALIZED, attempt=3), number)
    assert (study.step(number).state, study.step(number).phase) == (State.INITIALIZED, Phase.READY)
    study.do(e.SubmissionRequested(attempt=4, token="t", kind=SubmissionKind.RESUBMIT), number)
    check_counts(study)


def test_a_recovered_step_that_was_restarted_goes_on_with_its_restart_script(study: Study):
    number = study.add("a", run=RESTARTABLE)

    study.do(e.StepRecovered(state=State.INITIALIZED, attempt=1, restarts=1), number)

    step = study.step(number)
    assert (step.state, step.phase, step.kind) == (State.TIMEDOUT, Phase.READY, SubmissionKind.RESTART)


def test_a_step_is_not_recovered_to_an_earlier_attempt_nor_to_what_is_no_end(study: Study):
    number = study.add("a")
    study.request(number)

    with pytest.raises(InvalidTransition, match="step 'a', which has had attempt 1"):
        study.do(e.StepRecovered(state=State.FINISHED, attempt=0), number)
    with pytest.raises(InvalidTransition, match="step 'a', as RUNNING is not an end"):
        study.do(e.StepRecovered(state=State.RUNNING, attempt=1), number)


@pytest.mark.parametrize("state", [State.RUNNING, State.PENDING, State.DRYRUN, State.UNKNOWN])
def test_a_step_can_not_be_imported_in_a_state_that_is_no_end(study: Study, state: State):
    number = study.add("a")

    with pytest.raises(InvalidTransition, match=f"step 'a', as {state.name} is not an end"):
        study.do(e.StepImported(state=state), number)


def test_a_step_that_was_tried_here_can_not_be_imported(study: Study):
    number = study.add("a")
    token = study.request(number)
    study.do(e.SubmissionRejected(token=token, message="no"), number)

    with pytest.raises(InvalidTransition, match="step 'a', which was tried before"):
        study.do(e.StepImported(state=State.FINISHED), number)


def test_another_adapter_decides_anew_which_steps_are_scheduled(study: Study):
    big, small, tried = study.add("big", run={"cmd": "run", "nodes": 2}), study.add("small"), study.add("tried")
    procs = study.add("procs", run={"cmd": "run", "procs": "$(P)"})
    study.request(tried)

    study.do(e.SettingsChanged(what="adapter", before={"type": "local"}, after={"type": "slurm"}))
    assert [study.step(number).scheduled for number in (big, small, tried, procs)] == [True, False, False, True]

    study.do(e.SettingsChanged(what="adapter", before={"type": "slurm"}, after={"type": "local"}))
    assert not any(study.step(number).scheduled for number in (big, small, tried, procs))
