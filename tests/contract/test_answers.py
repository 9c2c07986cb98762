"""What an adapter makes of each answer that a scheduler may give: the same questions for each adapter that submits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec import structs

from maestro_es.adapters.base import SubmitsScripts
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.observations import ClaimState, ReportKind
from maestro_es.core.submission import Accepted, InDoubt, Outcome, QueueFull, Rejected, ScriptFailed
from maestro_es.errors import Unreachable
from tests.contract.conftest import SUBMITTING, Stage
from tests.fakes.lsf_commands import LsfCommands
from tools.testbed.processes import running_under, wait_for

WAIT = "echo ran >>ledger; touch ready; until [ -e go ]; do sleep 0.01; done"

_PROCESS = "a process starts or it does not, and this host tells which"
_VALUES = "it gives values, and no text that could be misread"

#: The questions that an adapter is not asked, and why. It is asked all others.
NOT_ASKED = {
    ("local", "full"): "this host has no queue",
    ("local", "no answer"): _PROCESS,
    ("local", "late"): _PROCESS,
    ("local", "garbage"): _PROCESS,
    ("local", "two jobs"): _PROCESS,
    ("local", "silence"): "tests/integration/poller/test_host_errors.py asks it, with a host without /proc",
    ("local", "waiting"): "a process runs from the beginning",
    ("fake", "garbage"): _VALUES,
    ("fake", "two jobs"): "its answer `reuse` is the nearest to it",
    ("local", "accounts"): "this host keeps no accounts",
    ("fake", "accounts"): "a file of its own stands for them, which says one word of every job",
    ("fake", "cancel in silence"): "it takes each request to end a job",
    ("local", "cancel in silence"): _PROCESS,
    ("flux", "accounts"): "it keeps none beside its list",
    ("lsf", "accounts"): "its list has the jobs that ended within the last hour; bhist and bacct are not asked",
}  # fmt: skip


def asked(question: str) -> pytest.MarkDecorator:
    """Put a question to all adapters but those that NOT_ASKED names."""
    kinds = [kind for kind in SUBMITTING if (kind, question) not in NOT_ASKED]
    return pytest.mark.parametrize("stage", kinds, indirect=True)


def test_only_adapters_of_the_suite_are_left_out_of_a_question():
    assert {kind for kind, _ in NOT_ASKED} <= set(SUBMITTING)


def look(stage: Stage, step: StepRecord) -> tuple[JobState, bool] | None:
    """Return the state of a step's job, and whether the answer has its id."""
    [seen] = stage.query_queue(step)
    return (seen.state, bool(seen.job_id)) if seen else None


def submit(stage: Stage, answer: str) -> tuple[StepRecord, Outcome]:
    """Submit a step, and let the scheduler answer with this word of its stand-in; returns the step and the outcome."""
    [number] = stage.create(WAIT)
    step, job = stage.request(number)
    stage.plan(answer)
    return step, stage.send(job)


def has_one_job_that_runs_once(stage: Stage, step: StepRecord) -> bool:
    """Whether the queue shows the job of a step, and the job starts the step once."""
    found = look(stage, step)
    stage.let_run()
    return found == (JobState.PENDING, True) and ran_once(stage, step)


def ran_once(stage: Stage, step: StepRecord) -> bool:
    """Let the step end, and return whether it was started once."""
    wait_for(stage.file(step, "ready").exists)
    stage.file(step, "go").touch()
    stage.report(step, ReportKind.EXIT)
    wait_for(lambda: not running_under(stage.bench.root))
    return stage.file(step, "ledger").read_text() == "ran\n"


# -- the answer to a submission --------------------------------------------------------------------------------------


@asked("refused")
def test_a_refusal_says_why_on_one_line_and_nothing_is_queued(stage: Stage):
    [number] = stage.create(WAIT)
    step, job = stage.request(number)
    if stage.kind == "local":
        stage.bench.dir.runner.chmod(0o644)
    else:
        stage.plan("refuse")
    outcome = stage.send(job)

    assert isinstance(outcome, (Rejected, ScriptFailed))
    assert outcome.message.strip()
    assert "\n" not in outcome.message
    assert look(stage, step) == (JobState.GONE, False)
    assert stage.adapter.find_by_token([str(stage.bench.dir.runner)]) == {}


