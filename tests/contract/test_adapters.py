"""What every adapter promises to the poller."""

from __future__ import annotations

import os

import pytest
from msgspec import structs

from maestro_es.adapters import process
from maestro_es.adapters.command import run
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.observations import ClaimState, ReportKind
from tests.contract.conftest import Stage
from tools.testbed.processes import arguments, running_under, wait_for

WAIT = "touch ready; until [ -e go ]; do sleep 0.01; done"

#: An attempt that was never submitted.
ANOTHER = "feedfeed-1-2-beef"


def states(stage: Stage, *steps: StepRecord) -> list[JobState | None]:
    return [seen.state if seen else None for seen in stage.query_queue(*steps)]


def test_a_script_begins_with_its_shell_and_says_whose_it_is(stage: Stage):
    [step] = stage.submit("echo hello")
    script = stage.file(step, f"step_1.{stage.adapter.extension}")

    assert script.read_text().startswith("#!/bin/bash\n")
    assert script.read_text().endswith("\n\necho hello\n")
    assert os.access(script, os.X_OK)


def test_a_submitted_job_is_known_until_it_runs(stage: Stage):
    [step] = stage.submit(WAIT)
    assert states(stage, step)[0] in (JobState.PENDING, JobState.RUNNING)

    stage.let_run()
    wait_for(stage.file(step, "ready").exists)
    assert states(stage, step) == [JobState.RUNNING]


def test_jobs_have_ids_of_their_own(stage: Stage):
    steps = stage.submit(WAIT, WAIT, WAIT)

    assert len({step.job_id for step in steps}) == 3
    assert all(step.job_id for step in steps)


@pytest.mark.parametrize("code", [0, 3, 255])
def test_the_exit_code_of_a_step_is_reported(stage: Stage, code: int):
    [step] = stage.submit(f"exit {code}")
    stage.let_run()

    assert stage.report(step, ReportKind.EXIT).code == code
    wait_for(lambda: states(stage, step) != [JobState.RUNNING])
    expected = JobState.FAILED if code else JobState.FINISHED
    assert states(stage, step)[0] in (JobState.GONE, expected)


def test_a_job_that_nobody_knows_is_gone(stage: Stage):
    [step] = stage.submit(WAIT)
    unknown = structs.replace(step, token=ANOTHER, job_id="99999999")

    assert states(stage, unknown) == [JobState.GONE]


def test_a_job_id_with_another_token_is_another_job(stage: Stage):
    step, other = stage.submit(WAIT, WAIT)
    stage.let_run()
    wait_for(stage.file(other, "ready").exists)
    mistaken = structs.replace(step, token=ANOTHER, job_id=other.job_id)

    assert states(stage, mistaken, other) == [JobState.GONE, JobState.RUNNING]
    stage.adapter.cancel([mistaken])
    assert states(stage, other) == [JobState.RUNNING]
    stage.file(other, "go").touch()
    assert stage.report(other, ReportKind.EXIT).code == 0


def test_an_attempt_that_got_no_answer_is_found_by_its_token(stage: Stage):
    [step] = stage.submit(WAIT)
    stage.let_run()
    wait_for(lambda: stage.claim(step).state is ClaimState.JOB)
    doubtful = structs.replace(step, job_id="", job_host="", job_instance="")

    [seen] = stage.query_queue(doubtful)
    assert seen
    assert (seen.state, seen.job_id) == (JobState.RUNNING, step.job_id)


def test_an_attempt_without_a_job_is_gone(stage: Stage):
    [step] = stage.submit(WAIT)

    assert states(stage, structs.replace(step, token=ANOTHER, job_id="")) == [JobState.GONE]


def test_several_jobs_are_told_apart_in_one_look(stage: Stage):
    first, second, third = stage.submit(WAIT, "exit 0", WAIT)
    stage.let_run()
    wait_for(stage.file(first, "ready").exists)
    stage.report(second, ReportKind.EXIT)
    wait_for(lambda: states(stage, second) != [JobState.RUNNING])
    wait_for(stage.file(third, "ready").exists)

    assert states(stage, first, second, third)[::2] == [JobState.RUNNING, JobState.RUNNING]
    assert states(stage) == []


def test_a_claim_names_the_job(stage: Stage):
    [step] = stage.submit(WAIT)
    stage.let_run()
    claim = wait_for(lambda: stage.claim(step) if stage.claim(step).state is ClaimState.JOB else None)

    assert (claim.job_id, claim.host) == (step.job_id, os.uname().nodename)


# -- ending a job ---------------------------------------------------------------------------------------------------


def test_an_ended_job_is_told_to_end_with_all_its_processes(stage: Stage):
    [step] = stage.submit("(sleep 60 & sleep 60 & wait) & touch ready; sleep 60")
    stage.let_run()
    wait_for(stage.file(step, "ready").exists)
    stage.adapter.cancel([step])

    assert stage.report(step, ReportKind.STOPPED).code == 143
    wait_for(lambda: states(stage, step)[0] in (JobState.GONE, JobState.CANCELLED, JobState.FAILED))
    wait_for(lambda: not running_under(stage.bench.root))


