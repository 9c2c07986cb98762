"""The types of a study's state: states, phases, settings, and the records of a step and of the study.

`State` and `StudyStatus` keep Maestro's names and values, because ``status.csv`` and exit codes contain them. A
scheduler reports the state of a job (`JobState`), and a tick concludes the state of a step (`State`) from it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Union

import msgspec

from maestro_es.core import resubmission_limits
from maestro_es.core.environment import RecordedEnvironment
from maestro_es.core.usage import Usage

#: The possible types of a value in a study file or a setting.
Scalar = Union[str, int, float, bool, None]

#: A time in microseconds since 1970-01-01 UTC. All stored times have this form.
Micros = int


class State(enum.Enum):
    """The state of a step, with Maestro's names and values."""

    INITIALIZED = 0
    PENDING = 1
    WAITING = 2
    RUNNING = 3
    FINISHING = 4
    FINISHED = 5
    QUEUED = 6
    FAILED = 7
    INCOMPLETE = 8
    HWFAILURE = 9
    TIMEDOUT = 10
    UNKNOWN = 11
    CANCELLED = 12
    NOTFOUND = 13
    DRYRUN = 14


class StudyStatus(enum.Enum):
    """The state of a study. Its value is the exit code of ``run --wait``."""

    FINISHED = 0
    RUNNING = 1
    FAILURE = 2
    CANCELLED = 3


class CancelCode(enum.Enum):
    """Whether a cancellation was accepted; Maestro's names and values."""

    OK = 0
    ERROR = 1


class JobStatusCode(enum.Enum):
    """Whether a scheduler answered a query; Maestro's names and values."""

    OK = 0
    NOJOBS = 1
    ERROR = 2


class JobState(enum.Enum):
    """The state of a job, as a scheduler reports it. `GONE` and `UNKNOWN` are answers, too.

    `NoAnswer` says why there is no answer.
    """

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    FAILED_AGAIN = "failed after it was requeued"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"
    CANCELLED_ON_NODE = "cancelled on its node"  # by a user, or by a node that could not launch it
    NODE_FAILED = "node failed"
    PREEMPTED = "preempted"
    OUT_OF_MEMORY = "out of memory"
    REFUSED = "refused"  # accepted, and then refused: it has not run and never will
    UNSUPERVISED = "unsupervised"  # the scheduler no longer watches it, but its processes may still be running
    ORPHANED = "orphaned"  # the runner is dead, but processes of the step are still running
    GONE = "gone"  # the scheduler does not list it
    GONE_WITH_JOB = "gone with its job"  # a local step that ran inside a job, which has ended
    UNKNOWN = "unknown"  # a state that maestro-es does not know; ticks keep watching the job


class Phase(enum.IntEnum):
    """The phase of a step decides what can happen to it next. Users see its `State`."""

    BLOCKED = 0  # a parent is not finished yet
    READY = 1  # may be submitted
    REQUESTED = 2  # a submission is recorded, but not its outcome
    SUBMITTED = 3  # a job is known
    DONE = 4  # nothing more will happen by itself


#: The phases as global names: a replay looks them up often, and in Python 3.11 `Phase.DONE` calls a function.
BLOCKED, READY, REQUESTED, SUBMITTED, DONE = Phase


class SubmissionKind(str, enum.Enum):
    """The reason for an attempt."""

    FIRST = "first"
    RESTART = "restart"  # with the restart script: after a timeout, or after a reset of a step that had started
    RESUBMIT = "resubmit"  # after a hardware failure, a rejection or an abandoned attempt
    RETRY = "retry"  # a user has requested it; the step starts from the beginning


ArrayUse = enum.Enum("ArrayUse", {"AUTO": "auto", "ALWAYS": "always", "NEVER": "never"}, type=str)
ArrayUse.__doc__ = "Whether ready steps with equal keys are submitted as one job array. AUTO: if there are many."


class Cause(str, enum.Enum):
    """Why a step failed."""

    EXIT_CODE = "exit code"
    OUT_OF_MEMORY = "out of memory"
    SCHEDULER = "scheduler state"
    HARDWARE = "hardware"
    LOST = "lost"
    REJECTED = "rejected"
    SCRIPT = "script"  # its script could not be written
    UPSTREAM = "upstream"


