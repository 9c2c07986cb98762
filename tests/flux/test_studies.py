"""Studies on a real Flux, from their first tick to their end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import State, StudyStatus
from maestro_es.core.observations import ClaimState
from maestro_es.study.claims import read_claim
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.slurm.studies import RUNTIME, events, finish, ledger, local_step, states, step, until, wait_for_states
from tools.kill_matrix.instance import Instance
from tools.testbed.processes import wait_for

Launch = Callable[..., Path]


def test_a_study_runs_to_its_end_with_and_without_instances_of_its_own(instance: Instance, launch: Launch):
    root = launch(
        step("nested", "echo $FLUX_ENCLOSING_ID >id; flux resource list >inner"),
        step("plain", "echo $FLUX_JOB_ID >id; echo hello", nested="false"),
        local_step("local", "echo here >here"),
        step("after", depends=["nested", "plain", "local"], nested="false"),
    )

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 3
    for name in ("nested", "plain"):
        [submitted] = [event.job_id for event in events(root, e.JobSubmitted) if event.token in _tokens(root, name)]
        assert (root / name / "id").read_text().strip() == submitted
        assert (root / name / f"{name}.{submitted}.out").exists()
    assert (root / "plain").joinpath(f"plain.{(root / 'plain/id').read_text().strip()}.out").read_text() == "hello\n"
    assert instance.run("jobs", "-a", "-n", "-o", "{name}").stdout.count("nested.") == 1


def _tokens(root: Path, name: str) -> list[str]:
    with Session(root, RUNTIME) as study:
        number = study.graph.number_of(name) or 0
        return [r.event.token for r in study.log.events_of(number) if isinstance(r.event, e.SubmissionRequested)]


def test_a_step_on_several_cores_without_an_instance_of_its_own_starts_once(instance: Instance, launch: Launch):
    root = launch(step("wide", nested="false", nodes="1").replace("procs: 1", "procs: 4"))

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1
    assert instance.run("jobs", "-a", "-n", "--name", f"wide.{ledger(root)[0]}", "-o", "{ncores}").stdout == "4\n"


def test_a_step_gets_the_environment_the_umask_and_the_limits_of_run(
    instance: Instance, launch: Launch, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SALT", "two  words")
    before = os.umask(0o027)
    try:
        root = launch(step("sees", 'echo "$SALT" >out; umask >>out; ulimit -n >>out; pwd >>out', nested="false"))
    finally:
        os.umask(before)

    assert finish(root) is StudyStatus.FINISHED
    salt, umask, files, folder = (root / "sees" / "out").read_text().splitlines()
    assert (salt, umask, folder) == ("two  words", "0027", str(root / "sees"))
    assert int(files) >= 256
    assert instance.uri


@pytest.mark.parametrize("nested", ["true", "false"])
@pytest.mark.parametrize("saves", ["", "trap 'echo saved >saved; exit 0' ALRM TERM; "])
def test_a_step_that_exceeds_its_walltime_is_restarted_even_if_it_saves_and_exits_with_0(
    instance: Instance, launch: Launch, nested: str, saves: str
):
    root = launch(
        step("slow", f"{saves}sleep 60 & wait", walltime='"00:00:06"', nested=nested).replace("'", '"')
        if not saves
        else f"""\
    - name: slow
      description: d
      run:
        procs: 1
        nested: {nested}
        walltime: "00:00:06"
        cmd: |
          echo $MAESTRO_ES_TOKEN >> $(OUTPUT_PATH)/ledger
          {saves}
          sleep 60 & wait
        restart: echo $MAESTRO_ES_TOKEN >> $(OUTPUT_PATH)/ledger
