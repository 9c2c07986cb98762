"""Runs steps inside the job that contains this process.

Agents start the steps, and this module finds out how they end.

`OwnJob` contains what differs between schedulers. The job id of a step inside a job is ``JOB.STEP``, which identifies
the job step of the agent that started the step. A requeued job has the same id, and numbers its job steps from 0
again. So the instance of the attempt is the name of the agent.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from maestro_es.adapters.agents import Agent
from maestro_es.adapters.array_map import can_hold
from maestro_es.adapters.base import Job, JobInfo
from maestro_es.adapters.schedulers import job_around, outside_of
from maestro_es.core import file_names, grace
from maestro_es.core.attempt_token import Placement, placement_of, without_start
from maestro_es.core.environment import Environment, for_node, for_runner
from maestro_es.core.grace import INSIDE_GRACE
from maestro_es.core.model import JobState, State, StepRecord
from maestro_es.core.observations import Claim, ClaimState
from maestro_es.core.step_keys import Allocation, Need, need_of
from maestro_es.core.submission import Accepted, InDoubt, Outcome, ScriptFailed
from maestro_es.core.walltime import walltime_seconds
from maestro_es.errors import Unreachable

#: After its agent has ended, a node gets no steps for this many seconds.
_PAUSE = 10.0

#: After this many agents in a row that were never ready, a node gets no steps at all.
_TRIES = 3

#: A runner that is told to end takes at most 10 s. After this many seconds, it was probably not told.
_ENDS_WITHIN = 15.0

#: A line that begins with one of these says that a runner has ended. The runner or its agent writes it.
_ENDED = ("ended ", "lost ")

#: The memory of a node if the scheduler does not count it, in megabytes: more than any step needs.
UNKNOWN_MEMORY = 1 << 40


class JobNode(NamedTuple):
    """A node of a job: its name, the job's part of it, and the names of its GPUs (empty: agents know them)."""

    name: str
    part: Need
    gpus: str = ""


class OwnJob(Protocol):
    """The job around this process. All methods raise Unreachable if its scheduler does not answer.

    `job` is its id in tokens, and `preamble` the scheduler's part of an agent. Agents get the `variables`. `lost` has
    the names of nodes that the scheduler has found to be lost. They stay among the nodes, but get no steps.
    """

    job: str
    preamble: str
    variables: dict[str, str]
    lost: set[str]

    def nodes(self) -> list[JobNode]:
        """Return the nodes of the job."""

    def own_node(self) -> str:
        """Return the name of the node on which this process runs."""

    def starter(self, nodes: Sequence[JobNode], index: int, agent: str) -> tuple[str, ...]:
        """Return the command that starts an agent on a node, beside all steps. The agent's own command follows it."""

    def launching(self, nodes: Sequence[JobNode], memory: int) -> str:
        """Return options for a launcher in a step. They limit it to these nodes, and this memory on each."""


