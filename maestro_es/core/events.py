"""The events: facts of one study, past tense, immutable, versioned.

One frozen type each; its docstring is its manual entry. The name of the class is the ``type`` column of the log,
`VERSIONS` says which version is written, and ``schema/events/<type>.v<N>.json`` freezes the payload. A released
payload never changes: a new need is a new version with an upcast.
"""

from __future__ import annotations

from typing import Any, Union, get_args

import msgspec

from maestro_es.core.environment import RecordedEnvironment
from maestro_es.core.model import Cause, Micros, Param, Settings, State, StudyStatus, SubmissionKind


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all events have in common: nothing but being one.

    These fields mean the same in all events that have them, unless an event says otherwise:

    token: the attempt that this is about, as SubmissionRequested named it; empty if it is about no attempt
    at: when this happened, in microseconds since 1970-01-01 UTC
    evidence: the sources that this was concluded from, and what each said
    reason: the words of the person who asked for this; empty if there were none
    message: a sentence for people
    """


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one source said: `source` is one of report, claim, queue, accounting, process, poller, user, imported.

    source: one of report, claim, queue, accounting, process, poller, user, imported
    detail: what that source said, in its own words
    """

    source: str
    detail: str


# -- the study ------------------------------------------------------------------------------------------------------


class InvocationStarted(Event, frozen=True):
    """A process began to write. Comes before the first event that it writes, and never alone.

    `boot_id` changes with every boot of the host, and is empty if the host did not tell it. `machine` tells hosts of
    one name apart, and `booted_at` is when the host came up, by its clock; each is empty if it is not known.

    actor: the name of the user
    host: the name of the host that the process ran on
    boot_id: an id that is another one after each boot of the host; empty if the host did not give one
    pid: the process id
    command: the command line
    version: the version of maestro-es
    machine: an id that tells hosts of one name apart; empty if there is none
    booted_at: when the host came up, in microseconds UTC by its own clock; 0 if that is not known
    driver: what has started the process: cron, runner (of a local step that has ended), run --wait, person, or program
        (that uses the Python interface); empty if that is not known

    Result: nothing
    """

    actor: str
    host: str
    boot_id: str
    pid: int
    command: str
    version: str
    machine: str = ""
    booted_at: Micros = 0
    driver: str = ""


class StudyCreated(Event, frozen=True):
    """The study exists. `root` is its directory as an absolute path: the one path that is not relative to it.

    `spec` is the text of the study file, and `spec_file` the name of the copy of it in the study directory.
    `scheduler` is what the scheduler said of itself then, by its own names; empty if it said nothing.

    study_id: an id of 32 hexadecimal digits, unique for ever; tokens begin with the first eight
    root: the study directory, an absolute path
    name: the name of the study
    description: what the study is for
    spec: the text of the study file; empty if there was none
    spec_digest: SHA-256 of that text, in hex
    spec_file: the name of the copy of the study file in the study directory
    adapter: the batch block of the study file, which chooses the scheduler
    settings: what was chosen by flags
    scheduler: what the scheduler said of itself, by its own names

    Result: status RUNNING, not paused
    """

    study_id: str
    root: str
    name: str = ""
    description: str = ""
    spec: str = ""
    spec_digest: str = ""
    spec_file: str = ""
    adapter: dict[str, Any] = {}
    settings: Settings = Settings()
    scheduler: dict[str, str] = {}


class EnvironmentRecorded(Event, frozen=True):
    """From here on steps start in this environment. Its values are in a private file, written before this event.

    environment: names, fingerprints and limits; no values

    Result: nothing
    """

    environment: RecordedEnvironment
    reason: str = ""


class StepTemplateAdded(Event, frozen=True):
    """A step as the study file declares it, variables resolved and parameters not.

    name: the name of the step in the study file
    description: what the step is for
    run: the keys under `run` in the study file, such as cmd, restart, nodes and walltime

    Result: nothing
    """

    name: str
    description: str
    run: dict[str, Any]


