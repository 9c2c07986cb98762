"""Studies that the real Maestro submitted to Flux or LSF, whose conductor is killed, and that are taken over."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from tests.e2e.command import maestro_es
from tests.fakes.maestro import kill_conductor, launch, states
from tests.slurm.studies import events, finish
from tools.kill_matrix.real_scheduler import RealScheduler
from tools.testbed.processes import wait_for

pytest.importorskip("maestrowf", reason="makes its studies with Maestro itself")

SPEC = """
description: {{name: study, description: d}}
{head}study:
    - {{name: during, description: d, run: {{cmd: 'echo during >> $(OUTPUT_PATH)/ledger; {wait}', {keys}}}}}
    - {{name: after, description: d, run: {{cmd: 'echo after >> $(OUTPUT_PATH)/ledger', depends: [during], {keys}}}}}
"""
WAIT = "until [ -e $(OUTPUT_PATH)/go ]; do sleep 0.1; done"


#: What Maestro needs of LSF and volclava does not have: a list of fields, exit code 255 if there is no job, and two
#: options in scripts.
_LSF = {
    "bjobs": """{real} -a -w | awk -v OFS='|' '{{ print $1, $3, "-", "-" }} END {{ exit NR ? 0 : 255 }}'""",
    "bsub": """sed '/^#BSUB -nnodes/d; /^#BSUB -G/d' | {real} "$@\"""",
}


def maestro_s_environment(cluster: RealScheduler, folder: Path) -> dict[str, str]:
    """Return variables with which Maestro reaches the scheduler."""
    folder.mkdir()
    if cluster.kind == "lsf":
        for name, command in _LSF.items():
            (folder / name).write_text(f"#!/bin/sh\n{command.format(real=cluster.bin / name)}\n")
            (folder / name).chmod(0o755)
        return {"USER": "root", "PATH": f"{folder}:{os.environ['PATH']}"}
    pytest.importorskip("cffi", reason="the Python modules of Flux need it")
    done = subprocess.run(["flux", "python", "--get-path"], capture_output=True, text=True, check=True)
    (folder / "sitecustomize.py").write_text("import flux.job\n")  # Maestro uses it, and imports only flux
    return {"USER": "root", "PYTHONPATH": f"{folder}:{done.stdout.strip()}"}


def test_a_job_of_maestro_s_is_adopted_while_it_runs_on_this_host_and_none_runs_twice(
    cluster: RealScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if cluster.kind in {"pbs", "slurm"}:
        pytest.skip("Maestro has no PBS, and tests/slurm has a test for Slurm")
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    keys = "procs: 1, nodes: 1" + cluster.keys + (", walltime: '00:05'" if cluster.kind == "lsf" else "")
    (tmp_path / "study.yaml").write_text(SPEC.format(head=cluster.head, wait=WAIT, keys=keys))
    root = tmp_path / "study"
    launch(tmp_path / "study.yaml", root, env=maestro_s_environment(cluster, tmp_path / "of-maestro"))
    wait_for((root / "ledger").exists)
    wait_for(lambda: states(root).get("during") in {"PENDING", "RUNNING"})
    kill_conductor(root)
    taken = maestro_es("import", root)

    assert taken.returncode == 0, taken
    assert taken.stdout.count("adopted") == 1, taken
    (root / "go").touch()
    assert finish(root) is StudyStatus.FINISHED
    assert Counter((root / "ledger").read_text().split()) == {"during": 1, "after": 1}
    assert [event.adopted for event in events(root, e.JobSubmitted)] == [True, False]
    assert maestro_es("verify", root).returncode == 0