class Inside:
    """Starts and ends steps in a job, for a driver. See `RunsInside.enter` for `seconds_left` and `must_stop`."""

    def __init__(
        self, own: OwnJob, seconds_left: Callable[[], float | None], must_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self.own, self.job, self._seconds_left, self._must_stop = own, own.job, seconds_left, must_stop
        self._nodes: list[JobNode] = []
        self._agents: dict[int, Agent] = {}
        #: Agents that only end steps of earlier drivers.
        self._enders: dict[int, Agent] = {}
        self._failed: dict[int, float] = {}
        self._expected = set[int]()
        #: When the end of an attempt was first requested.
        self._told: dict[str, float] = {}
        #: By node, how many agents in a row were never ready, and what the last of them printed.
        self._tries: dict[int, int] = {}
        self._problem = self._own_node = ""

    def allocation(self) -> Allocation:
        """Return the resources of the job and its remaining time. Unreachable if its scheduler does not answer."""
        now = time.monotonic()
        self._nodes = self._nodes or self.own.nodes()
        self._see_ends(now)
        lost = {index for index, node in enumerate(self._nodes) if node.name in self.own.lost}
        out = lost | {index for index, tries in self._tries.items() if tries >= _TRIES}
        pausing = [index for index, then in self._failed.items() if now - then < _PAUSE and index not in out]
        nodes = (Need(0) if index in (*out, *pausing) else node.part for index, node in enumerate(self._nodes))
        names = [node.name for node in self._nodes]
        self._own_node = self._own_node or self.own.own_node()
        ours = names.index(self._own_node) if self._own_node in names else None
        where = ", ".join(names[index] for index in sorted(out))
        trouble = f"no agent can be started on {where}: {self._problem or 'the node is lost'}" if out else ""
        return Allocation(self.job, tuple(nodes), ours, self._seconds_left(), bool(pausing), trouble)

    def _see_ends(self, now: float) -> None:
        """Forget the agents that have ended."""
        for index, agent in [*self._agents.items()]:
            if agent.is_alive:
                continue
            del self._agents[index]
            self._failed[index] = now
            self._tries[index] = 0 if agent.step else self._tries.get(index, 0) + 1
            self._problem = agent.problem or "it has not answered"

    def expect(self, nodes: Collection[int]) -> None:
        """Start the agents of these nodes together with the next agent, so the driver waits for all at once."""
        self._expected = {index for index in nodes if index < len(self._nodes)}

    def start(self, job: Job, at: Placement) -> Outcome:
        """Tell the agent of the job's node to start the job. If the agent can't be told, the job is in doubt."""
        fields = (job.token, str(job.workspace), job.script, str(job.study))
        if not all(map(can_hold, fields)) or not can_hold(job.name):
            return ScriptFailed("a path or a name with a tab or a line break can't be used inside an allocation")
        try:
            seconds = walltime_seconds(job.run.get("walltime"))
        except ValueError as error:
            return ScriptFailed(str(error))
        if self._must_stop():
            return InDoubt("its driver has to stop")
        try:
            agent = self._agent(at.node, job)
        except (OSError, Unreachable) as error:
            return InDoubt(f"no agent can be started on {self._nodes[at.node].name}: {error}")
        gpus = ",".join(str(index) for index in range(at.gpus.bit_length()) if at.gpus >> index & 1)
        line = ("start", *fields, str(seconds), job.name, gpus or "-", self._launching(job, at))
        if not agent.wait_until_ready(self._must_stop) or not agent.send(*line):
            agent.close()  # so the node's other steps do not wait for this agent again
            reason = f": {agent.problem}" if agent.problem else ""
            return InDoubt(f"the agent on {self._nodes[at.node].name} does not answer{reason}")
        return Accepted(f"{without_start(self.job)}.{agent.step}", agent.host, agent.name)

    def _launching(self, job: Job, at: Placement) -> str:
        """Return the options that limit a launcher in the step to the step's share of the job."""
        need, node = need_of(job.run, (), spread=True), self._nodes[at.node].part
        memory = need.memory or node.memory * min(need.cpus, node.cpus) // max(node.cpus, 1)
        memory = 0 if node.memory == UNKNOWN_MEMORY else memory
        return self.own.launching(self._nodes[at.node : at.node + at.nodes], memory)

    def _agent(self, index: int, job: Job) -> Agent:
        """Return the agent of a node. Start one if there is none, or if the steps' environment has changed."""
        agent = self._agents.get(index)
        if agent and agent.environment == job.environment:
            return agent
        if agent:
            agent.close()
        environment = {**for_runner(job.environment.variables), **for_node(job.environment), **self.own.variables}
        paths = str(job.runner), str(job.runner.with_name(file_names.INBOX))
        self._agents[index] = self._new_agent(index, paths, environment, job.environment)
        for other in sorted(self._expected - self._agents.keys()):
            with contextlib.suppress(OSError, Unreachable):  # the first step on this node tries again
                self._agents[other] = self._new_agent(other, paths, environment, job.environment)
        self._expected.clear()
        return self._agents[index]

    def _new_agent(
        self, index: int, paths: tuple[str, str], variables: Mapping[str, str], inherited: Environment
    ) -> Agent:
        node, name, (runner, inbox) = self._nodes[index], f"maestro-es-{os.urandom(4).hex()}", paths
        arguments = (name, runner, self.job, node.name, inbox, node.gpus)
        starter = self.own.starter(self._nodes, index, name)
        return Agent(starter, self.own.preamble, arguments, variables, inherited)

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
                problems.append(f"no agent of job {without_start(self.job)} can end {step.name} on {step.job_host}")
        if problems:
            raise Unreachable(problems[0])

    def _ender(self, step: StepRecord) -> Agent:
        """Return an agent that can end a step. If there is none, as after an earlier driver, start one.

        If an agent was killed, its runners may keep its connection open. So if a step does not end, another agent is
        told. At its start, the new agent ends the processes that the killed agent has left.
        """
        at = placement_of(step.token)
        if at is None or at.job != self.job or at.node >= len(self._nodes):
            raise Unreachable(f"{step.name} is not running in job {without_start(self.job)}")
        now = time.monotonic()
        is_late = now - self._told.setdefault(step.token, now) > _ENDS_WITHIN
        for agents in (self._enders,) if is_late else (self._agents, self._enders):
            if at.node in agents and agents[at.node].is_alive:
                return agents[at.node]
        variables = {**outside_of(job_around()), **self.own.variables}
        self._enders[at.node] = self._new_agent(at.node, (os.devnull, os.devnull), variables, Environment())
        return self._enders[at.node]

    def watched(self, steps: Sequence[StepRecord], claims: Mapping[str, Claim]) -> dict[str, JobInfo]:
        """Return the states of attempts whose agent is ours and alive. This takes no query."""
        alive = {agent.name for agent in self._agents.values() if agent.is_alive}
        infos = {}
        for step in steps:
            claim = claims.get(step.token, Claim())
            runs = (step.job_instance or claim.instance) in alive
            if runs or (job_of(step.token) == self.job and not (step.job_id or claim.job_id)):
                infos[step.token] = state_of(step, claim, is_over=False, runs=runs)
        return infos

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


def ids_in(text: str) -> list[int]:
    """Return the numbers of a list such as ``0-3,6``, as schedulers print it."""
    ends = (part.partition("-") for part in text.strip("[]").split(",") if part)
    return [number for first, _, last in ends for number in range(int(first), int(last or first) + 1)]


def job_of(token: str) -> str:
    """Return the job in which an attempt was placed, as in its token (empty: it runs in none)."""
    placement = placement_of(token)
    return placement.job if placement else ""


def was_absent(step: StepRecord) -> bool:
    """Return whether the job of a step has been missing for the grace time of a job."""
    return grace.was_absent(step, time.time_ns() // 1000)


def state_of(step: StepRecord, claim: Claim, *, is_over: bool, runs: bool) -> JobInfo:
    """Return the state of an attempt in a job that `is_over` or not. `runs`: the scheduler shows the attempt there."""
    job = without_start(job_of(step.token))
    job_id, instance = step.job_id or claim.job_id, step.job_instance or claim.instance
    state, raw = JobState.GONE, f"job step {job_id} is gone"
    if is_over:
        has_started = step.state is State.RUNNING or claim.state is ClaimState.JOB
        state, raw = (JobState.GONE_WITH_JOB if has_started else JobState.GONE), f"job {job} has ended"
    elif not job_id:
        is_new = time.time_ns() // 1000 - (step.requested_at or 0) < INSIDE_GRACE
        state, raw = (JobState.PENDING if is_new else JobState.GONE), f"not started in job {job}"
    elif runs:
        state, raw = JobState.RUNNING, f"job step {job_id} runs"
    return JobInfo(state, raw, job_id=job_id, host=step.job_host or claim.host, instance=instance)
