"""Agents inside an allocation, and questions about the job around a process."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from maestro_es.adapters import job_questions, process
from maestro_es.adapters.agents import Agent
from maestro_es.adapters.host import Host, this_host
from maestro_es.adapters.job_questions import has_ended
from maestro_es.adapters.local import LocalAdapter
from maestro_es.core.environment import Environment
from maestro_es.core.model import JobState, StepRecord


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("kill -KILL $$", False),
        ("echo COMPLETED; exit 1", False),
        ("echo RUNNING", False),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", True),
        ("echo TIMEOUT", True),
        (":", True),
    ],
)
def test_only_a_complete_answer_of_squeue_says_that_a_job_has_ended(tmp_path: Path, answer: str, expected: bool):
    squeue = tmp_path / "squeue"
    squeue.write_text(f"#!/bin/sh\n{answer}\n")
    squeue.chmod(0o755)
    question = has_ended("slurm:18", with_all=False)

    done = subprocess.run(
        ["/bin/sh", "-c", question], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=False, capture_output=True
    )

    assert (done.returncode == 0) is expected


@pytest.mark.parametrize(("seconds", "is_certain"), [(None, False), (5, False), (70, True)])
def test_a_process_that_is_gone_on_its_host_is_lost_after_a_minute_without_an_answer_about_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int | None, is_certain: bool
):
    (tmp_path / "squeue").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    host = this_host()._replace(job="")
    adapter = LocalAdapter({}, host)
    missed_at = None if seconds is None else time.time_ns() // 1000 - seconds * 1_000_000
    step = gone_step(host, missed_at)

    info = adapter.query_queue([step], {})[step.token]

    assert (info.state, info.may_reappear) == (JobState.GONE, not is_certain)


def gone_step(host: Host, missed_at: int | None = None) -> StepRecord:
    """Return a step that was started in a job of Slurm. Its process is gone."""
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    return StepRecord(
        1, "a", "a", (), "a", {}, scheduled=False, row=1, restart_limit=0, token=f"token-{gone.pid}",
        job_id=str(gone.pid), job_host=host.name, job_instance=f"{host.boot_id}/{host.namespace}@slurm:18@here",
        missed_at=missed_at,
    )  # fmt: skip


def test_a_scheduler_that_hangs_is_asked_once_about_a_job_and_stops_no_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("squeue", "scontrol"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >>{tmp_path}/calls\nexec sleep 60.125\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(job_questions, "_PATIENCE", 0.5)
    monkeypatch.setattr(job_questions, "_ASK_AGAIN", 0)
    host = this_host()._replace(job="")
    steps = [gone_step(host) for _ in range(3)]

    infos = LocalAdapter({}, host).query_queue(steps, {})

    assert {(info.state, info.may_reappear) for info in infos.values()} == {(JobState.GONE, True)}
    assert sorted((tmp_path / "calls").read_text().split()) == ["scontrol", "squeue"]
    assert not [running for running in process.of_this_user() if running.arguments == ("sleep", "60.125")]


def test_a_new_agent_ends_only_what_an_earlier_agent_of_its_own_node_left(tmp_path: Path):
    """A task that an srun on another node started has the variable of that node's agent."""
    job = str(os.getpid())
    marks = {
        node: {"MAESTRO_ES_AGENT": f"{job}/{node}/maestro-es-aaaa/999999", "MAESTRO_ES_TOKEN": f"token-{node}"}
        for node in ("one", "two")
    }
    tasks = {node: subprocess.Popen(["/bin/sleep", "60"], env=mark) for node, mark in marks.items()}
    arguments = ("maestro-es-bbbb", os.devnull, job, "one", str(tmp_path), "")
    preamble = f'step=0; end_jobs() {{ touch "{tmp_path}/$1"; }}'
    agent = Agent(("/usr/bin/env",), preamble, arguments, {"PATH": os.environ["PATH"]}, Environment())
    try:
        assert agent.wait_until_ready()
        assert tasks["one"].wait(10) == -9
        time.sleep(0.1)
        assert tasks["two"].poll() is None
        assert [path.name for path in tmp_path.glob("token-*")] == ["token-one"]
    finally:
        agent.close()
        os.waitpid(agent.pid, 0)
        for task in tasks.values():
            task.kill()
            task.wait()