#: The key in `StudyRecord.unreachable` for a missing or changed environment file.
ENVIRONMENT = "environment"

#: The key in `StudyRecord.unreachable` for jobs in an unknown cluster. No scheduler is queried about these jobs.
UNWATCHED = "jobs"

#: The keys in `StudyRecord.unreachable` that are not names of schedulers. Their messages are complete sentences.
NO_SCHEDULER = (ENVIRONMENT, UNWATCHED)

#: The phases in which a job may exist.
IN_FLIGHT = (Phase.REQUESTED, Phase.SUBMITTED)

#: The states of a step that has failed.
FAILED_STATES = (State.FAILED, State.TIMEDOUT, State.HWFAILURE)

#: If a step is in one of these states, the steps that depend on it can run.
RELEASED = (State.FINISHED, State.DRYRUN)

#: If a step ended in one of these states, the steps that depend on it can't run.
BAD_ENDS = (*FAILED_STATES, State.CANCELLED)

#: Maestro's name for the root of a graph: the parent of every step that depends on no step.
SOURCE = "_source"


def is_local(adapter: Mapping[str, object]) -> bool:
    """Return whether a batch block names no scheduler. The throttle then limits local steps."""
    return adapter.get("type", "local") == "local"


def is_scheduled(run: Mapping[str, object]) -> bool:
    """Return whether a step asks for nodes or procs. A scheduler then runs it, unless the batch block is local."""
    return bool(run.get("nodes") or run.get("procs"))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a study that users can change. A `SettingsChanged` changes one field.

    A count of 0 means "no limit", as in Maestro. For `local_slots`, 0 means the number of the host's cores.

    submission_attempts: how many times a submission is tried if the scheduler refuses it
    submission_throttle: how many jobs may be in flight
    restart_limit: how many times a step may be restarted after a timeout
    hardware_limit: how many times a step is resubmitted after it failed because of the infrastructure
    abandon_limit: how many attempts of a step may be abandoned
    local_slots: how many steps may run on this host
    sleep_seconds: the seconds between two ticks of `run --wait`
    array: whether steps with equal keys are submitted as a job array; null if the batch block decides
    use_tmp: whether the scripts of local steps are in a temporary directory
    hash_workspaces: whether workspaces have short names
    dry_run: whether scripts are written and nothing is run
    notify: the command or the mail address that gets notifications; empty if none are sent
    """

    submission_attempts: int = resubmission_limits.SUBMISSION_ATTEMPTS
    submission_throttle: int = 0
    restart_limit: int = resubmission_limits.RESTART_LIMIT
    hardware_limit: int = resubmission_limits.HARDWARE_LIMIT
    abandon_limit: int = resubmission_limits.ABANDON_LIMIT
    local_slots: int = 0
    sleep_seconds: int = 60
    array: ArrayUse | None = None
    use_tmp: bool = False
    hash_workspaces: bool = False
    dry_run: bool = False
    notify: str = ""


class Param(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One parameter of a step. Its values replace ``$(key)``, ``$(key.label)`` and ``$(key.name)``.

    key: the name of the parameter in placeholders
    value: its value, which replaces ``$(key)``
    label: its label, which replaces ``$(key.label)`` and is part of the names of instances
    name: its name for users, which replaces ``$(key.name)``
    """

    key: str
    value: str
    label: str
    name: str