def test_a_job_may_be_ended_again_and_when_it_is_gone(stage: Stage):
    [step] = stage.submit("trap 'exit 5' TERM; sleep 60 & touch ready; wait")
    stage.let_run()
    wait_for(stage.file(step, "ready").exists)
    for _ in range(5):
        stage.adapter.cancel([step])
    assert stage.report(step, ReportKind.STOPPED).code == 5

    wait_for(lambda: not running_under(stage.bench.root))
    stage.adapter.cancel([step])
    assert states(stage, step)[0] is not JobState.RUNNING


def test_ending_one_job_leaves_the_others_alone(stage: Stage):
    first, second = stage.submit(WAIT, WAIT)
    stage.let_run()
    wait_for(lambda: all(stage.file(step, "ready").exists() for step in (first, second)))
    stage.adapter.cancel([first])
    stage.report(first, ReportKind.STOPPED)

    assert states(stage, second) == [JobState.RUNNING]


def test_nothing_remains_of_a_job_that_ended_well(stage: Stage):
    [step] = stage.submit("true")
    stage.let_run()
    stage.report(step, ReportKind.EXIT)
    wait_for(lambda: not running_under(stage.bench.root))

    assert not stage.adapter.has_orphans(step)


# -- what a step finds ----------------------------------------------------------------------------------------------


def test_a_step_gets_the_recorded_environment_its_workspace_and_its_token(stage: Stage):
    [step] = stage.submit('echo "$PATH" >path; pwd >where; echo "$MAESTRO_ES_TOKEN" >token; cat >input')
    stage.let_run()
    stage.report(step, ReportKind.EXIT)

    assert stage.file(step, "path").read_text() == f"{os.environ['PATH']}\n"
    assert stage.file(step, "where").read_text() == f"{stage.file(step, '').resolve()}\n"
    assert stage.file(step, "token").read_text() == f"{step.token}\n"
    assert stage.file(step, "input").read_text() == ""


def test_the_token_is_among_the_arguments_of_the_runner(stage: Stage):
    [step] = stage.submit(WAIT)
    stage.let_run()
    wait_for(stage.file(step, "ready").exists)
    started = [arguments(pid) for pid in running_under(stage.bench.root)]

    runners = [words for words in started if any(word.endswith(b"runner.sh") for word in words)]
    assert any(step.token.encode() in words for words in runners)


def test_a_second_start_of_a_token_is_refused(stage: Stage):
    [step] = stage.submit(f"echo ran >>ledger; {WAIT}")
    stage.let_run()
    wait_for(stage.file(step, "ready").exists)
    runner, workspace = str(stage.bench.dir.runner), str(stage.file(step, ""))
    script = f"./step_1.{stage.adapter.extension}"
    again = run([runner, step.token, workspace, script, str(stage.bench.root)])

    assert again.code == 75
    assert ReportKind.REFUSED in stage.reports(step)
    assert stage.file(step, "ledger").read_text() == "ran\n"


# -- the local adapter alone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["local"], indirect=True)
def test_a_session_that_is_another_programs_by_now_is_left_alone(stage: Stage):
    """A process id that was used again, for a session whose leader has left, as a daemon's does."""
    [step] = stage.submit("true")
    stage.report(step, ReportKind.EXIT)
    marker = stage.bench.root / "daemon"
    run(["setsid", "sh", "-c", 'echo $$ >"$1"; sleep 60 >/dev/null 2>&1 &', "sh", str(marker)])
    daemon = structs.replace(step, job_id=marker.read_text().strip())
    assert process.session_members(int(daemon.job_id)) != []

    assert not stage.adapter.has_orphans(daemon)
    stage.adapter.cancel([daemon])
    assert process.session_members(int(daemon.job_id)) != []
    process.kill(process.session_members(int(daemon.job_id)))


@pytest.mark.parametrize("stage", ["local"], indirect=True)
def test_what_a_dead_runner_left_behind_remains_until_it_is_ended(stage: Stage):
    [step] = stage.submit("(sleep 60 & sleep 60 & wait) & touch ready; sleep 60")
    wait_for(stage.file(step, "ready").exists)
    assert not stage.adapter.has_orphans(step)
    process.kill([int(step.job_id)])
    wait_for(lambda: states(stage, step) == [JobState.GONE])

    assert stage.adapter.has_orphans(step)
    stage.adapter.cancel([step])
    wait_for(lambda: not stage.adapter.has_orphans(step))
    assert running_under(stage.bench.root) == []


@pytest.mark.parametrize("stage", ["local"], indirect=True)
def test_only_its_own_host_says_that_a_process_is_gone(stage: Stage):
    [step] = stage.submit("true")
    stage.report(step, ReportKind.EXIT)
    wait_for(lambda: states(stage, step) == [JobState.GONE])

    assert states(stage, structs.replace(step, job_host="another")) == [None]
    rebooted = stage.query_queue(structs.replace(step, job_instance="an earlier boot"))[0]
    assert rebooted
    assert (rebooted.state, rebooted.raw_state) == (JobState.GONE, "lost: the host was rebooted")
