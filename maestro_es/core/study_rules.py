"""The rules by which the events about the study change the state.

`maestro_es.core.step_rules` has the rules for events about one step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from maestro_es.core import events as e
from maestro_es.core.graph import Graph
from maestro_es.core.hosts import heard_of
from maestro_es.core.model import BLOCKED, Boot, Micros, StepRecord, StudyRecord, StudyStatus, is_local, is_scheduled
from maestro_es.core.transitions import connect, count
from maestro_es.errors import InvalidTransition

_RUNNING = StudyStatus.RUNNING


class Occurrence(msgspec.Struct, frozen=True):
    """Where an event is in the log, when it was recorded, and the step that it is about, if any."""

    seq: int
    at: Micros
    step: int | None


def _invocation_started(graph: Graph, occurrence: Occurrence, event: e.InvocationStarted) -> None:
    study_record = graph.study
    if not event.boot_id:
        return  # the boot id is unknown, so this proves no reboot
    if study_record.host == event.host and study_record.boot_id != event.boot_id:
        study_record.unseen_boot = study_record.boot_id
    boot = Boot(event.host, event.boot_id, event.machine, event.booted_at, first=occurrence.seq)
    study_record.boots = heard_of(study_record, boot, occurrence.at)
    study_record.host = event.host
    study_record.boot_id = event.boot_id


def _reboot_detected(graph: Graph, _occurrence: Occurrence, _event: e.RebootDetected) -> None:
    graph.study.unseen_boot = ""


def _ticks_missed(graph: Graph, occurrence: Occurrence, _event: e.TicksMissed) -> None:
    graph.study.ticked_from = occurrence.at


def _study_created(graph: Graph, occurrence: Occurrence, event: e.StudyCreated) -> None:
    study_record = graph.study
    if study_record.study_id:
        raise InvalidTransition("the study was created before")
    study_record.study_id = event.study_id
    study_record.name = event.name
    study_record.description = event.description
    study_record.root = event.root
    study_record.spec_file = event.spec_file
    study_record.adapter = event.adapter
    study_record.settings = event.settings
    study_record.ticked_from = occurrence.at


def _environment_recorded(graph: Graph, _occurrence: Occurrence, event: e.EnvironmentRecorded) -> None:
    graph.study.environment = event.environment


def _template_added(graph: Graph, _occurrence: Occurrence, event: e.StepTemplateAdded) -> None:
    if graph.has_template(event.name):
        raise InvalidTransition(f"there is a template {event.name!r} already")
    graph.add_template(event)


def _go_on(study_record: StudyRecord, at: Micros) -> None:
    """Reopen a study that had ended. No ticks were expected in the meantime."""
    if study_record.status is not _RUNNING:
        study_record.status = _RUNNING
        study_record.ticked_from = at


def new_step(number: int, event: e.StepAdded) -> StepRecord:
    """Return the record of a new step, which does not wait for other steps yet."""
    return StepRecord(
        number, event.name, event.template, event.params, event.workspace, event.workspaces, event.scheduled,
        event.row or number, event.restart_limit,
    )  # fmt: skip


def _step_added(graph: Graph, occurrence: Occurrence, event: e.StepAdded) -> None:
    study_record = graph.study
    number = occurrence.step or 0
    if not graph.has_template(event.template):
        raise InvalidTransition(f"step {event.name!r} is of no template: {event.template!r}")
    if not graph.unfinished(event.template) and graph.funnel(event.template):
        raise InvalidTransition(f"all that waits for the steps of {event.template!r} was released")
    if number != study_record.steps + 1 or graph.number_of(event.name) is not None:
        raise InvalidTransition(f"step {event.name!r} is not new, or its number {number} is not")
    step = new_step(number, event)
    study_record.steps = number
    study_record.open_steps += 1
    _go_on(study_record, occurrence.at)
    count(study_record.states, step.state._name_, 1)
    graph.count_unfinished(event.template, 1)
    for template in dict.fromkeys(event.funnels) if event.funnels else ():
        if template == event.template:
            raise InvalidTransition(f"step {event.name!r} would wait for itself")
        graph.join_funnel(template, number)
        step.unmet += graph.unfinished(template) > 0
    for parent in dict.fromkeys(event.parents) if event.parents else ():
        connect(graph, step, parent)
    if step.unmet:
        step.phase = BLOCKED
    graph.add(step)


#: The values that `SettingsChanged` may change, in addition to the fields of `Settings`.
_NAMED: dict[str, Any] = {"name": str, "description": str, "details": dict[str, Any], "adapter": dict[str, Any]}


def _settings_changed(graph: Graph, _occurrence: Occurrence, event: e.SettingsChanged) -> None:
    study_record = graph.study
    try:
        if event.what in _NAMED:
            setattr(study_record, event.what, msgspec.convert(event.after, _NAMED[event.what]))
            if event.what == "adapter":
                study_record.refusal = study_record.queue_limit = None
                _schedule(graph)
            return
        fields = {**msgspec.structs.asdict(study_record.settings), event.what: event.after}
        study_record.settings = msgspec.convert(fields, type(study_record.settings))
    except msgspec.ValidationError as error:
        raise InvalidTransition(f"{event.what}: {error}") from None
    if event.what == "restart_limit":
        for step in graph.steps():
            if step.restart_limit != event.after and graph.template(step.template).run.get("restart"):
                step.restart_limit = event.after
                graph.save(step)


def _schedule(graph: Graph) -> None:
    """Decide again whether the scheduler or this host runs the steps that have not been submitted yet."""
    local = is_local(graph.study.adapter)
    for step in graph.steps():
        run = graph.template(step.template).run
        scheduled = not local and is_scheduled(run)
        if step.scheduled is not scheduled and not step.attempt:
            step.scheduled = scheduled
            graph.save(step)


def _paused(graph: Graph, _occurrence: Occurrence, _event: e.StudyPaused) -> None:
    graph.study.paused = True


def _resumed(graph: Graph, _occurrence: Occurrence, _event: e.StudyResumed) -> None:
    graph.study.paused = False


def _cancel_requested(graph: Graph, _occurrence: Occurrence, event: e.CancelRequested) -> None:
    if event.steps is None:
        graph.study.cancelling = True
        return
    for number in event.steps:
        if not 1 <= number <= graph.study.steps:
            raise InvalidTransition(f"there is no step {number} to cancel")
        step = graph.step(number)
        step.cancelling = True
        graph.save(step)


def _completed(graph: Graph, _occurrence: Occurrence, event: e.StudyCompleted) -> None:
    if graph.study.open_steps:
        raise InvalidTransition(f"completed with {graph.study.open_steps} steps not done")
    graph.study.status = event.status
    graph.study.cascading = False  # a user may have skipped the steps that were left


def _cascade_started(graph: Graph, _occurrence: Occurrence, _event: e.CascadeStarted) -> None:
    if graph.study.cascading:
        raise InvalidTransition("a cascade started before, and has not completed")
    graph.study.cascading = True


def _cascade_completed(graph: Graph, _occurrence: Occurrence, _event: e.CascadeCompleted) -> None:
    if not graph.study.cascading:
        raise InvalidTransition("no cascade has started")
    graph.study.cascading = False


def _reopened(graph: Graph, occurrence: Occurrence, _event: e.StudyReopened) -> None:
    _go_on(graph.study, occurrence.at)
    graph.study.cancelling = False


def _relocated(graph: Graph, _occurrence: Occurrence, event: e.StudyRelocated) -> None:
    graph.study.root = event.after


def _poll_failed(graph: Graph, _occurrence: Occurrence, event: e.PollFailed) -> None:
    graph.study.unreachable[event.adapter] = event.message


def _poll_recovered(graph: Graph, _occurrence: Occurrence, event: e.PollRecovered) -> None:
    graph.study.unreachable.pop(event.adapter, None)


def _nothing(_graph: Graph, _occurrence: Occurrence, _event: e.Event) -> None:
    """Change nothing. The event is only for the history."""


#: The rule of each event about the study.
STUDY_RULES: dict[type[e.Event], Callable[[Graph, Occurrence, Any], None]] = {
    e.InvocationStarted: _invocation_started,
    e.StudyCreated: _study_created,
    e.EnvironmentRecorded: _environment_recorded,
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
    e.TicksMissed: _ticks_missed,
    e.LogRecovered: _nothing,
    e.EventsCorrected: _nothing,
    e.PollFailed: _poll_failed,
    e.PollRecovered: _poll_recovered,
    e.CascadeStarted: _cascade_started,
    e.CascadeCompleted: _cascade_completed,
    e.NotificationRequested: _nothing,
    e.NotificationEnded: _nothing,
    e.ReportIgnored: _nothing,
}
