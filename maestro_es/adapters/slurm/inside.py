"""Runs steps inside the Slurm job that contains this process. Agents start them; this module finds out how they end.

In Slurm, the id of such a step is ``JOB.STEP``: the job step of the agent that started it. A requeued job has the same
id, and numbers its job steps from 0 again. So the name of the agent is recorded as the instance. ``squeue`` decides
what has ended. The accounting may say CANCELLED or TIMEOUT while processes still run, for as long as KillWait. The
exit code of srun proves nothing either. (Both were seen in 22.05.)
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import structs

from maestro_es.adapters.array_map import can_hold
from maestro_es.adapters.base import Job, JobInfo, QueueEntry
from maestro_es.adapters.queue_entries import LIVE
from maestro_es.adapters.schedulers import check_is_plain, job_around, outside_of
from maestro_es.adapters.slurm.agents import Agent
from maestro_es.adapters.slurm.client import SlurmJobs
from maestro_es.core import file_names
from maestro_es.core.attempt_token import Placement, placement_of
from maestro_es.core.environment import Environment, for_node, for_runner
from maestro_es.core.grace import INSIDE_GRACE, JOB_GRACE_SECONDS
from maestro_es.core.model import JobState, State, StepRecord
from maestro_es.core.observations import Claim, ClaimState
from maestro_es.core.step_keys import Allocation, Need, need_of
from maestro_es.core.submission import Accepted, InDoubt, Outcome, ScriptFailed
from maestro_es.core.walltime import walltime_seconds
from maestro_es.errors import RequestRefused, Unreachable

#: The interval between queries for the time that is left, in seconds. A user may change the time limit.
_INTERVAL = 60.0

#: After its agent has ended, a node gets no steps for this many seconds.
_PAUSE = 10.0

_NODES = re.compile(r"\bNodes=(\S+) CPU_IDs=(\S+) Mem=([0-9]+) GRES=(\S*)")
_GPUS = re.compile(r"\bgpu(?::[^:,(]+)?:([0-9]+)")

#: A line that begins with one of these says that a runner has ended. The runner or its agent writes it.
_ENDED = ("ended ", "lost ")

#: The memory of a node if Slurm does not count it, in megabytes: more than any step needs.
_UNKNOWN = 1 << 40

#: How squeue shows the steps of jobs: id and name. The name of an agent's step is the name of the agent.
_STEPS = "%i %j"


class Inside:
    """The job that contains this process, for a driver. RequestRefused if there is none."""

    def __init__(self, jobs: SlurmJobs, margin: float) -> None:
        scheduler, _, self.job = job_around().partition(":")
        if scheduler != "slurm":
            where = f"in the job {scheduler}:{self.job}" if scheduler else "in no job"
            raise RequestRefused(f"--in-allocation works only in a job of slurm, but this process runs {where}")
        check_is_plain()
        self._jobs, self._margin = jobs, margin
        self._names: list[str] = []
        self._nodes: tuple[Need, ...] = ()
        self._agents: dict[int, Agent] = {}
        #: Agents that only end steps of earlier drivers.
        self._enders: dict[int, Agent] = {}
        self._failed: dict[int, float] = {}
        self._asked = float("-inf")
        self._end: float | None = None

    def allocation(self) -> Allocation:
        """Return the resources of the job and its remaining time. If Slurm does not answer, the last answer counts."""
        now = time.monotonic()
        if now - self._asked >= _INTERVAL:
            try:
                self._ask(now)
            except Unreachable:
                if not self._nodes:
                    raise
            self._asked = now
        nodes = (Need(0) if self._is_out(index, now) else node for index, node in enumerate(self._nodes))
        own = os.environ.get("SLURMD_NODENAME", os.uname().nodename)
        ours = self._names.index(own) if own in self._names else None
        left = None if self._end is None else self._end - now - self._margin
        return Allocation(self.job, tuple(nodes), ours, left)

    def _ask(self, now: float) -> None:
        if not self._nodes:
            shown = self._jobs.run("scontrol", "show", "job", "-d", "-o", self.job)
            if shown.code:
                raise Unreachable(f"scontrol: {' '.join(shown.err.split())}")
            nodes = dict(self._read_nodes(shown.out))
            self._names = sorted(nodes)
            self._nodes = tuple(nodes[name] for name in self._names)
        left = self._jobs.run("squeue", "-h", "-j", self.job, "-o", "%L")
        if left.code:
            raise Unreachable(f"squeue: {' '.join(left.err.split())}")
        seconds = seconds_left(left.out)
        self._end = None if seconds is None else now + seconds

    def _read_nodes(self, text: str) -> Iterator[tuple[str, Need]]:
        for names, cpus, memory, gres in _NODES.findall(text):
            gpus = sum(map(int, _GPUS.findall(gres)))
            for name in self._jobs.run("scontrol", "show", "hostnames", names).out.split():
                yield name, Need(count_ids(cpus), int(memory) or _UNKNOWN, gpus)

    def _is_out(self, index: int, now: float) -> bool:
        """Return whether the agent of a node ended recently."""
        agent = self._agents.get(index)
        if agent and not agent.is_alive:
            del self._agents[index]
            self._failed[index] = now
        return now - self._failed.get(index, float("-inf")) < _PAUSE

    def start(self, job: Job, at: Placement) -> Outcome:
        """Tell the agent of the job's node to start the job. If the agent can't be told, the job is in doubt."""
        fields = (job.token, str(job.workspace), job.script, str(job.study))
        if not all(map(can_hold, fields)) or not can_hold(job.name):
            return ScriptFailed("a path or a name with a tab or a line break can't be used inside an allocation")
        try:
            seconds = walltime_seconds(job.run.get("walltime"))
        except ValueError as error:
            return ScriptFailed(str(error))
        try:
            agent = self._agent(at.node, job)
        except (OSError, Unreachable) as error:
            return InDoubt(f"no agent can be started on {self._names[at.node]}: {error}")
        gpus = ",".join(str(index) for index in range(at.gpus.bit_length()) if at.gpus >> index & 1)
        line = ("start", *fields, str(seconds), job.name, gpus or "-", self._srun_options(job, at))
        if not agent.wait_until_ready() or not agent.send(*line):
            agent.close()  # so the node's other steps do not wait for this agent again
            return InDoubt(f"the agent on {self._names[at.node]} does not answer")
        return Accepted(f"{self.job}.{agent.step}", agent.host, agent.name)

    def _srun_options(self, job: Job, at: Placement) -> str:
        """Return the options that limit an srun in the step to the step's share of the job."""
        names = self._names[at.node : at.node + at.nodes]
        need, node = need_of(job.run, (), spread=True), self._nodes[at.node]
        memory = need.memory or node.memory * min(need.cpus, node.cpus) // max(node.cpus, 1)
        of_memory = "" if node.memory == _UNKNOWN else f" --mem={memory}"
        return f"--exact --nodelist={','.join(names)}{of_memory}"

    def _agent(self, index: int, job: Job) -> Agent:
        """Return the agent of a node. Start one if there is none, or if the steps' environment has changed."""
        agent = self._agents.get(index)
        if agent and agent.environment == job.environment:
            return agent
        if agent:
            agent.close()
        name = f"maestro-es-{os.urandom(4).hex()}"
        environment = {**for_runner(job.environment.variables), **for_node(job.environment), **_slurm_conf()}
        srun = (*self._srun(index, name), f"--chdir={job.study}")
        inbox = job.runner.with_name(file_names.INBOX)
        arguments = (name, str(job.runner), self.job, ",".join(self._names), str(inbox))
        started = Agent(srun, arguments, environment, job.environment)
        self._agents[index] = started
        return started

    def _srun(self, index: int, name: str) -> tuple[str, ...]:
        """Return the srun of an agent on a node."""
        where = ("-N1", "-n1", f"--nodelist={self._names[index]}", f"--cpus-per-task={self._nodes[index].cpus}")
        options = (f"--jobid={self.job}", f"--job-name={name}", "--overlap", "--mem=0", "--unbuffered", "--quiet")
        return self._jobs.path_of("srun"), *where, *options

    def end(self, steps: Iterable[StepRecord]) -> None:
        """Tell the agents to end the runners of these steps. Unreachable if one of them can't be told."""
        problems = list[str]()
        for step in steps:
            try:
                is_told = self._ender(step).send("end", step.token)
            except (OSError, Unreachable) as error:
                problems.append(str(error))
                continue
            if not is_told:
                problems.append(f"no agent of job {self.job} can end {step.name} on {step.job_host}")
        if problems:
            raise Unreachable(problems[0])

    def _ender(self, step: StepRecord) -> Agent:
        """Return an agent that can end a step. If there is none, as after an earlier driver, start one."""
        at = placement_of(step.token)
        if at is None or at.job != self.job or at.node >= len(self._names):
            raise Unreachable(f"{step.name} does not run in job {self.job}")
        for agents in (self._agents, self._enders):
            if at.node in agents and agents[at.node].is_alive:
                return agents[at.node]
        name = f"maestro-es-{os.urandom(4).hex()}"
        srun = (*self._srun(at.node, name), "--chdir=/")
        arguments = (name, os.devnull, self.job, ",".join(self._names), os.devnull)
        self._enders[at.node] = Agent(srun, arguments, outside_of(f"slurm:{self.job}"), Environment())
        return self._enders[at.node]

    def watched(self, steps: Sequence[StepRecord], claims: Mapping[str, Claim]) -> dict[str, JobInfo]:
        """Return the states of attempts whose agent is ours and alive. This takes no query to Slurm."""
        alive = {agent.name for agent in self._agents.values() if agent.is_alive}
        known = {(f"{self.job}.{agent.step}", agent.name) for agent in self._agents.values() if agent.is_alive}
        entry = QueueEntry(self.job, JobState.RUNNING, "", "")
        return {
            step.token: _state(step, claims.get(step.token, Claim()), {self.job: entry}, known)
            for step in steps
            if step.job_instance in alive or (is_in(self.job, step.token) and not _job_id(step, claims))
        }

    def wait(self, seconds: float) -> list[str]:
        """Wait for a line of an agent, or for its end. Returns tokens, as `RunsInside.wait_inside` does."""
        by_output = {agent.output: agent for agent in self._agents.values() if agent.is_alive}
        if not by_output:
            time.sleep(seconds)
            return []
        ready, _, _ = select.select([*by_output], [], [], seconds)
        lines = [line for output in ready for line in by_output[output].lines()]
        died = any(not agent.is_alive for agent in by_output.values())
        return [line.partition(" ")[2] for line in lines if line.startswith(_ENDED)] + [""] * died

    def close(self) -> None:
        """Start nothing more. Runners that have started keep running until the job ends."""
        for agent in (*self._agents.values(), *self._enders.values()):
            agent.close()


