"""Rebuilds a lost log from an older export, and from later claims, reports, jobs and ``status.csv``.

The claims in the workspaces show which attempts have started. The reports in the inbox show how attempts ended. The
schedulers list their jobs, and ``status.csv`` shows what the last tick has recorded.

`plan_recovery` reads and decides, and changes nothing. `carry_out` writes. `maestro_es.creation.recovery_scan`
collects the evidence, and `maestro_es.creation.recovery_rules` decides about each step.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import structs

from maestro_es.adapters import process
from maestro_es.core.events import JobSubmitted, LogRecovered, NewEvent, StepRecovered, StudyReopened
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import RELEASED, Phase, State, StepRecord, StudyStatus
from maestro_es.core.rerun import retry
from maestro_es.core.unit_of_work import UnitOfWork
from maestro_es.creation.create import make_directory, write_log
from maestro_es.creation.exclusive_creation import creating
from maestro_es.creation.import_log import fill
from maestro_es.creation.recovery_rules import Recovery, Traces, held, newer, recover_step
from maestro_es.creation.recovery_scan import RecoveryFindings, scan
from maestro_es.errors import DamagedLog, RequestRefused, StudyCopied, StudyError
from maestro_es.poller.performers import show_status
from maestro_es.store.event_log import Head
from maestro_es.store.log_export import ExportReader
from maestro_es.store.study_log import StudyLog
from maestro_es.store.verification import Fold
from maestro_es.study import claims
from maestro_es.study.invocation import Runtime, study_id_at
from maestro_es.study.layout import StudyDir
from maestro_es.study.locks import hold_tick_lock
from maestro_es.study.registry import registering
from maestro_es.study.session import Session


@dataclass
class RecoveryPlan:
    """The plan for a lost log: the head of the export, the decision about each step, and the events to append.

    `warnings` are lines that the user must read. `spare` lists attempts that must not start any more, with their
    workspaces.
    """

    study_id: str
    head: str
    events: int
    recoveries: list[Recovery] = field(default_factory=list)
    new_events: list[NewEvent] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    spare: list[tuple[Path, str]] = field(default_factory=list)


def recover(export: ExportReader, root: Path, runtime: Runtime, reason: str) -> RecoveryPlan:
    """Rebuild the log of a study directory. The next tick continues the study."""
    check_lost(root)
    with creating(root):
        check_lost(root)
        study_dir = make_directory(root)
        with hold_tick_lock(study_dir) as alone:
            if not alone:
                raise RequestRefused(
                    f"{study_dir.root}: another process is running a tick of this study; wait until it ends"
                )
            plan = plan_recovery(export, study_dir.root, runtime)
            with registering(plan.study_id, study_dir.root):
                carry_out(plan, export, study_dir, runtime, reason)
    with Session(study_dir.root, runtime) as opened:
        show_status(opened)
    return plan


def check_lost(root: Path) -> None:
    """Refuse a directory that has a log, or whose log was deleted but is still open in a process."""
    study_dir = StudyDir(root)
    if os.path.lexists(study_dir.log):
        raise RequestRefused(
            f"{study_dir.root}: has an event log; if 'maestro-es verify' says that it is damaged, move it away first"
        )
    if not study_dir.root.is_dir():
        raise StudyError(f"{study_dir.root}: there is no such directory; 'maestro-es import-log' creates one")
    for running_process in process.of_this_user():
        if process.has_lost(running_process.pid, str(study_dir.log)):
            description = f"process {running_process.pid} ({' '.join(running_process.arguments)})"
            raise RequestRefused(f"{study_dir.root}: {description} still uses the lost log; end it first")


def plan_recovery(export: ExportReader, root: Path, runtime: Runtime) -> RecoveryPlan:
    """Decide what happens to each step, and change nothing. A MaestroError says why this is impossible now."""
    study_dir = StudyDir(root)
    work, head = _read(export, runtime)
    graph = work.graph
    if study_dir.root != Path(graph.study.root) and study_id_at(Path(graph.study.root)) == graph.study.study_id:
        raise StudyCopied(f"{study_dir.root}: a copy of {graph.study.root}, whose log is still there")
    findings = scan(graph, study_dir, runtime, since=head.recorded_at)
    plan = RecoveryPlan(graph.study.study_id, head.digest.hex(), head.seq, warnings=[*findings.warnings])
    done = [step for step in graph.steps() if step.phase is Phase.DONE]
    again = [step.name for step in done if newer(step, findings.attempts(step.number))]
    if again:
        work.record(retry(graph, again, descendants=True, reason="recovered: it was tried again"))
    followed = _followed(graph, findings)
    plan.recoveries = [_recovery(step, findings, followed) for step in graph.steps()]
    _record(work, plan, findings)
    plan.new_events = work.new_events
    plan.spare = [
        (study_dir.path(recovery.step.workspace), trace.token)
        for recovery in plan.recoveries
        for trace in findings.attempts(recovery.step.number)
        if trace.is_live and trace.token != recovery.adopted
    ]
    return plan


def carry_out(plan: RecoveryPlan, export: ExportReader, study_dir: StudyDir, runtime: Runtime, reason: str) -> None:
    """Write the log. Before that, prevent the start of all jobs that were found and are not adopted."""
    for workspace, token in plan.spare:
        claims.abandon(workspace, token)

    def write(log: StudyLog) -> None:
        fill(log, export)
        if log.head.digest.hex() != plan.head:
            raise RequestRefused(f"{export.path}: was changed while it was being read; try again")
        log.append([(None, LogRecovered(head=plan.head, reason=reason)), *plan.new_events])

    write_log(study_dir, write, runtime)


def _read(export: ExportReader, runtime: Runtime) -> tuple[UnitOfWork, Head]:
    fold = Fold(MemoryGraph())
    with export.reading():
        for _ in export.selected(fold.checked(export.rows())):
            pass
        if not fold.graph.study.study_id:
            raise DamagedLog(f"{export.path}: there is no study in it")
    return UnitOfWork(fold.graph, fold.head.seq, runtime.now()), fold.head


def _followed(graph: MemoryGraph, findings: RecoveryFindings) -> dict[int, str]:
    """Return the steps that must have finished, because a step that depends on them was tried since the export.

    The result maps the number of each such step to the name of the dependent step.
    """
    followed: dict[int, str] = {}
    instances: dict[str, list[int]] = {}
    for step in graph.steps():
        instances.setdefault(step.template, []).append(step.number)
    for step in graph.steps():
        if not newer(step, findings.attempts(step.number)):
            continue
        frontier = [step.number]
        while frontier:
            number = frontier.pop()
            parents = list(graph.parents(number))
            for template in graph.funnels(number):
                parents += instances[template]
            unvisited = [n for n in parents if n not in followed and graph.step(n).state not in RELEASED]
            followed.update(dict.fromkeys(unvisited, step.name))
            frontier += unvisited
    return followed


def _recovery(step: StepRecord, findings: RecoveryFindings, followed: dict[int, str]) -> Recovery:
    step = structs.replace(step)  # a copy of its state before the new events
    if step.phase is Phase.DONE:
        return Recovery(step, step.state.name, "as the export has it")
    traces = Traces(
        findings.attempts(step.number), findings.rows.get(step.name), followed.get(step.number, ""), findings.host
    )
    return recover_step(step, traces)


def _record(work: UnitOfWork, plan: RecoveryPlan, findings: RecoveryFindings) -> None:
    """Apply the decisions. Ended steps come first, because steps that continue may depend on them.

    After that, record the consequences for other steps.
    """
    graph = work.graph
    ends = [recovery for recovery in plan.recoveries if _is_end(recovery)]
    if ends and graph.study.status is not StudyStatus.RUNNING:
        work.record([(None, StudyReopened(reason="recovered"))])
    for recovery in ends:
        work.record((recovery.step.number, event) for event in recovery.events)
    for index, recovery in enumerate(plan.recoveries):
        if _is_end(recovery) or not recovery.events:
            continue
        if graph.step(recovery.step.number).unmet and any(isinstance(e, JobSubmitted) for e in recovery.events):
            [trace] = [t for t in findings.attempts(recovery.step.number) if t.token == recovery.adopted]
            recovery = plan.recoveries[index] = held(recovery.step, trace.number, trace)  # noqa: PLW2901 - recorded below
        work.record((recovery.step.number, event) for event in recovery.events)
    work.close()
    plan.recoveries = [_after(graph, recovery) for recovery in plan.recoveries]


def _is_end(recovery: Recovery) -> bool:
    return any(isinstance(event, StepRecovered) and event.state is not State.INITIALIZED for event in recovery.events)


def _after(graph: MemoryGraph, recovery: Recovery) -> Recovery:
    """Return the decision about a step, updated if the decisions about other steps have ended the step."""
    step = graph.step(recovery.step.number)
    if recovery.events or step.phase is recovery.step.phase or step.phase is not Phase.DONE:
        return recovery
    return Recovery(recovery.step, step.state.name, step.message)
