"""When the job around a driver ends, as its scheduler says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maestro_es.adapters.job_clock import JobClock
from maestro_es.drivers.batch_job import resubmit
from maestro_es.errors import Unreachable


class Scheduler:
    """Answers with `left`, or not at all. It counts the questions."""

    def __init__(self) -> None:
        self.left: float | None = 600
        self.silent, self.asked, self.now = False, 0, 0.0

    def ask(self) -> float | None:
        self.asked += 1
        if self.silent:
            raise Unreachable("squeue: no answer")
        return self.left


def test_the_scheduler_is_asked_once_a_minute_and_its_last_answer_counts():
    scheduler = Scheduler()
    clock = JobClock(60, scheduler.ask, lambda: scheduler.now)
    assert not any(clock.is_over() for _ in range(9))
    assert scheduler.asked == 1

    scheduler.silent = True
    scheduler.now = 539.9
    assert not clock.is_over()
    assert scheduler.asked == 2
    scheduler.now = 540
    assert clock.is_over()

    scheduler.silent, scheduler.left, scheduler.now = False, 3600, 600
    assert not clock.is_over()
    scheduler.left, scheduler.now = None, 660
    assert not clock.is_over()
    scheduler.left, scheduler.now = 10, 720
    assert clock.is_over()


def test_until_the_first_answer_the_scheduler_is_asked_every_five_seconds():
    scheduler = Scheduler()
    scheduler.silent, scheduler.left = True, 70
    clock = JobClock(60, scheduler.ask, lambda: scheduler.now)
    assert not clock.is_over()
    scheduler.silent, scheduler.now = False, 4.9
    assert not clock.is_over()
    assert scheduler.asked == 1

    scheduler.now = 5
    assert not clock.is_over()
    assert scheduler.asked == 2
    scheduler.now = 15
    assert clock.is_over()
    assert scheduler.asked == 2


@pytest.mark.parametrize("name", ["MYJOB", "JOBNAME", "NAME"])
def test_the_name_of_the_job_is_kept_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    (tmp_path / "qsub").write_text(f'#!/bin/sh\necho "$*" >{tmp_path}/options\necho 8\n')
    (tmp_path / "qsub").chmod(0o755)
    for variable in ("SLURM_JOB_ID", "SLURM_JOBID", "LSB_JOBID", "FLUX_JOB_ID"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PBS_JOBID", "4711")
    monkeypatch.setenv("PBS_JOBNAME", name)
    assert resubmit(tmp_path / "drive.sh") == "8"
    expected = f"-N {name} -W depend=afterany:4711 {tmp_path}/drive.sh\n"
    assert (tmp_path / "options").read_text() == expected
