"""`apply`: the one function that turns an event into a change of state, live and on replay alike.

Nothing else assigns state. An event that can't follow from the state before it raises `InvalidTransition`, so that a
decision on old state can't be recorded and a log that was changed can't be replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from maestro_es.core import events as e
from maestro_es.core.graph import Graph
from maestro_es.core.model import Phase, State, StepRecord, StudyStatus, SubmissionKind, is_local
from maestro_es.errors import InvalidTransition

#: Raised when `apply` or a record changes, so that a projection made by an older one is rebuilt.
#: 2: steps imported from Maestro; another adapter decides anew which steps are scheduled.
REDUCER_VERSION = 2


def apply(graph: Graph, recorded: e.Recorded) -> None:
    """Fold one event into the graph. InvalidTransition if it can't follow; the graph is then of no more use."""
    event = recorded.event
    on_step = _STEP_RULES.get(type(event))
    if on_step is None:
        _STUDY_RULES[type(event)](graph, recorded, event)
        return
    try:
        record = graph.step(recorded.step or 0)
    except KeyError:
        raise InvalidTransition(f"event {recorded.seq}: {type(event).__name__} of an unknown step") from None
    on_step(graph, record, recorded, event)
    graph.save(record)


# -- what rules share -----------------------------------------------------------------------------------------------


def _expect(record: StepRecord, recorded: e.Recorded, *phases: Phase) -> None:
    """Refuse the event unless the step is in one of the phases and the event carries its token, if any."""
    if record.phase not in phases:
        raise _refusal(record, recorded, f"which is {record.phase.name.lower()}")
    token = getattr(recorded.event, "token", "")
    if token and token != record.token:
        raise _refusal(record, recorded, f"whose token is {record.token!r}, not {token!r}")


def _refusal(record: StepRecord, recorded: e.Recorded, why: str) -> InvalidTransition:
    name = type(recorded.event).__name__
    return InvalidTransition(f"event {recorded.seq}: {name} can't follow for step {record.name!r}, {why}")


def _move(graph: Graph, record: StepRecord, state: State, phase: Phase) -> None:
    """Give a step another state and phase, and keep the study's counts true."""
    study = graph.study
    if state is not record.state:
        _count(study.states, record.state.name, -1)
        _count(study.states, state.name, 1)
        record.state = state
    study.open_steps += (phase is not Phase.DONE) - (record.phase is not Phase.DONE)
    record.phase = phase


def _count(counts: dict[str, int], key: str, change: int) -> None:
    counts[key] = counts.get(key, 0) + change
    if not counts[key]:
        del counts[key]


def _release(graph: Graph, record: StepRecord) -> None:
    """Tell the children of a finished step, and those that wait for its whole template when it was the last."""
    freed = graph.children(record.number)
    if graph.count_unfinished(record.template, -1) == 0:
        freed = freed + graph.funnel(record.template)
    for number in freed:
        child = graph.step(number)
        child.unmet -= 1
        if child.unmet == 0 and child.phase is Phase.BLOCKED:
            _move(graph, child, child.state, Phase.READY)
        graph.save(child)


# -- the study ------------------------------------------------------------------------------------------------------


def _invocation_started(graph: Graph, _recorded: e.Recorded, event: e.InvocationStarted) -> None:
    study = graph.study
    if study.host == event.host and study.boot_id != event.boot_id:
        study.unseen_boot = study.boot_id
    study.host = event.host
    study.boot_id = event.boot_id


def _reboot_detected(graph: Graph, _recorded: e.Recorded, _event: e.RebootDetected) -> None:
    graph.study.unseen_boot = ""


def _study_created(graph: Graph, recorded: e.Recorded, event: e.StudyCreated) -> None:
    study = graph.study
    if study.study_id:
        raise InvalidTransition(f"event {recorded.seq}: the study was created before")
    study.study_id = event.study_id
    study.name = event.name
    study.description = event.description
    study.root = event.root
    study.adapter = event.adapter
    study.settings = event.settings
    study.environment = event.environment


def _template_added(graph: Graph, recorded: e.Recorded, event: e.StepTemplateAdded) -> None:
    if _has_template(graph, event.name):
        raise InvalidTransition(f"event {recorded.seq}: there is a template {event.name!r} already")
    graph.add_template(event)


def _has_template(graph: Graph, name: str) -> bool:
    try:
        graph.template(name)
    except KeyError:
        return False
    return True


