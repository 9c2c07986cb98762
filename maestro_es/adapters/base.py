"""The protocol of an adapter, which connects maestro-es to one scheduler.

`maestro_es.adapters.registry` finds the adapter of a study. `maestro_es.core.verdict` decides what the answer of a
scheduler proves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from maestro_es.adapters.command import Command
from maestro_es.core import file_names
from maestro_es.core.environment import Environment
from maestro_es.core.model import JobState, Micros, StepRecord
from maestro_es.core.observations import Claim
from maestro_es.core.step_keys import Allocation
from maestro_es.core.submission import Outcome
from maestro_es.core.usage import Usage


def _not_written() -> str:
    return ""


class Job(msgspec.Struct, frozen=True):
    """One attempt, ready to be submitted.

    `name` is the name of the job, and `description` describes the step. `script` is the path of the script that the
    runner starts. It is relative to `workspace`, and contains a slash. `command` is the script without its header.
    `edited` is the whole script if a user has edited it. In this case, its header contains the options of the job.
    `run` holds the resolved keys of the step, and `environment` is the environment in which the step starts. `claim`
    creates the claim for a job id, a host, an instance and a nonce, and returns whether this owner has the claim now.
    The names of a local step's output files begin with `output`. `write_spare` writes the script with the adapter's
    `spare_header` and returns its digest. It may raise OSError.
    """

    token: str
    name: str
    workspace: Path
    script: str
    study: Path
    claim: Callable[[str, str, str, str], bool]
    description: str = ""
    run: Mapping[str, Any] = msgspec.field(default_factory=dict)
    environment: Environment = Environment()
    command: str = ""
    output: str = ""
    edited: str = ""
    write_spare: Callable[[], str] = _not_written

    @property
    def runner(self) -> Path:
        """The copy of the runner in the study directory."""
        return self.study / file_names.STATE_DIR / file_names.RUNNER


class Array(msgspec.Struct, frozen=True):
    """A job array: attempts that are submitted together. It has a unique name, and its jobs by index.

    `title` is the name that the scheduler shows. The jobs have equal keys (`SubmitsArrays.array_key`).
    """

    name: str
    title: str
    jobs: Mapping[int, Job]

    @property
    def first(self) -> Job:
        """One of the jobs."""
        return next(iter(self.jobs.values()))

    @property
    def state(self) -> Path:
        """The directory ``.maestro-es`` of the study."""
        return self.first.runner.parent


class JobInfo(msgspec.Struct, frozen=True):
    """A scheduler's answer about one job: its state, the scheduler's name for that state, and the identity of the job.

    `delay` is the scheduler's reason why the job is pending (empty: it is just waiting its turn). `began_at` and
    `ended_at` are the times of its last start and of its end, if it has ended and the scheduler reports them. `usage`
    is what an ended job has used. `may_reappear` can be true only for a step inside a job, during the job's
    grace time: the job is missing from the queue, or does not explain why the process of the step is gone. If the
    accounting gives such an answer, the answer counts only after the grace time of the step.
    """

    state: JobState
    raw_state: str = ""
    exit_code: int | None = None
    job_id: str = ""
    host: str = ""
    instance: str = ""
    delay: str = ""
    began_at: Micros | None = None
    ended_at: Micros | None = None
    usage: Usage | None = None
    may_reappear: bool = False


class QueueEntry(msgspec.Struct, frozen=True):
    """One of the user's jobs, as a scheduler lists it; `command` is its command with arguments.

    `index` is the index of the job in its job array, if it belongs to one.
    """

    job_id: str
    state: JobState
    raw_state: str
    command: str
    delay: str = ""
    began_at: Micros | None = None
    ended_at: Micros | None = None
    exit_code: int | None = None
    index: int | None = None
    usage: Usage | None = None


class Submitting(NamedTuple):
    """A submission that has begun: its command, and a function that returns the outcome and may be called once.

    The function waits until the command has ended.
    """

    command: Command
    outcome: Callable[[], Outcome]


class SubmittingArray(NamedTuple):
    """A submission of several jobs under way: its command, and a function that returns their outcomes by index.

    The function may be called once, and waits until the command has ended.
    """

    command: Command
    outcomes: Callable[[], dict[int, Outcome]]


class Adapter(Protocol):
    """One scheduler. `name` is its batch type. The names of its scripts end with `extension`."""

    name: str
    extension: str
    #: The grace time in seconds. For jobs it is `core.grace.JOB_GRACE_SECONDS`.
    grace_seconds: float
    #: Whether the adapter can submit jobs. Otherwise it only writes scripts, with ``--dry``.
    can_submit: bool
    #: How many submissions may run at the same time.
    max_concurrent_submissions: int
    #: Identifies the cluster, so that its jobs are listed once for all studies (empty: they can't be listed).
    cluster: str

    def header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        """Return the script's first lines, without a newline at the end."""

    def spare_header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        """Return the first lines for a second try, if the scheduler has refused the lines of `header`.

        They may be the same as those of `header`.
        """

    def command(self, text: str, run: Mapping[str, Any]) -> str:
        """Return the step's command with the launcher replaced. ValueError if it requests more than the step has."""

    def submission(self, job: Job) -> list[str]:
        """Return the command that `submit` runs. ValueError if the job can't be submitted."""

    def submit(self, job: Job) -> Outcome | Submitting:
        """Submit the runner with the token, or begin to submit it. A scheduler's answer never raises an error."""

    def cluster_info(self) -> dict[str, str]:
        """Return the parts of the scheduler's configuration that a study keeps (empty: the scheduler does not answer).

        Safety must not depend on them.
        """

    def list_jobs(self) -> list[QueueEntry]:
        """Return all jobs of this user, for `query_queue`. `Unreachable` if the scheduler does not answer."""

    def query_queue(
        self, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        """Return the jobs of these attempts by token. `Unreachable` if the scheduler does not answer.

        `listed` holds the jobs that an adapter of the same `cluster` has already listed. Without it, the scheduler is
        queried. A token that is missing from the result was not queried. A job that the scheduler no longer lists is
        GONE.
        """

    def query_accounting(self, steps: Sequence[StepRecord]) -> dict[str, JobInfo]:
        """Return the jobs that have left the queue, by token, from the accounting.

        A token that is missing from the result was not queried. `Unreachable` if the accounting does not answer.
        """

    def find_by_token(self, runners: Collection[str]) -> dict[str, JobInfo]:
        """Return the jobs of these runners by token, whether or not the log contains them.

        `Unreachable` if the scheduler does not answer. Jobs that it has forgotten are missing.
        """

    def has_orphans(self, step: StepRecord) -> bool:
        """Return whether processes of a step are still running although its runner is dead."""

    def cancel_commands(self, steps: Sequence[StepRecord]) -> list[list[str]]:
        """Return the commands that `cancel` runs, or equivalent ones. `Unreachable` if there is no answer."""

    def cancel(self, steps: Sequence[StepRecord]) -> None:
        """Cancel these jobs, which the last `query_queue` returned. Each tick calls this until they have ended.

        `Unreachable` if the scheduler does not answer, `SchedulerError` if it refuses.
        """


@runtime_checkable
class SubmitsScripts(Protocol):
    """An adapter that also submits scripts without a study, for programs that use Maestro's script adapters."""

    def submit_script(self, path: str, folder: str, environment: Mapping[str, str]) -> Outcome:
        """Submit a script that runs in a folder. A scheduler's answer never raises an error."""


@runtime_checkable
class CarriesOutput(Protocol):
    """An adapter whose scheduler copies the output of jobs.

    If the scheduler crashes, a job that writes output may fail.
    """

    carries_output: bool


@runtime_checkable
class RecallsUsage(Protocol):
    """An adapter whose scheduler keeps accounting records of what ended jobs have used."""

    def query_usage(self, jobs: Mapping[str, str], since: Micros, cluster_info: Mapping[str, str]) -> dict[str, Usage]:
        """Return the usage of jobs by token.

        `jobs` maps tokens to job ids. All these jobs were submitted after `since`.

        `cluster_info` is what the method with this name has returned. Jobs that the accounting does not know yet are
        missing. `Unreachable` if there is no quick answer.
        """


@runtime_checkable
class SubmitsArrays(Protocol):
    """An adapter that can also submit several attempts as one job array.

    A job of an array is queried and cancelled like any other job, because it has its own id.
    """

    def largest_array(self, cluster_info: Mapping[str, str]) -> int:
        """Return how many jobs an array may have, according to what `cluster_info` has returned."""

    def elements_fail_alone(self, cluster_info: Mapping[str, str]) -> bool:
        """Return whether a job that can't be launched ends alone, and not with other jobs of its array.

        If not, arrays are only made if the user asks for them.
        """

    def array_key(self, job: Job) -> Sequence[str] | None:
        """Return a key that must be equal for all jobs of an array; None if the job can't be part of one."""

    def array_submission(self, array: Array) -> list[str]:
        """Return the command that `submit_array` runs. ValueError if the array can't be submitted."""

    def submit_array(self, array: Array) -> dict[int, Outcome] | SubmittingArray:
        """Submit an array, or begin to submit it. Either all of its jobs are submitted, or none.

        A scheduler's answer never raises an error.
        """


@runtime_checkable
class SubmitsTogether(Protocol):
    """An adapter that can also submit several attempts with one command. Each attempt gets a separate job."""

    def submit_together(self, jobs: Mapping[int, Job]) -> dict[int, Outcome] | SubmittingArray:
        """Submit these jobs, or begin to submit them. Each job has a separate outcome.

        A job without an outcome was not sent, and needs a command of its own.
        A scheduler's answer never raises an error.
        """


@runtime_checkable
class RunsInside(Protocol):
    """An adapter that can run jobs inside the job that contains this process, without submitting them."""

    def enter(self, seconds_left: Callable[[], float | None], must_stop: Callable[[], bool]) -> None:
        """From now on, jobs with a placement are started in the job that contains this process.

        `seconds_left` returns the time until no step may run there (None: no limit is known), or raises Unreachable.
        As soon as `must_stop` returns True, the adapter waits for nothing.
        RequestRefused if this process is not in a suitable job.
        """

    def allocation(self) -> Allocation:
        """Return the job's resources and remaining time. `Unreachable` if the scheduler does not answer."""

    def expect(self, nodes: Collection[int]) -> None:
        """Prepare these nodes for jobs, which will soon be started there."""

    def wait_inside(self, seconds: float) -> list[str]:
        """Wait at most this long for news of the jobs inside. Returns the tokens of the jobs that seem to have ended.

        An empty token stands for other news. All tokens are only hints.
        """

    def is_unknown(self, step: StepRecord) -> bool:
        """Return whether the scheduler says nothing about the job in which a step was started."""

    def leave(self) -> None:
        """Stop starting jobs inside. Jobs that have started keep running."""


class Adapters(msgspec.Struct, frozen=True):
    """The adapters of a study: `scheduler` for its scheduled steps, `local` for the others."""

    scheduler: Adapter
    local: Adapter

    def of(self, step: StepRecord) -> Adapter:
        """Return the adapter that runs a step."""
        return self.scheduler if step.scheduled else self.local


class Faults(ValueError):
    """All problems of a script. `messages` holds one line for each. The text of the error joins them."""

    def __init__(self, messages: Iterable[str]) -> None:
        self.messages = tuple(dict.fromkeys(messages))
        super().__init__("; ".join(self.messages))


@contextlib.contextmanager
def noting(messages: list[str]) -> Iterator[None]:
    """Add the message of a ValueError to `messages`, and continue after the block."""
    try:
        yield
    except ValueError as error:
        messages += error.messages if isinstance(error, Faults) else [str(error)]


def stop_if(messages: Iterable[str]) -> None:
    """Raise all of these messages as one error, if there are any."""
    faults = Faults(messages)
    if faults.messages:
        raise faults
