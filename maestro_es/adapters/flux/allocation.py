"""The Flux job around a driver, which is a Flux instance of its own, and what proves the end of steps inside it.

``flux exec`` starts a process on the node of a broker, beside all jobs, in about 20 ms. It is not in the list of jobs.
So only a driver in the same job can see which runners are still running. For other ticks, they run as long as the job
does. (All facts are about flux-core 0.88.)
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import structs

from maestro_es.adapters.base import JobInfo
from maestro_es.adapters.flux.client import FluxJobs
from maestro_es.adapters.flux.output import plain_id
from maestro_es.adapters.host import Host
from maestro_es.adapters.inside import UNKNOWN_MEMORY, JobNode, ids_in, job_of, state_of, was_absent
from maestro_es.adapters.job_questions import about, has_ended, is_true, own_job
from maestro_es.adapters.schedulers import in_each_flux, start_of
from maestro_es.core.attempt_token import placement_of, without_start
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.observations import Claim
from maestro_es.core.step_keys import Need
from maestro_es.errors import RequestRefused, Unreachable

#: Flux sets FLUX_URI to the broker of the agent's node. ``flux exec`` keeps standard output back until it has four
#: kilobytes, but not standard error. A launcher's job has the token for its name.
_PREAMBLE = r"""
step=$node
exec >&2
end_jobs() {
    for id in $(flux jobs -no '{id}' --name="$1"); do flux cancel "$id"; done
}
"""

#: If the driver is killed, no process reads the output of ``flux exec``. If that command died of SIGPIPE, Flux would
#: kill the agent.
_WITHOUT_PIPE = ("/bin/sh", "-c", 'trap "" PIPE; exec "$@"', "sh")

#: Prints the number of cores of a node and its memory in kilobytes.
_SIZE = (
    "cat /sys/devices/system/cpu/cpu[0-9]*/topology/thread_siblings_list | sort -u | wc -l; "
    "sed -n 's/^MemTotal: *//p' /proc/meminfo"
)
_SIZES = re.compile(r"^([0-9]+): ([0-9]+)( kB)?$", re.MULTILINE)

#: What ``flux exec`` prints about a rank that this broker does not reach, and its exit code then.
_UNREACHED = 68
_LOST = re.compile(r"flux-exec: Error: rank ([0-9]+): .*: No route to host")

#: Prints the arguments of all processes that contain the id of a job.
_WORDS = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -a j{job}n || :"

#: Exits with 1 if an instance knows a job. Sets `said` if an instance answers that it does not know the job.
_IS_KNOWN = in_each_flux(
    'seen=$(flux $up jobs -no "{t_submit:.6f}" JOB 2>&1 | tr -d .); '
    'case $seen in *START*) exit 1 ;; [0-9]* | "JobID "*" unknown"*) said=1 ;; esac'
)

#: Succeeds if an instance answers that it does not know a job, and no instance knows it. Flux may have purged the job.
_IS_FORGOTTEN = f'{_IS_KNOWN}; [ "${{said-}}" ]'

#: Succeeds if no instance knows a job, even if none answers. The instance around the job may have ended.
_IS_UNKNOWN = f"command -v flux >/dev/null || exit 1; {_IS_KNOWN}; :"


class FluxJob:
    """The job around this process. RequestRefused if the job is not a Flux instance of its own.

    `job` names the job with the time of its submission. Unreachable if Flux does not say when that was.
    """

    preamble = _PREAMBLE

    def __init__(self, jobs: FluxJobs, job: str) -> None:
        if os.environ.get("FLUX_JOB_ID"):
            raise RequestRefused(
                f"--in-allocation needs a job of 'flux batch' or 'flux alloc', and job {job} has no Flux of its own"
            )
        self._jobs, self.job = jobs, _plain(start_of(own_job()))
        if "+" not in self.job:
            raise Unreachable(f"flux job eventlog: Flux does not say when job {job} was submitted")
        self.variables = {"FLUX_URI": os.environ["FLUX_URI"]} if "FLUX_URI" in os.environ else {}
        self.lost = set[str]()
        self._ranks: list[int] = []

    def nodes(self) -> list[JobNode]:
        try:
            parts = msgspec.json.decode(self._run("kvs", "get", "resource.R"))["execution"]["R_lite"]
            by_rank = {rank: part["children"] for part in parts for rank in ids_in(part["rank"])}
            cores = {rank: len(ids_in(str(children.get("core", "")))) for rank, children in by_rank.items()}
            gpus = {rank: ids_in(str(children.get("gpu", ""))) for rank, children in by_rank.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise Unreachable(f"flux kvs get resource.R: its answer can't be read: {error!r}") from None
        self._ranks = sorted(cores)
        memory = self._memory(cores)
        return [
            JobNode(
                str(rank), Need(cores[rank], memory.get(rank, UNKNOWN_MEMORY), len(gpus[rank])), _joined(gpus[rank])
            )
            for rank in self._ranks
        ]

    def _memory(self, cores: Mapping[int, int]) -> dict[int, int]:
        """Return the memory on each node for the job's cores, in megabytes. Flux does not allocate memory."""
        memory, of_node = {}, dict[int, int]()
        for rank, number, unit in _SIZES.findall(self._on_all_nodes(_SIZE)):
            if unit:
                mine = min(1.0, cores.get(int(rank), 1) / max(of_node.get(int(rank), 1), 1))
                memory[int(rank)] = int(int(number) / 1024 * mine)
            else:
                of_node[int(rank)] = int(number)
        return memory

    def own_node(self) -> str:
        return self._run("getattr", "rank").strip()

    def starter(self, nodes: Sequence[JobNode], index: int, agent: str) -> tuple[str, ...]:  # noqa: ARG002 - protocol
        return *_WITHOUT_PIPE, self._jobs.path_of("flux"), "exec", f"--rank={nodes[index].name}", "--dir=/"

    def launching(self, nodes: Sequence[JobNode], memory: int) -> str:  # noqa: ARG002 - Flux allocates no memory
        return f"--requires=rank:{','.join(node.name for node in nodes)}"

    def running(self) -> set[str]:
        """Return the tokens of the runners in the job that run now. Runners on lost nodes are not among them."""
        return {word.partition(" ")[2] for word in self._on_all_nodes(_WORDS.format(job=self.job)).splitlines()}

    def is_lost(self, step: StepRecord) -> bool:
        """Return whether the runner of a step is on a lost node."""
        at = placement_of(step.token)
        self._ranks = self._ranks or [int(node.name) for node in self.nodes()]
        return at is not None and at.node < len(self._ranks) and str(self._ranks[at.node]) in self.lost

    def _on_all_nodes(self, script: str) -> str:
        """Return what a script prints on the nodes, each line with its rank. Nodes that do not answer are lost.

        The broker of a lost node has ended, and does not come back.
        """
        done = self._jobs.run("flux", "exec", "--rank=all", "--label-io", "/bin/sh", "-c", script, more=self.variables)
        if done.code:
            lost = [_LOST.fullmatch(line) for line in done.err.splitlines()]
            if done.code != _UNREACHED or not lost or not all(lost):
                raise Unreachable(f"flux exec: {' '.join(done.err.split())}")
            self.lost |= {match[1] for match in lost if match}
        return done.out

    def _run(self, *arguments: str) -> str:
        """Return what a command of Flux prints about this instance. Unreachable if it fails."""
        done = self._jobs.run("flux", *arguments, more=self.variables)
        if done.code:
            raise Unreachable(f"flux {arguments[0]}: {' '.join(done.err.split())}")
        return done.out


