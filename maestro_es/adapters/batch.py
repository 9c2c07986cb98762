"""The common base of the adapters of batch schedulers. They call commands, and list all jobs of a user with one call.

A job is identified by the token in its command (`maestro_es.adapters.queue_entries`). A job is cancelled only if the
last list has shown it with the token of an attempt. Each call has a time limit. A call without an answer proves
nothing. It raises `Unreachable`, or leaves a submission in doubt.

The adapter of a scheduler chooses the commands, and interprets their output.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from msgspec import structs

from maestro_es.adapters import process
from maestro_es.adapters.array_map import with_elements
from maestro_es.adapters.base import Job, JobInfo, QueueEntry, Submitting
from maestro_es.adapters.command import NO_ROOM, Command, Completed, find_program
from maestro_es.adapters.queue_entries import LIVE, AttemptsByJob, believed, by_token, names_in, of_runners
from maestro_es.core.environment import Environment, for_node, for_runner
from maestro_es.core.model import Micros, StepRecord
from maestro_es.core.observations import Claim
from maestro_es.core.submission import InDoubt, Outcome, QueueFull, ScriptFailed
from maestro_es.core.usage import Usage
from maestro_es.errors import NotAsked, SchedulerError, Unreachable

#: The time limits in seconds: of most commands, and of a command that only queries the cluster's configuration.
TIMEOUT, FACTS_TIMEOUT = 60.0, 5.0


def command_environment(
    ours: Mapping[str, str], recorded: Mapping[str, str], changing: tuple[str, ...], settings: Sequence[str]
) -> dict[str, str]:
    """Return the environment for commands that query a scheduler. The recorded environment of the study has priority.

    Variables that begin with one of `changing` would change the answers, and are left out, except `settings`. The
    settings determine the cluster. If the study has a recorded environment, they come only from there, because a tick
    may run in a shell for another cluster.
    """
    variables = {key: value for key, value in {**ours, **recorded}.items() if not key.startswith(changing)}
    source = recorded or ours
    return variables | {key: source[key] for key in settings if source.get(key)}


class BatchJobs(ABC):
    """Calls a scheduler's commands in an environment.

    Its PATH determines the commands, and its `settings` determine the cluster. `of_steps` is the environment of the
    study's steps. If it is missing, commands run in the environment of this process, which may lead to another
    cluster. So the name of the cluster is queried first. If that is not the study's cluster, nothing else is queried.
    """

    #: The batch type, and the variables that determine the cluster.
    scheduler: str
    settings: tuple[str, ...] = ()
    #: The messages of the cancel command about jobs that are ending, or have ended.
    ending: tuple[str, ...]

    def __init__(self, environment: Mapping[str, str], of_steps: Environment | None = None) -> None:
        self._environment = dict(environment)
        self._of_steps = of_steps or Environment()
        self._is_known = not self._of_steps.problem
        self._live: dict[str, list[str]] = {}
        self._paths: dict[str, str] = {}

    @property
    def cluster(self) -> str:
        """Identifies the cluster and the installation of the scheduler's commands."""
        known = f"must be {self._of_steps.cluster}" if self._of_steps.problem else ""
        values = [self._environment.get(name, "") for name in ("PATH", *self.settings)]
        return "\n".join([self.scheduler, *values, known])

    # -- what differs between schedulers ----------------------------------------------------------------------------

    @abstractmethod
    def cluster_info(self) -> dict[str, str]:
        """Return the parts of the configuration that a study keeps, with the name of the cluster as ``ClusterName``.

        `Unreachable` if there is no quick answer.
        """

    @abstractmethod
    def list_jobs(self) -> list[QueueEntry]:
        """Return all jobs of this user that the scheduler knows, with one query."""

    @abstractmethod
    def cancel_ids(self, ids: Sequence[str]) -> list[str]:
        """Return the command that cancels these jobs."""

    @staticmethod
    @abstractmethod
    def is_down(message: str) -> bool:
        """Return whether a message says that the scheduler has not answered."""

    def query_accounting(self, steps: Sequence[StepRecord]) -> dict[str, JobInfo]:  # noqa: ARG002 - protocol
        """Return the jobs in the accounting that have left the queue.

        The default is for schedulers without accounting.
        """
        return {}

    def reviewed(self, rows: dict[str, list[QueueEntry]]) -> dict[str, list[QueueEntry]]:
        """Return the jobs of attempts, corrected by another query if necessary."""
        return rows

    def no_answer(self, message: str) -> Unreachable:
        """Return the error for a message of a command that has not reached the scheduler."""
        return Unreachable(message)

    def unquoted(self, command: str) -> str:
        """Return the command of a job, as the scheduler lists it, without the quotes of a shell."""
        return command

    # -- what is the same -------------------------------------------------------------------------------------------

    def query_queue(
        self, steps: Sequence[StepRecord], listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        """Return the jobs of these attempts in the queue. A job that is not listed is GONE."""
        rows = self.reviewed(by_token(self.list_jobs() if listed is None else listed, steps))
        self._live = {
            step.token: [row.job_id for row in rows.get(step.token, ()) if row.state in LIVE] for step in steps
        }
        return {step.token: believed(rows.get(step.token, ()), step.job_id) for step in steps}

    def find_by_token(self, runners: Collection[str]) -> dict[str, JobInfo]:
        """Return all jobs of these runners in the queue, by token. This takes one query."""
        listed = [structs.replace(row, command=self.unquoted(row.command)) for row in self.list_jobs()]
        jobs = with_elements(of_runners(listed, runners), runners)
        return {token: believed(rows, "") for token, rows in jobs.items()}

    def listed_usage(self, tokens: Iterable[str]) -> dict[str, Usage]:
        """Return the usage of the jobs in the list, by token. This takes one query."""
        attempts, used = AttemptsByJob(tokens), [row for row in self.list_jobs() if row.usage]
        return {token: row.usage for row in used for token in attempts.of(names_in(row.command)) if row.usage}

    def cancel_commands(self, steps: Sequence[StepRecord]) -> list[list[str]]:
        """Return the command that cancels the jobs that these attempts had in the queue at the last query."""
        if any(step.token not in self._live for step in steps):
            self.query_queue(steps)
        ids = [job_id for step in steps for job_id in self._live[step.token]]
        return [self.cancel_ids(ids)] if ids else []

    def cancel(self, steps: Sequence[StepRecord]) -> None:
        """Cancel the jobs of these attempts."""
        for command in self.cancel_commands(steps):
            message = not_cancelled(command[0], self.run(*command), self.ending)
            if message:
                raise self.no_answer(message) if self.is_down(message) else SchedulerError(message)

    # -- calls of commands ------------------------------------------------------------------------------------------

    def run(
        self, command: str, *arguments: str, timeout: float = 0, more: Mapping[str, str] | None = None
    ) -> Completed:
        """Run a command. `more` holds additional variables for it. Unreachable if it has not answered in time."""
        return completed(self.start(command, *arguments, timeout=timeout, more=more))

    def begin(
        self,
        argv: Sequence[str],
        job: Job,
        read: Callable[[Completed], Outcome],
        *,
        until: str = "",
        more: Mapping[str, str] | None = None,
        done: Callable[[], None] = lambda: None,
    ) -> Outcome | Submitting:
        """Begin a submission in the environment of a job.

        `read` returns the outcome of the submission, and `done` is called in any case. A submission that has not
        answered in time, or can't be started, is in doubt.
        """
        command = None
        try:
            command = self.start(*argv, until=until, of_job=job.environment, more=more)
        except Unreachable as error:
            return InDoubt(str(error))
        except OSError as error:
            return not_called(argv[0], error)
        finally:
            if command is None:
                done()
        return Submitting(command, lambda: _outcome(command, read, done))

    def start(
        self,
        command: str,
        *arguments: str,
        timeout: float = 0,
        until: str = "",
        of_job: Environment | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Command:
        """Start a command. A submission is started in the environment `of_job`, which the job then inherits."""
        if of_job and self._of_steps.problem:
            raise Unreachable(self._of_steps.problem)
        if not self._is_known:
            self._check_cluster()
        environment: Mapping[str, str] = self._environment
        if of_job:
            environment = for_runner(of_job.variables) | for_node(of_job)
        path = self.path_of(command)
        try:
            return Command(
                [path, *arguments],
                timeout=timeout or TIMEOUT,
                env={**environment, **more} if more else environment,
                until=until,
                members=process.session_members,
                inherited=of_job,
            )
        except FileNotFoundError:
            self._paths.pop(command, None)
            raise Unreachable(f"{path} is gone") from None

    def _check_cluster(self) -> None:
        """Query the cluster of this environment for its name. NotAsked if it is not the cluster of the study."""
        expected, cluster, message = self._of_steps.cluster, "", ""
        self._is_known = True  # set before the query, because otherwise `start` would refuse it
        try:
            cluster = self.cluster_info().get("ClusterName", "")
        except Unreachable as error:
            message = str(error)
        self._is_known = bool(expected) and cluster == expected
        if not self._is_known:
            names = " and ".join(["PATH", *self.settings])
            to = f"and not to {expected!r}" if expected else "and the log does not say on which one they are"
            why = message or f"{names} of this process lead to cluster {cluster!r}, {to}"
            raise NotAsked(f"its jobs are neither watched nor cancelled: {why}")

    def path_of(self, command: str) -> str:
        """Return the path of a command. It is searched once, in the recorded PATH and then in that of this process."""
        if command not in self._paths:
            recorded = self._environment.get("PATH")
            path = find_program(command, recorded) or find_program(command)
            if path is None:
                raise Unreachable(f"{command} is neither in PATH={recorded} nor in the PATH of this tick")
            self._paths[command] = path
        return self._paths[command]


def completed(command: Command) -> Completed:
    """Return the result of a command. Unreachable if it has not answered in time."""
    try:
        return command.result()
    except (TimeoutError, ChildProcessError) as error:
        raise Unreachable(str(error)) from None


def not_cancelled(name: str, done: Completed, ending: Sequence[str]) -> str:
    """Return the message of a command about jobs that it could not cancel (empty: there are none)."""
    lines = [line for line in f"{done.out}\n{done.err}".splitlines() if line.strip()]
    left = [line for line in lines if not any(sign in line for sign in ending)]
    if not done.code or (lines and not left):
        return ""
    return " ".join(" ".join(left).split()) or f"{name} ended with {done.code} and said nothing"


def _outcome(command: Command, read: Callable[[Completed], Outcome], done: Callable[[], None]) -> Outcome:
    """Return the outcome of a submission. Even a command that did not answer in time may have submitted its job."""
    try:
        return read(completed(command))
    except Unreachable as error:
        return InDoubt(str(error))
    finally:
        done()


def not_called(name: str, error: OSError) -> Outcome:
    """Return the outcome of a submission whose command can't be started. A later try may succeed."""
    message = f"{name} can't be called: {error.strerror}"
    if error.errno == errno.E2BIG:
        return ScriptFailed(message)
    return QueueFull(message) if error.errno in NO_ROOM else InDoubt(message)


class BatchAdapter:
    """The part of an adapter that needs only the jobs of its scheduler, and not the scripts."""

    can_submit = True
    max_concurrent_submissions = 8

    def __init__(self, jobs: BatchJobs) -> None:
        self._jobs = jobs
        self.cluster = jobs.cluster

    def cluster_info(self) -> dict[str, str]:
        try:
            return self._jobs.cluster_info()
        except Unreachable:
            return {}

    def list_jobs(self) -> list[QueueEntry]:
        return self._jobs.list_jobs()

    def query_queue(
        self,
        steps: Sequence[StepRecord],
        claims: Mapping[str, Claim],  # noqa: ARG002 - protocol
        listed: Sequence[QueueEntry] | None = None,
    ) -> dict[str, JobInfo]:
        return self._jobs.query_queue(steps, listed)

    def query_accounting(self, steps: Sequence[StepRecord]) -> dict[str, JobInfo]:
        return self._jobs.query_accounting(steps)

    def find_by_token(self, runners: Collection[str]) -> dict[str, JobInfo]:
        return self._jobs.find_by_token(runners)

    def has_orphans(self, step: StepRecord) -> bool:  # noqa: ARG002 - protocol
        """Return False, because the scheduler ends all processes of a job."""
        return False

    def cancel_commands(self, steps: Sequence[StepRecord]) -> list[list[str]]:
        return self._jobs.cancel_commands(steps)

    def cancel(self, steps: Sequence[StepRecord]) -> None:
        self._jobs.cancel(steps)


class UsageInList(BatchAdapter):
    """The part of an adapter whose scheduler lists ended jobs and their usage for a while.

    A step may end before its scheduler counts the job as ended, so the usage may become known later.
    """

    def query_usage(
        self,
        jobs: Mapping[str, str],
        since: Micros,  # noqa: ARG002 - protocol
        cluster_info: Mapping[str, str],  # noqa: ARG002 - protocol
    ) -> dict[str, Usage]:
        return self._jobs.listed_usage(jobs)