def _slurm_conf() -> dict[str, str]:
    return {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}


def count_ids(ids: str) -> int:
    """Return how many CPUs a list such as ``0-3,6`` has."""
    ends = (part.partition("-") for part in ids.split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)


def seconds_left(answer: str) -> float | None:
    """Return how many seconds a job may still run, from the answer of squeue (None: no limit is known)."""
    text = answer.strip()
    try:
        return float(walltime_seconds(text)) if ":" in text else None
    except ValueError:
        return None


def states(
    jobs: SlurmJobs, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry]
) -> dict[str, JobInfo]:
    """Return the states of attempts inside allocations, by token. One more query lists the job steps."""
    entries = {entry.job_id: entry for entry in listed}
    alive: dict[str, QueueEntry] = {}
    for step in steps:
        placement = placement_of(step.token)
        entry = entries.get(placement.job) if placement else None
        if entry and entry.state in LIVE and entry.state is not JobState.PENDING:
            alive[entry.job_id] = entry
    known = _job_steps(jobs, alive) if alive else set()
    infos = {step.token: _state(step, claims.get(step.token, Claim()), alive, known) for step in steps}
    for step in steps:
        placement, info = placement_of(step.token), infos[step.token]
        is_absent = info.state is JobState.GONE_WITH_JOB and placement and placement.job not in entries
        if is_absent and not _was_absent(step):
            infos[step.token] = structs.replace(info, raw_state="its job is not in the queue", may_reappear=True)
    return infos


