"""The adapter of local steps. Each runner is a process in its own session, independent of the tick.

The id of a job is the process id of the runner. The host and its boot id are recorded with it, and the token is among
the runner's arguments. Together they identify the process. Only the host itself can tell whether a process runs. So
there is no answer for a process on another host, or in another PID namespace of this host (a container). The namespace
follows the boot id: ``BOOT/NAMESPACE``. If the process runs inside a job, the job follows both:
``BOOT/NAMESPACE@SCHEDULER:ID``. The process ends with this job. So when the scheduler says that the job has ended, the
process is gone, even if it ran on another host. But on another host this is certain only if the scheduler watches all
processes of a job, and not only those that stayed with their parent (Slurm: ``proctrack/cgroup``). Another cluster may
have a job with the same id. So the cluster follows Slurm's id, ``slurm:ID@CLUSTER``, and only its answer counts. The
time of the submission follows Flux's id, ``flux:ID+TIME``, and only the answer about a job with this time counts.

A system error is not an answer either. A runner does not change its user. So it can be seen while it runs, with any
value of ``hidepid``. If a process of its step has changed its user, the tick can neither inspect nor kill this
process.

The runner (`runner.sh`) enforces the walltime, which it gets in seconds as an argument.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found] # `signal` is slow to import
import errno
import itertools
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from maestro_es.adapters import process
from maestro_es.adapters.base import Adapter, Job, JobInfo, QueueEntry
from maestro_es.adapters.command import NO_ROOM
from maestro_es.adapters.host import Host
from maestro_es.adapters.schedulers import id_of
from maestro_es.core.attempt_token import TOKEN_VARIABLE, without_start
from maestro_es.core.environment import Environment, for_runner
from maestro_es.core.grace import was_absent
from maestro_es.core.hosts import was_rebooted
from maestro_es.core.model import Boot, JobState, StepRecord, StudyRecord
from maestro_es.core.observations import Claim, ClaimState
from maestro_es.core.scheduler_facts import SchedulerFacts
from maestro_es.core.step_keys import Allocation
from maestro_es.core.submission import Accepted, InDoubt, Outcome, ScriptFailed
from maestro_es.core.usage import Usage, local_usage
from maestro_es.core.walltime import walltime_seconds
from maestro_es.errors import RequestRefused, SchedulerError, Unreachable

if TYPE_CHECKING:
    from maestro_es.adapters.job_questions import JobQuestions

#: The grace time of local steps in seconds. For jobs it is `JOB_GRACE_SECONDS`.
_GRACE_SECONDS = 5.0

FACTS = SchedulerFacts(name="local", extension="sh", grace_seconds=_GRACE_SECONDS)


def boot_of(instance: str) -> str:
    """Return the boot id of the process that an instance names."""
    return instance.partition("/")[0]


def job_of(instance: str) -> str:
    """Return the job, ``SCHEDULER:ID``, that contains the process that an instance names (empty: none)."""
    return instance.partition("@")[2]


def _machine_of(instance: str) -> str:
    return instance.partition("@")[0].removesuffix("/")


def ask_host(
    local: Adapter, step: StepRecord, claims: Mapping[str, Claim], study_record: StudyRecord, host: Host
) -> JobInfo | None:
    """Return the state of a local step. None if only another host, perhaps with the same name, can see it.

    Unreachable if this host does not answer.
    """
    seen = local.query_queue([step], claims).get(step.token)
    if not seen or seen.state is JobState.GONE_WITH_JOB:
        return seen
    if not seen.instance or (boot := boot_of(seen.instance)) == host.boot_id:
        return seen
    if seen.job_id and process.is_running(int(seen.job_id), step.token):
        return None  # the step runs in a container of this host, which has another boot id
    ours = Boot(host.name, host.boot_id, host.machine, host.booted_at)
    return seen if was_rebooted(study_record, boot, ours) else None


def is_namesakes(step: StepRecord, host: Host) -> bool:
    """Return whether a step that this host can't see is running on another host with the same name."""
    return step.job_host == host.name and boot_of(step.job_instance) != host.boot_id


#: System errors that may be gone at the next tick. EBADF means that this process has more open files than the limit of
#: the step. A process with fewer can start the step.
_PASSING = (*NO_ROOM, errno.EBADF, errno.EIO, errno.ESTALE, getattr(errno, "EKEYEXPIRED", None))


#: The command that runs the runner, if /bin/bash exists. Otherwise the first line of the runner starts sh, and with
#: some shells the runner then starts bash. With ``--posix``, bash does not read the file that BASH_ENV names. A runner
#: that can't be executed is started without bash, because the error then says why.
_BASH = ("/bin/bash", "--posix")


