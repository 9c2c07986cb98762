"""A Slurm cluster as a `RealScheduler`. Its ``sbatch`` can lose or double a submission."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

from tools.kill_matrix.real_scheduler import RealScheduler
from tools.slurm_cluster.cluster import PREFIXES, Cluster
from tools.slurm_cluster.configuration import Options
from tools.slurm_cluster.packages import PATH

_SBATCH = """#!/bin/sh
fault=$(cat '{folder}/fault' 2>/dev/null)
[ -z "$fault" ] || rm '{folder}/fault'
case $fault in
    lost) {real} "$@" >/dev/null 2>&1; kill -9 $$ ;;
    twice) {real} "$@" >/dev/null; {real} "$@" ;;
    *) exec {real} "$@" ;;
esac
"""

_NODE = "slurmd-n1"


class SlurmScheduler(RealScheduler):
    """A cluster of one node without accounting. `tools/crash-matrix` kills ticks and commands on Slurm."""

    kind, queue, shortest, prefixes, killed = "slurm", "debug", "1", PREFIXES, ()
    head = "batch: {type: slurm, host: here, bank: mine, queue: debug}\n"

    def __init__(self, prefix: Path, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir()
        for name in ("squeue", "sacct", "scancel", "scontrol"):
            (self.bin / name).symlink_to(str(shutil.which(name, path=PATH)))
        sbatch = self.bin / "sbatch"
        sbatch.write_text(_SBATCH.format(folder=folder, real=shutil.which("sbatch", path=PATH)))
        sbatch.chmod(0o755)

    def start(self) -> None:
        self.cluster = Cluster.start(self.folder / "c", Options(nodes=1, cred_expire=5))

    def stop(self) -> None:
        self.cluster.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def variables(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.cluster.conf)}

    def version(self) -> str:
        return self.run("sbatch", "--version").stdout.strip()

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.cluster.run(name, *arguments)

    def batch(self, script: Path) -> str:
        return self.run("sbatch", "--parsable", str(script)).stdout.strip()

    def cancel(self, job_id: str) -> int:
        return self.run("scancel", job_id).returncode

    def queued(self) -> list[str]:
        return self.run("squeue", "--noheader", "--states=PENDING,RUNNING", "--format=%A").stdout.split()

    def requeue(self, job_id: str) -> None:
        assert "disabled" in self.run("scontrol", "requeue", job_id).stderr  # that is the effect of --no-requeue
        assert self.run("scontrol", "update", f"jobid={job_id}", "requeue=1").returncode == 0
        assert self.run("scontrol", "requeue", job_id).returncode == 0

    def lose_node(self) -> None:
        self.cluster.kill(_NODE)

    def repair_node(self) -> None:
        self.cluster.resume(_NODE)

    def signal_server(self, number: signal.Signals) -> None:
        self.cluster.send("slurmctld", number)

    def restart_server(self) -> None:
        self.cluster.resume("slurmctld")
        self.cluster.wait_for_nodes()

    def recover(self) -> None:
        (self.folder / "fault").unlink(missing_ok=True)
        self.cluster.recover()
