"""Agents of a driver in a job, with scripts in the place of Slurm's commands."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.adapters import agents
from maestro_es.adapters.agents import Agent
from maestro_es.adapters.base import Job
from maestro_es.adapters.inside import Inside
from maestro_es.adapters.slurm.allocation import SlurmJob
from maestro_es.adapters.slurm.client import SlurmJobs
from maestro_es.core.attempt_token import Placement, placed_suffix
from maestro_es.core.environment import Environment
from maestro_es.core.model import Phase, StepRecord
from maestro_es.core.step_keys import Need
from maestro_es.core.submission import InDoubt
from maestro_es.errors import Unreachable
from tools.testbed.processes import wait_for

AT = Placement("18", 0)
COMMANDS = {
    "scontrol": 'case "$*" in *hostnames*) echo n1 ;; *) echo " Nodes=n1 CPU_IDs=0-3 Mem=0 GRES=" ;; esac',
    "squeue": "echo 1:00:00",
    "srun": 'while [ "$1" != /bin/sh ]; do shift; done\nSLURM_STEP_ID=0 exec "$@"',
}


def token(number: int, at: Placement = AT) -> str:
    return f"agents{os.getpid()}-{number}-1-{placed_suffix('a1', at)}"


def step(number: int, at: Placement = AT) -> StepRecord:
    return StepRecord(
        number=number, name="s", template="s", params=(), workspace="s", workspaces={}, scheduled=True, row=1,
        restart_limit=1, token=token(number, at), job_id="18.0", job_host="n1", phase=Phase.SUBMITTED, requested_at=1,
    )  # fmt: skip


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inside]:
    for name, text in COMMANDS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("SLURM_JOB_ID", "18")
    driver = Inside(SlurmJob(SlurmJobs({"PATH": f"{tmp_path}:{os.environ['PATH']}"}), "18"), lambda: 3600.0)
    driver.allocation()
    yield driver
    driver.close()


def test_a_new_driver_ends_the_steps_of_an_earlier_one(inside: Inside):
    runner = subprocess.Popen(["/bin/sh", "-c", "sleep 60; :", token(2)])
    try:
        with pytest.raises(Unreachable, match="is not running in job 18"):
            inside.end([step(1, Placement("17", 0)), step(2)])
        assert runner.wait(30) != 0
    finally:
        runner.kill()
        runner.wait()


def test_only_the_first_step_waits_for_an_srun_that_hangs(
    inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "srun").write_text("#!/bin/sh\nread line\n")
    monkeypatch.setattr(agents, "_READY_SECONDS", 1.0)
    before = time.monotonic()

    outcomes = [
        inside.start(Job(token(number), "s", tmp_path, "./s", tmp_path, lambda *_: True), AT) for number in range(20)
    ]

    assert all(isinstance(outcome, InDoubt) for outcome in outcomes)
    assert time.monotonic() - before < len(outcomes)


def test_the_waits_for_agents_that_hang_are_one_wait(inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "srun").write_text(f"#!/bin/sh\necho >>{tmp_path}/started\nread line\n")
    monkeypatch.setattr(agents, "_READY_SECONDS", 2.0)
    inside._nodes *= 8
    inside.expect(range(8))
    before = time.monotonic()

    for number in range(8):
        at = Placement("18", number)
        job = Job(token(number, at), "s", tmp_path, "./s", tmp_path, lambda *_: True)
        assert isinstance(inside.start(job, at), InDoubt)

    assert time.monotonic() - before < 8
    assert len((tmp_path / "started").read_text().splitlines()) == 8


def test_after_three_agents_that_can_t_start_a_node_gets_no_steps(
    inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "srun").write_text("#!/bin/sh\necho 'srun: error: unrecognized option --overlap' >&2\nexit 1\n")
    monkeypatch.setattr("maestro_es.adapters.inside._PAUSE", 0.0)
    outcome = None
    for number in range(3):
        assert inside.allocation().trouble == ""
        outcome = inside.start(Job(token(number), "s", tmp_path, "./s", tmp_path, lambda *_: True), AT)

    assert isinstance(outcome, InDoubt)
    assert outcome.message.endswith("does not answer: srun: error: unrecognized option --overlap")
    allocation = inside.allocation()
    assert allocation.trouble == "no agent can be started on n1: srun: error: unrecognized option --overlap"
    assert allocation.nodes == (Need(0),)


def test_a_node_without_the_file_system_of_the_study_gets_no_steps(
    inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("maestro_es.adapters.inside._PAUSE", 0.0)
    for number in range(3):
        assert inside.allocation().trouble == ""
        job = Job(token(number), "s", tmp_path, "./s", tmp_path / "elsewhere", lambda *_: True)
        inside.start(job, AT)

    allocation = inside.allocation()
    assert allocation.trouble == f"no agent can be started on n1: {job.runner} can't be read there"
    assert allocation.nodes == (Need(0),)


@pytest.mark.parametrize(("visible", "gpus", "expected"), [("4,7", "1", "7"), ("4,7", "0,1", "4,7"), ("", "1", "1")])
def test_a_step_sees_the_gpus_of_its_job_by_their_own_names(tmp_path: Path, visible: str, gpus: str, expected: str):
    seen = tmp_path / "seen"
    (tmp_path / "runner").write_text(f"echo $CUDA_VISIBLE_DEVICES >{seen}.new; mv {seen}.new {seen}\n")
    environment = {"PATH": os.environ["PATH"], "CUDA_VISIBLE_DEVICES": visible}
    arguments = ("maestro-es-cccc", str(tmp_path / "runner"), "18", "n1", str(tmp_path), "")
    agent = Agent(("/usr/bin/env",), "step=0", arguments, environment, Environment())
    try:
        assert agent.wait_until_ready()
        assert agent.send("start", "t", str(tmp_path), "./s", str(tmp_path), "0", "s", gpus, "--exact")
        wait_for((tmp_path / "seen").exists)
    finally:
        agent.close()
        os.waitpid(agent.pid, 0)
    assert (tmp_path / "seen").read_text().strip() == expected


def test_runners_end_if_the_process_of_the_scheduler_that_started_their_agent_is_killed(tmp_path: Path):
    """Without cgroups, the end of a job may leave them behind."""
    script = f"trap 'touch {tmp_path}/ended; exit' TERM; touch {tmp_path}/runs; sleep 60 & wait\n"
    (tmp_path / "runner").write_text(script)
    arguments = ("maestro-es-dddd", str(tmp_path / "runner"), "18", "n1", str(tmp_path), "")
    path = {"PATH": os.environ["PATH"]}
    agent = Agent(("/bin/sh", "-c", '"$@"; :', "sh"), "step=0", arguments, path, Environment())
    assert agent.wait_until_ready()
    assert agent.send("start", "t", str(tmp_path), "./s", str(tmp_path), "0", "s", "-", "--exact")
    wait_for((tmp_path / "runs").exists)
    os.kill(agent.pid, signal.SIGKILL)
    os.waitpid(agent.pid, 0)
    agent.close()
    wait_for((tmp_path / "ended").exists)
