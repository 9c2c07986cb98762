"""The vocabulary of a study: states, phases, settings and the record of one step.

`State` and `StudyStatus` keep Maestro's names and values: they stand in ``status.csv`` and in exit codes.
What a scheduler says about a job (`JobState`) and what we conclude about a step (`State`) are two types.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Union

import msgspec

from maestro_es.core import resubmission_limits
from maestro_es.core.environment import RecordedEnvironment

#: What a value in a study file or a setting may be.
Scalar = Union[str, int, float, bool, None]

#: Microseconds since 1970-01-01 UTC: the only form in which a time is kept.
Micros = int


class Driver(str, enum.Enum):
    """What has started a process that writes to a log."""

    CRON = "cron"
    RUNNER = "runner"  # of a local step that has ended
    WAIT = "run --wait"
    PERSON = "person"
    PROGRAM = "program"  # that uses the Python interface


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
    """The state of a study; the value is the exit code of ``run --wait``."""

    FINISHED = 0
    RUNNING = 1
    FAILURE = 2
    CANCELLED = 3


class CancelCode(enum.Enum):
    """Whether a cancellation was taken; Maestro's names and values."""

    OK = 0
    ERROR = 1


class JobStatusCode(enum.Enum):
    """Whether a question to a scheduler was answered; Maestro's names and values."""

    OK = 0
    NOJOBS = 1
    ERROR = 2


class JobState(enum.Enum):
    """What a scheduler says about a job; `GONE` and `UNKNOWN` are answers, `NoAnswer` is not in here."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"
    CANCELLED_ON_NODE = "cancelled on its node"  # since it had one: by a person, or by the node, if it can't launch it
    NODE_FAILED = "node failed"
    PREEMPTED = "preempted"
    OUT_OF_MEMORY = "out of memory"
    ORPHANED = "orphaned"  # the runner is dead, what it started still runs
    GONE = "gone"  # asked, and the scheduler does not know it
    UNKNOWN = "unknown"  # a word that nobody has heard of: still watched


class Phase(enum.IntEnum):
    """Where a step is on its way: what may happen to it next. `State` is what a person is told."""

    BLOCKED = 0  # a parent is not finished yet
    READY = 1  # may be submitted
    REQUESTED = 2  # a submission is on record, its outcome is not
    SUBMITTED = 3  # a job is known
    DONE = 4  # nothing more will happen by itself


class SubmissionKind(str, enum.Enum):
    """Why an attempt is made."""

    FIRST = "first"
    RESTART = "restart"  # with the restart script: after a timeout, or of a step that has begun and goes on
    RESUBMIT = "resubmit"  # after a hardware failure, a rejection or an abandoned attempt
    RETRY = "retry"  # a person asked for it: from the beginning


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


#: The name under which a missing or changed environment file stands among what does not answer.
ENVIRONMENT = "environment"

#: The name for jobs of which no scheduler is asked, as it is not known which one has them.
UNWATCHED = "jobs"

#: What is no scheduler among what does not answer: its message says everything.
NO_SCHEDULER = (ENVIRONMENT, UNWATCHED)

#: The variable in which the runner gives its step the token.
TOKEN_VARIABLE = "MAESTRO_ES_TOKEN"  # noqa: S105 - no secret

#: The phases in which a job may exist.
IN_FLIGHT = (Phase.REQUESTED, Phase.SUBMITTED)

#: The states in which a step has ended badly.
FAILED_STATES = (State.FAILED, State.TIMEDOUT, State.HWFAILURE)

#: The states of a step for which nothing waits any more.
RELEASED = (State.FINISHED, State.DRYRUN)

#: The states of a step that has ended, and for which what waits for it can't run.
BAD_ENDS = (*FAILED_STATES, State.CANCELLED)

#: Maestro's name for the root of a graph: every step that waits for nothing hangs on it.
SOURCE = "_source"


def is_local(adapter: Mapping[str, object]) -> bool:
    """Whether a batch block asks for no scheduler, so that its throttle is one for local steps."""
    return adapter.get("type", "local") == "local"


def is_scheduled(run: Mapping[str, object]) -> bool:
    """Whether a step asks for nodes or procs, so that a scheduler runs it, if the study's batch is not local."""
    return bool(run.get("nodes") or run.get("procs"))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user may set for a study; `SettingsChanged` changes one field at a time.

    Counts of 0 mean "no limit", as in Maestro, but for `local_slots`, where 0 means the host's cores.

    submission_attempts: how often a refused submission is tried
    submission_throttle: how many jobs may be in flight
    restart_limit: how often a step may be restarted after a timeout
    hardware_limit: how often a step may fail for the sake of the infrastructure
    abandon_limit: how often an attempt of a step may be given up
    local_slots: how many steps may run on this host
    sleep_seconds: the seconds between two ticks of `run --wait`
    use_tmp: whether scripts lie among the temporary files
    hash_workspaces: whether workspaces have short names
    dry_run: whether scripts are written and nothing is run
    """

    submission_attempts: int = resubmission_limits.SUBMISSION_ATTEMPTS
    submission_throttle: int = 0
    restart_limit: int = resubmission_limits.RESTART_LIMIT
    hardware_limit: int = resubmission_limits.HARDWARE_LIMIT
    abandon_limit: int = resubmission_limits.ABANDON_LIMIT
    local_slots: int = 0
    sleep_seconds: int = 60
    use_tmp: bool = False
    hash_workspaces: bool = False
    dry_run: bool = False


class Param(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One parameter of a step: ``$(key)`` is `value`, ``$(key.label)`` `label`, ``$(key.name)`` `name`.

    key: the name of the parameter in tokens
    value: its value
    label: its label, which names instances
    name: its name for people
    """

    key: str
    value: str
    label: str
    name: str


