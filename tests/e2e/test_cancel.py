"""``cancel`` says what it has not done: a scheduler that does not answer, or does not end a job."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es

HEAD = """
description: {name: study, description: d}
batch: {type: slurm, host: here, bank: mine, queue: debug}
study:
"""
JOB = "    - {name: job, description: d, run: {procs: 1, cmd: sleep 1}}\n"
LOCAL = "    - {name: here, description: d, run: {cmd: sleep 30}}\n"

#: Commands of a Slurm that has one job, which waits for ever. The real ones come in tests/slurm; but no real squeue
#: fails on demand while scancel works.
COMMANDS = {
    "sbatch": 'for word; do command="$command $word"; done; echo "$command" >job; echo PENDING >state; echo 7',
    "squeue": """[ ! -e broken.squeue ] || { echo "squeue: error: no answer today" >&2; exit 1; }
echo "JOBID|STATE NODES|REASON|COMMAND"
[ ! -e job ] || echo "7|$(cat state) |None|$(cat job)"
""",
    "scancel": """[ ! -e broken.scancel ] || { echo "scancel: error: access denied" >&2; exit 1; }
echo CANCELLED >state""",
    "scontrol": "exit 1",
    "sacct": "exit 1",
}


class Slurm:
    """The commands, and how often each was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in COMMANDS.items():
            file = folder / name
            file.write_text(f"#!/bin/sh\ncd {folder}\necho {name} >>calls\n{text}\n")
            file.chmod(0o755)

    def breaks(self, name: str) -> None:
        (self.folder / f"broken.{name}").touch()

    def mends(self, name: str) -> None:
        (self.folder / f"broken.{name}").unlink()

    def calls(self) -> dict[str, int]:
        """Return how often each command was called since this was asked."""
        file = self.folder / "calls"
        names = file.read_text().split() if file.exists() else []
        file.unlink(missing_ok=True)
        return {name: names.count(name) for name in sorted(set(names))}


@pytest.fixture
def slurm(tmp_path, own_home, monkeypatch) -> Slurm:
    del own_home
    (tmp_path / "slurm").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'slurm'}:{os.environ['PATH']}")
    return Slurm(tmp_path / "slurm")


def launch(folder: Path, steps: str) -> Path:
    (folder / "study.yaml").write_text(HEAD + steps)
    done = maestro_es("run", "-y", "-o", folder / "study", folder / "study.yaml")
    assert done.returncode == 0, done
    return folder / "study"


def requested(root: Path) -> int:
    with Session(root) as study:
        return sum(isinstance(recorded.event, e.CancelRequested) for recorded in study.log.events())


def test_a_cancel_without_an_answer_says_so_in_one_line_and_asks_once(slurm, tmp_path):
    study = launch(tmp_path, JOB)
    slurm.calls()
    slurm.breaks("squeue")
    done = maestro_es("cancel", "-y", study)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1), done
    assert re.search(
        "cancellation is recorded; jobs that may still be running: 1; the next tick .*no answer today", done.stderr
    )
    assert slurm.calls() == {"squeue": 1}
    assert requested(study) == 1
    assert maestro_es("tick", study).returncode == 75

    slurm.mends("squeue")
    assert maestro_es("tick", study).returncode == 0
    assert slurm.calls() == {"scancel": 1, "squeue": 2}
    assert maestro_es("tick", study).returncode == 0
    assert ",CANCELLED," in maestro_es("status", "--csv", study).stdout


def test_a_cancel_ends_the_steps_of_this_host_though_the_scheduler_does_not_answer(slurm, tmp_path):
    study = launch(tmp_path, JOB + LOCAL)
    slurm.calls()
    slurm.breaks("squeue")
    done = maestro_es("cancel", "-y", study)
    assert (done.returncode, done.stderr.count("\n")) == (75, 1), done
    assert "jobs that may still be running: 1;" in done.stderr
    assert slurm.calls()["squeue"] <= 2  # the runner that was ended asks for a tick of its own
    assert maestro_es("status", "--csv", study).stdout.count("CANCELLED") == 1


def test_a_cancel_of_a_step_of_this_host_does_not_need_the_scheduler(slurm, tmp_path):
    study = launch(tmp_path, JOB + LOCAL)
    slurm.breaks("squeue")
    done = maestro_es("cancel", "-y", study, "here")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{study}: 1 step cancelled\n", ""), done


def test_a_job_that_scancel_does_not_end_is_told_by_cancel_and_by_ticks(slurm, tmp_path):
    study = launch(tmp_path, JOB)
    slurm.breaks("scancel")
    for done in (maestro_es("cancel", "-y", study), maestro_es("tick", study)):
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1), done
        assert "scancel: error: access denied" in done.stderr
    slurm.mends("scancel")
    assert maestro_es("tick", study).returncode == 0


def test_run_that_waits_shows_that_the_scheduler_does_not_answer(slurm, tmp_path):
    (tmp_path / "study.yaml").write_text(HEAD + JOB)
    slurm.breaks("squeue")
    words = ("run", "--wait", "-y", "-s", "1", "-o", tmp_path / "study", tmp_path / "study.yaml")
    command = [sys.executable, "-m", "maestro_es", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        try:
            assert "no answer from slurm: squeue: squeue: error: no answer today" in "".join(
                itertools.islice(waiting.stderr, 2)
            )
        finally:
            waiting.kill()