class StepRecord(msgspec.Struct, array_like=True, gc=False):
    """The state of one step. Only the reducer assigns its fields. It is stored without their names (`array_like`).

    `number` is the step's number in the log (1, 2, 3 ... in launch order), and `row` is its line in ``status.csv``.
    Times are microseconds in UTC, or None. `unmet` counts the parents and funnels that are not finished.

    A `held` step is not submitted. A `skipped` step is one that a user has marked as finished. A `doubted` step has
    finished, but its output may be incomplete. `blocker` is the step whose failure ended this one. With `keep_script`,
    an edited script runs too. `usage` is what the last attempt used. `stopped_in` is as in `HardwareFailed`.
    """

    number: int
    name: str
    template: str
    params: tuple[Param, ...]
    workspace: str
    workspaces: dict[str, str]
    scheduled: bool
    row: int
    restart_limit: int
    unmet: int = 0
    state: State = State.INITIALIZED
    phase: Phase = Phase.READY
    kind: SubmissionKind = SubmissionKind.FIRST
    attempt: int = 0
    token: str = ""
    job_id: str = ""
    job_host: str = ""
    job_instance: str = ""
    requested_at: Micros | None = None
    submitted_at: Micros | None = None
    started_at: Micros | None = None
    missed_at: Micros | None = None
    ended_at: Micros | None = None
    restarts: int = 0
    hardware_failures: int = 0
    rejections: int = 0
    abandoned: int = 0
    delays: int = 0
    cancelling: bool = False
    exit_code: int | None = None
    cause: Cause | None = None
    message: str = ""
    held: bool = False
    skipped: bool = False
    blocker: int | None = None
    doubted: bool = False
    keep_script: bool = False
    usage: Usage | None = None
    stopped_in: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """A series of refusals because of a full queue. `times` counts them. The other fields describe the last one.

    `together` is the number of steps that were refused at once; more than one for a job array.
    """

    message: str
    at: Micros
    step: int
    times: int = 1
    together: int = 1


#: The seq of an event that has no number yet.
NOT_YET = 2**63 - 1


class Boot(msgspec.Struct, frozen=True, omit_defaults=True):
    """One boot of a host in the log, from the event `first` to the event `last`.

    The last event was recorded at `seen_at`.

    `machine` distinguishes hosts with the same name, and `booted_at` is when the host booted. Both are empty if
    unknown.
    """

    host: str
    boot_id: str
    machine: str = ""
    booted_at: Micros = 0
    first: int = NOT_YET
    last: int = NOT_YET
    seen_at: Micros = 0

    @property
    def key(self) -> tuple[str, str]:
        """The values that identify a boot."""
        return self.host, self.boot_id

    def since(self, first: int) -> Boot:
        """Return the same boot with another first event."""
        return msgspec.structs.replace(self, first=first)

    def until(self, last: int, seen_at: Micros) -> Boot:
        """Return the same boot with another last event."""
        return msgspec.structs.replace(self, last=last, seen_at=seen_at)


class StudyRecord(msgspec.Struct):
    """The state of the study as a whole, without its steps.

    `details` holds everything else that a program has recorded about the study. `unreachable` holds the message of
    each adapter that did not answer the last query, by the name of the adapter. `steps`, `open_steps` (steps that are
    not done) and `states` (steps by state) are counts.

    `refusal` is set if the scheduler's queue was full last time. `queue_limit` is the number of jobs of this study
    that the scheduler held when its queue was full (None: it never was). `refused` is the step for which the queue had
    no room.

    `host` and `boot_id` identify the boot of the last process that wrote. `unseen_boot` is the previous boot id, if no
    tick has recorded the reboot yet. `boots` lists the boots during which processes wrote. `written_at` is the time of
    the last event about a step. From `ticked_from` on, ticks are expected. While the study is `cascading`, ticks end
    steps that will not run (`core.cascade`).
    """

    study_id: str = ""
    name: str = ""
    description: str = ""
    details: dict[str, object] = {}
    root: str = ""
    spec_file: str = ""
    adapter: dict[str, object] = {}
    settings: Settings = Settings()
    environment: RecordedEnvironment = RecordedEnvironment()
    paused: bool = False
    cancelling: bool = False
    status: StudyStatus = StudyStatus.RUNNING
    host: str = ""
    boot_id: str = ""
    unseen_boot: str = ""
    boots: tuple[Boot, ...] = ()
    written_at: Micros = 0
    ticked_from: Micros = 0
    unreachable: dict[str, str] = {}
    refusal: Refusal | None = None
    refused: int = 0
    queue_limit: int | None = None
    cascading: bool = False
    steps: int = 0
    open_steps: int = 0
    states: dict[str, int] = {}
