"""The schedulers of trials. Faults of ticks, of files and of submit commands are the same for all of them.

A Slurm cluster is identified by its directory, and any other scheduler by its batch type. `tools.kill_matrix.clusters`
starts the latter, and the variables of this process lead to them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import maestro_es.adapters.slurm.adapter  # noqa: F401 - otherwise each tick loads it, and its calls are counted
from maestro_es.adapters.base import Adapter, QueueEntry
from maestro_es.adapters.host import this_host
from maestro_es.adapters.queue_entries import LIVE
from maestro_es.study.invocation import make_adapters
from tools.kill_matrix.clusters import SCHEDULERS
from tools.kill_matrix.flux_scheduler import FluxScheduler
from tools.slurm_cluster.cluster import Cluster


class TrialScheduler(ABC):
    """A scheduler that runs, with the batch block of its studies and more keys of their scheduled steps.

    `walltime` is the shortest one after which a job times out (empty: trials can't wait for it). `clients` are the
    commands that submit. `traced` calls one of them, $real, under the tracer $TRACER.
    """

    batch: Mapping[str, Any]
    keys: Mapping[str, Any]
    walltime: str
    clients: tuple[str, ...]
    traced: str
    #: Whether one command can submit several jobs.
    submits_together = False

    @abstractmethod
    def variables(self) -> dict[str, str]:
        """Return the variables that lead to the scheduler."""

    @abstractmethod
    def has_ended(self, job_id: str) -> bool:
        """Return whether a job has ended."""

    @abstractmethod
    def remaining(self, root: Path) -> list[str]:
        """Return the jobs of a study that have not ended, in words."""


class SlurmOfTrials(TrialScheduler):
    """A Slurm cluster. With a fast clock, a walltime of a minute is over soon."""

    batch, keys = {"type": "slurm", "host": "here", "bank": "mine", "queue": "debug"}, {}
    clients, traced = ("sbatch",), '$TRACER "$real" "$@"'

    def __init__(self, cluster: Cluster, *, fast: bool) -> None:
        self.cluster = cluster
        self.walltime = "00:01:00" if fast else ""

    def variables(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.cluster.conf)}

    def state(self, job_id: str) -> str:
        """Return Slurm's state of a job."""
        return self.cluster.run("squeue", "-h", "-t", "all", "-j", job_id, "-o", "%T").stdout.strip()

    def has_ended(self, job_id: str) -> bool:
        return self.state(job_id) in ("COMPLETED", "TIMEOUT")

    def remaining(self, root: Path) -> list[str]:
        queued = self.cluster.run("squeue", "-h", "-t", "pending,running", "-o", "%i %T %Z").stdout
        return [line for line in queued.splitlines() if f"{root}/" in f"{line}/"]


class OtherScheduler(TrialScheduler):
    """Flux, PBS or LSF. Its adapter lists the jobs."""

    traced = 'TRACER="$TRACER" "$real" "$@"'

    def __init__(self, kind: str) -> None:
        [scheduler] = (each for each in SCHEDULERS.values() if each.kind == kind)
        self.batch = yaml.safe_load(scheduler.head)["batch"]
        self.keys = yaml.safe_load(f"{{procs: 1{scheduler.keys}}}")
        self.walltime = scheduler.shortest
        self.clients = scheduler.submit_commands
        self.submits_together = scheduler is FluxScheduler
        self._adapter()  # loads it, for the same reason

    def _adapter(self) -> Adapter:
        return make_adapters(self.batch, this_host()).scheduler

    def _live(self) -> list[QueueEntry]:
        return [job for job in self._adapter().list_jobs() if job.state in LIVE]

    def variables(self) -> dict[str, str]:
        return {}

    def has_ended(self, job_id: str) -> bool:
        return all(job.job_id != job_id for job in self._live())

    def remaining(self, root: Path) -> list[str]:
        return [f"{job.job_id} {job.raw_state}" for job in self._live() if f"{root}/" in job.command]


def find_scheduler(name: str, *, fast: bool) -> TrialScheduler:
    """Return the scheduler with a name: a batch type, or the directory of a Slurm cluster."""
    return SlurmOfTrials(Cluster.load(Path(name)), fast=fast) if "/" in name else OtherScheduler(name)