def _step_added(graph: Graph, recorded: e.Recorded, event: e.StepAdded) -> None:
    study = graph.study
    number = recorded.step or 0
    if not _has_template(graph, event.template):
        raise InvalidTransition(f"event {recorded.seq}: step {event.name!r} is of no template: {event.template!r}")
    if graph.funnel(event.template) and not graph.unfinished(event.template):
        raise InvalidTransition(
            f"event {recorded.seq}: all that waits for the steps of {event.template!r} was released"
        )
    if number != study.steps + 1 or graph.number_of(event.name) is not None:
        raise InvalidTransition(f"event {recorded.seq}: step {event.name!r} is not new, or its number {number} is not")
    record = StepRecord(
        number=number, name=event.name, template=event.template, params=event.params, workspace=event.workspace,
        workspaces=event.workspaces, scheduled=event.scheduled, row=event.row or number,
        restart_limit=event.restart_limit,
    )  # fmt: skip
    study.steps += 1
    study.open_steps += 1
    study.status = StudyStatus.RUNNING
    _count(study.states, record.state.name, 1)
    graph.count_unfinished(event.template, 1)
    graph.add(record)
    for template in dict.fromkeys(event.funnels):
        if template == event.template:
            raise InvalidTransition(f"event {recorded.seq}: step {event.name!r} would wait for itself")
        graph.join_funnel(template, number)
        record.unmet += graph.unfinished(template) > 0
    for parent in dict.fromkeys(event.parents):
        _connect(graph, record, recorded, parent)
    if record.unmet:
        record.phase = Phase.BLOCKED
    graph.save(record)


def _connect(graph: Graph, record: StepRecord, recorded: e.Recorded, parent: int) -> None:
    if not 1 <= parent <= graph.study.steps or parent == record.number:
        raise InvalidTransition(f"event {recorded.seq}: step {record.name!r} can't wait for step {parent}")
    graph.connect(parent, record.number)
    record.unmet += graph.step(parent).state not in (State.FINISHED, State.DRYRUN)


#: What `SettingsChanged` may change besides a field of `Settings`.
_NAMED: dict[str, Any] = {"name": str, "description": str, "adapter": dict[str, Any]}


def _settings_changed(graph: Graph, recorded: e.Recorded, event: e.SettingsChanged) -> None:
    study = graph.study
    try:
        if event.what in _NAMED:
            setattr(study, event.what, msgspec.convert(event.after, _NAMED[event.what]))
            if event.what == "adapter":
                _schedule(graph)
            return
        fields = {**msgspec.structs.asdict(study.settings), event.what: event.after}
        study.settings = msgspec.convert(fields, type(study.settings))
    except msgspec.ValidationError as error:
        raise InvalidTransition(f"event {recorded.seq}: {event.what}: {error}") from None
    if event.what == "restart_limit":
        for record in graph.steps():
            if record.restart_limit != event.after and graph.template(record.template).run.get("restart"):
                record.restart_limit = event.after
                graph.save(record)


def _schedule(graph: Graph) -> None:
    """Decide anew, for steps that were not submitted yet, whether the adapter runs them or this host."""
    local = is_local(graph.study.adapter)
    for record in graph.steps():
        run = graph.template(record.template).run
        scheduled = not local and bool(run.get("nodes") or run.get("procs"))
        if record.scheduled is not scheduled and not record.attempt:
            record.scheduled = scheduled
            graph.save(record)


def _paused(graph: Graph, _recorded: e.Recorded, _event: e.StudyPaused) -> None:
    graph.study.paused = True


def _resumed(graph: Graph, _recorded: e.Recorded, _event: e.StudyResumed) -> None:
    graph.study.paused = False


def _cancel_requested(graph: Graph, recorded: e.Recorded, event: e.CancelRequested) -> None:
    if event.steps is None:
        graph.study.cancelling = True
        return
    for number in event.steps:
        if not 1 <= number <= graph.study.steps:
            raise InvalidTransition(f"event {recorded.seq}: there is no step {number} to cancel")
        record = graph.step(number)
        record.cancelling = True
        graph.save(record)


def _completed(graph: Graph, recorded: e.Recorded, event: e.StudyCompleted) -> None:
    if graph.study.open_steps:
        raise InvalidTransition(f"event {recorded.seq}: completed with {graph.study.open_steps} steps not done")
    graph.study.status = event.status


def _reopened(graph: Graph, _recorded: e.Recorded, _event: e.StudyReopened) -> None:
    graph.study.status = StudyStatus.RUNNING
    graph.study.cancelling = False