class StepAdded(Event, frozen=True):
    """One instance of a template. The log's `step` column carries its number: 1, 2, 3 ... in launch order.

    `parents` are numbers of steps; `funnels` are names of templates all of whose instances are parents.
    `workspaces` maps each ``X`` of a ``$(X.workspace)`` in the template to a directory, relative like `workspace`.
    `row` is its line in ``status.csv`` (0: the same as its number); `restart_limit` 0 means no limit.

    name: the name of the instance, unique in the study
    template: the name of its template
    workspace: its directory, relative to the study directory
    params: its parameters
    parents: the numbers of the steps that it waits for
    funnels: the names of the templates all of whose instances it waits for
    workspaces: the directory of each step whose workspace the script names, relative to the study directory
    scheduled: whether the scheduler of the study runs it; otherwise it runs on the host of the tick
    restart_limit: how often it may be restarted after a timeout; 0 means without limit
    row: its line in status.csv; 0 means its number

    Result: adds a step, state INITIALIZED, phase WAITING, status RUNNING
    """

    name: str
    template: str
    workspace: str
    params: tuple[Param, ...] = ()
    parents: tuple[int, ...] = ()
    funnels: tuple[str, ...] = ()
    workspaces: dict[str, str] = {}
    scheduled: bool = False
    restart_limit: int = 0
    row: int = 0


class ConnectionAdded(Event, frozen=True):
    """The step waits for one parent more: what `ExecutionGraph.add_connection` writes.

    parent: the number of the step that it waits for

    Result: adds a parent
    """

    parent: int


class ConnectionRemoved(Event, frozen=True):
    """The step waits for one parent fewer: what `ExecutionGraph.remove_edge` writes.

    parent: the number of the step that it waits for no more

    Result: removes a parent
    """

    parent: int


class SettingsChanged(Event, frozen=True):
    """A setting, the adapter, the name, the description or the details of the study got another value.

    what: the name of a field of the settings, or adapter, name, description or details
    before: the value until then
    after: the value from then on

    Result: nothing
    """

    what: str
    before: Any
    after: Any
    reason: str = ""


class StudyPaused(Event, frozen=True):
    """Nothing new is submitted from here on; what is in flight goes on.

    Result: paused
    """

    reason: str = ""


class StudyResumed(Event, frozen=True):
    """Steps are submitted again.

    Result: not paused
    """

    reason: str = ""


class CancelRequested(Event, frozen=True):
    """A person wants these steps to end (None: all). Jobs are cancelled by the ticks that follow.

    steps: the numbers of the steps; null means the whole study

    Result: nothing
    """

    steps: tuple[int, ...] | None = None
    reason: str = ""


class StudyCompleted(Event, frozen=True):
    """Every step is done. `status` is the value of `StudyStatus`, so the exit code of ``run --wait``.

    status: how the study ended

    Result: status as given
    """

    status: StudyStatus


class StudyReopened(Event, frozen=True):
    """A completed study goes on, because a person asked for it.

    Result: status RUNNING
    """

    reason: str = ""


class StudyRelocated(Event, frozen=True):
    """The study directory was found at another place, and the old place holds no log of it any more.

    before: the study directory until then, an absolute path
    after: the study directory from then on

    Result: nothing
    """

    before: str
    after: str


class RebootDetected(Event, frozen=True):
    """The host came up again since the study was last written to. Boot ids tell, not clocks.

    host: the name of the host
    before: its boot id until then
    after: its boot id from then on

    Result: nothing
    """

    host: str
    before: str
    after: str


class TicksMissed(Event, frozen=True):
    """No tick came for longer than three of their periods: `seconds` from the last one, `since`, to this one.

    since: when the last tick was, in microseconds UTC
    seconds: how long no tick came

    Result: nothing
    """

    since: Micros
    seconds: int


class LogRecovered(Event, frozen=True):
    """What was recorded after the event with the digest `head` is lost; what follows is what the world still knew.

    head: the digest, in hex, of the last event that is as it was

    Result: nothing
    """

    head: str
    reason: str = ""


