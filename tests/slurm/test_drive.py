"""``drive`` in jobs of a real Slurm that are killed: no local step fails for that reason, and the study finishes."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tests.slurm.conftest import export, started
from tools.slurm_cluster.cluster import Cluster
from tools.slurm_cluster.configuration import Options
from tools.testbed.processes import arguments, end_all_under, running_under, wait_for

#: Each step runs until the file `go` exists. The second one ignores SIGTERM.
STUDY = """
description: {name: chain, description: d}
study:
- {name: a, description: d, run: {cmd: "echo run >>runs; until [ -e ../go ]; do sleep 0.2; done"}}
- {name: b, description: d, run: {cmd: "trap '' TERM; echo run >>runs; until [ -e ../go ]; do sleep 0.2; done"}}
- {name: c, description: d, run: {cmd: "true", depends: [a, b]}}
"""


@pytest.fixture(scope="module")
def strict_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose jobs leave no process behind, as usual on real ones."""
    options = Options(conf=("ProctrackType=proctrack/cgroup",))
    with started(tmp_path_factory.mktemp("slurm"), options) as cluster:
        yield cluster


def submit(cluster: Cluster, study: Path, node: str) -> str:
    """Submit a job on a node that drives the study. The name of the host is that of the node."""
    script = study.parent / "drive.sh"
    command = f"'{sys.executable}' -m maestro_es drive '{study}'"
    script.write_text(f"#!/bin/bash\nexec unshare --uts sh -c 'hostname {node} && exec \"$@\"' sh {command}\n")
    output = str(study.parent / "drive.out")
    done = cluster.run("sbatch", "--parsable", "-w", node, "-n2", "--open-mode=append", "-o", output, str(script))
    return done.stdout.strip()


def is_gone(cluster: Cluster, job: str) -> bool:
    return job not in cluster.run("squeue", "-h", "-o", "%i").stdout.split()


def end(cluster: Cluster, job: str, how: str, study: Path) -> None:
    if how == "driver killed":
        for pid in running_under(study):
            if b"drive" in arguments(pid):
                os.kill(pid, signal.SIGKILL)
    cluster.run("scancel", *(("--full", "--signal=KILL") if how == "killed" else ()), job)
    wait_for(lambda: is_gone(cluster, job))


def runs(study: Path, name: str) -> int:
    file = study / name / "runs"
    return file.read_text().count("run") if file.exists() else 0


def have_run_again(study: Path, before: tuple[int, int]) -> bool:
    return runs(study, "a") > before[0] and runs(study, "b") > before[1]


def test_no_step_fails_because_the_jobs_of_its_drivers_were_killed(strict_cluster, tmp_path, own_home, monkeypatch):
    export(strict_cluster, monkeypatch)
    (tmp_path / "study.yaml").write_text(STUDY)
    study = tmp_path / "s"
    env = {"SLURM_JOB_ID": "999999", "SLURM_CLUSTER_NAME": "tests"}  # this job has ended
    done = maestro_es("run", "-y", "--local-slots", "2", "-o", study, tmp_path / "study.yaml", env=env)
    assert done.returncode == 0, done
    wait_for(lambda: runs(study, "a") and runs(study, "b"))
    end_all_under(study)

    for number, how in enumerate(("cancelled", "killed", "driver killed")):
        before = runs(study, "a"), runs(study, "b")
        job = submit(strict_cluster, study, f"n{number % 2 + 1}")
        wait_for(functools.partial(have_run_again, study, before))
        end(strict_cluster, job, how, study)
        assert running_under(study) == []
    (study / "go").touch()
    submit(strict_cluster, study, "n1")
    assert maestro_es("wait", study, "--timeout", "90").returncode == 0

    history = [json.loads(line) for line in maestro_es("history", study, "--json").stdout.splitlines()]
    failures = [event for event in history if event["type"] == "HardwareFailed"]
    assert {event["data"]["number"] for event in failures} == {0}
    assert len(failures) == 8
    assert (runs(study, "a"), runs(study, "b")) == (5, 5)
    assert maestro_es("verify", study).returncode == 0
