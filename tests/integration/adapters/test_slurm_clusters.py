"""With ``clusters`` in the batch block, each of Slurm's commands is about that cluster. Scripts stand in for them."""

from __future__ import annotations

import os

import pytest

from maestro_es.adapters.host import this_host
from maestro_es.adapters.registry import make_adapter
from maestro_es.adapters.slurm.client import SlurmJobs
from maestro_es.core.environment import Environment
from maestro_es.core.model import Phase, StepRecord

BATCH = {"type": "slurm", "host": "h", "bank": "b", "queue": "q"}

STEP = StepRecord(
    number=1, name="s", template="s", params=(), workspace="s", workspaces={}, scheduled=True, row=1, restart_limit=1,
    token="feed0000-1-1-cafe", job_id="7", phase=Phase.SUBMITTED, requested_at=1_800_000_000_000_000,
)  # fmt: skip

#: As squeue of 22.05 prints it: with a name, the name of the cluster comes first.
COMMAND = r"""#!/bin/sh
echo "${0##*/} $SLURM_CLUSTERS" >>@/calls
[ ${0##*/} != sacct ] || echo "$*" >>@/sacct
case ${0##*/} in
squeue) [ -z "$SLURM_CLUSTERS" ] || echo "CLUSTER: $SLURM_CLUSTERS"
        printf 'JOBID|STATE NODES END_TIME|REASON|COMMAND\n7|RUNNING 1 N/A|None|/s/.maestro-es/token token\n' ;;
sacct) printf 'JobID|State|ExitCode|End|SubmitLine\n' ;;
esac
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    for name in ("squeue", "sacct", "scancel", "scontrol"):
        (tmp_path / "bin" / name).write_text(COMMAND.replace("@", str(tmp_path)))
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_CLUSTERS", "wrong")
    return tmp_path / "calls"


@pytest.mark.parametrize("name", ["second", ""])
def test_the_commands_are_about_the_cluster_of_the_study(calls, name):
    batch = {**BATCH, **({"clusters": name} if name else {})}
    adapter = make_adapter(batch, this_host()._replace(environment=Environment()))
    assert [entry.job_id for entry in adapter.list_jobs()] == ["7"]
    adapter.cluster_info()
    assert {line.partition(" ")[2] for line in calls.read_text().splitlines()} == {name}


@pytest.mark.parametrize(("name", "option"), [("second", "--clusters=second "), ("", "")])
def test_the_accounting_is_asked_about_the_cluster_of_the_study(calls, name, option):
    jobs = SlurmJobs({"PATH": os.environ["PATH"]}, name=name)
    jobs.query_accounting([STEP])
    jobs.query_usage({STEP.token: STEP.job_id}, 1_800_000_000_000_000)
    asked = calls.with_name("sacct").read_text().splitlines()
    assert [line.partition("-P")[0] for line in asked] == [f"{option}-X ", option]


def test_clusters_are_told_apart():
    clusters = {make_adapter({**BATCH, "clusters": name}, this_host()).cluster for name in ("", "one", "two")}
    assert len(clusters) == 3
