"""Local steps as a user sees them: the names of their files, and what ends with them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tests.fakes.blanks import TRAVEL
from tools.testbed.processes import running_under, send, wait_for

CHILDREN = r"""
description: {name: kids, description: a solver that starts helpers in sessions of their own}
study:
- name: a
  description: d
  run:
    cmd: |
      setsid sleep 311 &
      nohup sleep 312 >/dev/null 2>&1 &
      bash -c 'sleep 313 & sleep 314' &
      touch ready
      sleep 315
- {name: ign, description: ignores TERM, run: {cmd: "trap '' TERM; touch ready; setsid sleep 316; sleep 317"}}
"""


def test_the_names_of_output_files_keep_their_blanks(own_home: Path, tmp_path: Path):
    """As Maestro names them; the directories have none there either."""
    del own_home
    (tmp_path / "study.yaml").write_text(TRAVEL)
    ran = maestro_es("run", "-y", "--wait", "-o", tmp_path / "travel", tmp_path / "study.yaml")

    assert ran.returncode == 0, ran
    assert (tmp_path / "travel/check/list.txt").read_text() == "packed\n"
    names = {path.name.split(".")[:-2][-1] for path in tmp_path.glob("travel/*/*.out")}
    assert names == {"pack bags", "check"}
    assert [path.name[:20] for path in tmp_path.glob("travel/visit/TOWN.Salt_Lake/*.out")] == ["visit_TOWN.Salt Lake"]
    shown = maestro_es("show", tmp_path / "travel", "pack bags").stdout
    assert "pack bags." in shown
    assert ".out" in shown


SHARED = r"""
description: {name: shared, description: steps that share four slots}
study:
- name: solve
  description: d
  run:
    procs: $(P)
    cmd: |
      : $(I)
      cd ../..; exec 9>lock; flock 9
      echo $(P) >>held; awk '{sum += $1} END {print sum}' held >>seen; flock -u 9
      until [ -e go ]; do sleep 0.02; done
      flock 9; echo -$(P) >>held
global.parameters: {P: {values: [3, 2, 2, 1, 64], label: P.%%}, I: {values: [1, 2, 3, 4, 5], label: I.%%}}
"""


@pytest.mark.usefixtures("own_home")
def test_local_steps_share_the_slots_of_a_host_by_their_procs(tmp_path: Path):
    (tmp_path / "study.yaml").write_text(SHARED)
    root = tmp_path / "shared"
    ran = maestro_es("run", "-y", "--local-slots", "4", "-o", root, tmp_path / "study.yaml")
    assert "Study step 'solve_I.5.P.64' needs 64 slots, and this host has 4 slots. It runs when no" in ran.stderr
    wait_for((root / "seen").exists)
    told = maestro_es("why", root, "solve_I.5.P.64").stdout
    (root / "go").touch()
    seen = root / "seen"
    wait_for(lambda: maestro_es("tick", root).returncode == 0 and len(seen.read_text().split()) == 5)

    assert "needs 64 slots, its host has 4 slots, so it runs there alone, and" in told
    totals = sorted(map(int, seen.read_text().split()))
    assert totals[-1] == 64
    assert totals[-2] <= 4


@pytest.mark.usefixtures("own_home")
def test_a_cancel_ends_what_steps_have_started_in_sessions_of_their_own(tmp_path: Path):
    (tmp_path / "study.yaml").write_text(CHILDREN)
    root = tmp_path / "kids"
    maestro_es("run", "-y", "-o", root, tmp_path / "study.yaml")
    for name in ("a", "ign"):
        wait_for((root / name / "ready").exists)
    assert len(running_under(root)) > 5

    assert maestro_es("cancel", "-y", root).returncode in (0, 75)
    wait_for(lambda: maestro_es("tick", root).returncode == 0 and not running_under(root))
    assert (root / "status.csv").read_text().count(",CANCELLED,") == 2


INNER = """
description: {name: inner, description: a study in a job}
study:
- {name: a, description: d, run: {cmd: touch ready; sleep 120}}
- {name: b, description: d, run: {cmd: touch ready; sleep 120 || exit 1}}
- {name: next, description: d, run: {cmd: touch ran, depends: [a]}}
"""


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize("says", ["RUNNING", "COMPLETING"])
def test_when_the_job_around_is_over_no_step_starts_outside_of_it(tmp_path: Path, says: str):
    """All processes are told to end, as Slurm does; its squeue may not know yet that the job is over."""
    squeue = tmp_path / "bin/squeue"
    squeue.parent.mkdir()
    squeue.write_text(f"#!/bin/sh\necho {says}\n")
    squeue.chmod(0o755)
    (tmp_path / "study.yaml").write_text(INNER)
    root = tmp_path / "inner"
    around = {"PATH": f"{squeue.parent}:{os.environ['PATH']}", "SLURM_JOB_ID": "47"}
    started = maestro_es("run", "-y", "-o", root, tmp_path / "study.yaml", env=around)
    assert started.returncode == 0, started
    for name in ("a", "b"):
        wait_for((root / name / "ready").exists)

    for pid in running_under(root):
        send(pid, signal.SIGTERM)
    wait_for(lambda: not running_under(root))
    reports = [path.name.split(".")[1] for path in (root / ".maestro-es/inbox").iterdir()]
    assert sorted(reports) == ["stopped", "stopped", "used", "used"]
    requested = maestro_es("history", root, "--type", "SubmissionRequested", "--json").stdout
    assert requested.count("\n") == 2
    assert not (root / "next").exists()
