"""With ``clusters`` in the batch block, each of Slurm's commands is about that cluster. Scripts stand in for them."""

from __future__ import annotations

import pytest

from maestro_es.adapters.process import this_host
from maestro_es.adapters.registry import make_adapter
from maestro_es.core.environment import Environment

BATCH = {"type": "slurm", "host": "h", "bank": "b", "queue": "q"}

#: As squeue of 22.05 prints it: with a name, the name of the cluster comes first.
COMMAND = r"""#!/bin/sh
echo "${0##*/} $SLURM_CLUSTERS" >>@/calls
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


def test_clusters_are_told_apart():
    clusters = {make_adapter({**BATCH, "clusters": name}, this_host()).cluster for name in ("", "one", "two")}
    assert len(clusters) == 3