class LocalAdapter:
    """Runs steps as processes of this host."""

    name, extension, grace_seconds = FACTS.name, FACTS.extension, FACTS.grace_seconds
    can_submit = True
    max_concurrent_submissions = 1
    cluster = ""

    def __init__(self, batch: Mapping[str, Any], host: Host) -> None:
        self._shell = batch.get("shell") or "/bin/bash"
        self._host = host
        #: Returns the environment in which the scheduler of a job is asked.
        self.environment: Callable[[], Environment] = lambda: host.environment
        self._instance = "/".join(filter(None, (host.boot_id, host.namespace)))
        self._seconds_left: Callable[[], float | None] = lambda: None
        #: The environment of the last step, and its variables for a runner. All steps of a study have the same one.
        self._last: tuple[Environment, dict[str, str]] | None = None

    def header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:  # noqa: ARG002 - protocol
        return f"#!{self._shell}"

    def spare_header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        return self.header(job_name, description, run)

    def command(self, text: str, run: Mapping[str, Any]) -> str:  # noqa: ARG002 - protocol
        return text

    def submission(self, job: Job) -> list[str]:
        limit = walltime_seconds(job.run.get("walltime"))
        what = (str(job.runner), job.token, str(job.workspace), job.script, str(job.study))
        return [
            *(_BASH if all(os.access(program, os.X_OK) for program in (_BASH[0], job.runner)) else ()),
            *what,
            str(limit),
            job.output or job.name,
            self._host.name,
            self._host.boot_id,
            *([self._jobs.around] if self._host.job else []),
        ]

    def submit(self, job: Job) -> Outcome:
        """Start the runner, create its claim, and write "go". The runner runs the step only if it owns the claim."""
        try:
            command = self.submission(job)
        except ValueError as error:
            return ScriptFailed(str(error))
        from maestro_es.adapters import spawner  # noqa: PLC0415 - most ticks start no step

        host = self._host
        try:
            pid, gate = spawner.spawn(command, self._variables(job.environment), job.environment)
        except OSError as error:
            message = f"the runner {job.runner} can't be started: {error.strerror}"
            if error.errno == errno.EBADF:
                most = job.environment.limits.get("nofile")
                message += f"; the tick has more files open than the {most} that 'maestro-es env' allows the step"
            return InDoubt(message) if error.errno in _PASSING else ScriptFailed(message)
        except Unreachable as error:
            return InDoubt(f"the runner was started and not told to go: {error}")
        try:
            if not job.claim(str(pid), host.name, self._full_instance(), str(pid)):
                return InDoubt("another process holds the claim")
            os.write(gate, b"go\n")
        except OSError as error:
            return InDoubt(f"the claim can't be made: {error.strerror}")
        finally:
            os.close(gate)
        return Accepted(str(pid), host.name, self._full_instance())

    def _full_instance(self) -> str:
        host = self._host
        return f"{host.boot_id}/{host.namespace}@{self._jobs.own}" if host.job else self._instance

    def _variables(self, environment: Environment) -> dict[str, str]:
        if self._last is None or self._last[0] is not environment:
            self._last = environment, for_runner(environment.variables)
        return self._last[1]

    def cluster_info(self) -> dict[str, str]:
        return {}

    def list_jobs(self) -> list[QueueEntry]:
        """Return nothing: processes are checked one by one."""
        return []

    def query_queue(
        self,
        steps: Sequence[StepRecord],
        claims: Mapping[str, Claim],
        listed: Sequence[QueueEntry] | None = None,  # noqa: ARG002 - protocol
    ) -> dict[str, JobInfo]:
        seen = {}
        for step in steps:
            claim = claims.get(step.token, Claim())
            if step.job_id:
                info = self._look(step, step.job_id, step.job_host, step.job_instance)
            elif claim.state is ClaimState.JOB:
                info = self._look(step, claim.job_id, claim.host, claim.instance)
            else:
                info = JobInfo(JobState.GONE, "no process")
            if info:
                seen[step.token] = info
        return seen

    def _look(self, step: StepRecord, job_id: str, host: str, instance: str) -> JobInfo | None:
        if self._host.trouble:
            raise Unreachable(self._host.trouble)
        is_here = (host, _machine_of(instance)) == (self._host.name, self._instance)
        if is_here and process.is_running(int(job_id), step.token):
            return JobInfo(JobState.RUNNING, f"process {job_id} runs", None, job_id, host, instance)
        job = job_of(instance)
        shown = without_start(job)
        if job and self._jobs.has_ended(job, elsewhere=not is_here):
            message = f"its job {shown} has ended"
            return JobInfo(JobState.GONE_WITH_JOB, message, None, job_id, host, instance)
        if is_here and job and not was_absent(step, time.time_ns() // 1000) and self._jobs.may_be_ending(job):
            message = f"process {job_id} is gone, and the scheduler of its job {shown} does not say why"
            return JobInfo(JobState.GONE, message, None, job_id, host, instance, may_reappear=True)
        if is_here:
            return JobInfo(JobState.GONE, f"process {job_id} is gone", None, job_id, host, instance)
        if host == self._host.name and boot_of(instance) != self._host.boot_id:
            return JobInfo(JobState.GONE, "lost: the host was rebooted", None, job_id, host, instance)
        return None

    @cached_property
    def _jobs(self) -> JobQuestions:
        from maestro_es.adapters.job_questions import JobQuestions  # noqa: PLC0415 - most local steps run in no job

        return JobQuestions(self._host, lambda: self.environment())  # noqa: PLW0108 - a study sets it later

    # -- inside a job ------------------------------------------------------------------------------------------------

    def enter(
        self,
        seconds_left: Callable[[], float | None],
        must_stop: Callable[[], bool],  # noqa: ARG002 - protocol
    ) -> None:
        """From now on, no step starts that can't end before the job around this process does."""
        if not self._host.job:
            raise RequestRefused("this process runs in no job")
        self._seconds_left = seconds_left

    def allocation(self) -> Allocation:
        """Return this node as the only one of the job, because local steps run on the host of their driver."""
        return Allocation(id_of(self._host.job), (self._host.size,), 0, self._seconds_left())

    def wait_inside(self, seconds: float) -> list[str]:
        """Wait until a step ends. The caller has blocked SIGCHLD."""
        if not hasattr(signal, "sigtimedwait"):
            time.sleep(0.01)
            return []
        return [""] if signal.sigtimedwait({signal.SIGCHLD}, seconds) else []

    def expect(self, nodes: Collection[int]) -> None:
        """Do nothing: local steps have no agents."""

    def is_unknown(self, step: StepRecord) -> bool:  # noqa: ARG002 - protocol
        return False

    def leave(self) -> None:
        """Do nothing: the driver ends its local steps."""

    def query_accounting(self, steps: Sequence[StepRecord]) -> dict[str, JobInfo]:  # noqa: ARG002 - protocol
        """Return nothing: there is no accounting."""
        return {}

    def find_by_token(self, runners: Collection[str]) -> dict[str, JobInfo]:
        """Find the runners among this user's processes. Those on other hosts are not seen."""
        jobs = {}
        for running in process.of_this_user():
            for word, token in itertools.pairwise(running.arguments):
                if word in runners:
                    pid = str(running.pid)
                    state = f"process {pid} runs"
                    jobs[token] = JobInfo(JobState.RUNNING, state, None, pid, self._host.name, self._instance)
        return jobs

    def has_orphans(self, step: StepRecord) -> bool:
        return bool(self._left_behind(step))

    def cancel_commands(self, steps: Sequence[StepRecord]) -> list[list[str]]:
        """Return the ``kill`` command for each. `cancel` itself starts no process."""
        commands = []
        for step in steps:
            if self._runs(step):
                commands.append(["kill", "-TERM", "--", f"-{step.job_id}"])
            else:
                commands.extend(["kill", "-KILL", str(pid)] for pid in self._left_behind(step))
        return commands

    def cancel(self, steps: Sequence[StepRecord]) -> None:
        """Ask a live runner to end its step. Kill the processes that a dead runner has left."""
        others: list[str] = []
        for step in steps:
            if self._runs(step):
                process.terminate_group(int(step.job_id))
            else:
                others += [f"process {pid} of {step.name}" for pid in process.kill(self._left_behind(step))]
        if others:
            raise SchedulerError(f"only another user, who owns these processes, can end them: {', '.join(others)}")

    def _runs(self, step: StepRecord) -> bool:
        return self._is_here(step) and process.is_running(int(step.job_id), step.token)

    def _left_behind(self, step: StepRecord) -> list[int]:
        """Return the remaining processes of a step whose runner is gone. They have its token or are in its session.

        Another process may have the runner's process id by now, and a session with this number. So the session counts
        only if one of its processes has the token. At its end, a runner requests a tick, whose process has no token.
        """
        if not self._is_here(step) or self._runs(step):
            return []
        carriers = process.carriers(step.token, TOKEN_VARIABLE)
        members = process.session_members(int(step.job_id))
        ours = any(process.is_marked(pid, step.token, TOKEN_VARIABLE) for pid in members)
        return sorted({*carriers, *(members if ours and int(step.job_id) not in members else ())})

    def _is_here(self, step: StepRecord) -> bool:
        return (step.job_host, _machine_of(step.job_instance)) == (self._host.name, self._instance)


def take_usages() -> dict[str, Usage]:
    """Return the usage of ended local steps that this process has started, by token. Each is returned only once."""
    from maestro_es.adapters import spawner  # noqa: PLC0415 - likewise

    usages = {}
    for ended in spawner.take_ended():
        _, token, _, _, _, limit, *_ = ended.argv[len(_BASH) if ended.argv[0] == _BASH[0] else 0 :]
        usages[token] = local_usage(ended.cpu, ended.memory, int(limit))
    return usages


ADAPTER = LocalAdapter
