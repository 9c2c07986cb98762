"""A study whose steps run inside one job, through the agents on its nodes."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.attempt_token import placement_of
from maestro_es.core.model import State, StudyStatus
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.fakes.timed_steps import TIMED, assert_shared
from tools.slurm_cluster.cluster import Cluster
from tools.testbed.processes import arguments, running_under, wait_for

HEAD = """
description: {name: inner, description: d}
batch: {type: slurm, host: here, bank: mine, queue: debug}
study:
"""
#: A command that notes its token, and if another attempt of its step still runs.
ALONE = "echo $MAESTRO_ES_TOKEN >>../ledger; exec 9>lock; flock -n 9 || touch ../two-at-once; touch ready"
GO = "[ -e ../go ] || sleep 120"


def allocate(cluster: Cluster, root: Path, *options: str, loop: str = "", more: str = "") -> str:
    """Submit a job whose driver runs the study in `root`, or creates it. Returns the job's id."""
    study = f"'{root}'" if (root / "events.db").exists() else f"-y -o '{root}' '{root}.yaml'"
    program = f"'{sys.executable}' -m maestro_es run --in-allocation {more} {study}"
    script = root.parent / "job.sh"
    script.write_text(f"#!/bin/bash\n{loop or program}\n".replace("PROGRAM", program))
    submitted = cluster.run("sbatch", "--parsable", *options, "-o", f"{root}.%j.log", str(script))
    assert submitted.returncode == 0, submitted
    return submitted.stdout.strip()


def is_over(cluster: Cluster, job: str) -> bool:
    return job not in cluster.run("squeue", "-h", "-o", "%i").stdout.split()


def log_of(root: Path, job: str) -> str:
    return Path(f"{root}.{job}.log").read_text()


def jobs_of(root: Path) -> set[str]:
    """Return the jobs in which the attempts of scheduled steps ran."""
    with Session(root) as study:
        recorded = [one.event for one in study.log.events()]
    return {event.job_id for event in recorded if isinstance(event, e.JobSubmitted) and "." in event.job_id}


