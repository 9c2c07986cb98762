"""The Slurm job around a driver, and what Slurm proves about steps inside jobs.

``squeue`` decides what has ended. The accounting may say CANCELLED or TIMEOUT while processes are still running, for
as long as KillWait. The exit code of srun proves nothing either. An srun takes thirty times as long as a line to an
agent. (All of this was seen in 22.05.)
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import structs

from maestro_es.adapters.base import JobInfo, QueueEntry
from maestro_es.adapters.inside import UNKNOWN_MEMORY, JobNode, ids_in, job_of, state_of, was_absent
from maestro_es.adapters.queue_entries import LIVE
from maestro_es.adapters.slurm.client import SlurmJobs
from maestro_es.core.attempt_token import without_start
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.observations import Claim
from maestro_es.core.step_keys import Need
from maestro_es.errors import RequestRefused, Unreachable

#: Options of the agent's own srun must not reach the srun of a step, and the agent's srun has set SLURM_JOB_NODELIST
#: to the agent's node. A launcher's job step has the token for its name.
_PREAMBLE = r"""
step=$SLURM_STEP_ID
[ -z "${MAESTRO_ES_NODES-}" ] || SLURM_JOB_NODELIST=$MAESTRO_ES_NODES
unset SLURM_NTASKS SLURM_NPROCS SLURM_NNODES SLURM_JOB_NUM_NODES SLURM_CPUS_PER_TASK SLURM_MEM_PER_NODE
unset SLURM_MEM_PER_CPU SLURM_NODELIST SLURM_DISTRIBUTION SLURM_OVERLAP SLURM_WHOLE SLURM_TASKS_PER_NODE
unset MAESTRO_ES_NODES
end_jobs() {
    for id in $(squeue --steps --noheader --jobs="${job%%+*}" --format='%i %j' | sed -n "s/ $1\$//p"); do
        scancel "$id"
    done
}
"""

_NODES = re.compile(r"\bNodes=(\S+) CPU_IDs=(\S+) Mem=([0-9]+) GRES=(\S*)")
_GPUS = re.compile(r"\bgpu(?::[^:,(]+)?:([0-9]+)")
_RESTARTS = re.compile(r"\bRestarts=([0-9]+)")

#: Variables of jobs that squeue lists with another id than the one that the job knows.
_PARTS = {"SLURM_ARRAY_JOB_ID": "a job array", "SLURM_HET_SIZE": "a heterogeneous job"}

#: How squeue shows the steps of jobs: id and name. The name of an agent's step is the name of the agent.
_STEPS = "%i %j"


class SlurmJob:
    """The job around this process. RequestRefused if the job is a part of another job."""

    preamble = _PREAMBLE

    def __init__(self, jobs: SlurmJobs, job: str) -> None:
        for variable, kind in _PARTS.items():
            if os.environ.get(variable):
                raise RequestRefused(
                    f"--in-allocation can't run steps inside {kind} ({variable} is set); use an ordinary job"
                )
        self._jobs, self.job = jobs, job
        self.lost = set[str]()
        self.variables = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}

    def nodes(self) -> list[JobNode]:
        shown_job = _answer(self._jobs, "scontrol", "show", "job", "-d", "-o", without_start(self.job))
        nodes = sorted(self._read(shown_job))
        self.variables = {**self.variables, "MAESTRO_ES_NODES": ",".join(node.name for node in nodes)}
        return nodes

    def _read(self, text: str) -> Iterator[JobNode]:
        for names, cpus, memory, gres in _NODES.findall(text):
            gpus = sum(map(int, _GPUS.findall(gres)))
            for name in self._jobs.run("scontrol", "show", "hostnames", names).out.split():
                yield JobNode(name, Need(len(ids_in(cpus)), int(memory) or UNKNOWN_MEMORY, gpus))

    def own_node(self) -> str:
        return os.environ.get("SLURMD_NODENAME", os.uname().nodename)

    def starter(self, nodes: Sequence[JobNode], index: int, agent: str) -> tuple[str, ...]:
        node = nodes[index]
        where = ("-N1", "-n1", f"--nodelist={node.name}", f"--cpus-per-task={node.part.cpus}", "--chdir=/")
        options = (f"--jobid={without_start(self.job)}", f"--job-name={agent}", "--overlap", "--mem=0", "--unbuffered")
        return self._jobs.path_of("srun"), *where, *options, "--quiet"

    def launching(self, nodes: Sequence[JobNode], memory: int) -> str:
        of_memory = f" --mem={memory}" if memory else ""
        return f"--exact --nodelist={','.join(node.name for node in nodes)}{of_memory}"


def states(
    jobs: SlurmJobs, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry]
) -> dict[str, JobInfo]:
    """Return the states of attempts inside jobs, by token. One more query lists the steps of these jobs."""
    entries = {entry.job_id: entry for entry in listed}
    around = {step.token: entries.get(without_start(job_of(step.token))) for step in steps}
    alive = {token: entry for token, entry in around.items() if entry and _has_started(entry)}
    known = _job_steps(jobs, {entry.job_id for entry in alive.values()}) if alive else set()
    restarts: dict[str, int] = {}
    infos = {}
    for step in steps:
        claim, entry = claims.get(step.token, Claim()), alive.get(step.token)
        runs = (step.job_id or claim.job_id, step.job_instance or claim.instance) in known
        runs = runs or (entry is not None and entry.raw_state.startswith("COMPLETING"))
        is_over = not entry or (not runs and _was_requeued(jobs, job_of(step.token), restarts))
        info = state_of(step, claim, is_over=is_over, runs=runs)
        if info.state is JobState.GONE_WITH_JOB and not around[step.token] and not was_absent(step):
            info = structs.replace(info, raw_state="its job is not in the queue", may_reappear=True)
        infos[step.token] = info
    return infos


def _has_started(entry: QueueEntry) -> bool:
    return entry.state in LIVE and entry.state is not JobState.PENDING


def _was_requeued(jobs: SlurmJobs, job: str, restarts: dict[str, int]) -> bool:
    """Return whether a job was started again after the start with this number."""
    job_id, _, start = job.partition("+")
    if job_id not in restarts:
        match = _RESTARTS.search(_answer(jobs, "scontrol", "show", "job", "-o", job_id))
        restarts[job_id] = int(match[1]) if match else 0
    return restarts[job_id] > int(start or 0)


def _job_steps(jobs: SlurmJobs, alive: Iterable[str]) -> set[tuple[str, str]]:
    """Return the id and the name of each job step of these jobs."""
    listed = _answer(jobs, "squeue", "--steps", "--noheader", f"--jobs={','.join(alive)}", f"--format={_STEPS}")
    fields = (line.split() for line in listed.splitlines())
    return {(line[0], line[1]) for line in fields if len(line) > 1}


def _answer(jobs: SlurmJobs, command: str, *arguments: str) -> str:
    """Return the output of a command. Unreachable if it fails."""
    done = jobs.run(command, *arguments)
    if done.code:
        raise Unreachable(f"{command}: {' '.join(done.err.split())}")
    return done.out
