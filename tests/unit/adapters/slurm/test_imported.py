"""Maestro's jobs are known by their id and their script."""

from __future__ import annotations

import pytest

from maestro_es.adapters.queue_entries import imported, runs_script_of
from maestro_es.adapters.slurm.output import read_accounts
from maestro_es.core.model import JobState, StepRecord


def step(name: str = "sim_N.1:2", workspace: str = "sim/N.12", token: str = "cafe-1-1-imported") -> StepRecord:
    return StepRecord(
        number=1, name=name, template="sim", params=(), workspace=workspace, workspaces={}, scheduled=True, row=1,
        restart_limit=1, token=token, job_id="17",
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        "/studies/pi/sim/N.12/sim_N.12.slurm.sh",
        "sbatch -D /studies/pi/sim/N.12 /studies/pi/sim/N.12/sim_N.12.slurm.sh",
        "/studies/pi/sim/N.12/sim_N.1:2.restart.slurm.sh",
        "sbatch -D /studies/pi/sim/N.12 /scratch/x1/sim_N.12.slurm.sh",
        "/scratch/x1/sim_N.12.slurm.sh",
    ],
)
def test_the_script_of_a_step_is_recognised(command):
    assert runs_script_of(step(), command)


def test_the_script_of_a_step_with_a_hashed_workspace_is_recognised():
    assert runs_script_of(step(workspace="sim/sim_instance_3"), "/scratch/x1/sim_instance_3.slurm.sh")


@pytest.mark.parametrize("command", ["/studies/pi/sim/N.13/sim_N.13.slurm.sh", "/scratch/x1/post.slurm.sh", ""])
def test_another_script_is_not(command):
    assert not runs_script_of(step(), command)


def test_only_tokens_of_the_import_are_maestros():
    assert imported([step(), step(token="cafe-1-2-salt")]) == {"17": step()}


def test_the_accounts_tell_maestros_jobs_by_id_and_script():
    line = "17|COMPLETED|0:0|Unknown|sbatch -D /s/sim/N.12 /s/sim/N.12/sim_N.12.slurm.sh"

    [seen] = read_accounts(line, [step().token], imported([step()])).values()

    assert (seen.state, seen.job_id) == (JobState.FINISHED, "17")
    assert read_accounts(line.replace("17|", "18|"), [step().token], imported([step()])) == {}
    assert read_accounts("17|COMPLETED|0:0|Unknown|sbatch other.sh", [step().token], imported([step()])) == {}