class Correction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event whose payload was corrected: its `seq`, and `data`, the payload as it was recorded.

    seq: the number of the event
    data: its payload as it was recorded, as text
    """

    seq: int
    data: str


class EventsCorrected(Event, frozen=True):
    """Payloads that no reader could decode were corrected, and the rows from the first of them on sealed again.

    `head` is the digest of the last event before that: with the payloads as they were the digests lead to it.

    head: the digest, in hex, that the last event had before the correction
    corrections: the events that were corrected, and their payloads before that

    Result: nothing
    """

    head: str
    corrections: tuple[Correction, ...]
    reason: str = ""


class PollFailed(Event, frozen=True):
    """A scheduler did not answer. Written when that begins, not once a tick; nothing is concluded from it.

    adapter: the name of the scheduler
    message: what it said instead of an answer

    Result: nothing
    """

    adapter: str
    message: str


class PollRecovered(Event, frozen=True):
    """The scheduler answers again.

    adapter: the name of the scheduler

    Result: nothing
    """

    adapter: str


# -- the steps ------------------------------------------------------------------------------------------------------


class StepImported(Event, frozen=True):
    """Maestro had to do with the step before this log began; times and `restarts` are those of its status table.

    `state` says how the step ended: FINISHED, FAILED, TIMEDOUT or CANCELLED. INITIALIZED: it is left to run, with its
    restart script if it was restarted before; an adopted job is a submission of its own that follows.

    state: how the step ended, or INITIALIZED
    job_id: the id of its last job
    submitted_at: when it was submitted, in microseconds UTC; null if that is not known
    started_at: when it started, in microseconds UTC; null if that is not known
    ended_at: when it ended, in microseconds UTC; null if that is not known
    restarts: how often Maestro had restarted it

    Result if state is FINISHED, FAILED, TIMEDOUT or CANCELLED: state as given, phase DONE
    Result if restarts is at least 1: state TIMEDOUT
    Result: nothing
    """

    state: State
    job_id: str = ""
    submitted_at: Micros | None = None
    started_at: Micros | None = None
    ended_at: Micros | None = None
    restarts: int = 0
    message: str = ""
    evidence: tuple[Evidence, ...] = ()


class StepRecovered(Event, frozen=True):
    """What became of the step while events were recorded that are lost.

    `state` says how it ended: FINISHED, FAILED, TIMEDOUT or CANCELLED. INITIALIZED: it is left to run, with its
    restart script if it was restarted before; a job that was found again is a submission of its own that follows.
    `attempt` is the last one that is known of, `restarts` how often it was restarted.

    state: how the step ended, or INITIALIZED
    attempt: the number of the last attempt that is known
    job_id: the id of its last job
    started_at: when it started, in microseconds UTC; null if that is not known
    ended_at: when it ended, in microseconds UTC; null if that is not known
    restarts: how often it was restarted

    Result if state is FINISHED, FAILED, TIMEDOUT or CANCELLED: state as given, phase DONE
    Result if restarts is at least 1: state TIMEDOUT, phase WAITING
    Result: state INITIALIZED, phase WAITING
    """

    state: State
    attempt: int
    job_id: str = ""
    started_at: Micros | None = None
    ended_at: Micros | None = None
    restarts: int = 0
    message: str = ""
    evidence: tuple[Evidence, ...] = ()


class SubmissionRequested(Event, frozen=True):
    """An attempt is about to be submitted. Committed before the scheduler hears of it.

    attempt: the number of the attempt: 1, 2, 3 ...
    token: a name for the attempt, unique for ever
    kind: why the attempt is made

    Result if the step is INITIALIZED: state PENDING, phase REQUESTED
    Result if kind is restart: phase REQUESTED
    Result: state PENDING, phase REQUESTED
    """

    attempt: int
    token: str
    kind: SubmissionKind


class JobSubmitted(Event, frozen=True):
    """The scheduler has the job. `adopted`: found again by its token, not answered to our own call.

    `host` and `instance` tell a local process from a later one with its number: the host and its boot id.

    job_id: the id that the scheduler gave the job; of a step on this host the process id of its runner
    adopted: whether the job was found by its token, because the call that submitted it got no answer
    host: the host that the job runs on, if it is known
    instance: the boot id of that host, which tells a process from a later one with the same id
    script_digest: SHA-256 of the script, in hex; empty if it is not known
    other_digest: that of the step's other script, if it is as we have written it; empty if there is none
    edited: whether a person has edited the script, and it ran as it stood
    left_out: options with which the scheduler had refused the job; the script shows none of them

    Result: phase SUBMITTED
    """

    token: str
    job_id: str
    adopted: bool = False
    host: str = ""
    instance: str = ""
    script_digest: str = ""
    other_digest: str = ""
    edited: bool = False
    evidence: tuple[Evidence, ...] = ()
    left_out: tuple[str, ...] = ()


class ScriptSetAside(Event, frozen=True):
    """A script in a workspace was not as maestro-es had written it, and was kept as another file.

    script: the path of the script, relative to the study
    kept_as: the path of what was kept, likewise
    digest: SHA-256 of what was kept, in hex

    Result: nothing
    """

    script: str
    kept_as: str
    digest: str


class SubmissionRejected(Event, frozen=True):
    """The scheduler refused in a way that proves that nothing was queued.

    message: what the scheduler said
    exit_code: the exit code of its command; null if there is none

    Result if the step is PENDING: state INITIALIZED, phase WAITING
    Result: phase WAITING
    """

    token: str
    message: str
    exit_code: int | None = None


class SubmissionUncertain(Event, frozen=True):
    """It is unknown whether the scheduler has the job: what it, or our call of it, said instead of an answer.

    Result: nothing
    """

    token: str
    message: str


class AttemptAbandoned(Event, frozen=True):
    """The attempt can never start any more: the poller holds its claim.

    Result if the step is PENDING or RUNNING: state INITIALIZED, phase WAITING
    Result: phase WAITING
    """

    token: str
    evidence: tuple[Evidence, ...]


class SubmissionWithdrawn(Event, frozen=True):
    """The poller took its own request back, so the attempt can never start: the poller holds its claim.

    `message` is what the scheduler said that takes no more jobs just now; empty if it was not called.

    Result if the step is PENDING: state INITIALIZED, phase WAITING
    Result: phase WAITING
    """

    token: str
    message: str = ""


class JobDelayed(Event, frozen=True):
    """The scheduler says what holds the waiting job up. Not written of one that only waits for its turn.

    reason: what the scheduler says

    Result: nothing
    """

    token: str
    reason: str


class JobStateUnknown(Event, frozen=True):
    """The scheduler gives the job a state that this version does not know. The job is watched, and nothing concluded.

    raw_state: the state, in the words of the scheduler

    Result: nothing
    """

    token: str
    raw_state: str


class JobStarted(Event, frozen=True):
    """The job runs.

    host: the host that it runs on, if it is known

    Result: state RUNNING, phase SUBMITTED
    """

    token: str
    at: Micros
    host: str = ""
    evidence: tuple[Evidence, ...] = ()


class JobNotFound(Event, frozen=True):
    """The job is no longer known, and no report has come. Ticks look for it until the adapter's grace is over.

    Result: nothing
    """

    token: str
    evidence: tuple[Evidence, ...] = ()


class JobReappeared(Event, frozen=True):
    """The scheduler knows the job again.

    Result: nothing
    """

    token: str


class StepFinished(Event, frozen=True):
    """The step ended with exit code 0.

    exit_code: the exit code of the script
    noticed: whether `at` is only when a tick noticed the end, or when the host booted after it; no report says more

    Result: state FINISHED, phase DONE
    """

    token: str
    at: Micros
    exit_code: int = 0
    evidence: tuple[Evidence, ...] = ()
    noticed: bool = False


class StepTimedOut(Event, frozen=True):
    """The walltime was over. `final` tells why there is no restart; empty when one follows.

    final: why it is not restarted; empty if StepRestarted follows
    noticed: whether `at` is only when a tick noticed the end, or when the host booted after it; no report says more

    Result: state TIMEDOUT, phase DONE
    """

    token: str
    at: Micros
    final: str = ""
    evidence: tuple[Evidence, ...] = ()
    noticed: bool = False


class StepRestarted(Event, frozen=True):
    """A timed-out step goes on with its restart script: the `number`-th of `limit` (0: no limit).

    number: how often it was restarted, this time included
    limit: how often it may be; 0 means without limit

    Result: state TIMEDOUT, phase WAITING
    """

    number: int
    limit: int


class HardwareFailed(Event, frozen=True):
    """The job ended by no fault of the step: the `number`-th of `limit` such failures that are made good.

    number: how often this happened to the step, this time included
    limit: how often it may, before the step fails; 0 means without limit
    reason: what the scheduler or the host said
    noticed: whether `at` is only when a tick noticed the end, or when the host booted after it; no report says more

    Result: state HWFAILURE, phase WAITING
    """

    token: str
    at: Micros
    number: int
    limit: int
    reason: str
    evidence: tuple[Evidence, ...] = ()
    noticed: bool = False


class StepFailed(Event, frozen=True):
    """The step will not finish by itself. `blocker` is the number of the step that an upstream failure began with.

    cause: what kind of failure it was
    exit_code: the exit code of the script; null if there is none
    blocker: the number of the step whose end made this one fail; null if none did
    noticed: whether `at` is only when a tick noticed the end, or when the host booted after it; no report says more

    Result: state FAILED, phase DONE
    """

    at: Micros
    cause: Cause
    message: str
    token: str = ""
    exit_code: int | None = None
    blocker: int | None = None
    evidence: tuple[Evidence, ...] = ()
    noticed: bool = False


class StepCancelled(Event, frozen=True):
    """The step was cancelled, before it ran or while it did. `blocker`: the cancelled step that it waited for.

    blocker: the number of the cancelled step that this one waited for; null if it was cancelled itself
    noticed: whether `at` is only when a tick noticed the end, or when the host booted after it; no report says more

    Result: state CANCELLED, phase DONE
    """

    at: Micros
    message: str
    token: str = ""
    blocker: int | None = None
    evidence: tuple[Evidence, ...] = ()
    noticed: bool = False


class OutputDoubted(Event, frozen=True):
    """The finished local step ended so shortly before its host went down that its output may not be on disk.

    host: the name of the host
    alive_at: when the host was known to run for the last time before it went down, in microseconds UTC
    booted_at: when the host came up again, in microseconds UTC; null if that is not known

    Result: nothing
    """

    host: str
    alive_at: Micros
    booted_at: Micros | None = None


class StepDryRun(Event, frozen=True):
    """The step's workspace and scripts were written, and nothing was run.

    Result: state DRYRUN, phase DONE
    """

    at: Micros


class StepReset(Event, frozen=True):
    """The step waits to be submitted again, its counters at zero. What finished after it was reset before it.

    One that had started goes on with its restart script, if it has one and is not to begin `from_scratch`.

    from_scratch: whether it begins again with its main script although it could go on from a checkpoint
    keep_script: whether its script runs as it stands in the workspace, until the step is reset again

    Result: state INITIALIZED, phase WAITING
    """

    reason: str = ""
    from_scratch: bool = False
    keep_script: bool = False


class StepSkipped(Event, frozen=True):
    """A person, `by`, takes the step as finished, whatever became of it; what waits for it may run.

    by: the name of the person

    Result: state FINISHED, phase DONE
    """

    by: str
    reason: str = ""


class StepHeld(Event, frozen=True):
    """The step is not submitted, nor submitted again, until a person releases it; a job in flight goes on.

    Result: nothing
    """

    reason: str = ""


class StepReleased(Event, frozen=True):
    """A held step may be submitted again.

    Result: nothing
    """

    reason: str = ""


class ReportIgnored(Event, frozen=True):
    """A report came that carries another token than the step's current one: recorded, not believed.

    token: the attempt that the report is about
    report: the name of the report

    Result: nothing
    """

    token: str
    report: str


AnyEvent = Union[
    InvocationStarted, StudyCreated, EnvironmentRecorded, StepTemplateAdded, StepAdded, ConnectionAdded,
    ConnectionRemoved, SettingsChanged, StudyPaused, StudyResumed, CancelRequested, StudyCompleted, StudyReopened,
    StudyRelocated, RebootDetected, TicksMissed, LogRecovered, EventsCorrected, PollFailed, PollRecovered,
    StepImported, StepRecovered, SubmissionRequested, JobSubmitted, ScriptSetAside, SubmissionRejected,
    SubmissionUncertain, AttemptAbandoned, SubmissionWithdrawn, JobDelayed, JobStateUnknown, JobStarted, JobNotFound,
    JobReappeared, StepFinished, StepTimedOut, StepRestarted, HardwareFailed, StepFailed, StepCancelled,
    OutputDoubted, StepDryRun, StepReset, StepSkipped, StepHeld, StepReleased, ReportIgnored,
]  # fmt: skip

#: An event that is to be recorded, and the number of the step that it is about; None: the study.
NewEvent = tuple[int | None, AnyEvent]

#: Every event type by its name in the log.
EVENT_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(AnyEvent)}

#: The version of each payload that is written. Older ones stay readable through an upcast.
VERSIONS: dict[str, int] = dict.fromkeys(EVENT_TYPES, 1)


class Recorded(msgspec.Struct, frozen=True):
    """An event with its place in the log: `step` is the number of the step it is about, or None."""

    seq: int
    recorded_at: Micros
    invocation: int
    step: int | None
    event: AnyEvent
