"""A study of local steps inside one job: when that ends, nothing goes on outside of it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import State
from maestro_es.study.session import Session
from tools.slurm_cluster.cluster import Cluster
from tools.testbed.processes import wait_for

STUDY = """
description: {name: inner, description: d}
study:
- {name: a, description: d, run: {cmd: touch ready; sleep 120}}
- {name: b, description: d, run: {cmd: touch ready; sleep 120 || exit 1}}
- {name: next, description: d, run: {cmd: touch ran, depends: [a]}}
"""


def finished(cluster: Cluster, job: str) -> bool:
    return job not in cluster.run("squeue", "-h", "-o", "%i").stdout.split()


@pytest.mark.parametrize("command", ["run -y --wait", "run -y"])
@pytest.mark.parametrize("end", [["scancel"], ["scancel", "--batch", "--signal=KILL"]], ids=["cancelled", "killed"])
def test_when_the_job_around_ends_no_step_starts_outside_of_it(
    cluster: Cluster, tmp_path: Path, command: str, end: list[str]
):
    root = tmp_path / "study"
    (tmp_path / "study.yaml").write_text(STUDY)
    script = tmp_path / "job.sh"
    program = f"'{sys.executable}' -m maestro_es {command} -o '{root}' '{tmp_path}/study.yaml'"
    script.write_text(f"#!/bin/bash\n{program}\nsleep 120\n")
    submitted = cluster.run("sbatch", "--parsable", "-n2", "-o", str(tmp_path / "job.out"), str(script))
    job = submitted.stdout.strip()
    for name in "ab":
        wait_for((root / name / "ready").exists)

    cluster.run(*end, job)
    wait_for(lambda: finished(cluster, job))
    time.sleep(2)  # for a tick that should not come

    with Session(root) as study:
        attempts = {step.name: step.attempt for step in study.graph.steps()}
        failed = [step.name for step in study.graph.steps() if step.state is State.FAILED]
        requested = [recorded for recorded in study.log.events() if isinstance(recorded.event, e.SubmissionRequested)]
    assert attempts == {"a": 1, "b": 1, "next": 0}
    assert failed == []
    assert len(requested) == 2
    assert not (root / "next/ran").exists()
