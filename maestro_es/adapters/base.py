"""What an adapter is: one scheduler behind one protocol.

Which adapter a study has is decided in `maestro_es.adapters.registry`. What the answer of a scheduler proves is
decided in `maestro_es.core.verdict`.
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
from maestro_es.core.submission import Outcome


def _not_written() -> str:
    return ""


class Job(msgspec.Struct, frozen=True):
    """One attempt, ready to be submitted.

    `name` is the job's, `description` the step's. `script` is what the runner starts: a path with a slash, from
    `workspace`; `command` is what follows the script's header. `edited` is the whole script if a person has written
    it: then its header says what the job asks for. `run` are the step's resolved keys, `environment` is
    what the step starts in. `claim` makes the attempt's claim for a job id, a host, an instance and a nonce, and
    returns whether it is theirs now. A local step's output files begin with `output`, if it is given.
    `write_spare` writes the script with the adapter's `spare_header` and returns its digest; it may raise OSError.
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
        """The study's own copy of the runner."""
        return self.study / file_names.STATE_DIR / file_names.RUNNER


class JobInfo(msgspec.Struct, frozen=True):
    """A scheduler's answer about one job: its state, its own words, and who the job is if it was found by token.

    `delay` is why a job that waits is held up, in the scheduler's own words; empty if it only waits for its turn.
    `ended_at` is when a job ended that has, if the scheduler says that.
    """

    state: JobState
    raw_state: str = ""
    exit_code: int | None = None
    job_id: str = ""
    host: str = ""
    instance: str = ""
    delay: str = ""
    ended_at: Micros | None = None


class QueueEntry(msgspec.Struct, frozen=True):
    """One of the user's jobs as a scheduler lists it; `command` is what it runs, with its arguments."""

    job_id: str
    state: JobState
    raw_state: str
    command: str
    delay: str = ""
    ended_at: Micros | None = None


class Submitting(NamedTuple):
    """A submission under way: the command that makes it, and what came of it, to be asked for once.

    Who asks before the command has ended waits for it.
    """

    command: Command
    outcome: Callable[[], Outcome]


class Adapter(Protocol):
    """One scheduler. `name` is its `batch.type`, `extension` ends the names of its scripts."""

    name: str
    extension: str
    #: Seconds without a trace after which an attempt is given up: of jobs, `scheduler_facts.JOB_GRACE_SECONDS`.
    grace_seconds: float
    #: Whether it can submit; if not, it writes scripts with ``--dry`` and no more.
    can_submit: bool
    #: How many submissions it takes at the same time.
    max_concurrent_submissions: int
    #: What tells the clusters apart whose jobs are listed for all studies at once; empty: they can't be.
    cluster: str

    def header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        """Return the script's first lines, without a newline at the end."""

    def spare_header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        """Return the first lines for a job that was refused with those of `header`, or the same again."""

    def command(self, text: str, run: Mapping[str, Any]) -> str:
        """Return the step's command with the launcher filled in. ValueError if it asks for what there is not."""

    def submission(self, job: Job) -> list[str]:
        """Return the command that `submit` runs. ValueError says why there can be none."""

    def submit(self, job: Job) -> Outcome | Submitting:
        """Submit the runner with the token, or begin to. Never raises for what a scheduler says."""

    def cluster_info(self) -> dict[str, str]:
        """Return what the scheduler says of itself that a study should keep, by its own names; empty if it does not.

        Nothing that is to be safe may rest on it.
        """

    def list_jobs(self) -> list[QueueEntry]:
        """Return all jobs of this user, for `query_queue`; `Unreachable` if nobody answers."""

    def query_queue(
        self, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        """Return by token what is known of these attempts; `Unreachable` if nobody answers.

        `listed` is what an adapter of the same `cluster` has listed; without it, the scheduler is asked.
        A token that is not in the answer was not asked about; a job that is no longer known is GONE.
        """

    def query_accounting(self, steps: Sequence[StepRecord]) -> dict[str, JobInfo]:
        """Return by token what the scheduler's accounts remember of jobs that it does not know any more.

        A token that is not in the answer was not asked about; `Unreachable` if nobody answers.
        """

    def find_by_token(self, runners: Collection[str]) -> dict[str, JobInfo]:
        """Return by token the jobs that these runners were submitted for, whether the log knows of them or not.

        `Unreachable` if nobody answers. What is over and forgotten is not among them.
        """

    def has_orphans(self, step: StepRecord) -> bool:
        """Whether what a dead runner started still runs."""

    def cancel_commands(self, steps: Sequence[StepRecord]) -> list[list[str]]:
        """Return the commands that `cancel` runs, or that do what it does; `Unreachable` if nobody answers."""

    def cancel(self, steps: Sequence[StepRecord]) -> None:
        """Ask that these jobs end, as the last `query_queue` has shown them; asked again and again until they have.

        `Unreachable` if nobody answers, `SchedulerError` if one can't be asked, or may not be ended by us.
        """


@runtime_checkable
class SubmitsScripts(Protocol):
    """An adapter that also submits scripts without a study, for programs that use Maestro's script adapters."""

    def submit_script(self, path: str, folder: str, environment: Mapping[str, str]) -> Outcome:
        """Submit a script that runs in a folder. Never raises for what a scheduler says."""


class Adapters(msgspec.Struct, frozen=True):
    """The adapters of a study: `scheduler` for its scheduled steps, `local` for the others."""

    scheduler: Adapter
    local: Adapter

    def of(self, step: StepRecord) -> Adapter:
        """Return the adapter that runs a step."""
        return self.scheduler if step.scheduled else self.local


class Faults(ValueError):
    """Everything that is wrong with a script. `messages` has one line for each; as a text they follow each other."""

    def __init__(self, messages: Iterable[str]) -> None:
        self.messages = tuple(dict.fromkeys(messages))
        super().__init__("; ".join(self.messages))


@contextlib.contextmanager
def noting(messages: list[str]) -> Iterator[None]:
    """Add what a ValueError says to `messages`, and go on after the block."""
    try:
        yield
    except ValueError as error:
        messages += error.messages if isinstance(error, Faults) else [str(error)]


def stop_if(messages: Iterable[str]) -> None:
    """Raise all of these messages as one error, if there are any."""
    faults = Faults(messages)
    if faults.messages:
        raise faults
