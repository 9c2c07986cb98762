"""Two real clusters under one slurmdbd: a study names the one that runs its jobs (``clusters`` in the batch block)."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path

from tests.e2e.command import maestro_es
from tools.slurm_cluster.cluster import Cluster
from tools.slurm_cluster.configuration import Options
from tools.testbed.processes import wait_for

#: The first step writes the name of its cluster, and runs until the file `go` exists.
SPEC = """
description: {{name: {name}, description: d}}
batch: {{type: slurm, host: here, bank: mine, queue: debug, clusters: {cluster}}}
study:
- name: a
  description: d
  run: {{procs: 1, cmd: "echo $SLURM_CLUSTER_NAME >../where; until [ -e ../go ]; do sleep 0.2; done"}}
- {{name: b, description: d, run: {{procs: 1, cmd: "true", depends: [a]}}}}
"""


def accounts_of(cluster: Cluster) -> tuple[str, ...]:
    """Return the settings of another cluster that uses the slurmdbd and the munged of this one."""
    lines = cluster.conf.read_text().splitlines()
    shared = (
        "AuthInfo",
        "AccountingStorageType",
        "AccountingStorageHost",
        "AccountingStoragePort",
        "AccountingStoragePass",
    )
    return tuple(line for line in lines if line.startswith(shared))


def launch(folder: Path, name: str, cluster: str) -> Path:
    (folder / f"{name}.yaml").write_text(SPEC.format(name=name, cluster=cluster))
    done = maestro_es("run", "-y", "-o", folder / name, folder / f"{name}.yaml")
    assert done.returncode == 0, done
    return folder / name


def has_text(file: Path) -> bool:
    return file.exists() and bool(file.read_text())


def has_ended(study: Path) -> bool:
    maestro_es("tick", study)
    return maestro_es("wait", study, "--timeout", "0").returncode != 75


def job_of(study: Path) -> str:
    found = re.search(r"job (\d+) was submitted", maestro_es("history", study, "a").stdout)
    assert found
    return found[1]


def test_a_study_names_its_cluster_and_equal_ids_are_told_apart(
    start_cluster: Callable[[Options], Cluster], tmp_path: Path, own_home: Path
):
    first = start_cluster(Options(accounting=True, nodes=1))
    conf = first.conf
    second = start_cluster(Options(nodes=1, conf=("ClusterName=second", *accounts_of(first))))

    os.environ["SLURM_CONF"] = str(conf)
    wait_for(lambda: "second" in first.run("sacctmgr", "-nP", "show", "clusters", "format=Cluster,ControlPort").stdout)

    studies = {name: launch(tmp_path, name, name) for name in ("tests", "second")}
    for name, study in studies.items():
        wait_for(functools.partial(has_text, study / "where"))
        assert (study / "where").read_text().split() == [name]
    assert job_of(studies["tests"]) == job_of(studies["second"])  # both clusters begin with 1

    done = maestro_es("tick", "--all")
    assert (done.returncode, done.stderr) == (0, "")
    assert maestro_es("cancel", "-y", studies["tests"]).returncode in {0, 75}
    wait_for(lambda: has_ended(studies["tests"]))
    assert "R" in second.run("squeue", "-h", "-o", "%t").stdout  # the job with the same id runs on
    (studies["second"] / "go").touch()
    wait_for(lambda: has_ended(studies["second"]))
    assert maestro_es("wait", studies["second"]).returncode == 0
    assert maestro_es("wait", studies["tests"]).returncode == 3


def test_a_name_that_is_none_is_refused_with_its_line(tmp_path: Path):
    (tmp_path / "s.yaml").write_text(SPEC.format(name="s", cluster="'one, two'"))
    done = maestro_es("validate", tmp_path / "s.yaml")
    assert done.returncode == 1
    assert "Write the name of one cluster" in done.stderr + done.stdout