"""
    )
    expected = StudyStatus.FINISHED if saves else StudyStatus.FAILURE

    assert finish(root) is expected
    assert [event.token for event in events(root, e.StepTimedOut)] == ledger(root)[:1]
    assert (root / "slow" / "saved").exists() is bool(saves)
    assert instance.uri


def test_a_job_that_flux_refuses_fails_with_its_message(instance: Instance, launch: Launch):
    root = launch(
        step("far", walltime='"05:00:00"', nested="false", args="{queue: short}"),
        step("odd", args="{nosuch: 1}"),
        step("big", nested="false").replace("procs: 1", "procs: 99"),
    )

    assert finish(root) is StudyStatus.FAILURE
    messages = {event.message for event in events(root, e.StepFailed)}
    assert any("exceeds policy limit of 1h for queue short" in message for message in messages)
    assert any("unrecognized arguments: --nosuch" in message for message in messages)
    assert any("FAILED (alloc: unsatisfiable request" in message for message in messages)
    assert not (root / "ledger").exists()
    assert instance.uri


def test_a_step_waits_while_its_queue_is_closed(instance: Instance, launch: Launch):
    assert instance.run("queue", "disable", "--message=closed", "debug").returncode == 0
    try:
        root = launch(step("waits", nested="false"))
        assert states(root) == {"waits": "INITIALIZED"}
        why = maestro_es("why", root, "waits").stdout
        assert "job submission to debug is disabled: closed" in " ".join(why.split())
    finally:
        instance.run("queue", "enable", "debug")
    with Session(root, RUNTIME) as study:
        assert study.graph.study.refusal

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1


def test_a_cancelled_study_ends_its_jobs_that_run_and_that_wait(instance: Instance, launch: Launch):
    root = launch(
        step("runs", until("go"), nested="false"),
        step("waits", nested="false", priority="held"),
        step("inner", until("go")),
    )
    wait_for_states(root, runs=State.RUNNING, inner=State.RUNNING)
    assert maestro_es("cancel", "-y", root).returncode == 0

    assert finish(root) is StudyStatus.CANCELLED
    assert states(root) == {"runs": "CANCELLED", "waits": "CANCELLED", "inner": "CANCELLED"}
    assert instance.run("jobs", "-n", "-o", "{name}", "-f", "pending,running").stdout == ""


@pytest.mark.usefixtures("hasty")
def test_a_job_that_a_user_cancels_is_cancelled_after_a_while(instance: Instance, launch: Launch):
    root = launch(step("runs", until("go"), nested="false"))
    wait_for_states(root, runs=State.RUNNING)
    [submitted] = events(root, e.JobSubmitted)
    assert instance.run("cancel", submitted.job_id).returncode == 0

    assert finish(root) is StudyStatus.CANCELLED or states(root) == {"runs": "CANCELLED"}


def test_cron_needs_nothing_but_the_study(instance: Instance, launch: Launch):
    root = launch(step("one", nested="false"), step("two", depends=["one"], nested="false"))
    bare = {"HOME": os.environ["HOME"], "PATH": "/usr/bin:/bin", "MAESTRO_ES_HOME": os.environ["MAESTRO_ES_HOME"]}

    def ended() -> bool:
        done = maestro_es("tick", "--all", env={**dict.fromkeys(os.environ, ""), **bare})
        assert (done.returncode, done.stderr) == (0, ""), done
        return states(root) == {"one": "FINISHED", "two": "FINISHED"}

    wait_for(ended)
    assert instance.uri


def test_a_claim_names_the_job_and_its_attempt_is_found_again(instance: Instance, launch: Launch):
    root = launch(step("runs", until("go"), nested="false"))
    wait_for_states(root, runs=State.RUNNING)
    [submitted] = events(root, e.JobSubmitted)
    claim = read_claim(root / "runs", submitted.token)

    assert (claim.state, claim.job_id) == (ClaimState.JOB, submitted.job_id)
    assert maestro_es("export", root, "-o", root.parent / "log.jsonl").returncode == 0
    (root / "events.db").unlink()
    recovered = maestro_es("recover", root, "--from", root.parent / "log.jsonl")
    assert recovered.returncode == 0, recovered
    (root.parent / "go").touch()
    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1
    assert instance.uri


def test_a_dry_tick_names_the_command_and_submits_nothing(instance: Instance, launch: Launch):
    root = launch(step("one", nested="false"), step("two", depends=["one"]))
    wait_for(lambda: list((root / ".maestro-es" / "inbox").glob("*.exit.0")))
    before = instance.run("jobs", "-a", "-n", "-o", "{id}").stdout
    done = maestro_es("tick", "--dry", root)

    assert done.returncode == 0, done
    assert "flux batch -n 1" in done.stdout
    assert "--job-name=two." in done.stdout
    assert instance.run("jobs", "-a", "-n", "-o", "{id}").stdout == before
    assert finish(root) is StudyStatus.FINISHED