class StepRecord(msgspec.Struct):
    """The state of one step. Assigned by the reducer and nowhere else.

    `number` is the step's place in the log (1, 2, 3 ... in launch order), `row` its line in ``status.csv``.
    Times are microseconds UTC or None. `unmet` counts the parents and funnel groups that are not finished. `held`: not
    to be submitted; `skipped`: finished because a person said so; `blocker`: the step because of which it ended;
    `doubted`: its output may not be on disk, though it has finished; `keep_script`: its script runs as it stands in
    its workspace, whoever has written it.
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


class Refusal(msgspec.Struct, frozen=True):
    """The scheduler takes no more jobs: what it said last, when, of which step, and how often in a row."""

    message: str
    at: Micros
    step: int
    times: int = 1


#: The seq of an event that is still to come.
NOT_YET = 2**63 - 1


class Boot(msgspec.Struct, frozen=True, omit_defaults=True):
    """One boot of a host, as a study knows it: from the event `first` to the event `last`, which was at `seen_at`.

    `machine` tells hosts apart that have one name, `booted_at` is when the host came up; both are empty if unknown.
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
        """What a boot is known by."""
        return self.host, self.boot_id

    def since(self, first: int) -> Boot:
        """Return the same boot, known since an event."""
        return msgspec.structs.replace(self, first=first)

    def until(self, last: int, seen_at: Micros) -> Boot:
        """Return the same boot, heard of until an event."""
        return msgspec.structs.replace(self, last=last, seen_at=seen_at)


class StudyRecord(msgspec.Struct):
    """The state of the study as a whole, but for its steps.

    `details` is what else a program has said of it. `unreachable` maps the adapters that did not answer last time to
    what they said. `refusal` is what the scheduler said if it took no job the last time, `queue_limit` how many it had
    of this study when it last said so (None: never), and `refused` the step for which it had no room then.
    `host` and `boot_id` are those of the last process that wrote, `unseen_boot` is the boot id before that if no tick
    has noted the reboot yet. `boots` are those of which processes wrote, `written_at` is when the last event about a
    step was recorded. From `ticked_from` on ticks are missed if none comes. `steps`, `open_steps` (those not
    done) and `states` (steps by state) are counts.
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
    steps: int = 0
    open_steps: int = 0
    states: dict[str, int] = {}