def _was_absent(step: StepRecord) -> bool:
    """Return whether the job of a step has been missing from the queue for the grace time of a job."""
    if step.missed_at is None:
        return False
    return not 0 <= time.time_ns() // 1000 - step.missed_at < JOB_GRACE_SECONDS * 1_000_000


def is_in(job: str, token: str) -> bool:
    """Return whether an attempt was requested for a job."""
    placement = placement_of(token)
    return placement is not None and placement.job == job


def _job_id(step: StepRecord, claims: Mapping[str, Claim]) -> str:
    return step.job_id or claims.get(step.token, Claim()).job_id


def _job_steps(jobs: SlurmJobs, alive: Iterable[str]) -> set[tuple[str, str]]:
    """Return the id and the name of each job step of these jobs."""
    done = jobs.run("squeue", "--steps", "--noheader", f"--jobs={','.join(alive)}", f"--format={_STEPS}")
    if done.code:
        raise Unreachable(f"squeue: {' '.join(done.err.split())}")
    fields = (line.split() for line in done.out.splitlines())
    return {(line[0], line[1]) for line in fields if len(line) > 1}


def _state(step: StepRecord, claim: Claim, alive: Mapping[str, QueueEntry], known: set[tuple[str, str]]) -> JobInfo:
    placement = placement_of(step.token)
    job = placement.job if placement else ""
    job_id, instance = step.job_id or claim.job_id, step.job_instance or claim.instance
    state, raw = JobState.GONE, f"job step {job_id} is gone"
    if job not in alive:
        has_started = step.state is State.RUNNING or claim.state is ClaimState.JOB
        state, raw = (JobState.GONE_WITH_JOB if has_started else JobState.GONE), f"job {job} has ended"
    elif not job_id:
        is_new = time.time_ns() // 1000 - (step.requested_at or 0) < INSIDE_GRACE
        state, raw = (JobState.PENDING if is_new else JobState.GONE), f"not started in job {job}"
    elif (job_id, instance) in known or alive[job].raw_state.startswith("COMPLETING"):
        state, raw = JobState.RUNNING, f"job step {job_id} runs"
    host = step.job_host or claim.host
    return JobInfo(state, raw, job_id=job_id, host=host, instance=instance)
