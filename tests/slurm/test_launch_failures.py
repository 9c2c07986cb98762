"""A node that can't launch one job of many equal ones.

Slurm before 23.02.6 would end the wrong jobs of an array then, so the steps have jobs of their own there. On later
versions they are an array. MAESTRO_ES_SLURM chooses the version.
"""

from __future__ import annotations

import shutil

import pytest

from maestro_es.adapters.slurm.arrays import elements_fail_alone
from maestro_es.core import events as e
from maestro_es.core.arrays import AUTO_FROM
from maestro_es.core.model import StudyStatus
from tests.slurm.studies import events, finish, ledger, states, step, tick_until, until
from tools.slurm_cluster.configuration import Options

#: A prolog that fails once, for the job with the id in a file. It finds the id of an element with scontrol.
PROLOG = """#!/bin/sh
read -r unlucky <{folder}/unlucky
SLURM_CONF={conf} {scontrol} -o show job "$SLURM_JOB_ID" >{folder}/shown.$SLURM_JOB_ID
case " $unlucky " in
" $SLURM_JOB_ID ") ;;
*_*) grep -q "ArrayJobId=${{unlucky%_*}} ArrayTaskId=${{unlucky#*_}} " {folder}/shown.$SLURM_JOB_ID || exit 0 ;;
*) exit 0 ;;
esac
mkdir {folder}/failed 2>/dev/null && exit 1
exit 0
"""


@pytest.mark.parametrize("unlucky", [0, AUTO_FROM // 2, AUTO_FROM - 1])
def test_one_failed_launch_of_many_equal_jobs_spares_the_others(start_cluster, launch, tmp_path, unlucky: int):
    folder = tmp_path / "prolog"
    folder.mkdir()
    prolog = folder / "prolog"
    cluster = start_cluster(Options(conf=(f"Prolog={prolog}",)))
    prolog.write_text(PROLOG.format(folder=folder, conf=cluster.conf, scontrol=shutil.which("scontrol")))
    prolog.chmod(0o755)
    cluster.run("scontrol", "update", "PartitionName=debug", "State=DOWN")
    values = ", ".join(map(str, range(AUTO_FROM)))
    more = f"global.parameters:\n  N: {{values: [{values}], label: N.%%}}\n"
    root = launch(step("sim", f": $(N); {until('go')}"), more=more)

    jobs = [event.job_id for event in events(root, e.JobSubmitted)]
    _, version = cluster.run("sbatch", "--version").stdout.split()
    calls = 1 if elements_fail_alone({"SLURM_VERSION": version}) else AUTO_FROM
    assert len({job.partition("_")[0] for job in jobs}) == calls

    (folder / "unlucky").write_text(f"{jobs[unlucky]}\n")
    cluster.run("scontrol", "update", "PartitionName=debug", "State=UP")
    tick_until(root, e.HardwareFailed)
    (tmp_path / "go").touch()

    assert finish(root) is StudyStatus.FINISHED
    assert set(states(root).values()) == {"FINISHED"}
    assert len(ledger(root)) == AUTO_FROM
    assert len(events(root, e.HardwareFailed)) == 1
    assert len(events(root, e.JobSubmitted)) == AUTO_FROM + 1
