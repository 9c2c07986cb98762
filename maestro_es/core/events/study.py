"""Events of a study as a whole: its creation and its steps, its environment and settings, requests, hosts and polls.

`maestro_es.core.study_rules` decides how each event changes the state. `ConnectionAdded` and `ConnectionRemoved` are
about a step, so their rules are in `maestro_es.core.step_rules`.
"""

from __future__ import annotations

from typing import Any, Union

import msgspec

from maestro_es.core.environment import RecordedEnvironment
from maestro_es.core.events.base import Event
from maestro_es.core.model import Micros, Param, Settings, StudyStatus


class InvocationStarted(Event, frozen=True):
    """A process began to write to the log. It writes this event together with its first other event.

    `boot_id` changes with every boot of the host. `machine` distinguishes hosts with the same name. `booted_at` is the
    time of the boot. Each of them is empty or 0 if it is unknown.

    actor: the name of the user
    host: the name of the host on which the process ran
    boot_id: an id that changes with each boot of the host; empty if unknown
    pid: the process id
    command: the command line
    version: the version of maestro-es
    machine: an id that distinguishes hosts with the same name; empty if unknown
    booted_at: when the host booted, in microseconds UTC by its own clock; 0 if unknown
    driver: what started the process: cron, scrontab, systemd, runner (because its local step has ended), run --wait,
        run --in-allocation, drive, person, or program (one that uses the Python interface); empty if that is not known

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
    """The study was created in the directory `root`. All other paths inside the study are relative to it.

    `spec` is the text of the study file, and `spec_file` the name of its copy in the study directory. `scheduler` has
    the facts that the scheduler reported about itself.

    study_id: a unique id of 32 hexadecimal digits; tokens begin with the first eight
    root: the study directory, an absolute path
    name: the name of the study
    description: what the study is for
    spec: the text of the study file; empty if there was none
    spec_digest: SHA-256 of that text, in hex
    spec_file: the name of the copy of the study file in the study directory
    adapter: the batch block of the study file, which chooses the scheduler
    settings: the settings that were chosen by options
    scheduler: the facts that the scheduler reported about itself, by its own names

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
    """From now on steps start in this environment.

    Its values are in a private file, which was written before this event.

    environment: names, fingerprints and limits; no values

    Result: nothing
    """

    environment: RecordedEnvironment
    reason: str = ""


class StepTemplateAdded(Event, frozen=True):
    """A step as the study file declares it. Variables are replaced with their values, but parameters are not.

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

    `parents` are numbers of steps. `funnels` are names of templates, and all instances of these templates are parents.
    For each ``$(X.workspace)`` in the template, `workspaces` maps ``X`` to a directory. Its path has the form of
    `workspace`. `row` is the line in ``status.csv`` (0: the same as the number).

    name: the name of the instance, unique in the study
    template: the name of its template
    workspace: its directory, relative to the study directory, or absolute if it is outside
    params: its parameters
    parents: the numbers of the steps for which it waits
    funnels: the names of the templates for whose instances it waits
    workspaces: the directory of each step whose workspace the script names, relative to the study directory
    scheduled: whether the scheduler of the study runs it; otherwise it runs on the host of the tick
    restart_limit: how many times it may be restarted after a timeout; 0 means no limit
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
    """The step waits for another parent. `ExecutionGraph.add_connection` records this.

    parent: the number of the parent

    Result: adds a parent
    """

    parent: int


class ConnectionRemoved(Event, frozen=True):
    """The step no longer waits for a parent. `ExecutionGraph.remove_edge` records this.

    parent: the number of the former parent

    Result: removes a parent
    """

    parent: int


class SettingsChanged(Event, frozen=True):
    """A setting of the study has changed, or its adapter, name, description or details.

    what: the name of a field of the settings, or adapter, name, description or details
    before: the old value
    after: the new value

    Result: nothing
    """

    what: str
    before: Any
    after: Any
    reason: str = ""


class StudyPaused(Event, frozen=True):
    """No new steps are submitted from now on. Jobs in flight keep running.

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
    """Every step is done. `status` is a `StudyStatus`, and its value is the exit code of ``run --wait``.

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

    before: the old study directory, an absolute path
    after: the new study directory, an absolute path

    Result: nothing
    """

    before: str
    after: str


class LogRecovered(Event, frozen=True):
    """The events after the one with the digest `head` are lost. The next events were recovered from other sources.

    head: the digest of the last event that was not lost, in hex

    Result: nothing
    """

    head: str
    reason: str = ""


class Correction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A corrected event: `seq` is its number, and `data` is its old payload.

    seq: the number of the event
    data: its payload as it was recorded, as text
    """

    seq: int
    data: str


class EventsCorrected(Event, frozen=True):
    """Events that could not be decoded were corrected. All digests from the first of these events on were recomputed.

    `head` is the old digest of the last event. It can be computed again from the old payloads in `corrections`.

    head: the digest of the last event before the correction, in hex
    corrections: the events that were corrected, with their old payloads

    Result: nothing
    """

    head: str
    corrections: tuple[Correction, ...]
    reason: str = ""


#: The events of this module.
StudyEvent = Union[
    InvocationStarted, StudyCreated, EnvironmentRecorded, StepTemplateAdded, StepAdded, ConnectionAdded,
    ConnectionRemoved, SettingsChanged, StudyPaused, StudyResumed, CancelRequested, StudyCompleted, StudyReopened,
    StudyRelocated, LogRecovered, EventsCorrected,
]  # fmt: skip