def _relocated(graph: Graph, _recorded: e.Recorded, event: e.StudyRelocated) -> None:
    graph.study.root = event.after


def _poll_failed(graph: Graph, _recorded: e.Recorded, event: e.PollFailed) -> None:
    graph.study.unreachable[event.adapter] = event.message


def _poll_recovered(graph: Graph, _recorded: e.Recorded, event: e.PollRecovered) -> None:
    graph.study.unreachable.pop(event.adapter, None)


def _nothing(_graph: Graph, _recorded: e.Recorded, _event: e.Event) -> None:
    """Change nothing: the event is for the history."""


# -- the steps ------------------------------------------------------------------------------------------------------


def _connection_added(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.ConnectionAdded) -> None:
    _expect(record, recorded, Phase.BLOCKED, Phase.READY)
    if event.parent in graph.parents(record.number):
        raise _refusal(record, recorded, f"which waits for step {event.parent} already")
    _connect(graph, record, recorded, event.parent)
    _move(graph, record, record.state, Phase.BLOCKED if record.unmet else Phase.READY)


#: How a step may have ended under Maestro.
_MAESTROS_ENDS = (State.FINISHED, State.FAILED, State.TIMEDOUT, State.CANCELLED)


def _imported(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepImported) -> None:
    _expect(record, recorded, Phase.BLOCKED, Phase.READY)
    if record.attempt or record.restarts:
        raise _refusal(record, recorded, "which was tried before")
    record.submitted_at = event.submitted_at
    record.started_at = event.started_at
    record.restarts = event.restarts
    record.message = event.message
    if event.state in _MAESTROS_ENDS:
        record.job_id = event.job_id
        record.ended_at = event.ended_at
        _move(graph, record, event.state, Phase.DONE)
    elif event.state is not State.INITIALIZED:
        raise _refusal(record, recorded, f"as {event.state.name} is no end")
    elif event.restarts:
        record.kind = SubmissionKind.RESTART
        _move(graph, record, State.TIMEDOUT, record.phase)
    if event.state is State.FINISHED:
        _release(graph, record)


def _requested(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.SubmissionRequested) -> None:
    if record.phase is not Phase.READY or event.attempt != record.attempt + 1:
        raise _refusal(record, recorded, f"which is {record.phase.name.lower()} after attempt {record.attempt}")
    record.attempt = event.attempt
    record.token = event.token
    record.kind = event.kind
    record.requested_at = recorded.recorded_at
    record.missed_at = None
    record.job_id = record.job_host = record.job_instance = ""
    state = record.state if event.kind is SubmissionKind.RESTART else State.PENDING
    _move(graph, record, state, Phase.REQUESTED)


def _submitted(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.JobSubmitted) -> None:
    _expect(record, recorded, Phase.REQUESTED)
    record.job_id = event.job_id
    record.job_host = event.host
    record.job_instance = event.instance
    record.rejections = 0
    if record.submitted_at is None:
        record.submitted_at = record.requested_at
    _move(graph, record, record.state, Phase.SUBMITTED)


def _rejected(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.SubmissionRejected) -> None:
    _expect(record, recorded, Phase.REQUESTED)
    record.rejections += 1
    record.message = event.message
    _move(graph, record, record.state, Phase.READY)


def _abandoned(graph: Graph, record: StepRecord, recorded: e.Recorded, _event: e.AttemptAbandoned) -> None:
    _expect(record, recorded, Phase.REQUESTED, Phase.SUBMITTED)
    record.abandoned += 1
    _move(graph, record, record.state, Phase.READY)


def _withdrawn(graph: Graph, record: StepRecord, recorded: e.Recorded, _event: e.SubmissionWithdrawn) -> None:
    _expect(record, recorded, Phase.REQUESTED)
    _move(graph, record, record.state, Phase.READY)


def _started(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.JobStarted) -> None:
    _expect(record, recorded, Phase.SUBMITTED)
    if record.started_at is None:
        record.started_at = event.at
    record.job_host = event.host or record.job_host
    _move(graph, record, State.RUNNING, Phase.SUBMITTED)


def _missed(_graph: Graph, record: StepRecord, recorded: e.Recorded, _event: e.JobMissed) -> None:
    _expect(record, recorded, Phase.SUBMITTED)
    record.missed_at = recorded.recorded_at


def _found(_graph: Graph, record: StepRecord, recorded: e.Recorded, _event: e.JobFound) -> None:
    _expect(record, recorded, Phase.SUBMITTED)
    record.missed_at = None


