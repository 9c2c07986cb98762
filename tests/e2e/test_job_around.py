"""A study of local steps that was started in a job: when that job is over, no step starts outside of one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tools.testbed.processes import end_all_under, wait_for

SPEC = """
description: {name: inner, description: two steps in a row}
study:
    - {name: first, description: d, run: {cmd: 'true'}}
    - {name: last, description: d, run: {cmd: 'touch ran', depends: [first]}}
"""


JOBS = {kind: f"batch: {{type: {kind}, host: here, bank: mine, queue: debug}}\n" for kind in ("slurm", "flux", "lsf")}


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize(
    ("batch", "job", "message"),
    [
        ("", {}, "this process is not in a job"),
        (JOBS["lsf"], {"SLURM_JOB_ID": "42"}, "can't run the steps of a study for lsf. Use --wait."),
        (JOBS["slurm"], {"SLURM_JOB_ID": "42", "SLURM_ARRAY_JOB_ID": "40"}, "can't run steps inside a job array"),
        (JOBS["slurm"], {"SLURM_JOB_ID": "42", "SLURM_HET_SIZE": "2"}, "can't run steps inside a heterogeneous job"),
        (JOBS["flux"], {"SLURM_JOB_ID": "42"}, "only in a job of flux, but this process runs in the job slurm:42"),
    ],
    ids=["no job", "another kind", "array", "heterogeneous", "another scheduler"],
)
def test_steps_run_inside_a_job_only_if_its_scheduler_can_do_that(
    tmp_path: Path, batch: str, job: dict[str, str], message: str
):
    (tmp_path / "inner.yaml").write_text(batch + SPEC)
    root = tmp_path / "study"
    env = {"SLURM_JOB_ID": "", "LSB_JOBID": "", "FLUX_JOB_ID": "", "PBS_JOBID": "", **job}
    done = maestro_es("run", "-y", "--in-allocation", "-o", root, tmp_path / "inner.yaml", env=env)
    assert done.returncode == 1
    assert message in done.stderr
    assert not root.exists()


@pytest.mark.usefixtures("own_home")
def test_local_steps_run_inside_any_job_in_the_time_that_it_has_left(tmp_path: Path):
    (tmp_path / "squeue").write_text("#!/bin/sh\necho 30:00\n")
    (tmp_path / "squeue").chmod(0o755)
    (tmp_path / "inner.yaml").write_text(
        SPEC + "    - {name: late, description: d, run: {cmd: touch ran, walltime: '00:40:00'}}\n"
    )
    root, path = tmp_path / "study", f"{tmp_path}:{os.environ['PATH']}"
    env = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2", "PATH": path}
    done = maestro_es("run", "-y", "--in-allocation", "-o", root, tmp_path / "inner.yaml", env=env)
    assert done.returncode == 75, done
    assert "the walltime of late is longer than the time that job 7 has left" in done.stderr
    assert (
        "The local steps run on this node only, but the job has 2 nodes. With a batch block of type slurm"
        in done.stderr
    )
    assert (root / "last/ran").exists()
    assert not (root / "late/ran").exists()


@pytest.fixture
def study(tmp_path, monkeypatch) -> Iterator[Path]:
    """A study that was started in a job. Its first step has ended."""
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    for name in ("SLURM_JOB_ID", "LSB_JOBID", "FLUX_JOB_ID", "PBS_JOBID"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "inner.yaml").write_text(SPEC)
    root = tmp_path / "study"
    done = maestro_es("run", "-y", "-o", root, tmp_path / "inner.yaml", env={"SLURM_JOB_ID": "42"})
    assert done.returncode == 0, done
    wait_for(lambda: list((root / ".maestro-es/inbox").glob("*.exit.0")))
    yield root
    end_all_under(tmp_path)


def attempts(study: Path) -> list[int]:
    with sqlite3.connect(study / "events.db") as log:
        return [row[0] for row in log.execute("SELECT attempt FROM step ORDER BY number")]


def test_no_step_starts_outside_of_a_job_and_one_line_says_so(study):
    for _ in range(2):
        done = maestro_es("tick", study)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "was started in the job slurm:42, so its local steps start in jobs only" in done.stderr
    assert attempts(study) == [1, 0]
    assert "slurm:42" in maestro_es("why", study, "last").stdout


def test_the_study_goes_on_in_another_job(study):
    assert maestro_es("tick", study).returncode == 1
    assert maestro_es("tick", study, env={"SLURM_JOB_ID": "43"}).returncode == 0
    wait_for((study / "last/ran").exists)


def test_the_study_goes_on_outside_once_its_environment_is_taken_from_there(study):
    assert maestro_es("tick", study).returncode == 1
    assert maestro_es("env", study, "--refresh").returncode == 0
    assert maestro_es("tick", study).returncode == 0
    wait_for((study / "last/ran").exists)


def test_a_tick_of_scrontab_starts_no_step_that_would_end_with_its_job(study):
    env = {"MAESTRO_ES_BY_CRON": "scrontab", "SLURM_JOB_ID": "43"}
    done = maestro_es("tick", "--all", env=env)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "this job ends with the tick, so local steps can't start: run 'maestro-es drive" in done.stderr
    assert attempts(study) == [1, 0]
    assert "(scrontab)" in maestro_es("history", study, "first").stdout
    assert maestro_es("drive", study, env={"SLURM_JOB_ID": "43"}).returncode == 0