def agent_of(job: str) -> int:
    """Return the process id of the agent of a job on one node."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    mark = f"agent:{job}/".encode()
    return min(
        pid
        for pid in pids
        if arguments(pid)[:1] == [b"/bin/sh"] and any(word.startswith(mark) for word in arguments(pid))
    )


def settled(root: Path) -> StudyStatus:
    """Return the status of a study after a tick that sees all ends."""
    wait_for(lambda: maestro_es("tick", root).returncode == 0)
    with Session(root) as study:
        return study.status


def test_steps_of_all_kinds_run_inside_the_job(cluster: Cluster, tmp_path: Path):
    root = tmp_path / "study"
    (tmp_path / "study.yaml").write_text(
        HEAD + "- {name: one, description: d, run: {cmd: 'echo $SLURM_JOB_ID', procs: 1, nodes: 1}}\n"
        "- name: mpi\n  description: d\n"
        "  run: {cmd: '$(LAUNCHER) sh -c \"echo \\$SLURMD_NODENAME\"', procs: 4, nodes: 2}\n"
        "- {name: here, description: d, run: {cmd: 'touch ran', depends: [one, mpi]}}\n"
        "- {name: large, description: d, run: {cmd: 'true', procs: 99, nodes: 1}}\n"
    )
    job = allocate(cluster, root, "-N2", "-c4")
    wait_for((root / "here/ran").exists)

    assert (root / "one/one.out").read_text().strip() == job
    assert sorted((root / "mpi/mpi.out").read_text().split()) == ["n1", "n1", "n2", "n2"]
    assert {job_id.partition(".")[0] for job_id in jobs_of(root)} == {job}
    wait_for(lambda: is_over(cluster, job))
    assert f"large needs 99 slots, which the job {job} does not have" in log_of(root, job)


def test_after_scancel_nothing_runs_outside_nothing_has_failed_and_the_next_job_goes_on(
    cluster: Cluster, tmp_path: Path
):
    root = tmp_path / "study"
    (tmp_path / "study.yaml").write_text(
        HEAD + f"- {{name: a, description: d, run: {{cmd: '{ALONE}; {GO}', procs: 2, nodes: 1}}}}\n"
        f"- {{name: b, description: d, run: {{cmd: '{ALONE}; {GO} || exit 1', procs: 2, nodes: 1}}}}\n"
        f"- {{name: next, description: d, run: {{cmd: '{ALONE}', procs: 1, nodes: 1, depends: [a, b]}}}}\n"
    )
    job = allocate(cluster, root, "-N2", "-c4")
    for name in "ab":
        wait_for((root / name / "ready").exists)
    cluster.run("scancel", job)
    wait_for(lambda: is_over(cluster, job))
    wait_for(lambda: not running_under(root))
    with Session(root) as study:
        assert [step.name for step in study.graph.steps() if step.state is State.FAILED] == []
        events = [recorded.event for recorded in study.log.events()]
    placements = [placement_of(event.token) for event in events if isinstance(event, e.SubmissionRequested)]
    assert {placement and placement.job for placement in placements} == {job}

    (root / "go").touch()
    second = allocate(cluster, root, "-N1", "-c4")
    wait_for(lambda: is_over(cluster, second))
    assert "Study ended: FINISHED" in log_of(root, second)
    with Session(root) as study:
        assert [step.hardware_failures for step in study.graph.steps()] == [0, 0, 0]
        attempts = [step.attempt for step in study.graph.steps()]
    # Slurm ends the steps of a job first. A driver that ticks before its own signal comes starts them once more.
    assert attempts[2] == 1
    assert set(attempts[:2]) <= {2, 3}
    assert not (root / "two-at-once").exists()


def test_a_driver_puts_its_steps_back_before_the_walltime_of_its_job(cluster: Cluster, tmp_path: Path):
    root = tmp_path / "study"
    (tmp_path / "study.yaml").write_text(
        HEAD + f"- {{name: long, description: d, run: {{cmd: '{ALONE}; sleep 90', procs: 1, nodes: 1}}}}\n"
        "- {name: never, description: d, run: {cmd: touch ran, procs: 1, nodes: 1, walltime: '00:10:00'}}\n"
    )
    job = allocate(cluster, root, "-N1", "-c4", "-t2", more="--stop-before 110")
    wait_for(lambda: is_over(cluster, job))
    with Session(root) as study:
        steps = {step.name: (step.state, step.attempt, step.hardware_failures) for step in study.graph.steps()}
    assert steps == {"long": (State.HWFAILURE, 1, 0), "never": (State.INITIALIZED, 0, 0)}
    assert f"it was stopped because its driver in the job {job} had to stop" in maestro_es("why", root, "long").stdout
    assert f"the job slurm:{job}@tests is about to end; 'maestro-es run --in-allocation" in log_of(root, job)
    assert not running_under(root)


@pytest.mark.parametrize("stage", ["before the claim", "running"])
def test_a_killed_agent_costs_an_attempt_and_no_step(cluster: Cluster, tmp_path: Path, stage: str):
    root = tmp_path / "study"
    (tmp_path / "study.yaml").write_text(
        HEAD + f"- {{name: a, description: d, run: {{cmd: '{ALONE}; sleep 3', procs: 4, nodes: 1}}}}\n"
        f"- {{name: b, description: d, run: {{cmd: '{ALONE}; case $MAESTRO_ES_TOKEN in *-2-1-*) sleep 9;; esac',"
        " procs: 4, nodes: 1, depends: [a]}}\n"
    )
    job = allocate(cluster, root, "-N1", "-c4")
    first = root / ("b" if stage == "running" else "a") / "ready"
    wait_for(first.exists)
    agent = agent_of(job)
    if stage == "before the claim":  # the line for b waits in the pipe
        os.kill(agent, signal.SIGSTOP)
        wait_for(lambda: any(root.glob("b/*.sh")))
    os.kill(agent, signal.SIGKILL)

    wait_for(lambda: is_over(cluster, job))
    assert "Study ended: FINISHED" in log_of(root, job)
    assert not (root / "two-at-once").exists()
    ledger = (root / "ledger").read_text().split()
    assert len(ledger) == len(set(ledger))


def test_two_studies_in_one_job_share_its_slots(cluster: Cluster, tmp_path: Path):
    """Both drivers start at the same moment."""
    roots = [tmp_path / "first", tmp_path / "second"]
    for root in roots:
        Path(f"{root}.yaml").write_text(HEAD + TIMED)
    both = " & ".join(
        f"'{sys.executable}' -m maestro_es run --in-allocation -y -o '{root}' '{root}.yaml'" for root in roots
    )
    job = allocate(cluster, roots[0], "-N2", "-c4", loop=f"{both} & wait")
    wait_for(lambda: is_over(cluster, job), 200)

    assert log_of(roots[0], job).count("Study ended: FINISHED") == 2
    assert_shared(roots, slots=4)


@pytest.mark.timeout(900)
def test_a_large_study_finishes_in_jobs_that_are_too_short_while_its_driver_is_killed(
    cluster: Cluster, tmp_path: Path
):
    root = tmp_path / "study"
    (tmp_path / "study.yaml").write_text(
        HEAD + f"- {{name: a, description: d, run: {{cmd: '{ALONE} $(I); sleep 2', procs: 1, nodes: 1}}}}\n"
        f"global.parameters: {{I: {{values: {[*range(200)]}, label: I.%%}}}}\n"
    )
    loop = (
        "export RANDOM_SEED=7; RANDOM=7; PROGRAM & driver=$!; code=137\n"
        "while :; do sleep $((RANDOM % 8 + 3)); kill -9 $driver || { wait $driver; code=$?; break; }\n"
        "wait $driver; PROGRAM2 & driver=$!; done\nexit $code"
    ).replace("PROGRAM2", f"'{sys.executable}' -m maestro_es run --in-allocation --stop-before 10 '{root}'")
    jobs = 0
    while jobs < 9:
        jobs += 1
        job = allocate(cluster, root, "-N2", "-c4", "-t1", loop=loop, more="--stop-before 10")
        wait_for(functools.partial(is_over, cluster, job), 200)
        if "Study ended" in log_of(root, job):
            break
    assert jobs > 1
    assert settled(root) is StudyStatus.FINISHED
    ledger = (root / "a/ledger").read_text().split()
    assert len({token.split("-")[1] for token in ledger}) == 200
    assert len(ledger) == len(set(ledger))
    assert not (root / "a/two-at-once").exists()
    assert maestro_es("verify", root).returncode == 0
    time.sleep(1)
    assert not running_under(root)
