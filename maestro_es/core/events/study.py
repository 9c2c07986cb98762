"""Events of a study as a whole: its creation and its steps, its environment and settings, requests, hosts and polls.

Their effect on the state is decided in `maestro_es.core.study_rules`; that of `ConnectionAdded`, which is about a
step, in `maestro_es.core.step_rules`.
"""

from __future__ import annotations

from typing import Any, Union

import msgspec

from maestro_es.core.environment import RecordedEnvironment
from maestro_es.core.events.base import Event
from maestro_es.core.model import Micros, Param, Settings, StudyStatus


class InvocationStarted(Event, frozen=True):
    """A process began to write. This comes before the first event that it writes, and is never its only event.

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
    """The study was created. `root` is its directory, and the only absolute path; all other paths are relative to it.

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
    adapter: dict[str, Any] = msgspec.field(default_factory=dict)
    settings: Settings = Settings()
    scheduler: dict[str, str] = msgspec.field(default_factory=dict)


class EnvironmentRecorded(Event, frozen=True):
    """From here on steps start in this environment. Its values are in a private file, written before this event.

    environment: names, fingerprints and limits; no values

    Result: nothing
    """

    environment: RecordedEnvironment
    reason: str = ""


class StepTemplateAdded(Event, frozen=True):
    """A step as the study file declares it, with variables resolved but without parameter values.

    name: the name of the step in the study file
    description: what the step is for
    run: the keys under `run` in the study file, such as cmd, restart, nodes and walltime

    Result: nothing
    """

    name: str
    description: str
    run: dict[str, Any]


class StepAdded(Event, frozen=True):
    """One instance of a template. The column `step` of the log has its number: 1, 2, 3 ... in launch order.

    `parents` are numbers of steps; `funnels` are names of templates all of whose instances are parents.
    `workspaces` maps each ``X`` of a ``$(X.workspace)`` in the template to a directory, relative like `workspace`.
    `row` is its line in ``status.csv`` (0: the same as its number); `restart_limit` 0 means no limit.

    name: the name of the instance, unique in the study
    template: the name of its template
    workspace: its directory, relative to the study directory, or absolute if it lies elsewhere
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
    workspaces: dict[str, str] = msgspec.field(default_factory=dict)
    scheduled: bool = False
    restart_limit: int = 0
    row: int = 0


class ConnectionAdded(Event, frozen=True):
    """The step waits for another parent; `ExecutionGraph.add_connection` writes this.

    parent: the number of the step that it waits for

    Result: adds a parent
    """

    parent: int


class ConnectionRemoved(Event, frozen=True):
    """The step no longer waits for a parent; `ExecutionGraph.remove_edge` writes this.

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
    """No new steps are submitted from here on. Jobs in flight keep running.

    Result: paused
    """

    reason: str = ""


class StudyResumed(Event, frozen=True):
    """Steps are submitted again.

    Result: not paused
    """

    reason: str = ""


class CancelRequested(Event, frozen=True):
    """A user has cancelled these steps (None: all). The following ticks cancel their jobs.

    steps: the numbers of the steps; null means the whole study

    Result: nothing
    """

    steps: tuple[int, ...] | None = None
    reason: str = ""


class StudyCompleted(Event, frozen=True):
    """Every step is done. `status` is the value of `StudyStatus`, which is also the exit code of ``run --wait``.

    status: how the study ended

    Result: status as given
    """

    status: StudyStatus


class StudyReopened(Event, frozen=True):
    """A completed study continues, because a user requested this.

    Result: status RUNNING
    """

    reason: str = ""


class StudyRelocated(Event, frozen=True):
    """The study directory has moved; its old path no longer contains its log.

    before: the study directory until then, an absolute path
    after: the study directory from then on

    Result: nothing
    """

    before: str
    after: str


class RebootDetected(Event, frozen=True):
    """The host has booted since the study was last written. Boot ids show this, not clocks.

    host: the name of the host
    before: its boot id until then
    after: its boot id from then on

    Result: nothing
    """

    host: str
    before: str
    after: str


class TicksMissed(Event, frozen=True):
    """No tick ran for more than three periods: for `seconds`, from the last tick at `since` to this one.

    since: when the last tick was, in microseconds UTC
    seconds: how long no tick came

    Result: nothing
    """

    since: Micros
    seconds: int


class LogRecovered(Event, frozen=True):
    """The events after the one with the digest `head` are lost. The next events were recovered from other evidence.

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
    """Payloads that could not be decoded were corrected, and the digests of the rows from the first one on recomputed.

    `head` is the digest of the last event before that: with the payloads as they were the digests lead to it.

    head: the digest, in hex, that the last event had before the correction
    corrections: the events that were corrected, and their payloads before that

    Result: nothing
    """

    head: str
    corrections: tuple[Correction, ...]
    reason: str = ""


class PollFailed(Event, frozen=True):
    """A scheduler did not answer. This is recorded when it begins, not at every tick. Nothing is concluded from it.

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


class CascadeStarted(Event, frozen=True):
    """So many steps will not run that one transaction does not end them all. The next ticks end the others.

    Result: nothing
    """


class CascadeCompleted(Event, frozen=True):
    """All steps that will not run have ended.

    Result: nothing
    """


#: The events of this module.
StudyEvent = Union[
    InvocationStarted, StudyCreated, EnvironmentRecorded, StepTemplateAdded, StepAdded, ConnectionAdded,
    ConnectionRemoved, SettingsChanged, StudyPaused, StudyResumed, CancelRequested, StudyCompleted, StudyReopened,
    StudyRelocated, RebootDetected, TicksMissed, LogRecovered, EventsCorrected, PollFailed, PollRecovered,
    CascadeStarted, CascadeCompleted,
]  # fmt: skip