def _joined(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


class Endings:
    """Finds out which jobs have ended, and what that means for the attempts inside them."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._ended: set[str] = set()

    def states(
        self, steps: Sequence[StepRecord], claims: Mapping[str, Claim], own: FluxJob | None
    ) -> dict[str, JobInfo]:
        """Return the states of attempts inside jobs, by token. `own` is the job around the driver, if there is one."""
        mine = own.job if own else ""
        running = own.running() if own and any(job_of(step.token) == mine for step in steps) else set()
        others = {job_of(step.token) for step in steps} - {mine}
        over = {job for job in others if self._has_ended(job)}
        forgotten = {job for job in others - over if self._is_true(_IS_FORGOTTEN, job)}
        infos = {}
        for step in steps:
            job, claim = job_of(step.token), claims.get(step.token, Claim())
            message = f"Flux does not know job {without_start(job)}" if job in forgotten else ""
            if own and job == mine and step.token not in running and own.is_lost(step):
                message = f"job {without_start(job)} has lost the node {step.job_host or claim.host or 'of the step'}"
            runs = job != mine or step.token in running or message != ""
            info = state_of(step, claim, is_over=job in over, runs=runs)
            if message and info.state is JobState.RUNNING:
                info = structs.replace(info, state=JobState.UNSUPERVISED, raw_state=message)
            # Without cgroups, agents notice the end of their broker, and then end the runners.
            is_ending = info.state is JobState.GONE_WITH_JOB and not was_absent(step)
            infos[step.token] = structs.replace(info, may_reappear=is_ending)
        return infos

    def is_unknown(self, job: str) -> bool:
        """Return whether Flux says nothing about a job, so only a user can know whether its steps have ended."""
        return job != _plain(start_of(own_job())) and self._is_true(_IS_UNKNOWN, job)

    def _has_ended(self, job: str) -> bool:
        around = f"flux:{job}"
        if job not in self._ended and is_true(has_ended(around, with_all=False), around, self._host):
            self._ended.add(job)
        return job in self._ended

    def _is_true(self, question: str, job: str) -> bool:
        return is_true(about(f"flux:{job}", question), f"flux:{job}", self._host)


def _plain(job: str) -> str:
    """Return the name of a job as it is in tokens."""
    job_id, plus, start = job.partition("+")
    return f"f{plain_id(job_id)[1:]}{plus}{start}"