@asked("full")
def test_a_full_queue_is_no_refusal(stage: Stage):
    step, outcome = submit(stage, "full")

    assert isinstance(outcome, QueueFull)
    assert look(stage, step) == (JobState.GONE, False)


@asked("no answer")
def test_a_submission_without_an_answer_is_in_doubt_and_the_queue_tells_that_there_is_no_job(stage: Stage):
    step, outcome = submit(stage, "deaf")

    assert isinstance(outcome, InDoubt)
    assert look(stage, step) == (JobState.GONE, False)


@asked("no answer")
def test_a_submission_without_an_answer_is_in_doubt_and_the_queue_tells_which_job_it_made(stage: Stage):
    step, outcome = submit(stage, "doubt")

    assert isinstance(outcome, InDoubt)
    assert has_one_job_that_runs_once(stage, step)


@asked("garbage")
def test_an_answer_that_can_not_be_read_is_in_doubt_and_the_queue_tells_which_job_it_made(stage: Stage):
    step, outcome = submit(stage, "garbage")

    assert isinstance(outcome, InDoubt)
    assert has_one_job_that_runs_once(stage, step)


@asked("late")
def test_a_job_that_shows_late_is_found_when_it_shows(stage: Stage):
    step, outcome = submit(stage, "late")

    assert isinstance(outcome, InDoubt)
    assert look(stage, step) == (JobState.GONE, False)
    stage.deliver()
    assert has_one_job_that_runs_once(stage, step)


@asked("two jobs")
def test_of_two_jobs_that_one_submission_made_one_starts_the_step(stage: Stage):
    step, _ = submit(stage, "twice")
    stage.let_run()
    wait_for(stage.file(step, "ready").exists)

    assert look(stage, step) == (JobState.RUNNING, True)
    assert ran_once(stage, step)


@asked("submitted twice")
def test_an_attempt_that_is_submitted_twice_runs_once(stage: Stage):
    [number] = stage.create(WAIT)
    step, job = stage.request(number)
    stage.send(job)
    stage.send(job)
    stage.let_run()

    assert ran_once(stage, step)


# -- the answer to a query -------------------------------------------------------------------------------------------


@asked("silence")
def test_a_scheduler_that_does_not_answer_has_said_nothing_of_its_jobs(stage: Stage):
    [step] = stage.submit(WAIT)
    stage.silence()

    with pytest.raises(Unreachable):
        stage.query_queue(step)
    with pytest.raises(Unreachable):
        stage.adapter.find_by_token([str(stage.bench.dir.runner)])


@pytest.mark.parametrize("answer", ["garbage", "cut off"])
@asked("garbage")
def test_a_list_of_jobs_that_can_not_be_read_has_said_nothing_of_any(stage: Stage, answer: str):
    [step] = stage.submit(WAIT)
    assert stage.commands
    stage.commands.query(answer)

    with pytest.raises(Unreachable):
        stage.query_queue(step)
    if (stage.kind, "accounts") not in NOT_ASKED:
        with pytest.raises(Unreachable):
            stage.adapter.query_accounting([step])
    stage.commands.query("")
    assert look(stage, step) == (JobState.PENDING, True)


@asked("jobs of a runner")
def test_the_jobs_of_a_study_are_found_by_its_runner(stage: Stage):
    first, second = stage.submit(WAIT, WAIT)
    stage.let_run()
    wait_for(lambda: all(stage.file(step, "ready").exists() for step in (first, second)))
    found = stage.adapter.find_by_token([str(stage.bench.dir.runner)])

    assert {token: seen.job_id for token, seen in found.items()} == {
        first.token: first.job_id,
        second.token: second.job_id,
    }
    assert stage.adapter.find_by_token(["/another/study/.maestro-es/runner.sh"]) == {}