def _finished(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepFinished) -> None:
    _expect(record, recorded, Phase.SUBMITTED)
    record.exit_code = event.exit_code
    record.message = ""
    record.ended_at = event.at
    _move(graph, record, State.FINISHED, Phase.DONE)
    _release(graph, record)


def _timed_out(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepTimedOut) -> None:
    _expect(record, recorded, Phase.SUBMITTED)
    record.ended_at = event.at
    record.message = event.final
    _move(graph, record, State.TIMEDOUT, Phase.DONE)


def _restarted(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepRestarted) -> None:
    _expect(record, recorded, Phase.DONE)
    if record.state is not State.TIMEDOUT or event.number != record.restarts + 1:
        raise _refusal(record, recorded, f"which is {record.state.name} after {record.restarts} restarts")
    record.restarts = event.number
    record.kind = SubmissionKind.RESTART
    record.ended_at = None
    _move(graph, record, State.TIMEDOUT, Phase.READY)


def _hardware_failed(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.HardwareFailed) -> None:
    _expect(record, recorded, Phase.SUBMITTED)
    record.hardware_failures = event.number
    record.message = event.reason
    if record.kind is not SubmissionKind.RESTART:
        record.kind = SubmissionKind.RESUBMIT
    _move(graph, record, State.HWFAILURE, Phase.READY)


def _failed(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepFailed) -> None:
    _expect(record, recorded, Phase.BLOCKED, Phase.READY, Phase.REQUESTED, Phase.SUBMITTED)
    record.cause = event.cause
    record.message = event.message
    record.exit_code = event.exit_code
    record.ended_at = event.at
    _move(graph, record, State.FAILED, Phase.DONE)


def _cancelled(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepCancelled) -> None:
    _expect(record, recorded, Phase.BLOCKED, Phase.READY, Phase.REQUESTED, Phase.SUBMITTED)
    record.message = event.message
    record.ended_at = event.at
    _move(graph, record, State.CANCELLED, Phase.DONE)


def _dry_run(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepDryRun) -> None:
    _expect(record, recorded, Phase.READY)
    record.ended_at = event.at
    _move(graph, record, State.DRYRUN, Phase.DONE)
    _release(graph, record)


def _reset(graph: Graph, record: StepRecord, recorded: e.Recorded, _event: e.StepReset) -> None:
    if record.phase is not Phase.DONE or record.state in (State.FINISHED, State.DRYRUN):
        raise _refusal(record, recorded, f"which is {record.state.name}")
    record.kind = SubmissionKind.RETRY if record.attempt else SubmissionKind.FIRST
    record.restarts = record.hardware_failures = record.rejections = record.abandoned = 0
    record.submitted_at = record.started_at = record.ended_at = record.exit_code = record.cause = None
    record.cancelling = False
    record.message = ""
    _move(graph, record, State.INITIALIZED, Phase.BLOCKED if record.unmet else Phase.READY)


_STUDY_RULES: dict[type[e.Event], Callable[[Graph, e.Recorded, Any], None]] = {
    e.InvocationStarted: _invocation_started,
    e.StudyCreated: _study_created,
    e.StepTemplateAdded: _template_added,
    e.StepAdded: _step_added,
    e.SettingsChanged: _settings_changed,
    e.StudyPaused: _paused,
    e.StudyResumed: _resumed,
    e.CancelRequested: _cancel_requested,
    e.StudyCompleted: _completed,
    e.StudyReopened: _reopened,
    e.StudyRelocated: _relocated,
    e.RebootDetected: _reboot_detected,
    e.PollFailed: _poll_failed,
    e.PollRecovered: _poll_recovered,
    e.ReportIgnored: _nothing,
}

_STEP_RULES: dict[type[e.Event], Callable[[Graph, StepRecord, e.Recorded, Any], None]] = {
    e.ConnectionAdded: _connection_added,
    e.StepImported: _imported,
    e.SubmissionRequested: _requested,
    e.JobSubmitted: _submitted,
    e.SubmissionRejected: _rejected,
    e.AttemptAbandoned: _abandoned,
    e.SubmissionWithdrawn: _withdrawn,
    e.JobStarted: _started,
    e.JobMissed: _missed,
    e.JobFound: _found,
    e.StepFinished: _finished,
    e.StepTimedOut: _timed_out,
    e.StepRestarted: _restarted,
    e.HardwareFailed: _hardware_failed,
    e.StepFailed: _failed,
    e.StepCancelled: _cancelled,
    e.StepDryRun: _dry_run,
    e.StepReset: _reset,
}
