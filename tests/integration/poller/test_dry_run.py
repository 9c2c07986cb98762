"""Studies of schedulers that are not here: ``--dry`` writes their scripts, and what can't be submitted is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.core.model import Cause, Settings, State, StudyStatus
from maestro_es.creation.create import create_study
from maestro_es.execution_graph.graph import ExecutionGraph
from maestro_es.poller.tick import tick
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from maestro_es.study_file.plan import StudyPlan, plan_study
from tools.testbed.processes import wait_for

STUDY = """\
description: {{name: n, description: d}}
batch: {{type: {kind}, host: h, bank: b, queue: q}}
study:
- {{name: make, description: d, run: {{cmd: make}}}}
- name: sim
  description: what it does
  run: {{cmd: $(LAUNCHER) sim, restart: $(LAUNCHER) again, nodes: $(N), procs: 4, depends: [make]}}
- {{name: greedy, description: d, run: {{cmd: "$(LAUNCHER)[5p] sim", nodes: 1, procs: 4}}}}
- {{name: after, description: d, run: {{cmd: ls, depends: [greedy]}}}}
global.parameters:
  N: {{values: [1, 2], label: N.%%}}
"""

AFTER = "{name: after, description: d, run: {cmd: cat $(make.workspace)/out > in, depends: [make]}}"
LAUNCHERS = {
    "slurm": "srun -n 4 -N 2",
    "lsf": "jsrun --nrs 4 -b rs -a 1 -r 1 -c 1",
    "flux": "flux run -N 2 -n 4",
}
DIRECTIVES = {"slurm": "#SBATCH --nodes=2\n", "lsf": "#BSUB -nnodes 2\n", "flux": "#flux: -N 2\n"}


def plan(root: Path, kind: str) -> StudyPlan:
    spec = root / "study.yaml"
    spec.write_text(STUDY.format(kind=kind), "utf-8")
    return plan_study(spec, SCHEDULERS, output=root / "study", timestamp="")


@pytest.mark.parametrize("kind", LAUNCHERS)
def test_a_dry_run_writes_scripts_without_the_scheduler(tmp_path: Path, kind: str):
    runtime = Runtime()
    root = create_study(plan(tmp_path, kind), Settings(dry_run=True, restart_limit=1), runtime).root
    with Session(root, runtime) as study:
        tick(study)
        steps = {step.name: step for step in study.graph.steps()}

    main = (root / f"sim/N.2/sim_N.2.{kind}.sh").read_text()
    restart = (root / f"sim/N.2/sim_N.2.restart.{kind}.sh").read_text()
    assert DIRECTIVES[kind] in main
    assert main.endswith(f"\n\n{LAUNCHERS[kind]} sim\n")
    assert restart == main.replace(" sim\n", " again\n")
    local = (root / f"make/make.{kind}.sh").read_text()
    assert local.startswith("#!/bin/bash\n")
    assert local.endswith("\n\nmake\n")
    assert (local == "#!/bin/bash\n\nmake\n") is (kind != "flux")
    assert steps["sim_N.1"].state is State.DRYRUN
    assert (steps["greedy"].state, steps["greedy"].cause) == (State.FAILED, Cause.SCRIPT)
    assert steps["greedy"].message.endswith("$(LAUNCHER)[5p] asks for 5 procs, but the step has 4")
    assert steps["after"].cause is Cause.UPSTREAM


def test_a_dry_run_ends_although_a_step_was_cancelled_before_its_script_was_written(tmp_path: Path):
    root = create_study(plan(tmp_path, "slurm"), Settings(dry_run=True), Runtime()).root
    with ExecutionGraph.open(root) as graph:
        graph.end_steps("make", wait_s=0)
        graph.tick()
        assert graph.status is StudyStatus.CANCELLED
        assert graph.steps["sim_N.1"].state is State.CANCELLED
        assert graph.steps["greedy"].cause is Cause.SCRIPT
    assert not (root / "make/make.slurm.sh").exists()


@pytest.mark.parametrize("kind", ["lsf", "flux", "slurm"])
def test_a_study_none_of_whose_steps_is_a_job_needs_no_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    monkeypatch.setenv("PATH", "/bin")
    spec = tmp_path / "study.yaml"
    head = STUDY.format(kind=kind).partition("- name: sim")[0]
    spec.write_text(f"{head.replace('cmd: make', 'cmd: echo hello > out')}- {AFTER}\n", "utf-8")
    runtime = Runtime()
    root = create_study(
        plan_study(spec, SCHEDULERS, output=tmp_path / "study", timestamp=""), Settings(), runtime
    ).root
    with Session(root, runtime) as study:
        wait_for(lambda: tick(study) is not StudyStatus.RUNNING)

        assert study.status is StudyStatus.FINISHED
    assert (root / "after" / "in").read_text() == "hello\n"