@asked("accounts")
def test_accounts_tell_of_the_attempts_that_they_are_asked_about_only(stage: Stage):
    step, other = stage.submit("true", WAIT)
    stage.let_run()
    stage.report(step, ReportKind.EXIT)
    wait_for(lambda: look(stage, step) != (JobState.RUNNING, True))
    unknown = structs.replace(step, token="feedfeed-1-2-beef", job_id=other.job_id)
    recalled = stage.adapter.query_accounting([step, unknown])

    assert {token: seen.state for token, seen in recalled.items()} == {
        step.token: JobState.FINISHED,
        unknown.token: JobState.GONE,
    }
    assert stage.adapter.query_accounting([]) == {}


# -- cancelling ------------------------------------------------------------------------------------------------------


@asked("commands that cancel")
def test_the_commands_that_cancel_a_job_are_named_and_not_run(stage: Stage):
    [step] = stage.submit(WAIT)
    stage.let_run()
    wait_for(stage.file(step, "ready").exists)
    [command] = stage.adapter.cancel_commands([step])

    assert any(step.job_id in word for word in command)
    assert look(stage, step) == (JobState.RUNNING, True)
    assert ran_once(stage, step)


@asked("waiting")
def test_a_job_that_is_cancelled_while_it_waits_has_started_nothing(stage: Stage):
    [step] = stage.submit(WAIT)
    stage.query_queue(step)
    stage.adapter.cancel([step])
    stage.let_run()

    [seen] = stage.query_queue(step)
    assert seen
    assert seen.state in (JobState.CANCELLED, JobState.GONE)
    assert stage.claim(step).state is ClaimState.NONE


@asked("cancel in silence")
def test_a_scheduler_that_does_not_answer_has_cancelled_nothing_and_that_is_said(stage: Stage):
    [step] = stage.submit(WAIT)
    stage.let_run()
    wait_for(stage.file(step, "ready").exists)
    stage.query_queue(step)
    stage.silence()
    with pytest.raises(Unreachable):
        stage.adapter.cancel([step])

    assert ran_once(stage, step)


# -- one scheduler alone ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["lsf"], indirect=True)
def test_a_job_is_found_by_a_bjobs_that_prints_no_json(stage: Stage):
    assert isinstance(stage.commands, LsfCommands)
    stage.commands.be_old()
    [step] = stage.submit(WAIT)
    assert look(stage, step) == (JobState.PENDING, True)
    assert stage.adapter.find_by_token([str(stage.bench.dir.runner)])[step.token].job_id == step.job_id
    stage.let_run()

    assert ran_once(stage, step)
    wait_for(lambda: look(stage, step) == (JobState.FINISHED, True))


@pytest.mark.parametrize("stage", ["lsf"], indirect=True)
def test_all_jobs_that_one_submission_made_are_cancelled(stage: Stage):
    step, outcome = submit(stage, "twice")
    assert isinstance(outcome, Accepted)
    [command] = stage.adapter.cancel_commands([structs.replace(step, job_id=outcome.job_id)])

    assert command == ["bkill", "1", "2"]


@pytest.mark.parametrize("stage", ["lsf"], indirect=True)
def test_a_script_of_a_program_is_submitted_with_the_options_in_its_header(stage: Stage, tmp_path: Path):
    assert stage.commands
    [step] = stage.submit(WAIT)
    adapter = stage.adapter
    assert isinstance(adapter, SubmitsScripts)
    (tmp_path / "a.sh").write_text("#!/bin/bash\n#BSUB -q short\n#BSUB -J a\n\ntrue\n")
    outcome = adapter.submit_script(str(tmp_path / "a.sh"), str(tmp_path), {"PATH": os.environ["PATH"]})

    assert outcome == Accepted("2")
    assert stage.commands.calls()[-1] == f"bsub -q short -J a -cwd {tmp_path} {tmp_path}/a.sh"
    assert step.job_id == "1"
